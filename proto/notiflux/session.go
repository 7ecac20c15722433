package notiflux

import (
	"context"
	"errors"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// Config is the protocol's section of the configuration.
type Config struct {
	// Diagnostics adds the header X-Notiflux-Refused to the 200 of a POST
	// /broadcast that sent nothing, with the reason in it.
	Diagnostics bool `toml:"diagnostics"`
}

const (
	// algorithm is the one that tokens are signed with (spec B3).
	algorithm = "ES256"
	// leeway is how long after its exp a token is still taken.
	leeway = time.Minute
)

// Protocol speaks with notiflux's clients. It is safe for concurrent use.
type Protocol struct {
	config   Config
	deps     proto.Deps
	reader   *auth.Reader
	encoding *hub.Encoding
}

var (
	_ proto.Protocol   = (*Protocol)(nil)
	_ proto.Router     = (*Protocol)(nil)
	_ hub.Unsubscriber = (*session)(nil)
)

// Entry presents the protocol to the server (spec B1).
func Entry() proto.Entry {
	return proto.Entry{
		Name:     "notiflux",
		Paths:    []string{"/ws"},
		Segments: []string{"broadcast", "health"},
		New: func(decode func(any) error, deps proto.Deps) (proto.Protocol, error) {
			var c Config
			if err := decode(&c); err != nil {
				return nil, err
			}
			return New(c, deps), nil
		},
	}
}

// New makes the protocol.
func New(c Config, deps proto.Deps) *Protocol {
	read := func(t *auth.Token, claims []byte) (any, error) {
		if t.Alg != algorithm {
			return nil, errAlgorithm
		}
		p, err := parseClaims(t.App, claims)
		if err == nil {
			p.identity.Expires = t.Expires
		}
		return p, err
	}
	return &Protocol{
		config: c, deps: deps,
		reader:   &auth.Reader{Read: read, Leeway: leeway, Early: true},
		encoding: &hub.Encoding{Name: "notiflux", Render: hub.DataFrame},
	}
}

// Admit lets everybody in: tokens come with the commands (spec B1). Without a
// host or path that names the app, the first of them does.
func (p *Protocol) Admit(_ context.Context, r *proto.Request) (proto.Admission, error) {
	by := auth.Way{Secure: r.Secure}
	if r.HTTP != nil {
		by = auth.WayOf(r.HTTP, r.Secure)
	}
	if r.App == nil {
		return proto.Admission{State: by}, nil
	}
	return proto.Admission{App: r.App, Identity: &earshot.Identity{App: r.App.Slug}, State: by}, nil
}

// Open begins the dialogue, in which the client speaks first.
func (p *Protocol) Open(_ context.Context, c *hub.Conn, a proto.Admission) (proto.Session, error) {
	by, ok := a.State.(auth.Way)
	if !ok {
		return nil, errors.New("notiflux: opened without its admission")
	}
	return &session{p: p, conn: c, by: by}, nil
}

// verify judges a token that is to be of a scope; in says of which app, nil for
// any, and hint of which if its key does not say. An app whose expiry closes
// gives no leeway: what the token opened would end at once.
func (p *Protocol) verify(token, scope string, in, hint *earshot.App) (*auth.Token, *proof, error) {
	var t *auth.Token
	var err error
	if in != nil {
		t, err = p.deps.Tokens.VerifyIn(in, token, p.reader)
	} else {
		t, err = p.deps.Tokens.Verify(token, hint, p.reader)
	}
	if err != nil {
		return nil, nil, err
	}
	who := t.Value.(*proof)
	switch {
	case who.scope != scope:
		return nil, nil, errScope
	case t.App.ExpiryCloses && !time.Now().Before(t.Expires):
		return nil, nil, &earshot.Error{Code: earshot.Expired, Reason: "TOKEN_EXPIRED", Text: "the token has expired"}
	}
	return t, who, nil
}

// A session is one client's dialogue.
type session struct {
	p    *Protocol
	conn *hub.Conn
	by   auth.Way
}

// Handle carries out one command. Subscribing may wait for the engine, so it goes
// to Do, and what comes after it keeps its order there.
func (s *session) Handle(ctx context.Context, in hub.Input) error {
	if in.Op != hub.Text {
		return nil // spec B2
	}
	q := parse(string(in.Data))
	if q.verb != subscribe && !s.conn.Busy() {
		return s.carryOut(ctx, q)
	}
	s.conn.Do(func(ctx context.Context) {
		if err := s.carryOut(ctx, q); err != nil {
			s.conn.Close(err)
		}
	})
	return nil
}

// carryOut carries a command out. An error ends the connection.
func (s *session) carryOut(ctx context.Context, q command) error {
	switch q.verb {
	case subscribe:
		return s.subscribe(ctx, q)
	case unsubscribe:
		if sub := s.conn.Sub(q.topic); sub != nil {
			s.conn.Unsubscribe(sub)
		}
	case unsubscribeAll:
		for _, sub := range s.conn.Subs() {
			s.conn.Unsubscribe(sub)
		}
	default:
		if q.reply != "" {
			return s.conn.Send(hub.TextFrame([]byte(q.reply)))
		}
	}
	return nil
}

// subscribe joins a topic, in silence: a refusal is not told, nor is success.
func (s *session) subscribe(ctx context.Context, q command) error {
	err := s.join(ctx, q)
	if err == nil {
		return nil
	}
	code := earshot.CodeOf(err)
	s.p.deps.Log.Debug("subscribe refused", "reason", reasonOf(err))
	if code == earshot.Invalid || translate(code).silent {
		return nil
	}
	return err
}

func (s *session) join(ctx context.Context, q command) error {
	t, who, err := s.p.verify(q.token, scopeSubscribe, s.conn.App(), nil)
	if err != nil {
		return err
	}
	if err := s.p.deps.Gate.Admit(t.App, s.by); err != nil {
		return err // nobody may have known the app at the handshake
	}
	channel, err := channelOf(q.topic)
	if err != nil {
		return err
	}
	if !who.identity.On(channel, "").Allow.Has(earshot.Subscribe) {
		return errTopic // even where a rule opens the channel to who has no token
	}
	if id := s.conn.Identity(); id == nil || !id.HasUID {
		s.conn.Enter(t.App, &earshot.Identity{App: t.App.Slug, UID: who.identity.UID, HasUID: true})
	}
	sub, _, err := s.conn.Subscribe(ctx, hub.Join{Channel: channel, Encoding: s.p.encoding, As: &who.identity})
	if err != nil {
		return err
	}
	return sub.Start(ctx)
}

// Unsubscribed ends the connection: where expiry closes, a subscription has ended
// with its token, and nothing else could tell the client.
func (s *session) Unsubscribed(*hub.Sub) {
	s.conn.Close(earshot.Errorf(earshot.Expired, "the token of a subscription has expired"))
}

// Close is told of the end.
func (s *session) Close(hub.End) {}
