package gateway

import "sync/atomic"

// Stats are the figures of a node.
type Stats struct {
	// Connections are open, Handshakes wait for a backend's yes.
	Connections, Handshakes int
	// Waiting is how many $disconnects wait, or are tried.
	Waiting int
	// Told counts $disconnects that were delivered, GivenUp those that never were.
	Told, GivenUp uint64
	// Posted counts messages that the management API sent, Behind those that it
	// refused since their client did not read.
	Posted, Behind uint64
	// Refused counts messages without a route, and those that were throttled.
	Refused uint64
}

// counters are what Stats counts.
type counters struct{ told, givenUp, posted, behind, refused atomic.Uint64 }

// Stats returns the figures as they are now.
func (p *Protocol) Stats() Stats {
	p.mu.Lock()
	open := len(p.sessions)
	p.mu.Unlock()
	p.endings.mu.Lock()
	waiting := len(p.endings.open)
	p.endings.mu.Unlock()
	c := &p.counts
	return Stats{
		Connections: open, Handshakes: p.waiting.count(), Waiting: waiting, Told: c.told.Load(), GivenUp: c.givenUp.Load(),
		Posted: c.posted.Load(), Behind: c.behind.Load(), Refused: c.refused.Load(),
	}
}
