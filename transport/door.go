package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// doorSlots is how many handshakes may be in progress. Unbounded, a burst of
	// them leaves many times the memory behind.
	doorSlots = 128
	// doorPatience is how long a connection without a complete request holds its
	// slot: who is slow or silent must not keep others out, and there are 512 new
	// ones a second before they do. Of a storm each takes a tenth of it.
	doorPatience = 250 * time.Millisecond
	// headerTime is how long a request's header may take, and headerBytes how
	// long it may be.
	headerTime  = 5 * time.Second
	headerBytes = 16 << 10
)

// A Door bounds the handshakes in progress: no further connection is accepted
// while they are too many, and waits in the system's queue. A connection takes a
// slot when it is accepted and gives it back when it is hijacked, has its first
// answer, is closed, or Leave is called; and after a quarter of a second if its
// request is not complete then.
type Door struct {
	slots    chan struct{}
	patience time.Duration
	heads    func() bool

	mu      sync.Mutex
	waiting map[net.Conn]*slot // those that hold a slot
}

// slot is one place at the door.
type slot struct {
	timer *time.Timer
	asked bool // the request is complete
}

// NewDoor makes a door for so many handshakes at once; 0 is the default, 128.
func NewDoor(handshakes int) *Door {
	if handshakes <= 0 {
		handshakes = doorSlots
	}
	return &Door{slots: make(chan struct{}, handshakes), patience: doorPatience, waiting: map[net.Conn]*slot{}}
}

// Waiting returns how many handshakes are in progress.
func (d *Door) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// Guard makes srv keep the door, and sets its bounds for headers where it has
// none: 5 seconds, 16 KB. Its listeners are to be wrapped by Listen.
func (d *Door) Guard(srv *http.Server) {
	if srv.ReadHeaderTimeout == 0 {
		srv.ReadHeaderTimeout = headerTime
	}
	if srv.MaxHeaderBytes == 0 {
		srv.MaxHeaderBytes = headerBytes
	}
	told := srv.ConnState
	srv.ConnState = func(nc net.Conn, state http.ConnState) {
		if h, ok := nc.(header); ok && state == http.StateIdle {
			h.next()
		}
		switch state {
		case http.StateHijacked, http.StateIdle, http.StateClosed:
			d.leave(socket(nc))
		}
		if told != nil {
			told(nc, state)
		}
	}
	given := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		if given != nil {
			ctx = given(ctx, nc)
		}
		head, _ := nc.(header)
		return context.WithValue(ctx, doorKey{}, place{d, socket(nc), head})
	}
}

type doorKey struct{}

// place is how a request finds its slot.
type place struct {
	door *Door
	conn net.Conn
	head header // nil where it is not kept
}

// Asked says that the request that ctx belongs to is complete and a handshake:
// its slot is held until it is answered.
func Asked(ctx context.Context) {
	if p, ok := ctx.Value(doorKey{}).(place); ok {
		p.door.asked(p.conn)
	}
}

// Leave says that the request that ctx belongs to is no handshake: its slot is
// given back before it is answered, which may take long.
func Leave(ctx context.Context) {
	if p, ok := ctx.Value(doorKey{}).(place); ok {
		p.door.leave(p.conn)
	}
}

func (d *Door) enter(nc net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &slot{}
	s.timer = time.AfterFunc(d.patience, func() { d.expire(nc, s) })
	d.waiting[nc] = s
}

func (d *Door) asked(nc net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.waiting[nc]; s != nil {
		s.asked = true
		s.timer.Stop()
	}
}

func (d *Door) leave(nc net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.waiting[nc]; s != nil {
		s.timer.Stop()
		d.free(nc)
	}
}

// expire is leave for who took too long.
func (d *Door) expire(nc net.Conn, s *slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting[nc] == s && !s.asked {
		d.free(nc)
	}
}

// free gives the slot back; the door is locked.
func (d *Door) free(nc net.Conn) {
	delete(d.waiting, nc)
	<-d.slots
}

// KeepHeads keeps the head of each request for as long as it is answered (Head), on
// connections that are accepted while when says so. It is called before Listen.
func (d *Door) KeepHeads(when func() bool) { d.heads = when }

// Listen returns ln with the door before it, and TLS over it if secure is not nil.
func (d *Door) Listen(ln net.Listener, secure *tls.Config) net.Listener {
	return &doorListener{Listener: ln, door: d, secure: secure, closed: make(chan struct{})}
}

type doorListener struct {
	net.Listener
	door   *Door
	secure *tls.Config
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a slot, then for a connection.
func (l *doorListener) Accept() (net.Conn, error) {
	select {
	case l.door.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	nc, err := l.Listener.Accept()
	if err != nil {
		<-l.door.slots
		return nil, err
	}
	l.door.enter(nc)
	return l.dress(nc), nil
}

// dress puts around a connection what it needs.
func (l *doorListener) dress(nc net.Conn) net.Conn {
	keep := l.door.heads != nil && l.door.heads()
	if l.secure == nil {
		if keep {
			return &headed{Conn: nc}
		}
		return nc
	}
	over := tls.Server(nc, l.secure)
	if keep {
		return &secured{headed: headed{Conn: over}, tls: over}
	}
	return over
}

// Close ends Accept, also one that waits for a slot.
func (l *doorListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
