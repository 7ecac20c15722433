package schedule

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/netip"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Message is the kind of timer that publishes one.
const Message = "message"

// Header names the timer, in the headers of a message that was published when
// its time had come.
const Header = "Earshot-Schedule"

const (
	// keysFor is how long the engine is trusted to know an idempotency key: less
	// than the five minutes that it does, as clocks differ.
	keysFor = 4 * time.Minute
	// clocksDiffer is by how much those of two nodes may.
	clocksDiffer = time.Minute
)

// A Hub publishes: hub.Hub.
type Hub interface {
	Check(a *earshot.App, m *earshot.Message) error
	PublishAsync(ctx context.Context, a *earshot.App, p hub.Publication, done func(hub.Appended, error))
	Record(a *earshot.App, e *hub.Event, done func(error))
}

// A Publisher publishes messages at their times. Its methods may be called
// concurrently.
type Publisher struct {
	timers *Timers
	hub    Hub
	log    hub.Log
	apps   func(slug string) *earshot.App
}

// NewPublisher makes a publisher, before the timers are started. Apps finds an
// app by its slug, nil if there is none.
func NewPublisher(s *Timers, h Hub, log hub.Log, apps func(slug string) *earshot.App) *Publisher {
	p := &Publisher{timers: s, hub: h, log: log, apps: apps}
	s.kinds[Message] = p.handle
	return p
}

// Publish keeps a publication until its time, and returns the id of its timer:
// Timers.Cancel takes it, and ARN makes more of it. When it has returned, the
// message is as safe as an acknowledged one. It fails as Add does, or as
// hub.Hub.Check says.
//
// What the message may was decided by the caller, and is not asked again at its
// time: who was allowed to schedule it has. Everything of it is kept: whom it
// skips, too, if that connection is still there. A message whose app is gone by
// then, or that is to be stored on a channel that has become live, is dropped.
// Its own idempotency key counts when it is published: of two that are due within
// five minutes of each other the first is heard.
func (p *Publisher) Publish(ctx context.Context, a *earshot.App, at time.Time, pub hub.Publication) (id string, err error) {
	m := pub.Message
	if m.Notice != earshot.NoNotice || pub.Event != nil {
		return "", earshot.Errorf(earshot.Invalid, "only a message can be scheduled")
	}
	if err := p.hub.Check(a, m); err != nil {
		return "", err
	}
	return p.timers.Add(ctx, Timer{App: a.Slug, At: at, Kind: Message, Line: m.Channel, Data: seal(&pub)})
}

