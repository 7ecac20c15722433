package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/gateway"
)

// TestWorkedExchange is the exchange of section 14.
func TestWorkedExchange(t *testing.T) {
	n := serve(t)
	c := n.dial("/dev?Auth=myFakeToken")
	text := `{"message":"hello Matteo","action":"push"}`
	c.say(text)
	e := n.wait(t, core.Message, 1)
	if e.Route.Key != "push" || string(e.Body) != text || e.Conn.ID != c.id || e.Stage.Name != "dev" || e.MessageID == "" || e.RequestID == "" {
		t.Errorf("the integration saw %+v", e)
	}
	path := "/dev/@connections/" + c.id[:15] + "%3D"
	if status, _, body := n.ask(call{method: "POST", path: path, body: []byte(`{"status":"done"}`)}); status != 200 || body != "" {
		t.Fatalf("a post was answered %d %q", status, body)
	}
	c.hears(`{"status":"done"}`)
	if err := c.Close(websocket.StatusNoStatusRcvd, ""); err != nil {
		t.Error(err)
	}
	if e = n.wait(t, core.Disconnect, 1); e.Code != 1005 || e.Reason != "Client-side close frame status not set" || e.Conn.ID != c.id {
		t.Errorf("$disconnect was told %d %q of %s", e.Code, e.Reason, e.Conn.ID)
	}
	status, header, body := n.ask(call{method: "POST", path: path})
	if status != 410 || header.Get("x-amzn-ErrorType") != "GoneException" || body != `{"message":"Gone"}` {
		t.Errorf("after the end a post was answered %d %v %q", status, header, body)
	}
}

// TestWhichStage: host and path name the stage; what they do not name is 403, and a
// plain GET of a stage 426 (3.1).
func TestWhichStage(t *testing.T) {
	second := api(func(g *earshot.Gateway) { g.ID, g.Hosts = "def456", []string{"ws.example.com"} })
	second.Stages = []earshot.GatewayStage{{Name: "prod"}, {Name: "only"}}
	other := app(api(func(g *earshot.Gateway) { g.ID = "ghi789" }))
	other.Slug, other.Hosts, other.AccessKeys = "other", []string{"other.example.com"}, nil
	n := serve(t, app(api(), second), other, &earshot.App{Slug: "none"})
	for _, test := range []struct{ host, path, api, stage string }{
		{"", "/prod", "abc123", "prod"},
		{"", "/prod/", "abc123", "prod"},
		{"", "//dev?x=y", "abc123", "dev"},
		{"", "/only", "def456", "only"}, // the first API that has it
		{"", "/def456/prod", "def456", "prod"},
		{"", "/main/prod", "abc123", "prod"},
		{"", "/main/def456/prod", "def456", "prod"},
		{"", "/other/dev", "ghi789", "dev"},
		{"other.example.com", "/dev", "ghi789", "dev"},
		{"other.example.com:8080", "/dev", "ghi789", "dev"},
		{"ws.example.com", "/only", "def456", "only"},
		{"WS.example.com", "/", "def456", "prod"}, // a mapping without a path
		{"abc123.execute-api.us-east-1.amazonaws.com", "/dev", "abc123", "dev"},
		{"ghi789.execute-api.eu-central-1.amazonaws.com:443", "/prod", "ghi789", "prod"},

		{"", "/nope", "", ""},
		{"", "/", "", "404"},
		{"", "/prod/more", "", ""},
		{"", "/ghi789/prod", "", ""}, // another app's
		{"", "/none/prod", "", ""},
		{"ws.example.com", "/dev", "", ""},
		{"ws.example.com", "/def456/prod", "", ""},
		{"other.example.com", "/only", "", ""},
		{"xyz.execute-api.us-east-1.amazonaws.com", "/nope", "", ""},
	} {
		t.Run(test.host+test.path, func(t *testing.T) {
			before := n.count(core.Connect)
			c, answer, err := n.try(test.path, func(o *websocket.DialOptions) { o.Host = test.host })
			if test.api == "" {
				want, body := 403, `{"message":"Forbidden"}`
				if test.stage == "404" {
					want, body = 404, "404 page not found\n"
				}
				if err == nil || answer.StatusCode != want || read(answer) != body {
					t.Fatalf("the handshake was answered %v %v", answer, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			e := n.wait(t, core.Connect, before+1)
			if e.Stage.API.ID != test.api || e.Stage.Name != test.stage {
				t.Errorf("it is %s/%s", e.Stage.API.ID, e.Stage.Name)
			}
			_ = c.CloseNow()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if test.host != "" {
				r.Host = test.host
			}
			r.URL.Path = strings.Split(test.path, "?")[0]
			w := httptest.NewRecorder()
			n.protocol.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
			if w.Code != http.StatusUpgradeRequired || w.Header().Get("Upgrade") != "websocket" {
				t.Errorf("a plain GET was answered %d %v", w.Code, w.Header())
			}
		})
	}
}

func read(answer *http.Response) string {
	b, _ := io.ReadAll(answer.Body) // what there is of a refusal
	return string(b)
}

// TestConnectResults is table 4.3.
func TestConnectResults(t *testing.T) {
	n := serve(t)
	for _, test := range []struct {
		name    string
		answer  *core.Answer
		err     error
		status  int
		message string
		kind    string
	}{
		{"200", &core.Answer{Status: 200}, nil, 101, "", ""},
		{"201", &core.Answer{Status: 201}, nil, 101, "", ""},
		{"299", &core.Answer{Status: 299}, nil, 101, "", ""},
		{"301", &core.Answer{Status: 301}, nil, 301, "Moved Permanently", "ForbiddenException"},
		{"401", &core.Answer{Status: 401}, nil, 401, "Unauthorized", "UnauthorizedException"},
		{"404", &core.Answer{Status: 404, Body: []byte("a secret")}, nil, 404, "Not Found", "ForbiddenException"},
		{"501", &core.Answer{Status: 501}, nil, 501, "Internal server error", "InternalServerErrorException"},
		{"0", &core.Answer{}, nil, 502, "Internal server error", "BadGatewayException"},
		{"101", &core.Answer{Status: 101}, nil, 502, "Internal server error", "BadGatewayException"},
		{"600", &core.Answer{Status: 600}, nil, 502, "Internal server error", "BadGatewayException"},
		{"raised", nil, fails(core.Raised), 502, "Internal server error", "BadGatewayException"},
		{"malformed", nil, fails(core.Malformed), 502, "Internal server error", "BadGatewayException"},
		{"timed out", nil, fails(core.TimedOut), 504, "Endpoint request timed out", "GatewayTimeoutException"},
		{"unreachable", nil, fails(core.Unreachable), 504, "Endpoint request timed out", "GatewayTimeoutException"},
		{"misconfigured", nil, fails(core.Misconfigured), 500, "Internal server error", "InternalServerErrorException"},
		{"overloaded", nil, fails(core.Overloaded), 503, "Internal server error", "ServiceUnavailableException"},
		{"no failure", nil, io.ErrUnexpectedEOF, 502, "Internal server error", "BadGatewayException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
				if e.Type == core.Connect {
					return test.answer, test.err
				}
				return nil, nil
			})
			n.refuses(t, "/prod", nil, test.status, test.message, test.kind)
		})
	}
	n.answers(nil)
	if got := n.count(core.Disconnect); got > 3 {
		t.Errorf("%d $disconnects for 3 connections", got)
	}
}

