package hub_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
