package prototest

import (
	"context"
	"errors"
	"sync"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// A spy stands between an edge and the protocol, and notes what passes.
type spy struct {
	proto.Protocol
	// ends are how dialogues ended, as their sessions were told.
	ends chan hub.End
	// fault reports what must not happen.
	fault func(format string, args ...any)

	mu       sync.Mutex
	refusals []*proto.Refusal
	goodbyes []farewell
	backend  chan struct{} // Admit waits until it is closed; nil does not
	asked    chan struct{} // closed when Admit waits
}

func newSpy(p proto.Protocol, fault func(string, ...any)) *spy {
	return &spy{Protocol: p, ends: make(chan hub.End, 4096), fault: fault}
}

// watch returns the spy as the edges want it.
func (s *spy) watch() proto.Protocol {
	if c, ok := s.Protocol.(proto.Cutter); ok {
		return struct {
			*spy
			proto.Cutter
		}{s, c}
	}
	return s
}

// slow makes Admit wait for its backend, until answer is called.
func (s *spy) slow() (asked <-chan struct{}, answer func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backend, s.asked = make(chan struct{}), make(chan struct{})
	return s.asked, sync.OnceFunc(func() { close(s.backend) })
}

// Admit waits as told, and notes a refusal.
func (s *spy) Admit(ctx context.Context, r *proto.Request) (proto.Admission, error) {
	s.mu.Lock()
	backend, asked := s.backend, s.asked
	s.asked = nil
	s.mu.Unlock()
	if backend != nil {
		if asked != nil {
			close(asked)
		}
		<-backend
	}
	a, err := s.Protocol.Admit(ctx, r)
	var no *proto.Refusal
	if errors.As(err, &no) {
		s.mu.Lock()
		s.refusals = append(s.refusals, no)
		s.mu.Unlock()
	}
	return a, err
}

// Open watches the session.
func (s *spy) Open(ctx context.Context, c *hub.Conn, a proto.Admission) (proto.Session, error) {
	session, err := s.Protocol.Open(ctx, c, a)
	if err != nil {
		return nil, err
	}
	return &watched{Session: session, spy: s}, nil
}

// watched is a session whose end is noted.
type watched struct {
	proto.Session
	spy *spy
}

// Close notes the end. Nothing that the suite does is the server's fault, nor
// may it panic, which the hub makes an internal error.
func (w *watched) Close(end hub.End) {
	w.Session.Close(end)
	if !end.Peer && end.Err != nil && earshot.CodeOf(end.Err) == earshot.Internal {
		w.spy.fault("a dialogue ended for a fault of the server: %v", end.Err)
	}
	w.spy.ends <- end
}

// Unsubscribed lets the session know, if it wants to.
func (w *watched) Unsubscribed(sub *hub.Sub) {
	if u, ok := w.Session.(hub.Unsubscriber); ok {
		u.Unsubscribed(sub)
	}
}

// A farewell is what the protocol rendered for the end of a dialogue.
type farewell struct {
	cause  error
	last   *message
	code   int
	reason string
}

func (f farewell) text() string {
	if f.last == nil {
		return "nothing"
	}
	return string(f.last.Data)
}

// Farewell notes what the protocol renders.
func (s *spy) Farewell(err error) (*hub.Frame, int, string) {
	last, code, reason := s.Protocol.Farewell(err)
	f := farewell{cause: err, code: code, reason: reason}
	if last != nil {
		m := whole(last)
		f.last = &m
	}
	s.mu.Lock()
	s.goodbyes = append(s.goodbyes, f)
	s.mu.Unlock()
	return last, code, reason
}

// said returns the farewells for a cause.
func (s *spy) said(cause earshot.Code) (all []farewell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.goodbyes {
		if f.cause != nil && earshot.CodeOf(f.cause) == cause {
			all = append(all, f)
		}
	}
	return all
}

// refused returns the last refusal of Admit, nil if there was none.
func (s *spy) refused() *proto.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refusals) == 0 {
		return nil
	}
	return s.refusals[len(s.refusals)-1]
}