// refuses connects, and checks the answer; 101 is a yes.
func (n *node) refuses(t *testing.T, path string, change func(*websocket.DialOptions), status int, message, kind string) {
	t.Helper()
	if change == nil {
		change = func(*websocket.DialOptions) {}
	}
	c, answer, err := n.try(path, change)
	if status == 101 {
		if err != nil {
			t.Fatalf("the handshake failed: %v", err)
		}
		_ = c.CloseNow()
		return
	}
	if err == nil || answer == nil {
		t.Fatalf("the handshake was answered yes, or not at all: %v", err)
	}
	body := read(answer)
	want := regexp.MustCompile(`^\{"message":` + regexp.QuoteMeta(fmt.Sprintf("%q", message)) + `,"connectionId":"[\w-]{15}=","requestId":"[\w-]{15}="\}$`)
	if answer.StatusCode != status || !want.MatchString(body) || answer.Header.Get("x-amzn-ErrorType") != kind ||
		!strings.Contains(body, `"requestId":"`+answer.Header.Get("x-amzn-RequestId")+`"`) || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the handshake was answered %d %q %v", answer.StatusCode, body, answer.Header)
	}
}

// TestHandshakeErrors is table 4.4, but for signatures.
func TestHandshakeErrors(t *testing.T) {
	custom := func(g *earshot.Gateway) {
		g.Authorizers = []earshot.GatewayAuthorizer{{ID: "auth", URI: "arn:aws:lambda:us-east-1:000000000000:function:auth"}}
		r := route(g, "$connect")
		r.AuthorizationType, r.AuthorizerID = "CUSTOM", "auth"
	}
	n := serve(t, app(api(custom)))
	for _, test := range []struct {
		kind    core.FailureKind
		status  int
		message string
		name    string
	}{
		{core.NoIdentity, 401, "Unauthorized", "UnauthorizedException"},
		{core.Unauthorized, 401, "Unauthorized", "UnauthorizedException"},
		{core.Denied, 403, "Forbidden", "AccessDeniedException"},
		{core.AuthorizerFailed, 500, "Internal server error", "AuthorizerConfigurationException"},
		{core.Misconfigured, 500, "Internal server error", "InternalServerErrorException"},
		{core.Overloaded, 503, "Internal server error", "ServiceUnavailableException"},
	} {
		n.judges(func(context.Context, *core.Event) (*core.Verdict, error) { return nil, fails(test.kind) })
		n.refuses(t, "/prod", nil, test.status, test.message, test.name)
	}
	n.judges(nil)
	n.answers(func(context.Context, *core.Event) (*core.Answer, error) { return nil, fails(core.Raised) })
	before := n.count(core.Connect)
	n.refuses(t, "/prod", nil, 502, "Internal server error", "BadGatewayException")
	asked, told := n.wait(t, core.Connect, before+1), n.wait(t, core.Connect, before+2)
	if asked.Conn.ID != told.Conn.ID || asked.Conn.Authorizer != nil || told.Conn.Authorizer["principalId"] != "me" {
		t.Errorf("the authorizer was asked about %+v, the integration about %+v", asked.Conn, told.Conn)
	}
	n.answers(nil)
	if n.count(core.Disconnect) != 0 {
		t.Error("a rejected handshake had a $disconnect (UNKNOWN-7)")
	}
}

