package transport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot/hub"
)

// A Conn carries one client's bytes: the hub.Transport of its hub.Conn. What it
// needs while it is idle is this struct.
type Conn struct {
	kind    *Kind
	loop    *loop
	conn    *hub.Conn
	decoder Decoder
	pump    *pump   // carries it instead of the loop; nil with a descriptor
	ticket  *Ticket // counted by a limit; nil if none is set

	flags atomic.Uint32

	// The input's owner guards what follows.

	partial []byte // what the decoder did not take yet; nil if nothing

	// The shard's lock guards what follows.

	corked  bool // before Adopt
	broken  bool // nothing can be written any more
	ended   bool
	missed  uint8         // pings without an answer
	fd      int32         // -1 without a descriptor
	waiting int32         // bytes of the queued frames
	offset  int32         // bytes of the first queued frame that are written
	queue   []*hub.Frame  // nil when empty
	one     [1]*hub.Frame // the queue's first place
	leaving *hub.Goodbye  // what was said; nil before Close
	last    *hub.End      // the client sends no more, and what is queued is written yet
	timer   hub.Timer     // the next ping, or the end of our patience
}

// Bits of Conn.flags.
const (
	working uint32 = 1 << iota // somebody owns the input
	again                      // an edge came while somebody did
	hungUp                     // the client sends no more: read up to the end
	heard                      // something came since the last ping
	deaf                       // what comes is thrown away
	blocked                    // the socket takes no more: wait for its edge
)

// NewConn makes a connection of a kind on a shard. It begins with greeting, the
// wire's answer to the handshake, nil for none.
func (t *Transport) NewConn(s *hub.Shard, kind *Kind, d Decoder, greeting []byte) *Conn {
	c := &Conn{kind: kind, loop: t.loops[s.Index()], decoder: d, fd: -1, corked: true}
	s.InitTimer(&c.timer, c.tick)
	if len(greeting) > 0 {
		c.Push(raw(greeting))
	}
	return c
}

// Hold makes the connection give the ticket back when it ends. It is called
// before Adopt.
func (c *Conn) Hold(t *Ticket) { c.ticket = t }

// Adopt takes over nc and begins: it sends what is queued, and hands what the
// client sends to conn, first of all buffered, which was read from nc before.
// Nc must not be used any more, whatever Adopt returns; after an error conn has
// been told that it ended.
func (c *Conn) Adopt(conn *hub.Conn, nc net.Conn, buffered []byte) error {
	t := c.loop.transport
	nc = bare(nc)
	if err := t.begin(); err != nil {
		c.refuse(conn, nc, err)
		return err
	}
	if err := c.attach(conn, nc); err != nil {
		t.open.Done()
		c.refuse(conn, nc, err)
		return err
	}
	c.loop.counts.accepted.Add(1)
	c.uncork()
	c.listen(buffered)
	if t.cutting.Load() {
		c.abandon()
	}
	return nil
}

// refuse ends what never began.
func (c *Conn) refuse(conn *hub.Conn, nc net.Conn, err error) {
	_ = nc.Close() // nothing was promised on it
	c.ticket.Close()
	c.loop.shard.Lock()
	c.ended = true
	c.loop.shard.Unlock()
	conn.Ended(hub.End{Err: fmt.Errorf("taking over the connection: %w", err)})
}

// attach finds out who carries nc. The input is claimed until listen.
func (c *Conn) attach(conn *hub.Conn, nc net.Conn) error {
	c.flags.Store(working | heard)
	fd, err := c.loop.take(nc)
	if err != nil {
		return err
	}
	c.loop.shard.Lock()
	defer c.loop.shard.Unlock()
	c.conn, c.fd = conn, fd
	if fd < 0 {
		c.pump = newPump(c, nc)
	}
	return nil
}

// uncork sends what is queued and sets the first timer.
func (c *Conn) uncork() {
	s := c.loop.shard
	s.Lock()
	defer s.Unlock()
	c.corked = false
	switch {
	case c.leaving != nil:
		c.timer.ResetLocked(c.patience())
	case c.kind.PingEvery > 0:
		// Those that came at once are not asked at once.
		c.timer.ResetLocked(c.kind.PingEvery/2 + rand.N(c.kind.PingEvery/2+1))
	}
	c.flush()
}

// listen begins to read, after what was read already.
func (c *Conn) listen(buffered []byte) {
	l := c.loop
	if c.pump != nil {
		go c.pump.read(buffered)
		return
	}
	l.transport.fds.set(c.fd, c)
	if err := l.watch(c.fd); err != nil {
		go c.work(step{err: err, end: true})
		return
	}
	// What came before the descriptor was watched raised no edge.
	if len(buffered) > 0 {
		s := c.decode(buffered, new(Decoded))
		s.more = true
		go c.work(s)
		return
	}
	if !c.release() {
		go c.work(step{more: true})
	}
}

// tick is the timer: the client had its time to leave, or is pinged.
func (c *Conn) tick() {
	s := c.loop.shard
	s.Lock()
	lost := c.pulse()
	s.Unlock()
	if lost {
		c.conn.Close(errSilent)
	}
}

// pulse does what is due, and reports that the client has been silent for too
// long. The shard is locked.
func (c *Conn) pulse() (lost bool) {
	switch {
	case c.ended:
		return false
	case c.leaving != nil:
		c.cut()
		return false
	}
	if c.flags.And(^heard)&heard != 0 {
		c.missed = 0
	}
	if c.missed >= maxMissed {
		c.loop.counts.unanswered++
		return true
	}
	c.missed++
	c.timer.ResetLocked(c.kind.PingEvery)
	if b := c.kind.Format.Ping(); b != nil && len(c.queue) == 0 {
		c.loop.counts.pings++
		c.Push(raw(b))
		c.flush()
	}
	return false
}

// maxMissed is how many pings a client may leave unanswered.
const maxMissed = 2

// patience is how long the client has for the goodbye.
func (c *Conn) patience() time.Duration {
	linger, def := c.kind.Linger, 5*time.Second
	if c.leaving.Drop || c.missed >= maxMissed {
		linger, def = c.kind.SlowLinger, time.Second
	}
	if linger == 0 {
		return def
	}
	return linger
}
