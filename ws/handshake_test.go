package ws_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/ws"
)

// upgrade is a proper request; change spoils it.
func (s *server) upgrade(path string, change func(*http.Request)) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(within(s.t), http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = http.Header{
		"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	if change != nil {
		change(r)
	}
	answer, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// body reads an answer's.
func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBadHandshakes(t *testing.T) {
	s := serve(t, setup{endpoints: []ws.Endpoint{{
		Entry: proto.Entry{Name: "test", Paths: []string{"/v1"}, Subprotocols: []string{"a"}}, Protocol: &speaker{},
	}}})
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		status int
		says   string
	}{
		{"version", header("Sec-WebSocket-Version", "8"), 426, "version 13"},
		{"no key", header("Sec-WebSocket-Key", ""), 400, "Sec-WebSocket-Key"},
		{"short key", header("Sec-WebSocket-Key", "dGhl"), 400, "Sec-WebSocket-Key"},
		{"no Connection", header("Connection", "keep-alive"), 400, "Connection"},
		{"method", func(r *http.Request) { r.Method = http.MethodPost }, 400, "GET"},
		{"long URL", func(r *http.Request) { r.URL.RawQuery = strings.Repeat("x", 17<<10) }, 414, "16 KB"},
		{"subprotocol", header("Sec-WebSocket-Protocol", "b, c"), 400, "subprotocols"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := s.upgrade("/v1", test.change)
			text := body(t, answer)
			if answer.StatusCode != test.status || !strings.Contains(text, `"code":"BAD_HANDSHAKE"`) || !strings.Contains(text, test.says) {
				t.Errorf("answered %d %s", answer.StatusCode, text)
			}
			if got := answer.Header.Get("Sec-WebSocket-Version"); (got == "13") != (test.status == 426) {
				t.Errorf("the version header is %q", got)
			}
		})
	}
	if answer := s.upgrade("/v1", header("Cookie", strings.Repeat("x", 24<<10))); answer.StatusCode != 431 {
		t.Errorf("a header of 24 KB was answered with %d", answer.StatusCode)
	}
}

func TestUpgradeOverHTTP2(t *testing.T) {
	front := newFront(t, at(&speaker{}, "/v1"))
	srv := httptest.NewUnstartedServer(front.Handler(http.NotFoundHandler()))
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	srv.StartTLS()
	defer srv.Close()
	r, err := http.NewRequestWithContext(within(t), http.MethodGet, srv.URL+"/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-WebSocket-Version", "13")
	answer, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text := body(t, answer); answer.ProtoMajor != 2 || answer.StatusCode != 505 || !strings.Contains(text, "HTTP/1.1 only") {
		t.Errorf("%s answered %d %s", answer.Proto, answer.StatusCode, text)
	}
}

// newFront makes a server without a listener, for what needs none.
func newFront(t *testing.T, endpoints ...ws.Endpoint) *ws.Server {
	t.Helper()
	front, err := ws.New(ws.Config{}, ws.Deps{
		Apps: apps{}, Log: slog.New(slog.DiscardHandler), Limits: transport.NewLimits(transport.LimitConfig{}),
	}, endpoints)
	if err != nil {
		t.Fatal(err)
	}
	return front
}

func TestPlainHTTPFallsThrough(t *testing.T) {
	s := serve(t, setup{endpoints: []ws.Endpoint{at(&speaker{}, "/", "/v1", "/v1/")}})
	for _, path := range []string{"/", "/v1", "/v1/"} {
		answer := s.upgrade(path, func(r *http.Request) { r.Header = http.Header{} })
		if text := body(t, answer); text != "the page" {
			t.Errorf("GET %s: %d %s", path, answer.StatusCode, text)
		}
		if answer := s.upgrade(path, nil); answer.StatusCode != 101 {
			t.Errorf("an upgrade of %s was answered with %d", path, answer.StatusCode)
		}
	}
	if text := body(t, s.upgrade("/elsewhere", nil)); text != "the page" {
		t.Errorf("an upgrade that nobody takes: %s", text)
	}
}

// tell is a speaker that refuses with its name and the app it was told of.
func tell(name string) *speaker {
	return &speaker{admit: func(_ context.Context, r *proto.Request) (proto.Admission, error) {
		slug := "nobody's"
		if r.App != nil {
			slug = r.App.Slug
		}
		return proto.Admission{}, &proto.Refusal{Status: 418, Body: []byte(name + " of " + slug)}
	}}
}

