package tenant

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// A Change is what Update changes: what is nil stays.
type Change struct {
	Name         *string   `json:"name"`
	Active       *bool     `json:"active"`
	Hosts        *[]string `json:"hosts"`
	Origins      *[]string `json:"origins"`
	Audience     *string   `json:"audience"`
	Issuer       *string   `json:"issuer"`
	ExpiryCloses *bool     `json:"expiryCloses"`
	Channels     *[]Rule   `json:"channels"`
	Owners       *[]string `json:"owners"`
	RequireTLS   *bool     `json:"requireTls"`
	KeySigned    *bool     `json:"keySigned"`
	// Limits and Replay change what they name.
	Limits *LimitsChange `json:"limits"`
	Replay *ReplayChange `json:"replay"`
	// Gateways replaces the WebSocket APIs. Secrets that it leaves out, of an API,
	// key or function that stays, stay too.
	Gateways *[]Gateway `json:"gateways"`
	// AddSigningKeys are put before those that there are, AddPublishKeys and
	// AddAccessKeys likewise; RemoveKeys are ids of keys and secrets of any kind.
	AddSigningKeys []SigningKey `json:"addSigningKeys"`
	AddPublishKeys []PublishKey `json:"addPublishKeys"`
	AddAccessKeys  []AccessKey  `json:"addAccessKeys"`
	RemoveKeys     []string     `json:"removeKeys"`
}

// A LimitsChange is what changes of Limits: what is nil stays, 0 is no limit.
type LimitsChange struct {
	Connections  *int     `json:"connections"`
	Channels     *int     `json:"channels"`
	MessageBytes *int     `json:"messageBytes"`
	ClientRate   *float64 `json:"clientRate"`
	ServerRate   *float64 `json:"serverRate"`
}

// A ReplayChange is what changes of Replay: what is nil stays; both 0 is none.
type ReplayChange struct {
	Size    *int `json:"size"`
	Seconds *int `json:"seconds"`
}

// Update changes an app, and returns it with its secrets. A revision that is not
// 0 must be the app's.
func (s *Store) Update(ctx context.Context, by Actor, slug string, c *Change, revision uint64) (*App, error) {
	return s.change(ctx, by, "update", slug, revision, c.apply)
}

func (c *Change) apply(a *App) error {
	if c == nil {
		return nil
	}
	set(&a.Name, c.Name)
	set(&a.Active, c.Active)
	set(&a.Hosts, c.Hosts)
	set(&a.Origins, c.Origins)
	set(&a.Audience, c.Audience)
	set(&a.Issuer, c.Issuer)
	set(&a.ExpiryCloses, c.ExpiryCloses)
	set(&a.Channels, c.Channels)
	set(&a.Owners, c.Owners)
	if c.Gateways != nil {
		a.Gateways = keepSecrets(*c.Gateways, a.Gateways)
	}
	set(&a.RequireTLS, c.RequireTLS)
	set(&a.KeySigned, c.KeySigned)
	c.Limits.apply(a)
	c.Replay.apply(a)
	for _, id := range c.RemoveKeys {
		if !a.removeKey(id) {
			return invalid("KEY_NOT_FOUND", "the app has no key of the id %q", id)
		}
	}
	a.SigningKeys = slices.Concat(c.AddSigningKeys, a.SigningKeys)
	a.PublishKeys = slices.Concat(c.AddPublishKeys, a.PublishKeys)
	a.AccessKeys = slices.Concat(c.AddAccessKeys, a.AccessKeys)
	return a.digest()
}

func (c *LimitsChange) apply(a *App) {
	if c == nil {
		return
	}
	var next Limits
	set(&next, a.Limits)
	set(&next.Connections, c.Connections)
	set(&next.Channels, c.Channels)
	set(&next.MessageBytes, c.MessageBytes)
	set(&next.ClientRate, c.ClientRate)
	set(&next.ServerRate, c.ServerRate)
	a.Limits = &next
	if next == (Limits{}) {
		a.Limits = nil
	}
}

