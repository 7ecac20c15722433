package hub

import (
	"context"
	"errors"
	"time"

	"github.com/earshot-io/earshot"
)

// A filling is a gap in a channel's sequence that is being read from the log.
// The channel's lock guards it.
type filling struct {
	waiting []Delivery // what arrived behind the gap
	bytes   int
	cancel  context.CancelFunc
}

func (f *filling) add(d Delivery, bound int) {
	f.waiting = append(f.waiting, d)
	if f.bytes += len(d.Message.Data) + 256; f.bytes > bound {
		f.cancel()
	}
}

// fillTime bounds how long a gap may stay open, and fillWait to fillMax are the
// waits between tries. Over it, whoever hears the channel is cut, so that it
// comes back and resumes.
const (
	fillTime = 20 * time.Second
	fillWait = 50 * time.Millisecond
	fillMax  = time.Second
)

// errGone says that what is missing cannot be had any more.
var errGone = errors.New("messages were removed, or are too many to be delivered at once")

// gap begins to fill what is missing before d. The channel is locked.
func (c *channel) gap(d Delivery) {
	h := c.app.hub
	h.stats.gaps.Add(1)
	from, to := position(c.order.epoch, c.order.last), d.Message.ID.Position()
	ctx, cancel := context.WithTimeout(h.ctx, fillTime)
	f := &filling{waiting: []Delivery{d}, cancel: cancel}
	c.order.filling = f
	h.spawn(func() {
		defer cancel()
		c.fill(ctx, f, from, to)
	})
}

// newEpoch begins another life of the stream with d. What was lost between the
// two cannot be known: whoever hears the channel is cut. The channel is locked.
func (c *channel) newEpoch(d Delivery) {
	h := c.app.hub
	p := d.Message.ID.Position()
	ctx, cancel := context.WithCancel(h.ctx)
	f := &filling{waiting: []Delivery{d}, cancel: cancel}
	if old := c.order.filling; old != nil {
		old.cancel()
	}
	c.order = order{epoch: p.Epoch, filling: f}
	c.forgetRing()
	h.spawn(func() {
		defer cancel()
		h.log.WarnContext(ctx, "the stream began another life", "app", c.app.slug, "epoch", p.Epoch)
		c.breakOff(f)
	})
}

// fill reads what is missing between two positions, and delivers it and what
// arrived meanwhile.
func (c *channel) fill(ctx context.Context, f *filling, from, to earshot.Position) {
	h := c.app.hub
	for wait := fillWait; ; wait = min(2*wait, fillMax) {
		missing, err := h.between(ctx, c.app.slug, c.name, from, to)
		if err == nil {
			c.filled(f, missing)
			return
		}
		h.log.Warn("filling a gap", "app", c.app.slug, "from", from.Seq, "to", to.Seq, "err", err)
		if errors.Is(err, errGone) {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
			timer.Stop()
		}
		break
	}
	if h.ctx.Err() == nil {
		c.breakOff(f)
	}
}

// between reads all messages strictly between two positions, up to what a
// client's queue may hold.
func (h *Hub) between(ctx context.Context, app, channel string, after, before earshot.Position) ([]*earshot.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var all []*earshot.Message
	bytes := 0
	for {
		page, err := h.engine.Read(ctx, app, channel, Range{After: after, Before: before, AtLeast: before.Seq - 1, Hidden: true, Limit: pageMessages})
		if err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			bytes += len(m.Data) + 256
		}
		all = append(all, page.Messages...)
		switch {
		case !page.Exact && after.Seq > 0 || bytes > h.config.QueueBytes:
			return nil, errGone
		case !page.More:
			return all, nil
		}
		after.Seq = page.Upto
	}
}

// filled delivers what was missing and then what waited behind it.
func (c *channel) filled(f *filling, missing []*earshot.Message) {
	var b batch
	c.mu.Lock()
	if c.order.filling != f {
		c.mu.Unlock()
		return
	}
	for _, m := range missing {
		if m.ID.Position().Seq > c.order.last {
			c.publish(&delivery{m: m}, &b)
			c.app.hub.stats.refilled.Add(1)
		}
	}
	c.goOn(f, &b)
	c.mu.Unlock()
	b.settle(c.app.hub)
}

// goOn delivers what waited; the first has nothing missing before it. The
// channel is locked.
func (c *channel) goOn(f *filling, b *batch) {
	c.order.filling = nil
	for i, d := range f.waiting {
		if i == 0 {
			d.Prev = 0
		}
		c.arrive(d, b)
	}
}

// breakOff cuts whoever hears the channel before it goes on behind the gap: who
// heard what comes after would resume from there, and never know.
func (c *channel) breakOff(f *filling) {
	c.cut(&earshot.Error{Code: earshot.Unavailable, Text: "messages were missed and cannot be read now; resume"})
	var b batch
	c.mu.Lock()
	if c.order.filling == f {
		c.forgetRing()
		c.order.last = max(c.order.last, f.waiting[0].Message.ID.Position().Seq-1)
		c.goOn(f, &b)
	}
	c.mu.Unlock()
	b.settle(c.app.hub)
}

// cut closes every connection that hears the channel, by name or by a pattern.
func (c *channel) cut(err error) {
	c.mu.Lock()
	parts := append([]*part(nil), c.parts...)
	for _, p := range c.matching() {
		p.mu.Lock()
		parts = append(parts, p.parts...)
		p.mu.Unlock()
	}
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
