package hub

import (
	"bytes"
	"context"
	"slices"

	"github.com/earshot-io/earshot"
)

// enter joins the subscription to its channel.
func (a *app) enter(ctx context.Context, sub *Sub) (*channel, error) {
	if sub.Present() {
		return a.enterRoom(ctx, sub)
	}
	c, err := a.acquire(ctx, sub.name)
	if err != nil {
		return nil, err
	}
	joined := c.join(sub)
	c.mu.Unlock()
	if !joined {
		c.left()
		return nil, errClosing
	}
	return c, nil
}

// enterRoom joins the subscription to its channel as a member, in one step with
// the list of who is there: the notices that it hears go on where the list ends.
func (a *app) enterRoom(ctx context.Context, sub *Sub) (*channel, error) {
	if err := sub.conn.calm(ctx); err != nil {
		return nil, err
	}
	var b batch
	defer b.settle(a.hub)
	for {
		c, err := a.acquire(ctx, sub.name)
		if err != nil {
			return nil, err
		}
		c.mu.Unlock()
		r := a.hub.roster.room(roomKey{a.slug, sub.name})
		c.mu.Lock()
		if c.dead {
			c.mu.Unlock()
			r.unlock()
			continue
		}
		err = r.join(c, sub, &b)
		c.mu.Unlock()
		r.unlock()
		if err != nil {
			c.left()
			return nil, err
		}
		return c, nil
	}
}

// join makes the subscription one of its channel, and its user a member. Room
// and channel are locked.
func (r *room) join(c *channel, sub *Sub, b *batch) error {
	who := sub.Sender()
	switch {
	case !who.HasUID || who.UID == "":
		return errNoUser
	case !r.takes(sub.memberKey(&who), who.Meta):
		return errCapacity
	case !c.join(sub):
		return errClosing
	}
	r.app = sub.conn.App()
	m, notice := r.add(sub, who)
	sub.conn.churned(r.changed(m, notice, c, sub.conn.id, b, true), len(r.order))
	s := sub.conn.shard
	s.mu.Lock()
	sub.held.members = r.list()
	s.mu.Unlock()
	return nil
}

// roomOf returns the room of a subscription, locked; nil for one that is no
// member's. One that is joining is not in its room yet: it joins as what it is
// when the room is free.
func (h *Hub) roomOf(sub *Sub) *room {
	if !sub.Present() {
		return nil
	}
	k := roomKey{channel: sub.name}
	s := sub.conn.shard
	s.mu.Lock()
	if c, ok := sub.target.(*channel); ok {
		k.app = c.app.slug
	} else {
		k.app = sub.conn.App().Slug
	}
	s.mu.Unlock()
	return h.roster.room(k)
}

// absent ends what a subscription has made of its user.
func (h *Hub) absent(sub *Sub) {
	r := h.roomOf(sub)
	if r == nil {
		return
	}
	var b batch
	if m, notice := r.remove(sub); m != nil {
		sub.conn.churned(r.changed(m, notice, nil, earshot.ConnID{}, &b, true), len(r.order))
	}
	r.unlock()
	b.settle(h)
}

// review makes of a subscription's user what the subscription now says. The
// user may be another one.
func (r *room) review(sub *Sub, b *batch) {
	p, who := r.here[sub], sub.Sender()
	if p == nil {
		return
	}
	if p.member.uid == who.UID {
		p.stamp, p.meta = r.roster.stamp(), who.Meta
		sub.conn.churned(r.changed(p.member, r.said(p.member, p.stamp), nil, earshot.ConnID{}, b, true), len(r.order))
		return
	}
	m, notice := r.remove(sub)
	sub.conn.churned(r.changed(m, notice, nil, earshot.ConnID{}, b, true), len(r.order))
	m, notice = r.add(sub, who)
	sub.conn.churned(r.changed(m, notice, nil, earshot.ConnID{}, b, true), len(r.order))
}

// reviewed is review for a subscription whose connection has a newer identity.
func (h *Hub) reviewed(sub *Sub, b *batch) {
	r := h.roomOf(sub)
	if r == nil {
		return
	}
	defer r.unlock()
	if p, who := r.here[sub], sub.Sender(); p != nil && (p.member.uid != who.UID || !bytes.Equal(p.meta, who.Meta)) {
		r.review(sub, b)
	}
}

// Members is who is present on the channel, in the order in which they came and
// with the subscription's own user, if it is one of Join.Present: at the moment
// at which it joined. The notices that it hears go on from there. It returns nil
// once the subscription was started.
func (s *Sub) Members() []Member {
	s.conn.shard.mu.Lock()
	defer s.conn.shard.mu.Unlock()
	if s.held == nil {
		return nil
	}
	return s.held.members
}

// Present reports whether the subscription makes its user a member.
func (s *Sub) Present() bool { return s.how&asMember != 0 }

// ofMember reports whether the delivery is a notice of who is present. No log
// has it.
func (d *delivery) ofMember() bool {
	switch d.m.Notice {
	case earshot.MemberAdded, earshot.MemberUpdated, earshot.MemberRemoved:
		return true
	}
	return false
}

// noticeShare is the part for which a notice of a member counts of those that
// are held: each has a list of all, but all who hold it share it.
const noticeShare = 32

func (h *held) addNotice(d *delivery, bound int) {
	if h.noticed += 256 + d.size()/noticeShare; h.lost || h.noticed > bound {
		h.lost, h.ds = true, nil
		return
	}
	h.ds = append(h.ds, d)
}

// keepNotices drops what can be read from the log again.
func (h *held) keepNotices() {
	h.ds = slices.DeleteFunc(h.ds, func(d *delivery) bool { return !d.ofMember() })
}
