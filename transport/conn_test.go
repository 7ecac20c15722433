package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// overBoth runs a test with loops and with goroutines.
func overBoth(t *testing.T, f func(t *testing.T, c Config)) {
	t.Run("loops", func(t *testing.T) { f(t, Config{}) })
	t.Run("goroutines", func(t *testing.T) { f(t, Config{Goroutines: true}) })
}

func TestSizeOfAConnection(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 192 {
		t.Errorf("a Conn takes %d bytes, and so the next size class", n)
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(15 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// readAll reads to the end.
func readAll(t testing.TB, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(15 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %q: %v", b, err)
	}
	return string(b)
}

// TestMessagesInPieces sends a line in many, and many lines in one.
func TestMessagesInPieces(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{})
		got := make(chan string, 10)
		l := &listener{handle: func(_ *hub.Conn, m hub.Input) error { got <- string(m.Data); return nil }}
		client, _ := b.open(t, &Kind{Format: &lines{}}, lineCutter{}, "", l)
		for _, piece := range []string{"a", "bc", "d\nsecond\nthi", "rd\n", strings.Repeat("x", 200<<10) + "\n"} {
			if _, err := io.WriteString(client, piece); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"abcd", "second", "third", strings.Repeat("x", 200<<10)} {
			if m := receive(t, got); m != want {
				t.Fatalf("got %.20q, want %.20q", m, want)
			}
		}
	})
}

// TestNothingIsReadWhileReceiveRuns is what holds a client up that sends more
// than is handled.
func TestNothingIsReadWhileReceiveRuns(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{})
		begun, goOn := make(chan string), make(chan struct{})
		l := &listener{handle: func(_ *hub.Conn, m hub.Input) error { begun <- string(m.Data); <-goOn; return nil }}
		client, _ := b.open(t, &Kind{Format: &lines{}}, lineCutter{}, "", l)
		_, _ = io.WriteString(client, "one\n")
		if m := receive(t, begun); m != "one" {
			t.Fatal(m)
		}
		_, _ = io.WriteString(client, "two\n")
		read := b.wire.Stats().BytesIn
		goOn <- struct{}{}
		if m := receive(t, begun); m != "two" || read != 4 {
			t.Errorf("got %q; %d bytes were read meanwhile", m, read)
		}
		goOn <- struct{}{}
	})
}

func TestGoodbyes(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		for _, test := range []struct {
			name   string
			format Format
			reply  string
			want   string
		}{
			{"the client answers", &lines{}, "", "bye regularly\n"},
			{"the wire has no word", &lines{silent: true}, "", ""},
		} {
			b := newBed(t, config, hub.Config{})
			l := &listener{ends: make(chan hub.End, 1)}
			client, conn := b.open(t, &Kind{Format: test.format, Linger: 10 * time.Second}, lineCutter{}, "", l)
			if err := conn.Send(hub.TextFrame([]byte("queued\n"))); err != nil {
				t.Fatal(err)
			}
			conn.Close(nil)
			r := bufio.NewReader(client)
			for line := range strings.Lines("queued\n" + test.want) {
				if got, err := r.ReadString('\n'); err != nil || got != line {
					t.Errorf("%s: got %q, %v", test.name, got, err)
				}
			}
			if test.want == "" {
				if _, err := r.ReadByte(); err != io.EOF {
					t.Errorf("%s: our half is not closed: %v", test.name, err)
				}
			}
			_ = client.CloseWrite()
			if end := receive(t, l.ends); end != (hub.End{Code: 1, Reason: "regularly"}) {
				t.Errorf("%s: the session was told %+v", test.name, end)
			}
			if got := readAll(t, client); got != "" {
				t.Errorf("%s: after the end came %q", test.name, got)
			}
		}
	})
}

// TestGoodbyeHasItsTime is for a client that never answers it.
func TestGoodbyeHasItsTime(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{})
		l := &listener{ends: make(chan hub.End, 1)}
		client, conn := b.open(t, &Kind{Format: &lines{}, Linger: 50 * time.Millisecond}, lineCutter{}, "", l)
		conn.Close(nil)
		if got := readAll(t, client); got != "bye regularly\n" {
			t.Errorf("got %q", got)
		}
		receive(t, l.ends)
	})
}

// refuser refuses everything.
type refuser struct{}

func (refuser) Decode([]byte, *Decoded) (int, error) {
	return 0, earshot.Errorf(earshot.Invalid, "what is that")
}

