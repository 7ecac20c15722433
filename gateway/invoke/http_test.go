package invoke

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/guard"
	"github.com/earshot-io/earshot/webhook"
)

// raw serves connections by what a function writes, as no HTTP server would.
func raw(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 64<<10)) // the request
				talk(c)
				_, _ = io.Copy(io.Discard, c) // until the other end has had enough
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return "http://" + l.Addr().String()
}

// TestBadBackends are those that crash, hang, flood, talk slowly or nonsense: each
// gets its failure, in time, and is nobody else's trouble.
func TestBadBackends(t *testing.T) {
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = refusing.Close()
	flood := func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte("x"), 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client is gone
		<-r.Context().Done()
	}
	for _, test := range []struct {
		name, kind, url string
		want            gateway.FailureKind
	}{
		{"nobody there", "HTTP_PROXY", "http://" + refusing.Addr().String(), gateway.Unreachable},
		{"no such name", "HTTP_PROXY", "http://nowhere.invalid", gateway.Unreachable},
		{"crashes", "HTTP_PROXY", raw(t, func(c net.Conn) { _ = c.Close() }), gateway.Unreachable},
		{"crashes in its answer", "HTTP_PROXY", raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			_ = c.Close()
		}), gateway.Unreachable},
		{"talks nonsense", "HTTP_PROXY", raw(t, func(c net.Conn) { _, _ = io.WriteString(c, "\x16\x03\x01 220 hello\r\n\r\n") }), gateway.Unreachable},
		{"hangs", "HTTP_PROXY", serve(t, hang), gateway.TimedOut},
		{"hangs in its head", "HTTP_PROXY", raw(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ") }), gateway.TimedOut},
		{"hangs in its body", "HTTP_PROXY", raw(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") }), gateway.TimedOut},
		{"drips", "HTTP_PROXY", serve(t, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				if http.NewResponseController(w).Flush() != nil {
					return
				}
			}
		}), 0}, // see below
		{"floods", "HTTP_PROXY", serve(t, flood), gateway.Malformed},
		{"floods its event", "HTTP_EVENT", serve(t, flood), gateway.Malformed},
		{"floods its head", "HTTP_PROXY", raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X: "+strings.Repeat("x", 4000)+"\r\n"); err != nil {
					return
				}
			}
		}), gateway.Unreachable},
		{"switches protocols", "HTTP_PROXY", raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			_ = c.Close()
		}), gateway.Malformed},
		{"answers garbage", "HTTP_EVENT", serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }), gateway.Malformed},
		{"answers nothing", "HTTP_EVENT", serve(t, func(http.ResponseWriter, *http.Request) {}), gateway.Malformed},
		{"fails", "HTTP_EVENT", serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }), gateway.Raised},
		{"leads elsewhere", "HTTP_EVENT", serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://example.com/", http.StatusTemporaryRedirect)
		}), gateway.Raised},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := 29000
			if test.want == gateway.TimedOut {
				timeout = 200
			}
			r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: test.kind, URI: test.url, TimeoutMillis: timeout}})
			_, err := r.integrate("twoway")
			if test.name == "drips" {
				// It drips until there is too much, or the time is up.
				if k := gateway.FailureOf(err); k == nil || k.Kind != gateway.Malformed && k.Kind != gateway.TimedOut {
					t.Errorf("%v", err)
				}
				return
			}
			wantKind(t, err, test.want)
			if s := r.b.Stats(); s.Failures[test.want] != 1 || s.Calls[gateway.Message] != 1 || s.Running != 0 || r.b.held.holds() != 0 {
				t.Errorf("%+v, %d bytes held", s, r.b.held.holds())
			}
		})
	}
}

// TestHTTPProxy goes there and back.
func TestHTTPProxy(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Connectionid") != "conn=" || r.Header.Get("User-Agent") != "Earshot" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("header %v", r.Header)
		}
		w.Header().Set("Sec-WebSocket-Protocol", "chat1")
		w.WriteHeader(201)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	})
	r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{
		Type: earshot.HTTPProxy, URI: url + "/a", Method: "PUT",
		RequestParameters: map[string]string{"integration.request.header.connectionId": "context.connectionId"},
	}})
	for key, want := range map[string]string{"$connect": "", "$default": "", "$disconnect": "", "twoway": `PUT /a {"action":"x"}`} {
		got, err := r.integrate(key)
		if err != nil || string(got.Body) != want {
			t.Errorf("%s: %+v, %v", key, got, err)
			continue
		}
		if key == "$connect" && (got.Status != 201 || got.Subprotocol != "chat1") {
			t.Errorf("%s: %+v", key, got)
		}
	}
}

