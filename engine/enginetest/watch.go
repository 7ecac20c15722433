package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func watchPromises() []promise {
	return []promise{
		{name: "a watch tells what is, and then what changes", test: watchTells},
		{name: "a watch is told in order", needs: []string{TwoNodes}, test: watchOrder},
		{name: "a watch sees what was written before", needs: []string{TwoNodes}, test: watchAfterWrite},
		{name: "a watch goes on after a cut", needs: []string{TwoNodes, Cut}, test: watchCut},
		{name: "a watch goes on after a step", needs: []string{TwoNodes, StepDown}, test: watchStepDown},
		{name: "a watch ends with its context and its engine", test: watchEnds},
	}
}

func watchTells(s *suite) {
	for i := range 700 {
		s.putRecord(0, hub.Key{"w", strconv.Itoa(i)}, strconv.Itoa(i), 0, 0)
	}
	s.putRecord(0, hub.Key{"v", "1"}, "other", 0, 0)
	s.putRecord(0, hub.Key{"w"}, "itself", 0, 0)
	if err := s.Nodes[0].Delete(s.ctx, hub.Key{"w", "7"}, hub.AnyRevision); err != nil {
		s.Fatal(err)
	}
	w := s.watch(0, hub.Key{"w"})
	empty := s.watch(0, hub.Key{"e"})
	w.mu.Lock()
	if w.before != 700 || w.now[`["w" "7"]`] != "" {
		s.Errorf("%d were told before the sync", w.before)
	}
	w.mu.Unlock()
	n := s.Nodes[0]
	s.putRecord(0, hub.Key{"w", "1"}, "new", hub.AnyRevision, 0)
	s.putRecord(0, hub.Key{"w", "x", "y"}, "more", hub.AnyRevision, 0)
	s.putRecord(0, hub.Key{"v", "1"}, "new", hub.AnyRevision, 0)
	if err := errors.Join(n.Delete(s.ctx, hub.Key{"w", "2"}, hub.AnyRevision), n.Delete(s.ctx, hub.Key{"w", "none"}, hub.AnyRevision)); err != nil {
		s.Fatal(err)
	}
	s.putRecord(0, hub.Key{"e", "1"}, "1", 0, 0)
	for key, want := range map[string]string{"1": "new", "2": "gone", "3": "3"} {
		s.until("a change is told", func() bool { return w.last(hub.Key{"w", key}) == want })
	}
	s.until("a new record is told", func() bool { return w.last(hub.Key{"w", "x", "y"}) == "more" })
	s.until("the other watch is told", func() bool { return empty.last(hub.Key{"e", "1"}) == "1" })
	if w.last(hub.Key{"w"}) != "itself" || w.last(hub.Key{"w", "none"}) != "" {
		s.Error("the prefix itself, or what never was")
	}
	for _, w := range []*watcher{w, empty} {
		w.mu.Lock()
		if w.syncs != 1 {
			s.Errorf("in sync %d times", w.syncs)
		}
		w.mu.Unlock()
	}
}

// watchOrder lets two nodes write the same records: each watch is told of each
// in the order of the revisions, and of the last.
func watchOrder(s *suite) {
	ws := []*watcher{s.watch(0, hub.Key{"o"}), s.watch(1, hub.Key{"o"})}
	const writes = 200
	for i := range writes {
		s.putRecord(i%2, hub.Key{"o", strconv.Itoa(i % 3)}, strconv.Itoa(i), hub.AnyRevision, 0)
	}
	for _, w := range ws {
		for i := range 3 {
			last := strconv.Itoa(writes - 1 - (writes-1-i)%3)
			s.until("the last write is told", func() bool { return w.last(hub.Key{"o", strconv.Itoa(i)}) == last })
		}
		w.mu.Lock()
		newest := map[string]uint64{}
		for _, r := range w.told {
			if r.Revision <= newest[r.Key.String()] {
				s.Errorf("%s: revision %d after %d", r.Key, r.Revision, newest[r.Key.String()])
			}
			newest[r.Key.String()] = r.Revision
		}
		w.mu.Unlock()
	}
}

// watchAfterWrite begins a watch right after a write on the other node.
func watchAfterWrite(s *suite) {
	for i := range 20 {
		k := hub.Key{"a", strconv.Itoa(i)}
		s.putRecord(i%2, k, "1", 0, 0)
		w := s.watch((i+1)%2, k)
		w.mu.Lock()
		if w.before != 1 {
			s.Errorf("%d were told before the sync", w.before)
		}
		w.mu.Unlock()
		w.cancel()
		<-w.done
	}
}

