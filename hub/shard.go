package hub

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
)

const (
	// inlineFan is the largest pending fan-out that a publisher's goroutine
	// writes itself, if the shard is free.
	inlineFan = 256
	// pace is the least time between two big drains of a shard: while there is
	// more to do than that, messages gather and go out in fewer writes.
	pace = 5 * time.Millisecond
	// flushAbove is how much may gather for a connection within one drain
	// before it is flushed.
	flushAbove = 64 << 10
)

// A Shard is a share of the connections under one lock. Transports lock it to
// read and change the output state of its connections.
type Shard struct {
	hub   *Hub
	index int

	mu    sync.Mutex
	dirty []*Conn // have pushed frames that are not flushed
	cut   []*Conn // over their bound, to be closed once the lock is free
	conns map[earshot.ConnID]*Conn
	churn map[*Conn]time.Time     // when those who caused many notices of members have caused enough; see Conn.calm
	spent map[*Conn]time.Duration // when those who published may have saved up everything again; see Conn.Spend
	wheel wheel
	stats Stats

	inboxMu sync.Mutex
	inbox   []pending
	spare   []pending

	wake chan struct{}
}

// pending is one message for one part of a shard's subscriptions.
type pending struct {
	d    *delivery
	part *part
}

func newShard(h *Hub, i int) *Shard {
	s := &Shard{hub: h, index: i, conns: map[earshot.ConnID]*Conn{}, wake: make(chan struct{}, 1)}
	s.wheel.init()
	return s
}

// Index is the shard's number, from 0.
func (s *Shard) Index() int { return s.index }

// Lock locks the shard. Its holder must not block.
func (s *Shard) Lock() { s.mu.Lock() }

// Unlock unlocks the shard and closes the connections that were found over
// their bound meanwhile.
func (s *Shard) Unlock() {
	cut := s.cut
	s.cut = nil
	s.mu.Unlock()
	for _, c := range cut {
		c.Close(&earshot.Error{Code: earshot.Slow, Text: "the client did not read what was sent to it"})
	}
}

// put adds to the inbox; the caller settles afterwards.
func (s *Shard) put(d *delivery, p *part) {
	s.inboxMu.Lock()
	s.inbox = append(s.inbox, pending{d, p})
	s.inboxMu.Unlock()
}

func (s *Shard) empty() bool {
	s.inboxMu.Lock()
	defer s.inboxMu.Unlock()
	return len(s.inbox) == 0
}

// drain moves the inbox to the connections and flushes each once. The shard is
// locked. It reports how many frames it pushed.
func (s *Shard) drain() int {
	s.inboxMu.Lock()
	in := s.inbox
	s.inbox = s.spare[:0]
	s.inboxMu.Unlock()
	pushed := 0
	for _, p := range in {
		pushed += s.fanOut(p.d, p.part)
	}
	s.flush()
	clear(in)
	if cap(in) > 4096 {
		in = nil // a burst's inbox is not kept
	}
	s.spare = in
	s.stats.Delivered += uint64(pushed)
	return pushed
}

func (s *Shard) fanOut(d *delivery, p *part) int {
	pushed, bytes := 0, 0
	skip, notice := !d.m.Skip.IsZero(), d.m.Notice != earshot.NoNotice
	at := d.m.ID.Position()
	var enc *Encoding
	var f *Frame
	for _, sub := range p.subs {
		if d.n <= sub.from || sub.has(at) || skip && sub.conn.id == d.m.Skip || notice && !sub.minds(d.m) {
			continue
		}
		if sub.enc != enc {
			enc, f = sub.enc, d.frame(s.hub, sub.enc)
		}
		switch {
		case f == nil:
			s.stats.Unrenderable++
		case sub.held != nil:
			sub.held.add(d, s.hub.config.QueueBytes)
		default:
			own := sub.frame(f, d.m)
			sub.conn.push(own)
			bytes += own.Len()
			pushed++
		}
	}
	p.sent.messages += uint64(pushed)
	p.sent.bytes += uint64(bytes)
	return pushed
}

// flush writes what the dirty connections have queued.
func (s *Shard) flush() {
	for i, c := range s.dirty {
		c.dirty = false
		c.wire.Flush()
		s.dirty[i] = nil
	}
	s.dirty = s.dirty[:0]
}

// signal asks the shard's own goroutine to drain.
func (s *Shard) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// signalAll asks every shard to drain: for who holds what was published back
// from settling, and has to wait.
func (h *Hub) signalAll() {
	for _, s := range h.shards {
		s.signal()
	}
}

