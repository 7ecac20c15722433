package hotsock

import (
	"context"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// handleUMDUpdate replaces the client's metadata: on one channel, or without a
// channel that of the connection (spec §2.6). Success is confirmed.
func (s *session) handleUMDUpdate(ctx context.Context, q *request) error {
	channel, alias := s.real(q.channel, nil)
	o, err := parseOptions(q.data)
	if err != nil {
		return s.fail(channel, alias, faultOf(err))
	}
	if err := s.p.updateUMD(ctx, s.conn, channel, o.token); err != nil {
		return s.fail(channel, alias, faultOf(err))
	}
	who := senderOf(s.conn)
	if sub := s.conn.Sub(channel); channel != "" && sub != nil {
		who, alias = sub.Sender(), aliasOf(sub)
	}
	return s.send(updated(channel, alias, who))
}

// senderOf is who the connection acts as where it has no subscription.
func senderOf(c *hub.Conn) earshot.Sender {
	id := c.Identity()
	return earshot.Sender{UID: id.UID, HasUID: id.HasUID, Meta: id.Meta}
}

// A change is the body of umdUpdate.
type change struct {
	Token   *string `json:"token"`
	Channel *string `json:"channel"`
}

// umdUpdate is hotsock.umdUpdate over HTTP (spec §5).
func (p *Protocol) umdUpdate(ctx context.Context, q *call) ([]byte, error) {
	var c change
	if err := q.read(&c); err != nil {
		return nil, err
	}
	channel, token := "", ""
	if c.Channel != nil && *c.Channel != "" {
		channel, _ = realName(q.conn, *c.Channel, nil, true)
	}
	if c.Token != nil {
		token = *c.Token
	}
	if err := p.updateUMD(ctx, q.conn, channel, token); err != nil {
		return nil, err
	}
	return []byte("{}"), nil
}

// updateUMD carries out an update that a token of scope umd permits; an empty
// channel means the connection. A token for one use is used up last, so that
// what is refused costs nothing. What is gone already stays so.
func (p *Protocol) updateUMD(ctx context.Context, c *hub.Conn, channel, token string) error {
	t, err := p.deps.Tokens.VerifyIn(c.App(), token, p.reader)
	if err != nil {
		return err
	}
	who := t.Value.(*proof)
	if who.scope&scopeUMD == 0 {
		return errScope("umd")
	}
	if err := who.bound(c); err != nil {
		return err
	}
	switch {
	case channel == "" && !who.umdUpdate:
		return errMayNotUpdate
	case channel == "":
	case checkChannel(channel) != nil:
		return checkChannel(channel)
	case !who.identity.On(channel, "").Allow.Has(earshot.UpdateMeta):
		return errMayNotUpdate
	case c.Sub(channel) == nil:
		return errNoSubscription
	}
	if who.singleUse {
		if err := p.deps.Tokens.Spend(ctx, t); err != nil {
			return err
		}
	}
	if channel == "" {
		return c.SetDefaultMeta(ctx, who.identity.Meta, who.umdPropagate)
	}
	return c.SetMeta(ctx, channel, who.identity.Meta)
}

// bound checks that a token of scope subscribe or umd is for this connection: it
// names the connection, or else its user (spec §3.2).
func (p *proof) bound(c *hub.Conn) error {
	now := c.Identity()
	switch {
	case p.connectionID != "" && p.connectionID == c.ID().String():
		return nil
	case p.connectionID != "":
		return errBound
	case p.identity.UID == "" || !now.HasUID || p.identity.UID != now.UID:
		return errOtherUser
	}
	return nil
}
