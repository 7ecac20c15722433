package client

import (
	"encoding/json"
	"time"
)

// What a token may be used for; a Scope holds one or more, with spaces between.
const (
	ScopeConnect   = "connect"
	ScopeSubscribe = "subscribe"
	ScopeUMD       = "umd"
)

// Claims say who a client is and what it may do. Fields that are zero are left
// out, so that the defaults of the Config count, or those of the server.
//
// The keys of Channels, Messages and Storage are names, or patterns: * stands
// for any run of characters, and what follows #regex: is a regular expression of
// Go's package regexp. All keys that match count; a Deny wins over an Allow.
type Claims struct {
	// Scope is what the token is for: ScopeConnect, ScopeSubscribe, ScopeUMD. Needed.
	Scope string
	// Expires is when the token stops to be valid. Needed, here or as the Config's
	// IssuerTokenTTL.
	Expires time.Time
	// NotBefore is when it begins to be valid.
	NotBefore time.Time
	// IssuedAt is when it was issued.
	IssuedAt time.Time
	// Audience is whom it is for.
	Audience []string
	// Issuer is who issued it.
	Issuer string
	// ID is its jti. A token for single use needs one, here or by the Config's
	// IssuerJtiClaim.
	ID string
	// UID is the user's id, up to 128 characters. Presence channels need it.
	UID string
	// UMD is metadata of the user that others see, a JSON value of up to 1 KiB.
	UMD any
	// SingleUse lets the token be used once.
	SingleUse bool
	// ConnectionID binds a token for subscribe or umd to a connection.
	ConnectionID string
	// KeepAlive asks the server for a message every 9.5 minutes, for networks that
	// end what is silent.
	KeepAlive bool
	// HeartbeatTimeout, in seconds from 5 to 600, ends a connection whose client has
	// not sent a heartbeat for so long.
	HeartbeatTimeout int
	// UMDUpdate, in a token for umd, lets the client replace the connection's UMD,
	// and UMDPropagate that of its subscriptions with it.
	UMDUpdate    bool
	UMDPropagate bool
	// Channels say what the client may do on which channels.
	Channels map[string]ChannelClaims
	// Extra are further members, written as they are. They win over the fields.
	Extra map[string]any
}

// A Permission is allowed, denied, or not said.
type Permission uint8

// The permissions. What is not said is not allowed, unless another key that
// matches allows it.
const (
	Allow Permission = iota + 1
	// Deny wins over every Allow.
	Deny
)

// IsZero reports whether nothing is said.
func (p Permission) IsZero() bool { return p == 0 }

// MarshalJSON writes true or false, null if nothing is said.
func (p Permission) MarshalJSON() ([]byte, error) {
	switch p {
	case Allow:
		return []byte("true"), nil
	case Deny:
		return []byte("false"), nil
	}
	return []byte("null"), nil
}

// ChannelClaims say what a client may do on a channel.
type ChannelClaims struct {
	// Subscribe lets it subscribe.
	Subscribe Permission `json:"subscribe,omitzero"`
	// AutoSubscribe subscribes it when it connects, and allows that. The key is a
	// name then.
	AutoSubscribe Permission `json:"autoSubscribe,omitzero"`
	// Alias is another name by which the client calls the channel. The key is a name
	// then.
	Alias string `json:"alias,omitzero"`
	// GetInfo lets it ask how many subscribe, and who.
	GetInfo Permission `json:"getInfo,omitzero"`
	// HistoryStart is since when it may read history; time.Unix(0, 0) is everything.
	// Without it, since it subscribed.
	HistoryStart time.Time `json:"-"`
	// OmitFromSubCount does not count it among the subscribers.
	OmitFromSubCount Permission `json:"omitFromSubCount,omitzero"`
	// UMDUpdate, in a token for umd, lets it replace its UMD on the channel.
	UMDUpdate Permission `json:"umdUpdate,omitzero"`
	// Messages say what it may do with which events.
	Messages map[string]EventClaims `json:"messages,omitempty"`
	// Storage says what it may do with which entries.
	Storage map[string]EntryClaims `json:"storage,omitempty"`
}

// EventClaims say what a client may do with an event.
type EventClaims struct {
	// Publish lets it publish while it subscribes to the channel.
	Publish Permission `json:"publish,omitzero"`
	// Broadcast lets it publish in any case. In a token for connect only.
	Broadcast Permission `json:"broadcast,omitzero"`
	// Echo sends it what it publishes.
	Echo Permission `json:"echo,omitzero"`
	// EmitPubSubEvent sends an event about each message to the app's webhooks.
	EmitPubSubEvent Permission `json:"emitPubSubEvent,omitzero"`
	// Store is how many seconds history shows what it publishes, or Forever.
	Store int64 `json:"store,omitzero"`
	// ScheduleBefore is the latest moment for which it may schedule a message.
	ScheduleBefore time.Time `json:"-"`
	// React says how it may react to messages of this event.
	React Reactions `json:"react,omitzero"`
}

