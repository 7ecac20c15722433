package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A Publishing says how to publish.
type Publishing struct {
	// HTTP publishes by POST /publish instead of over a WebSocket connection.
	HTTP bool `json:"http"`
	// Connections is how many publish; 0 is one, over HTTP 4 at a rate and as
	// many as there may be outstanding publishes otherwise.
	Connections int `json:"connections"`
	// Rate is publishes per second, 0 for as fast as Outstanding allows.
	Rate float64 `json:"rate"`
	// Batch is how many are sent in one write, or one request; 0 is one at a
	// rate and over HTTP, else all that may be sent at the moment.
	Batch int `json:"batch"`
	// Outstanding is how many publishes may be under way without a rate; one is
	// complete when all its subscribers have it.
	Outstanding int `json:"outstanding"`
	// Store is for how many seconds history keeps a message that is published
	// over HTTP on a logged channel; over WebSocket the token says that.
	Store int `json:"store,omitempty"`
	// Size is the bytes of a message's data.
	Size int `json:"size"`
}

// An order is one message to be published.
type order struct {
	channel, slot uint32
	// due is when, by the plan; 0 is now.
	due time.Duration
}

// A desk hands out what to publish, at the rate or as messages complete. Any
// number of publishers may take from it.
type desk struct {
	plan     Publishing
	clock    clock
	channels int
	fan      []int32 // subscribers of each channel
	free     chan uint32
	left     []atomic.Int32 // deliveries that a slot still waits for
	over     chan struct{}
	once     sync.Once

	mu    sync.Mutex
	begun time.Duration
	ticks int
	next  int // the message's number, over all channels

	handed atomic.Uint64 // next, for who looks on
}

func newDesk(c clock, p Publishing, fan []int32) *desk {
	d := &desk{plan: p, clock: c, channels: len(fan), fan: fan, over: make(chan struct{})}
	if p.Rate > 0 {
		return d
	}
	d.free = make(chan uint32, p.Outstanding)
	d.left = make([]atomic.Int32, p.Outstanding)
	for i := range p.Outstanding {
		d.free <- uint32(i)
	}
	return d
}

// stop ends publishing.
func (d *desk) stop() { d.once.Do(func() { close(d.over) }) }

func (d *desk) stopped() bool {
	select {
	case <-d.over:
		return true
	default:
		return false
	}
}

// take appends what to publish next to buf, and waits until there is something.
// It reports false when publishing is over.
func (d *desk) take(ctx context.Context, buf []order) ([]order, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.free == nil {
		return d.takeDue(ctx, buf)
	}
	select {
	case s := <-d.free:
		buf = append(buf, d.order(s, 0))
	case <-d.over:
		return buf, false
	case <-ctx.Done():
		return buf, false
	}
	for d.plan.Batch == 0 || len(buf) < d.plan.Batch {
		select {
		case s := <-d.free:
			buf = append(buf, d.order(s, 0))
		default:
			return buf, true
		}
	}
	return buf, true
}

// takeDue waits for the next tick. Those who come meanwhile wait for the lock,
// and get the ticks after it.
func (d *desk) takeDue(ctx context.Context, buf []order) ([]order, bool) {
	batch := max(d.plan.Batch, 1)
	if d.ticks == 0 {
		d.begun = d.clock.now()
	}
	due := d.begun + time.Duration(float64(d.ticks*batch)*float64(time.Second)/d.plan.Rate)
	d.ticks++
	for {
		if d.stopped() || ctx.Err() != nil {
			return buf, false
		}
		rest := due - d.clock.now()
		if rest <= 0 {
			break
		}
		nap(min(rest, 50*time.Millisecond))
	}
	for range batch {
		buf = append(buf, d.order(noSlot, due))
	}
	return buf, true
}

// order makes the next message's. Channels are taken in a scattered order, so
// that no two neighbours are neighbours in a server's memory.
func (d *desk) order(slot uint32, due time.Duration) order {
	ch := uint32(d.next * scatter % d.channels)
	d.next++
	d.handed.Add(1)
	if slot != noSlot {
		d.left[slot].Store(d.fan[ch])
	}
	return order{channel: ch, slot: slot, due: due}
}

// published is how many messages were handed out.
func (d *desk) published() uint64 { return d.handed.Load() }

// scatter is a prime larger than a batch and prime to any number of channels
// that people choose.
const scatter = 7919

// arrived notes one delivery of an outstanding publish.
func (d *desk) arrived(slot uint32) {
	if int(slot) < len(d.left) && d.left[slot].Add(-1) == 0 {
		d.free <- slot
	}
}

// late is how late a message may be sent without counting from when it was due:
// what a timer is off by.
const late = time.Millisecond

// sentAt is the time that a message's stamp holds.
func (d *desk) sentAt(o order) time.Duration {
	now := d.clock.now()
	if o.due > 0 && now-o.due > late {
		return o.due
	}
	return now
}
