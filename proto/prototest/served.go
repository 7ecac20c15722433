package prototest

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/earshot-io/earshot/transport"
)

// newTransport starts a transport for the world's hub.
func newTransport(w *world, log *slog.Logger) (*transport.Transport, error) {
	t, err := transport.New(transport.Config{Goroutines: w.carrier == WebSocketGoroutines}, w.hub, log)
	if err == nil {
		t.Start()
	}
	return t, err
}

// closeTransport ends it; its clients are gone, or have a little time.
func closeTransport(w *world, t *transport.Transport) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		w.Errorf("closing the transport: %v", err)
	}
}

// A gate holds up a client's reading.
type gate struct{ open chan struct{} }

func newGate() *gate {
	g := &gate{open: make(chan struct{}, 1)}
	g.open <- struct{}{}
	return g
}

// pass waits until the gate is open; it reports false if ctx ends first.
func (g *gate) pass(ctx context.Context) bool {
	select {
	case <-g.open:
		g.open <- struct{}{}
		return true
	case <-ctx.Done():
		return false
	}
}

// stall closes the gate, or opens it.
func (g *gate) stall(yes bool) {
	if yes {
		<-g.open
		return
	}
	g.open <- struct{}{}
}

// certificate makes a server's TLS configuration, and that of clients which trust it.
func certificate() (server, client *tls.Config) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS()
	defer s.Close()
	trusted := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trusted.ServerName = "example.com"
	return &tls.Config{Certificates: s.TLS.Certificates}, trusted
}

// dialTimeout is how long a connection to this machine may take.
const dialTimeout = 10 * time.Second

func dialTCP(address string, secure *tls.Config) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout}
	if secure == nil {
		return d.Dial("tcp", address)
	}
	return tls.DialWithDialer(d, "tcp", address, secure)
}
