package hub

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

// A Publication is a message to be published, and how.
type Publication struct {
	// Message has no ID and Time yet. It is the hub's from the call on.
	Message *earshot.Message
	// Key makes the publish idempotent within (app, channel) for 5 minutes;
	// empty for none. On a live channel only this node remembers it.
	Key string
	// WantID asks for the message's id, which costs a read on a logged channel.
	WantID bool
	// Emit records MessagePublished before the publish is acknowledged, or Event
	// if it is not nil: it says the type and what is not in the message.
	Emit  bool
	Event *Event
	// Origin is the request that published; nil where nothing is to be recorded.
	Origin *Origin
	// Due says that it was accepted, and counted, some time ago, and that its time
	// has come: no rate holds it up.
	Due bool
}

// MaxData is how many bytes of data a message may have.
const MaxData = 32 << 10

// Publish publishes a message of the application's own server: what it may was
// decided by the caller. It returns when the message is as safe as its channel
// promises, or with the reason why it is not.
func (h *Hub) Publish(ctx context.Context, a *earshot.App, p Publication) (Appended, error) {
	if in, ok := ctx.(*handling); ok {
		in.settle(h) // what was published before is not to wait for this
	}
	return outcome(ctx, func(done func(Appended, error)) { h.PublishAsync(ctx, a, p, done) })
}

// outcome waits for what becomes of a publish.
func outcome(ctx context.Context, publish func(done func(Appended, error))) (Appended, error) {
	type outcome struct {
		Appended
		err error
	}
	result := make(chan outcome, 1)
	publish(func(r Appended, err error) { result <- outcome{r, err} })
	select {
	case o := <-result:
		return o.Appended, o.err
	case <-ctx.Done():
		return Appended{}, &earshot.Error{
			Code: earshot.Unknown, Text: "the outcome is not known; repeat the publish with the same idempotency key", Err: context.Cause(ctx),
		}
	}
}

// PublishAsync is Publish that does not wait: done is called exactly once, from
// any goroutine, perhaps before PublishAsync returns, and must not block.
// Messages that one goroutine publishes keep their order.
func (h *Hub) PublishAsync(ctx context.Context, a *earshot.App, p Publication, done func(Appended, error)) {
	if m := p.Message; m.Notice != earshot.NoNotice || m.Key != "" {
		done(Appended{}, errNotice)
		return
	}
	h.publish(ctx, a, p, !p.Due, done)
}

// publish is PublishAsync of whatever message, and at whatever rate if it is not
// counted as one of the app's server.
func (h *Hub) publish(ctx context.Context, a *earshot.App, p Publication, counts bool, done func(Appended, error)) {
	m, now := p.Message, h.newest(a)
	if now == nil {
		done(Appended{}, errAppGone) // who is slow to say what to publish may outlive its app
		return
	}
	a, m.App = now, now.Slug
	err := h.Check(a, m)
	if err == nil && counts {
		err = h.Spend(a)
	}
	if err != nil {
		done(Appended{}, err)
		return
	}
	if h.emits(a, &p) {
		done = h.recorded(a, &p, done)
		p.WantID = true
	}
	rule, space := a.Rule(m.Channel), h.app(a.Slug)
	h.stats.published.Add(1)
	space.used.takes(m)
	if !rule.Live {
		h.engine.Append(m, AppendOptions{Key: p.Key, WantID: p.WantID, Rule: rule}, done)
		return
	}
	done(h.publishLive(ctx, space, p))
}

// Check reports why a message cannot be published at all, whoever publishes it,
// as PublishAsync does.
func (h *Hub) Check(a *earshot.App, m *earshot.Message) error {
	if err := earshot.CheckChannel(m.Channel); err != nil {
		return err
	}
	if m.Store != 0 && a.Rule(m.Channel).Live {
		return &earshot.Error{Code: earshot.Invalid, Reason: "LIVE_CHANNEL", Text: "the channel is live: its messages cannot be stored"}
	}
	if err := checkSize(a, m); err != nil {
		return err
	}
	return CheckData(m.Kind, m.Data)
}

