package gateway

import (
	"context"
	"sync"
	"time"
)

const (
	// maxWaiting is how many messages of a connection may wait for their turn, and
	// maxWaitingBytes how large they may be together, but for the last one. Beyond
	// that nothing more is read from the client.
	maxWaiting      = 256
	maxWaitingBytes = 256 << 10
	// parallel is how many messages of a connection are worked on at once, where
	// the API wants them beside one another.
	parallel = 16
	// afterlife is for how long messages are worked on that had come before their
	// connection ended.
	afterlife = time.Minute
)

// A message is one of a client's.
type message struct {
	data   []byte
	binary bool
}

// turns are the messages of a connection that wait, and those that are worked on:
// in their order and one after another, or some beside one another. What a client
// said before its connection ended is worked on too.
type turns struct {
	mu      sync.Mutex
	waiting []message
	bytes   int // of those that wait
	running int
	room    chan struct{} // closed when there is more room; nil if nobody waits for it
	over    bool
	until   time.Time // of the afterlife
	last    func()    // follows when the last one is done
}

// add takes a message, when there is room for it. work is called on a goroutine
// that spawn begins, width of them at once; it fails if the context ends before.
func (t *turns) add(ctx context.Context, m message, width int, spawn func(func()) bool, work func(message)) error {
	t.mu.Lock()
	for len(t.waiting) >= maxWaiting || len(t.waiting) > 0 && t.bytes >= maxWaitingBytes {
		if t.room == nil {
			t.room = make(chan struct{})
		}
		room := t.room
		t.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, m)
	t.bytes += len(m.data)
	if t.running < width && spawn(func() { t.run(work) }) {
		t.running++
	}
	return nil
}

// run works on messages until none waits.
func (t *turns) run(work func(message)) {
	for {
		m, ok, last := t.next()
		if !ok {
			if last != nil {
				last()
			}
			return
		}
		work(m)
	}
}

// next takes the first message that waits. Without one the caller ends, and does
// last if that is not nil.
func (t *turns) next() (m message, ok bool, last func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over && time.Now().After(t.until) {
		t.waiting = nil
	}
	if len(t.waiting) == 0 {
		t.waiting, t.bytes = nil, 0
		if t.running--; t.running == 0 {
			last, t.last = t.last, nil
		}
		return message{}, false, last
	}
	m = t.waiting[0]
	t.waiting[0] = message{}
	t.waiting = t.waiting[1:]
	t.bytes -= len(m.data)
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
	return m, true, nil
}

// kept returns how many bytes wait.
func (t *turns) kept() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes
}

// end says that no more messages come; last follows the last of them.
func (t *turns) end(last func()) {
	t.mu.Lock()
	t.over, t.until = true, time.Now().Add(afterlife)
	if t.running > 0 {
		t.last = last
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	last()
}
