package bench

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A fleet is the subscribers of a run. Its methods are called by one goroutine.
type fleet struct {
	to       *endpoint
	clock    clock
	names    []string // of the channels; subscriber i hears channel i % len(names)
	sources  int      // loopback addresses to connect from
	desk     *desk    // where deliveries are reported for outstanding publishes
	loops    []*loop
	received atomic.Uint64 // messages that came for the first time
	measured atomic.Bool   // latency is recorded
	crashing atomic.Bool   // connections that end are no fault

	mu   sync.Mutex
	err  error // why connections ended that should not have
	wait sync.WaitGroup
}

// A fleetPlan says what a fleet is made of.
type fleetPlan struct {
	subscribers, publishers, readers, sources int
	names                                     []string
	positions                                 bool // remember the last message's id, to resume after it
}

// newFleet makes the fleet; nothing is connected yet.
func newFleet(to *endpoint, c clock, p fleetPlan, d *desk) (*fleet, error) {
	f := &fleet{to: to, clock: c, names: p.names, sources: max(p.sources, 1), desk: d}
	p.readers = max(p.readers, 1)
	for i := range p.readers {
		n := (p.subscribers + p.readers - 1 - i) / p.readers
		l, err := newLoop(f, i, n, p)
		if err != nil {
			f.close()
			return nil, err
		}
		f.loops = append(f.loops, l)
		f.wait.Go(l.run)
	}
	return f, nil
}

// open connects and subscribes the first n subscribers, at most parallel of
// them at a time, and returns when all have been confirmed.
func (f *fleet) open(ctx context.Context, n, parallel int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, openWithin, fmt.Errorf("not all are connected after %v", openWithin))
	defer cancel()
	k := len(f.loops)
	done := make(chan struct{}, k)
	for i, l := range f.loops {
		l.post(func() { l.open((n+k-1-i)/k, max(parallel/k, 1), done) })
	}
	for range k {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d connections were opened: %w", f.live(), n, context.Cause(ctx))
		}
		if err := f.failure(); err != nil {
			return fmt.Errorf("opening connections: %w", err)
		}
	}
	return nil
}

// live is how many subscribers are confirmed.
func (f *fleet) live() (n int) {
	f.each(func(l *loop) { n += l.up })
	return n
}

// crash does what kills the server, and makes every connection ready to be
// opened again; the tallies stay.
func (f *fleet) crash(kill func()) {
	f.crashing.Store(true)
	kill()
	f.each((*loop).reset)
	f.crashing.Store(false)
}

// measure begins to record latencies.
func (f *fleet) measure() { f.measured.Store(true) }

// latency ends recording and returns what was recorded.
func (f *fleet) latency() *histogram {
	f.measured.Store(false)
	sum := new(histogram)
	f.each(func(l *loop) { sum.merge(&l.late) })
	return sum
}

// faults counts what went wrong, given what each publisher sent to each channel.
func (f *fleet) faults(sent [][]uint32) (sum Faults) {
	f.each(func(l *loop) { sum.add(l.faults(sent)) })
	return sum
}

// each runs do on every loop, one after the other, and waits.
func (f *fleet) each(do func(*loop)) {
	for _, l := range f.loops {
		done := make(chan struct{})
		l.post(func() { do(l); close(done) })
		<-done
	}
}

// fail keeps the first reason.
func (f *fleet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// failure is the first reason why a connection ended that should not have.
func (f *fleet) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// close closes all connections and ends the loops.
func (f *fleet) close() {
	for _, l := range f.loops {
		l.post(l.stop)
	}
	f.wait.Wait()
}

// source is the loopback address that subscriber i connects from, none if the
// server is elsewhere.
func (f *fleet) source(i int) (a netip.Addr, ok bool) {
	if !f.to.addr.Addr().IsLoopback() || f.sources == 1 {
		return a, false
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i%f.sources)}), true
}

// openWithin is how long connecting everybody may take.
const openWithin = 2 * time.Minute

// retryEvery is how long a refused or failed connection waits, if the server
// does not say; maxTries is after how many attempts the run fails.
const (
	retryEvery = 200 * time.Millisecond
	maxTries   = 100
)
