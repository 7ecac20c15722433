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

// rendered is a list of the frames made so far.
type rendered struct {
	enc   *Encoding
	frame *Frame
	next  *rendered
}

// frame returns the message in an encoding, nil if that cannot carry it. It is
// rendered on the first call, which publish makes for every encoding in use.
func (d *delivery) frame(e *Encoding) *Frame {
	for {
		head := d.frames.Load()
		for r := head; r != nil; r = r.next {
			if r.enc == e {
				return r.frame
			}
		}
		r := &rendered{enc: e, frame: e.Render(d.m), next: head}
		if d.frames.CompareAndSwap(head, r) {
			return r.frame
		}
	}
}

// seq is the message's sequence, 0 on a live channel.
func (d *delivery) seq() uint64 { return d.m.ID.Position().Seq }

// size is what the message counts for in a bounded buffer.
func (d *delivery) size() int { return len(d.m.Data) + len(d.m.Event) + 128 }
