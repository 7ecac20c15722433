package gateway

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// Config is the protocol's section of the configuration.
type Config struct {
	// Handshakes is how many clients may wait for a backend's yes at once, on this
	// node; by default 4096, of which one app may have a quarter. Who comes then is
	// answered 429.
	Handshakes int `toml:"handshakes"`
	// Ends is how many ends of connections of one app may wait until its backend has
	// been told, on this node; by default 65536. While as many do, its clients are
	// answered 429.
	Ends int `toml:"ends"`
}

const (
	// handshakes is the default of Config.Handshakes.
	handshakes = 4096
	// ends is that of Config.Ends.
	ends = 64 << 10
	// admitTime is how long a handshake may take: an authorizer and an integration
	// after one another, and what lies between.
	admitTime = 45 * time.Second
	// workTime bounds one call of a backend, which has a shorter bound of its own.
	workTime = 35 * time.Second
	// maxData is how large a message to or from a client may be (11.1).
	maxData = 128 << 10
)

// Protocol speaks with clients of WebSocket APIs. It is safe for concurrent use.
type Protocol struct {
	deps      proto.Deps
	book      *book
	waiting   *waiting
	plain     *hub.Encoding
	wrapped   *hub.Encoding
	throttles *core.Throttles
	endings   *endings
	counts    counters

	mu       sync.Mutex
	sessions map[earshot.ConnID]*session
}

var (
	_ proto.Protocol = (*Protocol)(nil)
	_ proto.Finder   = (*Protocol)(nil)
	_ proto.Wrapper  = (*Protocol)(nil)
	_ proto.Runner   = (*Protocol)(nil)
)

// Entry presents the protocol to the server.
func Entry() proto.Entry {
	return proto.Entry{
		Name: "gateway", Rest: true, AdmitTime: admitTime,
		New: func(decode func(any) error, deps proto.Deps) (proto.Protocol, error) {
			var c Config
			if err := decode(&c); err != nil {
				return nil, err
			}
			return New(c, deps), nil
		},
	}
}

// New makes the protocol. What it does when no client waits for it happens in Run.
func New(c Config, deps proto.Deps) *Protocol {
	if c.Handshakes <= 0 {
		c.Handshakes = handshakes
	}
	if c.Ends <= 0 {
		c.Ends = ends
	}
	p := &Protocol{
		deps: deps, book: newBook(deps.Log), waiting: newWaiting(c.Handshakes),
		plain:     &hub.Encoding{Name: "gateway", Render: hub.DataFrame},
		wrapped:   &hub.Encoding{Name: "gateway envelope", Render: renderWrapped},
		throttles: core.NewThrottles(), sessions: map[earshot.ConnID]*session{},
	}
	p.endings = newEndings(p, c.Ends)
	deps.Hub.Serve(callKind, p.called)
	return p
}

// Find says whether an upgrade of a path that no protocol has is meant for an API:
// everything is, where host or path name an app that has one.
func (p *Protocol) Find(r *http.Request) bool {
	_, claimed := p.locate(r)
	return claimed
}

// Owns says whether the host is an API's own, or the path a stage that is called
// as its app: /dev of the app dev, which would be the app's root for others.
func (p *Protocol) Owns(r *http.Request) bool {
	switch {
	case !p.deps.Apps.HasGateways():
		return false
	case p.ownHost(r.Host):
		return true
	}
	segments, ok := split(r.URL)
	return ok && len(segments) == 1 && p.namesake(segments[0]).stage != nil
}

func (p *Protocol) ownHost(host string) bool {
	a, _ := p.deps.Apps.ByGatewayHost(host)
	return a != nil
}

// namesake finds the stage that has the slug of its app as its name.
func (p *Protocol) namesake(slug string) (at place) {
	a := p.deps.Apps.BySlug(slug)
	if a == nil {
		return at
	}
	if shelf := p.book.of(a); shelf != nil {
		for _, api := range shelf.apis {
			if s := api.Stage(slug); s != nil {
				return place{a, s}
			}
		}
	}
	return at
}

// Admit asks authorizer and $connect integration whether a client may come in
// (4.1).
func (p *Protocol) Admit(ctx context.Context, r *proto.Request) (proto.Admission, error) {
	h := &handshake{p: p, request: r, begun: time.Now(), requestID: newID()}
	return h.admit(ctx)
}

// Open begins the dialogue, in which the client speaks first. The channels that
// the $connect integration asked for are joined before the handshake is answered.
func (p *Protocol) Open(_ context.Context, c *hub.Conn, a proto.Admission) (proto.Session, error) {
	s := a.State.(*session)
	s.begin(c)
	return s, nil
}

// session returns the dialogue of a connection of this node, nil if there is none.
func (p *Protocol) session(id earshot.ConnID) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[id]
}

func (p *Protocol) enter(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[s.conn.ID()] = s
}

func (p *Protocol) leave(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s.conn.ID())
}

// newID draws the id of a request or a message, in the form of a connection's (4.2).
func newID() string { return earshot.NewConnID().String() }

// integrate calls the integration of the event's route. If that panics it has failed,
// and nobody else notices.
func (p *Protocol) integrate(ctx context.Context, a *earshot.App, e *core.Event) (answer *core.Answer, err error) {
	defer func() {
		if x := recover(); x != nil {
			p.deps.Log.Error("panic", "doing", "calling an integration", "app", a.Slug, "panic", x, "stack", string(debug.Stack()))
			answer, err = nil, &core.Failure{Kind: core.Raised, Err: errPanic}
		}
	}()
	if p.deps.Gateways == nil {
		return nil, errNoBackends
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return p.deps.Gateways.Integrate(ctx, a, e)
}