func TestRouting(t *testing.T) {
	entry := func(name string, subprotocols ...string) ws.Endpoint {
		return ws.Endpoint{Entry: proto.Entry{Name: name, Paths: []string{"/ws"}, Subprotocols: subprotocols}, Protocol: tell(name)}
	}
	s := serve(t, setup{endpoints: []ws.Endpoint{
		entry("stomp", "v10.stomp", "v12.stomp"), entry("mqtt", "mqtt"), entry("any"), at(tell("root"), "/", "/v1"),
		at(tell("socket"), "/socket/websocket", "/socket/{app}/websocket"),
	}})
	for _, test := range []struct{ path, host, offered, want string }{
		{"/ws", "", "v12.stomp, mqtt", "stomp of nobody's"},
		{"/ws", "", "nonsense,mqtt", "mqtt of nobody's"},
		{"/ws", "", "", "any of nobody's"},
		{"/ws", "acme.example:8080", "", "any of acme"},
		{"/acme/ws", "", "mqtt", "mqtt of acme"},
		{"/acme/v1", "", "", "root of acme"},
		{"/acme/", "", "", "root of acme"},
		{"/acme", "", "", "root of acme"},
		{"/v1", "", "", "root of nobody's"},
		{"/other/v1", "", "", "the page"},
		{"/v1/", "", "", "the page"},
		{"/socket/websocket", "", "", "socket of nobody's"},
		{"/socket/acme/websocket", "", "", "socket of acme"},
		{"/acme/socket/websocket", "", "", "socket of acme"},
		{"/socket/other/websocket", "", "", "the page"},
		{"/socket/{app}/websocket", "", "", "the page"},
		{"/socket/acme", "", "", "the page"},
		{"/socket/acme/websocket/acme", "", "", "the page"},
	} {
		answer := s.upgrade(test.path, func(r *http.Request) {
			r.Host = test.host
			if test.offered != "" {
				r.Header.Set("Sec-WebSocket-Protocol", test.offered)
			}
		})
		if got := body(t, answer); got != test.want {
			t.Errorf("%s of %q offering %q: %s", test.path, test.host, test.offered, got)
		}
	}
}

func TestClashesAreTold(t *testing.T) {
	entry := func(name, path string, subprotocols ...string) ws.Endpoint {
		return ws.Endpoint{Entry: proto.Entry{Name: name, Paths: []string{path}, Subprotocols: subprotocols}, Protocol: &speaker{}}
	}
	for _, test := range []struct {
		name      string
		endpoints []ws.Endpoint
		want      []string
	}{
		{"both take all", []ws.Endpoint{entry("one", "/x"), entry("two", "/x")}, []string{"one", "two", "/x"}},
		{"one subprotocol", []ws.Endpoint{entry("one", "/x", "a", "b"), entry("two", "/x", "b")}, []string{"one", "two", `"b"`}},
		{"different ones", []ws.Endpoint{entry("one", "/x", "a"), entry("two", "/x", "b"), entry("three", "/x")}, nil},
		{"no slash", []ws.Endpoint{entry("one", "x")}, []string{"one", `"x"`}},
		{"an app's slug", []ws.Endpoint{entry("one", "/acme/v1")}, []string{"one", `"acme"`}},
	} {
		_, err := ws.New(ws.Config{}, ws.Deps{Apps: apps{}}, test.endpoints)
		if (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v", test.name, err)
		}
		for _, w := range test.want {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not name %s", test.name, err, w)
			}
		}
	}
}

func TestTakenSegments(t *testing.T) {
	taken := ws.Taken([]proto.Entry{{Name: "native", Paths: []string{"/", "/v9/", "/deep/path"}, Segments: []string{"lp9"}}})
	for segment, owner := range map[string]string{
		"v9": "native", "deep": "native", "lp9": "native", "publish": "the server", "metrics": "the server", "": "", "path": "",
	} {
		if taken[segment] != owner {
			t.Errorf("%q is taken by %q", segment, taken[segment])
		}
	}
}

