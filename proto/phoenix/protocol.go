package phoenix

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// Config is the protocol's section of the configuration.
type Config struct {
	// Channels is how many topics one socket may have joined at a time (B.1).
	Channels int `toml:"channels"`
	// OpenPublic opens every topic that begins with "public:", as Ex Pusher Lite
	// did, also where its second part names no app; else only those that name one.
	OpenPublic bool `toml:"open_public"`
	// Polls is how many sessions of long polls this node may have (B.6).
	Polls int `toml:"polls"`
}

// DefaultConfig is what holds where nothing is set.
func DefaultConfig() Config { return Config{Channels: 100, Polls: 10_000} }

// The subprotocols of a client that shows a token by them (B.2).
const (
	subprotocol = "phoenix"
	bearer      = "base64url.bearer.phx."
)

// Protocol speaks with the clients of Phoenix Channels. It is safe for
// concurrent use.
type Protocol struct {
	config    Config
	deps      proto.Deps
	reader    *auth.Reader
	encodings [kinds]encodings
	polls     *polls // nil without a hub
}

var _ proto.Protocol = (*Protocol)(nil)

// Entry presents the protocol to the server.
func Entry() proto.Entry {
	return proto.Entry{
		Name:  "phoenix",
		Paths: []string{"/socket/websocket", "/socket/{app}/websocket"},
		New: func(decode func(any) error, deps proto.Deps) (proto.Protocol, error) {
			c := DefaultConfig()
			if err := decode(&c); err != nil {
				return nil, err
			}
			if c.Channels < 1 {
				return nil, errors.New("channels: a socket needs at least one")
			}
			if c.Polls < 1 {
				return nil, errors.New("polls: one session of long polls is the least")
			}
			return New(c, deps), nil
		},
	}
}

// New makes the protocol.
func New(c Config, deps proto.Deps) *Protocol {
	p := &Protocol{config: c, deps: deps, reader: newReader()}
	p.encodings = [kinds]encodings{
		ofV1: newEncodings(v1, true), ofV2: newEncodings(v2, true), ofV2Polled: newEncodings(v2, false),
	}
	if deps.Hub != nil {
		p.polls = newPolls(p)
	}
	return p
}

// leeway is by how much a token's clock may be wrong (A.7.3 step 4).
const leeway = time.Minute

func newReader() *auth.Reader {
	return &auth.Reader{Read: readClaims, Leeway: leeway, Shared: true, Issued: true}
}

// The kinds of clients, as what they are sent differs.
const (
	ofV1 = iota
	ofV2
	ofV2Polled // has no binary messages
	kinds
)

func (p *Protocol) encoding(h *hello, present bool) *hub.Encoding {
	kind := ofV1
	switch {
	case h.version == v2 && h.polled:
		kind = ofV2Polled
	case h.version == v2:
		kind = ofV2
	}
	if present {
		return p.encodings[kind].present
	}
	return p.encodings[kind].plain
}

// A hello is what a client said when it connected.
type hello struct {
	version version
	// shown are the tokens of the URL and the opaque one of the subprotocol.
	shown shown
	// by is how it came.
	by auth.Way
	// polled says that it stands on long polls.
	polled bool
	// settled says that a token has said which app it is for good.
	settled bool
}

// Admit judges version and token before the handshake is answered (B.2). A token
// of the subprotocol that is a JWT is the connection's own; those of the URL are
// judged by the topics that they are for, as nothing says before in which app
// they count (A.7.3).
func (p *Protocol) Admit(_ context.Context, r *proto.Request) (a proto.Admission, err error) {
	if r.HTTP == nil {
		return a, refusal("the protocol needs HTTP", nil)
	}
	token, ok := offered(r.Subprotocols)
	if !ok {
		return a, refusal("the token of the subprotocol is not base64", nil)
	}
	return p.admit(r, token)
}

// admit is Admit of a client that has shown a token, empty for none, apart from
// its URL.
func (p *Protocol) admit(r *proto.Request, token string) (a proto.Admission, err error) {
	query := r.HTTP.URL.Query()
	h := &hello{by: auth.WayOf(r.HTTP, r.Secure)}
	if h.version = versionOf(query); h.version == 0 {
		return a, refusal("this version of the serializer is not spoken", nil)
	}
	if slices.Contains(r.Subprotocols, subprotocol) {
		a.Subprotocol = subprotocol
	}
	a.App, a.State = r.App, h
	if a.App != nil {
		a.Identity = anybody(a.App)
	}
	if strings.Count(token, ".") != 2 {
		h.shown.take(token)
		h.shown = h.shown.or(paramTokens(query))
		return a, nil
	}
	h.shown = paramTokens(query)
	t, err := p.deps.Tokens.Verify(token, r.App, p.reader)
	if err == nil {
		err = over(t)
	}
	if err == nil {
		err = t.Value.(*proof).bound(t.App, h.shown.opaque)
	}
	if err != nil {
		return a, refusal("the token is not accepted", err)
	}
	a.App, a.Identity, h.settled = t.App, &t.Value.(*proof).identity, true
	return a, nil
}

// anybody is who has shown nothing.
func anybody(a *earshot.App) *earshot.Identity { return &earshot.Identity{App: a.Slug} }

// paramTokens are the tokens of the URL, in the order of A.7.3.
func paramTokens(query url.Values) (s shown) {
	for _, name := range []string{"csrf_token", "guardian_token", "token"} {
		s.take(query.Get(name))
	}
	return s
}

// versionOf reads vsn (B.2): 1.0.x, also if there is none, or 2.0.x; 0 for
// anything else.
func versionOf(query url.Values) version {
	if !query.Has("vsn") {
		return v1
	}
	for prefix, v := range map[string]version{"1.0.": v1, "2.0.": v2} {
		if patch, ok := strings.CutPrefix(query.Get("vsn"), prefix); ok && patch != "" && len(patch) < 10 && strings.Trim(patch, "0123456789") == "" {
			return v
		}
	}
	return 0
}

// offered returns the token among the offered subprotocols, empty for none; ok is
// false if it is not base64.
func offered(subprotocols []string) (token string, ok bool) {
	for _, s := range subprotocols {
		if packed, ok := strings.CutPrefix(s, bearer); ok {
			b, err := decode64(packed)
			return string(b), err == nil
		}
	}
	return "", true
}

// refusal answers a handshake with 403; no client can see why, so that a text is
// for people.
func refusal(text string, err error) *proto.Refusal {
	if err == nil {
		err = &earshot.Error{Code: earshot.Forbidden, Text: text}
	}
	return &proto.Refusal{
		Status: http.StatusForbidden,
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Cache-Control": {"no-store"}},
		Body:   []byte(text + "\n"), Err: err,
	}
}

// Open begins the dialogue. The server does not greet.
func (p *Protocol) Open(_ context.Context, c *hub.Conn, a proto.Admission) (proto.Session, error) {
	h, ok := a.State.(*hello)
	if !ok {
		return nil, errors.New("phoenix: opened without its admission")
	}
	return &session{p: p, conn: c, hello: h}, nil
}
