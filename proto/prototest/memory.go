package prototest

import (
	"context"
	"runtime/debug"
	"sync"

	"github.com/earshot-io/earshot/hub"
)

// memory carries dialogues without a wire.
type memory struct{ w *world }

// A pipe is one of them: the hub's transport and the client's wire at once.
type pipe struct {
	w    *world
	conn *hub.Conn
	in   *inbox
	out  *outbox

	// The shard's lock guards what follows.

	queue   []*hub.Frame
	waiting int
	stalled bool
	closed  bool

	mu  sync.Mutex
	end hub.End
}

var _ hub.Transport = (*pipe)(nil)

func (m memory) close() {}

func (m memory) dial(h Hello) (wire, string, error) {
	a, err := m.w.protocol.Admit(context.Background(), request(h))
	if err != nil {
		return nil, "", &refusal{err: err}
	}
	p := &pipe{w: m.w, in: newInbox()}
	p.out = newOutbox(p.receive, p.ended)
	c, err := m.w.hub.Open(m.w.hub.NextShard(), p, hub.Opening{ID: a.ID, App: a.App, Identity: a.Identity, Farewell: m.w.protocol})
	if err != nil {
		p.out.end()
		return nil, "", &refusal{err: err}
	}
	p.conn = c
	s, err := m.w.protocol.Open(c, c, a)
	if err == nil {
		c.Serve(s)
	} else {
		c.Close(err)
	}
	return p, a.Subprotocol, nil
}

// receive hands over what the client sent. A panic of the protocol is the
// suite's to report.
func (p *pipe) receive(ms []message) {
	defer func() {
		if r := recover(); r != nil {
			p.w.Errorf("the protocol panicked: %v\n%s", r, debug.Stack())
			p.in.end(parting{})
		}
	}()
	p.conn.Receive(ms...)
}

func (p *pipe) ended() {
	if p.conn == nil {
		return // the hub refused it
	}
	p.mu.Lock()
	end := p.end
	p.mu.Unlock()
	p.conn.Ended(end)
}

// finish ends the connection once; what was sent before is handled.
func (p *pipe) finish(end hub.End) {
	p.mu.Lock()
	p.end = end
	p.mu.Unlock()
	p.out.end()
}

// Push queues a frame.
func (p *pipe) Push(f *hub.Frame) int {
	p.queue = append(p.queue, f)
	p.waiting += f.Len()
	return p.waiting
}

// Flush gives what is queued to a client that reads.
func (p *pipe) Flush() int {
	if p.stalled || p.waiting == 0 {
		return p.waiting
	}
	p.give()
	p.conn.Flushed()
	return 0
}

func (p *pipe) give() {
	for _, f := range p.queue {
		p.in.put(whole(f))
	}
	p.queue, p.waiting = nil, 0
}

// Close says goodbye.
func (p *pipe) Close(g hub.Goodbye) {
	p.closed = true
	if g.Drop {
		p.queue, p.waiting = nil, 0
	}
	if g.Last != nil {
		p.queue = append(p.queue, g.Last)
	}
	p.give()
	p.in.end(parting{g.Code, g.Reason})
	p.finish(hub.End{Code: g.Code, Reason: g.Reason})
}

func (p *pipe) send(m message) { p.out.put(m) }

func (p *pipe) box() *inbox { return p.in }

func (p *pipe) stall(yes bool) {
	s := p.conn.Shard()
	s.Lock()
	defer s.Unlock()
	p.stalled = yes
	p.Flush()
}

func (p *pipe) leave(code int, reason string) {
	p.in.end(parting{})
	s := p.conn.Shard()
	s.Lock()
	closed := p.closed
	p.closed = true
	s.Unlock()
	if !closed {
		p.finish(hub.End{Peer: true, Bye: true, Code: code, Reason: reason})
	}
}

func (p *pipe) drop() {
	p.leave(0, "")
	<-p.out.done
}