// CheckData reports why data cannot be a message's or an entry's: it is too
// large, or nests too deep.
func CheckData(k earshot.Kind, data []byte) error {
	if len(data) > MaxData {
		return &earshot.Error{Code: earshot.TooLarge, Reason: "MESSAGE_TOO_LARGE", Text: "data may have 32 KiB at the most"}
	}
	if k == earshot.JSON && depth(data) > MaxDepth {
		return &earshot.Error{Code: earshot.Invalid, Reason: "DATA_TOO_DEEP", Text: "data may nest 128 levels deep at the most"}
	}
	return nil
}

// publishLive delivers here and spreads to the other nodes, or fails and does
// neither.
func (h *Hub) publishLive(ctx context.Context, space *app, p Publication) (Appended, error) {
	m := p.Message
	if p.Key == "" {
		err := h.spreadLive(ctx, space, m)
		return Appended{ID: m.ID}, err
	}
	if first, ok := h.keys.use(m.App, m.Channel, p.Key, time.Now()); !ok {
		return Appended{ID: first, Duplicate: true}, nil
	}
	err := h.spreadLive(ctx, space, m)
	h.keys.set(m.App, m.Channel, p.Key, m.ID, err == nil)
	return Appended{ID: m.ID}, err
}

// spreadLive gives m its id. Ids rise in the order of delivery, since both
// happen under the channel's lock.
func (h *Hub) spreadLive(ctx context.Context, space *app, m *earshot.Message) error {
	c := space.known(m.Channel)
	if c == nil {
		h.ids.give(m)
		return h.engine.Spread(m)
	}
	var own batch
	b := &own
	if in, ok := ctx.(*handling); ok {
		b = &in.batch
	}
	h.ids.give(m)
	err := h.engine.Spread(m)
	if err == nil {
		c.publish(&delivery{m: m}, b)
	}
	c.mu.Unlock()
	own.settle(h)
	return err
}

// liveIDs gives ids to live messages: they rise on one node, and differ from
// those of every other node.
type liveIDs struct {
	mu   sync.Mutex
	node [6]byte // random; zero until first used
	last int64   // milliseconds
	n    uint64
}

func (l *liveIDs) give(m *earshot.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.node == [6]byte{} {
		id := earshot.NewConnID()
		copy(l.node[:], id[:])
	}
	now := time.Now()
	l.last = max(l.last, now.UnixMilli())
	l.n++
	m.Time = time.UnixMilli(l.last)
	m.ID = earshot.NewID(m.Time, earshot.Position{})
	// Epoch 0 says that there is no position; then 40 bits that rise, and 24 of the node.
	binary.BigEndian.PutUint64(m.ID[8:], l.n<<24)
	copy(m.ID[13:], l.node[:3])
}

// Publish publishes what the client of this connection sent, if it may. The
// sender, what its grants say of storing and whether it hears its own message
// are set here. What the proof of a subscription added counts on its channel.
//
// It fails if the client may not, or publishes too much (Limited), and then done
// is not called; else done gets the outcome as in PublishAsync.
func (c *Conn) Publish(ctx context.Context, p Publication, done func(Appended, error)) error {
	if _, err := c.Permit(&p); err != nil {
		return err
	}
	if m := p.Message; m.Notice != earshot.NoNotice || m.Key != "" {
		return errNotice
	}
	c.hub.publish(ctx, c.App(), p, false, done)
	return nil
}

// Permit completes a publication of the client as Publish does, and publishes
// nothing; it counts as published (Spend). It returns what its grants say, or
// fails if the client may not.
func (c *Conn) Permit(p *Publication) (earshot.Terms, error) {
	terms, err := c.mayPublish(p.Message, c.Sub(p.Message.Channel))
	if err == nil {
		err = c.Spend()
	}
	if err != nil {
		return terms, err
	}
	if p.Emit = terms.Allow.Has(earshot.Emit); p.Origin == nil && c.hub.emits(c.App(), p) {
		p.Origin = c.Origin()
	}
	return terms, nil
}

