package hotsock

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	storageSet  = "hotsock.channelStorageSet"
	storageGet  = "hotsock.channelStorageGet"
	storageData = "hotsock.channelStorageData"
)

// errNotServed refuses what the server was put together without.
func errNotServed(event string) error {
	return &earshot.Error{Code: earshot.Invalid, Reason: "NOT_SUPPORTED", Text: "this server does not serve " + event}
}

// entryAt checks the name of a channel whose storage is meant.
func (p *Protocol) entryAt(channel, event string) error {
	if p.deps.Entries == nil {
		return errNotServed(event)
	}
	if channel == "" {
		return errNoChannel
	}
	return checkChannel(channel)
}

// handleStorageSet writes an entry. Success is not answered, as that of a
// publish is not (spec §2.8).
func (s *session) handleStorageSet(ctx context.Context, q *request) error {
	channel, alias := s.real(q.channel, nil)
	err := s.p.entryAt(channel, storageSet)
	w := entry.Write{Channel: channel, Key: q.key, Data: q.data}
	switch {
	case err != nil:
	case q.expression != "":
		_, err = s.p.setLater(ctx, s.conn, w, when{q.expression, q.zone})
	default:
		_, err = s.p.deps.Entries.SetBy(ctx, s.conn, w)
	}
	if err != nil {
		return s.fail(channel, alias, faultOf(err))
	}
	return nil
}

// handleStorageGet answers with an entry (spec §2.8).
func (s *session) handleStorageGet(ctx context.Context, q *request) error {
	channel, alias := s.real(q.channel, nil)
	err := s.p.entryAt(channel, storageGet)
	var e entry.Entry
	if err == nil {
		e, err = s.p.deps.Entries.GetBy(ctx, s.conn, channel, q.key)
	}
	if err != nil {
		return s.fail(channel, alias, faultOf(err))
	}
	return s.send(hub.TextFrame(stored(channel, &e)))
}

// observedBytes is how much of what is observed is sent together.
const observedBytes = 32 << 10

// observe sends the entries that a new subscription observes, after it was
// confirmed and before what is live (spec §2.8). A client that takes them slowly
// is waited for, and so is a log that does not answer: the client has no way to
// ask again.
func (s *session) observe(ctx context.Context, sub *hub.Sub) (err error) {
	if s.p.deps.Entries == nil || !sub.Identity().MayObserve(sub.Name()) {
		return nil
	}
	last := ""
	var frames []*hub.Frame
	size := 0
	send := func() bool {
		_ = s.conn.Send(frames...) // a connection that closes ends ctx
		frames, size = nil, 0
		err = s.conn.Drained(ctx)
		return err == nil
	}
	visit := func(e entry.Entry) bool {
		last = e.Key
		frames = append(frames, observed(sub.Name(), &e))
		size += frames[len(frames)-1].Len()
		return size < observedBytes || send()
	}
	tries := time.NewTicker(asksAgain)
	defer tries.Stop()
	for until := time.Now().Add(patience); ; {
		failed := s.p.deps.Entries.Observed(ctx, s.conn.App(), sub, last, visit)
		if failed == nil && len(frames) > 0 {
			send()
		}
		if failed == nil || err != nil || earshot.CodeOf(failed) != earshot.Unavailable || time.Now().After(until) {
			if err == nil {
				err = failed
			}
			return err
		}
		select {
		case <-tries.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// observed is the event of an entry that is there, or has changed.
func observed(channel string, e *entry.Entry) *hub.Frame {
	return notice(&earshot.Message{Channel: channel, Notice: earshot.EntryChanged, Key: e.Key, Data: e.Data, Sender: e.Sender})
}

// A storageCall is the body of a call about channel storage.
type storageCall struct {
	Channel    *string        `json:"channel"`
	Key        *string        `json:"key"`
	Data       jsontext.Value `json:"data"`
	Keys       *[]string      `json:"keys"`
	After      *string        `json:"after"`
	Expression *string        `json:"scheduleExpression"`
	Zone       *string        `json:"scheduleExpressionTimezone"`
}

// storage reads the body of a call about channel storage.
func (p *Protocol) storage(q *call, event string) (c storageCall, channel string, err error) {
	if err := q.read(&c); err != nil {
		return c, "", err
	}
	if channel, err = q.channel(c.Channel); err != nil {
		return c, "", err
	}
	if c.Key == nil {
		c.Key = new(string)
	}
	return c, channel, p.entryAt(channel, event)
}

// channelStorageGet reads an entry (spec §5).
func (p *Protocol) channelStorageGet(ctx context.Context, q *call) ([]byte, error) {
	c, channel, err := p.storage(q, storageGet)
	if err != nil {
		return nil, err
	}
	e, err := p.deps.Entries.GetBy(ctx, q.conn, channel, *c.Key)
	if err != nil {
		return nil, err
	}
	return stored(channel, &e), nil
}

// channelStorageSet writes an entry (spec §5).
func (p *Protocol) channelStorageSet(ctx context.Context, q *call) ([]byte, error) {
	c, channel, err := p.storage(q, storageSet)
	if err != nil {
		return nil, err
	}
	if err := c.Data.Compact(); c.Data != nil && err != nil {
		return nil, explain(q.body, err)
	}
	w := entry.Write{Channel: channel, Key: *c.Key, Data: c.Data, Origin: q.origin}
	if at := whenOf(c.Expression, c.Zone); at.later() {
		arn, err := p.setLater(ctx, q.conn, w, at)
		return scheduled(channel, storageSet, arn), err
	}
	if _, err := p.deps.Entries.SetBy(ctx, q.conn, w); err != nil {
		return nil, err
	}
	return published(channel, storageSet, hub.Appended{}, false), nil
}

// channelStorageList reads what the client may get of a channel's entries, in
// the order of their keys, up to a hundred. If there are more, more is true: they
// are asked for by the last one's key as after (spec §5).
func (p *Protocol) channelStorageList(ctx context.Context, q *call) ([]byte, error) {
	c, channel, err := p.storage(q, storageGet)
	if err != nil {
		return nil, err
	}
	query := entry.Query{Channel: channel}
	if c.After != nil {
		query.After = *c.After
	}
	if c.Keys != nil {
		query.Keys = append([]string{}, *c.Keys...)
	}
	entries, more, err := p.deps.Entries.ListBy(ctx, q.conn, query)
	if err != nil {
		return nil, err
	}
	b := []byte(`{"items":[`)
	for i := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(keyed(append(b, '{'), &entries[i]), '}')
	}
	b = append(b, ']')
	if more {
		b = append(b, `,"more":true`...)
	}
	return append(b, '}'), nil
}

// stored is the answer to who asked for an entry; data and meta are null if
// there is none.
func stored(channel string, e *entry.Entry) []byte {
	b := append(make([]byte, 0, 160+len(channel)+len(e.Data)), `{"event":"`+storageData+`","channel":`...)
	b = quote(b, channel)
	return append(keyed(append(b, ','), e), '}')
}

// keyed appends the members key, data and meta.
func keyed(b []byte, e *entry.Entry) []byte {
	b = quote(append(b, `"key":`...), e.Key)
	if e.Data == nil {
		return append(b, `,"data":null,"meta":null`...)
	}
	b = append(append(b, `,"data":`...), e.Data...)
	return sender(append(b, ','), e.Sender)
}
