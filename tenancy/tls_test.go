package tenancy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/tenant"
)

// A comer is how a request comes: behind a proxy or not, over TLS or not.
type comer struct {
	name    string
	trusted bool // the server trusts who connects
	header  map[string]string
	ok      bool
}

var comers = []comer{
	{name: "plain", ok: false},
	{name: "plain, who says otherwise", header: map[string]string{"X-Forwarded-Proto": "https"}, ok: false},
	{name: "a proxy, plain", trusted: true, header: map[string]string{"X-Forwarded-Proto": "http"}, ok: false},
	{name: "a proxy that does not say", trusted: true, ok: false},
	{name: "a proxy, over TLS", trusted: true, header: map[string]string{"X-Forwarded-Proto": "https"}, ok: true},
}

// TestRequireTLS is the table of all edges, and of all ways to come to them: an app
// that requires TLS is reached over TLS, and the app beside it as ever. The app of
// the settings and the one of the admin API are alike.
func TestRequireTLS(t *testing.T) {
	for _, c := range comers {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			fixed, free, made := newTenant(t, r, "fixed"), newTenant(t, r, "free"), newTenant(t, r, "made")
			w := newWorld(t, r, setup{fixed: []*tenantApp{fixed, free}, change: func(s *config.Config) {
				s.Apps[0].RequireTLS = true
				if c.trusted {
					s.Server.TrustedProxies = []string{"127.0.0.0/8"}
				}
			}})
			w.create(made)
			yes := true
			w.operate(w.nodes[0], http.MethodPatch, "/admin/apps/made", &tenant.Change{RequireTLS: &yes}, 200)
			w.eventually("the app requires TLS", func() bool {
				status, _, _ := w.nodes[0].ask(w, ask{path: "/publish", header: made.bearer(), body: `{}`})
				return status == http.StatusForbidden
			})
			for _, a := range []*tenantApp{fixed, made} {
				w.httpEdges(a, c, c.ok)
				w.socketEdges(a, c, c.ok)
			}
			w.httpEdges(free, c, true)
			w.socketEdges(free, c, true)
			for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
				if status, _, _ := w.nodes[0].ask(w, ask{method: http.MethodGet, path: path, host: fixed.host}); status != 200 {
					t.Errorf("%s, which is no app's: %d", path, status)
				}
			}
		})
	}
}

// with adds what a comer says.
func (c *comer) with(header map[string]string) map[string]string {
	all := map[string]string{}
	for _, h := range []map[string]string{header, c.header} {
		for name, value := range h {
			all[name] = value
		}
	}
	return all
}

// httpEdges asks for everything that an app's servers may.
func (w *world) httpEdges(a *tenantApp, c comer, ok bool) {
	w.Helper()
	n := w.nodes[0]
	for _, e := range []struct{ method, path, body string }{
		{"POST", "/publish", `{"channel":"c","event":"e"}`},
		{"POST", "/connections/disconnect", `{"uid":"nobody"}`},
		{"DELETE", "/schedules/01JD0000000000000000000000", ""},
		{"POST", "/webhooks/none/replay", ""},
		{"GET", "/channels/c%2Fd?x=1", ""},
		{"HEAD", "/channels/c", ""},
		{"GET", "/channels/c/storage", ""},
		{"GET", "/schedules", ""},
		{"GET", "/webhooks", ""},
	} {
		status, body, header := n.ask(w, ask{method: e.method, path: e.path, body: e.body, header: c.with(a.bearer()), host: a.host + ":4000"})
		moved := e.method == "GET" || e.method == "HEAD"
		switch {
		case ok && (status == http.StatusForbidden || status == http.StatusPermanentRedirect):
			w.Errorf("%s %s of %s is refused: %d %s", e.method, e.path, a.slug, status, body)
		case !ok && moved && (status != http.StatusPermanentRedirect || header.Get("Location") != "https://"+a.host+e.path):
			w.Errorf("%s %s of %s: %d %v %s", e.method, e.path, a.slug, status, header, body)
		case !ok && !moved && (status != http.StatusForbidden || !strings.Contains(body, "TLS_REQUIRED") || !strings.Contains(body, "wss://")):
			w.Errorf("%s %s of %s: %d %s", e.method, e.path, a.slug, status, body)
		}
	}
	for _, by := range mouths {
		q := by.ask(w, a, mark{a.slug, by.on(a, "c"), 0})
		sign := q.sign
		q.header = c.with(q.header)
		q.sign = func(r *http.Request) {
			if sign != nil {
				sign(r)
			}
		}
		status, body, header := n.ask(w, q)
		refused := status == http.StatusForbidden && (strings.Contains(body, "TLS") || by.name == "gateway")
		if refused == ok || ok && !by.ok(status, body) {
			w.Errorf("%s of %s: %d %s %v", by.name, a.slug, status, body, header)
		}
	}
	if status, _, _ := n.ask(w, ask{path: "/publish", header: c.with(map[string]string{"Authorization": "Bearer wrong"}), host: a.host}); status != http.StatusUnauthorized {
		w.Errorf("a wrong key: %d", status)
	}
}

