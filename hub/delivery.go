package hub

import (
	"sync/atomic"

	"github.com/earshot-io/earshot"
)

// A delivery is one message on its way to the subscriptions of this node.
type delivery struct {
	m *earshot.Message
	// n rises with every delivery of the node; a subscription drops what has a
	// lower one than when it joined.
	n      uint64
	frames atomic.Pointer[rendered]
}

// outdated is the n of a notice that nobody hears: a newer one of the same thing
// came before.
const outdated = ^uint64(0)

// rendered is a list of the frames made so far.
type rendered struct {
	enc   *Encoding
	frame *Frame
	next  *rendered
}

// frame returns the message in an encoding, nil if that cannot carry it. It is
// rendered on the first call, which publish makes for every encoding in use.
func (d *delivery) frame(h *Hub, e *Encoding) *Frame {
	for {
		head := d.frames.Load()
		for r := head; r != nil; r = r.next {
			if r.enc == e {
				return r.frame
			}
		}
		r := &rendered{enc: e, frame: h.render(e, d.m), next: head}
		if d.frames.CompareAndSwap(head, r) {
			return r.frame
		}
	}
}

// render renders m. A renderer that panics cannot carry the message; locks are
// held here, and other clients wait.
func (h *Hub) render(e *Encoding, m *earshot.Message) (f *Frame) {
	if m.Notice != earshot.NoNotice && !e.Notices {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			h.panicked("rendering as "+e.Name, p)
			f = nil
		}
	}()
	return e.Render(m)
}

// seq is the message's sequence, 0 on a live channel.
func (d *delivery) seq() uint64 { return d.m.ID.Position().Seq }

// size is what the message counts for in a bounded buffer.
// Its frames have copies of the data.
func (d *delivery) size() int { return 2*len(d.m.Data) + len(d.m.Event) + 256 }
