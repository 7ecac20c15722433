package hotsock

import (
	"context"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

// handlePublish publishes what a client sent. Success is not answered (spec §2.3).
func (s *session) handlePublish(ctx context.Context, q *request) error {
	channel, alias := s.real(q.channel, nil)
	p, err := publication(channel, q.event, q.data)
	switch {
	case err != nil:
	case q.expression != "":
		_, err = s.p.publishLater(ctx, s.conn, p, when{q.expression, q.zone})
	default:
		err = s.conn.Publish(ctx, p, func(_ hub.Appended, err error) {
			if err != nil {
				_ = s.fail(channel, alias, faultOf(err))
			}
		})
	}
	if err != nil {
		return s.fail(channel, alias, faultOf(err))
	}
	return nil
}

// publication checks the names of what a client wants to publish.
func publication(channel, event string, data []byte) (p hub.Publication, err error) {
	if channel == "" {
		return p, errNoChannel
	}
	if err := checkEvent(event); err != nil {
		return p, err
	}
	if err := checkChannel(channel); err != nil {
		return p, err
	}
	return hub.Publication{Message: &earshot.Message{Channel: channel, Event: event, Kind: earshot.JSON, Data: data}}, nil
}

// A post is the body of publishMessage.
type post struct {
	Channel    *string        `json:"channel"`
	Event      *string        `json:"event"`
	Data       jsontext.Value `json:"data"`
	WantID     *bool          `json:"eagerIdGeneration"`
	Expression *string        `json:"scheduleExpression"`
	Zone       *string        `json:"scheduleExpressionTimezone"`
}

// publishMessage publishes as the client's socket would (spec §5).
func (p *Protocol) publishMessage(ctx context.Context, q *call) ([]byte, error) {
	var m post
	if err := q.read(&m); err != nil {
		return nil, err
	}
	channel, err := q.channel(m.Channel)
	if err != nil {
		return nil, err
	}
	if m.Event == nil || *m.Event == "" {
		return nil, errNoEvent
	}
	if err := m.Data.Compact(); m.Data != nil && err != nil {
		return nil, explain(q.body, err)
	}
	if *m.Event == messageReaction {
		return p.publishReaction(ctx, q, channel, &m)
	}
	pub, err := publication(channel, *m.Event, m.Data)
	if err != nil {
		return nil, err
	}
	pub.WantID, pub.Origin = isTrue(m.WantID), q.origin
	if w := whenOf(m.Expression, m.Zone); w.later() {
		arn, err := p.publishLater(ctx, q.conn, pub, w)
		return scheduled(channel, *m.Event, arn), err
	}
	done, err := publish(ctx, q.conn, pub)
	if err != nil {
		return nil, err
	}
	return published(channel, *m.Event, done, pub.WantID), nil
}

// publish publishes what a client may, and waits for the outcome.
func publish(ctx context.Context, c *hub.Conn, p hub.Publication) (hub.Appended, error) {
	type outcome struct {
		hub.Appended
		err error
	}
	result := make(chan outcome, 1)
	if err := c.Publish(ctx, p, func(r hub.Appended, err error) { result <- outcome{r, err} }); err != nil {
		return hub.Appended{}, err
	}
	select {
	case o := <-result:
		return o.Appended, o.err
	case <-ctx.Done():
		return hub.Appended{}, context.Cause(ctx)
	}
}

// published is the answer to a publish (spec §4.2).
func published(channel, event string, r hub.Appended, wantID bool) []byte {
	b := quote(append(make([]byte, 0, 80+len(channel)+len(event)), `{"channel":`...), channel)
	b = quote(append(b, `,"event":`...), event)
	if wantID {
		b = append(quote(append(b, `,"id":`...), r.ID.String()), '}')
		return b
	}
	return append(b, '}')
}
