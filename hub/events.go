package hub

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

// SetRecorder says who keeps the events of applications. It is called before
// Start; without one, nothing is recorded.
func (h *Hub) SetRecorder(r Recorder) { h.recorder = r }

// SetApps says how an application is found by its slug, in its newest version: for
// connections that open or enter one (see Renew), and for the members of a node
// that died, which another one records. Find returns nil for an app that is not
// served. It is called before Start.
func (h *Hub) SetApps(find func(slug string) *earshot.App) { h.findApp = find }

// Wants reports whether anybody is to be told of an app's events of a type.
func (h *Hub) Wants(a *earshot.App, t EventType) bool {
	return h.recorder != nil && a != nil && h.recorder.Wants(a, t)
}

// Record keeps an event of the app if anybody wants it, as Recorder.Record
// does; App and, if it is zero, Time are set here. Done may be nil.
func (h *Hub) Record(a *earshot.App, e *Event, done func(error)) {
	if !h.Wants(a, e.Type) {
		if done != nil {
			done(nil)
		}
		return
	}
	e.App = a.Slug
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	h.recorder.Record(e, done)
}

// about is what is kept of a connection for its events alone: only of the apps
// that want any, or of clients that have not said yet which is theirs.
type about struct {
	opened    time.Time
	userAgent string
	keepAlive bool
}

// aboutEvents are the types that tell of a connection.
var aboutEvents = [...]EventType{
	Connected, Disconnected, ConnectionUpdated, MessagePublished, EntryChanged, ReactionAdded, ReactionRemoved,
}

// keepAbout keeps what events of the connection will need, if there may be any.
func (c *Conn) keepAbout(o *Opening) {
	if c.hub.recorder != nil && (o.App == nil || c.tells(o.App)) {
		c.about = &about{opened: time.Now(), userAgent: UserAgent(o.UserAgent), keepAlive: o.KeepAlive}
	}
}

// maxUserAgent bounds what is remembered of a client's own words.
const maxUserAgent = 256

// UserAgent is what is kept of what a client says that it is: 256 bytes of valid
// UTF-8 at the most, whatever came in its header. Every Origin has it so, since
// records and events hold it as text. It is a text of its own: the given one may
// keep a whole request.
func UserAgent(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), maxUserAgent)]), "")
}

// tells reports whether the app wants events that tell of a connection.
func (c *Conn) tells(a *earshot.App) bool {
	for _, t := range aboutEvents {
		if c.hub.Wants(a, t) {
			return true
		}
	}
	return false
}

// entered records who the connection has become, after it was somebody of an app
// before, both nil for nobody. The shard is locked.
func (c *Conn) entered(was *earshot.App, before *earshot.Identity) {
	if c.about == nil || c.closing.Load() {
		return
	}
	a, id := c.App(), c.Identity()
	moved := was == nil || before == nil || a == nil || id == nil || was.Slug != a.Slug
	switch {
	case moved:
		if was != nil && before != nil {
			c.record(was, before, Disconnected)
		}
		if a != nil && id != nil {
			c.record(a, id, Connected)
		}
	case !bytes.Equal(before.Meta, id.Meta):
		c.record(a, id, ConnectionUpdated)
	}
	if a != nil && !c.tells(a) {
		c.about = nil
	}
}

// leaves records the end of the connection. The shard is locked.
func (c *Conn) leaves() {
	if a, id := c.App(), c.Identity(); c.about != nil && a != nil && id != nil {
		c.record(a, id, Disconnected)
	}
	c.about = nil
}

// record records an event of the connection itself.
func (c *Conn) record(a *earshot.App, id *earshot.Identity, t EventType) {
	if !c.hub.Wants(a, t) {
		return
	}
	e := &Event{Type: t, Time: time.Now(), Conn: c.event(id)}
	if t == Disconnected {
		e.Conn.Closed = e.Time
	}
	c.hub.Record(a, e, nil)
}

// event is the connection as events tell of it.
func (c *Conn) event(id *earshot.Identity) *EventConn {
	e := &EventConn{ID: c.id, Remote: c.remote}
	if c.about != nil {
		e.Opened, e.KeepAlive, e.UserAgent = c.about.opened, c.about.keepAlive, c.about.userAgent
	}
	if id != nil {
		e.UID, e.HasUID, e.Meta = id.UID, id.HasUID, id.Meta
	}
	return e
}

// Origin is a request of this connection's client, over its own wire.
func (c *Conn) Origin() *Origin {
	o := &Origin{Trigger: ByClientSocket, Conn: c.id, Remote: c.remote}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.about != nil {
		o.UserAgent = c.about.userAgent
	}
	return o
}

// recordSubscribed records that the subscription has begun, unless it has ended
// already. One of a pattern is none of a channel, and not told.
func (s *Sub) recordSubscribed(j *Join) {
	c := s.conn
	a := c.App()
	if c.hub.recorder == nil || j.Channel == "" || a == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if s.gone {
		return
	}
	s.told = true
	s.record(a, Subscribed)
}

// recordUnsubscribed records that a subscription that was recorded has ended.
// The shard is locked.
func (s *Sub) recordUnsubscribed(in *earshot.App) {
	if s.told {
		s.record(in, Unsubscribed)
	}
}