// TestAPIKeys: a required key must be shown, and its plan's rate holds (8.8).
func TestAPIKeys(t *testing.T) {
	needs := func(g *earshot.Gateway) {
		route(g, "$connect").APIKeyRequired = true
		g.APIKeys = []earshot.GatewayKey{
			{ID: "one", Value: "first-key"}, {ID: "slow", Value: "slow-key", Throttle: earshot.GatewayThrottle{Rate: 0.001, Burst: 1}},
		}
	}
	key := func(v string) func(*websocket.DialOptions) { return header("x-api-key", v) }
	n := serve(t, app(api(needs)))
	n.refuses(t, "/prod", nil, 403, "Forbidden", "ForbiddenException")
	n.refuses(t, "/prod", key("wrong"), 403, "Forbidden", "ForbiddenException")
	n.refuses(t, "/prod", key(""), 403, "Forbidden", "ForbiddenException")
	if n.count(core.Connect) != 0 {
		t.Error("the integration was asked about who had no key")
	}
	n.dial("/prod", key("first-key"))
	if e := n.wait(t, core.Connect, 1); e.Conn.APIKey != "first-key" || e.Conn.APIKeyID != "one" {
		t.Errorf("the event says of the key %q %q", e.Conn.APIKey, e.Conn.APIKeyID)
	}
	n.dial("/prod", key("slow-key"))
	n.refuses(t, "/prod", key("slow-key"), 429, "Too Many Requests", "TooManyRequestsException")
}

// TestKeyOfTheAuthorizer: the authorizer's usageIdentifierKey can be the key.
func TestKeyOfTheAuthorizer(t *testing.T) {
	n := serve(t, app(api(func(g *earshot.Gateway) {
		g.APIKeySelection = "$context.authorizer.usageIdentifierKey"
		g.Authorizers = []earshot.GatewayAuthorizer{{ID: "auth", URI: "arn:aws:lambda:us-east-1:000000000000:function:auth"}}
		r := route(g, "$connect")
		r.AuthorizationType, r.AuthorizerID, r.APIKeyRequired = "CUSTOM", "auth", true
		g.APIKeys = []earshot.GatewayKey{{ID: "one", Value: "first-key"}}
	})))
	n.refuses(t, "/prod", header("x-api-key", "first-key"), 403, "Forbidden", "ForbiddenException")
	n.judges(func(context.Context, *core.Event) (*core.Verdict, error) {
		return &core.Verdict{Context: map[string]string{"principalId": "p"}, UsageKey: "first-key"}, nil
	})
	if c, _, err := n.try("/prod"); err != nil {
		t.Error(err)
	} else if e := n.wait(t, core.Connect, 3); e.Conn.APIKeyID != "one" {
		t.Errorf("the event says of the key %q", e.Conn.APIKeyID)
	} else if conn := n.hub.Conn(connID(t, e.Conn.ID)); conn.Identity().UID != "p" {
		t.Errorf("the user is %q", conn.Identity().UID)
	} else {
		_ = c.CloseNow()
	}
}

