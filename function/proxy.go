package function

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

// A proxy is the way of functions into the world, on an address of the loopback:
// to the server itself by the names that it has at AWS, to all else as it is.
// Only processes of functions may use it.
type proxy struct {
	server    *http.Server // to whom functions say where they want to go
	inner     *http.Server // who answers for the server itself
	arrivals  *arrivals
	listener  net.Listener
	authority *authority
	bundle    string // the file of certificates
	tunnels   *tunnels
	apps      map[string]*earshot.App
	log       *slog.Logger
	running   sync.WaitGroup

	mu       sync.Mutex
	admitted map[string]*instance // by the id, which is the name of the user
}

func newProxy(c Config, bundle string) (*proxy, error) {
	bundle, err := filepath.Abs(bundle)
	if err != nil {
		return nil, err
	}
	p := &proxy{
		bundle: bundle, admitted: map[string]*instance{}, apps: map[string]*earshot.App{}, log: c.Log, tunnels: newTunnels(),
	}
	for _, a := range c.Apps {
		p.apps[a.Slug] = a
	}
	if p.authority, err = newAuthority(); err != nil {
		return nil, fmt.Errorf("the proxy's certificates: %w", err)
	}
	if err := p.authority.write(bundle); err != nil {
		return nil, fmt.Errorf("the proxy's certificates: %w", err)
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("the proxy: %w", err)
	}
	p.arrivals = newArrivals(p.listener.Addr())
	p.serve(c.Handler)
	return p, nil
}

// The times are those of the server's own listener.
func (p *proxy) serve(handler http.Handler) {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	p.server = &http.Server{Handler: http.HandlerFunc(p.route), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, ErrorLog: quiet(), Protocols: protocols}
	p.inner = &http.Server{
		Handler: named(handler), ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, ErrorLog: quiet(), Protocols: protocols,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				if a, ok := t.NetConn().(*arrival); ok {
					ctx = context.WithValue(ctx, hostKey{}, a.host)
				}
			}
			return ctx
		},
	}
	p.running.Go(func() { _ = p.server.Serve(p.listener) })
	p.running.Go(func() { _ = p.inner.Serve(p.arrivals) })
}

func (p *proxy) close() {
	_ = p.server.Close()
	_ = p.inner.Close()
	p.tunnels.close()
	p.running.Wait()
}

// hostKey is the host that a connection was asked for, in its context.
type hostKey struct{}

// named answers for the host that the connection was asked for alone: which app
// that is of was judged then.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked, _ := r.Context().Value(hostKey{}).(string); !strings.EqualFold(plain(r.Host), plain(asked)) {
			http.Error(w, "this connection is for another host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// plain is a host without the port that https has anyway.
func plain(host string) string { return strings.TrimSuffix(host, ":443") }

// admit lets a process in, dismiss ends that.
func (p *proxy) admit(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.admitted[i.id] = i
}

func (p *proxy) dismiss(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.admitted, i.id)
}

// address is the proxy's as a process is told it, with its name and password.
func (p *proxy) address(i *instance) string {
	u := url.URL{Scheme: "http", Host: p.listener.Addr().String(), User: url.UserPassword(i.id, i.key)}
	return u.String()
}

// who returns the process that a request is of, nil for one of nobody.
func (p *proxy) who(r *http.Request) *instance {
	scheme, encoded, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return nil
	}
	id, key, _ := strings.Cut(string(text), ":")
	p.mu.Lock()
	i := p.admitted[id]
	p.mu.Unlock()
	if i == nil || subtle.ConstantTimeCompare([]byte(key), []byte(i.key)) != 1 {
		return nil
	}
	return i
}

// route sends a request where it wants to go.
func (p *proxy) route(w http.ResponseWriter, r *http.Request) {
	i := p.who(r)
	if i == nil {
		w.Header().Set("Proxy-Authenticate", `Basic realm="Earshot functions"`)
		http.Error(w, "this proxy is for functions", http.StatusProxyAuthRequired)
		return
	}
	switch {
	case r.Method == http.MethodConnect && p.ours(i, r.Host):
		p.receive(w, r.Host)
	case r.Method == http.MethodConnect:
		if err := p.tunnels.open(w, r.Context(), r.Host); err != nil {
			i.pool.log.Warn("a function could not be connected", "to", r.Host, "err", err)
		}
	case r.URL.Scheme == "http" && r.URL.Host != "":
		p.forward(w, r, i)
	default:
		http.Error(w, "this is a proxy", http.StatusBadRequest)
	}
}

// receive makes a connection one of the server's own.
func (p *proxy) receive(w http.ResponseWriter, host string) {
	conn, err := take(w)
	if err != nil {
		return
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	// A client that says which host it means, says the one that it asked for.
	p.arrivals.add(tls.Server(&arrival{conn, host}, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.authority.leaf(strings.ToLower(name)) },
	}))
}

// take takes a connection over and tells the client that it is through.
func take(w http.ResponseWriter) (net.Conn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if buffered.Reader.Buffered() > 0 {
		_ = conn.Close() // it spoke before it was answered, which no client of TLS does
		return nil, errors.New("the client did not wait for the answer")
	}
	_ = conn.SetDeadline(time.Time{})
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// An arrival is a connection to the server itself, by the name of host.
type arrival struct {
	net.Conn
	host string
}

// arrivals is a listener of what add is given.
type arrivals struct {
	addr  net.Addr
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newArrivals(addr net.Addr) *arrivals {
	return &arrivals{addr: addr, conns: make(chan net.Conn), ended: make(chan struct{})}
}

func (a *arrivals) add(c net.Conn) {
	select {
	case a.conns <- c:
	case <-a.ended:
		_ = c.Close()
	}
}

// Accept waits for the next one.
func (a *arrivals) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.ended:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (a *arrivals) Close() error {
	a.once.Do(func() { close(a.ended) })
	return nil
}

// Addr is the proxy's address.
func (a *arrivals) Addr() net.Addr { return a.addr }