func (s *Sub) record(a *earshot.App, t EventType) {
	c := s.conn
	if c.hub.Wants(a, t) {
		c.hub.Record(a, &Event{Type: t, Channel: s.name, Conn: c.event(s.Identity())}, nil)
	}
	if c.hub.Wants(a, ChannelUpdated) && s.counts() {
		c.hub.counts.changed(c.hub, a, s.name)
	}
}

// counts reports whether the subscription is one of those that its channel counts.
func (s *Sub) counts() bool {
	return !s.Identity().On(s.name, "").Allow.Has(earshot.Uncounted)
}

// emits reports whether a publication is to be recorded.
func (h *Hub) emits(a *earshot.App, p *Publication) bool {
	return p.Emit && h.Wants(a, p.event())
}

// event is the type of event that a publication is.
func (p *Publication) event() EventType {
	if p.Event != nil {
		return p.Event.Type
	}
	return MessagePublished
}

// recorded returns a done that records the publication before it tells of it.
// The event of a repeated publish is the same again: what a crash cut off
// between the two is made whole by who repeats it.
func (h *Hub) recorded(a *earshot.App, p *Publication, done func(Appended, error)) func(Appended, error) {
	m, origin, about, wantID := p.Message, p.Origin, p.Event, p.WantID
	return func(r Appended, err error) {
		if err != nil {
			done(r, err)
			return
		}
		published := *m
		published.ID, published.Time = r.ID, r.ID.Time()
		e := Event{Type: MessagePublished}
		if about != nil {
			e = *about
		}
		e.Channel, e.Message, e.Origin = m.Channel, &published, origin
		if !wantID {
			r.ID = earshot.ID{}
		}
		h.Record(a, &e, func(err error) { done(r, unrecorded(err)) })
	}
}

// unrecorded is why a publish fails whose event could not be recorded: the
// message itself was published.
func unrecorded(err error) error {
	if err == nil {
		return nil
	}
	return &earshot.Error{
		Code: earshot.Unknown, Reason: "EVENT_NOT_RECORDED", Err: err,
		Text: "the message was published, but its event was not recorded; repeat the publish with the same idempotency key",
	}
}

// counts are the channels whose number of subscriptions is to be told. While
// subscribers come and go, one is asked for now and then, and the last one is
// always told.
type counts struct {
	mu    sync.Mutex
	dirty map[countOf]*earshot.App
	busy  bool
}

type countOf struct{ app, channel string }

// countEvery is how long changes of a channel's number gather.
const countEvery = 200 * time.Millisecond

// changed notes that a channel's number has changed. It is quick.
func (n *counts) changed(h *Hub, a *earshot.App, channel string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dirty == nil {
		n.dirty = map[countOf]*earshot.App{}
	}
	n.dirty[countOf{a.Slug, channel}] = a
	if !n.busy {
		n.busy = h.spawn(func() { n.tell(h) })
	}
}

// take returns what has changed; it reports false, and ends the telling, if
// nothing has.
func (n *counts) take() (map[countOf]*earshot.App, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dirty := n.dirty
	n.dirty = nil
	n.busy = len(dirty) > 0
	return dirty, n.busy
}

// tell records the numbers that have changed, until none has.
func (n *counts) tell(h *Hub) {
	for {
		rest(h.ctx, countEvery)
		dirty, more := n.take()
		switch {
		case !more:
			return
		case h.ctx.Err() == nil:
		case len(h.nodes.others()) == 0:
			n.record(context.WithoutCancel(h.ctx), h, dirty) // the last ones
			return
		default:
			return // what is left is counted by the others
		}
		told := n.record(h.ctx, h, dirty)
		for of, count := range told {
			// Another node may have counted later, and been recorded sooner.
			if now, err := h.count(h.ctx, of); err != nil || now != count {
				n.again(of, dirty[of])
			}
		}
	}
}

// record records numbers, and returns those that are in the outbox. Others are
// told again later.
func (n *counts) record(ctx context.Context, h *Hub, dirty map[countOf]*earshot.App) (told map[countOf]int) {
	var all sync.WaitGroup
	told = map[countOf]int{}
	for of, a := range dirty {
		count, err := h.count(ctx, of)
		if err != nil {
			n.again(of, a)
			continue
		}
		told[of] = count
		all.Add(1)
		h.Record(a, &Event{Type: ChannelUpdated, Channel: of.channel, Count: count}, func(err error) {
			defer all.Done()
			if err != nil {
				n.again(of, a)
			}
		})
	}
	all.Wait()
	return told
}

// again notes a number that could not be asked for.
func (n *counts) again(of countOf, a *earshot.App) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dirty == nil {
		n.dirty = map[countOf]*earshot.App{}
	}
	n.dirty[of] = a
}

// count is a channel's number of subscriptions now, on all nodes.
func (h *Hub) count(ctx context.Context, of countOf) (int, error) {
	k := roomKey(of)
	elsewhere, err := h.countElsewhere(ctx, k)
	return elsewhere + h.countHere(k), err
}
