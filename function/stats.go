package function

import "sync/atomic"

// Stats are a host's figures.
type Stats struct {
	// Processes live, and Waiting calls have none yet.
	Processes, Waiting int
	// Started counts processes; Calls those that have ended, Failed and Timeouts
	// how many of them did so, Refused those for which there was no room.
	Started, Calls, Failed, Timeouts, Refused uint64
}

// counters are what is counted.
type counters struct{ started, calls, failed, timeouts, refused atomic.Uint64 }

// Stats returns the figures of now.
func (h *Host) Stats() Stats {
	s := Stats{
		Started: h.count.started.Load(), Calls: h.count.calls.Load(), Failed: h.count.failed.Load(),
		Timeouts: h.count.timeouts.Load(), Refused: h.count.refused.Load(),
	}
	for _, p := range h.order {
		p.mu.Lock()
		s.Processes += len(p.all)
		s.Waiting += len(p.waiting) + len(p.later)
		p.mu.Unlock()
	}
	return s
}

// ended counts a call that has its end.
func (c *counters) ended(failure *Error) {
	c.calls.Add(1)
	if failure != nil {
		c.failed.Add(1)
		if failure.Timeout() {
			c.timeouts.Add(1)
		}
	}
}
