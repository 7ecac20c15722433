package transport

import (
	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

var errSilent = earshot.Errorf(earshot.Timeout, "the client did not answer")

// Close says goodbye; see hub.Transport. The client then has its time to take
// it and to answer.
func (c *Conn) Close(g hub.Goodbye) {
	if c.leaving != nil || c.ended {
		return
	}
	if g.Drop {
		c.dropQueue()
	}
	if g.Last != nil {
		c.Push(g.Last)
	}
	if b := c.kind.Format.Goodbye(g.Code, g.Reason); b != nil {
		c.Push(raw(b))
	}
	g.Last = nil
	c.leaving = &g
	if c.corked {
		return
	}
	c.timer.ResetLocked(c.patience())
	if len(c.queue) == 0 {
		c.drained()
		return
	}
	c.flush()
}

// dropQueue drops what is queued, but for the rest of a frame that the client
// has a part of, and a greeting.
func (c *Conn) dropQueue() {
	keep := 0
	if len(c.queue) > 0 && (c.offset > 0 || c.corked) {
		keep = 1
	}
	for i, f := range c.queue[keep:] {
		c.waiting -= int32(f.Len())
		c.queue[keep+i] = nil
	}
	c.queue = c.queue[:keep]
	if keep == 0 {
		c.queue = nil
	}
}

// hangUp closes our half of the connection once the goodbye is written, if
// there is no answer to wait for. The shard is locked.
func (c *Conn) hangUp() {
	if c.kind.Format.Goodbye(c.leaving.Code, c.leaving.Reason) == nil || c.flags.Load()&deaf != 0 {
		c.shutWrite()
	}
}

// cut ends the connection: the input's owner finds its end. The shard is locked.
func (c *Conn) cut() {
	switch {
	case c.ended || c.corked:
	case c.last != nil:
		c.over()
	case c.pump != nil:
		c.pump.cut()
	default:
		c.loop.shutdown(c.fd)
	}
}

// abandon ends the connection without a goodbye.
func (c *Conn) abandon() {
	c.loop.shard.Lock()
	defer c.loop.shard.Unlock()
	if c.leaving == nil {
		c.leaving = &hub.Goodbye{}
	}
	c.cut()
}

// shutWrite closes our half of the connection. The shard is locked.
func (c *Conn) shutWrite() {
	switch {
	case c.ended:
	case c.pump != nil:
		c.pump.closeWrite()
	default:
		c.loop.shutdownWrite(c.fd)
	}
}

// part ends a connection whose client sends no more: it said goodbye, closed its
// half, or is gone. Its goodbye is answered if we have not said ours, and what
// is queued still goes out, as far as it takes that in its time.
func (c *Conn) part(s *step) {
	c.loop.shard.Lock()
	defer c.loop.shard.Unlock()
	end := hub.End{Peer: true, Bye: s.bye, Code: s.code, Reason: s.why, Err: s.err}
	if g := c.leaving; g != nil {
		end = hub.End{Code: g.Code, Reason: g.Reason}
	} else if s.bye {
		if b := c.kind.Format.Goodbye(s.code, ""); b != nil {
			c.Push(raw(b))
			c.flush()
		}
	}
	c.last = &end
	if s.err != nil || c.broken || !c.writing() {
		c.over()
		return
	}
	if c.leaving == nil {
		c.leaving = &hub.Goodbye{}
		c.timer.ResetLocked(c.patience())
	}
}

// writing reports whether something is to be written yet. The shard is locked.
func (c *Conn) writing() bool {
	return len(c.queue) > 0 || c.pump != nil && c.pump.writing
}

// over lets finish run, once. The shard is locked.
func (c *Conn) over() {
	end := *c.last
	c.last = nil
	go c.finish(end)
}

// finish lets go of everything. The caller owns the input, and keeps it.
func (c *Conn) finish(end hub.End) {
	l := c.loop
	l.shard.Lock()
	c.ended = true
	c.timer.StopLocked()
	if c.queue != nil {
		c.offset = 0
		c.unqueue(len(c.queue))
	}
	if c.pump != nil {
		c.pump.close()
	} else {
		l.transport.fds.set(c.fd, nil)
		l.closeFD(c.fd)
		c.fd = -1
	}
	l.shard.Unlock()
	c.partial = nil
	c.ticket.Close()
	l.counts.ended.Add(1) // before anybody is told
	c.conn.Ended(end)
	l.transport.open.Done()
}
