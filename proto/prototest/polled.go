package prototest

import (
	"context"
	"sync"
	"time"

	"github.com/earshot-io/earshot/longpoll"
)

// polls carries dialogues on package longpoll.
type polls struct {
	w      *world
	server *longpoll.Server
}

// A poller is a client that polls.
type poller struct {
	session *longpoll.Session
	in      *inbox
	out     *outbox
	cancel  context.CancelFunc
	polling sync.WaitGroup

	mu      sync.Mutex
	stalled chan struct{} // closed when it polls again; nil while it does
}

func newPolls(w *world) dialer {
	// The window is longer than any promise stalls.
	return &polls{w: w, server: longpoll.New(w.hub, w.protocol, longpoll.Config{Window: 10 * time.Minute})}
}

func (s *polls) close() { s.server.Close() }

func (s *polls) dial(h Hello) (wire, string, error) {
	session, err := s.server.Open(context.Background(), request(h))
	if err != nil {
		return nil, "", &refusal{err: err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &poller{session: session, in: newInbox(), cancel: cancel}
	// What fails to be handed over was sent to a session that is over.
	p.out = newOutbox(func(ms []message) { _ = session.Receive(ctx, ms...) }, func() {})
	p.polling.Go(func() { p.poll(ctx) })
	return p, "", nil
}

// poll polls until the session is over.
func (p *poller) poll(ctx context.Context) {
	for ctx.Err() == nil {
		p.mu.Lock()
		stalled := p.stalled
		p.mu.Unlock()
		if stalled != nil {
			select {
			case <-stalled:
			case <-ctx.Done():
			}
			continue
		}
		b, err := p.session.Poll(ctx, 10*time.Second)
		for _, f := range b.Frames {
			p.in.put(whole(f))
		}
		switch {
		case err != nil:
			p.in.end(parting{})
			return
		case b.End != nil:
			p.in.end(parting{b.End.Code, b.End.Reason})
			return
		}
	}
}

func (p *poller) send(m message) { p.out.put(m) }

func (p *poller) box() *inbox { return p.in }

func (p *poller) stall(yes bool) {
	p.mu.Lock()
	if yes && p.stalled == nil {
		p.stalled = make(chan struct{})
	}
	if !yes && p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
	p.mu.Unlock()
	if yes {
		// A second poll takes over from the one that waits, which is then answered.
		_, _ = p.session.Poll(context.Background(), 0)
	}
}

func (p *poller) leave(code int, reason string) { p.session.Leave(code, reason) }

func (p *poller) drop() {
	p.session.Leave(0, "")
	p.cancel()
	p.out.end()
	<-p.out.done
	p.polling.Wait()
}