// run is the shard's own goroutine: it drains when signalled, at once if the
// last drain was small or long ago, else after the pace.
func (s *Shard) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-s.wake:
		}
		start := time.Now()
		s.Lock()
		pushed := s.drain()
		s.Unlock()
		if pushed <= inlineFan {
			continue
		}
		rest := pace - time.Since(start)
		if rest <= 0 {
			continue
		}
		timer.Reset(rest)
		select {
		case <-stop:
			return
		case <-timer.C:
		}
	}
}

// A batch remembers which shards publishes have touched, so that they are
// settled once. The zero batch is ready. It is not for concurrent use.
type batch struct {
	touched uint64
	fan     [maxShards]uint32
}

// maxShards is how many shards a batch can name.
const maxShards = 64

func (b *batch) touch(s *Shard, subs int) {
	b.touched |= 1 << s.index
	b.fan[s.index] += uint32(subs)
}

// settle sees that what was put is written: small fan-outs here, large ones by
// the shards. No lock is held by the caller.
func (b *batch) settle(h *Hub) {
	for i := 0; b.touched != 0; i++ {
		if b.touched&(1<<i) == 0 {
			continue
		}
		b.touched &^= 1 << i
		fan := b.fan[i]
		b.fan[i] = 0
		s := h.shards[i]
		if fan <= inlineFan && s.tryDrain() {
			continue
		}
		s.signal()
	}
}

// tryDrain drains if the shard is free, and reports whether nothing is left.
func (s *Shard) tryDrain() bool {
	if !s.mu.TryLock() {
		return false
	}
	s.drain()
	s.Unlock()
	return s.empty()
}

// A part is the subscriptions of one channel or pattern in one shard. The
// shard's lock guards subs. Encodings are guarded by the owner's lock.
type part struct {
	shard *Shard
	sent  *sent // of the app; the shard's lock guards it
	subs  []*Sub
	count atomic.Int32 // len(subs), to be read without the lock
	// hidden is how many of them their channel does not count.
	hidden atomic.Int32
	enc    *Encoding    // the first encoding in use
	more   *[]*Encoding // further ones; nil for none, as nearly always
}

// uses records an encoding; owner and shard are locked. Now and then it forgets
// those that nobody uses any more.
func (p *part) uses(e *Encoding) {
	if p.enc == nil {
		p.enc = e
	}
	if p.enc == e {
		return
	}
	if p.more == nil {
		p.more = &[]*Encoding{e}
		return
	}
	more := *p.more
	if slices.Contains(more, e) {
		return
	}
	if len(more) == cap(more) {
		more = slices.DeleteFunc(more, func(old *Encoding) bool {
			return !slices.ContainsFunc(p.subs, func(s *Sub) bool { return s.enc == old })
		})
	}
	*p.more = append(more, e)
}

// join adds a subscription to the part of its owner, which is locked; it drops
// deliveries up to from. It reports false if the subscription has ended
// meanwhile.
func (p *part) join(sub *Sub, owner target, from uint64) bool {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if sub.gone {
		return false
	}
	p.uses(sub.enc)
	sub.target, sub.part, sub.from = owner, p, from
	sub.index = uint32(len(p.subs))
	p.subs = append(p.subs, sub)
	p.count.Store(int32(len(p.subs)))
	sub.hidden = sub.uncounted()
	if sub.hidden {
		p.hidden.Add(1)
	}
	return true
}

// remove takes a subscription out; the shard is locked.
func (p *part) remove(sub *Sub) {
	last := len(p.subs) - 1
	p.subs[sub.index] = p.subs[last]
	p.subs[sub.index].index = sub.index
	p.subs[last] = nil
	p.subs = p.subs[:last]
	p.count.Store(int32(last))
	if sub.hidden {
		p.hidden.Add(-1)
	}
}

// recount counts the subscription, or not, as its grants now say. The shard is
// locked.
func (s *Sub) recount() {
	if s.part == nil || s.gone {
		return
	}
	switch hidden := s.uncounted(); {
	case hidden && !s.hidden:
		s.part.hidden.Add(1)
	case !hidden && s.hidden:
		s.part.hidden.Add(-1)
	default:
		return
	}
	s.hidden = !s.hidden
}

// uncounted reports whether the grants leave the subscription out of its
// channel's number.
func (s *Sub) uncounted() bool {
	id := s.proof()
	return id != nil && id.On(s.name, "").Allow.Has(earshot.Uncounted)
}

// renderAll renders d for every encoding in use; the owner is locked.
func (p *part) renderAll(d *delivery) {
	if p.enc != nil {
		d.frame(p.shard.hub, p.enc)
	}
	if p.more == nil {
		return
	}
	for _, e := range *p.more {
		d.frame(p.shard.hub, e)
	}
}
