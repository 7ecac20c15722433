package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/transport"
)

// Config sets how a server serves. The zero Config has defaults, and no TLS.
type Config struct {
	// TLS, if set, is spoken below the protocol.
	TLS *tls.Config
	// MaxMessage is how many bytes a message may have; 128 KiB by default.
	MaxMessage int
	// FirstMessage is how long a client has for its TLS handshake and Admit, and
	// then again for its first message; 10 s by default.
	FirstMessage time.Duration
	// Handshakes is how many connections may be beginning at once; 128 by default.
	Handshakes int
	// App is the app that a TLS client's server name selects; nil selects none.
	App func(serverName string) *earshot.App
	// Limits are the node's; nil has none. A user counts if Admit knows it.
	Limits *transport.Limits
}

// A Server accepts connections for one protocol.
type Server struct {
	hub       *hub.Hub
	transport *transport.Transport
	protocol  proto.Protocol
	cutter    proto.Cutter
	config    Config
	kind      *transport.Kind
	log       *slog.Logger
	places    chan struct{} // one for each connection that is beginning

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	closed    bool
	beginning sync.WaitGroup
}

// New makes a server on a started transport. It fails if p cannot stand on a
// stream. Who made the server closes it.
func New(h *hub.Hub, t *transport.Transport, p proto.Protocol, c Config, log *slog.Logger) (*Server, error) {
	cutter, ok := p.(proto.Cutter)
	if !ok {
		return nil, errors.New("the protocol does not stand on a stream: it is no proto.Cutter")
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = 128 << 10
	}
	if c.FirstMessage == 0 {
		c.FirstMessage = 10 * time.Second
	}
	if c.Handshakes == 0 {
		c.Handshakes = 128
	}
	s := &Server{
		hub: h, transport: t, protocol: p, cutter: cutter, config: c, log: log, kind: &transport.Kind{Format: format{}},
		places: make(chan struct{}, c.Handshakes), listeners: map[net.Listener]struct{}{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Serve accepts connections until the server is closed, and then returns nil.
// It closes l.
func (s *Server) Serve(l net.Listener) error {
	if !s.listen(l) {
		return l.Close()
	}
	for {
		select {
		case s.places <- struct{}{}:
		case <-s.ctx.Done():
			return nil
		}
		nc, err := l.Accept()
		if err == nil {
			if s.starts() {
				go s.begin(nc)
				continue
			}
			_ = nc.Close() // nothing was promised on it
		}
		<-s.places
		if s.ctx.Err() != nil {
			return nil
		}
		if err := s.rest(err); err != nil {
			return fmt.Errorf("accepting connections: %w", err)
		}
	}
}

// rest waits a moment after an error that may pass, as when there are no more
// descriptors; it returns the others.
func (s *Server) rest(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	s.log.Warn("a connection was not accepted", "err", err)
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
	return nil
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

// starts counts a beginning in; it reports false once the server closes.
func (s *Server) starts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.beginning.Add(1)
	return true
}

// Close accepts nothing more, and waits for the connections that are beginning;
// those that have begun are the transport's.
func (s *Server) Close() error {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	var err error
	for l := range s.listeners {
		err = errors.Join(err, l.Close())
	}
	clear(s.listeners)
	s.mu.Unlock()
	s.beginning.Wait()
	return err
}

// begin brings a connection from accept to its dialogue.
func (s *Server) begin(nc net.Conn) {
	defer s.beginning.Done()
	defer func() { <-s.places }()
	ctx, cancel := context.WithTimeout(s.ctx, s.config.FirstMessage)
	defer cancel()
	r := request(nc)
	ticket, err := s.hold(r.Remote)
	if err != nil {
		s.refuse(nc, err)
		return
	}
	if nc, err = s.secure(ctx, nc, r); err == nil {
		ticket, err = s.open(ctx, nc, r, ticket)
	}
	if err != nil {
		ticket.Close()
		s.refuse(nc, err)
	}
}

func request(nc net.Conn) *proto.Request {
	r := &proto.Request{Local: nc.LocalAddr()}
	if remote, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		r.Remote = remote.Addr().Unmap()
	}
	return r
}

// hold counts the client in under the node's limits.
func (s *Server) hold(remote netip.Addr) (*transport.Ticket, error) {
	if s.config.Limits == nil {
		return nil, nil
	}
	return s.config.Limits.Enter(remote)
}

// secure shakes hands, if the server speaks TLS.
func (s *Server) secure(ctx context.Context, nc net.Conn, r *proto.Request) (net.Conn, error) {
	if s.config.TLS == nil {
		return nc, nil
	}
	tc := tls.Server(nc, s.config.TLS)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nc, &noTLS{err}
	}
	r.Secure = true
	if s.config.App != nil {
		r.App = s.config.App(tc.ConnectionState().ServerName)
	}
	return tc, nil
}

// noTLS is a failed handshake: there is nobody to whom more could be said.
type noTLS struct{ error }

// open begins the dialogue. After an error nc and the ticket that it returns are
// still the caller's.
func (s *Server) open(ctx context.Context, nc net.Conn, r *proto.Request, ticket *transport.Ticket) (*transport.Ticket, error) {
	a, err := s.protocol.Admit(ctx, r)
	if err != nil {
		return ticket, err
	}
	if id := a.Identity; ticket != nil && id != nil && id.HasUID && a.App != nil {
		if ticket, err = ticket.Known(a.App.Slug, id.UID); err != nil {
			return ticket, err
		}
	}
	shard := s.hub.NextShard()
	d := &decoder{cut: s.cutter.NewCutter(), max: s.config.MaxMessage}
	w := s.transport.NewConn(shard, s.kind, d, nil)
	c, err := s.hub.Open(shard, w, hub.Opening{App: a.App, Identity: a.Identity, Farewell: s.protocol, Remote: r.Remote, KeepAlive: a.KeepAlive})
	if err != nil {
		return ticket, err
	}
	w.Hold(ticket)
	d.first = shard.NewTimer(func() {
		c.Close(&earshot.Error{Code: earshot.Timeout, Text: "no message came in time"})
	})
	d.first.Reset(s.config.FirstMessage)
	session, err := s.protocol.Open(c, c, a)
	if err != nil {
		c.Close(err)
	} else {
		c.Serve(session)
	}
	if err := w.Adopt(c, nc, nil); err != nil {
		s.log.Debug("a connection was not taken over", "err", err)
	}
	return nil, nil
}

// refuse says the protocol's last words to a client that is not admitted.
func (s *Server) refuse(nc net.Conn, err error) {
	defer func() { _ = nc.Close() }() // there is nothing left to lose
	var broken *noTLS
	if errors.As(err, &broken) {
		s.log.Debug("a TLS handshake failed", "err", err)
		return
	}
	last, _, _ := s.protocol.Farewell(err)
	if last == nil {
		return
	}
	if err := nc.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return
	}
	_, _ = nc.Write(format{}.Append(nil, last)) // it is a courtesy
}
