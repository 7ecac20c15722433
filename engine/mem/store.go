package mem

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Config sets a store's bounds. The zero Config has defaults.
type Config struct {
	// Cap is how many messages a channel keeps at the most; 10,000 by default.
	Cap int
	// ResumeWindow is how long a message that history does not show is kept for
	// those who resume; 5 minutes by default.
	ResumeWindow time.Duration
	// AuditEvery is how often a node reads what it missed; 10 s by default.
	AuditEvery time.Duration
	// EventsBytes bounds the outbox, and EventsKeep how long it keeps an entry; 0
	// is without end.
	EventsBytes int
	EventsKeep  time.Duration
}

// minTTL is the shortest time that a message is kept.
const minTTL = time.Second

// keyWindow is how long an idempotency key is remembered.
const keyWindow = 5 * time.Minute

// A Store is one stream, and the network between the nodes that use it. Its
// methods may be called concurrently.
type Store struct {
	config Config

	mu    sync.Mutex
	epoch uint16
	seq   uint64
	ms    int64 // newest timestamp given, which never falls
	logs  map[name]*log
	keys  map[usedKey]used
	spent map[spentToken]time.Time
	nodes []*Engine

	records records
	box     box
	made    int // nodes that ever were

	onAppend    func(node int, m *earshot.Message) Outcome
	onRepublish func(node int, m *earshot.Message) Fate
	lag         uint64
	slowRead    time.Duration
	slowHear    time.Duration
}

type name struct{ app, channel string }

type usedKey struct {
	name
	key string
}

type used struct {
	id earshot.ID
	at time.Time
}

type spentToken struct{ app, jti string }

// A log is the stored messages of one channel, in order.
type log struct {
	entries []entry
	// removed is the newest sequence that was removed other than by expiry.
	removed uint64
}

type entry struct {
	m       *earshot.Message
	expires time.Time // zero for never
}

func (e *entry) seq() uint64 { return e.m.ID.Position().Seq }

// NewStore makes an empty store without nodes.
func NewStore(c Config) *Store {
	if c.Cap == 0 {
		c.Cap = 10_000
	}
	if c.ResumeWindow == 0 {
		c.ResumeWindow = 5 * time.Minute
	}
	if c.AuditEvery == 0 {
		c.AuditEvery = 10 * time.Second
	}
	return &Store{
		config: c, epoch: 1, logs: map[name]*log{}, keys: map[usedKey]used{}, spent: map[spentToken]time.Time{},
	}
}

// Node adds a node to the store.
func (s *Store) Node() *Engine {
	e := &Engine{store: s, heard: map[name]int{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.index = len(s.nodes)
	s.made++
	e.name = "node-" + strconv.Itoa(s.made)
	e.audited = s.seq
	s.nodes = append(s.nodes, e)
	return e
}

// expire drops what has ended; the store is locked.
func (l *log) expire(now time.Time) {
	l.entries = slices.DeleteFunc(l.entries, func(e entry) bool {
		return !e.expires.IsZero() && !now.Before(e.expires)
	})
}

// trim keeps the newest n entries.
func (l *log) trim(n int) {
	if over := len(l.entries) - n; over > 0 {
		l.removed = l.entries[over-1].seq()
		l.entries = slices.Delete(l.entries, 0, over)
	}
}

// append stores a copy of m. A key that was used gives the first one's id; the
// store is locked.
func (s *Store) append(m *earshot.Message, o hub.AppendOptions) hub.Appended {
	now := time.Now()
	n := name{m.App, m.Channel}
	if first, ok := s.keys[usedKey{n, o.Key}]; o.Key != "" && ok && now.Sub(first.at) < keyWindow {
		return hub.Appended{ID: first.id, Duplicate: true}
	}
	l := s.logs[n]
	if l == nil {
		l = &log{}
		s.logs[n] = l
	}
	l.expire(now)
	prev := uint64(0)
	if len(l.entries) > 0 {
		prev = l.entries[len(l.entries)-1].seq()
	}
	stored := s.number(m, now)
	l.entries = append(l.entries, entry{stored, s.ends(m.Store, now)})
	depth := s.config.Cap
	if o.Rule != nil && o.Rule.Depth > 0 {
		depth = min(depth, o.Rule.Depth)
	}
	l.trim(depth)
	if o.Key != "" {
		s.keys[usedKey{n, o.Key}] = used{stored.ID, now}
	}
	for _, node := range s.nodes {
		node.republish(hub.Delivery{Message: stored, Prev: prev})
	}
	return hub.Appended{ID: stored.ID}
}

// number gives a copy of m the next sequence.
func (s *Store) number(m *earshot.Message, now time.Time) *earshot.Message {
	stored := *m
	stored.Data = slices.Clone(m.Data)
	stored.Headers = maps.Clone(m.Headers)
	s.seq++
	s.ms = max(s.ms, now.UnixMilli())
	stored.Time = time.UnixMilli(s.ms)
	stored.ID = earshot.NewID(stored.Time, earshot.Position{Epoch: s.epoch, Seq: s.seq})
	return &stored
}

// ends is when a message of this retention expires.
func (s *Store) ends(store time.Duration, now time.Time) time.Time {
	switch {
	case store == earshot.Forever:
		return time.Time{}
	case store <= 0:
		return now.Add(s.config.ResumeWindow)
	}
	return now.Add(max(store, minTTL))
}

// missed returns what is stored from one sequence to another, both included,
// in order; the store is locked.
func (s *Store) missed(from, to uint64) []*earshot.Message {
	var all []*earshot.Message
	for _, l := range s.logs {
		l.expire(time.Now())
		for i := range l.entries {
			if seq := l.entries[i].seq(); seq >= from && seq <= to {
				all = append(all, l.entries[i].m)
			}
		}
	}
	slices.SortFunc(all, func(a, b *earshot.Message) int { return compare(a.ID, b.ID) })
	return all
}

func compare(a, b earshot.ID) int { return slices.Compare(a[8:], b[8:]) }
