package hub_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// A contest is nodes that compete for one lease.
type contest struct {
	*testing.T
	store   *mem.Store
	working atomic.Int32
	terms   atomic.Int32

	mu     sync.Mutex
	holder *contender
	since  time.Time
	ended  time.Time
}

// A contender is one call of Lease.
type contender struct {
	*rig
	c      *contest
	stop   context.CancelFunc
	result chan error
	// slow is how long work goes on after it was told to end.
	slow time.Duration
	// short is how long work lasts; 0 for until it is told to end.
	short time.Duration
}

func contestOf(t *testing.T, test func(*contest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(&contest{T: t, store: mem.NewStore(mem.Config{})}) })
}

// join adds a node that competes.
func (c *contest) join(front func(*mem.Engine) hub.Engine) *contender {
	e := c.store.Node()
	d := &contender{c: c, result: make(chan error, 1)}
	if front == nil {
		d.rig = newRigOn(c.T, c.store, e)
	} else {
		d.rig = rigOn(c.T, hub.Config{}, c.store, e, front(e))
	}
	d.compete()
	return d
}

func newRigOn(t *testing.T, store *mem.Store, e *mem.Engine) *rig {
	return rigOn(t, hub.Config{}, store, e, e)
}

func (d *contender) compete() {
	ctx, cancel := context.WithCancel(context.Background())
	d.stop = cancel
	go func() { d.result <- d.hub.Lease(ctx, "sweep", d.work) }()
	d.Cleanup(cancel)
}

// work fails the test if anybody else works.
func (d *contender) work(ctx context.Context) {
	c := d.c
	if n := c.working.Add(1); n != 1 {
		c.Errorf("%d work at once", n)
	}
	c.terms.Add(1)
	c.mu.Lock()
	c.holder, c.since = d, time.Now()
	c.mu.Unlock()
	if d.short > 0 {
		time.Sleep(d.short)
	} else {
		<-ctx.Done()
	}
	c.mu.Lock()
	c.holder, c.ended = nil, time.Now()
	c.mu.Unlock()
	time.Sleep(d.slow)
	c.working.Add(-1)
}

// now is who works.
func (c *contest) now() *contender {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holder
}

// TestLeaseHasOneHolder lets three nodes compete, and stops each holder in turn:
// another one works within a second.
func TestLeaseHasOneHolder(t *testing.T) {
	contestOf(t, func(c *contest) {
		all := []*contender{c.join(nil), c.join(nil), c.join(nil)}
		for range len(all) {
			time.Sleep(time.Minute)
			holder := c.now()
			if holder == nil {
				t.Fatal("nobody works")
			}
			if n := c.terms.Swap(0); n != 1 {
				t.Errorf("%d terms in a quiet minute", n)
			}
			holder.stop()
			if err := <-holder.result; err != context.Canceled {
				t.Errorf("it ended with %v", err)
			}
			time.Sleep(time.Second)
			if next := c.now(); next == holder {
				t.Error("who was stopped works")
			}
		}
		if c.now() != nil {
			t.Error("somebody works after all were stopped")
		}
	})
}

// TestLeaseOfADeadNode closes the holder's engine without a word.
func TestLeaseOfADeadNode(t *testing.T) {
	contestOf(t, func(c *contest) {
		c.join(nil)
		c.join(nil)
		time.Sleep(time.Second)
		first := c.now()
		for range 3 {
			time.Sleep(700 * time.Millisecond) // not in step with the renewals
			dies := time.Now()
			holder := c.now()
			holder.engine.Cut()
			time.Sleep(leaseHold + time.Millisecond)
			if c.now() == holder {
				t.Errorf("it works %v after its link was cut", time.Since(dies))
			}
			time.Sleep(leaseHold)
			next := c.now()
			if next == nil || next == holder {
				t.Fatal("nobody took over in eight seconds")
			}
			c.mu.Lock()
			if gap := c.since.Sub(c.ended); gap < leaseMargin {
				t.Errorf("the next began %v after the last", gap)
			}
			c.mu.Unlock()
			holder.engine.Restore()
			time.Sleep(time.Minute)
			if c.now() != next {
				t.Error("who came back took over")
			}
		}
		if c.now() == first {
			t.Error("three takeovers of two nodes end with the first")
		}
	})
}

// These are as lease.go says.
const (
	leaseHold   = 4 * time.Second
	leaseMargin = time.Second
)

// TestLeaseBriefCut is over before the holder has to end.
func TestLeaseBriefCut(t *testing.T) {
	contestOf(t, func(c *contest) {
		c.join(nil)
		c.join(nil)
		time.Sleep(time.Second)
		holder := c.now()
		for range 5 {
			holder.engine.Cut()
			time.Sleep(1500 * time.Millisecond)
			holder.engine.Restore()
			time.Sleep(3 * time.Second)
		}
		if c.now() != holder || c.terms.Load() != 1 {
			t.Errorf("%d terms", c.terms.Load())
		}
	})
}

// TestLeaseSlowWork lets work go on after it was told to end: nobody begins
// before it has returned, if the link lives.
func TestLeaseSlowWork(t *testing.T) {
	contestOf(t, func(c *contest) {
		all := []*contender{c.join(nil), c.join(nil)}
		time.Sleep(time.Second)
		holder := c.now()
		holder.slow = 20 * time.Second
		holder.stop()
		<-holder.result
		time.Sleep(time.Second)
		for _, d := range all {
			if d != holder && c.now() != d {
				t.Error("the other one does not work")
			}
		}
	})
}

