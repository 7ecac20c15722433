package earshot

import (
	"net/url"
	"strings"
)

// AllowsOrigin reports whether a browser of this origin may connect. Who sends
// none is no browser. An entry of Origins is an origin such as
// "https://example.com:8443", whose scheme, host and port must be the same;
// "//example.com" for any scheme and port; "//*.example.com" for the host and all
// below it; with ":8080" behind either for that port only; SameHost for the host and
// port that the request asked, which host is; or "*" for all. Hosts are compared
// without regard to case.
func (a *App) AllowsOrigin(origin, host string) bool {
	if len(a.Origins) == 0 || origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	for _, o := range a.Origins {
		if o == "*" || strings.EqualFold(strings.TrimSuffix(o, "/"), origin) {
			return true
		}
		if o == SameHost && err == nil && isHost(host, u) {
			return true
		}
		if host, ok := strings.CutPrefix(o, "//"); ok && err == nil && matchesHost(strings.TrimSuffix(host, "/"), u) {
			return true
		}
	}
	return false
}

// SameHost is the entry of Origins for pages of the very host that is asked.
const SameHost = "same-host"

// isHost compares the host of an origin with that of a request, which need not say
// the port of its scheme.
func isHost(asked string, u *url.URL) bool {
	at, err := url.Parse(u.Scheme + "://" + asked)
	return err == nil && u.Hostname() != "" && strings.EqualFold(at.Hostname(), u.Hostname()) && portOf(at) == portOf(u)
}

// matchesHost compares a host, perhaps with "*." before it and a port behind it.
func matchesHost(want string, u *url.URL) bool {
	host, port, _ := strings.Cut(want, ":")
	if u.Hostname() == "" || port != "" && port != portOf(u) {
		return false
	}
	got := strings.ToLower(u.Hostname())
	if apex, ok := strings.CutPrefix(strings.ToLower(host), "*."); ok {
		return got == apex || strings.HasSuffix(got, "."+apex)
	}
	return got == strings.ToLower(host)
}

// portOf is the port of an origin, which need not say its scheme's own.
func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	case u.Scheme == "http":
		return "80"
	}
	return ""
}

// ValidOrigin reports whether s can stand in Origins, other than "*": an origin
// such as "https://example.com:8443", "//example.com" or "//*.example.com",
// perhaps with a port, or SameHost.
func ValidOrigin(s string) bool {
	if s == SameHost {
		return true
	}
	host, anyScheme := strings.CutPrefix(s, "//")
	if anyScheme {
		s = "any://" + strings.TrimPrefix(host, "*.")
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Hostname() != "" && u.Scheme+"://"+u.Host == s && !strings.Contains(u.Host, "*")
}
