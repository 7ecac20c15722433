package hub

import (
	"context"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

// The times of a lease. Each node counts them on its own monotonic clock, and
// none trusts another's: a holder has ended its work two seconds before anybody
// may take over, whatever their clocks say, as long as they run about as fast.
const (
	// leaseRenew is how often the holder renews.
	leaseRenew = 2 * time.Second
	// leaseHold is how long after the beginning of its last renewal the holder
	// works on.
	leaseHold = 4 * time.Second
	// leaseTake is how long a candidate has to see the same record before it takes
	// the lease over.
	leaseTake = 6 * time.Second
	// leaseRetry is when what failed is tried again.
	leaseRetry = 250 * time.Millisecond
	// leaseGive bounds giving a lease back.
	leaseGive = 2 * time.Second
)

var (
	errLeaseLost  = earshot.Errorf(earshot.Unavailable, "the lease could not be renewed in time")
	errLeaseTaken = earshot.Errorf(earshot.Conflict, "another node took the lease")
)

// A soloist is an engine that knows whether other nodes can use its store.
type soloist interface {
	// Alone reports that no other node can.
	Alone() bool
}

// Lease runs work while this node holds the lease of a name: of all nodes, and
// all calls on one of them, at most one does. It waits until the lease is free,
// and competes for it again after it was lost. It returns nil when work has
// returned by itself, else, with the context's cause, when the context or the
// hub has ended; work has always returned then.
//
// The context of work ends when Lease's does, or four seconds after the last
// renewal that succeeded began. Work must return within two seconds of that:
// then another node may begin. A lease whose work has returned is given back at
// once, and another node takes it over within a second; one whose node died is
// taken over some seconds later. A process that was stopped and goes on may
// learn late that its time is over, by as long as its scheduler needs: what work
// writes to Records it writes by revision, so that a successor is not undone.
//
// Where no other node can use the store, a lease costs nothing.
func (h *Hub) Lease(ctx context.Context, name string, work func(ctx context.Context)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(h.ctx, func() { cancel(context.Cause(h.ctx)) })()
	release, err := h.leases.enter(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if s, ok := h.engine.(soloist); ok && s.Alone() {
		work(ctx)
		return context.Cause(ctx)
	}
	l := &lease{engine: h.engine, key: Key{"lease", name}, me: h.engine.Node(), news: make(chan struct{}, 1)}
	var watching sync.WaitGroup
	watched, stop := context.WithCancel(ctx)
	defer watching.Wait()
	defer stop()
	watching.Go(func() { l.watch(watched) })
	for {
		t, err := l.await(ctx)
		if err != nil {
			return err
		}
		if returned := l.hold(ctx, t, work); returned || ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// leases are the names that this node competes for: each once at a time.
type leases struct {
	mu    sync.Mutex
	names map[string]chan struct{} // holds one while somebody competes
	users map[string]int
}

// enter waits until nobody else of this node competes for the name.
func (s *leases) enter(ctx context.Context, name string) (release func(), err error) {
	s.mu.Lock()
	if s.names == nil {
		s.names, s.users = map[string]chan struct{}{}, map[string]int{}
	}
	turn := s.names[name]
	if turn == nil {
		turn = make(chan struct{}, 1)
		s.names[name] = turn
	}
	s.users[name]++
	s.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn; s.leave(name) }, nil
	case <-ctx.Done():
		s.leave(name)
		return nil, context.Cause(ctx)
	}
}

func (s *leases) leave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[name]--; s.users[name] == 0 {
		delete(s.users, name)
		delete(s.names, name)
	}
}

// A lease is one call of Lease under way.
type lease struct {
	engine Records
	key    Key
	me     string
	news   chan struct{} // something was seen

	mu    sync.Mutex
	known bool      // seen is how the record is
	told  bool      // the watch that runs has told it
	seen  Record    // Revision 0: there is none; without Data: there is none any more
	since time.Time // when it was first seen so
}

// A term is a time for which this node holds the lease.
type term struct {
	revision uint64    // of the last write that succeeded
	begin    time.Time // of that write
}

// left is how much longer the term lasts.
func (t *term) left() time.Duration { return leaseHold - time.Since(t.begin) }

// watch keeps l told of its record.
func (l *lease) watch(ctx context.Context) {
	for ctx.Err() == nil {
		l.mu.Lock()
		l.told = false
		l.mu.Unlock()
		_ = l.engine.Watch(ctx, l.key, l.changed, l.synced) // it is begun again
		rest(ctx, leaseRetry)
	}
}

func (l *lease) changed(records []Record) {
	for _, r := range records {
		if r.Key.Compare(l.key) == 0 {
			l.see(r)
		}
	}
}

// see takes a state of the record, unless a newer one was seen.
func (l *lease) see(r Record) {
	l.mu.Lock()
	l.told = true
	if !l.known || r.Revision > l.seen.Revision {
		l.known, l.seen, l.since = true, r, time.Now()
	}
	l.mu.Unlock()
	l.tell()
}

// synced learns that there is no record, if none was told.
func (l *lease) synced() {
	l.mu.Lock()
	if !l.told {
		l.known, l.seen, l.since = true, Record{}, time.Now()
	}
	l.mu.Unlock()
	l.tell()
}

func (l *lease) tell() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// chance says how long a candidate has to wait, and which revision it may
// replace then.
func (l *lease) chance() (wait time.Duration, revision uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.known:
		return leaseTake, 0 // what is known in the meantime wakes it
	case l.seen.Data == nil:
		return 0, 0
	case string(l.seen.Data) == l.me:
		// Our own, from a write whose answer was lost: nobody works under it.
		return 0, l.seen.Revision
	}
	return leaseTake - time.Since(l.since), l.seen.Revision
}