// Reactions say which reactions are allowed.
type Reactions struct {
	// Any allows or denies all.
	Any Permission
	// Only allows these, if Any says nothing.
	Only []string
}

// IsZero reports whether nothing is said.
func (r Reactions) IsZero() bool { return r.Any == 0 && r.Only == nil }

// MarshalJSON writes true, false or the list.
func (r Reactions) MarshalJSON() ([]byte, error) {
	if r.Any != 0 {
		return r.Any.MarshalJSON()
	}
	return encode(r.Only)
}

// EntryClaims say what a client may do with an entry of a channel's storage.
type EntryClaims struct {
	// Observe tells it of the entry when it subscribes, and of each change.
	Observe Permission `json:"observe,omitzero"`
	// Get lets it read the entry.
	Get Permission `json:"get,omitzero"`
	// Set lets it write the entry.
	Set Permission `json:"set,omitzero"`
	// EmitPubSubEvent sends an event about each change to the app's webhooks.
	EmitPubSubEvent Permission `json:"emitPubSubEvent,omitzero"`
	// Store is how many seconds what it writes stays; 0 and Forever are for ever.
	Store int64 `json:"store,omitzero"`
	// ScheduleBefore is the latest moment for which it may schedule a write.
	ScheduleBefore time.Time `json:"-"`
}

// A date is a moment in seconds since 1970 (RFC 7519 §2).
type date struct{ time.Time }

func (d date) MarshalJSON() ([]byte, error) { return json.Marshal(d.Unix()) }

// MarshalJSON writes the directives.
func (c ChannelClaims) MarshalJSON() ([]byte, error) {
	type plain ChannelClaims
	return encode(struct {
		plain
		HistoryStart date `json:"historyStart,omitzero"`
	}{plain(c), date{c.HistoryStart}})
}

// MarshalJSON writes the directives.
func (c EventClaims) MarshalJSON() ([]byte, error) {
	type plain EventClaims
	return encode(struct {
		plain
		ScheduleBefore date `json:"scheduleBefore,omitzero"`
	}{plain(c), date{c.ScheduleBefore}})
}

// MarshalJSON writes the directives.
func (c EntryClaims) MarshalJSON() ([]byte, error) {
	type plain EntryClaims
	return encode(struct {
		plain
		ScheduleBefore date `json:"scheduleBefore,omitzero"`
	}{plain(c), date{c.ScheduleBefore}})
}

// audience is one string or an array of them (RFC 7519 §4.1.3).
type audience []string

func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return encode(a[0])
	}
	return encode([]string(a))
}

// MarshalJSON writes the claims as a token has them. No member comes twice.
func (c Claims) MarshalJSON() ([]byte, error) {
	text, err := encode(struct {
		Scope            string                   `json:"scope,omitzero"`
		Expires          date                     `json:"exp,omitzero"`
		NotBefore        date                     `json:"nbf,omitzero"`
		IssuedAt         date                     `json:"iat,omitzero"`
		Audience         audience                 `json:"aud,omitempty"`
		Issuer           string                   `json:"iss,omitzero"`
		ID               string                   `json:"jti,omitzero"`
		UID              string                   `json:"uid,omitzero"`
		UMD              any                      `json:"umd,omitempty"`
		SingleUse        bool                     `json:"singleUse,omitzero"`
		ConnectionID     string                   `json:"connectionId,omitzero"`
		KeepAlive        bool                     `json:"keepAlive,omitzero"`
		HeartbeatTimeout int                      `json:"heartbeatTimeout,omitzero"`
		UMDUpdate        bool                     `json:"umdUpdate,omitzero"`
		UMDPropagate     bool                     `json:"umdPropagate,omitzero"`
		Channels         map[string]ChannelClaims `json:"channels,omitempty"`
	}{
		c.Scope,
		date{c.Expires},
		date{c.NotBefore},
		date{c.IssuedAt},
		c.Audience, c.Issuer, c.ID, c.UID, c.UMD,
		c.SingleUse, c.ConnectionID, c.KeepAlive, c.HeartbeatTimeout, c.UMDUpdate, c.UMDPropagate, c.Channels,
	})
	if err != nil {
		return nil, err
	}
	return extend(text, c.Extra)
}