func TestRefusedBytes(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{})
		l := &listener{ends: make(chan hub.End, 1)}
		client, _ := b.open(t, &Kind{Format: &lines{}}, refuser{}, "", l)
		_, _ = io.WriteString(client, "garbage")
		if got := readAll(t, client); got != "bye what is that\n" {
			t.Errorf("got %q", got)
		}
		_, _ = io.WriteString(client, "and more, which nobody decodes")
		_ = client.CloseWrite()
		if end := receive(t, l.ends); end.Peer || end.Code != 2 || earshot.CodeOf(end.Err) != earshot.Invalid {
			t.Errorf("the session was told %+v", end)
		}
	})
}

// TestDropKeepsFramesWhole cuts a slow client in the middle of a frame: what it
// reads afterwards is whole frames, the farewell last.
func TestDropKeepsFramesWhole(t *testing.T) {
	b := newBed(t, Config{}, hub.Config{QueueBytes: 2 << 20})
	l := &listener{ends: make(chan hub.End, 1)}
	client, conn := b.open(t, &Kind{Format: &lines{}, SlowLinger: 10 * time.Second}, lineCutter{}, "", l)
	frame := append(bytes.Repeat([]byte("x"), 1<<20-1), '\n')
	sent := 0
	for ; b.hub.Stats().Slow == 0; sent++ {
		if err := conn.Send(hub.BinaryFrame(frame)); err != nil {
			break
		}
	}
	const bye = "bye the client did not read what was sent to it\n"
	_ = client.SetReadDeadline(time.Now().Add(15 * time.Second))
	for r, got := bufio.NewReader(client), 0; ; got++ {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			t.Fatal(err)
		case line == bye && got >= 1 && got < sent:
			_ = client.Close()
			receive(t, l.ends)
			return
		case len(line) != len(frame):
			t.Fatalf("frame %d of %d has %d bytes: %.50q", got, sent, len(line), line)
		}
	}
}

// TestHalfClosedClientGetsTheRest reads late what was queued when it closed its half.
func TestHalfClosedClientGetsTheRest(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{QueueBytes: 64 << 20})
		l := &listener{ends: make(chan hub.End, 1)}
		client, conn := b.open(t, &Kind{Format: &lines{}}, lineCutter{}, "", l)
		frame := bytes.Repeat([]byte("x"), 1<<20)
		for range 16 {
			if err := conn.Send(hub.BinaryFrame(frame)); err != nil {
				t.Fatal(err)
			}
		}
		_ = client.CloseWrite()
		if got := len(readAll(t, client)); got != 16<<20 {
			t.Errorf("got %d bytes", got)
		}
		if end := receive(t, l.ends); end != (hub.End{Peer: true}) {
			t.Errorf("the session was told %+v", end)
		}
	})
}

// answerer answers each line at once.
type answerer struct{ lineCutter }

func (a answerer) Decode(in []byte, d *Decoded) (n int, err error) {
	n, err = a.lineCutter.Decode(in, d)
	for _, m := range d.In {
		d.Reply = fmt.Appendf(d.Reply, "to %s\n", m.Data)
	}
	d.In = nil
	return n, err
}

// TestAnswersDoNotGather asks again and again without reading the answers: only
// the newest one waits.
func TestAnswersDoNotGather(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{QueueBytes: 64 << 20})
		client, conn := b.open(t, &Kind{Format: &lines{}}, answerer{}, "", &listener{})
		for range 16 {
			if err := conn.Send(hub.BinaryFrame(bytes.Repeat([]byte("x"), 1<<20))); err != nil {
				t.Fatal(err)
			}
		}
		asked := uint64(0)
		for i := range 500 {
			n, err := fmt.Fprintf(client, "%d\n", i)
			if err != nil {
				t.Fatal(err)
			}
			for asked += uint64(n); b.wire.Stats().BytesIn < asked; {
				runtime.Gosched()
			}
		}
		_ = client.CloseWrite()
		got := strings.TrimLeft(readAll(t, client), "x")
		if !strings.HasSuffix(got, "to 499\n") || strings.Count(got, "to ") > 2 {
			t.Errorf("%d answers waited; the last are %q", strings.Count(got, "to "), got[max(0, len(got)-30):])
		}
	})
}

