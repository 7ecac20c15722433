package longpoll

import (
	"container/list"
	"context"
	"net/http"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// A Session is one client's dialogue. Its methods may be called concurrently;
// Push, Flush and Close are the hub's.
type Session struct {
	server *Server
	conn   *hub.Conn
	shard  *hub.Shard
	header http.Header
	place  proto.Place
	// receiving is held by who hands over messages, or ends the connection.
	receiving chan struct{}

	// The server's lock guards these, which say since when nobody polls.

	resting *list.Element // nil while somebody does
	since   time.Time

	// The shard's lock guards what follows.

	queue   []*hub.Frame
	waiting int // bytes in queue
	poll    *poll
	goodbye *hub.Goodbye // what we said, nil before
	over    bool
	window  hub.Timer // runs while nobody polls
}

// poll is a request that waits.
type poll struct {
	ready    chan struct{} // something can be taken, or the session is over
	replaced chan struct{} // closed when another poll took over
}

var _ hub.Transport = (*Session)(nil)

// A Batch is what one poll is answered with. It may hold nothing: the time was
// up, or another poll took over.
type Batch struct {
	// Frames are in their order, the farewell's last frame included.
	Frames []*hub.Frame
	// End is how we ended the dialogue, nil if it goes on. No poll follows.
	End *hub.Goodbye
}

var errGone = &earshot.Error{Code: earshot.NotFound, Reason: "SESSION", Text: "the session is over"}

// ID names the session; it is the connection's.
func (s *Session) ID() earshot.ConnID { return s.conn.ID() }

// Header is what the protocol's admission adds to the answer that opens the session.
func (s *Session) Header() http.Header { return s.header }

// Poll waits for something to send, up to a time, and takes it. It fails with
// NotFound if the session is over, and with the context's cause if that ends
// first: then nothing is taken.
func (s *Session) Poll(ctx context.Context, wait time.Duration) (Batch, error) {
	p := &poll{ready: make(chan struct{}, 1), replaced: make(chan struct{})}
	if !s.begin(p) {
		return Batch{}, errGone
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.ready:
	case <-p.replaced:
	case <-timer.C:
	case <-ctx.Done():
	}
	return s.finish(ctx, p)
}

// begin makes p the poll that waits; it reports false if the session is over.
func (s *Session) begin(p *poll) bool {
	s.shard.Lock()
	defer s.shard.Unlock()
	if s.over {
		return false
	}
	if s.poll != nil {
		close(s.poll.replaced)
	}
	s.poll = p
	s.server.mu.Lock() // the shard's is held before it, never behind it
	s.server.wakes(s)
	s.server.mu.Unlock()
	s.window.StopLocked()
	s.wake()
	return true
}

// finish ends the wait of p, and takes what there is.
func (s *Session) finish(ctx context.Context, p *poll) (Batch, error) {
	s.shard.Lock()
	defer s.shard.Unlock()
	if s.poll != p {
		return Batch{}, nil
	}
	s.poll = nil
	if s.over {
		return Batch{}, errGone
	}
	s.server.mu.Lock()
	s.server.rests(s)
	s.server.mu.Unlock()
	s.window.ResetLocked(s.server.config.Window)
	if ctx.Err() != nil {
		return Batch{}, context.Cause(ctx)
	}
	b := Batch{Frames: s.take()}
	if len(s.queue) > 0 {
		return b, nil
	}
	s.conn.Flushed()
	if b.End = s.goodbye; b.End != nil {
		s.end(hub.End{Code: b.End.Code, Reason: b.End.Reason})
	}
	return b, nil
}

// take takes from the queue as much as one poll may have. The shard is locked.
func (s *Session) take() []*hub.Frame {
	bytes, n := 0, 0
	for n < len(s.queue) && (n == 0 || bytes+s.queue[n].Len() <= s.server.config.BatchBytes) {
		bytes += s.queue[n].Len()
		n++
	}
	taken := s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	s.waiting -= bytes
	return taken
}

// wake tells the poll that waits, if there is something for it. The shard is locked.
func (s *Session) wake() {
	if s.poll == nil || len(s.queue) == 0 && s.goodbye == nil && !s.over {
		return
	}
	select {
	case s.poll.ready <- struct{}{}:
	default:
	}
}

// Receive hands over messages that the client posted, in their order, after
// those of every Receive before, and returns when they have been handled. It
// fails with NotFound if the session is over or ending, and with the context's
// cause if that ends first: then nothing is handled if an earlier Receive was not
// done, else what was begun goes on, beside the caller.
func (s *Session) Receive(ctx context.Context, in ...hub.Input) error {
	select {
	case s.receiving <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.shard.Lock()
	over := s.over
	s.shard.Unlock()
	if over || s.conn.Err() != nil {
		<-s.receiving
		return errGone
	}
	handled := make(chan struct{})
	go func() { // Server.Close waits for it, as for all who hold receiving
		defer close(handled)
		defer func() { <-s.receiving }()
		s.conn.Receive(in...)
	}()
	select {
	case <-handled:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Leave ends the session as its client wished, with what it said; 0 and nothing
// if its protocol says nothing.
func (s *Session) Leave(code int, reason string) {
	s.shard.Lock()
	defer s.shard.Unlock()
	if !s.over {
		s.end(hub.End{Peer: true, Bye: true, Code: code, Reason: reason})
	}
}

// end ends the session; the shard is locked, and the session was not over. The
// connection is told on a goroutine of its own, when no Receive runs; Server.Close
// waits for it.
func (s *Session) end(e hub.End) {
	s.over = true
	s.window.StopLocked()
	s.wake()
	go func() {
		s.receiving <- struct{}{}
		s.conn.Ended(e)
		<-s.receiving
		s.place.Leave()
		s.server.free(s.conn.ID())
	}()
}

// unpolled is called when the window is over without a poll.
func (s *Session) unpolled() {
	s.shard.Lock()
	polled := s.poll != nil
	s.shard.Unlock()
	if polled {
		return // it came while the timer fired
	}
	s.drop()
}

// drop ends the session because nobody polls it.
func (s *Session) drop() {
	s.conn.Close(&earshot.Error{Code: earshot.Timeout, Text: "the client did not poll"})
	s.abandon()
}

// shut ends the session because the server closes.
func (s *Session) shut() {
	s.conn.Close(&earshot.Error{Code: earshot.Shutdown, Text: "the server is shutting down"})
	s.abandon()
}

// abandon ends a closed session, unless a poll waits, which takes the farewell.
func (s *Session) abandon() {
	s.shard.Lock()
	defer s.shard.Unlock()
	if !s.over && s.poll == nil {
		s.end(hub.End{Code: s.goodbye.Code, Reason: s.goodbye.Reason})
	}
}

// Push queues a frame; see hub.Transport.
func (s *Session) Push(f *hub.Frame) (waiting int) {
	s.queue = append(s.queue, f)
	s.waiting += f.Len()
	return s.waiting
}

// Flush answers the poll that waits; see hub.Transport. What it has not taken
// yet still waits.
func (s *Session) Flush() (waiting int) {
	s.wake()
	return s.waiting
}

// Close says goodbye to the next poll; see hub.Transport.
func (s *Session) Close(g hub.Goodbye) {
	if g.Drop {
		s.queue, s.waiting = nil, 0
	}
	if g.Last != nil {
		s.queue = append(s.queue, g.Last)
		s.waiting += g.Last.Len()
	}
	s.goodbye = &g
	s.wake()
}
