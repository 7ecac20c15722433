package hotsock

import (
	"context"
	"strconv"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// getChannelInfo answers how many hear a channel, and on a presence channel who
// is there (spec §5). It needs the claim getInfo, and no subscription.
func (p *Protocol) getChannelInfo(ctx context.Context, q *call) ([]byte, error) {
	var in struct {
		Channel *string `json:"channel"`
	}
	if err := q.read(&in); err != nil {
		return nil, err
	}
	channel, err := q.channel(in.Channel)
	if err != nil {
		return nil, err
	}
	terms := termsOn(q.conn, channel)
	open := q.conn.App().Rule(channel).Open &^ terms.Deny
	if !(terms.Allow | open).Has(earshot.Info) {
		return nil, errMayNotInform
	}
	info, err := p.deps.Hub.Info(ctx, q.conn.App(), channel)
	if err != nil {
		return nil, err
	}
	return described(channel, info), nil
}

// termsOn is what a client may do on a channel, a subscription's own token
// included (spec §5).
func termsOn(c *hub.Conn, channel string) earshot.Terms {
	if sub := c.Sub(channel); sub != nil {
		return sub.Identity().On(channel, "")
	}
	return c.Identity().On(channel, "")
}

func described(channel string, info hub.Info) []byte {
	b := quote(append(make([]byte, 0, 64+len(channel)), `{"channel":`...), channel)
	b = append(b, `,"subscriptionsCount":`...)
	b = strconv.AppendInt(b, int64(info.Subscriptions), 10)
	if strings.HasPrefix(channel, presence) {
		b = members(append(b, ','), info.Members)
	}
	return append(b, '}')
}

// members appends the member "members": who is present, as it came.
func members(b []byte, all []hub.Member) []byte {
	b = append(b, `"members":[`...)
	for i, m := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(who(append(b, '{'), m.UID, true, m.Meta), '}')
	}
	return append(b, ']')
}
