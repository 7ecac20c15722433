package hub

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// A Join asks for a subscription.
type Join struct {
	// Channel is what to subscribe to; or, if it is empty, Pattern.
	Channel string
	Pattern earshot.Pattern
	// Encoding renders the messages.
	Encoding *Encoding
	// Tag is kept with the subscription for the adapter.
	Tag any
	// As is a further proof, valid for this subscription only; nil for none.
	// Where expiry closes, the subscription ends when it expires, and an
	// Unsubscriber is told.
	As *earshot.Identity
	// Allowed says that the adapter has found permission by other means (an auth
	// hook's answer); the grants are not asked, now or in Conn.Enter.
	Allowed bool
	// Present makes the client's user a member of the channel, whom others are
	// told of by notices, until the subscription ends; see Sub.Members. It needs
	// a user id and no Pattern, and room: the members of a channel have 100 KiB
	// at the most.
	Present bool
	// Apart makes the connection a member by itself, beside other connections of
	// its user: a channel is either joined so by all, or by none.
	Apart bool
	// After asks for everything after a position, before what is live; the zero
	// position is the beginning of what is stored. Nil asks for what is live only.
	// What is older than the grants' HistoryStart is not sent; without one, what
	// is older than Config.ResumeWindow: a position is no proof of having been there.
	After *earshot.Position
	// Since is when the client was subscribed before, if it has proof of that;
	// zero if it has none. A resume reaches back to what the grants open
	// (HistoryStart) or to Since, but not beyond the resume window; without
	// either it sends nothing older than the subscription.
	Since time.Time
	// Replay asks instead for the newest of what was stored before the join; nil
	// for nothing. On a live channel there is none. The adapter has found that the
	// client may have it: no grant is asked.
	Replay *Replay
}

// Subscribe joins a channel or pattern. The subscription holds live messages
// back until Start, so that the client can be told first; nothing that is
// published after Subscribe returned is missed. exact is false if After was
// given and something after it may be lost: what there is will be sent.
//
// It fails with Forbidden, Conflict (subscribed already; the Sub is returned
// with it), Limited, Invalid, or as the engine does. With After or Replay it reads
// from the engine, and is called from Conn.Do.
func (c *Conn) Subscribe(ctx context.Context, j Join) (sub *Sub, exact bool, err error) {
	if in, ok := ctx.(*handling); ok {
		in.settle(c.hub) // what was published before is not to wait for this
	}
	judged, app := c.Identity(), c.App()
	if err := c.mayJoin(&j); err != nil {
		return nil, false, err
	}
	sub = &Sub{name: j.name(), conn: c, enc: j.Encoding, tag: j.Tag, since: time.Now().UnixMilli(), held: &held{}, how: j.how()}
	if j.As != nil {
		sub.self.Store(&self{as: j.As})
	}
	if other, err := c.reserve(sub); err != nil {
		return other, false, err
	}
	if exact, err = c.join(ctx, sub, &j); err != nil {
		c.Unsubscribe(sub)
		return nil, false, err
	}
	if c.Identity() != judged || c.App() != app {
		// A newer proof came meanwhile, or other rules, and found nothing to judge.
		if err := c.mayJoin(&j); err != nil {
			c.Unsubscribe(sub)
			return nil, false, err
		}
	}
	sub.watchExpiry()
	sub.recordSubscribed(&j)
	c.hub.stats.subscribed.Add(1)
	return sub, exact, nil
}

func (j *Join) how() (h joined) {
	if j.Allowed {
		h |= byAdapter
	}
	if j.Present {
		h |= asMember
	}
	if j.Apart {
		h |= apart
	}
	return h
}

func (j *Join) name() string {
	if j.Channel != "" {
		return j.Channel
	}
	return j.Pattern.Key()
}

