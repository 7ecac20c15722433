package ws_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests; none is as long unless it fails.
const patience = 15 * time.Second

// app is the application of every client; all its channels are live and open.
var app = &earshot.App{
	Slug: "acme", Hosts: []string{"acme.example"},
	Rules: []earshot.Rule{{Channel: earshot.Glob("*"), Live: true, Open: earshot.Subscribe | earshot.Publish}},
}

// apps finds app by host and slug.
type apps struct{}

func (apps) ByHost(host string) *earshot.App {
	if strings.HasPrefix(host, "acme.example") {
		return app
	}
	return nil
}

func (apps) BySlug(slug string) *earshot.App {
	if slug == app.Slug {
		return app
	}
	return nil
}

// A speaker is a protocol made of functions; those that are nil do the least.
type speaker struct {
	admit  func(context.Context, *proto.Request) (proto.Admission, error)
	open   func(*hub.Conn) error
	handle func(context.Context, *hub.Conn, hub.Input) error
	ends   chan hub.End
}

func (s *speaker) Admit(ctx context.Context, r *proto.Request) (proto.Admission, error) {
	if s.admit != nil {
		return s.admit(ctx, r)
	}
	return proto.Admission{App: app, Identity: &earshot.Identity{App: app.Slug}}, nil
}

func (s *speaker) Open(_ context.Context, c *hub.Conn, _ proto.Admission) (proto.Session, error) {
	if s.open != nil {
		if err := s.open(c); err != nil {
			return nil, err
		}
	}
	return &dialogue{s, c}, nil
}

func (s *speaker) Farewell(err error) (*hub.Frame, int, string) {
	switch {
	case err == nil:
		return nil, 1000, "bye"
	case earshot.CodeOf(err) == earshot.Slow:
		return nil, 4008, "slow"
	case earshot.CodeOf(err) == earshot.Shutdown:
		return hub.TextFrame([]byte("last words")), 1012, "restart"
	}
	return nil, 4000, earshot.AsError(err).Text
}

type dialogue struct {
	*speaker
	c *hub.Conn
}

func (d *dialogue) Handle(ctx context.Context, m hub.Input) error {
	if d.handle != nil {
		return d.handle(ctx, d.c, m)
	}
	return d.c.Send(&hub.Frame{Op: m.Op, Body: m.Data})
}

func (d *dialogue) Close(end hub.End) {
	if d.ends != nil {
		d.ends <- end
	}
}

// A way is how a test server carries its connections.
type way struct {
	name            string
	goroutines, tls bool
}

var ways = []way{{name: "epoll"}, {name: "goroutines", goroutines: true}, {name: "tls", tls: true}}

// overAll runs a test over every way.
func overAll(t *testing.T, f func(t *testing.T, w way)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f(t, w)
		})
	}
}

// A server is a running one.
type server struct {
	*httptest.Server
	hub    *hub.Hub
	engine hub.Engine
	wire   *transport.Transport
	ws     *ws.Server
	door   *transport.Door
	limits *transport.Limits
	t      testing.TB
	way    way
}

// setup is what a test may ask of its server.
type setup struct {
	way
	ws        ws.Config
	hub       hub.Config
	limits    transport.LimitConfig
	endpoints []ws.Endpoint
}

// serve runs a server until the test ends.
func serve(t testing.TB, s setup) *server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	engine := mem.New(mem.Config{})
	h := hub.New(s.hub, engine, log)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wire, err := transport.New(transport.Config{Goroutines: s.goroutines, KeepFreed: true}, h, log)
	if err != nil {
		t.Fatal(err)
	}
	wire.Start()
	limits := transport.NewLimits(s.limits)
	front, err := ws.New(s.ws, ws.Deps{Hub: h, Transport: wire, Limits: limits, Apps: apps{}, Log: log}, s.endpoints)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the page")) })
	srv := httptest.NewUnstartedServer(front.Handler(mux))
	door := transport.NewDoor(0)
	door.Guard(srv.Config)
	srv.Listener = door.Listen(srv.Listener, nil)
	if s.tls {
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"http/1.1"}}
		srv.StartTLS()
	} else {
		srv.Start()
	}
	out := &server{srv, h, engine, wire, front, door, limits, t, s.way}
	t.Cleanup(out.stop)
	return out
}

// stop ends everything, and fails the test if it does not end.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.hub.Drain(ctx, 0); err != nil {
		s.t.Error("drain:", err)
	}
	cut, cancelCut := context.WithTimeout(ctx, 100*time.Millisecond) // clients that do not answer are not waited for
	defer cancelCut()
	if err := s.wire.Close(cut); err != nil {
		s.t.Error("close:", err)
	}
	s.Server.Close()
	s.hub.Close()
	if err := s.engine.Close(ctx); err != nil {
		s.t.Error("close the engine:", err)
	}
}

// echo serves an echo on /v1 over one way.
func echo(t testing.TB, w way) *server {
	return serve(t, setup{way: w, endpoints: []ws.Endpoint{at(&speaker{}, "/v1")}})
}

// at makes an endpoint.
func at(p proto.Protocol, paths ...string) ws.Endpoint {
	return ws.Endpoint{Entry: proto.Entry{Name: "test", Paths: paths}, Protocol: p}
}

func (s *server) url(path string) string { return "ws" + strings.TrimPrefix(s.URL, "http") + path }

// dial connects a client, which is closed when the test ends.
func (s *server) dial(path string, o *websocket.DialOptions) *websocket.Conn {
	s.t.Helper()
	c, err := s.tryDial(path, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *server) tryDial(path string, o *websocket.DialOptions) (*websocket.Conn, error) {
	if o == nil {
		o = &websocket.DialOptions{}
	}
	o.HTTPClient = s.Client()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, s.url(path), o)
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(1 << 20)
	s.t.Cleanup(func() { _ = c.CloseNow() })
	return c, nil
}

// raw connects without a WebSocket client and shakes hands; more is sent in the
// same write as the handshake.
func (s *server) raw(path string, more []byte) net.Conn {
	s.t.Helper()
	c := s.connect()
	request := "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := c.Write(append([]byte(request), more...)); err != nil {
		s.t.Fatal(err)
	}
	var head []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); head = append(head, one...) {
		if _, err := c.Read(one); err != nil {
			s.t.Fatalf("handshake: %v after %q", err, head)
		}
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 101 ") || !strings.Contains(string(head), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
		s.t.Fatalf("handshake answered %q", head)
	}
	return c
}

// connect opens a connection, with TLS if that is the way.
func (s *server) connect() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	if s.way.tls {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a certificate of the test's own
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// certificate makes one for 127.0.0.1.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// mask makes a client's frame.
func mask(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = append(b, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	key := [4]byte{7, 11, 13, 17}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i&3])
	}
	return b
}

// within returns a context that ends with the test's patience.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// next waits for a value.
func next[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(patience); !so(); {
		select {
		case <-deadline:
			t.Fatal("never: " + what)
		case <-ticker.C:
		}
	}
}