// TestRefusalsAreCounted, and are no failures.
func TestRefusalsAreCounted(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
	r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: url}})
	got, err := r.integrate("$connect")
	if s := r.b.Stats(); err != nil || got.Status != 403 || s.Refusals != 1 || s.Calls[gateway.Connect] != 1 || s.Time <= 0 {
		t.Errorf("%+v, %v, %+v", got, err, s)
	}
}

// TestHTTPEvent posts the event, signed with each of the app's secrets.
func TestHTTPEvent(t *testing.T) {
	secret := webhook.NewSecret()
	var body []byte
	var header http.Header
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
		var e events.APIGatewayWebsocketProxyRequest
		if json.Unmarshal(body, &e) != nil || e.RequestContext.ConnectionID != "conn=" || e.Body != `{"action":"x"}` {
			t.Errorf("event %s", body)
		}
		_, _ = io.WriteString(w, `{"statusCode":200,"body":"hello","join":["room"]}`)
	})
	r := newRig(t, Config{}, setup{
		integration: earshot.GatewayIntegration{Type: earshot.HTTPEvent, URI: url}, app: earshot.App{Secrets: []string{secret, "plain text"}},
	})
	got, err := r.integrate("twoway")
	if err != nil || string(got.Body) != "hello" || len(got.Join) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, make := range map[string]func() (*standardwebhooks.Webhook, error){
		"whsec_": func() (*standardwebhooks.Webhook, error) { return standardwebhooks.NewWebhook(secret) },
		"text":   func() (*standardwebhooks.Webhook, error) { return standardwebhooks.NewWebhookRaw([]byte("plain text")) },
	} {
		verifier, err := make()
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(body, header); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if verifier.Verify(append([]byte(" "), body...), header) == nil {
			t.Errorf("%s: another body is verified", name)
		}
	}
	if header.Get("webhook-id") != "req=" {
		t.Errorf("id %s", header.Get("webhook-id"))
	}
}

// TestMock calls nobody.
func TestMock(t *testing.T) {
	body := "hi"
	r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.Mock, Responses: []earshot.GatewayResponse{{Key: "$default", Body: &body}}}})
	got, err := r.integrate("twoway")
	if err != nil || string(got.Body) != "hi" || r.b.Stats().Calls[gateway.Message] != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestConnectionsAreReused, where somebody is to have the answer and where not.
func TestConnectionsAreReused(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: s.URL}})
	for range 10 {
		for _, key := range []string{"twoway", "$default"} {
			if _, err := r.integrate(key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections were opened", n)
	}
}

// TestNobodyWaitsForWhatNobodyIsToHave: where the answer is for nobody, its head
// is enough.
func TestNobodyWaitsForWhatNobodyIsToHave(t *testing.T) {
	for name, head := range map[string]string{"a length": "Content-Length: 100", "chunks": "Transfer-Encoding: chunked"} {
		url := raw(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head+"\r\n\r\n") })
		r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: url}})
		for _, key := range []string{"$connect", "$default", "$disconnect"} {
			begun := time.Now()
			if _, err := r.integrate(key); err != nil || time.Since(begun) > gateway.DefaultTimeout/2 {
				t.Errorf("%s, %s: %v after %v", name, key, err, time.Since(begun))
			}
		}
	}
}

// TestNothingIsSentTwice when a connection breaks that was used before.
func TestNothingIsSentTwice(t *testing.T) {
	var requests atomic.Int32
	url := raw(t, func(c net.Conn) {
		requests.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, _ = c.Read(make([]byte, 64<<10))
		requests.Add(1)
		_ = c.Close()
	})
	for _, method := range []string{"POST", "PUT"} {
		requests.Store(0)
		r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: url, Method: method}})
		_, err := r.integrate("twoway")
		wantKind(t, err, 0)
		_, err = r.integrate("twoway")
		wantKind(t, err, gateway.Unreachable)
		if n := requests.Load(); n != 2 {
			t.Errorf("%s: %d requests", method, n)
		}
	}
}

// TestEnvironmentsProxyIsNotUsed.
func TestEnvironmentsProxyIsNotUsed(t *testing.T) {
	b := New(Config{})
	defer b.Close()
	for _, c := range []*http.Client{b.trusted, b.public} {
		if transport, ok := c.Transport.(*http.Transport); !ok || transport.Proxy != nil {
			t.Error("there is a proxy")
		}
	}
}

