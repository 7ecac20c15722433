package gateway

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
)

// answer has a message's route worked on, and tells the client what comes of it
// (5.1).
func (s *session) answer(m message) {
	defer s.conn.Survive("a message of a WebSocket API")
	app, stage := s.current()
	if stage == nil {
		return
	}
	id := newID()
	route := stage.Route(core.DefaultRoute)
	if !m.binary {
		route = stage.Select(m.data)
	}
	switch {
	case route == nil:
		s.p.counts.refused.Add(1)
		s.say(errorFrame(textForbidden, s.who.ID, id))
		return
	case s.conn.Spend() != nil || !s.p.throttles.Allow(stage, route.Key, time.Now()):
		s.p.counts.refused.Add(1)
		s.say(errorFrame(textTooMany, s.who.ID, id))
		return
	case route.Integration == nil:
		s.say(errorFrame(textInternal, s.who.ID, id))
		return
	}
	ctx, cancel := context.WithTimeout(s.p.endings.ctx, workTime)
	defer cancel()
	answer, err := s.p.integrate(ctx, app, &core.Event{
		Type: core.Message, Stage: stage, Route: route, Conn: s.who, RequestID: id, MessageID: newID(), Time: time.Now(),
		Body: m.data, Binary: m.binary,
	})
	if err == nil {
		err = s.carryOut(ctx, route, answer)
	}
	if err != nil {
		s.p.deps.Log.Debug("a message failed", "app", s.slug, "api", s.api, "route", route.Key, "err", err)
		s.say(errorFrame(textOf(err), s.who.ID, id))
	}
}

// carryOut does what an integration's answer says: channels are left and joined,
// then the client is told, and then hears them.
func (s *session) carryOut(ctx context.Context, route *core.Route, answer *core.Answer) error {
	for _, channel := range answer.Leave {
		s.leaveChannel(channel)
	}
	var subs []*hub.Sub
	for _, channel := range answer.Join {
		sub, err := s.join(ctx, join{channel, answer.Envelope})
		if err != nil {
			return err
		}
		if sub != nil {
			subs = append(subs, sub)
		}
	}
	if route.TwoWay() && len(answer.Body) > 0 {
		if len(answer.Body) > maxData {
			return earshot.Errorf(earshot.TooLarge, "the reply has more than 128 KiB")
		}
		s.say(frameOf(answer.Body, answer.Binary))
	}
	for _, sub := range subs {
		if err := sub.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// frameOf is a text message, if the bytes are a text and are not to be binary.
func frameOf(b []byte, binary bool) *hub.Frame {
	if binary || !utf8.Valid(b) {
		return hub.BinaryFrame(b)
	}
	return hub.TextFrame(b)
}