// mayPublish asks the grants, and completes m by what they say.
func (c *Conn) mayPublish(m *earshot.Message, sub *Sub) (terms earshot.Terms, err error) {
	id := c.Identity()
	if id == nil {
		return terms, earshot.Errorf(earshot.Unauthenticated, "not authenticated")
	}
	// Broadcast counts from the connection's own proof alone.
	terms = id.On(m.Channel, m.Event)
	broadcast := terms.Allow.Has(earshot.Broadcast)
	if sub != nil && sub.as() != nil {
		terms = sub.proof().On(m.Channel, m.Event)
	}
	open := c.App().Rule(m.Channel).Open &^ terms.Deny
	allowed := (terms.Allow | open).Has(earshot.Publish)
	switch {
	case terms.Deny.Has(earshot.Publish):
		return terms, errMayNotPublish
	case broadcast:
	case !allowed:
		return terms, errMayNotPublish
	case sub == nil:
		return terms, errNotSubscribed
	}
	m.Store = terms.Store
	if !terms.Allow.Has(earshot.Echo) {
		m.Skip = c.id
	}
	if sub != nil {
		m.Sender = sub.sender()
	} else {
		m.Sender = senderOf(id)
	}
	return terms, nil
}

var (
	errNotice        = earshot.Errorf(earshot.Invalid, "notices are the server's own and cannot be published")
	errMayNotPublish = &earshot.Error{Code: earshot.Forbidden, Reason: "PUBLISH", Text: "publishing this event to this channel is not permitted"}
	errNotSubscribed = &earshot.Error{Code: earshot.Forbidden, Reason: "NOT_SUBSCRIBED", Text: "publishing to this channel needs a subscription to it"}
)

// keyWindow is how long an idempotency key is remembered, and maxKeys how many
// of live channels are.
const (
	keyWindow = 5 * time.Minute
	maxKeys   = 100_000
)

// keyCache remembers the idempotency keys of live channels. When it is full,
// keys are forgotten early, the oldest first.
type keyCache struct {
	mu      sync.Mutex
	keys    map[usedKey]*use
	order   []usedKey
	settled *sync.Cond // somebody waits for an outcome; nil if nobody did yet
}

type usedKey struct{ app, channel, key string }

type use struct {
	id      earshot.ID
	at      time.Time
	pending bool
}

// use takes the key; ok is false if it was taken within the window. It waits
// for the outcome of who is just using it.
func (k *keyCache) use(app, channel, key string, now time.Time) (first earshot.ID, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	u := usedKey{app, channel, key}
	for {
		before := k.keys[u]
		if before == nil || !before.pending && now.Sub(before.at) >= keyWindow {
			break
		}
		if !before.pending {
			return before.id, false
		}
		if k.settled == nil {
			k.settled = sync.NewCond(&k.mu)
		}
		k.settled.Wait()
	}
	if k.keys == nil {
		k.keys = map[usedKey]*use{}
	}
	if len(k.order) >= maxKeys {
		k.drop(1)
	}
	k.keys[u] = &use{at: now, pending: true}
	k.order = append(k.order, u)
	return earshot.ID{}, true
}

// set makes a note of what the key was used for, or gives it back.
func (k *keyCache) set(app, channel, key string, id earshot.ID, used bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	u := usedKey{app, channel, key}
	if use := k.keys[u]; use != nil && used {
		use.id, use.pending = id, false
	} else {
		delete(k.keys, u)
	}
	if k.settled != nil {
		k.settled.Broadcast()
	}
}

func (k *keyCache) drop(n int) {
	for _, u := range k.order[:n] {
		delete(k.keys, u)
	}
	k.order = k.order[n:]
}

func (k *keyCache) sweep(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for n < len(k.order) {
		u := k.keys[k.order[n]]
		if u != nil && now.Sub(u.at) < keyWindow {
			break
		}
		n++
	}
	k.drop(n)
}
