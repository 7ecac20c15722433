package longpoll

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// Config sets a server's bounds. The zero Config has defaults.
type Config struct {
	// Window is how long a session may be without a poll; 15 s by default.
	Window time.Duration
	// MaxSessions is how many sessions there may be at once, since they cost
	// their clients nothing; 10,000 by default. One that nobody has polled for a
	// second gives its place to a new one where there is no other.
	MaxSessions int
	// BatchBytes is how much one poll takes, at least one frame; 1 MiB by default.
	BatchBytes int
	// Enter takes a place under the node's limits, as a WebSocket has one; nil for no
	// limits.
	Enter func(from netip.Addr) (proto.Place, error)
	// Gate judges who comes to an app without TLS, or from an origin; nil judges too.
	Gate *auth.Gate
}

// A Server holds the sessions of one protocol on this node. Its methods may be
// called concurrently.
type Server struct {
	hub      *hub.Hub
	protocol proto.Protocol
	config   Config

	mu       sync.Mutex
	sessions map[earshot.ConnID]*Session
	resting  list.List // the sessions that nobody polls now, the longest first
	places   int       // sessions, and those that are being opened
	closed   bool
	open     sync.WaitGroup // one for each place
}

// New makes a server without sessions. Who made it closes it.
func New(h *hub.Hub, p proto.Protocol, c Config) *Server {
	if c.Window == 0 {
		c.Window = 15 * time.Second
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 10_000
	}
	if c.BatchBytes == 0 {
		c.BatchBytes = 1 << 20
	}
	return &Server{hub: h, protocol: p, config: c, sessions: map[earshot.ConnID]*Session{}}
}

// Open begins a session with the client of a request. It fails as the
// protocol's Admit does (with a *proto.Refusal, perhaps), with Forbidden for a
// client that may not come to its app this way (auth.Gate), with Limited, or with
// Shutdown. A protocol that refuses in its own frames gets a session: the first
// poll is answered with its farewell.
func (s *Server) Open(ctx context.Context, r *proto.Request) (*Session, error) {
	place, err := s.enter(r.Remote)
	if err != nil {
		return nil, err
	}
	if err := s.take(); err != nil {
		place.Leave()
		return nil, err
	}
	sess, err := s.begin(ctx, r, place)
	if err != nil {
		place.Leave()
		s.free(earshot.ConnID{})
		return nil, err
	}
	return sess, nil
}

// enter takes a place under the node's limits.
func (s *Server) enter(from netip.Addr) (proto.Place, error) {
	if s.config.Enter == nil {
		return nowhere{}, nil
	}
	return s.config.Enter(from)
}

// nowhere is a place where nobody counts.
type nowhere struct{}

func (nowhere) Known(string, string) error { return nil }
func (nowhere) Leave()                     {}

// spared is how long a session is safe that nobody polls: a client has to come with
// its next request first.
const spared = time.Second

// take takes a place for a session. Where there is none the session ends that
// nobody has polled for longest: who opens sessions and leaves them, which is for
// nothing, must not keep out those who poll.
func (s *Server) take() error {
	s.mu.Lock()
	var ends *Session
	switch {
	case s.closed:
		s.mu.Unlock()
		return earshot.Errorf(earshot.Shutdown, "the server is shutting down")
	case s.places >= s.config.MaxSessions:
		if ends = s.longest(); ends == nil {
			s.mu.Unlock()
			return &earshot.Error{Code: earshot.Limited, Text: "too many long-poll sessions", RetryAfter: s.config.Window}
		}
	}
	s.places++ // one too many until the other has ended
	s.open.Add(1)
	s.mu.Unlock()
	if ends != nil {
		ends.drop()
	}
	return nil
}

// longest takes the session that rests for longest from those that rest; nil if
// none does for long. It is called with mu held.
func (s *Server) longest() *Session {
	first := s.resting.Front()
	if first == nil || time.Since(first.Value.(*Session).since) < spared {
		return nil
	}
	sess := first.Value.(*Session)
	s.wakes(sess)
	return sess
}

// rests notes that nobody polls a session any more. It is called with mu held.
func (s *Server) rests(sess *Session) {
	if s.sessions[sess.conn.ID()] == sess && sess.resting == nil {
		sess.resting, sess.since = s.resting.PushBack(sess), time.Now()
	}
}

// wakes undoes rests. It is called with mu held.
func (s *Server) wakes(sess *Session) {
	if sess.resting != nil {
		s.resting.Remove(sess.resting)
		sess.resting = nil
	}
}

// free gives a place back, and forgets the session that had it.
func (s *Server) free(id earshot.ConnID) {
	s.mu.Lock()
	if sess := s.sessions[id]; sess != nil {
		s.wakes(sess)
		delete(s.sessions, id)
	}
	s.places--
	s.mu.Unlock()
	s.open.Done()
}

func (s *Server) begin(ctx context.Context, r *proto.Request, place proto.Place) (*Session, error) {
	by := auth.WayOf(r.HTTP, r.Secure)
	if err := s.config.Gate.Admit(r.App, by); err != nil {
		return nil, err
	}
	a, err := s.protocol.Admit(ctx, r)
	if err != nil {
		return nil, err
	}
	if a.App != r.App {
		if err := s.config.Gate.Admit(a.App, by); err != nil {
			return nil, err
		}
	}
	if id := a.Identity; id != nil && id.HasUID && a.App != nil {
		if err := place.Known(a.App.Slug, id.UID); err != nil {
			return nil, err
		}
	}
	shard := s.hub.NextShard()
	sess := &Session{server: s, shard: shard, header: a.Header, place: place, receiving: make(chan struct{}, 1)}
	shard.InitTimer(&sess.window, sess.unpolled)
	c, err := s.hub.Open(shard, sess, hub.Opening{
		App: a.App, Identity: a.Identity, Farewell: s.protocol, Remote: r.Remote, UserAgent: r.HTTP.UserAgent(), KeepAlive: a.KeepAlive,
	})
	if err != nil {
		return nil, err
	}
	sess.conn = c
	h, err := s.protocol.Open(c, c, a)
	if err != nil {
		c.Close(err)
	} else {
		c.Serve(h)
	}
	s.keep(sess)
	return sess, nil
}

// keep makes the session known. It is first expected to be polled within the window.
func (s *Server) keep(sess *Session) {
	s.mu.Lock()
	s.sessions[sess.conn.ID()] = sess
	s.rests(sess)
	closed := s.closed
	s.mu.Unlock()
	sess.window.Reset(s.config.Window)
	if closed {
		sess.shut() // Close has not seen it
	}
}

// Session returns the session of an id, nil if this node has none.
func (s *Server) Session(id earshot.ConnID) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// Close opens no more sessions, ends those that are left, as Shutdown, and
// waits for them. A poll that waits is answered with the farewell, nobody else
// hears it: drain the hub before, and give clients the time to poll.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	left := make([]*Session, 0, len(s.sessions))
	for _, sess := range s.sessions {
		left = append(left, sess)
	}
	s.mu.Unlock()
	for _, sess := range left {
		sess.shut()
	}
	s.open.Wait()
}
