package schedule

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

const (
	// grace is how long a time may have passed when it is asked for.
	grace = time.Minute
	// claimHold is how long a claim counts that another node has made.
	claimHold = 5 * time.Second
	// yieldAfter is how long it holds up those of its line that are due later.
	yieldAfter = 500 * time.Millisecond
	// carryTime is how long carrying out may take. It ends before the claim does.
	carryTime = 4 * time.Second
	// endTime is how long deleting a record may take.
	endTime = 2 * time.Second
	// workers is how many lines are worked on at once, chunk how many timers of a
	// line, and claims how many of them are claimed or deleted at once.
	workers = 64
	chunk   = 64
	claims  = 16
)

// A Store keeps timers: an engine.
type Store interface {
	hub.Records
	// Node names this node.
	Node() string
}

// A Handler carries out a timer. It fails with a temporary code to be called
// again some time later, also by another node; other failures are logged, and
// the timer is dropped. It may be called more than once for one timer, but not
// concurrently unless a node is so slow that it passes for dead: what it does, it
// does under a key of the timer's, or so that twice is as good as once. The
// context ends within four seconds; then it has failed, and is called again. What
// the timer carries is its own.
type Handler func(ctx context.Context, t Timer) error

// handler begins to carry out, and calls done exactly once, from any goroutine,
// when it is known what became of it. Timers of one line are begun in their order.
type handler func(ctx context.Context, t Timer, done func(error))

// Timers are all timers, as this node has them. Its methods may be called
// concurrently.
type Timers struct {
	store Store
	me    string
	alone bool // no other node can be alive
	log   *slog.Logger
	now   func() time.Time // the clock on the wall
	seed  maphash.Seed
	kinds map[string]handler // not changed after Start
	ids   ids
	wake  chan struct{} // there is something to do, or to wait for
	stats stats

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	synced bool // all timers are known
	round  uint8
	all    map[name]*timer
	ended  int   // among all
	waits  queue // by the clock on the wall
	rests  queue // by the time since the start
	ready  []*line
	lines  map[uint64]*line
	busy   int       // workers
	calm   time.Time // nothing is begun before
	names  map[string]string
	// complained is when the store was last complained of.
	complained time.Time
}

// New makes the timers of a node. Nothing happens before Start.
func New(store Store, log *slog.Logger) *Timers {
	s := &Timers{
		store: store, me: store.Node(), log: log, now: time.Now, seed: maphash.MakeSeed(), kinds: map[string]handler{},
		wake: make(chan struct{}, 1), all: map[name]*timer{}, lines: map[uint64]*line{}, names: map[string]string{},
		waits: queue{before: earlier}, rests: queue{before: rested},
	}
	if e, ok := store.(interface{ Alone() bool }); ok {
		s.alone = e.Alone()
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Handle says how timers of a kind are carried out. It is called before Start,
// once for a kind. Timers of other kinds are left to nodes that know them.
func (s *Timers) Handle(kind string, f Handler) {
	s.kinds[kind] = func(ctx context.Context, t Timer, done func(error)) { done(f(ctx, t)) }
}

// Start begins to carry timers out, until Close.
func (s *Timers) Start() {
	s.running.Go(s.watch)
	s.running.Go(s.run)
}

// Close ends that, and waits for what is being carried out, some seconds at the
// most. What is not done then is done by another node, or after the next start.
func (s *Timers) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// Add schedules a timer: it gives it an id, and keeps it. It fails with Invalid,
// SCHEDULE_PAST, for a time that has passed more than a minute ago; one that
// passed since is due at once. It fails as Set does.
func (s *Timers) Add(ctx context.Context, t Timer) (id string, err error) {
	if t.At.Before(s.now().Add(-grace)) {
		return "", &earshot.Error{Code: earshot.Invalid, Reason: "SCHEDULE_PAST", Text: "the time of the schedule has passed"}
	}
	t.ID = s.ids.next(s.now())
	return t.ID, s.Set(ctx, t)
}

// Set keeps a timer under its id, instead of the one that has it, if there is
// one. When it has returned, the timer is as durable as an acknowledged message.
// It fails as hub.Records.Put does; with Unknown, it may have been kept.
//
// The one that is replaced may just be carried out; then both are.
func (s *Timers) Set(ctx context.Context, t Timer) error {
	if len(t.Data) > MaxData {
		return earshot.Errorf(earshot.TooLarge, "a timer with %d bytes", len(t.Data))
	}
	n := note{At: millis(t.At), Kind: t.Kind, Line: t.Line}
	data := n.encode(t.Data)
	revision, err := s.store.Put(ctx, t.key(), data, hub.AnyRevision, 0)
	if err != nil {
		return err
	}
	s.see(hub.Record{Key: t.key(), Data: data, Revision: revision})
	return nil
}

// Cancel removes a timer. It returns false if there is none, or it is just being
// carried out. It fails as hub.Records.Delete does; with Unknown, it may be gone.
// One that could not be carried out and is to be tried again can be cancelled;
// whether an attempt of which nothing was heard succeeded is not known.
func (s *Timers) Cancel(ctx context.Context, app, id string) (bool, error) {
	key := keyOf(app, id)
	for ctx.Err() == nil {
		r, err := s.store.Get(ctx, key)
		if err != nil || r.Revision == 0 {
			return false, err
		}
		s.see(r)
		if s.underway(name{app, id}) {
			return false, nil
		}
		err = s.store.Delete(ctx, key, r.Revision)
		if earshot.CodeOf(err) != earshot.Conflict || err == nil {
			if err == nil {
				s.end(name{app, id}, r.Revision)
			}
			return err == nil, err
		}
	}
	return false, &earshot.Error{Code: earshot.Unavailable, Text: "the schedule could not be cancelled in time", Err: context.Cause(ctx)}
}

// List returns the timers of an app that somebody scheduled, in the order in
// which they were, up to limit of them after an id; empty for the first. It may
// return fewer; more says whether there are others.
func (s *Timers) List(ctx context.Context, app, after string, limit int) (timers []Timer, more bool, err error) {
	var begin hub.Key
	if after != "" {
		begin = keyOf(app, after)
	}
	records, more, err := s.store.List(ctx, hub.Key{kindLevel, app}, begin, limit)
	if err != nil {
		return nil, false, err
	}
	for _, r := range records {
		id := r.Key[len(r.Key)-1]
		if !Scheduled(id) {
			return timers, false, nil // the server's own come last
		}
		n, data, err := decode(r.Data)
		if err != nil {
			return nil, false, err
		}
		timers = append(timers, n.timer(app, id, data))
	}
	return timers, more, nil
}

// ids gives ids that rise.
type ids struct {
	mu   sync.Mutex
	last ulid.ULID
}

func (i *ids) next(now time.Time) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	id := ulid.Make()
	_ = id.SetTime(ulid.Timestamp(now)) // the year 10889 is far
	if id.Time() <= i.last.Time() {
		// The clock has not moved on, or went back: the next one after the last.
		id = i.last
		for b := len(id) - 1; b >= 0; b-- {
			if id[b]++; id[b] != 0 {
				break
			}
		}
	}
	i.last = id
	return id.String()
}

// underway reports whether a timer is being carried out, here or elsewhere.
func (s *Timers) underway(n name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.all[n]
	return t != nil && (t.state == running || t.held)
}
