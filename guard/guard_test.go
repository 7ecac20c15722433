package guard

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// TestInternalAddresses are not permitted, however they are written.
func TestInternalAddresses(t *testing.T) {
	g := Public()
	for address, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.32.0.1": true, "100.128.0.1": true, "2606:4700::1111": true, "2a00:1450::1": true,
		"127.0.0.1": false, "127.8.9.1": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false,
		"172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "100.64.0.1": false, "100.127.255.255": false,
		"169.254.169.254": false, "192.0.0.1": false, "192.0.2.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false,
		"192.88.99.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "fc00::1": false, "fd12:3456::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:8.8.8.8": true, "::127.0.0.1": false, "::7f00:1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, "2002:7f00:1::1": false, "2002:a9fe:a9fe::": false,
		"2001::1": false, "2001:db8::1": false, "100::1": false, "3fff::1": false,
	} {
		if got := g.Permits(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: permitted %v", address, got)
		}
	}
	if g.Permits(netip.Addr{}) {
		t.Error("no address is permitted")
	}
}

func TestURLs(t *testing.T) {
	for address, want := range map[string][2]bool{ // untrusted, trusted
		"https://example.com/hook": {true, true}, "http://example.com": {false, true}, "https://127.0.0.1": {true, true}, // the dial decides
		"": {}, "example.com": {}, "ftp://example.com": {}, "file:///etc/passwd": {}, "gopher://x": {}, "https://": {}, "https:///x": {}, "https://example.com/#a": {}, "://": {},
		"unix:///run/docker.sock": {},
	} {
		for i, trusted := range []bool{false, true} {
			if err := CheckURL(address, trusted); (err == nil) != want[i] {
				t.Errorf("%q, trusted %v: %v", address, trusted, err)
			}
		}
	}
}

func TestListed(t *testing.T) {
	g, err := New("10.1.0.0/16", "192.168.0.7", "fd12::/16", "Backend.internal.", "::ffff:172.16.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "192.168.0.7": true, "192.168.0.8": false, "fd12::1": true, "fd13::1": false,
		"172.16.0.1": true, "127.0.0.1": false, "fd12::1%eth0": false, "8.8.8.8": true,
	} {
		if got := g.Permits(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: permitted %v", address, got)
		}
	}
	for address, want := range map[string]bool{
		"http://backend.internal:8080/x": true, "http://BACKEND.INTERNAL./x": true, "http://10.1.0.1/": true, "http://192.168.0.7:81": true, "http://[fd12::1]/": true,
		"http://other.internal/": false, "http://a.backend.internal/": false, "http://10.2.0.1/": false, "https://other.internal/": true, "ftp://backend.internal/": false,
		"http://backend.internal@evil.example/": false, "http://evil.example/#backend.internal": false, ":": false,
	} {
		if err := g.CheckURL(address, false); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := g.CheckURL("http://other.internal/", true); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeListed(t *testing.T) {
	for _, entry := range []string{"", "10.0.0.0/33", "10.0.0", "1.2.3.4.5", "http://a", "a b", "*.internal", "fe80::1%eth0", ".internal", "a/b"} {
		if _, err := New(entry); err == nil {
			t.Errorf("%q is accepted", entry)
		}
	}
}

// TestDial follows names to where they lead: one that is listed may lead inside,
// another may not, though it leads to the same place.
func TestDial(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	listed, err := New("localhost")
	if err != nil {
		t.Fatal(err)
	}
	network, err := New("127.0.0.0/8", "::1")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		g    *Guard
		host string
		want bool
	}{
		{"a name that leads inside", Public(), "localhost", false},
		{"its address", Public(), "127.0.0.1", false},
		{"a listed name", listed, "LocalHost", true},
		{"the address of a listed name", listed, "127.0.0.1", false},
		{"a name into a listed network", network, "localhost", true},
		{"a listed address", network, "127.0.0.1", true},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		c, err := test.g.Dial(&net.Dialer{})(ctx, "tcp4", net.JoinHostPort(test.host, port))
		cancel()
		if (err == nil) != test.want || err != nil && !errors.Is(err, ErrInternal) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}