func TestRefusals(t *testing.T) {
	var refused error
	p := &speaker{admit: func(context.Context, *proto.Request) (proto.Admission, error) { return proto.Admission{}, refused }}
	s := serve(t, setup{endpoints: []ws.Endpoint{at(p, "/v1")}})
	for _, test := range []struct {
		err    error
		status int
		body   string
		header map[string]string
	}{
		{
			&proto.Refusal{Status: 402, Header: http.Header{"X-Why": {"money"}, "Content-Type": {"text/plain"}}, Body: []byte("pay")},
			402, "pay",
			map[string]string{"X-Why": "money", "Content-Type": "text/plain"},
		},
		{
			earshot.Errorf(earshot.Unauthenticated, "no token"), 401,
			`{"error":{"code":"UNAUTHENTICATED","message":"no token"}}` + "\n",
			map[string]string{"Content-Type": "application/json", "Retry-After": ""},
		},
		{
			&earshot.Error{Code: earshot.Unavailable, Reason: "STORE_DOWN", Text: "later", RetryAfter: 1500 * time.Millisecond}, 503,
			`{"error":{"code":"STORE_DOWN","message":"later"}}` + "\n",
			map[string]string{"Retry-After": "2"},
		},
		{
			errors.New("a secret of the server"), 500,
			`{"error":{"code":"INTERNAL","message":"internal error"}}` + "\n", nil,
		},
	} {
		refused = test.err
		answer := s.upgrade("/v1", nil)
		if got := body(t, answer); answer.StatusCode != test.status || got != test.body {
			t.Errorf("%v: answered %d %s", test.err, answer.StatusCode, got)
		}
		for name, want := range test.header {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%v: %s is %q", test.err, name, got)
			}
		}
	}
	if n := s.ws.Stats(); n.Refused != 4 || n.Upgraded != 0 {
		t.Errorf("%+v", n)
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	var code earshot.Code
	p := &speaker{admit: func(context.Context, *proto.Request) (proto.Admission, error) {
		return proto.Admission{}, &earshot.Error{Code: code}
	}}
	s := serve(t, setup{endpoints: []ws.Endpoint{at(p, "/v1")}})
	for _, code = range earshot.Codes() {
		answer := s.upgrade("/v1", nil)
		if answer.StatusCode < 400 || answer.StatusCode == 500 && code != earshot.Internal {
			t.Errorf("%v is answered with %d", code, answer.StatusCode)
		}
		if (answer.Header.Get("Retry-After") != "") != code.Temporary() {
			t.Errorf("%v: Retry-After is %q", code, answer.Header.Get("Retry-After"))
		}
	}
}

// TestSubprotocolAfterASlowAdmit lets the protocol ask elsewhere first.
func TestSubprotocolAfterASlowAdmit(t *testing.T) {
	asked, answered := make(chan struct{}), make(chan string)
	p := &speaker{admit: func(ctx context.Context, r *proto.Request) (proto.Admission, error) {
		close(asked)
		sub := <-answered
		return proto.Admission{App: app, Subprotocol: sub, Header: http.Header{
			"X-Session": {"7"}, "Connection": {"close"}, "Sec-WebSocket-Accept": {"no"},
		}}, ctx.Err()
	}}
	s := serve(t, setup{endpoints: []ws.Endpoint{at(p, "/v1")}})
	go func() {
		<-asked
		answered <- "second"
	}()
	answer := s.upgrade("/v1", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Protocol", "first, second") })
	if answer.StatusCode != 101 || answer.Header.Get("Sec-WebSocket-Protocol") != "second" || answer.Header.Get("X-Session") != "7" ||
		answer.Header.Get("Connection") != "Upgrade" || answer.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("answered %d %v", answer.StatusCode, answer.Header)
	}
}

func TestSubprotocolNotOffered(t *testing.T) {
	p := &speaker{admit: func(context.Context, *proto.Request) (proto.Admission, error) {
		return proto.Admission{App: app, Subprotocol: "mine"}, nil
	}}
	s := serve(t, setup{endpoints: []ws.Endpoint{at(p, "/v1")}})
	if answer := s.upgrade("/v1", nil); answer.StatusCode != 500 {
		t.Errorf("answered %d", answer.StatusCode)
	}
}

func TestAdmitHasItsTime(t *testing.T) {
	p := &speaker{admit: func(ctx context.Context, _ *proto.Request) (proto.Admission, error) {
		<-ctx.Done()
		return proto.Admission{}, ctx.Err()
	}}
	s := serve(t, setup{ws: ws.Config{HandshakeTime: 20 * time.Millisecond}, endpoints: []ws.Endpoint{at(p, "/v1")}})
	answer := s.upgrade("/v1", nil)
	if text := body(t, answer); answer.StatusCode != 504 || !strings.Contains(text, "too long") {
		t.Errorf("answered %d %s", answer.StatusCode, text)
	}
}

func TestOrigin(t *testing.T) {
	strict := &earshot.App{Slug: "strict", Origins: []string{"https://good.example/", "http://localhost:3000"}}
	p := &speaker{admit: func(context.Context, *proto.Request) (proto.Admission, error) {
		return proto.Admission{App: strict}, nil
	}}
	s := serve(t, setup{endpoints: []ws.Endpoint{at(p, "/v1")}})
	for origin, status := range map[string]int{
		"": 101, "https://good.example": 101, "HTTPS://GOOD.example": 101, "http://localhost:3000": 101,
		"https://good.example.evil.example": 403, "http://good.example": 403, "null": 403,
	} {
		answer := s.upgrade("/v1", func(r *http.Request) {
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
		})
		if answer.StatusCode != status {
			t.Errorf("Origin %q: answered %d", origin, answer.StatusCode)
		}
	}
}

