package transport

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/earshot-io/earshot/hub"
)

// pumpBuffer is what a pumped connection reads at once.
const pumpBuffer = 4 << 10

// A pump carries a connection that gives no descriptor away: a goroutine reads,
// and owns the input as long as the connection lasts; another one writes while
// there is something to write, so that no write ever waits with a shard locked.
type pump struct {
	c  *Conn
	nc net.Conn

	// The shard's lock guards what follows.

	writing bool
	taken   []*hub.Frame // being written
}

func newPump(c *Conn, nc net.Conn) *pump {
	t := c.loop.transport
	t.mu.Lock()
	t.pumped[c] = struct{}{}
	t.mu.Unlock()
	_ = nc.SetDeadline(time.Time{}) // the handshake's; a dead connection tells at the first read
	return &pump{c: c, nc: nc}
}

// read hands over what the client sends, until the end.
func (p *pump) read(buffered []byte) {
	c := p.c
	buf := newBuffer(pumpBuffer)
	s := step{}
	if len(buffered) > 0 {
		s = c.decode(buffered, &buf.found)
	}
	for !c.handle(&s) {
		n, err := p.nc.Read(buf.bytes)
		s = step{}
		if n > 0 {
			s = c.decode(buf.bytes[:n], &buf.found)
		}
		if err != nil && !s.bye && s.err == nil {
			s.end = true
			if !errors.Is(err, io.EOF) {
				s.err = err
			}
		}
	}
}

// kick sees that somebody writes. The shard is locked.
func (p *pump) kick() {
	if len(p.c.queue) == 0 {
		if !p.writing {
			p.c.drained()
		}
		return
	}
	if !p.writing {
		p.writing = true
		p.c.loop.transport.open.Add(1)
		go p.write()
	}
}

// write writes what is queued until there is nothing.
func (p *pump) write() {
	defer p.c.loop.transport.open.Done()
	var b batch
	for p.take() {
		var err error
		for done := 0; done < len(p.taken) && err == nil; done += len(b.frames) {
			b.build(p.c.kind.Format, p.taken[done:])
			_, err = p.nc.Write(b.bytes)
			p.wrote(&b, err)
		}
	}
}

// take takes what is queued; false if there is nothing, and the writer ends.
func (p *pump) take() bool {
	c := p.c
	s := c.loop.shard
	s.Lock()
	defer s.Unlock()
	if p.taken != nil {
		clear(p.taken)
		p.taken = nil
	}
	if len(c.queue) > 0 && !c.broken && !c.ended {
		p.taken = append([]*hub.Frame(nil), c.queue...)
		clear(c.queue)
		c.loop.spare.give(c.queue)
		c.queue = nil
		return true
	}
	p.writing = false
	if !c.ended && !c.broken {
		c.drained()
	}
	return false
}

// wrote counts what was written, or gives up.
func (p *pump) wrote(b *batch, err error) {
	c := p.c
	s := c.loop.shard
	s.Lock()
	defer s.Unlock()
	n := &c.loop.counts
	n.writes++
	if err != nil {
		if !c.broken && !c.ended {
			c.fail()
		}
		return
	}
	n.bytesOut += uint64(len(b.bytes))
	n.framesOut += uint64(len(b.frames))
	for _, f := range b.frames {
		c.waiting -= int32(f.Len())
	}
}

// cut makes every read and write fail, at once and without waiting.
func (p *pump) cut() { _ = p.nc.SetDeadline(time.Unix(1, 0)) }

// closeWrite ends our half, on the writer's goroutine since TLS says so on the
// wire. The shard is locked, and nothing is queued.
func (p *pump) closeWrite() {
	half, ok := p.nc.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	p.c.loop.transport.open.Add(1)
	go func() {
		defer p.c.loop.transport.open.Done()
		_ = half.CloseWrite() // if it fails, the end comes all the same
	}()
}

// close closes the socket. What TLS would still say is left out if the client
// does not take it at once. The shard is locked.
func (p *pump) close() {
	t := p.c.loop.transport
	t.mu.Lock()
	delete(t.pumped, p.c)
	t.mu.Unlock()
	t.open.Add(1)
	go func() {
		defer t.open.Done()
		_ = p.nc.Close() // it is over in any case
	}()
}
