package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/tenant"
)

// Tenants makes the applications of the settings. Its error is Problems. A
// server without an app, and an app that nobody could use for want of a key,
// are among them: there are no default secrets.
func (c *Config) Tenants() ([]*earshot.App, error) {
	var p Problems
	if len(c.Apps) == 0 {
		p.add("apps: there is none; a server needs an [[apps]] with a slug, a publish key and a signing key")
	}
	var all []*earshot.App
	for i := range c.Apps {
		name := fmt.Sprintf("apps[%d]", i)
		if c.Apps[i].Slug != "" {
			name += " (" + c.Apps[i].Slug + ")"
		}
		all = append(all, c.Apps[i].tenant(name, &p))
	}
	if len(p) == 0 {
		if _, err := auth.NewDirectory(all); err != nil {
			p.add("apps: %v", err)
		}
	}
	return all, p.or()
}

func (a *App) tenant(name string, p *Problems) *earshot.App {
	out := &earshot.App{
		Slug: a.Slug, Name: cmp.Or(a.Name, a.Slug), Key: string(a.Key), Owners: a.Owners,
		Hosts: a.Hosts, Audience: a.Audience, Issuer: a.Issuer, Origins: a.Origins, ExpiryCloses: a.ExpiryCloses,
		RequireTLS: a.RequireTLS, KeySigned: a.KeySignedTokens, Limits: a.Limits.build(),
		Replay: earshot.Replay{Size: a.Replay.Size, For: time.Duration(a.Replay.For)},
	}
	if !validSlug(a.Slug) {
		p.add("%s.slug: %q is not 1 to 64 of a-z, 0-9 and -", name, a.Slug)
	}
	for i, origin := range a.Origins {
		if !earshot.ValidOrigin(origin) {
			p.add(`%s.origins[%d]: %q is not an origin such as "https://example.com"`, name, i, origin)
		}
	}
	a.use(out, name, p)
	a.keys(out, name, p)
	var err error
	if out.Unsigned, err = networks(a.UnsignedNetworks); err != nil {
		p.add("%s.unsigned_networks: %v", name, err)
	}
	a.webhooks(out, name, p)
	a.gateways(out, name, p)
	for i := range a.Channels {
		out.Rules = append(out.Rules, a.Channels[i].rule(fmt.Sprintf("%s.channels[%d]", name, i), p))
	}
	return out
}

func (l *AppLimits) build() earshot.Limits {
	return earshot.Limits{
		Connections: l.Connections, Channels: l.Channels, MessageBytes: int(l.MessageBytes), ClientRate: l.ClientRate, ServerRate: l.ServerRate,
	}
}

// use checks who may use the app, and how much, and adds what it shares with
// its own servers.
func (a *App) use(out *earshot.App, name string, p *Problems) {
	if a.Key != "" && !tenant.ValidKey(string(a.Key)) {
		p.add("%s.key: it is not 1 to 64 letters, digits, - and _", name)
	}
	if len(a.Secrets) > 0 && a.Key == "" {
		p.add("%s.secrets: they need a key", name)
	}
	for i, s := range a.Secrets {
		if strings.TrimSpace(string(s)) == "" {
			p.add("%s.secrets[%d]: it is empty", name, i)
		}
		out.Secrets = append(out.Secrets, string(s))
	}
	if a.KeySignedTokens && a.Key == "" {
		p.add("%s.key_signed_tokens: there is no key", name)
	}
	for i, o := range a.Owners {
		if o == "" || strings.Contains(o, ":") {
			p.add("%s.owners[%d]: a name has no colon and is not empty", name, i)
		}
	}
	if (a.Replay.Size > 0) != (a.Replay.For > 0) {
		p.add("%s.replay: it needs both size and for, or neither", name)
	}
}

