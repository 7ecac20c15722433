package hub

import (
	"sync/atomic"

	"github.com/earshot-io/earshot"
)

// Stats are counts since the start, and how many there are now.
type Stats struct {
	// Opened and Ended count connections; their difference is how many there are.
	Opened, Ended uint64
	// Delivered counts messages queued for a client.
	Delivered uint64
	// Unrenderable counts deliveries dropped because the client's protocol
	// cannot carry the message.
	Unrenderable uint64
	// Slow counts clients cut because they did not read.
	Slow uint64
	// Closed counts connections that we closed, by the code of the reason; a
	// regular end is not among them.
	Closed [32]uint64

	// Published counts messages accepted for publishing here, Subscribed
	// subscriptions made.
	Published, Subscribed uint64
	// Gaps counts gaps that were noticed in a channel's sequence, Refilled the
	// messages read to fill them, Duplicates what arrived again and was dropped.
	Gaps, Refilled, Duplicates uint64
	// RingHits counts resumes that were answered from memory.
	RingHits uint64
	// Panics counts panics of handlers, tasks and renderers, which were survived.
	Panics uint64
	// Channels counts the channels that this node knows now.
	Channels int
}

// closed counts the end of a connection; the shard is locked.
func (s *Stats) closed(why error) {
	if why != nil {
		s.Closed[int(earshot.CodeOf(why))%len(s.Closed)]++
	}
}

// counters are what is not counted by shards.
type counters struct {
	published, subscribed, gaps, refilled, duplicates, ringHits, panics atomic.Uint64
}

// Stats adds up the counts of all shards.
func (h *Hub) Stats() Stats {
	sum := Stats{
		Published: h.stats.published.Load(), Subscribed: h.stats.subscribed.Load(),
		Gaps: h.stats.gaps.Load(), Refilled: h.stats.refilled.Load(),
		Duplicates: h.stats.duplicates.Load(), RingHits: h.stats.ringHits.Load(), Panics: h.stats.panics.Load(),
	}
	for _, s := range h.shards {
		s.mu.Lock()
		sum.Opened += s.stats.Opened
		sum.Ended += s.stats.Ended
		sum.Delivered += s.stats.Delivered
		sum.Unrenderable += s.stats.Unrenderable
		sum.Slow += s.stats.Slow
		for i, n := range s.stats.Closed {
			sum.Closed[i] += n
		}
		s.mu.Unlock()
	}
	for _, a := range h.allApps() {
		a.mu.RLock()
		sum.Channels += len(a.channels)
		a.mu.RUnlock()
	}
	return sum
}
