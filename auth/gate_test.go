package auth_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// gate makes one that logs to a buffer.
func gate(c auth.GateConfig) (*auth.Gate, *bytes.Buffer) {
	out := &bytes.Buffer{}
	c.Log = slog.New(slog.NewTextHandler(out, nil))
	return auth.NewGate(c), out
}

func reasonOf(err error) string {
	var e *earshot.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code.String() + " " + e.Reason
}

// TestGateAdmits is the table of who may come, and how.
func TestGateAdmits(t *testing.T) {
	open, strict := &earshot.App{Slug: "open"}, &earshot.App{Slug: "strict", Origins: []string{"https://good.example"}}
	secret := &earshot.App{Slug: "secret", RequireTLS: true, Origins: strict.Origins}
	g, _ := gate(auth.GateConfig{})
	for _, c := range []struct {
		app    *earshot.App
		origin string
		secure bool
		want   string
	}{
		{nil, "https://evil.example", false, ""},
		{open, "https://evil.example", false, ""},
		{strict, "https://evil.example", true, "forbidden ORIGIN"},
		{strict, "https://good.example", false, ""},
		{strict, "", false, ""},
		{strict, "null", true, "forbidden ORIGIN"},
		{secret, "https://good.example", true, ""},
		{secret, "https://good.example", false, "forbidden TLS_REQUIRED"},
		{secret, "https://evil.example", false, "forbidden TLS_REQUIRED"},
		{secret, "https://evil.example", true, "forbidden ORIGIN"},
		{secret, "", true, ""},
	} {
		for name, by := range map[string]*auth.Gate{"a gate": g, "no gate": nil} {
			if got := reasonOf(by.Admit(c.app, auth.Way{Origin: c.origin, Secure: c.secure})); got != c.want {
				t.Errorf("%s: %+v: %q", name, c, got)
			}
		}
	}
	if origins, plain := g.Refused(); origins != 3 || plain != 2 {
		t.Errorf("%d origins and %d without TLS are counted", origins, plain)
	}
}

// TestGateCalls sends what can be sent again to TLS, and refuses the rest.
func TestGateCalls(t *testing.T) {
	proxy := netip.MustParseAddr("192.0.2.1")
	g, _ := gate(auth.GateConfig{Client: func(r *http.Request) (netip.Addr, bool) { return proxy, r.Header.Get("X-Forwarded-Proto") == "https" }})
	secret := &earshot.App{Slug: "secret", RequireTLS: true}
	for _, c := range []struct {
		method, host, path, proto, location string
		refused                             bool
	}{
		{method: "GET", host: "a.example", path: "/channels/a%2Fb?x=%20y", location: "https://a.example/channels/a%2Fb?x=%20y"},
		{method: "HEAD", host: "a.example:8080", path: "/events", location: "https://a.example/events"},
		{method: "GET", host: "[2001:db8::1]:8080", path: "/events", location: "https://[2001:db8::1]/events"},
		{method: "GET", host: "[2001:db8::1]", path: "/events", location: "https://[2001:db8::1]/events"},
		{method: "GET", host: "evil.example/x?", path: "/events", refused: true},
		{method: "GET", host: "a@evil.example", path: "/events", refused: true},
		{method: "GET", host: "", path: "/events", refused: true},
		{method: "POST", host: "a.example", path: "/publish", refused: true},
		{method: "DELETE", host: "a.example", path: "/schedules/1", refused: true},
		{method: "POST", host: "a.example", path: "/publish", proto: "https"},
		{method: "GET", host: "a.example", path: "/events", proto: "https"},
	} {
		r, w := httptest.NewRequest(c.method, c.path, nil), httptest.NewRecorder()
		r.Host = c.host
		r.Header.Set("X-Forwarded-Proto", c.proto)
		moved, err := g.Call(w, r, secret)
		if moved != (c.location != "") || (err != nil) != c.refused || c.refused && reasonOf(err) != "forbidden TLS_REQUIRED" {
			t.Errorf("%+v: %v, %v", c, moved, err)
		}
		if moved && (w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != c.location || w.Header().Get("Cache-Control") != "no-store") {
			t.Errorf("%+v: %d %v", c, w.Code, w.Header())
		}
	}
	direct, r := auth.NewGate(auth.GateConfig{}), httptest.NewRequest(http.MethodPost, "/publish", nil)
	r.Header.Set("X-Forwarded-Proto", "https")
	if err := direct.Request(r, secret); err == nil {
		t.Error("a header is believed that no proxy is trusted for")
	}
	r.TLS = &tls.ConnectionState{}
	if err := direct.Request(r, secret); err != nil {
		t.Error("over TLS:", err)
	}
}

