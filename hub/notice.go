package hub

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

// headerRevision is the header of a notice that holds its revision.
const headerRevision = "revision"

// Announce publishes a notice of a change that is in a record already: p's
// Message has a Notice and no event, its Key says which thing of the channel it
// is about. It is the only way for a notice into a channel's log: a publisher
// cannot make one.
//
// The revision is the record's when it changed. It makes the announcement
// idempotent, and puts those about one Key in order: who has heard of one
// revision hears of no older one any more. Announce returns when the notice is
// published and its event, if p emits one, recorded. If it fails, either may have
// happened; the same announcement can be repeated for 5 minutes and is told once.
func (h *Hub) Announce(ctx context.Context, a *earshot.App, p Publication, revision uint64) error {
	if h.announced.has(revision, time.Now()) {
		return nil
	}
	if p.Message.Notice == earshot.NoNotice || !p.Message.Notice.Valid() {
		return earshot.Errorf(earshot.Internal, "a notice of kind %d", p.Message.Notice)
	}
	number := strconv.FormatUint(revision, 10)
	m := *p.Message // who repeats it finds its own unchanged
	m.Event, m.Store = "", 0
	m.Headers = map[string]string{headerRevision: number}
	p.Message, p.Key = &m, "notice:"+number
	if _, err := outcome(ctx, func(done func(Appended, error)) { h.publish(ctx, a, p, false, done) }); err != nil {
		return err
	}
	h.announced.add(revision, time.Now())
	return nil
}

// revisionOf is the revision that a notice tells of, 0 if it says none.
func revisionOf(m *earshot.Message) uint64 {
	r, err := strconv.ParseUint(m.Headers[headerRevision], 10, 64)
	if err != nil {
		return 0
	}
	return r
}

// A thing is what notices of a channel may be about.
type thing struct {
	entry bool
	key   string
}

func thingOf(m *earshot.Message) thing {
	return thing{m.Notice == earshot.EntryChanged, m.Key}
}

// lateness is how long after the notice of a revision one of an older revision
// may still come: longer than anybody waits between a record and its notice.
const lateness = time.Minute

// newest knows the newest revision of things, as long as an older one may come.
type newest map[thing]revised

type revised struct {
	revision uint64
	at       time.Time
}

// rises makes a note of a revision, and reports whether it is the newest.
func (n newest) rises(t thing, revision uint64, at time.Time) bool {
	if revision <= n[t].revision {
		return false
	}
	n[t] = revised{revision, at}
	return true
}

// age forgets what no older notice will come of.
func (n newest) age(now time.Time) {
	for t, r := range n {
		if now.Sub(r.at) > lateness {
			delete(n, t)
		}
	}
}

// notices know what notices of an app's channels told last: few channels have
// any. The zero notices are ready.
type notices struct {
	mu       sync.Mutex
	channels map[string]newest
}

// outdated reports whether a notice is of an older revision than one before it,
// or of the same, so that nobody may hear it any more.
func (n *notices) outdated(m *earshot.Message) bool {
	revision := revisionOf(m)
	if revision == 0 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.channels == nil {
		n.channels = map[string]newest{}
	}
	of := n.channels[m.Channel]
	if of == nil {
		of = newest{}
		n.channels[m.Channel] = of
	}
	return !of.rises(thingOf(m), revision, time.Now())
}

// age forgets what no older notice will come of.
func (n *notices) age(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for channel, of := range n.channels {
		if of.age(now); len(of) == 0 {
			delete(n.channels, channel)
		}
	}
}

// seen is what a client was sent of things before its subscription was live.
type seen struct {
	newest
	forget Timer
}

// Saw says that the client has been sent an entry as a record of this revision
// and time has it: no change up to it will be sent. It is called between
// Conn.Subscribe and Start, for entries that were read after Subscribe returned;
// then the client misses no change, and sees no older value after a newer one.
func (s *Sub) Saw(key string, revision uint64, at time.Time) {
	sh := s.conn.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.sawn().rises(thing{true, key}, revision, at)
}

func (s *Sub) sawn() newest {
	if s.seen == nil {
		s.seen = &seen{newest: newest{}}
	}
	return s.seen.newest
}

// fresh reports whether a notice is newer than what the client was sent of the
// same thing. The shard is locked.
func (s *Sub) fresh(m *earshot.Message) bool {
	if s.seen == nil {
		return true
	}
	revision := revisionOf(m)
	return revision == 0 || revision > s.seen.newest[thingOf(m)].revision
}

// tells is fresh for what does not come with a fan-out, and makes a note of it.
func (s *Sub) tells(m *earshot.Message) bool {
	revision := revisionOf(m)
	return revision == 0 || s.sawn().rises(thingOf(m), revision, m.Time)
}

// settleSeen keeps what the client saw for as long as an older notice may come.
// The shard is locked.
func (s *Sub) settleSeen() {
	if s.seen == nil {
		return
	}
	s.seen.age(time.Now())
	if len(s.seen.newest) == 0 {
		s.seen = nil
		return
	}
	sh := s.conn.shard
	sh.InitTimer(&s.seen.forget, func() {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		s.seen = nil
	})
	s.seen.forget.reset(lateness)
}

// announcements are the revisions that this node has announced, so that a
// repeated one costs nothing. The zero announcements are ready.
type announcements struct {
	mu    sync.Mutex
	done  map[uint64]time.Time
	order []uint64
}

// maxAnnounced bounds what is remembered; what is forgotten early is announced
// again, and dropped by its idempotency key.
const maxAnnounced = 10_000

func (n *announcements) has(revision uint64, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.done[revision]
	return ok && now.Sub(at) < keyWindow
}

func (n *announcements) add(revision uint64, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.done == nil {
		n.done = map[uint64]time.Time{}
	}
	for len(n.order) > 0 && (len(n.order) >= maxAnnounced || now.Sub(n.done[n.order[0]]) >= keyWindow) {
		delete(n.done, n.order[0])
		n.order = n.order[1:]
	}
	if _, ok := n.done[revision]; !ok {
		n.order = append(n.order, revision)
	}
	n.done[revision] = now
}
