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
	case c.pump != nil:
		c.pump.cut()
	default:
		c.loop.shutdown(c.fd)
	}
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

// parted answers the client's goodbye, if we have not said ours, and ends.
func (c *Conn) parted(s *step) {
	c.loop.shard.Lock()
	end := hub.End{Peer: true, Code: s.code, Reason: s.why}
	if g := c.leaving; g != nil {
		end = hub.End{Code: g.Code, Reason: g.Reason}
	} else if b := c.kind.Format.Goodbye(s.code, ""); b != nil {
		c.Push(raw(b))
		c.flush()
	}
	c.loop.shard.Unlock()
	c.lastWords()
	c.finish(end)
}

// lastWords waits until a pump has written what was queued, or the client had
// its time. Without one all was written that the socket took.
func (c *Conn) lastWords() {
	if c.pump == nil {
		return
	}
	c.loop.shard.Lock()
	if c.leaving == nil {
		c.leaving = &hub.Goodbye{}
		c.timer.ResetLocked(c.patience())
	}
	c.loop.shard.Unlock()
	c.pump.wait()
}

// ending says how a connection ended that can be read no more.
func (c *Conn) ending(s *step) hub.End {
	c.loop.shard.Lock()
	defer c.loop.shard.Unlock()
	if g := c.leaving; g != nil {
		return hub.End{Code: g.Code, Reason: g.Reason}
	}
	return hub.End{Peer: true, Err: s.err}
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
	c.conn.Ended(end)
	l.counts.ended.Add(1)
	l.transport.open.Done()
}
