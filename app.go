package earshot

import "time"

// An App is a tenant: its own channel space, keys, hosts and rules. It is a
// snapshot, shared and never changed; an update makes a new one.
type App struct {
	// Slug names the app on this server: 1 to 64 of a-z, 0-9 and -.
	Slug string
	// Hosts are the host names that select the app.
	Hosts []string
	// PublishKeys are the bearer keys that may publish over HTTP.
	PublishKeys []string
	// SigningKeys verify the tokens of clients.
	SigningKeys []SigningKey
	// AccessKeys verify requests that are signed with AWS Signature Version 4.
	AccessKeys []AccessKey
	// Audience and Issuer, if set, must be named by every token.
	Audience, Issuer string
	// Origins are the browser origins that may connect; empty allows all.
	Origins []string
	// ExpiryCloses says that a connection ends when its token does, ExpiryGrace later.
	ExpiryCloses bool
	// Rules decide what channels are; the first that matches counts.
	Rules []Rule
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

// An AccessKey is an id and its secret.
type AccessKey struct{ ID, Secret string }

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

// Rule returns the first rule that matches channel, else one that makes it logged.
func (a *App) Rule(channel string) *Rule {
	for i := range a.Rules {
		if a.Rules[i].Channel.Match(channel) {
			return &a.Rules[i]
		}
	}
	return &defaultRule
}

var defaultRule Rule
