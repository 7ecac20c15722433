package prototest

import (
	"sync"
	"time"

	"github.com/earshot-io/earshot/hub"
)

// message is one whole message, either way.
type message = hub.Input

// A parting is how a dialogue ended for the client; code 0 if nothing was said.
type parting struct {
	code   int
	reason string
}

// An inbox holds what came from the server.
type inbox struct {
	mu   sync.Mutex
	got  []message
	over *parting
	more chan struct{}
}

func newInbox() *inbox { return &inbox{more: make(chan struct{}, 1)} }

// put adds a message that came.
func (b *inbox) put(m message) {
	b.mu.Lock()
	b.got = append(b.got, m)
	b.mu.Unlock()
	b.signal()
}

// end says that no more comes; only the first call counts.
func (b *inbox) end(p parting) {
	b.mu.Lock()
	if b.over == nil {
		b.over = &p
	}
	b.mu.Unlock()
	b.signal()
}

func (b *inbox) signal() {
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// next waits for the next message, or the end; it returns neither if the time
// is up.
func (b *inbox) next(patience time.Duration) (m *message, over *parting) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if m, over = b.take(); m != nil || over != nil {
			return m, over
		}
		select {
		case <-b.more:
		case <-timer.C:
			return b.take()
		}
	}
}

func (b *inbox) take() (m *message, over *parting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) == 0 {
		return nil, b.over
	}
	m = &b.got[0]
	b.got = b.got[1:]
	return m, nil
}

// whole is a frame's message.
func whole(f *hub.Frame) message {
	return message{Op: f.Op, Data: append(append([]byte(nil), f.Head...), f.Body...)}
}

// An outbox hands messages on in order, on a goroutine of its own, as a client's
// network does.
type outbox struct {
	mu    sync.Mutex
	queue []message
	ended bool
	more  chan struct{}
	done  chan struct{}
}

// newOutbox hands on to f until it is closed; then last is called.
func newOutbox(f func([]message), last func()) *outbox {
	o := &outbox{more: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		for range o.more {
			ms, ended := o.take()
			if len(ms) > 0 {
				f(ms)
			}
			if ended {
				last()
				return
			}
		}
	}()
	return o
}

func (o *outbox) take() (ms []message, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ms, o.queue = o.queue, nil
	return ms, o.ended
}

func (o *outbox) put(m message) {
	o.mu.Lock()
	if !o.ended {
		o.queue = append(o.queue, m)
	}
	o.mu.Unlock()
	o.signal()
}

// end ends the outbox behind what was put; it does not wait.
func (o *outbox) end() {
	o.mu.Lock()
	o.ended = true
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}