// TestAdoptAfterClose begins when the transport has ended.
func TestAdoptAfterClose(t *testing.T) {
	b := newBed(t, Config{}, hub.Config{})
	if err := b.wire.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	client, server := b.pair(t)
	s := b.hub.NextShard()
	c := b.wire.NewConn(s, &Kind{Format: &lines{}}, lineCutter{}, nil)
	l := &listener{ends: make(chan hub.End, 1)}
	conn, err := b.hub.Open(s, c, hub.Opening{Farewell: l})
	if err != nil {
		t.Fatal(err)
	}
	conn.Serve(l)
	if err := c.Adopt(conn, server, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if end := receive(t, l.ends); !errors.Is(end.Err, net.ErrClosed) {
		t.Errorf("the session was told %+v", end)
	}
	if got := readAll(t, client); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestClosedBeforeAdopted still says goodbye, after the greeting.
func TestClosedBeforeAdopted(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{})
		client, server := b.pair(t)
		s := b.hub.NextShard()
		c := b.wire.NewConn(s, &Kind{Format: &lines{}}, lineCutter{}, []byte("welcome\n"))
		l := &listener{ends: make(chan hub.End, 1)}
		conn, err := b.hub.Open(s, c, hub.Opening{Farewell: l})
		if err != nil {
			t.Fatal(err)
		}
		conn.Serve(l)
		conn.Close(&earshot.Error{Code: earshot.Slow, Text: "early"}) // drops what is queued, but not the greeting
		if err := c.Adopt(conn, server, nil); err != nil {
			t.Fatal(err)
		}
		_ = client.CloseWrite()
		if got := readAll(t, client); got != "welcome\nbye early\n" {
			t.Errorf("got %q", got)
		}
		receive(t, l.ends)
	})
}

// TestCloseCutsWhatIsLeft when its context ends, also a session that is busy
// until its connection's context ends.
func TestCloseCutsWhatIsLeft(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{})
		idle := &listener{ends: make(chan hub.End, 1)}
		b.open(t, &Kind{Format: &lines{}}, lineCutter{}, "", idle)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := b.wire.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if end := receive(t, idle.ends); end.Peer {
			t.Errorf("the session was told %+v", end)
		}
		if n := b.wire.Stats(); n.Open != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// A meanwhile does something before the first bytes go out.
type meanwhile struct {
	lines
	once sync.Once
	do   func()
}

func (m *meanwhile) Append(dst []byte, f *hub.Frame) []byte {
	m.once.Do(m.do)
	return m.lines.Append(dst, f)
}

// TestCloseCutsWhatBegins: one that is being adopted at that moment, too.
func TestCloseCutsWhatBegins(t *testing.T) {
	overBoth(t, func(t *testing.T, config Config) {
		b := newBed(t, config, hub.Config{})
		closed := make(chan error, 1)
		shut := &meanwhile{do: func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			go func() { closed <- b.wire.Close(ctx) }()
			for !b.wire.cutting.Load() {
				runtime.Gosched()
			}
		}}
		_, server := b.pair(t)
		s := b.hub.NextShard()
		c := b.wire.NewConn(s, &Kind{Format: shut}, lineCutter{}, nil)
		c.Push(hub.BinaryFrame([]byte("welcome\n")))
		l := &listener{ends: make(chan hub.End, 1)}
		conn, err := b.hub.Open(s, c, hub.Opening{Farewell: l})
		if err != nil {
			t.Fatal(err)
		}
		conn.Serve(l)
		if err := c.Adopt(conn, server, nil); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, closed); err != nil {
			t.Error(err)
		}
		if end := receive(t, l.ends); end.Peer {
			t.Errorf("the session was told %+v", end)
		}
	})
}

func TestDeliveriesAllocateNothing(t *testing.T) {
	b := newBed(t, Config{}, hub.Config{})
	client, _ := b.open(t, &Kind{Format: &lines{}}, lineCutter{}, "", &listener{})
	go func() { _, _ = io.Copy(io.Discard, client) }()
	c := b.wire.fds.all()[0]
	frames := make([]*hub.Frame, 20)
	for i := range frames {
		frames[i] = hub.TextFrame([]byte("a message"))
	}
	deliver := func() {
		c.loop.shard.Lock()
		for _, f := range frames {
			c.Push(f)
		}
		c.Flush()
		c.loop.shard.Unlock()
	}
	deliver()
	if n := testing.AllocsPerRun(100, deliver); n > 0 {
		t.Errorf("%v allocations for %d deliveries", n, len(frames))
	}
}
