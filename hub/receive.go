package hub

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// Deliver takes what the bus delivers; see Sink.
func (h *Hub) Deliver(ds []Delivery) {
	var b batch
	for _, d := range ds {
		p := d.Message.ID.Position()
		if !p.IsZero() {
			h.sawEpoch(p.Epoch)
		}
		if c := h.app(d.Message.App).lookup(d.Message.Channel); c != nil {
			c.mu.Lock()
			c.arrive(d, &b)
			c.mu.Unlock()
		}
		if !p.IsZero() {
			raise(&h.seen, p.Seq)
		}
	}
	b.settle(h)
}

// sawEpoch starts the sequences anew when the stream's life is another one.
func (h *Hub) sawEpoch(epoch uint16) {
	if old := h.seenEpoch.Swap(uint32(epoch)); old != uint32(epoch) && old != 0 {
		h.seen.Store(0)
	}
}

// arrive puts a message where it belongs: to the subscriptions, or behind the
// gap that is being filled. The channel is locked.
func (c *channel) arrive(d Delivery, b *batch) {
	p := d.Message.ID.Position()
	if p.IsZero() {
		c.publish(&delivery{m: d.Message}, b)
		return
	}
	o := &c.order
	if p.Epoch != o.epoch {
		*o = order{epoch: p.Epoch, last: d.Prev}
		c.ring = nil
	}
	switch {
	case o.filling != nil:
		o.filling.waiting = append(o.filling.waiting, d)
	case p.Seq <= o.last:
		c.app.hub.stats.duplicates.Add(1)
	case d.Prev > o.last:
		c.app.hub.stats.gaps.Add(1)
		o.filling = &filling{waiting: []Delivery{d}}
		c.app.hub.running.Go(func() { c.fill(o.epoch, o.last, d.Message.ID.Position().Seq) })
	default:
		c.publish(&delivery{m: d.Message}, b)
		o.last = p.Seq
	}
}

// fillTries and fillWait bound how long a gap may stay open: over it, whoever
// hears the channel is cut, so that it comes back and resumes.
const (
	fillTries = 20
	fillWait  = 50 * time.Millisecond
	fillMax   = time.Second
)

// fill reads what is missing after sequence from and before sequence to, and
// delivers it and what arrived meanwhile.
func (c *channel) fill(epoch uint16, from, to uint64) {
	h := c.app.hub
	wait := fillWait
	for range fillTries {
		missing, err := h.between(h.ctx, c.app.slug, c.name, position(epoch, from), position(epoch, to))
		if err == nil {
			c.filled(missing)
			return
		}
		h.log.Warn("filling a gap", "app", c.app.slug, "from", from, "to", to, "err", err)
		select {
		case <-h.ctx.Done():
			return
		case <-time.After(wait):
			wait = min(2*wait, fillMax)
		}
	}
	c.filled(nil)
	c.cut(&earshot.Error{Code: earshot.Unavailable, Text: "messages were missed and cannot be read now; resume"})
}

// between reads all messages strictly between two positions.
func (h *Hub) between(ctx context.Context, app, channel string, after, before earshot.Position) ([]*earshot.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var all []*earshot.Message
	for {
		page, err := h.engine.Read(ctx, app, channel, Range{After: after, Before: before, AtLeast: before.Seq - 1, Hidden: true, Limit: pageMessages})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		if !page.More {
			return all, nil
		}
		after.Seq = page.Upto
	}
}

// filled delivers what was missing and then what waited behind it.
func (c *channel) filled(missing []*earshot.Message) {
	var b batch
	c.mu.Lock()
	waiting := c.order.filling.waiting
	c.order.filling = nil
	for _, m := range missing {
		if seq := m.ID.Position().Seq; seq > c.order.last {
			c.publish(&delivery{m: m}, &b)
			c.order.last = seq
			c.app.hub.stats.refilled.Add(1)
		}
	}
	for i, d := range waiting {
		if i == 0 {
			d.Prev = 0 // what was before it has just been read
		}
		c.arrive(d, &b)
	}
	c.mu.Unlock()
	b.settle(c.app.hub)
}

// cut closes every connection that hears the channel.
func (c *channel) cut(err error) {
	c.mu.Lock()
	parts := append([]*part(nil), c.parts...)
	c.mu.Unlock()
	for _, p := range parts {
		p.shard.mu.Lock()
		conns := make([]*Conn, 0, len(p.subs))
		for _, sub := range p.subs {
			conns = append(conns, sub.conn)
		}
		p.shard.mu.Unlock()
		for _, conn := range conns {
			conn.Close(err)
		}
	}
}