func (c *Conn) mayJoin(j *Join) error {
	if j.Channel == "" {
		if j.Present {
			return earshot.Errorf(earshot.Invalid, "a pattern has no members")
		}
		if j.Allowed {
			return nil
		}
		return earshot.Errorf(earshot.Forbidden, "subscribing to a pattern is not permitted")
	}
	if err := earshot.CheckChannel(j.Channel); err != nil {
		return err
	}
	if j.Allowed || c.may(j.As, earshot.Subscribe, j.Channel) {
		return nil
	}
	return earshot.Errorf(earshot.Forbidden, "subscribing to this channel is not permitted")
}

// may asks the grants, and what the channel's rule opens to all.
func (c *Conn) may(as *earshot.Identity, a earshot.Action, channel string) bool {
	id := c.Identity()
	if id == nil {
		return false
	}
	if as != nil {
		id = id.With(as)
	}
	t := id.On(channel, "")
	if t.Deny&a != 0 {
		return false
	}
	return t.Allow.Has(a) || c.App().Rule(channel).Open.Has(a)
}

// reserve takes the name's place in the connection's subscriptions.
func (c *Conn) reserve(sub *Sub) (other *Sub, err error) {
	c.shard.Lock()
	defer c.shard.Unlock()
	if c.closing.Load() {
		return nil, errClosing
	}
	if other := c.subs.get(sub.name); other != nil {
		return other, &earshot.Error{Code: earshot.Conflict, Reason: "ALREADY_SUBSCRIBED", Text: "already subscribed"}
	}
	if limit := c.maxSubscriptions(); limit > 0 && c.subs.len() >= limit {
		return nil, errChannels(limit)
	}
	c.subs.put(sub)
	return nil, nil
}

// join makes the subscription hear its target, and reads what it missed.
func (c *Conn) join(ctx context.Context, sub *Sub, j *Join) (exact bool, err error) {
	a := c.hub.app(c.App().Slug)
	if j.Channel == "" {
		return true, a.joinPattern(ctx, sub, j.Pattern)
	}
	logged := !c.App().Rule(j.Channel).Live
	ch, err := a.enter(ctx, sub)
	if err != nil {
		return false, err
	}
	switch {
	case j.After == nil && j.Replay != nil && logged:
		return true, ch.replay(ctx, sub, j.Replay)
	case j.After == nil:
		return true, nil
	case !logged:
		return j.After.IsZero(), nil // nothing was ever stored
	}
	cu, exact, err := ch.missed(ctx, *j.After, resumeSince(sub, j.Since))
	if err != nil {
		return false, err
	}
	c.shard.Lock()
	sub.held.catchUp = cu
	if j.After.Epoch != cu.after.Epoch || j.After.Seq <= cu.after.Seq {
		sub.position = *j.After // and not one that was never given
	}
	c.shard.Unlock()
	return exact, nil
}

func (a *app) joinPattern(ctx context.Context, sub *Sub, m earshot.Pattern) error {
	from, release, err := a.hub.engine.Hear(ctx, a.slug, "")
	if err != nil {
		return err
	}
	p, used, joined := a.pattern(sub, m, max(from, a.hub.seen.Load()), release)
	if !used {
		release()
	}
	if !joined {
		p.left()
		return errClosing
	}
	return nil
}

// missed reads the first page of what comes after a position and is not older
// than since, from the ring if that has it.
func (c *channel) missed(ctx context.Context, after earshot.Position, since time.Time) (cu *catchUp, exact bool, err error) {
	if cu, exact, ok := c.fromRing(after, since); ok {
		return cu, exact, nil
	}
	// Of those who come back to one position at once, the first reads for all.
	read, first := c.readFor(after)
	if first {
		defer read()
	} else {
		read()
		if cu, exact, ok := c.fromRing(after, since); ok {
			return cu, exact, nil
		}
	}
	return c.fromLog(ctx, after, since)
}

