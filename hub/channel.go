package hub

import (
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

// A channel is what this node knows of one channel: the order of its messages,
// its newest ones, and who hears it. It exists while somebody does, or while
// its ring may still help those who come back.
type channel struct {
	app  *app
	name string

	mu   sync.Mutex
	dead bool
	// hearing is closed when the bus hears the channel, or could not: one asks
	// for all who wait. Nil if nobody does.
	hearing chan struct{}
	order   order
	ring    *ring
	parts   []*part
	// reading are the reads of the log that others wait for; nil if there are none.
	reading map[earshot.Position]chan struct{}
	// matched are the patterns that match; nil while the app has had none.
	matched *matched
	release func() // of the bus's Hear
}

// matched are the patterns that match a channel, as of the app's pattern version.
type matched struct {
	version  uint64
	patterns []*pattern
}

// order is where a logged channel's sequence stands.
type order struct {
	epoch uint16
	// heard says that a message was delivered, so that last is one's sequence.
	heard bool
	// last is the newest sequence that was delivered, or before which nothing
	// is owed to anybody.
	last uint64
	// filling holds what arrived while a gap is being filled; nil if none is.
	filling *filling
}

// join adds a subscription; it hears what is published from now on. The
// channel is locked. It reports false if the subscription has ended meanwhile.
func (c *channel) join(sub *Sub) bool {
	sub.position = position(c.order.epoch, c.order.last)
	return c.part(sub.conn.shard).join(sub, c, c.app.hub.n.Load())
}

// part returns the channel's part in a shard. The channel is locked.
func (c *channel) part(s *Shard) *part {
	for _, p := range c.parts {
		if p.shard == s {
			return p
		}
	}
	p := &part{shard: s, sent: &c.app.used.out[s.index]}
	c.parts = append(c.parts, p)
	return p
}

// left drops parts without subscriptions, and ends the channel if it is of no
// more use.
func (c *channel) left() {
	if release := c.end(); release != nil {
		release()
	}
}

// end is left; it returns how to let go of the bus.
func (c *channel) end() (release func()) {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = prune(c.parts)
	c.age(time.Now())
	if c.dead || !c.idle() {
		return nil
	}
	c.dead = true
	if c.order.heard {
		c.app.floor = max(c.app.floor, c.order.last)
	}
	delete(c.app.channels, c.name)
	return c.release
}

// idle reports whether the channel is of no use. It is locked.
func (c *channel) idle() bool {
	return len(c.parts) == 0 && c.ring == nil && c.order.filling == nil && c.hearing == nil
}

// age drops what the ring would not hand out any more. The channel is locked.
func (c *channel) age(now time.Time) {
	if c.ring != nil && c.ring.age(now) {
		c.ring = nil
	}
}

// prune returns the parts that have subscriptions.
func prune(parts []*part) []*part {
	kept := parts[:0]
	for _, p := range parts {
		if p.count.Load() > 0 {
			kept = append(kept, p)
		}
	}
	clear(parts[len(kept):])
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// publish puts d to everybody who hears the channel. The channel is locked;
// the caller settles b afterwards.
func (c *channel) publish(d *delivery, b *batch) {
	if d.m.Notice != earshot.NoNotice && c.app.notices.outdated(d.m) {
		d.n = outdated
	} else {
		d.n = c.app.hub.n.Add(1)
		c.putAll(d, b)
	}
	if seq := d.seq(); seq != 0 {
		c.inRing().add(d)
		c.order.last, c.order.heard = seq, true
	}
}

func (c *channel) putAll(d *delivery, b *batch) {
	put(c.parts, d, b)
	for _, p := range c.matching() {
		p.mu.Lock()
		put(p.parts, d, b)
		p.mu.Unlock()
	}
}

// inRing returns the ring, made if need be: it begins where the order stands.
func (c *channel) inRing() *ring {
	if c.ring == nil {
		c.ring = &ring{after: c.order.last, total: &c.app.hub.ringBytes}
	}
	return c.ring
}

// forgetRing drops the ring. The channel is locked.
func (c *channel) forgetRing() {
	if c.ring != nil {
		c.ring.drop(len(c.ring.items))
		c.ring = nil
	}
}

func put(parts []*part, d *delivery, b *batch) {
	for _, p := range parts {
		n := int(p.count.Load())
		if n == 0 {
			continue
		}
		p.renderAll(d)
		p.shard.put(d, p)
		b.touch(p.shard, n)
	}
}

// matching returns the app's patterns that match the channel. The channel is locked.
func (c *channel) matching() []*pattern {
	v := c.app.patternVersion.Load()
	if v == 0 {
		return nil
	}
	if c.matched == nil || c.matched.version != v {
		c.matched = &matched{version: v, patterns: c.app.match(c.name)}
	}
	return c.matched.patterns
}