// TestGateSaysHow: the line that would let an origin in can be copied, and so it
// holds nothing of an origin that a shell or the settings could misread.
func TestGateSaysHow(t *testing.T) {
	fixed := &earshot.App{Slug: "main", Origins: []string{"https://a.example"}}
	made := &earshot.App{Slug: "shop", ID: 7, Origins: []string{"//*.b.example"}}
	for _, c := range []struct {
		app          *earshot.App
		origin, want string
	}{
		{fixed, "https://new.example:8443", `origins = ["https://a.example", "https://new.example:8443"] of the app "main" in /etc/earshot.toml`},
		{made, "https://new.example", `earshot app update shop --origin '//*.b.example' --origin 'https://new.example'`},
		{made, "https://x$(reboot).example", "no list of origins can hold it"},
		{made, "https://x';reboot;'", "no list of origins can hold it"},
		{fixed, "https://x\"]\nadmin", "no list of origins can hold it"},
		{fixed, "null", "no list of origins can hold it"},
		{fixed, "https://" + strings.Repeat("a", 300), "no list of origins can hold it"},
	} {
		g, out := gate(auth.GateConfig{Settings: "/etc/earshot.toml"})
		if g.Admit(c.app, auth.Way{Origin: c.origin, Secure: true}) == nil {
			t.Errorf("%q may come", c.origin)
		}
		line := strings.ReplaceAll(out.String(), `\"`, `"`)
		if !strings.Contains(line, c.want) || !strings.Contains(line, "level=WARN") || !strings.Contains(line, "app="+c.app.Slug) || !strings.Contains(line, c.app.Origins[0]) {
			t.Errorf("%q: %s", c.origin, line)
		}
		if n := strings.Count(out.String(), "\n"); n != 1 || out.Len() > 1000 {
			t.Errorf("%q: %d lines, %d bytes", c.origin, n, out.Len())
		}
	}
}

// TestGateUnderFlood: one line a minute for an app and origin; a flood of others is
// counted, in bounded memory, and does not end what is said later.
func TestGateUnderFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, out := gate(auth.GateConfig{})
		a := &earshot.App{Slug: "a", Origins: []string{"https://good.example"}}
		lines := func() int { return strings.Count(out.String(), "\n") }
		for range 100 {
			_ = g.Admit(a, auth.Way{Origin: "https://same.example", Secure: true})
		}
		if n := lines(); n != 1 {
			t.Fatalf("%d lines for one origin", n)
		}
		time.Sleep(59 * time.Second)
		if _ = g.Admit(a, auth.Way{Origin: "https://same.example", Secure: true}); lines() != 1 {
			t.Error("a second line within the minute")
		}
		time.Sleep(2 * time.Second)
		if _ = g.Admit(a, auth.Way{Origin: "https://same.example", Secure: true}); lines() != 2 || !strings.Contains(out.String(), `"not logged before"=100`) {
			t.Errorf("%d lines after the minute:\n%s", lines(), out)
		}
		const flood = 200_000
		before := memory()
		for i := range flood {
			_ = g.Admit(a, auth.Way{Origin: fmt.Sprintf("https://%d.example", i), Secure: true})
		}
		if n := lines(); n > 1001 {
			t.Errorf("%d lines", n)
		}
		if grew := memory() - before; grew > 2<<20 {
			t.Errorf("%d bytes are kept of a flood", grew)
		}
		time.Sleep(time.Minute + time.Second)
		out.Reset()
		if _ = g.Admit(a, auth.Way{Origin: "https://same.example", Secure: true}); lines() != 1 || !strings.Contains(out.String(), "not logged before") {
			t.Errorf("after the flood: %s", out)
		}
		if origins, _ := g.Refused(); origins != flood+103 {
			t.Errorf("%d are counted", origins)
		}
	})
}

// memory is how many bytes are in use.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestGateIsShared: many edges ask one gate.
func TestGateIsShared(t *testing.T) {
	g := auth.NewGate(auth.GateConfig{Log: slog.New(slog.DiscardHandler)})
	a := &earshot.App{Slug: "a", Origins: []string{"https://good.example"}}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 1000 {
				_ = g.Admit(a, auth.Way{Origin: fmt.Sprintf("https://%d.example", i*j), Secure: j%2 == 0})
			}
		})
	}
	all.Wait()
	if origins, _ := g.Refused(); origins != 8000 {
		t.Errorf("%d refusals are counted", origins)
	}
}
