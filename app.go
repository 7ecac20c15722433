package earshot

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// An App is a tenant: its own channel space, keys, hosts and rules. It is a
// snapshot, shared and never changed; an update makes a new one.
type App struct {
	// Slug names the app on this server: 1 to 64 of a-z, 0-9 and -.
	Slug string
	// ID is the number of an app that was made at run time, 0 for one of the
	// settings. Name is for people.
	ID   int64
	Name string
	// Key names the app to clients and publishers that have no slug, and Secrets
	// are what it shares with its own servers, the newest first; empty for none.
	Key     string
	Secrets []string
	// Owners are the names of those who may see and change this app alone.
	Owners []string
	// Hosts are the host names that select the app.
	Hosts []string
	// PublishKeys are the bearer keys that may publish over HTTP. PublishSums are
	// others, of which only the SHA-256 is known.
	PublishKeys []string
	PublishSums [][32]byte
	// SigningKeys verify the tokens of clients.
	SigningKeys []SigningKey
	// AccessKeys verify requests that are signed with AWS Signature Version 4.
	AccessKeys []AccessKey
	// Unsigned are the networks whose requests to Lambda's API need no signature;
	// by default none.
	Unsigned []netip.Prefix
	// Webhooks are told of the app's events. RecordEvents keeps events to be read
	// as a stream, with or without a webhook.
	Webhooks     []Webhook
	RecordEvents bool
	// Audience and Issuer, if set, must be named by every token.
	Audience, Issuer string
	// Origins are the browser origins that may connect; empty allows all.
	Origins []string
	// ExpiryCloses says that a connection ends when its token does, ExpiryGrace later.
	ExpiryCloses bool
	// Rules decide what channels are; the first that matches counts.
	Rules []Rule
	// Live says that every channel is live that no rule matches, not topics alone.
	Live bool
	// Limits bound what the app's clients and servers use.
	Limits Limits
	// RequireTLS refuses what did not come over TLS, to this server or to a proxy
	// that it trusts.
	RequireTLS bool
	// KeySigned accepts tokens of Ex Pusher Lite's clients that are signed with
	// Key, which is no secret.
	KeySigned bool
	// Replay is what a new subscriber hears of what was said before, where its
	// protocol has no history.
	Replay Replay
	// Gateways are its WebSocket APIs as API Gateway has them.
	Gateways []Gateway
}

// Limits bound what an app uses, on each node. Zero is no limit of the app's own.
type Limits struct {
	// Connections is how many clients may be connected.
	Connections int
	// Channels is how many subscriptions one connection may have.
	Channels int
	// MessageBytes is how many bytes of data a message may have.
	MessageBytes int
	// ClientRate is how many messages one connection may publish in a second, and
	// ServerRate how many the app's servers may; each may have saved up ten seconds.
	ClientRate, ServerRate float64
}

// A Replay says which of a channel's stored messages a new subscriber hears
// first: up to Size, none older than For.
type Replay struct {
	Size int
	For  time.Duration
}

// ExpiryGrace is how long a connection may outlive its token, to refresh it,
// where expiry closes.
const ExpiryGrace = 30 * time.Second

// A SigningKey is one slot of a key for tokens.
type SigningKey struct {
	// ID is what a token's kid must equal; empty accepts any kid.
	ID string
	// Alg is the one JWS algorithm that the key is used with.
	Alg string
	// Key is the raw secret of an HMAC algorithm, or the public key in PEM.
	Key []byte
}

// An AccessKey signs requests with AWS Signature Version 4.
type AccessKey struct {
	ID, Secret string
	// Allow are what it may be used for: "lambda:InvokeFunction",
	// "execute-api:ManageConnections" or "execute-api:Invoke", each perhaps with ":"
	// and a pattern behind it, of the function's name, or of the API's id with what
	// follows it in an ARN: abc123, abc123/prod/*, abc123/prod/POST/@connections/*.
	// The star stands for any run of characters. Empty allows everything of the app.
	Allow []Pattern
}

// The actions that access keys are for.
const (
	InvokeFunction    = "lambda:InvokeFunction"
	ManageConnections = "execute-api:ManageConnections"
	// InvokeAPI is to connect where $connect asks for a signature.
	InvokeAPI = "execute-api:Invoke"
)

// Allows reports whether the key may be used for an action on what the name says.
func (k *AccessKey) Allows(action, name string) bool {
	return len(k.Allow) == 0 || slices.ContainsFunc(k.Allow, func(p Pattern) bool {
		return p.Match(action) || p.Match(action+":"+name)
	})
}

// A Webhook is an address that is told of events.
type Webhook struct {
	// ID names it within the app: 1 to 64 of a-z, 0-9 and -.
	ID string
	// URL is where events are posted, http or https.
	URL string
	// Secrets sign what is posted, each in its turn: two while one is replaced.
	Secrets []string
	// Events are the types that are told (hub.EventType), as patterns; empty for all.
	Events []Pattern
	// Trusted says that the operator wrote the address down, so that it may be an
	// internal one.
	Trusted bool
}

// A Rule says what the channels that match are.
type Rule struct {
	Channel Pattern
	// Live channels are never stored and have no positions; the others are logged.
	Live bool
	// Depth is how many messages history keeps of a logged channel, 0 for the
	// server's cap.
	Depth int
	// BeforeDisk delivers a logged message before the disk has it. A machine
	// that crashes may then have delivered what it does not know any more.
	BeforeDisk bool
	// Open is what anyone who may connect can do without a grant.
	Open Action
}

// Rule returns the first rule that matches channel. Where none does, a topic is
// live, and a public topic of this app open to everybody who may connect; every
// other channel is logged, but of an app that is Live. It is the same for all
// protocols.
func (a *App) Rule(channel string) *Rule {
	for i := range a.Rules {
		if a.Rules[i].Channel.Match(channel) {
			return &a.Rules[i]
		}
	}
	switch {
	case !IsTopic(channel) && !a.Live:
		return &loggedRule
	case a.isPublic(channel):
		return &publicRule
	}
	return &topicRule
}

// Replayed is how long what is published to a channel has to be stored, where
// nothing else says so, for those who join it later (Replay); 0 for not at all.
func (a *App) Replayed(channel string) time.Duration {
	if a.Replay.Size <= 0 || a.Rule(channel).Live {
		return 0
	}
	return a.Replay.For
}

// What channels are where no rule says it. Nobody changes them.
var (
	loggedRule Rule
	topicRule  = Rule{Live: true}
	publicRule = Rule{Live: true, Open: Subscribe | Publish}
)

// isPublic reports whether a topic is one of the app's public ones: "public:SLUG",
// perhaps with ":" and anything behind it.
func (a *App) isPublic(topic string) bool {
	scope, rest, _ := strings.Cut(topic, ":")
	slug, _, _ := strings.Cut(rest, ":")
	return scope == "public" && slug == a.Slug
}
