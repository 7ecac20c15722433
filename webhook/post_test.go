package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/guard"
)

func newTestPoster(t *testing.T, w earshot.Webhook) *poster {
	t.Helper()
	if w.Secrets == nil {
		w.Secrets = []string{testSecret}
	}
	p, err := newPoster(&w, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// TestAReceiverVerifies with the library of the convention, by either secret
// while one is replaced, and refuses what was changed on the way.
func TestAReceiverVerifies(t *testing.T) {
	secrets := []string{NewSecret(), NewSecret()}
	var got http.Header
	var body []byte
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header
		body, _ = io.ReadAll(r.Body)
	})
	p := newTestPoster(t, earshot.Webhook{ID: "h", URL: url, Secrets: secrets, Trusted: true})
	const text = `{"type":"hotsock.connected"}`
	if refused := p.post(t.Context(), "evt_1", []byte(text)); refused != nil {
		t.Fatalf("%+v", refused)
	}
	if string(body) != text || got.Get("Content-Type") != "application/json" || got.Get("webhook-id") != "evt_1" {
		t.Errorf("got %s with %v", body, got)
	}
	for i, s := range append(secrets, NewSecret()) {
		verifier, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(body, got); (err == nil) != (i < 2) {
			t.Errorf("secret %d: %v", i, err)
		}
		if verifier.Verify([]byte(text+" "), got) == nil {
			t.Error("a changed body is verified")
		}
		other := got.Clone()
		other.Set("webhook-id", "evt_2")
		if verifier.Verify(body, other) == nil {
			t.Error("another id is verified")
		}
	}
}

func TestAnswers(t *testing.T) {
	var hits atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
		case "/redirect":
			http.Redirect(w, r, "/hit", http.StatusTemporaryRedirect)
		case "/hit":
			hits.Add(1)
		case "/huge":
			for range 1000 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "/break":
			panic(http.ErrAbortHandler)
		default:
			var code int
			_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(code)
		}
	})
	for path, want := range map[string]*refusal{
		"/200": nil, "/204": nil, "/299": nil, "/huge": nil,
		"/300": {reason: "status 300"}, "/404": {reason: "status 404"}, "/500": {reason: "status 500"},
		"/410": {reason: "status 410", gone: true}, "/503": {reason: "status 503", away: true, after: 7 * time.Second},
		"/429": {reason: "status 429", away: true, after: 7 * time.Second}, "/redirect": {reason: "status 307"},
		"/hang": {reason: "no answer in time", away: true}, "/break": {reason: "EOF", away: true},
	} {
		p := newTestPoster(t, earshot.Webhook{ID: "h", URL: url + path, Trusted: true})
		got := p.post(t.Context(), "id", nil)
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
	if hits.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestReasonsHideTheAddress, which may hold a secret.
func TestReasonsHideTheAddress(t *testing.T) {
	p := newTestPoster(t, earshot.Webhook{ID: "h", URL: "http://user:secret@127.0.0.1:1/?key=secret", Trusted: true})
	got := p.post(t.Context(), "id", nil)
	if got == nil || !got.away || strings.Contains(got.reason, "secret") || !strings.Contains(got.reason, "refused") {
		t.Errorf("got %+v", got)
	}
	if s := shown(p.url); s != "http://127.0.0.1:1/" {
		t.Errorf("shown as %s", s)
	}
}

// TestNobodyInternalIsDialled for an address that the operator did not write
// down: not by number in any notation, nor by a name that has come to mean
// something else.
func TestNobodyInternalIsDialled(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var dialled atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			dialled.Add(1)
			_ = c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0.0.0.0",
		"[64:ff9b::7f00:1]", "[::]",
	} {
		p := newTestPoster(t, earshot.Webhook{ID: "h", URL: "https://" + host + ":" + port + "/"})
		if got := p.post(t.Context(), "id", nil); got == nil {
			t.Errorf("%s: was taken", host)
		}
	}
	// The guard sees what is dialled, not what was asked for.
	dialer := net.Dialer{Control: guard.Public().Control}
	if _, err := dialer.DialContext(context.Background(), "tcp", listener.Addr().String()); !errors.Is(err, guard.ErrInternal) {
		t.Errorf("dialling %v: %v", listener.Addr(), err)
	}
	_ = listener.Close()
	<-done
	if n := dialled.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestTheEnvironmentsProxyIsNotUsed.
func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	transport, ok := newClient(true, time.Second).Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("there is a proxy")
	}
}

func TestWebhooksThatCannotBeUsed(t *testing.T) {
	for name, w := range map[string]earshot.Webhook{
		"url":    {ID: "h", URL: "nowhere", Secrets: []string{testSecret}, Trusted: true},
		"https":  {ID: "h", URL: "http://example.com", Secrets: []string{testSecret}},
		"secret": {ID: "h", URL: "https://example.com", Secrets: []string{"secret"}},
		"none":   {ID: "h", URL: "https://example.com"},
	} {
		if _, err := newPoster(&w, time.Second); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
	}
}
