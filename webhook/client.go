package webhook

import (
	"net"
	"net/http"
	"time"

	"github.com/earshot-io/earshot/guard"
)

// CheckURL reports why a webhook cannot have an address. Where the operator did
// not write it down himself it must be https.
func CheckURL(address string, trusted bool) error { return guard.CheckURL(address, trusted) }

// perHost is how many requests of a webhook are under way at the most.
const perHost = 64

// newClient makes the client of one webhook: no proxy, no redirect, no cookie.
func newClient(trusted bool, timeout time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	if !trusted {
		dialer.Control = guard.Public().Control
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:       dialer.DialContext,
			ForceAttemptHTTP2: true, DisableCompression: true, MaxConnsPerHost: perHost, MaxIdleConnsPerHost: perHost,
			IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: timeout, MaxResponseHeaderBytes: 16 << 10,
		},
	}
}
