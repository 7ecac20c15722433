package webhook

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Config sets bounds. The zero Config has defaults.
type Config struct {
	// Timeout is how long one request may take; 10 s by default.
	Timeout time.Duration
	// GiveUp is how old an event gets before it becomes a dead letter; a day by
	// default.
	GiveUp time.Duration
	// DeadKeep is how long a dead letter is kept; 30 days by default.
	DeadKeep time.Duration
	// Hold is how long an event waits for one of the same channel that was
	// published before it, and recorded later; 100 ms by default, which is right
	// for one node. Poll is how often the outbox is looked into for what other
	// nodes recorded; 5 s by default, which is right where there are none.
	Hold, Poll time.Duration
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.GiveUp = cmp.Or(c.GiveUp, 24*time.Hour)
	c.DeadKeep = cmp.Or(c.DeadKeep, 30*24*time.Hour)
	c.Hold = cmp.Or(c.Hold, 100*time.Millisecond)
	c.Poll = cmp.Or(c.Poll, 5*time.Second)
	return c
}

// A Store is where events are kept: an engine.
type Store interface {
	hub.Outbox
	hub.Records
	// Node names this node.
	Node() string
}

// A Lease runs work while this node holds a lease; see hub.Hub.Lease.
type Lease func(ctx context.Context, name string, work func(ctx context.Context)) error

// Events are the events of all apps on their way out. It implements
// hub.Recorder. Its methods may be called concurrently.
type Events struct {
	config Config
	store  Store
	log    *slog.Logger
	apps   []*earshot.App
	wants  map[string]map[hub.EventType]bool // by app
	queue  queue
	news   news
	stats  counters
	hooks  []*dispatcher
	full   chan struct{} // the outbox was found full

	ctx     context.Context // ends when Close begins
	cancel  context.CancelFunc
	running sync.WaitGroup
}

var _ hub.Recorder = (*Events)(nil)

// New makes the events of apps. It fails if a webhook cannot be used: its
// address or a secret is wrong. Nothing runs before Start.
func New(c Config, apps []*earshot.App, store Store, log *slog.Logger) (*Events, error) {
	s := &Events{config: c.withDefaults(), store: store, log: log, apps: apps, wants: map[string]map[hub.EventType]bool{}, full: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.queue.init()
	s.news.init()
	for _, a := range apps {
		s.wants[a.Slug] = wanted(a)
		for i := range a.Webhooks {
			d, err := newDispatcher(s, a, &a.Webhooks[i])
			if err != nil {
				return nil, fmt.Errorf("app %s: %w", a.Slug, err)
			}
			s.hooks = append(s.hooks, d)
		}
	}
	return s, nil
}

// Types are all types of events.
func Types() []hub.EventType {
	return []hub.EventType{
		hub.Connected, hub.Disconnected, hub.ConnectionUpdated, hub.Subscribed, hub.Unsubscribed, hub.ChannelUpdated, hub.MessagePublished,
		hub.MemberAdded, hub.MemberUpdated, hub.MemberRemoved, hub.EntryChanged, hub.ReactionAdded, hub.ReactionRemoved,
	}
}

// wanted are the types that anybody of the app is to be told of.
func wanted(a *earshot.App) map[hub.EventType]bool {
	all := map[hub.EventType]bool{}
	for _, t := range Types() {
		for i := range a.Webhooks {
			all[t] = all[t] || tells(&a.Webhooks[i], t)
		}
		if all[t] = all[t] || a.RecordEvents; !all[t] {
			delete(all, t)
		}
	}
	return all
}

// tells reports whether a webhook is told of events of a type.
func tells(w *earshot.Webhook, t hub.EventType) bool {
	for i := range w.Events {
		if w.Events[i].Match(string(t)) {
			return true
		}
	}
	return len(w.Events) == 0
}

// Wants reports whether anybody is told of the app's events of a type; see
// hub.Recorder.
func (s *Events) Wants(a *earshot.App, t hub.EventType) bool { return s.wants[a.Slug][t] }

// Any reports whether any app wants events at all.
func (s *Events) Any() bool {
	for _, types := range s.wants {
		if len(types) > 0 {
			return true
		}
	}
	return false
}

// Start begins to record and to tell. A webhook that was never told of anything
// is told of what is recorded from now on. The caller serves nobody before Start
// has returned.
func (s *Events) Start(ctx context.Context, lease Lease) error {
	if !s.Any() {
		return nil
	}
	for _, d := range s.hooks {
		if err := d.begin(ctx); err != nil {
			return fmt.Errorf("webhook %s: %w", d.hook.ID, err)
		}
	}
	s.running.Go(s.write)
	s.running.Go(func() { s.alone(lease, "events", s.watchSpace) })
	for _, d := range s.hooks {
		s.running.Go(func() { s.alone(lease, "webhook/"+d.app.Slug+"/"+d.hook.ID, d.work) })
	}
	return nil
}

// alone does work on this node alone, again and again until Close.
func (s *Events) alone(lease Lease, name string, work func(context.Context)) {
	for s.ctx.Err() == nil {
		if err := lease(s.ctx, name, work); err != nil && s.ctx.Err() == nil {
			s.log.Warn("a lease could not be had", "name", name, "err", err)
		}
		pause(s.ctx, time.Second)
	}
}

// Close records what still waits, ends all requests and waits for both, until
// the context ends.
func (s *Events) Close(ctx context.Context) error {
	s.queue.end(ctx)
	s.cancel()
	s.running.Wait()
	for _, d := range s.hooks {
		d.post.close()
	}
	return nil
}

// pause waits for d, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// news wake those who wait for events.
type news struct {
	mu   sync.Mutex
	some chan struct{} // closed when there are any
}

func (n *news) init() { n.some = make(chan struct{}) }

// next is closed when something is recorded after the call.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.some
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.some)
	n.some = make(chan struct{})
}

// Stats are counts since the start, and how things are now.
type Stats struct {
	// Recorded counts events that are in the outbox, Refused those that could
	// not be recorded, whose publish failed, and Lost those that nobody waited
	// for, and could not be recorded either.
	Recorded, Refused, Lost uint64
	// Delivered counts events that a receiver took, Failed tries that failed, Dead
	// the events that became dead letters.
	Delivered, Failed, Dead uint64
	// Waiting is how many lines of events wait for a receiver on this node, and
	// Oldest since when the oldest one does; zero for none.
	Waiting int
	Oldest  time.Duration
	// Bytes are what the outbox holds of Limit, as last looked at by the node
	// that looks.
	Bytes, Limit uint64
}

type counters struct {
	recorded, refused, lost, delivered, failed, dead atomic.Uint64
	bytes, limit                                     atomic.Uint64
}

// Stats returns the counts.
func (s *Events) Stats() Stats {
	c := &s.stats
	all := Stats{
		Recorded: c.recorded.Load(), Refused: c.refused.Load(), Lost: c.lost.Load(), Delivered: c.delivered.Load(),
		Failed: c.failed.Load(), Dead: c.dead.Load(), Bytes: c.bytes.Load(), Limit: c.limit.Load(),
	}
	for _, d := range s.hooks {
		all.Waiting += int(d.waiting.Load())
		if at := d.oldest.Load(); at != 0 {
			all.Oldest = max(all.Oldest, time.Since(time.Unix(0, at)))
		}
	}
	return all
}