func TestRequestSaysWhoAsks(t *testing.T) {
	requests := make(chan *proto.Request, 1)
	p := &speaker{admit: func(_ context.Context, r *proto.Request) (proto.Admission, error) {
		requests <- r
		return proto.Admission{}, earshot.Errorf(earshot.Forbidden, "no")
	}}
	s := serve(t, setup{
		way: way{tls: true}, endpoints: []ws.Endpoint{at(p, "/v1")},
		ws: ws.Config{Proxies: transport.Proxies{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	s.upgrade("/v1", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 127.0.0.2") })
	r := next(t, requests)
	if r.Remote != netip.MustParseAddr("203.0.113.9") || !r.Secure || r.Local.String() != s.Listener.Addr().String() {
		t.Errorf("%+v", r)
	}
}

func TestLimitsRefuse(t *testing.T) {
	p := &speaker{admit: func(context.Context, *proto.Request) (proto.Admission, error) {
		return proto.Admission{App: app, Identity: &earshot.Identity{UID: "jo", HasUID: true}}, nil
	}}
	for limit, test := range map[string]struct {
		config transport.LimitConfig
		status int
	}{
		transport.LimitConnections: {transport.LimitConfig{Connections: 1}, 503},
		transport.LimitConnectRate: {transport.LimitConfig{ConnectRate: 0.01}, 503},
		transport.LimitPerAddress:  {transport.LimitConfig{PerAddress: 1}, 429},
		transport.LimitPerUser:     {transport.LimitConfig{PerUser: 1}, 429},
	} {
		t.Run(limit, func(t *testing.T) {
			s := serve(t, setup{limits: test.config, endpoints: []ws.Endpoint{at(p, "/v1")}})
			first := s.raw("/v1", nil)
			answer := s.upgrade("/v1", nil)
			if text := body(t, answer); answer.StatusCode != test.status || answer.Header.Get("Retry-After") == "" || !strings.Contains(text, limit) {
				t.Errorf("answered %d %v %s", answer.StatusCode, answer.Header, text)
			}
			if n := s.limits.Refused()[limit]; n != 1 {
				t.Errorf("%d refusals counted", n)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			if limit == transport.LimitConnectRate {
				return
			}
			eventually(t, "the place is free again", func() bool { return s.upgrade("/v1", nil).StatusCode == 101 })
		})
	}
}

func TestDeflate(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		p := &speaker{}
		s := serve(t, setup{way: w, ws: ws.Config{Deflate: true}, endpoints: []ws.Endpoint{at(p, "/v1")}})
		for _, mode := range []websocket.CompressionMode{
			websocket.CompressionNoContextTakeover, websocket.CompressionContextTakeover, websocket.CompressionDisabled,
		} {
			c := s.dial("/v1", &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
			for _, sent := range []string{"short", strings.Repeat("long and dull ", 500), "short again"} {
				if err := c.Write(within(t), websocket.MessageText, []byte(sent)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := c.Read(within(t)); err != nil || string(got) != sent {
					t.Fatalf("mode %v: got %d bytes, %v", mode, len(got), err)
				}
			}
		}
		if n := s.wire.Stats(); n.BytesOut > 2*7000+5000 {
			t.Errorf("%d bytes were written: nothing was compressed", n.BytesOut)
		}
	})
}

func TestDeflateBombIsClosed(t *testing.T) {
	s := serve(t, setup{ws: ws.Config{Deflate: true}, endpoints: []ws.Endpoint{at(&speaker{}, "/v1")}})
	c := s.dial("/v1", &websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 1})
	if err := c.Write(within(t), websocket.MessageText, bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.Read(within(t))
	wantClose(t, err, 1009, "the message is too large")
}

// TestSlowHandshakesDoNotHoldTheDoor opens more connections than there are
// slots, which say nothing, and one keep-alive client, before one that does.
func TestSlowHandshakesDoNotHoldTheDoor(t *testing.T) {
	s := echo(t, way{})
	for range 150 {
		s.connect()
	}
	if answer := s.upgrade("/", func(r *http.Request) { r.Header = http.Header{} }); answer.StatusCode != 200 {
		t.Fatal(answer.Status)
	}
	c := s.raw("/v1", mask(0x81, "x"))
	if b, err := bufio.NewReader(c).ReadByte(); err != nil || b != 0x81 {
		t.Fatalf("got %x, %v", b, err)
	}
}

// TestHandlesSeeTheirAdmission is what Admit found, in Open and Handle.
func TestHandlesSeeTheirAdmission(t *testing.T) {
	p := &speaker{}
	p.handle = func(_ context.Context, c *hub.Conn, _ hub.Input) error {
		return c.Send(hub.TextFrame([]byte(c.App().Slug + " " + c.Remote().String())))
	}
	c := serve(t, setup{endpoints: []ws.Endpoint{at(p, "/v1")}}).dial("/v1", nil)
	if err := c.Write(within(t), websocket.MessageText, nil); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(within(t)); err != nil || string(got) != "acme 127.0.0.1" {
		t.Errorf("got %q, %v", got, err)
	}
}