func connID(t testing.TB, text string) earshot.ConnID {
	t.Helper()
	id, ok := earshot.ParseConnID(text)
	if !ok {
		t.Fatalf("%q is no id of a connection", text)
	}
	return id
}

// TestConnectThrottle: the stage's rate holds for handshakes, with a $connect route
// and without, and comes before the API key (UNKNOWN-2).
func TestConnectThrottle(t *testing.T) {
	for _, more := range []func(*earshot.Gateway){func(g *earshot.Gateway) { route(g, "$connect").APIKeyRequired = false }, without("$connect")} {
		n := serve(t, app(api(more, func(g *earshot.Gateway) {
			g.Stages[0].Default = earshot.GatewayThrottle{Rate: 0.001, Burst: 1}
		})))
		if _, _, err := n.try("/prod"); err != nil {
			t.Fatal(err)
		}
		n.refuses(t, "/prod", nil, 429, "Too Many Requests", "TooManyRequestsException")
		if _, _, err := n.try("/dev"); err != nil {
			t.Errorf("another stage: %v", err)
		}
	}
}

// TestSubprotocols: only the integration's choice is answered, if it was offered,
// or else the API's own (3.4).
func TestSubprotocols(t *testing.T) {
	offer := func(all ...string) func(*websocket.DialOptions) {
		return func(o *websocket.DialOptions) { o.Subprotocols = all }
	}
	for _, test := range []struct {
		name, chosen string
		own          []string
		want         string
	}{
		{"none", "", nil, ""},
		{"the integration's", "myprotocol", nil, "myprotocol"},
		{"not offered", "else", nil, ""},
		{"the API's", "", []string{"x", "myprotocol", "chat1"}, "myprotocol"},
		{"the integration's first", "chat1", []string{"myprotocol"}, "chat1"},
	} {
		n := serve(t, app(api(func(g *earshot.Gateway) { g.Subprotocols = test.own })))
		n.answers(func(context.Context, *core.Event) (*core.Answer, error) {
			return &core.Answer{Status: 200, Subprotocol: test.chosen}, nil
		})
		c, answer, err := n.try("/prod", offer("chat1", "myprotocol"))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := answer.Header.Get("Sec-WebSocket-Protocol"); got != test.want || c.Subprotocol() != test.want {
			t.Errorf("%s: answered %q", test.name, got)
		}
		e := n.wait(t, core.Connect, 1)
		if got := values(e, "Sec-Websocket-Protocol"); got != "chat1,myprotocol" {
			t.Errorf("%s: the event has %q", test.name, got)
		}
	}
}

func values(e *core.Event, name string) (all string) {
	for _, f := range e.Handshake.Header {
		if f.Name == name {
			all += "|" + f.Value
		}
	}
	return strings.TrimPrefix(all, "|")
}

// TestHandshakeEvent: names as the client spells them, the query, from where it
// came (6.1).
func TestHandshakeEvent(t *testing.T) {
	n := serve(t)
	before := time.Now()
	c := n.dial("/prod?Auth=a%20b&n=1&n=2", header("HeaderAuth1", "v"), header("x-lower", "1"), header("x-lower", "2"),
		header("User-Agent", "test/1"), header("X-Forwarded-For", "203.0.113.7"), header("X-Amzn-Trace-Id", "Root=1-a-b"))
	e := n.wait(t, core.Connect, 1)
	for name, want := range map[string]string{
		"HeaderAuth1": "v", "x-lower": "1|2", "User-Agent": "test/1", "Sec-Websocket-Version": "13", "Host": strings.TrimPrefix(n.base, "http://"),
		"X-Amzn-Trace-Id": "Root=1-a-b", "Headerauth1": "",
	} {
		if got := values(e, name); got != want {
			t.Errorf("the header %s is %q, want %q", name, got, want)
		}
	}
	h := e.Handshake
	if h.Query.Get("Auth") != "a b" || len(h.Query["n"]) != 2 {
		t.Errorf("the query is %v", h.Query)
	}
	port := n.base[strings.LastIndex(n.base, ":")+1:]
	if h.ForwardedFor != "203.0.113.7, 127.0.0.1" || h.ForwardedProto != "http" || h.ForwardedPort != port {
		t.Errorf("forwarded for %q, by %q %q", h.ForwardedFor, h.ForwardedProto, h.ForwardedPort)
	}
	conn := e.Conn
	if conn.SourceIP != "127.0.0.1" || conn.UserAgent != "test/1" || conn.Domain != strings.TrimPrefix(n.base, "http://") ||
		conn.ConnectedAt.Before(before) || n.hub.Conn(connID(t, c.id)) == nil {
		t.Errorf("the connection is %+v", conn)
	}
}

