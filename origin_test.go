package earshot_test

import (
	"testing"

	"github.com/earshot-io/earshot"
)

func TestAllowsOrigin(t *testing.T) {
	for _, c := range []struct {
		allowed, origin string
		want            bool
	}{
		{"https://example.com", "", true},
		{"https://example.com", "https://example.com", true},
		{"https://example.com/", "https://EXAMPLE.com", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://example.com:8443", false},
		{"https://example.com", "null", false},
		{"*", "https://anybody.example", true},
		{"//example.com", "http://Example.com:81", true},
		{"//example.com", "https://sub.example.com", false},
		{"//example.com", "https://example.com.evil", false},
		{"//*.example.com", "https://example.com", true},
		{"//*.example.com", "https://a.b.example.com", true},
		{"//*.example.com", "https://badexample.com", false},
		{"//example.com:8080", "http://example.com:8080", true},
		{"//example.com:8080", "http://example.com", false},
		{"//example.com:443", "https://example.com", true},
		{"//example.com", "://", false},
		{"//", "https://", false},
		{"same-host", "http://Asked.example:8080", true},
		{"same-host", "https://asked.example:8080", true},
		{"same-host", "http://asked.example", false},
		{"same-host", "http://other.example:8080", false},
		{"same-host", "null", false},
	} {
		a := &earshot.App{Origins: []string{c.allowed}}
		if got := a.AllowsOrigin(c.origin, "asked.example:8080"); got != c.want {
			t.Errorf("%q allows %q: %v", c.allowed, c.origin, got)
		}
	}
	if !(&earshot.App{}).AllowsOrigin("https://anybody.example", "") {
		t.Errorf("an app without origins refuses one")
	}
}

// TestSameHost is which pages are of the host that is asked.
func TestSameHost(t *testing.T) {
	a := &earshot.App{Origins: []string{earshot.SameHost}}
	for _, c := range []struct {
		origin, host string
		want         bool
	}{
		{"https://example.com", "example.com", true},
		{"https://example.com", "example.com:443", true},
		{"http://example.com", "example.com:443", false},
		{"https://example.com:444", "example.com", false},
		{"http://[::1]:80", "[::1]", true},
		{"https://example.com", "", false},
		{"https://", "", false},
		{"https://example.com", "example.com@evil", false},
		{"https://a.example.com", "example.com", false},
	} {
		if got := a.AllowsOrigin(c.origin, c.host); got != c.want {
			t.Errorf("%q, asking %q: %v", c.origin, c.host, got)
		}
	}
}

func TestValidOrigin(t *testing.T) {
	for origin, want := range map[string]bool{
		"https://example.com": true, "http://localhost:3000": true, "//example.com": true, "//*.example.com": true, "//*.example.com:8080": true, "same-host": true,
		"": false, "*": false, "//": false, "//*.": false, "//*": false, "//a.*.example.com": false, "example.com": false,
		"https://example.com/": false, "https://example.com/path": false, "//example.com/path": false, "https://*.example.com": false, "//a@b": false,
	} {
		if got := earshot.ValidOrigin(origin); got != want {
			t.Errorf("%q is an origin: %v", origin, got)
		}
	}
}
