package nats

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// rootOnly skips, loudly, what only root can do.
func rootOnly(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to mount a filesystem")
	}
}

// run runs a command of the system; it skips if there is none such.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("SKIPPED: needs %s", name)
	}
	if err != nil {
		t.Skipf("SKIPPED: %s %v does not work here: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// tmpfs mounts a filesystem of so many megabytes.
func tmpfs(t *testing.T, mb int) string {
	t.Helper()
	rootOnly(t)
	dir := t.TempDir()
	run(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mb), "tmpfs", dir)
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill publishes until the disk is full, and for a while then: each answer has
// to come within a second. It returns how many were acknowledged.
func fill(t *testing.T, e *Engine, after int) (acked []string, codes map[earshot.Code]int) {
	t.Helper()
	codes = map[earshot.Code]int{}
	data := strings.Repeat("x", 30_000)
	for i := 0; after > 0; i++ {
		if i > 10_000 {
			t.Fatal("the disk does not get full")
		}
		begin := time.Now()
		text := fmt.Sprintf("%d %s", i, data)
		_, err := try(e, "full", text, hub.AppendOptions{})
		if d := time.Since(begin); d > 1200*time.Millisecond {
			t.Errorf("append %d was answered after %v: %v", i, d, err)
		}
		if err == nil {
			acked = append(acked, text)
			continue
		}
		codes[earshot.CodeOf(err)]++
		after--
	}
	return acked, codes
}

// heals waits until a message is stored, and checks that nothing is lost.
func heals(t *testing.T, e *Engine, epoch uint32, acked []string) {
	t.Helper()
	begin := time.Now()
	poll(t, 10*time.Second, "storing works again", func() bool {
		_, err := try(e, "full", "again", hub.AppendOptions{})
		return err == nil
	})
	t.Logf("healed after %v", time.Since(begin).Round(time.Millisecond))
	if e.epoch.Load() != epoch {
		t.Error("the epoch changed")
	}
	stored := map[string]bool{}
	r := hub.Range{}
	for {
		page, err := e.Read(t.Context(), "app", "full", r)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			stored[string(m.Data)] = true
		}
		if !page.More {
			break
		}
		r.After = e.position(page.Upto)
	}
	for _, text := range acked {
		if !stored[text] {
			t.Fatalf("message %.10s was acknowledged and is lost", text)
		}
	}
	if ok, reason := e.Ready(); !ok {
		t.Errorf("not ready: %s", reason)
	}
}

// counting is a sink that counts what it hears.
type counting struct{ n atomic.Int64 }

func (c *counting) Deliver(ds []hub.Delivery) { c.n.Add(int64(len(ds))) }
func (c *counting) Told([]byte)               {}

// TestDiskFull fills the filesystem until the server's stream is frozen.
func TestDiskFull(t *testing.T) {
	dir := tmpfs(t, 48)
	e := open(t, Config{Dir: filepath.Join(dir, "data"), MinFree: -1, MaxStore: 1 << 30})
	sink := &counting{}
	if _, err := e.Start(t.Context(), sink); err != nil {
		t.Fatal(err)
	}
	epoch := e.epoch.Load()
	// The rest of the filesystem is taken by somebody else.
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, make([]byte, 24<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	acked, codes := fill(t, e, 20)
	t.Logf("%d acknowledged, then %v", len(acked), codes)
	if len(acked) < 10 || codes[earshot.Full]+codes[earshot.Unavailable] == 0 {
		t.Errorf("%d acknowledged, then %v", len(acked), codes)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	heals(t, e, epoch, acked)
	poll(t, 10*time.Second, "all that was acknowledged is heard", func() bool { return sink.n.Load() >= int64(len(acked)) })
}

// TestLittleSpace refuses before the filesystem is full.
func TestLittleSpace(t *testing.T) {
	dir := tmpfs(t, 48)
	e := open(t, Config{Dir: filepath.Join(dir, "data")})
	epoch := e.epoch.Load()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, make([]byte, 36<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	acked, codes := fill(t, e, 20)
	if len(codes) != 1 || codes[earshot.Full] == 0 {
		t.Errorf("%d acknowledged, then %v", len(acked), codes)
	}
	if e.Stats().Restarts != 0 {
		t.Error("the server was restarted")
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	heals(t, e, epoch, acked)
}

// fillRecords writes records until there is no space, and so many more; it
// returns how many were acknowledged, and with what the others failed.
func fillRecords(t *testing.T, e *Engine, after int) (acked int, codes map[earshot.Code]int) {
	t.Helper()
	codes = map[earshot.Code]int{}
	for i := 0; after > 0; i++ {
		if i > 10_000 {
			t.Fatal("there is no end")
		}
		begin := time.Now()
		_, err := e.Put(t.Context(), hub.Key{"full", fmt.Sprintf("%05d", i)}, make([]byte, 30_000), 0, 0)
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("put %d was answered after %v: %v", i, d, err)
		}
		if err != nil {
			codes[earshot.CodeOf(err)]++
			after--
			continue
		}
		acked++
	}
	return acked, codes
}

// TestRecordsFull reaches the bounds of the store and of the filesystem with
// records: nobody is told that one was written that is not there.
func TestRecordsFull(t *testing.T) {
	t.Run("store", func(t *testing.T) {
		dir := t.TempDir()
		e := open(t, Config{Dir: dir, MaxStore: 8 << 20})
		acked, codes := fillRecords(t, e, 3)
		if acked < 10 || codes[earshot.Full] != 3 {
			t.Errorf("%d acknowledged, then %v", acked, codes)
		}
		countRecords(t, e, acked)
		// Messages have room of their own, one record may replace itself, and what is
		// removed makes room.
		put(t, e, "c", "1", hub.AppendOptions{})
		first, second := hub.Key{"full", "00000"}, hub.Key{"full", "00001"}
		if _, err := e.Put(t.Context(), first, make([]byte, 30_000), hub.AnyRevision, 0); err != nil {
			t.Errorf("replacing a record: %v", err)
		}
		// Who has filled the share leaves room for what others have there already.
		for n := range 20 {
			if _, err := e.Put(t.Context(), hub.Key{"full", fmt.Sprintf("%05d", n)}, make([]byte, 30_400), hub.AnyRevision, 0); err != nil {
				t.Errorf("a record of a full share cannot be changed: %v", err)
			}
		}
		if err := e.Delete(t.Context(), second, hub.AnyRevision); err != nil {
			t.Errorf("room cannot be made: %v", err)
		}
		if _, err := e.Put(t.Context(), hub.Key{"full", "new"}, make([]byte, 20_000), 0, 0); err != nil {
			t.Errorf("there is no room for a new one: %v", err)
		}
		closeEngine(t, e)
		countRecords(t, open(t, Config{Dir: dir, MaxStore: 8 << 20}), acked)
	})
	t.Run("little space", func(t *testing.T) {
		dir := tmpfs(t, 48)
		e := open(t, Config{Dir: filepath.Join(dir, "data")})
		k := hub.Key{"full", "1"}
		revision := putRecord(t, e, k, "1")
		if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 45<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		poll(t, 10*time.Second, "that is noticed", e.low.Load)
		if _, err := e.Put(t.Context(), k, nil, revision, 0); earshot.CodeOf(err) != earshot.Full {
			t.Errorf("put: %v", err)
		}
		countRecords(t, e, 1)
		if err := e.Delete(t.Context(), k, revision); err != nil {
			t.Errorf("room cannot be made: %v", err)
		}
	})
	t.Run("filesystem", func(t *testing.T) {
		dir := tmpfs(t, 48)
		e := open(t, Config{Dir: filepath.Join(dir, "data"), MinFree: -1, MaxStore: 1 << 30})
		other := filepath.Join(dir, "other")
		if err := os.WriteFile(other, make([]byte, 44<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		acked, codes := fillRecords(t, e, 20)
		t.Logf("%d acknowledged, then %v", acked, codes)
		for code := range codes {
			if !code.Temporary() {
				t.Errorf("it failed with %v", code)
			}
		}
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
		poll(t, 20*time.Second, "a record can be written again", func() bool {
			_, err := e.Put(t.Context(), hub.Key{"again"}, nil, hub.AnyRevision, 0)
			return err == nil
		})
		countRecords(t, e, acked)
	})
}

// countRecords checks that those that were acknowledged are there.
func countRecords(t *testing.T, e *Engine, acked int) {
	t.Helper()
	n := 0
	var after hub.Key
	for more := true; more; {
		var rs []hub.Record
		var err error
		if rs, more, err = e.List(t.Context(), hub.Key{"full"}, after, 1000); err != nil {
			t.Fatal(err)
		}
		if len(rs) > 0 {
			n, after = n+len(rs), rs[len(rs)-1].Key
		}
	}
	if n < acked {
		t.Errorf("%d are there, %d were acknowledged", n, acked)
	}
}

// TestStoreFull reaches the bound for what the server may store.
func TestStoreFull(t *testing.T) {
	e := open(t, Config{Dir: t.TempDir(), MaxStore: 4 << 20})
	acked, codes := fill(t, e, 3)
	if len(acked) < 10 || codes[earshot.Full] != 3 {
		t.Errorf("%d acknowledged, then %v", len(acked), codes)
	}
}

// ext4 makes a filesystem in a file and mounts it.
type ext4 struct{ dir, device string }

func newExt4(t *testing.T) *ext4 {
	t.Helper()
	rootOnly(t)
	base := t.TempDir()
	image := filepath.Join(base, "image")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(512<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", image)
	x := &ext4{dir: filepath.Join(base, "mnt")}
	if err := os.Mkdir(x.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	x.device = run(t, "losetup", "--find", "--show", image)
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", x.device).Run() })
	x.mount(t)
	return x
}

func (x *ext4) mount(t *testing.T) {
	t.Helper()
	run(t, "mount", "-t", "ext4", x.device, x.dir)
	t.Cleanup(func() { _ = unix.Unmount(x.dir, unix.MNT_DETACH) })
}

// cut takes the power: nothing that is not on the disk gets there.
func (x *ext4) cut() error {
	const shutdown, noLogFlush = 0x8004587D, 2
	f, err := os.Open(x.dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush)
}

// remount is the next start of the machine.
func (x *ext4) remount(t *testing.T) {
	t.Helper()
	poll(t, 10*time.Second, "the filesystem is let go", func() bool { return unix.Unmount(x.dir, 0) == nil })
	x.mount(t)
}

// powerCut lets a child publish on a new filesystem, cuts the power, and
// returns how many acknowledged messages there were and how many are lost.
func powerCut(t *testing.T, long time.Duration, env ...string) (acked, lost int) {
	t.Helper()
	x := newExt4(t)
	all := map[string]int{}
	v := startVictim(t, filepath.Join(x.dir, "data"), env...)
	acked = v.run(t, long, all, func() {
		if err := x.cut(); err != nil {
			t.Errorf("cutting the power: %v", err)
		}
	})
	x.remount(t)
	e, err := Open(t.Context(), Config{Dir: filepath.Join(x.dir, "data"), Cap: deep}, quiet(t))
	if err != nil {
		t.Logf("the log does not open: %v", err)
		return acked, acked
	}
	lost = check(t, e, all)
	closeEngine(t, e)
	if err := unix.Unmount(x.dir, 0); err != nil {
		t.Errorf("unmount: %v", err)
	}
	return acked, lost
}

func TestPowerCut(t *testing.T) {
	for round := range rounds(2) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			acked, lost := powerCut(t, time.Duration(300+450*(round%5))*time.Millisecond)
			if lost > 0 || acked == 0 {
				t.Errorf("%d of %d acknowledged messages are lost", lost, acked)
			}
			t.Logf("%d acknowledged, %d lost", acked, lost)
		})
	}
}

// TestPowerCutWithoutBarrier shows that the test above could fail.
func TestPowerCutWithoutBarrier(t *testing.T) {
	acked, lost := powerCut(t, time.Second, childUnsafe+"=1")
	if lost == 0 {
		t.Errorf("none of %d messages is lost without the barrier: the cut cuts nothing", acked)
	}
	t.Logf("%d acknowledged, %d lost", acked, lost)
}