func (c *ReplayChange) apply(a *App) {
	if c == nil {
		return
	}
	var next Replay
	set(&next, a.Replay)
	set(&next.Size, c.Size)
	set(&next.Seconds, c.Seconds)
	a.Replay = &next
	if next == (Replay{}) {
		a.Replay = nil
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (a *App) removeKey(id string) bool {
	if id == "" {
		return false
	}
	before := len(a.PublishKeys) + len(a.SigningKeys) + len(a.AccessKeys) + len(a.Secrets)
	a.PublishKeys = slices.DeleteFunc(a.PublishKeys, func(k PublishKey) bool { return k.ID == id })
	a.SigningKeys = slices.DeleteFunc(a.SigningKeys, func(k SigningKey) bool { return k.ID == id })
	a.AccessKeys = slices.DeleteFunc(a.AccessKeys, func(k AccessKey) bool { return k.ID == id })
	a.Secrets = slices.DeleteFunc(a.Secrets, func(k AppSecret) bool { return k.ID == id })
	return len(a.PublishKeys)+len(a.SigningKeys)+len(a.AccessKeys)+len(a.Secrets) < before
}

// digest makes digests of the publish keys that were given.
func (a *App) digest() error {
	for i := range a.PublishKeys {
		k := &a.PublishKeys[i]
		switch {
		case k.Key == hidden || k.Sum == hidden:
			return errHidden
		case k.Key != "" && len(k.Key) < leastKey:
			return invalid("PUBLISH_KEY", "a publish key that is brought along has at least %d characters, drawn at random", leastKey)
		case k.Key != "":
			sum := sha256.Sum256([]byte(k.Key))
			k.Sum = Secret(hex.EncodeToString(sum[:]))
		case len(k.Sum) != 2*sha256.Size:
			return invalid("PUBLISH_KEY", "a publish key needs a key, or the SHA-256 of one in hex as sum")
		}
		k.Sum = Secret(strings.ToLower(string(k.Sum)))
		k.ID = "pk_" + string(k.Sum[:12])
	}
	return nil
}

// complete makes what a new app lacks.
func (s *Store) complete(a *App, lean bool) error {
	if err := CheckSlug(a.Slug); err != nil {
		return err
	}
	if a.Name == "" {
		a.Name = a.Slug
	}
	if a.Key == "" {
		a.Key = strings.ToLower(rand.Text())
	}
	if len(a.PublishKeys) == 0 && !lean {
		a.PublishKeys = []PublishKey{newPublishKey()}
	}
	if len(a.SigningKeys) == 0 && !lean {
		if s.keys == nil {
			return &earshot.Error{
				Code: earshot.Invalid, Reason: "MASTER_KEY_MISSING",
				Text: "without a master key (admin.master_key or EARSHOT_MASTER_KEY) an app needs a signing key with a publicKey: secrets cannot be kept",
			}
		}
		a.SigningKeys = []SigningKey{newSigningKey(a.Slug)}
	}
	if len(a.Secrets) == 0 && s.keys != nil {
		a.Secrets = []AppSecret{newAppSecret()}
	}
	return a.digest()
}

func newPublishKey() PublishKey { return PublishKey{Key: Secret(auth.NewPublishKey())} }

func newSigningKey(slug string) SigningKey {
	return SigningKey{
		ID: fmt.Sprintf("%.50s-%s", slug, strings.ToLower(rand.Text()[:10])), Alg: "HS256",
		Secret: Secret(base64.StdEncoding.EncodeToString([]byte(auth.NewSecret()))),
	}
}

func newAppSecret() AppSecret {
	return AppSecret{ID: "as_" + strings.ToLower(rand.Text()[:10]), Secret: Secret(auth.NewPublishKey())}
}

// The kinds of secrets that can be rotated.
const (
	RotatePublishKey = "publishKey"
	RotateSigningKey = "signingKey"
	RotateAccessKey  = "accessKey"
	RotateSecret     = "secret"
)

// A Rotation replaces a secret.
type Rotation struct {
	// Kind is what is replaced, one of those above.
	Kind string `json:"kind"`
	// Finish makes none: it takes away all but the newest.
	Finish bool `json:"finish"`
}

// Rotate makes a new secret of a kind, beside the newest that there is, so that
// both count; older ones of the kind are taken away. Signing keys with a public
// key stay. It returns the app with its secrets, the new one first. A revision
// that is not 0 must be the app's.
func (s *Store) Rotate(ctx context.Context, by Actor, slug string, r Rotation, revision uint64) (*App, error) {
	return s.change(ctx, by, "rotate "+r.Kind, slug, revision, func(a *App) error { return r.apply(a) })
}

func (r Rotation) apply(a *App) error {
	switch r.Kind {
	case RotatePublishKey:
		a.PublishKeys = rotate(a.PublishKeys, r.Finish, newPublishKey)
		return a.digest()
	case RotateSigningKey:
		secret := slices.DeleteFunc(slices.Clone(a.SigningKeys), func(k SigningKey) bool { return k.PublicKey != "" })
		public := slices.DeleteFunc(a.SigningKeys, func(k SigningKey) bool { return k.PublicKey == "" })
		a.SigningKeys = append(rotate(secret, r.Finish, func() SigningKey { return newSigningKey(a.Slug) }), public...)
	case RotateAccessKey:
		a.AccessKeys = rotate(a.AccessKeys, r.Finish, func() AccessKey {
			made := auth.NewAccessKey()
			k := AccessKey{ID: made.ID, Secret: Secret(made.Secret)}
			if len(a.AccessKeys) > 0 {
				k.Allow = a.AccessKeys[0].Allow
			}
			return k
		})
	case RotateSecret:
		a.Secrets = rotate(a.Secrets, r.Finish, newAppSecret)
	default:
		return invalid("KIND", "kind is publishKey, signingKey, accessKey or secret")
	}
	return nil
}

// rotate puts a new one before the newest, or leaves the newest alone.
func rotate[T any](all []T, finish bool, made func() T) []T {
	newest := all[:min(len(all), 1):min(len(all), 1)]
	if finish {
		return newest
	}
	return append([]T{made()}, newest...)
}