// A letter is a publication before its data, as a line of JSON.
type letter struct {
	Channel string            `json:"channel"`
	Event   string            `json:"event,omitempty"`
	Kind    earshot.Kind      `json:"kind,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Sender  *sender           `json:"sender,omitempty"`
	// Store is in milliseconds, -1 for ever.
	Store  int64   `json:"store,omitempty"`
	Skip   string  `json:"skip,omitempty"`
	Key    string  `json:"key,omitempty"`
	Emit   bool    `json:"emit,omitempty"`
	Origin *origin `json:"origin,omitempty"`
}

type sender struct {
	UID    string `json:"uid"`
	HasUID bool   `json:"hasUID"`
	Meta   []byte `json:"meta,omitempty"`
}

type origin struct {
	Trigger   hub.Trigger `json:"trigger"`
	RequestID string      `json:"requestID,omitempty"`
	Conn      string      `json:"conn,omitempty"`
	Remote    netip.Addr  `json:"remote,omitzero"`
	UserAgent string      `json:"userAgent,omitempty"`
}

// seal makes what a timer carries of a publication.
func seal(p *hub.Publication) []byte {
	m := p.Message
	l := letter{
		Channel: m.Channel, Event: m.Event, Kind: m.Kind, Headers: m.Headers, Store: int64(earshot.Forever),
		Key: p.Key, Emit: p.Emit,
	}
	if m.Store != earshot.Forever {
		l.Store = m.Store.Milliseconds()
	}
	if !m.Skip.IsZero() {
		l.Skip = m.Skip.String()
	}
	if s := m.Sender; s != nil {
		l.Sender = &sender{s.UID, s.HasUID, s.Meta}
	}
	if o := p.Origin; o != nil {
		l.Origin = &origin{Trigger: o.Trigger, RequestID: o.RequestID, Remote: o.Remote, UserAgent: o.UserAgent}
		if !o.Conn.IsZero() {
			l.Origin.Conn = o.Conn.String()
		}
	}
	head, _ := json.Marshal(&l) // texts and numbers do not fail
	return append(append(head, '\n'), m.Data...)
}

// Open reads what a timer of the kind Message carries.
func Open(t *Timer) (hub.Publication, error) {
	head, data, ok := bytes.Cut(t.Data, []byte{'\n'})
	var l letter
	if err := json.Unmarshal(head, &l); err != nil || !ok || l.Kind > earshot.Binary || l.Store > math.MaxInt64/int64(time.Millisecond) {
		return hub.Publication{}, &earshot.Error{Code: earshot.Invalid, Text: "a scheduled message that cannot be read", Err: err}
	}
	m := &earshot.Message{
		App: t.App, Channel: l.Channel, Event: l.Event, Kind: l.Kind, Headers: l.Headers, Data: data, Store: earshot.Forever,
	}
	if l.Store >= 0 {
		m.Store = time.Duration(l.Store) * time.Millisecond
	}
	m.Skip, _ = earshot.ParseConnID(l.Skip)
	if s := l.Sender; s != nil {
		m.Sender = &earshot.Sender{UID: s.UID, HasUID: s.HasUID, Meta: s.Meta}
	}
	p := hub.Publication{Message: m, Key: l.Key, Emit: l.Emit}
	if o := l.Origin; o != nil {
		p.Origin = &hub.Origin{Trigger: o.Trigger, RequestID: o.RequestID, Remote: o.Remote, UserAgent: o.UserAgent}
		p.Origin.Conn, _ = earshot.ParseConnID(o.Conn)
	}
	return p, nil
}

// handle publishes a message whose time has come.
func (p *Publisher) handle(ctx context.Context, t Timer, done func(error)) {
	pub, err := Open(&t)
	if err != nil {
		done(err)
		return
	}
	a := p.apps(t.App)
	if a == nil {
		done(&earshot.Error{Code: earshot.NotFound, Reason: "APP_GONE", Text: "the app of the schedule is gone"})
		return
	}
	m := pub.Message
	if m.Headers == nil {
		m.Headers = map[string]string{}
	}
	m.Headers[Header] = t.ID
	pub.Due = true
	if pub.Key == "" {
		pub.Key = "schedule:" + t.ID
	}
	if old := !t.First.IsZero() && p.timers.now().Sub(t.First) > keysFor; old && !a.Rule(m.Channel).Live {
		was, err := p.published(ctx, &t, m.Channel)
		if err != nil || was != nil {
			p.again(a, &pub, was, err, done)
			return
		}
	}
	p.hub.PublishAsync(ctx, a, pub, func(_ hub.Appended, err error) { done(err) })
}

// again ends what was published before. Its event may not have been recorded.
func (p *Publisher) again(a *earshot.App, pub *hub.Publication, was *earshot.Message, err error, done func(error)) {
	if err != nil || !pub.Emit {
		done(err)
		return
	}
	p.hub.Record(a, &hub.Event{Type: hub.MessagePublished, Channel: was.Channel, Message: was, Origin: pub.Origin}, done)
}

// published looks for the message of a timer in its channel's log, from the time
// at which it was first tried.
func (p *Publisher) published(ctx context.Context, t *Timer, channel string) (*earshot.Message, error) {
	r := hub.Range{Since: t.First.Add(-clocksDiffer), Hidden: true}
	for {
		page, err := p.log.Read(ctx, t.App, channel, r)
		if err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			if m.Headers[Header] == t.ID {
				return m, nil
			}
		}
		if !page.More || len(page.Messages) == 0 {
			return nil, nil
		}
		r.After = page.Messages[len(page.Messages)-1].ID.Position()
	}
}

// ARN names a timer as AWS names the schedules of EventBridge Scheduler (spec
// §4.2): "arn:aws:scheduler:REGION:000000000000:schedule/APP/ID".
func ARN(region, app, id string) string {
	return "arn:aws:scheduler:" + region + ":000000000000:schedule/" + app + "/" + id
}
