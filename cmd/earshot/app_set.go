package main

import (
	"time"

	"github.com/earshot-io/earshot/client"
)

// bounds is who may use an app, and how much, as create and update both set it.
// What is not given is nil.
type bounds struct {
	Owner       []string       `help:"The name of somebody who may see and change this app alone; may be repeated." placeholder:"NAME" sep:"none"`
	RequireTLS  *bool          `help:"Refuse what does not come over TLS." negatable:"" name:"require-tls"`
	KeySigned   *bool          `help:"Accept tokens that are signed with the key, which is no secret." negatable:""`
	Connections *int           `help:"How many clients may be connected to a node; 0 is no limit." placeholder:"N"`
	Channels    *int           `help:"How many subscriptions a connection may have; 0 is no limit." placeholder:"N"`
	MaxMessage  *int           `help:"How many bytes of data a message may have; 0 is no limit." placeholder:"BYTES"`
	ClientRate  *float64       `help:"How many messages a second a connection may publish; 0 is no limit." placeholder:"RATE"`
	ServerRate  *float64       `help:"How many messages a second its servers may publish; 0 is no limit." placeholder:"RATE"`
	ReplaySize  *int           `help:"How many messages a new subscriber hears of what was said before; 0 is none." placeholder:"N"`
	ReplayFor   *time.Duration `help:"How old they may be." placeholder:"DURATION"`
}

// limits is what changes of the limits, nil for nothing.
func (b *bounds) limits() *client.LimitsChange {
	c := client.LimitsChange{
		Connections: b.Connections, Channels: b.Channels, MessageBytes: b.MaxMessage, ClientRate: b.ClientRate, ServerRate: b.ServerRate,
	}
	if c == (client.LimitsChange{}) {
		return nil
	}
	return &c
}

// replay is what changes of the replay, nil for nothing.
func (b *bounds) replay() *client.ReplayChange {
	c := client.ReplayChange{Size: b.ReplaySize}
	if b.ReplayFor != nil {
		seconds := int(*b.ReplayFor / time.Second)
		c.Seconds = &seconds
	} else if b.ReplaySize != nil && *b.ReplaySize == 0 {
		c.Seconds = b.ReplaySize // none at all
	}
	if c == (client.ReplayChange{}) {
		return nil
	}
	return &c
}

func (s *settable) rules() []client.ChannelRule {
	var all []client.ChannelRule
	for _, match := range s.Live {
		all = append(all, client.ChannelRule{Match: match, Live: true})
	}
	return all
}

// into adds to a change what the flags say.
func (s *settable) into(change *client.AppChange) {
	if s.Name != "" {
		change.Name = &s.Name
	}
	if len(s.Host) > 0 {
		change.Hosts = &s.Host
	}
	if len(s.Origin) > 0 {
		change.Origins = &s.Origin
	}
	if rules := s.rules(); rules != nil {
		change.Channels = &rules
	}
	if len(s.Owner) > 0 {
		change.Owners = &s.Owner
	}
	if s.RequireTLS != nil {
		change.RequireTLS = s.RequireTLS
	}
	if s.KeySigned != nil {
		change.KeySigned = s.KeySigned
	}
	if l := s.limits(); l != nil {
		change.Limits = l
	}
	if r := s.replay(); r != nil {
		change.Replay = r
	}
}

// app is what the flags say of a new app.
func (c *appCreateCmd) app() *client.App {
	a := &client.App{
		Slug: c.Slug, Name: c.Name, Key: c.Key, Active: true, Hosts: c.Host, Origins: c.Origin, Channels: c.rules(), Owners: c.Owner,
		RequireTLS: value(c.RequireTLS), KeySigned: value(c.KeySigned),
	}
	if l := c.limits(); l != nil {
		a.Limits = &client.AppLimits{
			Connections: value(l.Connections), Channels: value(l.Channels), MessageBytes: value(l.MessageBytes),
			ClientRate: value(l.ClientRate), ServerRate: value(l.ServerRate),
		}
	}
	if r := c.replay(); r != nil {
		a.Replay = &client.AppReplay{Size: value(r.Size), Seconds: value(r.Seconds)}
	}
	return a
}

// value is what a pointer points to, or nothing.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