// TestInternalAddresses are for what the operator wrote down or listed. Names
// that lead inside are as good as addresses.
func TestInternalAddresses(t *testing.T) {
	var calls atomic.Int32
	count := func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = io.WriteString(w, `{"statusCode":200}`)
	}
	plain := serve(t, count)
	secure := httptest.NewTLSServer(http.HandlerFunc(count))
	t.Cleanup(secure.Close)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(plain, "http://"))
	_, tlsPort, _ := net.SplitHostPort(secure.Listener.Addr().String())
	listing := func(entries ...string) *guard.Guard {
		g, err := guard.New(entries...)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	for _, test := range []struct {
		name      string
		g         *guard.Guard
		untrusted bool
		url       string
		want      gateway.FailureKind
	}{
		{"the operator's own", nil, false, "http://localhost:" + port, 0},
		{"http", nil, true, "http://localhost:" + port, gateway.Misconfigured},
		{"an address", nil, true, "https://127.0.0.1:" + tlsPort, gateway.Misconfigured},
		{"a name", nil, true, "https://localhost:" + tlsPort, gateway.Misconfigured},
		{"an address in other digits", nil, true, "https://[::ffff:127.0.0.1]:" + tlsPort, gateway.Misconfigured},
		{"metadata of a cloud", nil, true, "https://169.254.169.254/", gateway.Misconfigured},
		{"a listed host", listing("localhost"), true, "http://localhost:" + port, 0},
		{"a listed network", listing("127.0.0.0/8"), true, "http://127.0.0.1:" + port, 0},
		{"a name into a listed network, by http", listing("127.0.0.0/8", "::1"), true, "http://localhost:" + port, gateway.Misconfigured},
		{"a name into a listed network", listing("127.0.0.0/8", "::1"), true, "https://localhost:" + tlsPort, gateway.Unreachable}, // its certificate is unknown
		{"another host", listing("backend.internal"), true, "https://localhost:" + tlsPort, gateway.Misconfigured},
	} {
		for _, kind := range []string{earshot.HTTPProxy, earshot.HTTPEvent, earshot.AWSProxy, "authorizer"} {
			calls.Store(0)
			s := setup{untrusted: test.untrusted, integration: earshot.GatewayIntegration{Type: kind, URI: test.url}}
			switch kind {
			case earshot.AWSProxy:
				s.integration.URI, s.functions = "fn", []earshot.GatewayFunction{{Name: "fn", Endpoint: test.url}}
			case "authorizer":
				s.integration, s.authorizer = earshot.GatewayIntegration{}, test.url
			}
			r := newRig(t, Config{Guard: test.g}, s)
			if kind == "authorizer" {
				_, err := r.authorize()
				wantKind(t, err, gateway.AuthorizerFailed) // the answer is no policy either
			} else {
				_, err := r.integrate("$connect")
				wantKind(t, err, test.want)
			}
			if (calls.Load() == 1) != (test.want == 0) {
				t.Errorf("%s, %s: %d calls", test.name, kind, calls.Load())
			}
		}
	}
}

// TestErrorsKeepAddressesToThemselves: they may hold secrets.
func TestErrorsKeepAddressesToThemselves(t *testing.T) {
	r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://user:hunter2@127.0.0.1:1/?key=hunter2"}})
	_, err := r.integrate("$default")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	r = newRig(t, Config{}, setup{untrusted: true, integration: earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "https://user:hunter2@127.0.0.1:1/"}})
	if _, err = r.integrate("$default"); err == nil || strings.Contains(err.Error(), "hunter2") || !errors.Is(err, guard.ErrInternal) {
		t.Errorf("%v", err)
	}
}

// TestBudget bounds what all answers hold, and what one app's do.
func TestBudget(t *testing.T) {
	b := budget{limit: 100, apps: map[string]int64{}}
	for _, step := range []struct {
		app  string
		n    int64
		want bool
	}{{"a", 25, true}, {"a", 1, false}, {"b", 20, true}, {"b", 6, false}, {"b", 5, true}, {"c", 25, true}, {"d", 20, true}, {"e", 11, false}, {"e", 5, true}, {"f", 6, false}} {
		if got := b.take(step.app, step.n); got != step.want {
			t.Errorf("%s takes %d: %v", step.app, step.n, got)
		}
	}
	for app, n := range map[string]int64{"a": 25, "b": 25, "c": 25, "d": 20, "e": 5, "f": 0} {
		b.give(app, n)
	}
	if b.holds() != 0 || len(b.apps) != 0 {
		t.Error("it keeps what was given back")
	}
	big := strings.Repeat("x", 600<<10)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"statusCode":200,"body":%q}`, big) })
	r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.HTTPEvent, URI: url}})
	if _, err := r.integrate("$default"); err != nil {
		t.Fatal(err)
	}
	r.b.held.limit = 1 << 20
	_, err := r.integrate("$default")
	wantKind(t, err, gateway.Overloaded)
	if n := r.b.held.holds(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// BenchmarkIntegrate is a message's way to a backend and back, over loopback.
func BenchmarkIntegrate(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"statusCode":200,"body":"hello"}`)
	}))
	defer s.Close()
	backend := New(Config{})
	defer backend.Close()
	r := backend.rig(b, setup{integration: earshot.GatewayIntegration{Type: earshot.HTTPEvent, URI: s.URL}})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := r.integrate("twoway"); err != nil {
				b.Error(err)
			}
		}
	})
}
