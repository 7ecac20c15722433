package nats

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// The environment of a child: this test binary, run again as a server with
// publishers that is to be killed.
const (
	childDir    = "EARSHOT_TEST_CHILD"
	childUnsafe = "EARSHOT_TEST_UNSAFE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(Config{Dir: dir, Cap: deep, unsafe: os.Getenv(childUnsafe) != ""})
		return
	}
	os.Exit(m.Run())
}

// childPublishers is how many goroutines of a child publish, each on a channel,
// and childWriters how many write records.
const (
	childPublishers = 16
	childWriters    = 4
)

// recordsOf marks, where channels are counted, the records of a writer.
const recordsOf = "records/"

// writeRecords writes numbered records, and the number of the last one by its
// revision, and a line for each pair that was acknowledged.
func writeRecords(ctx context.Context, e *Engine, writer string) {
	last, err := e.Get(ctx, hub.Key{"last", writer})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	next, _ := strconv.Atoi(string(last.Data))
	for {
		text := strconv.Itoa(next + 1)
		if _, err := e.Put(ctx, hub.Key{"kept", writer, text}, []byte(text), hub.AnyRevision, 0); err != nil {
			continue
		}
		revision, err := e.Put(ctx, last.Key, []byte(text), last.Revision, 0)
		if err != nil {
			if r, err := e.Get(ctx, last.Key); err == nil {
				last = r
				next, _ = strconv.Atoi(string(last.Data))
			}
			continue
		}
		last.Revision = revision
		next++
		_, _ = os.Stdout.WriteString(recordsOf + writer + " " + text + "\n")
	}
}

// checkRecords counts how many of a writer's records are lost.
func checkRecords(t *testing.T, e *Engine, writer string, acked int) (lost int) {
	t.Helper()
	last, err := e.Get(t.Context(), hub.Key{"last", writer})
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	if n, _ := strconv.Atoi(string(last.Data)); n < acked {
		t.Logf("writer %s: the last is %d, %d was acknowledged", writer, n, acked)
		lost++
	}
	there := map[string]bool{}
	var after hub.Key
	for more := true; more; {
		var rs []hub.Record
		if rs, more, err = e.List(t.Context(), hub.Key{"kept", writer}, after, 5000); err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, r := range rs {
			if string(r.Data) != r.Key[2] {
				t.Errorf("%s holds %q", r.Key, r.Data)
			}
			there[r.Key[2]], after = true, r.Key
		}
	}
	for i := range acked {
		if !there[strconv.Itoa(i+1)] {
			lost++
		}
	}
	return lost
}

