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
	} {
		a := &earshot.App{Origins: []string{c.allowed}}
		if got := a.AllowsOrigin(c.origin); got != c.want {
			t.Errorf("%q allows %q: %v", c.allowed, c.origin, got)
		}
	}
	if !(&earshot.App{}).AllowsOrigin("https://anybody.example") {
		t.Errorf("an app without origins refuses one")
	}
}

func TestValidOrigin(t *testing.T) {
	for origin, want := range map[string]bool{
		"https://example.com": true, "http://localhost:3000": true, "//example.com": true, "//*.example.com": true, "//*.example.com:8080": true,
		"": false, "*": false, "//": false, "//*.": false, "//*": false, "//a.*.example.com": false, "example.com": false,
		"https://example.com/": false, "https://example.com/path": false, "//example.com/path": false, "https://*.example.com": false, "//a@b": false,
	} {
		if got := earshot.ValidOrigin(origin); got != want {
			t.Errorf("%q is an origin: %v", origin, got)
		}
	}
}