// TestUsualSpelling: where nobody kept the head, the usual spelling stands in.
func TestUsualSpelling(t *testing.T) {
	n := bareNode(t)
	r := httptest.NewRequest(http.MethodGet, "/prod", nil)
	r.Header.Set("Sec-WebSocket-Key", "k")
	r.Header.Set("X-Api-Key", "a")
	r.Header.Set("X-Other", "o")
	if _, err := n.protocol.Admit(t.Context(), &proto.Request{HTTP: r}); err != nil {
		t.Fatal(err)
	}
	e := n.wait(t, core.Connect, 1)
	for _, name := range []string{"Sec-WebSocket-Key", "x-api-key", "X-Other"} {
		if values(e, name) == "" {
			t.Errorf("there is no %s in %v", name, e.Handshake.Header)
		}
	}
}

// TestManagementDomain: it stands in events instead of the client's host (6.4).
func TestManagementDomain(t *testing.T) {
	n := serve(t, app(api(func(g *earshot.Gateway) { g.ManagementDomain = "manage.example" })))
	n.dial("/prod")
	if e := n.wait(t, core.Connect, 1); e.Conn.Domain != "manage.example" {
		t.Errorf("the domain is %q", e.Conn.Domain)
	}
}

// TestOriginsAreJudgedFirst: nobody asks a backend about a page that may not connect.
func TestOriginsAreJudgedFirst(t *testing.T) {
	a := app(api())
	a.Origins = []string{"https://good.example"}
	n := serve(t, a)
	n.refuses(t, "/prod", header("Origin", "https://evil.example"), 403, "Forbidden", "ForbiddenException")
	if n.count(core.Connect) != 0 {
		t.Error("the integration was asked")
	}
	n.dial("/prod", header("Origin", "https://good.example"))
}

// TestSlowConnect: a handshake may wait for long, and keeps nobody else out: neither
// at the door, which has 128 places, nor in the hub.
func TestSlowConnect(t *testing.T) {
	n := serve(t)
	release := make(chan struct{})
	n.answers(func(ctx context.Context, e *core.Event) (*core.Answer, error) {
		if e.Stage.Name == "prod" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil, nil
	})
	const slow = 200
	done := make(chan error, slow)
	for range slow {
		go func() {
			c, _, err := n.try("/prod")
			if err == nil {
				err = c.CloseNow()
			}
			done <- err
		}()
	}
	n.wait(t, core.Connect, slow)
	c := n.dial("/dev")
	c.say(`{"action":"echo"}`)
	c.hears(`{"action":"echo"}`)
	close(release)
	for range slow {
		if err := <-done; err != nil {
			t.Errorf("a slow handshake: %v", err)
		}
	}
}

// TestTooManyHandshakes: beyond the bound of an app who comes is answered 429, and
// the clients of other apps are let in.
func TestTooManyHandshakes(t *testing.T) {
	other := app(api(func(g *earshot.Gateway) { g.ID = "def456" }))
	other.Slug, other.AccessKeys = "other", nil
	n := bare(t, newStore(), newBackend(), app(api()), other)
	release := make(chan struct{})
	n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
		if e.Stage.API.ID == "abc123" {
			<-release
		}
		return nil, nil
	})
	p := gateway.New(gateway.Config{Handshakes: 8}, proto.Deps{Hub: n.hub, Apps: n.apps, Gateways: n.backend})
	admit := func(path string) error {
		_, err := p.Admit(t.Context(), &proto.Request{HTTP: newRequest(path)})
		return err
	}
	slow := make(chan error, 2)
	for range 2 {
		go func() { slow <- admit("/prod") }()
	}
	n.wait(t, core.Connect, 2)
	refused, ok := admit("/prod").(*proto.Refusal)
	if !ok || refused.Status != 429 || p.Stats().Handshakes != 2 {
		t.Errorf("the third was answered %v, %d wait", refused, p.Stats().Handshakes)
	}
	if err := admit("/other/prod"); err != nil {
		t.Errorf("another app's: %v", err)
	}
	close(release)
	for range 2 {
		if err := <-slow; err != nil {
			t.Error(err)
		}
	}
	if err := admit("/prod"); err != nil {
		t.Errorf("when there was room: %v", err)
	}
}