// child publishes numbered messages until it is killed, and writes a line for
// each that was acknowledged.
func child(c Config) {
	ctx := context.Background()
	e, err := Open(ctx, c, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if _, err := e.Start(ctx, deaf{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var all sync.WaitGroup
	for w := range childWriters {
		all.Go(func() { writeRecords(ctx, e, strconv.Itoa(w)) })
	}
	for p := range childPublishers {
		all.Go(func() {
			channel := fmt.Sprintf("p.%d", p)
			next := 0
			if page, err := e.Read(ctx, "app", channel, hub.Range{Reverse: true, Limit: 1}); err == nil && len(page.Messages) > 0 {
				next, _ = strconv.Atoi(string(page.Messages[0].Data))
			}
			for {
				next++
				if _, err := try(e, channel, strconv.Itoa(next), hub.AppendOptions{Key: strconv.Itoa(next)}); err != nil {
					next-- // again, with the same key
					continue
				}
				_, _ = os.Stdout.WriteString(channel + " " + strconv.Itoa(next) + "\n")
			}
		})
	}
	all.Wait()
}

// A victim is a running child.
type victim struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startVictim(t *testing.T, dir string, env ...string) *victim {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &victim{cmd, bufio.NewScanner(out)}
}

// run lets the child publish for so long after its first message, lets stop do
// what it does to it, kills it, and adds what it acknowledged.
func (v *victim) run(t *testing.T, long time.Duration, acked map[string]int, stop func()) (n int) {
	t.Helper()
	var timer *time.Timer
	over := time.AfterFunc(30*time.Second, func() { _ = v.cmd.Process.Kill() })
	defer over.Stop()
	for v.out.Scan() {
		if timer == nil {
			timer = time.AfterFunc(long, func() {
				stop()
				_ = v.cmd.Process.Kill()
			})
		}
		channel, number, _ := strings.Cut(v.out.Text(), " ")
		i, err := strconv.Atoi(number)
		if err != nil {
			continue // a line that was cut
		}
		acked[channel] = max(acked[channel], i)
		n++
	}
	_ = v.cmd.Wait() // it was killed
	if timer == nil {
		t.Fatal("the child published nothing")
	}
	timer.Stop()
	return n
}

// check reads everything back, messages and records: how many of the acknowledged
// are lost, and what is double or out of order.
func check(t *testing.T, e *Engine, acked map[string]int) (lost int) {
	t.Helper()
	for channel, last := range acked {
		if writer, ok := strings.CutPrefix(channel, recordsOf); ok {
			lost += checkRecords(t, e, writer, last)
			continue
		}
		next := 1
		r := hub.Range{Limit: 1000}
		for {
			page, err := e.Read(t.Context(), "app", channel, r)
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			for _, m := range page.Messages {
				i, _ := strconv.Atoi(string(m.Data))
				if i < next {
					t.Errorf("%s: number %d after %d", channel, i, next-1)
				}
				lost += max(min(i, last+1)-next, 0)
				next = i + 1
			}
			if !page.More {
				break
			}
			r.After = earshot.Position{Epoch: uint16(e.epoch.Load()), Seq: page.Upto}
		}
		lost += max(last+1-next, 0)
	}
	return lost
}

// rounds is how often a fault is repeated: EARSHOT_SOAK says it for long runs.
func rounds(short int) int {
	if n, err := strconv.Atoi(os.Getenv("EARSHOT_SOAK")); err == nil && n > 0 {
		return n
	}
	return short
}

// deep is a cap that no test reaches, so that nothing is evicted.
const deep = 1 << 20

func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]int{}
	total := 0
	for round := range rounds(3) {
		v := startVictim(t, dir)
		total += v.run(t, time.Duration(200+137*round%500)*time.Millisecond, acked, func() {})
		e := open(t, Config{Dir: dir, Cap: deep})
		if lost := check(t, e, acked); lost > 0 {
			t.Errorf("round %d: %d acknowledged messages are lost", round, lost)
		}
		closeEngine(t, e)
	}
	written := 0
	for w := range childWriters {
		written += acked[recordsOf+strconv.Itoa(w)]
	}
	if written == 0 {
		t.Error("no record was written")
	}
	t.Logf("%d acknowledged, %d of them records; none may be lost", total, written)
}

func TestReopenKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Config{Dir: dir})
	var ids []earshot.ID
	for i := range 50 {
		ids = append(ids, put(t, e, "c", fmt.Sprint(i), hub.AppendOptions{}))
	}
	closeEngine(t, e)
	e = open(t, Config{Dir: dir})
	page, err := e.Read(t.Context(), "app", "c", hub.Range{After: ids[9].Position()})
	if err != nil || !page.Exact || len(page.Messages) != 40 || page.Messages[39].ID != ids[49] {
		t.Errorf("exact %v with %d messages: %v", page.Exact, len(page.Messages), err)
	}
}

// copyDir copies a closed data directory, as a backup does.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestACopiedDirectoryIsAnotherLife(t *testing.T) {
	base := t.TempDir()
	e := open(t, Config{Dir: filepath.Join(base, "a")})
	id := put(t, e, "c", "1", hub.AppendOptions{})
	closeEngine(t, e)
	copyDir(t, filepath.Join(base, "a"), filepath.Join(base, "b"))
	e = open(t, Config{Dir: filepath.Join(base, "b")})
	if page, err := e.Read(t.Context(), "app", "c", hub.Range{After: id.Position()}); err != nil || page.Exact {
		t.Errorf("a position of before the copy is exact: %v %v", page.Exact, err)
	}
}

// TestACrashAfterEarlyDeliveryIsAnotherLife makes the record look like one of
// another run of the machine.
func TestACrashAfterEarlyDeliveryIsAnotherLife(t *testing.T) {
	for _, early := range []bool{false, true} {
		dir := t.TempDir()
		e := open(t, Config{Dir: dir})
		put(t, e, "c", "1", hub.AppendOptions{Rule: &earshot.Rule{BeforeDisk: early}})
		before := e.epoch.Load()
		e.life.mu.Lock()
		v := e.life.now
		e.life.mu.Unlock()
		if v.Early != (early && e.barrier.on()) {
			t.Errorf("early %v is recorded as %v", early, v.Early)
		}
		v.Boot = "another"
		if err := e.rewriteLife(t.Context(), e.link.Load(), v); err != nil {
			t.Fatal(err)
		}
		// The machine stops: nothing is told to the log.
		old := e.link.Load()
		e.link.Store(nil)
		old.close()
		closeEngine(t, e)
		e = open(t, Config{Dir: dir})
		if changed := e.epoch.Load() != before; changed != v.Early {
			t.Errorf("early %v: the epoch changed: %v", early, changed)
		}
	}
}
