package tenant

import (
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// An App is an application as it is kept. Its JSON is that of the admin API.
type App struct {
	// ID is a number that no other app ever has, from 1.
	ID int64 `json:"id"`
	// Slug names the app on this server: 1 to 64 of a-z, 0-9 and -.
	Slug string `json:"slug"`
	// Name is for people.
	Name string `json:"name"`
	// Key names the app to clients that have no slug: letters, digits, - and _.
	Key string `json:"key"`
	// Active says that it is served.
	Active bool `json:"active"`
	// Hosts, Origins, Audience, Issuer and ExpiryCloses are as in earshot.App.
	Hosts        []string `json:"hosts,omitempty"`
	Origins      []string `json:"origins,omitempty"`
	Audience     string   `json:"audience,omitempty"`
	Issuer       string   `json:"issuer,omitempty"`
	ExpiryCloses bool     `json:"expiryCloses,omitzero"`
	// Channels are the rules; the first that matches counts.
	Channels []Rule `json:"channels,omitempty"`
	// Limits bound what it uses; nil is none of its own.
	Limits *Limits `json:"limits,omitempty"`
	// Owners are the names of those who may see and change this app alone.
	Owners []string `json:"owners,omitempty"`
	// RequireTLS and KeySigned are as in earshot.App, and so is Replay; nil for none.
	RequireTLS bool    `json:"requireTls,omitzero"`
	KeySigned  bool    `json:"keySigned,omitzero"`
	Replay     *Replay `json:"replay,omitempty"`
	// Gateways are its WebSocket APIs.
	Gateways []Gateway `json:"gateways,omitempty"`
	// PublishKeys, SigningKeys and AccessKeys are its keys, Secrets what it shares
	// with its own server; the newest first.
	PublishKeys []PublishKey `json:"publishKeys,omitempty"`
	SigningKeys []SigningKey `json:"signingKeys,omitempty"`
	AccessKeys  []AccessKey  `json:"accessKeys,omitempty"`
	Secrets     []AppSecret  `json:"secrets,omitempty"`
	// Created and Updated are when it was.
	Created time.Time `json:"created,omitzero"`
	Updated time.Time `json:"updated,omitzero"`
	// Revision rises with every change; it is not stored.
	Revision uint64 `json:"revision,omitzero"`
	// dry says that nothing could be stored under its slug so far; see isDry.
	dry bool
}

// A Rule says what the channels that match are; see earshot.Rule.
type Rule struct {
	Match string `json:"match"`
	Live  bool   `json:"live,omitzero"`
	Depth int    `json:"depth,omitzero"`
	// BeforeDisk delivers before the disk has a message.
	BeforeDisk bool `json:"beforeDisk,omitzero"`
	// Open is what needs no grant: "subscribe", "publish".
	Open []string `json:"open,omitempty"`
}

// Limits are those of earshot.Limits. 0 is no limit.
type Limits struct {
	Connections  int     `json:"connections,omitzero"`
	Channels     int     `json:"channels,omitzero"`
	MessageBytes int     `json:"messageBytes,omitzero"`
	ClientRate   float64 `json:"clientRate,omitzero"`
	ServerRate   float64 `json:"serverRate,omitzero"`
}

// A Replay says what new subscribers hear of what was said before: up to Size
// messages of the last Seconds.
type Replay struct {
	Size    int `json:"size"`
	Seconds int `json:"seconds"`
}

// A PublishKey is a bearer key of which only a digest is kept.
type PublishKey struct {
	// ID is the beginning of the digest.
	ID string `json:"id,omitempty"`
	// Key is the key itself: only in what is given, and in the answer to who made it.
	Key Secret `json:"key,omitempty"`
	// Sum is the SHA-256 of the key, in hex.
	Sum Secret `json:"sum,omitempty"`
}

// A SigningKey verifies tokens: by a secret for HMAC, in base64, else by a public
// key in PEM.
type SigningKey struct {
	ID        string `json:"id,omitempty"`
	Alg       string `json:"alg"`
	Secret    Secret `json:"secret,omitempty"`
	PublicKey string `json:"publicKey,omitempty"`
}

// An AccessKey signs requests; see earshot.AccessKey.
type AccessKey struct {
	ID     string   `json:"id"`
	Secret Secret   `json:"secret,omitempty"`
	Allow  []string `json:"allow,omitempty"`
}

// An AppSecret is one that the app's own server and this one both use.
type AppSecret struct {
	ID     string `json:"id"`
	Secret Secret `json:"secret,omitempty"`
}

// A Secret is a text that is not shown: in logs, errors and JSON it is hidden,
// but where Reveal writes it.
type Secret string

const hidden = "(hidden)"

// String hides it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides it.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue hides it.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes any text.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// Public is a copy without secrets.
func (a *App) Public() *App {
	c := a.clone()
	for i := range c.PublishKeys {
		c.PublishKeys[i].Key, c.PublishKeys[i].Sum = "", ""
	}
	for i := range c.SigningKeys {
		c.SigningKeys[i].Secret = ""
	}
	for i := range c.AccessKeys {
		c.AccessKeys[i].Secret = ""
	}
	for i := range c.Secrets {
		c.Secrets[i].Secret = ""
	}
	for i := range c.Gateways {
		c.Gateways[i].secrets(func(s *Secret) { *s = "" })
	}
	return c
}

// clone shares only what is never changed.
func (a *App) clone() *App {
	c := *a
	c.PublishKeys, c.SigningKeys = slices.Clone(a.PublishKeys), slices.Clone(a.SigningKeys)
	c.AccessKeys, c.Secrets = slices.Clone(a.AccessKeys), slices.Clone(a.Secrets)
	c.Gateways = cloneGateways(a.Gateways)
	return &c
}

// build makes what the server works with. The app was checked.
func (a *App) build() (*earshot.App, error) {
	out := &earshot.App{
		Slug: a.Slug, ID: a.ID, Name: a.Name, Key: a.Key, Owners: a.Owners, Hosts: a.Hosts, Origins: a.Origins,
		Audience: a.Audience, Issuer: a.Issuer, ExpiryCloses: a.ExpiryCloses, RequireTLS: a.RequireTLS, KeySigned: a.KeySigned,
		Live: a.isLive(),
	}
	if l := a.Limits; l != nil {
		out.Limits = earshot.Limits(*l)
	}
	if r := a.Replay; r != nil {
		out.Replay = earshot.Replay{Size: r.Size, For: time.Duration(r.Seconds) * time.Second}
	}
	for _, k := range a.Secrets {
		out.Secrets = append(out.Secrets, string(k.Secret))
	}
	for i := range a.Gateways {
		out.Gateways = append(out.Gateways, a.Gateways[i].build())
	}
	for i := range a.Channels {
		out.Rules = append(out.Rules, a.Channels[i].build())
	}
	for _, k := range a.PublishKeys {
		var sum [32]byte
		if n, err := hex.Decode(sum[:], []byte(k.Sum)); err != nil || n != len(sum) {
			return nil, invalid("PUBLISH_KEY", "the digest of the publish key %q is not a SHA-256", k.ID)
		}
		out.PublishSums = append(out.PublishSums, sum)
	}
	for _, k := range a.SigningKeys {
		made := earshot.SigningKey{ID: k.ID, Alg: k.Alg, Key: []byte(k.PublicKey)}
		if k.PublicKey == "" {
			raw, err := auth.DecodeKey(string(k.Secret))
			if err != nil {
				return nil, invalid("SIGNING_KEY", "the secret of the signing key %q is not base64", k.ID)
			}
			made.Key = raw
		}
		out.SigningKeys = append(out.SigningKeys, made)
	}
	for _, k := range a.AccessKeys {
		made := earshot.AccessKey{ID: k.ID, Secret: string(k.Secret)}
		for _, s := range k.Allow {
			made.Allow = append(made.Allow, earshot.Glob(s))
		}
		out.AccessKeys = append(out.AccessKeys, made)
	}
	return out, nil
}

func (r *Rule) build() earshot.Rule {
	out := earshot.Rule{Channel: earshot.Glob(r.Match), Live: r.Live, Depth: r.Depth, BeforeDisk: r.BeforeDisk}
	for _, s := range r.Open {
		switch s {
		case "subscribe":
			out.Open |= earshot.Subscribe
		case "publish":
			out.Open |= earshot.Publish
		}
	}
	return out
}