// await returns when this node holds the lease, or the context has ended.
func (l *lease) await(ctx context.Context) (*term, error) {
	for {
		wait, revision := l.chance()
		if wait <= 0 {
			t := &term{revision: revision}
			if err := l.renew(ctx, t); err == nil && t.left() > 0 {
				return t, nil
			}
			wait = leaseRetry
		}
		select {
		case <-l.news:
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// renew writes the record, if it still is as it was.
func (l *lease) renew(ctx context.Context, t *term) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, leaseHold)
	defer cancel()
	revision, err := l.engine.Put(ctx, l.key, []byte(l.me), t.revision, 0)
	if err != nil {
		return err
	}
	t.revision, t.begin = revision, begin
	l.see(Record{Key: l.key, Data: []byte(l.me), Revision: revision})
	return nil
}

// hold runs work while the lease is renewed, and gives it back. It reports
// whether work returned although the lease was held.
func (l *lease) hold(ctx context.Context, t *term, work func(context.Context)) (returned bool) {
	working, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	// The lease is kept until work has returned, also if that was told to.
	holding, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var keeping sync.WaitGroup
	keeping.Go(func() { l.keep(holding, t, lose) })
	work(working)
	returned = working.Err() == nil
	stop()
	keeping.Wait()
	l.give(context.WithoutCancel(ctx), t.revision)
	return returned
}

// keep renews the lease until the context ends or another node has it. Lose is
// called when the term is over.
func (l *lease) keep(ctx context.Context, t *term, lose context.CancelCauseFunc) {
	over := time.AfterFunc(t.left(), func() { lose(errLeaseLost) })
	defer over.Stop()
	for next := t.begin.Add(leaseRenew); !l.taken(t); {
		select {
		case <-ctx.Done():
			return
		case <-l.news:
			continue
		case <-time.After(time.Until(next)):
		}
		switch err := l.renew(ctx, t); {
		case err == nil:
			over.Reset(t.left())
			next = t.begin.Add(leaseRenew)
			continue
		case earshot.CodeOf(err) == earshot.Conflict:
			l.look(ctx)
		}
		next = time.Now().Add(leaseRetry)
	}
	lose(errLeaseTaken)
}

// look reads the record, as the watch may be behind.
func (l *lease) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaseHold)
	defer cancel()
	if r, err := l.engine.Get(ctx, l.key); err == nil {
		if r.Revision == 0 {
			l.gone()
			return
		}
		l.see(r)
	}
}

// gone learns that there is no record.
func (l *lease) gone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = Record{}
}

// taken reports whether the record is another node's, or nobody's. A newer one
// of our own is from a renewal whose answer was lost, and is renewed from then
// on.
func (l *lease) taken(t *term) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if string(l.seen.Data) == l.me {
		t.revision = max(t.revision, l.seen.Revision)
		return false
	}
	return l.known
}

// give gives the lease back; if that fails it is taken over some time later.
func (l *lease) give(ctx context.Context, revision uint64) {
	ctx, cancel := context.WithTimeout(ctx, leaseGive)
	defer cancel()
	for {
		err := l.engine.Delete(ctx, l.key, revision)
		if earshot.CodeOf(err) != earshot.Conflict {
			return
		}
		// It may have been renewed by a write whose answer was lost.
		r, err := l.engine.Get(ctx, l.key)
		if err != nil || r.Revision == 0 || r.Revision == revision || string(r.Data) != l.me {
			return
		}
		revision = r.Revision
	}
}

// rest waits for d, or until the context ends.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