// fromRing answers from memory, if it holds everything after the position.
func (c *channel) fromRing(after earshot.Position, since time.Time) (cu *catchUp, exact, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ring == nil || after.Epoch != c.order.epoch {
		return nil, false, false
	}
	ds, ok := c.ring.since(after.Seq, time.Now())
	if !ok {
		return nil, false, false
	}
	c.app.hub.stats.ringHits.Add(1)
	kept := newer(ds, since)
	return &catchUp{page: kept, since: since, after: position(after.Epoch, max(c.order.last, after.Seq))}, len(kept) == len(ds), true
}

// fromLog reads the first page from the log.
func (c *channel) fromLog(ctx context.Context, after earshot.Position, since time.Time) (cu *catchUp, exact bool, err error) {
	h := c.app.hub
	c.mu.Lock()
	epoch, last := c.order.epoch, c.order.last
	c.mu.Unlock()
	// What was delivered here may not have raised seen yet.
	r := Range{After: after, Limit: pageMessages, Bytes: min(pageBytes, h.config.QueueBytes/2), AtLeast: h.seen.Load(), Hidden: true}
	if epoch == h.epoch() {
		r.AtLeast = max(r.AtLeast, last)
	}
	page, err := h.read(ctx, c.app.slug, c.name, r)
	if err != nil {
		return nil, false, err
	}
	exact = page.Exact || after.IsZero()
	if len(page.Messages) > 0 && page.Messages[0].Time.Before(since) {
		exact = false // some of it may not be shown
		r.Since = since
		if page, err = h.read(ctx, c.app.slug, c.name, r); err != nil {
			return nil, false, err
		}
	}
	cu = &catchUp{more: page.More, since: since, after: position(h.epoch(), page.Upto)}
	for _, m := range page.Messages {
		cu.page = append(cu.page, &delivery{m: m})
		cu.after.Epoch = m.ID.Position().Epoch
	}
	if exact && page.Exact && !page.More && !after.IsZero() {
		c.remember(after, cu.page, page.Upto)
	}
	return cu, exact, nil
}

// remember lets the ring answer the next who come back to the same position: ds
// is all that is stored between it and upto.
func (c *channel) remember(after earshot.Position, ds []*delivery, upto uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || after.Epoch != c.order.epoch {
		return
	}
	r := c.inRing()
	if upto < r.after {
		return // there may be something between the two
	}
	// What the page holds beyond the ring's beginning, the ring has itself.
	older := ds
	for i, d := range ds {
		if d.seq() > r.after {
			older = ds[:i:i]
			break
		}
	}
	if after.Seq < r.after || !r.exact && after.Seq == r.after {
		r.prepend(after.Seq, append([]*delivery(nil), older...))
	}
}

// Unsubscribe ends a subscription: nothing of it is sent any more when it
// returns. It reports false if it had ended before.
func (c *Conn) Unsubscribe(sub *Sub) bool { return c.unsubscribe(sub, c.App()) }

// unsubscribe is Unsubscribe of a subscription that was made in an app.
func (c *Conn) unsubscribe(sub *Sub, in *earshot.App) bool {
	c.shard.Lock()
	if sub.gone {
		c.shard.Unlock()
		return false
	}
	sub.gone = true
	if sub.expiry != nil {
		sub.expiry.stop()
	}
	c.subs.remove(sub)
	if sub.part != nil {
		sub.part.remove(sub)
	}
	sub.recordUnsubscribed(in)
	c.shard.Unlock()
	if sub.part == nil {
		return true
	}
	if sub.Present() {
		c.hub.absent(sub)
	}
	if sub.part.count.Load() == 0 {
		sub.target.left()
	}
	return true
}

// Sub returns the connection's subscription to a channel, nil if it has none.
func (c *Conn) Sub(channel string) *Sub {
	c.shard.Lock()
	defer c.shard.Unlock()
	return c.subs.get(channel)
}

// Subs returns the connection's subscriptions, in no order.
func (c *Conn) Subs() []*Sub {
	c.shard.Lock()
	defer c.shard.Unlock()
	return c.subs.all()
}
