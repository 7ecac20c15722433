package hub

import (
	"time"

	"github.com/earshot-io/earshot"
)

const (
	ringMessages = 128
	ringBytes    = 256 << 10
	// ringAge bounds what a ring hands out: older messages are read from the log,
	// which knows what has expired or was trimmed.
	ringAge = time.Minute
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
}

// add appends the channel's next delivery.
func (r *ring) add(d *delivery) {
	r.items = append(r.items, d)
	r.bytes += d.size()
	drop := 0
	for len(r.items)-drop > ringMessages || r.bytes > ringBytes && drop < len(r.items) {
		r.bytes -= r.items[drop].size()
		drop++
	}
	if drop > 0 {
		r.after, r.exact = r.items[drop-1].seq(), true
		clear(r.items[:drop])
		r.items = r.items[drop:]
	}
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
	r.bytes += bytes
}

// idle reports whether the ring is of no use any more.
func (r *ring) idle(now time.Time) bool {
	return len(r.items) == 0 || now.Sub(r.items[len(r.items)-1].m.Time) > ringAge
}

func position(epoch uint16, seq uint64) earshot.Position {
	return earshot.Position{Epoch: epoch, Seq: seq}
}
