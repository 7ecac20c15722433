package hub

import (
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
)

const (
	ringMessages = 128
	ringBytes    = 256 << 10
	// ringAge bounds what a ring hands out: older messages are read from the log,
	// which knows what has expired or was trimmed.
	ringAge = time.Minute
	// ringsBytes bounds all rings of a node together; over it a ring keeps its
	// newest message only.
	ringsBytes = 64 << 20
)

// A ring holds the newest deliveries of a logged channel, with their frames,
// so that many clients that come back at once are not each read from the log.
// The channel's lock guards it.
type ring struct {
	// after is the sequence behind which the ring holds everything; exact says
	// that the message of that sequence was seen on this channel.
	after uint64
	exact bool
	items []*delivery
	bytes int
	total *atomic.Int64 // bytes of all rings
}

// add appends the channel's next delivery.
func (r *ring) add(d *delivery) {
	r.items = append(r.items, d)
	r.grow(d.size())
	limit := ringMessages
	if r.total.Load() > ringsBytes {
		limit = 1
	}
	n, left := 0, r.bytes
	for len(r.items)-n > limit || left > ringBytes && n < len(r.items) {
		left -= r.items[n].size()
		n++
	}
	r.drop(n)
}

// drop removes the oldest n items.
func (r *ring) drop(n int) {
	if n == 0 {
		return
	}
	for _, d := range r.items[:n] {
		r.grow(-d.size())
	}
	r.after, r.exact = r.items[n-1].seq(), true
	clear(r.items[:n])
	r.items = r.items[n:]
}

// age drops what is too old to be handed out, and reports whether nothing is left.
func (r *ring) age(now time.Time) bool {
	n := 0
	for n < len(r.items) && now.Sub(r.items[n].m.Time) > ringAge {
		n++
	}
	r.drop(n)
	return len(r.items) == 0
}

func (r *ring) grow(by int) {
	r.bytes += by
	r.total.Add(int64(by))
}

// since returns the deliveries after seq; ok is false if the ring cannot know them all.
func (r *ring) since(seq uint64, now time.Time) (ds []*delivery, ok bool) {
	first := -1
	switch {
	case seq == r.after && r.exact:
		first = 0
	default:
		for i, d := range r.items {
			if d.seq() == seq {
				first = i + 1
				break
			}
		}
	}
	if first < 0 {
		return nil, false
	}
	ds = r.items[first:]
	for _, d := range ds {
		age := now.Sub(d.m.Time)
		if age > ringAge || d.m.Store > 0 && age > d.m.Store {
			return nil, false
		}
	}
	return append([]*delivery(nil), ds...), true
}

// prepend lets the ring begin earlier: after seq come older, then what it holds.
func (r *ring) prepend(seq uint64, older []*delivery) {
	bytes := 0
	for _, d := range older {
		bytes += d.size()
	}
	if len(older)+len(r.items) > ringMessages || bytes+r.bytes > ringBytes {
		return
	}
	r.after, r.exact = seq, true
	r.items = append(older, r.items...)
	r.grow(bytes)
}

func position(epoch uint16, seq uint64) earshot.Position {
	return earshot.Position{Epoch: epoch, Seq: seq}
}
