package transport

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the addresses whose word about a client is believed.
type Proxies []netip.Prefix

func (p Proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// Client returns the address of the client behind a request, and whether it
// speaks TLS. Without trusted proxies that is who connected. Of X-Forwarded-For
// the rightmost address counts that is not a trusted proxy's: what is left of
// it, anybody could have written. X-Forwarded-Proto may come more than once, where a
// proxy has added its word to the client's: then each has to say TLS.
func (p Proxies) Client(r *http.Request) (addr netip.Addr, secure bool) {
	addr, secure = peer(r), r.TLS != nil
	if !p.trust(addr) {
		return addr, secure
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, ok := parseHop(hop)
		if !ok {
			break
		}
		if addr = a; !p.trust(a) {
			break
		}
	}
	if said := r.Header.Values("X-Forwarded-Proto"); strings.Join(said, "") != "" {
		secure = !slices.ContainsFunc(said, plain)
	}
	return addr, secure
}

// plain reports whether a protocol is none of TLS.
func plain(proto string) bool {
	return !strings.EqualFold(proto, "https") && !strings.EqualFold(proto, "wss")
}

// peer is who connected.
func peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// parseHop reads an address, with a port or without.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err == nil
}
