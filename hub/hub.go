package hub

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
)

// Config sets the hub's bounds. The zero Config has defaults.
type Config struct {
	// Shards is how many shards connections are dealt to; by default
	// GOMAXPROCS, from 2 to 64.
	Shards int
	// QueueBytes is how much may wait for a client that does not read before it
	// is cut; 1 MiB by default.
	QueueBytes int
	// MaxSubscriptions is how many subscriptions one connection may have;
	// 10,000 by default.
	MaxSubscriptions int
	// ResumeWindow is how far a resume reaches back for a client whose grants say
	// nothing of history; 5 minutes by default. It is as long as the engine keeps
	// what history does not show.
	ResumeWindow time.Duration
}

// A Hub joins connections and channels on one node. Its methods may be called
// concurrently.
type Hub struct {
	config Config
	engine Engine
	log    *slog.Logger
	// recorder keeps events; nil for none.
	recorder Recorder
	counts   counts
	// findApp finds an application by its slug; nil where nobody has said how.
	findApp func(slug string) *earshot.App
	shards  []*Shard
	next    atomic.Uint32
	opened  atomic.Uint32 // connections, for their serials
	made    time.Time

	appsMu sync.RWMutex
	apps   map[string]*app

	n         atomic.Uint64 // deliveries
	seen      atomic.Uint64 // newest sequence that the bus delivered
	seenEpoch atomic.Uint32
	ringBytes atomic.Int64
	ids       liveIDs
	keys      keyCache
	announced announcements
	reads     chan struct{} // held by those who read the log
	leases    leases
	nodes     nodes
	roster    roster
	asks      asks
	elsewhere elsewhere
	draining  atomic.Bool
	stats     counters

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	closeMu sync.RWMutex // taken before running grows
	closed  bool
}

// New makes a hub on an engine. Nothing runs before Start.
func New(config Config, engine Engine, log *slog.Logger) *Hub {
	if config.Shards == 0 {
		config.Shards = max(runtime.GOMAXPROCS(0), 2)
	}
	if config.ResumeWindow == 0 {
		config.ResumeWindow = 5 * time.Minute
	}
	config.Shards = min(config.Shards, maxShards)
	if config.QueueBytes == 0 {
		config.QueueBytes = 1 << 20
	}
	if config.MaxSubscriptions == 0 {
		config.MaxSubscriptions = 10_000
	}
	h := &Hub{config: config, engine: engine, log: log, reads: make(chan struct{}, maxReads), apps: map[string]*app{}, made: time.Now()}
	h.roster.hub = h
	h.asks.served = make(chan struct{}, maxServed)
	h.asks.waiting = make(chan struct{}, maxWaiting)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	for i := range config.Shards {
		h.shards = append(h.shards, newShard(h, i))
	}
	return h
}

// Start begins deliveries. Who started the hub closes it.
func (h *Hub) Start(ctx context.Context) error {
	for _, s := range h.shards {
		h.running.Go(func() { s.run(h.ctx.Done()) })
		h.running.Go(func() { s.keepTime(h.ctx.Done()) })
	}
	h.running.Go(h.sweep)
	h.nodes.start(h)
	at, err := h.engine.Start(ctx, h)
	if err != nil {
		return err
	}
	if !h.nodes.alone {
		h.running.Go(h.nodes.keep)
	}
	h.sawEpoch(at.Epoch)
	if at.Epoch == h.epoch() {
		raise(&h.seen, at.Seq)
	}
	return nil
}

// Close ends the hub's goroutines and waits for them, and tells the other nodes
// that this one has stopped. Connections that are still open are not closed:
// Drain does that.
func (h *Hub) Close() {
	h.closeMu.Lock()
	h.closed = true
	h.closeMu.Unlock()
	h.cancel()
	h.running.Wait()
	h.nodes.bye()
}

// spawn runs f on a goroutine that Close waits for; it reports false, and runs
// nothing, once the hub is closed.
func (h *Hub) spawn(f func()) bool {
	h.closeMu.RLock()
	defer h.closeMu.RUnlock()
	if h.closed {
		return false
	}
	h.running.Go(f)
	return true
}

// panicked notes that foreign code did. One client must not end the others.
func (h *Hub) panicked(doing string, p any) {
	h.stats.panics.Add(1)
	h.log.Error("panic", "doing", doing, "panic", p, "stack", string(debug.Stack()))
}

// Shards returns the shards, for the transports that drive them.
func (h *Hub) Shards() []*Shard { return h.shards }

// NextShard deals out the shards in turn.
func (h *Hub) NextShard() *Shard {
	return h.shards[int(h.next.Add(1)-1)%len(h.shards)]
}

// sweepEvery is how often unused state is forgotten.
const sweepEvery = 10 * time.Second

func (h *Hub) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case now := <-ticker.C:
			for _, a := range h.allApps() {
				a.sweep(now)
			}
			h.keys.sweep(now)
			for _, s := range h.shards {
				s.forgetSpent(h.clock())
			}
		}
	}
}

// app returns the app's channel space, made if need be.
func (h *Hub) app(slug string) *app {
	h.appsMu.RLock()
	a := h.apps[slug]
	h.appsMu.RUnlock()
	if a != nil {
		return a
	}
	h.appsMu.Lock()
	defer h.appsMu.Unlock()
	if a := h.apps[slug]; a != nil {
		return a
	}
	a = newApp(h, slug)
	h.apps[slug] = a
	return a
}

func (h *Hub) allApps() []*app {
	h.appsMu.RLock()
	defer h.appsMu.RUnlock()
	all := make([]*app, 0, len(h.apps))
	for _, a := range h.apps {
		all = append(all, a)
	}
	return all
}

// epoch is the stream's, as far as the bus has told.
func (h *Hub) epoch() uint16 { return uint16(h.seenEpoch.Load()) }

// Conn returns the connection of an id, nil if this node has none.
func (h *Hub) Conn(id earshot.ConnID) *Conn {
	for _, s := range h.shards {
		s.mu.Lock()
		c := s.conns[id]
		s.mu.Unlock()
		if c != nil {
			return c
		}
	}
	return nil
}

// conns returns all connections of this node.
func (h *Hub) conns() []*Conn {
	var all []*Conn
	for _, s := range h.shards {
		s.mu.Lock()
		for _, c := range s.conns {
			all = append(all, c)
		}
		s.mu.Unlock()
	}
	return all
}
