package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// ErrInternal is the cause of what a Guard refuses.
var ErrInternal = errors.New("the address is internal, or not a public one")

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

// A Guard decides which addresses may be dialled. It is immutable, and may be used
// concurrently.
type Guard struct {
	reserved, listed []netip.Prefix
	public           netip.Prefix
	hosts            map[string]bool
}

// Public makes a guard that lets public addresses through, and nothing else.
func Public() *Guard {
	return &Guard{reserved: reserved(), public: netip.MustParsePrefix(publicIPv6)}
}

// New makes a guard that also lets through what is listed: networks such as
// 10.0.0.0/8, addresses, and names of hosts, which stand for whatever they
// resolve to. It fails for an entry that is none of these.
func New(listed ...string) (*Guard, error) {
	g := Public()
	g.hosts = map[string]bool{}
	for _, text := range listed {
		if p, err := netip.ParsePrefix(text); err == nil {
			g.listed = append(g.listed, p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			a = a.Unmap()
			g.listed = append(g.listed, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		if !isHost(text) {
			return nil, fmt.Errorf("%q is neither a network, as 10.0.0.0/8, nor an address nor the name of a host", text)
		}
		g.hosts[fold(text)] = true
	}
	return g, nil
}

// isHost reports whether a text can be a host's name: letters, digits, dots, - and
// _, and not all digits and dots, which would be an address gone wrong.
func isHost(s string) bool {
	letters := false
	for _, c := range s {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
			letters = true
		case '0' <= c && c <= '9', c == '.', c == '-':
		default:
			return false
		}
	}
	return letters && len(s) <= 253 && !strings.HasPrefix(s, ".")
}

// fold makes equal what names the same host.
func fold(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Permits reports whether an address is a public one, or listed.
func (g *Guard) Permits(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	if within(g.listed, a) {
		return true
	}
	return (a.Is4() || g.public.Contains(a)) && !within(g.reserved, a)
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// lists reports whether the operator listed a host, by its name or its address.
func (g *Guard) lists(host string) bool {
	if g.hosts[fold(host)] {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Zone() == "" && within(g.listed, a.Unmap())
}

// Control is a net.Dialer's: it refuses, with ErrInternal, what is not permitted.
func (g *Guard) Control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q: %w", address, ErrInternal)
	}
	if !g.Permits(at.Addr()) {
		return fmt.Errorf("%s: %w", at.Addr(), ErrInternal)
	}
	return nil
}

// A Dial connects to an address, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a dialer's DialContext under the guard. The dialer must not change
// afterwards; its own Control is not used.
func (g *Guard) Dial(d *net.Dialer) Dial {
	open, guarded := *d, *d
	open.Control, guarded.Control = nil, g.Control
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(address); err == nil && g.hosts[fold(host)] {
			return open.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	}
}

// CheckURL reports why an address cannot be called. Where the operator neither
// wrote it down himself nor listed its host, it must be https.
func (g *Guard) CheckURL(address string, trusted bool) error {
	u, err := url.Parse(address)
	return CheckURL(address, trusted || err == nil && g.lists(u.Hostname()))
}

// CheckURL reports why an address cannot be called. Where the operator did not
// write it down himself it must be https.
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
