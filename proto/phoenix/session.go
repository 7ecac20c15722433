package phoenix

import (
	"context"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/time/rate"
)

// Words of the protocol.
const (
	control     = "phoenix"
	unmatched   = "unmatched topic"
	rateLimited = "rate limited"
	statusOK    = "ok"
	statusBad   = "error"
)

// A session is one client's dialogue.
type session struct {
	p     *Protocol
	conn  *hub.Conn
	hello *hello
	rate  *rate.Limiter // of pushes to rooms; nil before the first
}

// A membership is a join of a topic; it is the tag of its subscription.
type membership struct{ join ref }

// Handle carries out one message. A heartbeat is answered at once, before
// anything that may take long (B.6); everything else keeps its order.
func (s *session) Handle(ctx context.Context, in hub.Input) error {
	f, err := s.hello.version.parse(in)
	if err != nil {
		return err
	}
	switch {
	case f.topic == control && f.event == "heartbeat":
		s.reply("", &f, statusOK, []byte("{}"))
	case f.topic == control:
		s.unmatched(&f)
	case f.event == "phx_join" || s.conn.Busy():
		s.conn.Do(func(ctx context.Context) { s.carryOut(ctx, &f) })
	default:
		s.carryOut(ctx, &f)
	}
	return nil
}

// Close is told that the dialogue is over.
func (s *session) Close(hub.End) {}

// send queues frames; a connection that closes needs no answer.
func (s *session) send(frames ...*hub.Frame) { _ = s.conn.Send(frames...) }

// reply answers a message, on behalf of a join.
func (s *session) reply(join ref, f *frame, status string, response []byte) {
	s.send(s.hello.version.reply(join, f.ref, f.topic, status, response))
}

func (s *session) unmatched(f *frame) { s.reply("", f, statusBad, because(unmatched)) }

func (s *session) carryOut(ctx context.Context, f *frame) {
	if f.event == "phx_join" {
		s.join(ctx, f)
		return
	}
	sub := s.conn.Sub(channelOf(f.topic))
	switch {
	case sub == nil && f.event == "phx_leave":
		s.reply(f.join, f, statusOK, []byte("{}"))
	case sub == nil:
		s.unmatched(f)
	case f.join != "" && f.join != joinOf(sub):
		// It belongs to a join that is no more (B.4).
	case f.event == "phx_leave":
		s.leave(sub, f)
	default:
		s.publish(ctx, sub, f)
	}
}

func joinOf(sub *hub.Sub) ref { return sub.Tag().(membership).join }

// leave ends a membership (B.4).
func (s *session) leave(sub *hub.Sub, f *frame) {
	s.conn.Unsubscribe(sub)
	join := joinOf(sub)
	v := s.hello.version
	s.send(v.reply(join, f.ref, f.topic, statusOK, []byte("{}")), v.closed(join, f.topic))
}

// publish publishes what a client pushes to a topic that it has joined. It is
// answered when the message is as safe as its channel promises; in a room only if
// it was refused (A.7.2).
func (s *session) publish(ctx context.Context, sub *hub.Sub, f *frame) {
	join, room := joinOf(sub), s.p.isRoom(f.topic, s.conn.App())
	answer := func(err error) {
		switch {
		case f.ref == "":
		case err != nil:
			s.reply(join, f, statusBad, refusedPush(err, room))
		case !room:
			s.reply(join, f, statusOK, []byte("{}"))
		}
	}
	if err := checkEvent(f.event); err != nil {
		answer(err)
		return
	}
	if err := s.pace(room); err != nil {
		answer(err)
		return
	}
	p := hub.Publication{Message: messageOf(f)}
	if err := s.conn.Publish(ctx, p, func(_ hub.Appended, err error) { answer(err) }); err != nil {
		answer(err)
	}
}

var errEvent = &earshot.Error{Code: earshot.Invalid, Reason: "EVENT_NAME", Text: "an event has a name of at most 255 bytes, which is none of the protocol's own"}

// checkEvent refuses what would pass for the server's word (A.7.2).
func checkEvent(name string) error {
	if name == "" || len(name) > maxName || name == presenceState || name == presenceDiff || strings.HasPrefix(name, reserved) {
		return errEvent
	}
	return nil
}

// Unsubscribed tells the client of a join whose own token has expired: it may
// join again with a newer one.
func (s *session) Unsubscribed(sub *hub.Sub) {
	s.send(s.hello.version.failed(joinOf(sub), topicOf(sub.Name()), "token_expired"))
}

// options are what a join's payload may say; anything else in it is the
// application's own.
type options struct {
	shown    shown
	asked    asked
	presence bool
}

// optionsOf reads a join's payload (A.7.3 step 1). What is not an object, or not
// of the type, says nothing.
func optionsOf(f *frame) (o options) {
	var in map[string]jsontext.Value
	if f.binary || json.Unmarshal(f.payload, &in) != nil {
		return o
	}
	for _, name := range []string{"guardian_csrf", "csrf_token", "guardian_token", "token"} {
		var token string
		if v := in[name]; v.Kind() == '"' && json.Unmarshal(v, &token) == nil {
			o.shown.take(token)
		}
	}
	o.presence = in["presence"].Kind() == 't'
	o.asked = askedOf(in["history"], in["since"])
	return o
}
