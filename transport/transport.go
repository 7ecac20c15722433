package transport

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/earshot-io/earshot/hub"
)

// Config sets how connections are carried. The zero Config is good.
type Config struct {
	// Goroutines gives every connection goroutines, also where a loop could
	// carry it; for tests.
	Goroutines bool
	// KeepFreed keeps the memory that a burst left, instead of giving it back
	// to the system when it is over.
	KeepFreed bool
}

// A Transport carries the connections of one hub. Its methods may be called
// concurrently.
type Transport struct {
	config Config
	log    *slog.Logger
	loops  []*loop
	fds    table

	cutting atomic.Bool // Close waits no longer

	mu     sync.Mutex
	closed bool
	pumped map[*Conn]struct{} // those that have goroutines

	open    sync.WaitGroup // connections between Adopt and their end
	running sync.WaitGroup // loops and what else lives as long as the transport
	stop    chan struct{}
}

// New makes a transport for the connections of h. Nothing runs before Start.
func New(config Config, h *hub.Hub, log *slog.Logger) (*Transport, error) {
	t := &Transport{config: config, log: log, pumped: map[*Conn]struct{}{}, stop: make(chan struct{})}
	for _, s := range h.Shards() {
		l, err := newLoop(t, s)
		if err != nil {
			for _, l := range t.loops {
				err = errors.Join(err, l.close())
			}
			return nil, err
		}
		t.loops = append(t.loops, l)
	}
	return t, nil
}

// Start begins to wait for clients. Who started the transport closes it.
func (t *Transport) Start() {
	for _, l := range t.loops {
		t.running.Go(l.run)
	}
	if !t.config.KeepFreed {
		t.running.Go(t.calm)
	}
}

// Close takes no more connections, waits until those that there are have ended
// (the hub's Drain tells them to), cuts what is left when ctx ends, and ends
// the transport's goroutines.
func (t *Transport) Close(ctx context.Context) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		t.open.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		t.cutAll()
		<-ended
	}
	close(t.stop)
	var err error
	for _, l := range t.loops {
		err = errors.Join(err, l.close())
	}
	t.running.Wait()
	return err
}

// cutAll ends every connection without a goodbye. One that is being adopted ends
// itself when it finds that it was too late for this.
func (t *Transport) cutAll() {
	t.cutting.Store(true)
	all := t.fds.all()
	t.mu.Lock()
	for c := range t.pumped {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		c.abandon()
	}
}

// begin counts a connection in; it fails when the transport is closing.
func (t *Transport) begin() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return net.ErrClosed
	}
	t.open.Add(1)
	return nil
}

// Stats are counts since the start.
type Stats struct {
	// Accepted counts connections that were adopted, Open those there are.
	Accepted, Open uint64
	// BytesIn and MessagesIn count what clients sent, BytesOut and FramesOut
	// what was written to them, in Writes calls.
	BytesIn, MessagesIn, BytesOut, FramesOut, Writes uint64
	// Blocked counts writes that the client's system did not take whole.
	Blocked uint64
	// Pings counts pings sent, Unanswered the clients cut for not answering.
	Pings, Unanswered uint64
	// Violations counts clients cut because a Decoder refused their bytes.
	Violations uint64
}

// counts are one loop's; atomic, since readers and writers differ.
type counts struct {
	accepted, ended, bytesIn, messagesIn, violations atomic.Uint64

	// The shard's lock guards what follows.

	bytesOut, framesOut, writes, blocked, pings, unanswered uint64
}

// Stats adds up the counts of all loops.
func (t *Transport) Stats() Stats {
	var s Stats
	for _, l := range t.loops {
		n := &l.counts
		accepted := n.accepted.Load()
		s.Accepted += accepted
		s.Open += accepted - n.ended.Load()
		s.BytesIn += n.bytesIn.Load()
		s.MessagesIn += n.messagesIn.Load()
		s.Violations += n.violations.Load()
		l.shard.Lock()
		s.BytesOut += n.bytesOut
		s.FramesOut += n.framesOut
		s.Writes += n.writes
		s.Blocked += n.blocked
		s.Pings += n.pings
		s.Unanswered += n.unanswered
		l.shard.Unlock()
	}
	return s
}
