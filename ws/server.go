package ws

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/transport"
)

// Config sets the bounds of a Server. Zero fields are the defaults.
type Config struct {
	// HandshakeTime is how long a protocol may take to admit; 10 seconds.
	HandshakeTime time.Duration
	// PingEvery is how often clients are pinged; 25 seconds. Two unanswered
	// pings end the connection. Negative never pings.
	PingEvery time.Duration
	// MaxMessage is how many bytes a message may have; 128 KiB.
	MaxMessage int
	// Deflate agrees to compression, of frames of DeflateFrom bytes and more;
	// 512.
	Deflate     bool
	DeflateFrom int
	// Proxies may say who the client is.
	Proxies transport.Proxies
}

// Deps is what a Server stands on.
type Deps struct {
	Hub       *hub.Hub
	Transport *transport.Transport
	Limits    *transport.Limits
	Apps      Apps
	// Gate judges who comes to an app without TLS, or from an origin; nil judges too.
	Gate *auth.Gate
	Log  *slog.Logger
}

// A Server answers upgrades. Its methods may be called concurrently.
type Server struct {
	Deps
	config Config
	log    *slog.Logger
	routes routes
	plain  edge
	packed *edge // nil without compression
	counts struct{ upgraded, refused atomic.Uint64 }
}

// An edge is how the connections with or without compression are carried.
type edge struct {
	kind  transport.Kind
	rules rules
}

// An endpoint is an Endpoint with what its connections share.
type endpoint struct {
	Endpoint
	farewell farewell
}

// New makes a server for the endpoints. It fails if two of them claim the same
// client, and names both.
func New(config Config, deps Deps, endpoints []Endpoint) (*Server, error) {
	config.setDefaults()
	all := make([]*endpoint, 0, len(endpoints))
	for _, e := range endpoints {
		all = append(all, &endpoint{e, farewell{e.Protocol}})
	}
	table, err := newRoutes(all, deps.Apps)
	if err != nil {
		return nil, err
	}
	s := &Server{Deps: deps, config: config, log: deps.Log, routes: table}
	s.plain = edge{
		kind:  transport.Kind{Format: plain{}, PingEvery: max(config.PingEvery, 0)},
		rules: rules{maxMessage: config.MaxMessage, now: time.Now},
	}
	if config.Deflate {
		e := s.plain
		e.rules.deflater = newDeflater(config.DeflateFrom)
		e.kind.Format = deflated{deflater: e.rules.deflater}
		s.packed = &e
	}
	return s, nil
}

func (c *Config) setDefaults() {
	if c.HandshakeTime == 0 {
		c.HandshakeTime = 10 * time.Second
	}
	if c.PingEvery == 0 {
		c.PingEvery = 25 * time.Second
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = 128 << 10
	}
	if c.DeflateFrom == 0 {
		c.DeflateFrom = 512
	}
}

// Stats are counts of handshakes since the start.
type Stats struct{ Upgraded, Refused uint64 }

// Stats returns the counts.
func (s *Server) Stats() Stats {
	return Stats{Upgraded: s.counts.upgraded.Load(), Refused: s.counts.refused.Load()}
}

// Handler returns a handler that takes the upgrades and leaves the rest to next.
func (s *Server) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.Upgrade(w, r) {
			transport.Leave(r.Context())
			next.ServeHTTP(w, r)
		}
	})
}

// Upgrade answers r if it asks for a WebSocket on a path that is in the table,
// and reports whether it did.
func (s *Server) Upgrade(w http.ResponseWriter, r *http.Request) (handled bool) {
	if !isUpgrade(r) {
		return false
	}
	listening, app := s.find(r)
	if listening == nil {
		return false
	}
	transport.Asked(r.Context())
	if status, why := checkHandshake(r); status != 0 {
		s.malformed(w, status, why)
		return true
	}
	offered := offeredSubprotocols(r.Header)
	e := choose(listening, offered)
	if e == nil {
		s.malformed(w, http.StatusBadRequest, "none of the offered subprotocols is spoken here")
		return true
	}
	if app == nil {
		app = s.Apps.ByHost(r.Host)
	}
	addr, secure := s.config.Proxies.Client(r)
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	h := &handshake{server: s, endpoint: e, request: &proto.Request{
		HTTP: r, Subprotocols: offered, App: app, Remote: addr, Secure: secure, Local: local,
		Head: transport.Head(r.Context()),
	}}
	if err := h.run(w); err != nil {
		s.refuse(w, r, err)
	}
	return true
}

// find returns who listens where a request asks, and the application that the path
// names: first who has the whole host or names a thing of its own, then who has the path, then who takes the
// rest; nil for nobody.
func (s *Server) find(r *http.Request) ([]*endpoint, *earshot.App) {
	if all := s.rest(func(f proto.Finder) bool { return f.Owns(r) }); all != nil {
		return all, nil
	}
	all, app := s.routes.find(r.URL.Path, s.Apps)
	if all == nil {
		all = s.rest(func(f proto.Finder) bool { return f.Find(r) })
	}
	return all, app
}