// watchCut changes records while the link of the one who watches is cut.
func watchCut(s *suite) {
	key := func(name string) hub.Key { return hub.Key{"c", name} }
	for _, name := range []string{"same", "changed", "removed", "ended"} {
		ttl := time.Duration(0)
		if name == "ended" {
			ttl = 2 * time.Second
		}
		s.putRecord(0, key(name), "before", 0, ttl)
	}
	w := s.watch(1, hub.Key{"c"})
	s.Cut(1)
	s.putRecord(0, key("changed"), "meanwhile", hub.AnyRevision, 0)
	s.putRecord(0, key("new"), "meanwhile", 0, 0)
	if err := s.Nodes[0].Delete(s.ctx, key("removed"), hub.AnyRevision); err != nil {
		s.Fatal(err)
	}
	s.until("a record ends", func() bool { return s.getRecord(0, key("ended")).Revision == 0 })
	s.Restore(1)
	for name, want := range map[string]string{"same": "before", "changed": "meanwhile", "new": "meanwhile", "removed": "gone", "ended": "gone"} {
		s.until(name+" is told after the cut", func() bool { return w.last(key(name)) == want })
	}
	s.putRecord(0, key("after"), "after", 0, 0)
	s.until("the watch goes on", func() bool { return w.last(key("after")) == "after" })
	w.mu.Lock()
	if w.syncs != 1 {
		s.Errorf("in sync %d times", w.syncs)
	}
	w.mu.Unlock()
}

func watchStepDown(s *suite) {
	w := s.watch(1, hub.Key{"s"})
	for i := range 3 {
		s.StepDown()
		for j := range 10 {
			k := hub.Key{"s", strconv.Itoa(i), strconv.Itoa(j)}
			s.stubborn("a record is written", func() error {
				_, err := s.Nodes[0].Put(s.ctx, k, []byte("1"), hub.AnyRevision, 0)
				return err
			})
			s.until("it is told", func() bool { return w.last(k) == "1" })
		}
	}
}

func watchEnds(s *suite) {
	w := s.watch(0, nil)
	other := s.watch(0, hub.Key{"x"})
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(s.ctx)
	result := make(chan error, 1)
	synced := make(chan struct{})
	go func() { result <- s.Nodes[0].Watch(ctx, nil, func([]hub.Record) {}, func() { close(synced) }) }()
	<-synced
	cancel(cause)
	if err := <-result; !errors.Is(err, cause) {
		s.Errorf("it ended with %v", err)
	}
	w.cancel()
	if err := <-w.done; !errors.Is(err, context.Canceled) {
		s.Errorf("it ended with %v", err)
	}
	if err := s.Nodes[0].Close(s.ctx); err != nil {
		s.Errorf("close: %v", err)
	}
	if err := <-other.done; err == nil {
		s.Error("a watch of a closed engine ended without an error")
	}
	err := s.Nodes[0].Watch(s.ctx, nil, func([]hub.Record) {}, func() {})
	if code := earshot.CodeOf(err); err == nil || !code.Temporary() {
		s.Errorf("a watch on a closed engine: %v", err)
	}
}

// A watcher remembers what a watch tells.
type watcher struct {
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex
	now    map[string]string // by key: data, or gone
	told   []hub.Record
	syncs  int
	before int // how many were told before the sync
	inside bool
}

// watch watches until the test ends, and returns when it is in sync.
func (s *suite) watch(node int, prefix hub.Key) *watcher {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{cancel: cancel, done: make(chan error, 1), now: map[string]string{}}
	synced := make(chan struct{}, 100)
	go func() {
		w.done <- s.Nodes[node].Watch(ctx, prefix, func(rs []hub.Record) { w.changed(s, prefix, rs) }, func() {
			w.mu.Lock()
			w.syncs, w.before = w.syncs+1, len(w.told)
			w.mu.Unlock()
			synced <- struct{}{}
		})
	}()
	s.Cleanup(cancel)
	select {
	case <-synced:
	case err := <-w.done:
		s.Fatalf("watch: %v", err)
	case <-s.ctx.Done():
		s.Fatal("the watch is never in sync")
	}
	return w
}

func (w *watcher) changed(s *suite, prefix hub.Key, rs []hub.Record) {
	w.mu.Lock()
	if w.inside {
		s.Error("calls overlap")
	}
	w.inside = true
	for _, r := range rs {
		if !r.Key.In(prefix) {
			s.Errorf("told of %q", r.Key)
		}
		text := string(r.Data)
		if r.Data == nil {
			text = "gone"
			if before, ok := w.now[fmt.Sprintf("%q", []string(r.Key))]; !ok || before == "gone" {
				s.Errorf("%q is told to be gone, and was %q", r.Key, before)
			}
		}
		w.now[fmt.Sprintf("%q", []string(r.Key))] = text
		w.told = append(w.told, r)
	}
	w.mu.Unlock()
	w.mu.Lock()
	w.inside = false
	w.mu.Unlock()
}

// last is what was last told of a key; empty if nothing was.
func (w *watcher) last(k hub.Key) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now[fmt.Sprintf("%q", []string(k))]
}
