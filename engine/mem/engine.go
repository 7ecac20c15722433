package mem

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// An Engine is one node on a Store. It implements hub.Engine, and remembers
// what may be used once.
type Engine struct {
	store *Store
	index int    // among those that live
	name  string // among all that ever lived
	sink  hub.Sink
	wake  chan struct{} // something waits in the outbox
	stop  chan struct{} // closed by Close

	running sync.WaitGroup // deliveries, and outcomes that are delayed

	// The store's lock guards what follows.

	heard  map[name]int
	outbox []arrival
	told   [][]byte
	again  []hub.Delivery // to come a second time, with what comes next
	// audited is the sequence up to which this node has missed nothing; got are
	// those after it that arrived.
	audited uint64
	got     map[uint64]bool
	cut     bool
	started bool
	closed  bool
}

// arrival is a delivery on its way, not to come before its time.
type arrival struct {
	hub.Delivery
	at time.Time
}

var _ hub.Engine = (*Engine)(nil)

var errLink = earshot.Errorf(earshot.Unavailable, "the link to the log is cut")

// New returns the only node of a new store.
func New(c Config) *Engine { return NewStore(c).Node() }

// Store is the store that the node uses.
func (e *Engine) Store() *Store { return e.store }

// Append stores m; see hub.Log. Done is called before Append returns, unless
// OnAppend delays it.
func (e *Engine) Append(m *earshot.Message, o hub.AppendOptions, done func(hub.Appended, error)) {
	result, delay, err := e.append(m, o)
	if !o.WantID {
		result.ID = earshot.ID{}
	}
	if delay <= 0 {
		done(result, err)
		return
	}
	e.running.Go(func() {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-e.stop:
		}
		done(result, err)
	})
}

func (e *Engine) append(m *earshot.Message, o hub.AppendOptions) (hub.Appended, time.Duration, error) {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cut || e.closed {
		return hub.Appended{}, 0, errLink
	}
	var out Outcome
	if s.onAppend != nil {
		out = s.onAppend(e.index, m)
	}
	if out.Err != nil && earshot.CodeOf(out.Err) != earshot.Unknown {
		return hub.Appended{}, out.Delay, out.Err
	}
	result := s.append(m, o)
	if out.Err != nil {
		result = hub.Appended{}
	}
	return result, out.Delay, out.Err
}

// Start begins deliveries to s; see hub.Bus.
func (e *Engine) Start(_ context.Context, s hub.Sink) (earshot.Position, error) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if e.closed || e.started {
		return earshot.Position{}, earshot.Errorf(earshot.Internal, "the engine was started before")
	}
	e.started, e.sink = true, s
	e.audited = e.store.seq
	e.running.Go(e.deliver)
	return earshot.Position{Epoch: e.store.epoch, Seq: e.store.seq}, nil
}

// Hear makes messages of the channel reach this node; see hub.Bus.
func (e *Engine) Hear(ctx context.Context, app, channel string) (from uint64, release func(), err error) {
	e.store.mu.Lock()
	slow := e.store.slowHear
	e.store.mu.Unlock()
	if err := pause(ctx, slow); err != nil {
		return 0, nil, err
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if e.cut || e.closed {
		return 0, nil, errLink
	}
	n := name{app, channel}
	e.heard[n]++
	return e.store.seq, sync.OnceFunc(func() {
		e.store.mu.Lock()
		defer e.store.mu.Unlock()
		if e.heard[n]--; e.heard[n] == 0 {
			delete(e.heard, n)
		}
	}), nil
}

func (e *Engine) hears(m *earshot.Message) bool {
	return e.heard[name{m.App, m.Channel}] > 0 || e.heard[name{m.App, ""}] > 0
}

// Spread hands a live message to the other nodes; see hub.Bus.
func (e *Engine) Spread(m *earshot.Message) error {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if e.cut || e.closed {
		return errLink
	}
	for _, other := range e.store.nodes {
		if other != e && !other.cut && other.hears(m) {
			other.queue(hub.Delivery{Message: m}, 0)
		}
	}
	return nil
}

// Node names this node; see hub.Bus.
func (e *Engine) Node() string { return e.name }

// Tell hands a control message to another node, or to all others; see hub.Bus.
func (e *Engine) Tell(to string, data []byte) error {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if e.cut || e.closed {
		return errLink
	}
	for _, other := range e.store.nodes {
		if other != e && !other.cut && !other.closed && (to == "" || to == other.Node()) {
			other.told = append(other.told, slices.Clone(data))
			other.signal()
		}
	}
	return nil
}

// Spend reports whether jti is spent for the first time.
func (e *Engine) Spend(_ context.Context, app, jti string, until time.Time) (first bool, err error) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if e.cut || e.closed {
		return false, errLink
	}
	k := spentToken{app, jti}
	if before, ok := e.store.spent[k]; ok && time.Now().Before(before) {
		return false, nil
	}
	e.store.spent[k] = until
	return true, nil
}

// Close ends deliveries and the node; see hub.Bus. Outcomes that are delayed
// come at once.
func (e *Engine) Close(context.Context) error {
	e.store.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.stop)
		e.store.nodes = slices.DeleteFunc(e.store.nodes, func(o *Engine) bool { return o == e })
	}
	e.store.mu.Unlock()
	e.running.Wait()
	return nil
}