// socketEdges connects at every door, and uses the connection's HTTP calls.
func (w *world) socketEdges(a *tenantApp, c comer, ok bool) {
	w.Helper()
	n := w.nodes[0]
	for i := range tongues {
		s := &tongues[i]
		for _, d := range s.doors(a) {
			d = s.enter(w, a, d)
			d.header = c.header
			what := fmt.Sprintf("%s of %s at %s%s", s.name, a.slug, d.host, strings.SplitN(d.path, "?", 2)[0])
			l := newListener(w, n, a, what)
			l.header = c.header
			if err := s.open(l, d); err != nil {
				if ok || !strings.Contains(err.Error(), "403") {
					w.Errorf("%s: %v", what, err)
				}
				continue
			}
			w.talk(s, l, ok)
			l.shut()
		}
	}
	w.text403(a, c, ok)
	w.callEdges(a, c, ok)
}

// talk joins, on a connection that knew no app before: it is heard, or is not.
func (w *world) talk(s *tongue, l *listener, ok bool) {
	w.Helper()
	if ok {
		l.expects("c")
	}
	if err := s.join(l, l.app, "c"); (err == nil) != ok && s.name != "notiflux" {
		w.Errorf("%s: joining: %v", l.about, err)
	}
	m := mark{l.app.slug, "c", w.IntN(1 << 30)}
	by := mouths[0].ask(w, l.app, m)
	by.header["X-Forwarded-Proto"] = "https"
	status, body, _ := l.node.ask(w, by)
	if published := mouths[0].ok(status, body); published && ok {
		if err := l.hears(m); err != nil {
			w.Error(err)
		}
	}
	if s.name == "notiflux" { // what it was not told comes before this, if it does
		if at := l.say("/done?"); l.answered(at, "Unknown command") == "" {
			w.Errorf("%s: no sign of life", l.about)
		}
	}
}

// text403 looks at how a handshake is refused.
func (w *world) text403(a *tenantApp, c comer, ok bool) {
	w.Helper()
	header := http.Header{}
	for name, value := range c.header {
		header.Set(name, value)
	}
	conn, answer, err := websocket.Dial(w.Context(), "ws://"+w.nodes[0].addr+"/"+a.slug+"/v1?token="+a.token(w, everything("ann")), &websocket.DialOptions{HTTPHeader: header})
	if ok {
		if err != nil {
			w.Error(err)
			return
		}
		_ = conn.CloseNow()
		return
	}
	body := make([]byte, 1024)
	size, _ := answer.Body.Read(body) // all of it is buffered
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(string(body[:size]), `"code":"TLS_REQUIRED"`) || !strings.Contains(string(body[:size]), "wss://") {
		w.Errorf("the handshake is answered %d %s", answer.StatusCode, body[:size])
	}
}

// callEdges calls for a connection that came rightly: each request is judged by
// itself.
func (w *world) callEdges(a *tenantApp, c comer, ok bool) {
	w.Helper()
	if !c.trusted {
		return // nobody can have come rightly
	}
	l := newListener(w, w.nodes[0], a, "hotsock")
	d := hotsockTongue.enter(w, a, door{path: "/v1"})
	d.header = map[string]string{"X-Forwarded-Proto": "https"}
	if err := l.dial(d); err != nil {
		w.Fatal(err)
	}
	defer l.shut()
	l.expects("c")
	if err := hotsockTongue.join(l, a, "c"); err != nil {
		w.Fatal(err)
	}
	id, secret := l.names()
	q := url.Values{"connectionId": {id}, "connectionSecret": {secret}}.Encode()
	for _, call := range []string{"listMessages", "getChannelInfo", "channelStorageList", "publishMessage"} {
		status, body, _ := l.node.ask(w, ask{path: "/connection/" + call + "?" + q, header: c.header, body: `{"channel":"c","event":"e","data":1}`})
		refused := status == http.StatusForbidden && strings.Contains(body, "TLS_REQUIRED")
		if refused == ok || ok && status >= 300 {
			w.Errorf("%s of %s: %d %s", call, a.slug, status, body)
		}
	}
}