// keys adds the app's keys. Each is checked by itself, so that one that is
// wrong does not hide another.
func (a *App) keys(out *earshot.App, name string, p *Problems) {
	for i, k := range a.PublishKeys {
		if strings.TrimSpace(string(k)) == "" {
			p.add("%s.publish_keys[%d]: it is empty", name, i)
		}
		out.PublishKeys = append(out.PublishKeys, string(k))
	}
	for i, k := range a.SigningKeys {
		key, err := k.decode()
		if err != nil {
			p.add("%s.signing_keys[%d]: %v", name, i, err)
		}
		out.SigningKeys = append(out.SigningKeys, key)
	}
	for i, k := range a.AccessKeys {
		if k.ID == "" || k.Secret == "" {
			p.add("%s.access_keys[%d]: it needs an id and a secret", name, i)
		}
		made := earshot.AccessKey{ID: k.ID, Secret: string(k.Secret)}
		for j, allowed := range k.Allow {
			if !validAllow(allowed) {
				p.add(`%s.access_keys[%d].allow[%d]: %q is none of %q, %q and %q, perhaps with ":" and a name behind it`,
					name, i, j, allowed, earshot.InvokeFunction, earshot.ManageConnections, earshot.InvokeAPI)
			}
			made.Allow = append(made.Allow, earshot.Glob(allowed))
		}
		out.AccessKeys = append(out.AccessKeys, made)
	}
	if len(a.SigningKeys)+len(a.Secrets) == 0 {
		p.add("%s.signing_keys: there is none, so no client could connect; `earshot token key` makes one", name)
	}
	if len(a.PublishKeys)+len(a.AccessKeys)+len(a.Secrets) == 0 && !a.byToken {
		p.add("%s.publish_keys: there is none, so nothing could be published over HTTP; `earshot token key` makes one", name)
	}
}

// validAllow asks for one of the actions, so that a typing error does not
// take away what was meant to be allowed.
func validAllow(s string) bool {
	for _, action := range []string{earshot.InvokeFunction, earshot.ManageConnections, earshot.InvokeAPI} {
		rest, ok := strings.CutPrefix(s, action)
		if name, named := strings.CutPrefix(rest, ":"); ok && (rest == "" || named && name != "") {
			return true
		}
	}
	return false
}

func (k SigningKey) decode() (earshot.SigningKey, error) {
	if k.Key == "" {
		return earshot.SigningKey{}, errors.New("key is missing")
	}
	raw, err := auth.DecodeKey(string(k.Key))
	if err != nil {
		return earshot.SigningKey{}, err
	}
	made := earshot.SigningKey{ID: k.ID, Alg: k.Alg, Key: raw}
	if _, err = auth.NewDirectory([]*earshot.App{{SigningKeys: []earshot.SigningKey{made}}}); err != nil {
		return made, errors.Unwrap(err) // without the name of an app that is not there
	}
	return made, nil
}

// validSlug: a slug is also a path segment and a name in the engine.
func validSlug(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (c *Channel) rule(name string, p *Problems) earshot.Rule {
	r := earshot.Rule{Channel: earshot.Glob(c.Match), Live: c.Live, Depth: c.Depth}
	if c.Match == "" {
		p.add(`%s.match: it is missing; "*" matches every channel`, name)
	}
	switch c.Deliver {
	case "", "after-disk":
	case "before-disk":
		r.BeforeDisk = true
	default:
		p.add(`%s.deliver: %q is neither "after-disk" nor "before-disk"`, name, c.Deliver)
	}
	if c.Live && (c.Depth != 0 || c.Deliver != "") {
		p.add("%s: a live channel is never stored, so depth and deliver mean nothing", name)
	}
	for i, action := range c.Open {
		switch action {
		case "subscribe":
			r.Open |= earshot.Subscribe
		case "publish":
			r.Open |= earshot.Publish
		default:
			p.add(`%s.open[%d]: %q is neither "subscribe" nor "publish"`, name, i, action)
		}
	}
	return r
}
