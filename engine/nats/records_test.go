package nats

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A mirror is what a watch has told.
type mirror struct {
	mu    sync.Mutex
	data  map[string]string
	calls int
	syncs int
}

// follow watches until the test ends.
func follow(t *testing.T, e *Engine, prefix hub.Key) *mirror {
	t.Helper()
	m := &mirror{data: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		_ = e.Watch(ctx, prefix, m.changed, func() { m.mu.Lock(); m.syncs++; m.mu.Unlock() })
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	poll(t, 10*time.Second, "the watch is in sync", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.syncs > 0
	})
	return m
}

func (m *mirror) changed(rs []hub.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	for _, r := range rs {
		if r.Data == nil {
			delete(m.data, r.Key.String())
		} else {
			m.data[r.Key.String()] = string(r.Data)
		}
	}
}

func (m *mirror) has(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data[key]
}

// TestRecordsOverARestartInPlace restarts the embedded server under a watch and
// writers that each raise a number by its revision.
func TestRecordsOverARestartInPlace(t *testing.T) {
	e := open(t, Config{Dir: t.TempDir()})
	m := follow(t, e, hub.Key{"r"})
	const writers, restarts = 4, 3
	acked := make([]int, writers)
	stop := make(chan struct{})
	var all sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); all.Wait() })
	defer end()
	for w := range writers {
		all.Go(func() {
			k := hub.Key{"r", fmt.Sprint(w)}
			for i := 1; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				_, err := e.Put(context.Background(), k, fmt.Appendf(nil, "%d", i), hub.AnyRevision, 0)
				switch {
				case err == nil:
					acked[w] = i
				case earshot.CodeOf(err).Temporary():
					e.pause(5 * time.Millisecond)
				default:
					t.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	for i := range restarts {
		e.pause(50 * time.Millisecond)
		e.breaks(e.links.Load(), "an end of the world")
		poll(t, 20*time.Second, "the log is back", func() bool {
			if e.Stats().Restarts <= uint64(i) {
				return false // it was ready, but has not noticed
			}
			ok, _ := e.Ready()
			return ok
		})
	}
	end()
	for w, last := range acked {
		k := hub.Key{"r", fmt.Sprint(w)}
		r, err := e.Get(t.Context(), k)
		var now int
		if _, serr := fmt.Sscan(string(r.Data), &now); err != nil || serr != nil || now < last || last == 0 {
			t.Errorf("%s has %q, %v; %d was acknowledged", k, r.Data, err, last)
		}
		poll(t, 10*time.Second, "the watch goes on", func() bool { return m.has(k.String()) == string(r.Data) })
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.syncs != 1 {
		t.Errorf("in sync %d times", m.syncs)
	}
}

// TestWatchMissesNoRemoval removes a record so that nothing stands in its place,
// as when a node was away for longer than its mark is kept.
func TestWatchMissesNoRemoval(t *testing.T) {
	e := open(t, Config{Dir: t.TempDir()})
	for _, name := range []string{"a", "b", "c"} {
		putRecord(t, e, hub.Key{"w", name}, name)
	}
	m := follow(t, e, hub.Key{"w"})
	l := e.link.Load()
	s, err := l.js.Stream(t.Context(), recordStream)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Get(t.Context(), hub.Key{"w", "b"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), r.Revision); err != nil {
		t.Fatal(err)
	}
	if f, err := l.record(t.Context(), hub.Key{"w", "b"}); err != nil || f.seq != 0 {
		t.Fatalf("there still is %+v, %v: the test shows nothing", f, err)
	}
	m.mu.Lock()
	calls := m.calls
	m.mu.Unlock()
	e.turns.turn()
	poll(t, 10*time.Second, "the removal is told", func() bool { return m.has("w/b") == "" })
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls != calls+1 || len(m.data) != 2 {
		t.Errorf("%d calls for one removal; %v", m.calls-calls, m.data)
	}
}

func putRecord(t testing.TB, e *Engine, k hub.Key, data string) uint64 {
	t.Helper()
	revision, err := e.Put(context.Background(), k, []byte(data), hub.AnyRevision, 0)
	if err != nil {
		t.Fatalf("put %s: %v", k, err)
	}
	return revision
}

// TestWatchLeavesNothingBehind counts goroutines, subscriptions and consumers.
func TestWatchLeavesNothingBehind(t *testing.T) {
	e := open(t, Config{Dir: t.TempDir()})
	putRecord(t, e, hub.Key{"a"}, "1")
	l := e.link.Load()
	before, subs := goleak.IgnoreCurrent(), l.conn.NumSubscriptions()
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		err := e.Watch(ctx, nil, func([]hub.Record) {}, cancel)
		if ctx.Err() == nil || err != context.Canceled {
			t.Fatalf("it ended with %v", err)
		}
	}
	poll(t, 10*time.Second, "the consumers are gone", func() bool {
		info, err := l.records.Info(t.Context())
		return err == nil && info.State.Consumers == 0
	})
	if n := l.conn.NumSubscriptions(); n != subs {
		t.Errorf("%d subscriptions, there were %d", n, subs)
	}
	goleak.VerifyNone(t, before)
}

// TestRecordsOfAnOlderDirectory opens a data directory that has no stream for
// records, and one whose stream is another one's.
func TestRecordsOfAnOlderDirectory(t *testing.T) {
	for name, change := range map[string]func(*testing.T, jetstream.JetStream){
		"none": func(t *testing.T, js jetstream.JetStream) {
			if err := js.DeleteStream(t.Context(), recordStream); err != nil {
				t.Fatal(err)
			}
		},
		"another": func(t *testing.T, js jetstream.JetStream) {
			s, err := js.Stream(t.Context(), recordStream)
			if err != nil {
				t.Fatal(err)
			}
			c := s.CachedInfo().Config
			c.AllowDirect = false
			if _, err := js.UpdateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := open(t, Config{Dir: dir})
			id := put(t, e, "c", "1", hub.AppendOptions{})
			change(t, e.link.Load().js)
			closeEngine(t, e)
			migrated(t, open(t, Config{Dir: dir}), id)
		})
	}
}

// TestRecordsOfAnOlderCluster is the same on three servers.
func TestRecordsOfAnOlderCluster(t *testing.T) {
	c := startCluster(t, 3)
	config := Config{URLs: []string{c.url(0, c.account())}}
	e := open(t, config)
	id := put(t, e, "c", "1", hub.AppendOptions{})
	if err := e.link.Load().js.DeleteStream(t.Context(), recordStream); err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e)
	migrated(t, open(t, config), id)
}

// migrated checks that records work, and that what there was is there.
func migrated(t *testing.T, e *Engine, id earshot.ID) {
	t.Helper()
	putRecord(t, e, hub.Key{"a"}, "1")
	if r, err := e.Get(t.Context(), hub.Key{"a"}); err != nil || string(r.Data) != "1" {
		t.Errorf("got %q, %v", r.Data, err)
	}
	if rs, _, err := e.List(t.Context(), nil, nil, 10); err != nil || len(rs) != 1 {
		t.Errorf("listed %v, %v", rs, err)
	}
	if page, err := e.Read(t.Context(), "app", "c", hub.Range{After: id.Position()}); err != nil || !page.Exact {
		t.Errorf("a position of before is exact: %v %v", page.Exact, err)
	}
}

// TestALostAnswerIsUnknown cuts the link of a node that writes.
func TestALostAnswerIsUnknown(t *testing.T) {
	c := startCluster(t, 1)
	link := startProxy(t, c.servers[0].Addr().String())
	e := open(t, Config{URLs: []string{"nats://" + c.account() + "@" + link.listener.Addr().String()}, Deadline: 500 * time.Millisecond})
	k := hub.Key{"k"}
	revision := putRecord(t, e, k, "0")
	results := make(chan error, 1)
	unknown := 0
	for i := 0; unknown == 0 && i < 200; i++ {
		go func() {
			_, err := e.Put(t.Context(), k, fmt.Appendf(nil, "%d", i), revision, 0)
			results <- err
		}()
		if i%2 == 1 {
			e.pause(100 * time.Microsecond)
		}
		link.set(true)
		err := <-results
		link.set(false)
		poll(t, 10*time.Second, "the link is back", func() bool {
			r, gerr := e.Get(t.Context(), k)
			if gerr == nil && err == nil && r.Revision == revision {
				t.Errorf("round %d was acknowledged, and is not there", i)
			}
			if gerr == nil && r.Revision != revision && err != nil && earshot.CodeOf(err) != earshot.Unknown {
				t.Errorf("round %d: %v, but it is there", i, err)
			}
			if gerr == nil {
				revision = r.Revision
			}
			return gerr == nil
		})
		if earshot.CodeOf(err) == earshot.Unknown {
			unknown++
		}
	}
	if unknown == 0 {
		t.Error("no answer was lost: the test showed nothing")
	}
	// A context that ends is no proof of anything either.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Put(ctx, k, nil, revision, 0); earshot.CodeOf(err) != earshot.Unavailable {
		t.Errorf("nothing was sent, and the answer is %v", err)
	}
}