// TestLeaseWorkReturns gives the lease back when work is done.
func TestLeaseWorkReturns(t *testing.T) {
	contestOf(t, func(c *contest) {
		all := []*contender{c.join(nil), c.join(nil), c.join(nil)}
		for _, d := range all {
			d.stop()
			<-d.result
		}
		c.terms.Store(0)
		for _, d := range all {
			d.short = 10 * time.Second
			d.compete()
		}
		time.Sleep(time.Minute)
		for _, d := range all {
			if err := <-d.result; err != nil {
				t.Error(err)
			}
		}
		if n := c.terms.Load(); n != 3 {
			t.Errorf("%d terms", n)
		}
	})
}

// A stopped engine is one whose process does not run: what it was doing goes on
// when it is continued.
type stopped struct {
	hub.Engine
	mu   sync.Mutex
	halt chan struct{} // nil while it runs
}

func (s *stopped) wait() {
	s.mu.Lock()
	halt := s.halt
	s.mu.Unlock()
	if halt != nil {
		<-halt
	}
}

func (s *stopped) set(halt chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt = halt
}

// Put is as late as the process is.
func (s *stopped) Put(_ context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	s.wait()
	return s.Engine.Put(context.Background(), key, data, revision, ttl)
}

// Watch tells nothing meanwhile.
func (s *stopped) Watch(ctx context.Context, prefix hub.Key, changed func([]hub.Record), synced func()) error {
	return s.Engine.Watch(ctx, prefix, func(rs []hub.Record) { s.wait(); changed(rs) }, synced)
}

// TestLeaseOfAPausedHolder stops the holder while it renews. Its write, which
// arrives when another node holds the lease, changes nothing.
func TestLeaseOfAPausedHolder(t *testing.T) {
	contestOf(t, func(c *contest) {
		s := &stopped{}
		paused := c.join(func(e *mem.Engine) hub.Engine { s.Engine = e; return s })
		time.Sleep(time.Second)
		other := c.join(nil)
		time.Sleep(time.Second)
		if c.now() != paused {
			t.Fatal("who came first does not work")
		}
		halt := make(chan struct{})
		s.set(halt)
		time.Sleep(20 * time.Second)
		if c.now() != other {
			t.Fatal("the other one did not take over")
		}
		s.set(nil)
		close(halt)
		time.Sleep(time.Minute)
		if c.now() != other || c.terms.Load() != 2 {
			t.Errorf("%d terms", c.terms.Load())
		}
	})
}

// TestLeaseLostAnswers lets every third write of the record have no answer, and
// some of them not be done.
func TestLeaseLostAnswers(t *testing.T) {
	contestOf(t, func(c *contest) {
		n := 2 // the very first one is stored, but nobody says so
		c.store.OnPut(func(int, hub.Key) (o mem.Outcome) {
			switch n++; n % 6 {
			case 0:
				o.Err = earshot.Errorf(earshot.Unavailable, "it was not done")
			case 3:
				o.Err = earshot.Errorf(earshot.Unknown, "nobody knows")
			}
			return o
		})
		for range 3 {
			c.join(nil)
		}
		time.Sleep(time.Second)
		if c.now() == nil {
			t.Error("nobody works although one holds the lease")
		}
		time.Sleep(5 * time.Minute)
		if c.now() == nil || c.terms.Load() != 1 {
			t.Errorf("%d terms", c.terms.Load())
		}
		holder := c.now()
		holder.stop()
		<-holder.result
		time.Sleep(10 * time.Second)
		if next := c.now(); next == nil || next == holder {
			t.Error("nobody took over")
		}
	})
}

// TestLeaseOnOneNode lets calls on one node take turns, and ends them with the
// hub.
func TestLeaseOnOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mem.New(mem.Config{})
		h := hub.New(hub.Config{}, e, slog.New(slog.DiscardHandler))
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var working, turns atomic.Int32
		results := make(chan error, 4)
		for range 3 {
			go func() {
				results <- h.Lease(context.Background(), "n", func(context.Context) {
					if working.Add(1) != 1 {
						t.Error("two at once")
					}
					time.Sleep(30 * time.Second)
					turns.Add(1)
					working.Add(-1)
				})
			}()
		}
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if turns.Load() != 3 {
			t.Errorf("%d turns", turns.Load())
		}
		go func() { results <- h.Lease(context.Background(), "n", func(ctx context.Context) { <-ctx.Done() }) }()
		time.Sleep(time.Second)
		h.Close()
		if err := <-results; err == nil {
			t.Error("it ended with the hub, without an error")
		}
		_ = e.Close(context.Background())
	})
}

// A hermit is an engine that no other node can share.
type hermit struct {
	hub.Engine
	writes atomic.Int32
}

// Alone says so.
func (*hermit) Alone() bool { return true }

// Put counts.
func (h *hermit) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	h.writes.Add(1)
	return h.Engine.Put(ctx, key, data, revision, ttl)
}

// TestLeaseAlone costs nothing where nobody else can be.
func TestLeaseAlone(t *testing.T) {
	contestOf(t, func(c *contest) {
		alone := &hermit{}
		d := c.join(func(e *mem.Engine) hub.Engine { alone.Engine = e; return alone })
		time.Sleep(time.Minute)
		if c.now() != d {
			t.Error("it does not work")
		}
		d.engine.Cut()
		time.Sleep(time.Minute)
		if c.now() != d || alone.writes.Load() != 0 {
			t.Errorf("%d writes", alone.writes.Load())
		}
		d.stop()
		if err := <-d.result; err != context.Canceled {
			t.Error(err)
		}
	})
}
