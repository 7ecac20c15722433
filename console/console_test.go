package console_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/console"
)

func mux(dev *console.Dev, ready error) *http.ServeMux {
	m := http.NewServeMux()
	console.New(dev, func() error { return ready }).Routes(m.Handle)
	return m
}

var dev = &console.Dev{App: "dev", Token: "the-token", PublishKey: "the-key"}

func get(m http.Handler, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:50000"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w
}

// TestSelfContained: the page takes nothing from elsewhere and has no script or
// style of its own that the policy would have to allow.
func TestSelfContained(t *testing.T) {
	m := mux(dev, nil)
	page := get(m, "/", nil)
	if page.Code != http.StatusOK {
		t.Fatalf("got %d", page.Code)
	}
	policy := page.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q lacks %s", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	body := page.Body.String()
	if regexp.MustCompile(`(?i)<script>|<script [^>]*>[^<]|<style|\son\w+=|\sstyle=|https?://`).MatchString(body) {
		t.Error("the page has inline code or an outside address")
	}
	for _, found := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(body, -1) {
		part := get(m, found[1], nil)
		if part.Code != http.StatusOK || part.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d", found[1], part.Code)
		}
		if regexp.MustCompile(`\burl\(|@import|https?://[^w]`).MatchString(part.Body.String()) {
			t.Errorf("%s has an outside address", found[1])
		}
	}
	script := get(m, "/console/app.js", nil).Body.String()
	if regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(`).MatchString(script) {
		t.Error("the script may show a message as HTML")
	}
	for _, id := range regexp.MustCompile(`\$\("([\w-]+)"\)`).FindAllStringSubmatch(script, -1) {
		if !strings.Contains(body, `id="`+id[1]+`"`) {
			t.Errorf("the script looks for %s, which is not on the page", id[1])
		}
	}
	if strings.Contains(body+script, "the-token") || strings.Contains(body+script, "the-key") {
		t.Error("a secret is in the page")
	}
}

// TestDevKeys: only a page of this machine, opened on this machine, gets them.
func TestDevKeys(t *testing.T) {
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	from := func(a string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = a } }
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"127.0.0.1":            {nil, 200},
		"localhost":            {host("localhost:8080"), 200},
		"LOCALHOST":            {host("LocalHost"), 200},
		"127.1.2.3":            {host("127.1.2.3:8080"), 200},
		"IPv6":                 {host("[::1]:8080"), 200},
		"from IPv6":            {from("[::1]:50000"), 200},
		"from mapped IPv4":     {from("[::ffff:127.0.0.1]:50000"), 200},
		"same origin":          {header("Sec-Fetch-Site", "same-origin"), 200},
		"typed":                {header("Sec-Fetch-Site", "none"), 200},
		"rebound name":         {host("evil.example:8080"), 403},
		"name like localhost":  {host("localhost.evil.example"), 403},
		"name like an address": {host("127.0.0.1.evil.example"), 403},
		"no host":              {host(""), 403},
		"any address":          {host("0.0.0.0:8080"), 403},
		"another machine":      {from("192.0.2.1:50000"), 403},
		"no address":           {from("@"), 403},
		"another site":         {header("Sec-Fetch-Site", "cross-site"), 403},
		"another port":         {header("Sec-Fetch-Site", "same-site"), 403},
		"through a proxy":      {header("X-Forwarded-For", "192.0.2.1"), 403},
		"through another":      {header("Forwarded", "for=192.0.2.1"), 403},
	} {
		got := get(mux(dev, nil), "/console/dev.json", c.change)
		if got.Code != c.want {
			t.Errorf("%s: got %d, want %d", name, got.Code, c.want)
		}
		if shown := strings.Contains(got.Body.String(), "the-token"); shown != (c.want == 200) {
			t.Errorf("%s: the token is shown: %v", name, shown)
		}
		if got.Header().Get("Access-Control-Allow-Origin") != "" || got.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: other sites or caches may have it", name)
		}
	}
}

func TestProduction(t *testing.T) {
	if page := get(mux(nil, nil), "/", nil); page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "Earshot is running") || strings.Contains(page.Body.String(), "<script") {
		t.Errorf("got %d %s", page.Code, page.Body)
	}
	if page := get(mux(nil, errors.New("no")), "/", nil); !strings.Contains(page.Body.String(), "Earshot is not ready") {
		t.Errorf("got %s", page.Body)
	}
	for _, path := range []string{"/console/dev.json", "/console/app.js", "/console/", "/index.html"} {
		if got := get(mux(nil, nil), path, nil); got.Code != http.StatusNotFound {
			t.Errorf("%s: got %d, want that it is not there", path, got.Code)
		}
	}
}