// TestWatchOutlivesItsServer stops the server that feeds a watch.
func TestWatchOutlivesItsServer(t *testing.T) {
	c := startCluster(t, 3)
	e := open(t, Config{URLs: []string{c.url(0, c.account())}})
	putRecord(t, e, hub.Key{"w", "a"}, "1")
	l := e.link.Load()
	var ms []*mirror
	feeder := -1
	for feeder < 0 {
		if len(ms) == 30 {
			t.Fatal("every watch is fed by the server that the node is connected to")
		}
		ms = append(ms, follow(t, e, hub.Key{"w"}))
		all := l.records.ListConsumers(t.Context())
		for info := range all.Info() {
			for i := 1; i < 3; i++ {
				if info.Cluster != nil && info.Cluster.Leader == fmt.Sprintf("n%d", i) {
					feeder = i
				}
			}
		}
		if err := all.Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.servers[feeder].Shutdown()
	c.servers[feeder].WaitForShutdown()
	poll(t, 30*time.Second, "a record can be written", func() bool {
		_, err := e.Put(t.Context(), hub.Key{"w", "b"}, []byte("2"), hub.AnyRevision, 0)
		return err == nil
	})
	for _, m := range ms {
		poll(t, 30*time.Second, "the watch goes on", func() bool { return m.has("w/b") == "2" })
	}
}

// TestIndexOfMany has more keys than the server names at once.
func TestIndexOfMany(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it needs a hundred thousand records")
	}
	e := open(t, Config{Dir: t.TempDir(), MaxStore: 1 << 30})
	l := e.link.Load()
	const n = 100_700
	for i := range n {
		if err := l.conn.Publish(recordSubject(hub.Key{"n", fmt.Sprintf("%06d", i)}), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 { // the server drops what it has no room for
			if err := l.conn.Flush(); err != nil {
				t.Fatal(err)
			}
			putRecord(t, e, hub.Key{"m"}, "1")
		}
	}
	last := hub.Key{"n", fmt.Sprintf("%06d", n-4)}
	poll(t, 20*time.Second, "all are stored", func() bool {
		info, err := l.records.Info(t.Context())
		return err == nil && info.State.Msgs == n+1
	})
	rs, more, err := e.List(t.Context(), hub.Key{"n"}, last, 10)
	if err != nil || more || len(rs) != 3 {
		t.Errorf("%d behind the last but three, %v", len(rs), err)
	}
	x, err := l.index(t.Context(), hub.Key{"n"})
	if err != nil || len(x.subjects) != n+1 {
		t.Fatalf("%d subjects, %v", len(x.subjects), err)
	}
	for i, s := range x.subjects[1:] {
		if s != recordSubject(hub.Key{"n", fmt.Sprintf("%06d", i)}) {
			t.Fatalf("number %d is %s", i, s)
		}
	}
}
