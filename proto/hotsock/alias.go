package hotsock

import (
	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// real returns the channel that a client calls name, and the alias if the name
// is one (spec §3.3). A name that is both a channel and an alias is the channel.
// The alias of a subscribe's own token, as, comes before those of the
// connection's.
func (s *session) real(name string, as *earshot.Identity) (channel, alias string) {
	return realName(s.conn, name, as, s.aliased)
}

// realName is real for who has no session. Own says that subscriptions may have
// aliases of tokens of their own.
func realName(c *hub.Conn, name string, as *earshot.Identity, own bool) (channel, alias string) {
	if name == "" || c.Sub(name) != nil {
		return name, ""
	}
	id := c.Identity()
	if isChannel(id.Grants, name) || as != nil && isChannel(as.Grants, name) {
		return name, ""
	}
	if as != nil {
		channel = channelCalled(as.Grants, name)
	}
	if channel == "" && own {
		channel = subscriptionCalled(c, name)
	}
	if channel == "" {
		channel = channelCalled(id.Grants, name)
	}
	if channel == "" {
		return name, ""
	}
	return channel, name
}

// isChannel reports whether a grant is for exactly this channel.
func isChannel(grants []earshot.Grant, name string) bool {
	for i := range grants {
		if channel, exact := grants[i].Channel.Literal(); exact && channel == name {
			return true
		}
	}
	return false
}

// channelCalled returns the channel that has the alias, empty if none has.
func channelCalled(grants []earshot.Grant, alias string) string {
	for i := range grants {
		if grants[i].Alias == alias {
			channel, _ := grants[i].Channel.Literal()
			return channel
		}
	}
	return ""
}

// subscriptionCalled returns the channel of the subscription that was made with
// the alias, empty if none was.
func subscriptionCalled(c *hub.Conn, alias string) string {
	for _, sub := range c.Subs() {
		if aliasOf(sub) == alias {
			return sub.Name()
		}
	}
	return ""
}

// aliasFor returns the alias of a channel, the subscribe token's before the
// connection's; empty if there is none.
func (s *session) aliasFor(channel string, as *earshot.Identity) string {
	if as != nil {
		if alias := aliasIn(as.Grants, channel); alias != "" {
			return alias
		}
	}
	return aliasIn(s.conn.Identity().Grants, channel)
}

func aliasIn(grants []earshot.Grant, channel string) string {
	for i := range grants {
		if grants[i].Alias == "" {
			continue
		}
		if name, _ := grants[i].Channel.Literal(); name == channel {
			return grants[i].Alias
		}
	}
	return ""
}

// aliasOf is the alias that a subscription was made with, empty for none.
func aliasOf(sub *hub.Sub) string {
	alias, _ := sub.Tag().(string)
	return alias
}
