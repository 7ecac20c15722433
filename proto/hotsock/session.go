package hotsock

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
)

// A session is one client's dialogue.
type session struct {
	p     *Protocol
	conn  *hub.Conn
	clock atomic.Pointer[clock] // nil if nothing is to be done in time
	// aliased says that a subscription has an alias of a token of its own. Only
	// commands use it, and they never overlap.
	aliased bool
}

// open begins the dialogue: connected is queued, then what autoSubscribe asks
// for. Joining a channel may wait for the engine, so it is the connection's
// first task, before which no command of the client is carried out.
func (p *Protocol) open(c *hub.Conn, who *proof) *session {
	s := &session{p: p, conn: c}
	_ = c.Send(connected(c.ID(), p.secret(c.ID()), p.expiry(c), senderOf(c)))
	s.setLifetime(time.Duration(p.config.Lifetime))
	s.setClock(who)
	if len(who.auto) > 0 {
		c.Do(func(ctx context.Context) {
			for _, channel := range who.auto {
				_ = s.subscribe(ctx, channel, options{}, confirmation{auto: true})
			}
		})
	}
	return s
}

// Handle carries out one message. What keeps a connection alive is answered at
// once; everything else keeps its order.
func (s *session) Handle(ctx context.Context, in hub.Input) error {
	q, err := s.p.parser.parse(in)
	if err != nil {
		return s.fail("", "", faultOf(err))
	}
	switch q.event {
	case "hotsock.ping":
		return s.send(s.p.pong)
	case "hotsock.pong":
		return nil
	case "hotsock.heartbeat":
		s.beat()
		return nil
	}
	if waits(q.event) || q.expression != "" || s.conn.Busy() {
		s.later(q)
		return nil
	}
	return s.carryOut(ctx, &q)
}

// later carries a request out behind those before it.
func (s *session) later(q request) {
	s.conn.Do(func(ctx context.Context) { _ = s.carryOut(ctx, &q) })
}

// waits reports whether an event may have to wait: for the engine to hear a
// channel, to read what was missed, or to use up a token.
func waits(event string) bool {
	switch event {
	case "hotsock.subscribe", "hotsock.refresh", "hotsock.umdUpdate", storageSet, storageGet, messageReaction:
		return true
	}
	return false
}

func (s *session) carryOut(ctx context.Context, q *request) error {
	switch q.event {
	case "hotsock.subscribe":
		return s.handleSubscribe(ctx, q)
	case "hotsock.unsubscribe":
		return s.handleUnsubscribe(q)
	case "hotsock.refresh":
		return s.handleRefresh(ctx, q)
	case "hotsock.umdUpdate":
		return s.handleUMDUpdate(ctx, q)
	case storageSet:
		return s.handleStorageSet(ctx, q)
	case storageGet:
		return s.handleStorageGet(ctx, q)
	case messageReaction:
		return s.handleReaction(ctx, q)
	}
	if strings.HasPrefix(q.event, reserved) {
		return s.fail(q.channel, "", faultOf(errUnknownEvent))
	}
	return s.handlePublish(ctx, q)
}

// errUnknownEvent is the answer to what is not part of the protocol.
var errUnknownEvent = &earshot.Error{Code: earshot.Invalid, Reason: "UNKNOWN_EVENT", Text: "no event of this name can be sent to the server"}

// Close is told that the dialogue is over.
func (s *session) Close(hub.End) { s.stopClock() }

func (s *session) send(f *hub.Frame) error {
	_ = s.conn.Send(f) // a connection that closes needs no answer
	return nil
}

func (s *session) fail(channel, alias string, f fault) error {
	return s.send(failure(channel, alias, f))
}

func (s *session) handleUnsubscribe(q *request) error {
	if q.channel == "" {
		return s.fail("", "", faultOf(errNoChannel))
	}
	channel, alias := s.real(q.channel, nil)
	sub := s.conn.Sub(channel)
	if sub == nil {
		return s.fail(channel, alias, faultOf(errNoSubscription))
	}
	who := sub.Sender()
	s.conn.Unsubscribe(sub)
	return s.send(unsubscribed(channel, aliasOf(sub), who))
}

// Unsubscribed tells the client that a subscription ended with its own token.
func (s *session) Unsubscribed(sub *hub.Sub) {
	_ = s.send(unsubscribed(sub.Name(), aliasOf(sub), sub.Sender())) // it does not fail
}

// handleRefresh replaces the connection's token by a newer one of the same
// user. Subscriptions that it does not permit end, and the client is told.
func (s *session) handleRefresh(ctx context.Context, q *request) error {
	t, who, err := s.refreshToken(q)
	if err == nil && who.singleUse {
		err = s.p.deps.Tokens.Spend(ctx, t)
	}
	if err != nil {
		return s.fail("", "", faultOf(err))
	}
	ended := s.conn.Enter(t.App, &who.identity)
	s.setClock(who)
	if err := s.send(refreshed(t.Expires, senderOf(s.conn))); err != nil {
		return err
	}
	for _, sub := range ended {
		if err := s.send(unsubscribed(sub.Name(), aliasOf(sub), sub.Sender())); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) refreshToken(q *request) (*auth.Token, *proof, error) {
	o, err := parseOptions(q.data)
	if err != nil {
		return nil, nil, err
	}
	t, err := s.p.deps.Tokens.VerifyIn(s.conn.App(), o.token, s.p.reader)
	if err != nil {
		return nil, nil, err
	}
	who, now := t.Value.(*proof), s.conn.Identity()
	switch {
	case who.scope&scopeConnect == 0:
		return nil, nil, errScope("connect")
	case who.connectionID != "" && who.connectionID != s.conn.ID().String():
		return nil, nil, errBound
	case who.identity.HasUID != now.HasUID || who.identity.UID != now.UID:
		return nil, nil, errOtherUser
	}
	return t, who, nil
}
