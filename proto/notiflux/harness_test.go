package notiflux_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/notiflux"
)

type claims map[string]any

// A pair is a key pair of the tests, drawn anew by each.
type pair struct {
	t      testing.TB
	public earshot.SigningKey
	issuer *auth.Issuer
}

func newPair(t testing.TB, id string) *pair {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t}
	p.public = earshot.SigningKey{ID: id, Alg: "ES256", Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})}
	p.issuer, err = auth.NewIssuer(earshot.SigningKey{ID: id, Alg: "ES256", Key: der})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sign signs any claims.
func (p *pair) sign(c claims) string {
	b, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := p.issuer.Issue(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// token is a good one.
func (p *pair) token(scope string, topics ...string) string {
	return p.sign(p.claims(scope, topics...))
}

func (p *pair) claims(scope string, topics ...string) claims {
	return claims{"sub": "notiflux", "exp": time.Now().Add(time.Hour).Unix(), "topics": topics, "scope": scope}
}

// with changes some of the claims; nil removes one.
func (c claims) with(more claims) claims {
	all := maps.Clone(c)
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// A server is a hub on an engine in memory, with the protocol on it.
type server struct {
	*pair
	t        testing.TB
	engine   *mem.Engine
	hub      *hub.Hub
	apps     *auth.Directory
	protocol *notiflux.Protocol
	deps     proto.Deps
	mux      *http.ServeMux
	clients  []*client
}

func newServer(t testing.TB, more ...*earshot.App) *server {
	t.Helper()
	p := newPair(t, "")
	first := &earshot.App{
		Slug: "notiflux", SigningKeys: []earshot.SigningKey{p.public},
		Rules: []earshot.Rule{{Channel: earshot.Glob("log*")}, {Channel: earshot.Glob("*"), Live: true}},
	}
	return newServerOf(t, p, notiflux.Config{}, append([]*earshot.App{first}, more...)...)
}

func newServerOf(t testing.TB, p *pair, c notiflux.Config, apps ...*earshot.App) *server {
	t.Helper()
	d, err := auth.NewDirectory(apps)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{pair: p, t: t, engine: mem.New(mem.Config{}), apps: d, mux: http.NewServeMux()}
	log := slog.New(slog.DiscardHandler)
	s.hub = hub.New(hub.Config{Shards: 2, MaxSubscriptions: 4}, s.engine, log)
	if err := s.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.deps = proto.Deps{Hub: s.hub, Apps: d, Tokens: auth.NewVerifier(d, s.engine), Log: log}
	s.protocol = notiflux.New(c, s.deps)
	s.protocol.Routes(s.mux.Handle)
	t.Cleanup(func() {
		for _, c := range s.clients {
			c.conn.Ended(hub.End{Peer: true})
		}
		if err := s.engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
		s.hub.Close()
	})
	return s
}

// post posts a body and returns the answer.
func (s *server) post(body, contentType string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/broadcast", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

// says broadcasts, and expects 200 and nothing more.
func (s *server) says(topic, message, token string) {
	s.t.Helper()
	b, err := json.Marshal(map[string]string{"topic": topic, "message": message, "token": token})
	if err != nil {
		s.t.Fatal(err)
	}
	if w := s.post(string(b), "application/json"); w.Code != 200 || w.Body.Len() != 0 {
		s.t.Errorf("POST /broadcast was answered %d %q", w.Code, w.Body)
	}
}

// A client is a connection without a wire.
type client struct {
	t      testing.TB
	conn   *hub.Conn
	mu     sync.Mutex
	frames []*hub.Frame
	came   chan struct{}
	over   *hub.Goodbye
}

// connect connects a client to the app, nil for none in particular.
func (s *server) connect(a *earshot.App) *client { return s.connectTo(s.protocol, a) }

func (s *server) connectTo(p proto.Protocol, a *earshot.App, path ...string) *client {
	s.t.Helper()
	url := "/ws"
	if len(path) > 0 {
		url = path[0]
	}
	yes, err := p.Admit(context.Background(), &proto.Request{HTTP: httptest.NewRequest(http.MethodGet, url, nil), App: a})
	if err != nil {
		s.t.Fatal(err)
	}
	c := &client{t: s.t, came: make(chan struct{}, 1)}
	c.conn, err = s.hub.Open(s.hub.NextShard(), c, hub.Opening{App: yes.App, Identity: yes.Identity, Farewell: p})
	if err != nil {
		s.t.Fatal(err)
	}
	session, err := p.Open(c.conn, c.conn, yes)
	if err != nil {
		s.t.Fatal(err)
	}
	c.conn.Serve(session)
	s.clients = append(s.clients, c)
	return c
}

// Push takes a frame; the client reads all at once.
func (c *client) Push(f *hub.Frame) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, f)
	c.wake()
	return 0
}

func (c *client) Flush() int { return 0 }

// Close takes the goodbye.
func (c *client) Close(g hub.Goodbye) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = &g
	c.wake()
}

func (c *client) wake() {
	select {
	case c.came <- struct{}{}:
	default:
	}
}

// next waits for the next frame, or the goodbye.
func (c *client) next() (f *hub.Frame, over *hub.Goodbye) {
	c.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		if len(c.frames) > 0 {
			f, c.frames = c.frames[0], c.frames[1:]
		}
		over = c.over
		c.mu.Unlock()
		if f != nil || over != nil {
			return f, over
		}
		select {
		case <-c.came:
		case <-timeout:
			c.t.Fatal("nothing came")
		}
	}
}

// hears expects a text next.
func (c *client) hears(want string) {
	c.t.Helper()
	f, over := c.next()
	if f == nil {
		c.t.Fatalf("the end came (%d %q) instead of %q", over.Code, over.Reason, want)
	}
	if got := string(f.Head) + string(f.Body); got != want || f.Op != hub.Text {
		c.t.Fatalf("heard %q, want %q", got, want)
	}
}

func (c *client) send(texts ...string) {
	for _, s := range texts {
		c.conn.Receive(text(s))
	}
}

// does sends commands that are answered by silence, and waits until they are
// carried out: what is unknown is answered in its turn.
func (c *client) does(texts ...string) {
	c.t.Helper()
	c.send(texts...)
	c.send("/done?")
	c.hears("Unknown command")
}