// rest returns who takes what nobody else has, nil if this is not theirs.
func (s *Server) rest(theirs func(proto.Finder) bool) []*endpoint {
	for _, e := range s.routes[restPath] {
		if f, ok := e.Protocol.(proto.Finder); ok && theirs(f) {
			return []*endpoint{e}
		}
	}
	return nil
}

// A handshake is one upgrade on its way.
type handshake struct {
	server   *Server
	endpoint *endpoint
	request  *proto.Request
	ticket   *transport.Ticket
	yes      proto.Admission
}

// run admits, and opens the connection. An error is one that can still be
// answered.
func (h *handshake) run(w http.ResponseWriter) (err error) {
	if h.ticket, err = h.server.Limits.Enter(h.request.Remote); err != nil {
		return err
	}
	if h.endpoint.Entry.AdmitTime > 0 {
		h.allowTime(w)
	}
	if err = h.admit(); err == nil {
		err = h.open(w)
	}
	if err != nil {
		h.ticket.Close()
		if h.yes.Lost != nil {
			h.yes.Lost()
		}
	}
	return err
}

// allowTime lets the handshake take longer than a request may: who waits for a
// backend keeps nobody from the door, and is not given up by the HTTP server.
func (h *handshake) allowTime(w http.ResponseWriter) {
	transport.Leave(h.request.HTTP.Context())
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a test's writer may have none
}

// admit lets the protocol judge, within the time for it.
func (h *handshake) admit() (err error) {
	r := h.request.HTTP
	if err := h.pass(h.request.App); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), max(h.server.config.HandshakeTime, h.endpoint.Entry.AdmitTime))
	defer cancel()
	if h.yes, err = h.endpoint.Protocol.Admit(ctx, h.request); err != nil {
		return err
	}
	if sub := h.yes.Subprotocol; sub != "" && !slices.Contains(h.request.Subprotocols, sub) {
		return fmt.Errorf("%s chose the subprotocol %q, which was not offered", h.endpoint.Entry.Name, sub)
	}
	if h.yes.App != h.request.App {
		if err := h.pass(h.yes.App); err != nil {
			return err
		}
	}
	if id := h.yes.Identity; id != nil && id.HasUID && h.yes.App != nil {
		h.ticket, err = h.ticket.Known(h.yes.App.Slug, id.UID)
	}
	return err
}

// pass judges the way by which the client came to an app; nil for one that is not
// known yet.
func (h *handshake) pass(a *earshot.App) error {
	return h.server.Gate.Admit(a, auth.WayOf(h.request.HTTP, h.request.Secure))
}

// open answers yes, and begins the dialogue.
func (h *handshake) open(w http.ResponseWriter) error {
	s, r := h.server, h.request.HTTP
	e, extension := &s.plain, ""
	if s.packed != nil {
		if extension = answerDeflate(r.Header); extension != "" {
			e = s.packed
		}
	}
	shard := s.Hub.NextShard()
	yes := answer(r.Header.Get("Sec-WebSocket-Key"), h.yes.Subprotocol, extension, h.yes.Header)
	c := s.Transport.NewConn(shard, &e.kind, &decoder{rules: &e.rules}, yes)
	conn, err := s.Hub.Open(shard, c, hub.Opening{
		ID: h.yes.ID, App: h.yes.App, Identity: h.yes.Identity, Farewell: &h.endpoint.farewell, Remote: h.request.Remote,
		UserAgent: r.UserAgent(), KeepAlive: h.yes.KeepAlive,
	})
	if err != nil {
		return err
	}
	nc, buffered, err := hijack(w)
	if err != nil {
		conn.Ended(hub.End{Err: err})
		return err
	}
	s.counts.upgraded.Add(1)
	c.Hold(h.ticket)
	session, err := h.endpoint.Protocol.Open(conn, conn, h.yes)
	if err != nil {
		conn.Close(err)
	} else {
		conn.Serve(session)
	}
	if err := c.Adopt(conn, nc, buffered); err != nil {
		s.log.Debug("upgrade failed", "path", r.URL.Path, "err", err)
	}
	return nil
}

// hijack takes the connection over from net/http, with what was read of it
// beyond the request.
func hijack(w http.ResponseWriter) (net.Conn, []byte, error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("taking over the connection: %w", err)
	}
	return nc, unread(rw.Reader), nil
}

// unread returns what a reader has read ahead.
func unread(r *bufio.Reader) []byte {
	b, _ := r.Peek(r.Buffered()) // that much is there
	return slices.Clone(b)
}
