package transport

import (
	"errors"
	"slices"

	"github.com/earshot-io/earshot/hub"
)

// writeSize is what is sent at once at most, unless a single frame is larger.
const writeSize = 64 << 10

// errAgain says that the socket takes no more now.
var errAgain = errors.New("the socket takes no more now")

// Push queues a frame; see hub.Transport.
func (c *Conn) Push(f *hub.Frame) (waiting int) {
	if c.broken || c.ended {
		return 0
	}
	if c.queue == nil {
		c.queue = c.one[:0]
	}
	if len(c.queue) == cap(c.queue) {
		c.queue = c.loop.spare.grow(c.queue)
	}
	c.queue = append(c.queue, f)
	c.waiting += int32(f.Len())
	return int(c.waiting)
}

// Flush writes what is queued; see hub.Transport.
func (c *Conn) Flush() (waiting int) {
	if len(c.queue) > 0 {
		c.flush()
	}
	return int(c.waiting)
}

// flush writes as far as the client takes it now.
func (c *Conn) flush() {
	switch {
	case c.corked || c.broken || c.ended:
	case c.pump != nil:
		c.pump.kick()
	case c.flags.Load()&blocked == 0:
		c.write()
	}
}

// write sends what is queued until the socket takes no more. Then the flag is
// set and it tries once again: the edge that says that there is room comes
// after the flag, or there is room now.
func (c *Conn) write() {
	b, n := &c.loop.batch, &c.loop.counts
	for len(c.queue) > 0 {
		b.build(c.kind.Format, c.queue)
		left := b.bytes[c.offset:]
		sent, err := c.loop.send(c.fd, left)
		n.writes++
		n.bytesOut += uint64(sent)
		if err != nil && err != errAgain {
			c.fail()
			return
		}
		if sent > 0 {
			c.wrote(b, sent)
		}
		if sent == len(left) {
			continue
		}
		if c.flags.Or(blocked)&blocked != 0 {
			n.blocked++
			return
		}
	}
	c.flags.And(^blocked)
	c.drained()
}

// wrote takes from the queue what the batch had and the socket took.
func (c *Conn) wrote(b *batch, sent int) {
	end := int(c.offset) + sent
	whole := len(b.ends)
	if end < len(b.bytes) {
		whole, _ = slices.BinarySearch(b.ends, int32(end)+1)
	}
	if whole > 0 {
		end -= int(b.ends[whole-1])
	}
	c.offset = int32(end)
	c.loop.counts.framesOut += uint64(whole)
	c.unqueue(whole)
}

// unqueue drops the first n frames.
func (c *Conn) unqueue(n int) {
	if n == len(c.queue) {
		c.waiting = 0
		c.loop.spare.give(c.queue)
		c.queue = nil
		return
	}
	for _, f := range c.queue[:n] {
		c.waiting -= int32(f.Len())
	}
	c.queue = slices.Delete(c.queue, 0, n)
}

// drained is told when nothing is queued any more.
func (c *Conn) drained() {
	c.conn.Flushed()
	switch {
	case c.last != nil:
		c.over()
	case c.leaving != nil:
		c.hangUp()
	}
}

// fail gives up writing, and sees that the input's owner finds the end.
func (c *Conn) fail() {
	c.broken = true
	c.offset = 0
	if c.queue != nil {
		c.unqueue(len(c.queue))
	}
	c.conn.Flushed()
	c.cut()
}

// A batch is queued frames as bytes. It keeps what it built last: connections
// that have the same frames queued, as all subscribers of one channel do, send
// the same bytes.
type batch struct {
	format Format
	frames []*hub.Frame
	ends   []int32 // where each frame ends in bytes
	bytes  []byte
	full   bool // a further frame would not have fit
}

// build makes the batch begin with the frames of queue, as many as fit and at
// least one.
func (b *batch) build(format Format, queue []*hub.Frame) {
	if b.has(format, queue) {
		return
	}
	if cap(b.bytes) > 2*writeSize {
		b.bytes = nil
	}
	b.format, b.full = format, false
	b.frames, b.ends, b.bytes = b.frames[:0], b.ends[:0], b.bytes[:0]
	for _, f := range queue {
		if len(b.bytes) > 0 && len(b.bytes)+f.Len()+frameMargin > writeSize {
			b.full = true
			return
		}
		if f.Op >= reply {
			b.bytes = append(b.bytes, f.Body...)
		} else {
			b.bytes = format.Append(b.bytes, f)
		}
		b.frames = append(b.frames, f)
		b.ends = append(b.ends, int32(len(b.bytes)))
	}
}

// frameMargin is more than any wire's header needs.
const frameMargin = 16

func (b *batch) has(format Format, queue []*hub.Frame) bool {
	n := len(b.frames)
	if n == 0 || n > len(queue) || n < len(queue) && !b.full || b.format != format {
		return false
	}
	return slices.Equal(b.frames, queue[:n])
}

// forget lets go of what was built.
func (b *batch) forget() { *b = batch{} }

// spares are queues that are not in use, by capacity. A loop's connections
// share them.
type spares [4][][]*hub.Frame

// capacity is what the queues of a class have room for.
func capacity(class int) int { return 8 << (3 * class) }

// grow returns a larger queue with the same frames.
func (s *spares) grow(queue []*hub.Frame) []*hub.Frame {
	class := 0
	for capacity(class) <= len(queue) {
		class++
	}
	larger := append(s.take(class), queue...)
	s.give(queue)
	return larger
}

// take returns an empty queue of a class; above the largest one it is not kept.
func (s *spares) take(class int) []*hub.Frame {
	if class >= len(s) || len(s[class]) == 0 {
		return make([]*hub.Frame, 0, capacity(class))
	}
	last := len(s[class]) - 1
	queue := s[class][last]
	s[class][last] = nil
	s[class] = s[class][:last]
	return queue
}

// give takes a queue that is not used any more.
func (s *spares) give(queue []*hub.Frame) {
	clear(queue)
	for class := range s {
		if cap(queue) == capacity(class) {
			s[class] = append(s[class], queue[:0])
			return
		}
	}
}
