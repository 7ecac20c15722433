package hub

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
)

// A Sub is one subscription of a connection. Its methods may be called
// concurrently with deliveries, but Start only once.
type Sub struct {
	name   string
	conn   *Conn
	target target
	part   *part
	enc    *Encoding
	tag    any
	// self is who it acts as where that is not just its connection; nil else.
	self atomic.Pointer[self]

	from     uint64 // drops deliveries up to it
	position earshot.Position
	since    int64  // Unix milliseconds
	held     *held  // live messages that wait for Start; nil once it is live
	expiry   *Timer // ends it with its own proof; nil if that is not asked for
	seen     *seen  // what the client was sent of entries at the beginning; nil for nothing
	index    uint32
	how      joined
	gone     bool
	told     bool // its beginning was recorded as an event
	hidden   bool // its channel does not count it
}

// joined says how a subscription was asked for. It does not change.
type joined uint8

const (
	// byAdapter is allowed by the adapter's own means.
	byAdapter joined = 1 << iota
	// asMember makes the user present, and with apart this connection of it.
	asMember
	apart
)

// A self is who a subscription acts as. It is shared and never changed.
type self struct {
	as  *earshot.Identity // what a proof of its own added; nil for none
	who *earshot.Sender   // how others see it; nil as as says, or the connection
}

// as is what a proof of its own added to the subscription, nil for none.
func (s *Sub) as() *earshot.Identity {
	if self := s.self.Load(); self != nil {
		return self.as
	}
	return nil
}

// A target is what a subscription is of: a channel or a pattern.
type target interface {
	// left tells that a part has no subscriptions any more.
	left()
}

// Name is the channel's name, or the key of the pattern.
func (s *Sub) Name() string { return s.name }

// Tag is what the adapter gave the subscription.
func (s *Sub) Tag() any { return s.tag }

// Since is when the subscription began.
func (s *Sub) Since() time.Time { return time.UnixMilli(s.since) }

// Identity is who the subscription acts as: the connection's identity, and
// what a proof of its own added, with the metadata that the subscription began
// with or was given since.
func (s *Sub) Identity() *earshot.Identity {
	id := s.conn.Identity() // before self, which is pinned before the other changes
	self := s.self.Load()
	if self == nil {
		return id
	}
	if self.as != nil {
		id = id.With(self.as)
	}
	if who := self.who; who != nil {
		seen := *id
		seen.UID, seen.HasUID, seen.Meta = who.UID, who.HasUID, who.Meta
		id = &seen
	}
	return id
}

// proof is Identity as far as it says what the subscription may.
func (s *Sub) proof() *earshot.Identity {
	if as := s.as(); as != nil {
		return s.conn.Identity().With(as)
	}
	return s.conn.Identity()
}

// Position is where the subscription joined its channel's log, or resumed from:
// what has a higher sequence will be heard.
func (s *Sub) Position() earshot.Position {
	s.conn.shard.mu.Lock()
	defer s.conn.shard.mu.Unlock()
	return s.position
}

// has reports whether the client has been told what is at p, by the history
// that it joined with or before: the bus may be behind the log. The shard is
// locked.
func (s *Sub) has(p earshot.Position) bool {
	return p.Seq != 0 && p.Seq <= s.position.Seq && p.Epoch == s.position.Epoch
}

// minds reports whether the subscription hears a notice: its protocol has words
// for it, its client may observe the entry that it is about, and has not been
// told of it or something newer. The shard is locked.
func (s *Sub) minds(m *earshot.Message) bool {
	if !s.enc.Notices {
		return false
	}
	if m.Notice == earshot.EntryChanged && !s.proof().OnEntry(m.Channel, m.Key).Allow.Has(earshot.Observe) {
		return false
	}
	return s.fresh(m)
}

// frame is what is sent to this subscription for the rendered f.
func (s *Sub) frame(f *Frame, m *earshot.Message) *Frame {
	if s.enc.Head == nil {
		return f
	}
	return f.WithHead(s.enc.Head(s.tag, m))
}

// held are the live messages that wait until the history before them is sent.
type held struct {
	ds    []*delivery
	bytes int
	over  bool // the bound was reached and ds dropped: read again from history
	// noticed is what notices of members count for, which no history has; lost
	// says that they were too many.
	noticed int
	lost    bool
	// members are who was present at the join.
	members []Member
	// catchUp is the history still to be sent; nil if none was asked for.
	catchUp *catchUp
}

// catchUp is the state of a join from a position.
type catchUp struct {
	page  []*delivery
	more  bool
	after earshot.Position
	since time.Time // nothing older is sent
}

