package function

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Bounds of what goes through the proxy to others.
const (
	dialTime   = 10 * time.Second
	maxTunnels = 10_000
)

// tunnels are the connections to others.
type tunnels struct {
	dialer    *net.Dialer
	transport *http.Transport

	mu      sync.Mutex
	conns   map[net.Conn]bool
	closed  bool
	running sync.WaitGroup
}

func newTunnels() *tunnels {
	d := &net.Dialer{Timeout: dialTime, Control: permitted}
	return &tunnels{
		dialer: d, conns: map[net.Conn]bool{},
		transport: &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 10, IdleConnTimeout: time.Minute},
	}
}

var errForbidden = errors.New("the address is of this machine or of its network card: functions reach it without the proxy, see NO_PROXY")

// permitted is a net.Dialer's Control: it sees what a name was resolved to. The
// proxy leads nowhere that a function could not go itself, so private networks
// are open; but the loopback is not, where parts of the server talk to one another
// and know the proxy's connections for its own, nor are link-local addresses,
// where clouds keep the machine's credentials.
func permitted(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q: %w", address, errForbidden)
	}
	if a := at.Addr().Unmap(); !a.IsGlobalUnicast() {
		return fmt.Errorf("%s: %w", a, errForbidden)
	}
	return nil
}

// open connects a client with a host and passes on what they say, until one of
// them ends.
func (t *tunnels) open(w http.ResponseWriter, ctx context.Context, host string) error {
	there, err := t.dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		http.Error(w, "the host cannot be reached", statusOf(err))
		return err
	}
	here, err := take(w)
	if err != nil {
		return errors.Join(err, there.Close())
	}
	if !t.add(here, there) {
		return errors.Join(errors.New("there are too many connections"), here.Close(), there.Close())
	}
	go t.pass(here, there)
	return nil
}

func statusOf(err error) int {
	if errors.Is(err, errForbidden) {
		return http.StatusForbidden
	}
	return http.StatusBadGateway
}

func (t *tunnels) add(conns ...net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.conns) >= 2*maxTunnels {
		return false
	}
	for _, c := range conns {
		t.conns[c] = true
	}
	t.running.Add(1)
	return true
}

// pass copies both ways. Who ends its half ends it for the other too; an error
// ends both.
func (t *tunnels) pass(here, there net.Conn) {
	defer t.running.Done()
	defer t.forget(here, there)
	var back sync.WaitGroup
	back.Go(func() { copyHalf(here, there) })
	copyHalf(there, here)
	back.Wait()
}

func copyHalf(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_, _ = to.Close(), from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		_, _ = to.Close(), from.Close()
	}
}

func (t *tunnels) forget(conns ...net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(t.conns, c)
	}
}

// close cuts all.
func (t *tunnels) close() {
	t.mu.Lock()
	t.closed = true
	for c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.running.Wait()
	t.transport.CloseIdleConnections()
}

// forward passes a request on that is not encrypted: to the server itself if it
// is for that, else to the host that it names.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, i *instance) {
	r.Header.Del("Proxy-Authorization")
	r.Header.Del("Proxy-Connection")
	r.Host = r.URL.Host
	if p.ours(i, hostPort(r.URL.Host)) {
		r.URL.Scheme, r.URL.Host = "", ""
		p.inner.Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), hostKey{}, r.Host)))
		return
	}
	through := httputil.ReverseProxy{
		Rewrite: func(*httputil.ProxyRequest) {}, Transport: p.tunnels.transport, ErrorLog: quiet(),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			i.pool.log.Warn("a function could not be connected", "to", r.Host, "err", err)
			http.Error(w, "the host cannot be reached", statusOf(err))
		},
	}
	through.ServeHTTP(w, r)
}

// hostPort adds the port of plain http to a host without one.
func hostPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		return net.JoinHostPort(host, "80")
	}
	return host
}
