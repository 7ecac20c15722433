package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// reserved are the networks that are nobody's public server: IANA's registries of
// special addresses, and those that embed an IPv4 address, behind which another
// one may hide.
func reserved() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// Of IPv6, only this is public unicast; NAT64, unique local, link-local and all
// else is beside it.
const publicIPv6 = "2000::/3"

// A guard decides which addresses may be dialled. It is immutable.
type guard struct {
	reserved []netip.Prefix
	public   netip.Prefix
}

func newGuard() *guard { return &guard{reserved(), netip.MustParsePrefix(publicIPv6)} }

var errInternal = errors.New("the address is internal, or not a public one")

// permits reports whether an address is a public one.
func (g *guard) permits(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.Is6() && !g.public.Contains(a) {
		return false
	}
	for _, p := range g.reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// control is a net.Dialer's: it sees what a name was resolved to, at the last
// moment, whatever it resolved to before.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q: %w", address, errInternal)
	}
	if !g.permits(at.Addr()) {
		return fmt.Errorf("%s: %w", at.Addr(), errInternal)
	}
	return nil
}

// CheckURL reports why a webhook cannot have an address. Where the operator did
// not write it down himself it must be https.
func CheckURL(address string, trusted bool) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("it does not begin with http:// or https://")
	case u.Hostname() == "":
		return errors.New("it names no host")
	case u.Fragment != "":
		return errors.New("it has a fragment, which nobody would be sent")
	case !trusted && u.Scheme != "https":
		return errors.New("it must be https")
	}
	return nil
}

// perHost is how many requests of a webhook are under way at the most.
const perHost = 64

// newClient makes the client of one webhook: no proxy, no redirect, no cookie.
func newClient(trusted bool, timeout time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	if !trusted {
		dialer.Control = newGuard().control
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			ForceAttemptHTTP2: true, DisableCompression: true, MaxConnsPerHost: perHost, MaxIdleConnsPerHost: perHost,
			IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: timeout, MaxResponseHeaderBytes: 16 << 10,
		},
	}
}
