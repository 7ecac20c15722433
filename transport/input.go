package transport

import (
	"io"
	"slices"
	"sync"

	"github.com/earshot-io/earshot/hub"
)

// readSize is what is read at once at most.
const readSize = 64 << 10

// A step is what one read brought: work for the input's owner.
type step struct {
	in   []hub.Input
	bye  bool // the client said goodbye, as it is in code and reason
	end  bool // there is nothing more to read
	more bool // there may be more to read now
	err  error
	code int
	why  string
}

// idle reports whether there is nothing to do.
func (s *step) idle() bool {
	return len(s.in) == 0 && !s.bye && !s.end && !s.more && s.err == nil
}

// claim makes the caller the input's owner, or sees that the owner looks again.
func (c *Conn) claim() bool {
	for {
		f := c.flags.Load()
		switch {
		case f&working == 0:
			if c.flags.CompareAndSwap(f, f|working) {
				return true
			}
		case f&again != 0 || c.flags.CompareAndSwap(f, f|again):
			return false
		}
	}
}

// release gives the input up; it reports false if there is more to read, and
// the caller is still its owner.
func (c *Conn) release() bool {
	for {
		f := c.flags.Load()
		if f&again != 0 {
			c.flags.And(^again)
			return false
		}
		if c.flags.CompareAndSwap(f, f&^working) {
			return true
		}
	}
}

// ready is called by the loop when the socket may be read. It reads once: what
// is more than that, or is to be handled, a worker does.
func (c *Conn) ready(buf *buffer) {
	if !c.claim() {
		return
	}
	for {
		s := c.read(buf)
		if !s.idle() {
			c.loop.hire(c, s)
			return
		}
		if c.release() {
			return
		}
	}
}

// maxIdle is how many workers of a loop wait for the next job, instead of
// ending: handing over to one costs half of what a new goroutine does.
const maxIdle = 4

// A job is what a worker does: a read's outcome, and all that follows it.
type job struct {
	c *Conn
	s step
}

// hire gives a job to a worker that waits, or to a new one: no session ever
// waits for another one's.
func (l *loop) hire(c *Conn, s step) {
	select {
	case l.jobs <- job{c, s}:
	default:
		l.transport.running.Go(func() { l.serve(job{c, s}) })
	}
}

// serve does j, and further jobs as long as few enough workers wait.
func (l *loop) serve(j job) {
	for {
		j.c.work(j.s)
		j = job{}
		if l.idle.Add(1) > maxIdle {
			l.idle.Add(-1)
			return
		}
		select {
		case j = <-l.jobs:
			l.idle.Add(-1)
		case <-l.transport.stop:
			return
		}
	}
}

// work handles s and what comes after it, until there is nothing to do.
func (c *Conn) work(s step) {
	for {
		if c.handle(&s) {
			return
		}
		if !s.more && c.release() {
			return
		}
		buf := c.loop.buffers.Get().(*buffer)
		s = c.read(buf)
		c.loop.buffers.Put(buf)
	}
}

// A buffer is what one read needs. Nobody keeps one longer.
type buffer struct {
	bytes []byte
	found Decoded
}

func newBuffer(size int) *buffer { return &buffer{bytes: make([]byte, size)} }

// newBuffers returns a pool of buffers, for workers that read on.
func newBuffers() *sync.Pool { return &sync.Pool{New: func() any { return newBuffer(readSize) }} }

// handle does what a read brought, and reports whether the connection is over.
func (c *Conn) handle(s *step) (over bool) {
	if len(s.in) > 0 {
		c.conn.Receive(s.in...)
		s.in = nil
	}
	switch {
	case s.bye || s.end:
		c.part(s)
		return true
	case s.err != nil:
		c.loop.counts.violations.Add(1)
		c.conn.Close(s.err)
	}
	return false
}

// read reads once and decodes.
func (c *Conn) read(buf *buffer) step {
	n, err := c.loop.receive(c.fd, buf.bytes)
	switch {
	case err == errAgain:
		return step{}
	case err == io.EOF:
		return step{end: true}
	case err != nil:
		return step{end: true, err: err}
	}
	s := c.decode(buf.bytes[:n], &buf.found)
	// A read that did not fill the buffer has emptied the socket, and the next
	// byte raises an edge; the end does not if it came before the last one.
	s.more = s.more || n == len(buf.bytes) || c.flags.Load()&hungUp != 0
	return s
}

// decode cuts what was read into messages, with d to work in.
func (c *Conn) decode(b []byte, d *Decoded) step {
	c.loop.counts.bytesIn.Add(uint64(len(b)))
	f := c.flags.Load()
	if f&heard == 0 {
		c.flags.Or(heard)
	}
	if f&deaf != 0 {
		return step{}
	}
	if c.partial != nil {
		c.partial = append(c.partial, b...)
		b = c.partial
	}
	clear(d.In)
	*d = Decoded{In: d.In[:0], Reply: d.Reply[:0]}
	n, err := c.decoder.Decode(b, d)
	c.keep(b[n:])
	if len(d.Reply) > 0 {
		c.reply(slices.Clone(d.Reply))
	}
	if d.Bye || err != nil {
		c.flags.Or(deaf)
		c.partial = nil
	}
	c.loop.counts.messagesIn.Add(uint64(len(d.In)))
	return step{in: slices.Clone(d.In), bye: d.Bye, code: d.Code, why: d.Reason, err: err}
}

// keep remembers what the decoder did not take.
func (c *Conn) keep(rest []byte) {
	switch {
	case len(rest) == 0:
		c.partial = nil
	case c.partial == nil:
		c.partial = append([]byte(nil), rest...)
	case len(rest) < len(c.partial):
		c.partial = append(c.partial[:0], rest...)
	}
}

// reply answers at once. A client that asks but does not read is told the newest
// answer only (RFC 6455 §5.5.3): the others would gather without bound.
func (c *Conn) reply(b []byte) {
	c.loop.shard.Lock()
	defer c.loop.shard.Unlock()
	if c.leaving != nil {
		return
	}
	f := &hub.Frame{Op: reply, Body: b}
	if last := len(c.queue) - 1; last >= 0 && c.queue[last].Op == reply && (last > 0 || c.offset == 0) {
		c.waiting += int32(f.Len() - c.queue[last].Len())
		c.queue[last] = f
	} else {
		c.Push(f)
	}
	c.flush()
}
