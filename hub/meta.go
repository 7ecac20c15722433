package hub

import (
	"context"

	"github.com/earshot-io/earshot"
)

// Sender is who the subscription acts as, as others see it: the user of its own
// proof, else the connection's, with the metadata that it began with or was given
// since.
func (s *Sub) Sender() earshot.Sender { return *s.sender() }

// sender is Sender, shared: it is never changed. It may be newly made.
func (s *Sub) sender() *earshot.Sender {
	id := s.conn.Identity() // before self, which is pinned before the other changes
	self := s.self.Load()
	switch {
	case self == nil:
	case self.who != nil:
		return self.who
	case self.as != nil:
		id = self.as
	}
	return senderOf(id)
}

func senderOf(id *earshot.Identity) *earshot.Sender {
	if id == nil {
		return &earshot.Sender{}
	}
	return &earshot.Sender{UID: id.UID, HasUID: id.HasUID, Meta: id.Meta}
}

// SetMeta replaces the metadata of one subscription by a JSON value, nil for
// none: what it publishes from then on has it, and members of the channel are
// told if it is one of theirs. It fails with NotFound without a subscription,
// and with Limited if the members of the channel would have too much.
func (c *Conn) SetMeta(ctx context.Context, channel string, meta []byte) error {
	sub := c.Sub(channel)
	if sub == nil {
		return &earshot.Error{Code: earshot.NotFound, Reason: "NOT_SUBSCRIBED", Text: "there is no subscription to this channel"}
	}
	if err := c.calm(ctx); err != nil {
		return err
	}
	b, settle := c.hub.batchOf(ctx)
	defer settle()
	return c.hub.setMeta(sub, meta, b)
}

// setMeta gives a subscription its metadata.
func (h *Hub) setMeta(sub *Sub, meta []byte, b *batch) error {
	r := h.roomOf(sub)
	if r == nil {
		sub.setMeta(meta)
		return nil
	}
	defer r.unlock()
	if r.here[sub] == nil {
		sub.setMeta(meta) // it is joining, and will have this; or it has ended
		return nil
	}
	if !r.takes(sub.memberKey(sub.sender()), meta) {
		return errCapacity
	}
	sub.setMeta(meta)
	r.review(sub, b)
	return nil
}

func (s *Sub) setMeta(meta []byte) {
	who := *s.sender()
	who.Meta = meta
	s.self.Store(&self{as: s.as(), who: &who})
}

// SetDefaultMeta replaces the metadata of the connection by a JSON value, nil
// for none: of what it publishes without a subscription, and of subscriptions
// that it makes from then on without a proof of their own. Those that it has
// keep theirs, unless propagate gives it to all of them. It then fails with
// Limited, and has changed nothing, if the members of a channel would have too
// much. It fails with Unauthenticated before Enter.
func (c *Conn) SetDefaultMeta(ctx context.Context, meta []byte, propagate bool) error {
	if c.Identity() == nil {
		return earshot.Errorf(earshot.Unauthenticated, "not authenticated")
	}
	if propagate {
		if err := c.calm(ctx); err != nil {
			return err
		}
		for _, sub := range c.Subs() {
			if !c.hub.takesMeta(sub, meta) {
				return errCapacity
			}
		}
	}
	subs := c.setDefaultMeta(meta)
	if !propagate {
		return nil
	}
	b, settle := c.hub.batchOf(ctx)
	defer settle()
	for _, sub := range subs {
		// What others have filled meanwhile is the reason not to be told.
		_ = c.hub.setMeta(sub, meta, b)
	}
	return nil
}

// setDefaultMeta makes the new default, and lets the subscriptions that had the
// old one keep it. It returns the subscriptions.
func (c *Conn) setDefaultMeta(meta []byte) []*Sub {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	old := c.Identity()
	pinned := &self{who: senderOf(old)}
	all := c.subs.all()
	for _, sub := range all {
		sub.self.CompareAndSwap(nil, pinned)
	}
	id := *old
	id.Meta = meta
	c.identity.Store(&id)
	c.entered(c.App(), old)
	return all
}

// takesMeta reports whether a subscription could have the metadata.
func (h *Hub) takesMeta(sub *Sub, meta []byte) bool {
	r := h.roomOf(sub)
	if r == nil {
		return true
	}
	defer r.unlock()
	return r.here[sub] == nil || r.takes(sub.memberKey(sub.sender()), meta)
}

// unpin lets the subscriptions without a proof of their own follow the
// connection's identity again. The shard is locked.
func (c *Conn) unpin() {
	for _, sub := range c.subs.all() {
		if sub.as() == nil {
			sub.self.Store(nil)
		}
	}
}

// judges judges a subscription by the connection's newer identity, and makes of
// it what that says; it reports false if the subscription has to end.
func (c *Conn) judges(sub *Sub) bool {
	if sub.how&byAdapter == 0 && !c.may(sub.as(), earshot.Subscribe, sub.name) {
		return false
	}
	if who := sub.sender(); sub.Present() && (!who.HasUID || who.UID == "") {
		return false
	}
	c.shard.mu.Lock()
	sub.recount()
	c.shard.mu.Unlock()
	var b batch
	c.hub.reviewed(sub, &b)
	b.settle(c.hub)
	return true
}

// batchOf returns where a publish under a context gathers, and what settles it.
func (h *Hub) batchOf(ctx context.Context) (b *batch, settle func()) {
	if in, ok := ctx.(*handling); ok {
		return &in.batch, func() {}
	}
	b = &batch{}
	return b, func() { b.settle(h) }
}
