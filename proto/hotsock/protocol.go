package hotsock

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// A Duration is a time.Duration that the configuration writes as in "1m30s".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads, but nothing negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v < 0 {
		err = errors.New("a duration is not negative")
	}
	*d = Duration(v)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Config is the protocol's section of the configuration.
type Config struct {
	// HeartbeatGrace is how much later than the token's heartbeatTimeout a
	// heartbeat may come.
	HeartbeatGrace Duration `toml:"heartbeat_grace"`
	// Lifetime is how long a connection may last; 0 for as long as it likes.
	// Without one, clients are told two hours, and may stay longer.
	Lifetime Duration `toml:"lifetime"`
}

// DefaultConfig is what holds where nothing is set.
func DefaultConfig() Config { return Config{HeartbeatGrace: Duration(5 * time.Second)} }

// toldLifetime is what connectionExpiresAt promises without a Lifetime: what
// Hotsock's clients are used to (spec §2.10).
const toldLifetime = 2 * time.Hour

// Protocol speaks with Hotsock's clients. It is safe for concurrent use.
type Protocol struct {
	config   Config
	deps     proto.Deps
	claims   claimReader
	reader   *auth.Reader
	parser   parser
	turns    turns
	encoding *hub.Encoding
	pong     *hub.Frame
	alive    *hub.Frame
	// key derives the connections' secrets, so that none is kept. Connections do
	// not outlive the process, so it is drawn anew by each.
	key [32]byte
}

var (
	_ proto.Protocol = (*Protocol)(nil)
	_ proto.Router   = (*Protocol)(nil)
)

// Entry presents the protocol to the server (spec §2.1, R1).
func Entry() proto.Entry {
	return proto.Entry{
		Name:     "hotsock",
		Paths:    []string{"/", "/v1", "/v1/"},
		Segments: []string{"connection"},
		New: func(decode func(any) error, deps proto.Deps) (proto.Protocol, error) {
			c := DefaultConfig()
			if err := decode(&c); err != nil {
				return nil, err
			}
			return New(c, deps), nil
		},
	}
}

// New makes the protocol, and lets the hub's other nodes call it.
func New(c Config, deps proto.Deps) *Protocol {
	p := &Protocol{
		config:   c,
		deps:     deps,
		encoding: &hub.Encoding{Name: "hotsock", Render: render, Notices: true},
		pong:     hub.TextFrame([]byte(`{"event":"hotsock.pong","data":"{}"}`)),
		alive:    hub.TextFrame([]byte(`{"event":"hotsock.keepAlive","data":{}}`)),
	}
	p.reader = &auth.Reader{Read: p.claims.read}
	_, _ = rand.Read(p.key[:]) // never fails, by its contract
	deps.Hub.Serve(callKind, p.asked)
	return p
}

// Admit judges the token of the URL before the handshake is answered: a client
// that is let in and then closed comes back at once, for ever (R3).
func (p *Protocol) Admit(ctx context.Context, r *proto.Request) (proto.Admission, error) {
	if r.HTTP == nil {
		return proto.Admission{}, refusal(earshot.Errorf(earshot.Invalid, "the protocol needs HTTP"))
	}
	t, err := p.deps.Tokens.Verify(r.HTTP.URL.Query().Get("token"), r.App, p.reader)
	if err != nil {
		return proto.Admission{}, refusal(err)
	}
	who := t.Value.(*proof)
	if err := p.admit(ctx, t, who); err != nil {
		return proto.Admission{}, refusal(err)
	}
	return proto.Admission{App: t.App, Identity: &who.identity, KeepAlive: who.keepAlive, State: who}, nil
}

func (p *Protocol) admit(ctx context.Context, t *auth.Token, who *proof) error {
	switch {
	case who.scope&scopeConnect == 0:
		return errScope("connect")
	case who.connectionID != "":
		return &earshot.Error{Code: earshot.Forbidden, Reason: "TOKEN_CONNECTION", Text: "the token is bound to a connection and opens none"}
	}
	if who.singleUse {
		return p.deps.Tokens.Spend(ctx, t)
	}
	return nil
}

// refusal answers a handshake with an error in JSON. The token is in no part of it.
func refusal(err error) *proto.Refusal {
	e := earshot.AsError(err)
	h := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
	switch {
	case e.Code == earshot.Unauthenticated:
		h.Set("WWW-Authenticate", "Bearer")
	case e.Code.Temporary():
		h.Set("Retry-After", strconv.Itoa(e.RetrySeconds()))
	}
	return &proto.Refusal{Status: translate(e.Code).status, Header: h, Body: errorBody(err), Err: err}
}

// errorBody is an error as the HTTP side answers it.
func errorBody(err error) []byte {
	return append(faultOf(err).append([]byte(`{"error":`)), '}')
}

// Open begins the dialogue.
func (p *Protocol) Open(_ context.Context, c *hub.Conn, a proto.Admission) (proto.Session, error) {
	who, ok := a.State.(*proof)
	if !ok {
		return nil, errors.New("hotsock: opened without its admission")
	}
	return p.open(c, who), nil
}

// expiry is until when the connection is promised.
func (p *Protocol) expiry(c *hub.Conn) time.Time {
	life := time.Duration(p.config.Lifetime)
	if life == 0 {
		life = toldLifetime
	}
	until := time.Now().Add(life)
	if id := c.Identity(); c.App().ExpiryCloses && !id.Expires.IsZero() {
		if end := id.Expires.Add(earshot.ExpiryGrace); end.Before(until) {
			return end
		}
	}
	return until
}