func (h *held) add(d *delivery, bound int) {
	if d.ofMember() {
		h.addNotice(d, bound)
		return
	}
	if h.over {
		return
	}
	if h.bytes += d.size(); h.bytes > bound {
		h.over = true
		h.keepNotices()
		return
	}
	h.ds = append(h.ds, d)
}

const (
	// heldTries is how often a join may begin again from history after more was
	// held back than a client's queue may hold.
	heldTries = 3
	// pageMessages and pageBytes bound one read of a join.
	pageMessages = 256
	pageBytes    = 256 << 10
)

// Start sends what was missed, then what was held, and lets the subscription
// live. It is called once, after the client has been told that it is
// subscribed. It waits for the client to take a long history, so it is called
// from Conn.Do unless no history was asked for. If it fails, the connection has
// been closed with the error: it would have missed something.
func (s *Sub) Start(ctx context.Context) error {
	err := s.start(ctx)
	if err != nil {
		s.conn.Close(err)
	}
	return err
}

func (s *Sub) start(ctx context.Context) error {
	for tries := 0; ; {
		if err := s.sendHistory(ctx); err != nil {
			return err
		}
		done := s.goLive()
		if done {
			return nil
		}
		if tries++; tries > heldTries {
			return errOverheld
		}
		if err := s.readAgain(ctx); err != nil {
			return err
		}
	}
}

var errOverheld = earshot.Errorf(earshot.Slow, "more was published during the join than could be held")

// sendHistory sends page after page until the history is told.
func (s *Sub) sendHistory(ctx context.Context) error {
	for {
		more, err := s.sendPage()
		if err != nil || !more {
			return err
		}
		if err := s.conn.Drained(ctx); err != nil {
			return err
		}
		if err := s.readAgain(ctx); err != nil {
			return err
		}
	}
}

// sendPage sends the page that was read, and reports whether there are more.
func (s *Sub) sendPage() (more bool, err error) {
	c := s.conn
	c.shard.Lock()
	defer c.shard.Unlock()
	switch {
	case s.gone || s.held == nil || s.held.catchUp == nil:
		return false, nil
	case c.closing.Load():
		return false, errClosing
	}
	cu := s.held.catchUp
	for _, d := range cu.page {
		s.send(d)
	}
	cu.page = nil
	c.shard.flush()
	return cu.more, nil
}

// send queues a message that did not come with a fan-out. The shard is locked.
func (s *Sub) send(d *delivery) {
	if d.m.Skip == s.conn.id {
		return
	}
	if d.m.Notice != earshot.NoNotice && (d.n == outdated || !s.minds(d.m) || !s.tells(d.m)) {
		return
	}
	f := d.frame(s.conn.hub, s.enc)
	if f == nil {
		s.conn.shard.stats.Unrenderable++
		return
	}
	own := s.frame(f, d.m)
	s.conn.push(own)
	s.conn.shard.stats.Delivered++
	if s.part != nil {
		s.part.sent.messages++
		s.part.sent.bytes += uint64(own.Len())
	}
}

// readAgain reads the next page of history.
func (s *Sub) readAgain(ctx context.Context) error {
	c, ok := s.target.(*channel)
	if !ok || s.conn.App().Rule(s.name).Live {
		return errOverheld // there is no log to read it from
	}
	s.conn.shard.Lock()
	h := s.held
	if h == nil || s.gone {
		s.conn.shard.Unlock()
		return nil
	}
	after, since := s.position, time.Time{}
	if h.catchUp != nil {
		after, since = h.catchUp.after, h.catchUp.since
	}
	if h.lost {
		s.conn.shard.Unlock()
		return errOverheld
	}
	h.keepNotices()
	h.bytes, h.over = 0, false
	s.conn.shard.Unlock()
	cu, exact, err := c.missed(ctx, after, since)
	if err != nil {
		return err
	}
	if !exact && !after.IsZero() {
		return &earshot.Error{Code: earshot.Unavailable, Text: "messages were removed while the history was sent; resume"}
	}
	s.conn.shard.Lock()
	h.catchUp = cu
	s.conn.shard.Unlock()
	return nil
}

// goLive sends what was held and ends the holding; it reports false if some of
// it was dropped and must be read from history first.
func (s *Sub) goLive() bool {
	sh := s.conn.shard
	sh.Lock()
	defer sh.Unlock()
	h := s.held
	if h == nil || s.gone {
		return true
	}
	if h.over || h.lost {
		return false
	}
	if h.catchUp != nil {
		s.position = h.catchUp.after
	}
	for _, d := range h.ds {
		if !s.has(d.m.ID.Position()) {
			s.send(d)
		}
	}
	s.held = nil
	s.settleSeen()
	sh.flush()
	return true
}
