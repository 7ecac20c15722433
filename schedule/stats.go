package schedule

import "sync/atomic"

// Stats are counts since the start, and how many there are now.
type Stats struct {
	// Pending is how many timers are waiting on all nodes.
	Pending int
	// Fired counts timers that this node carried out, Late those of them that were
	// more than a second late. Retried counts attempts that failed and are made
	// again, Failed timers that were dropped.
	Fired, Late, Retried, Failed uint64
}

type stats struct{ fired, late, retried, failed atomic.Uint64 }

// Stats returns the counts.
func (s *Timers) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Pending: len(s.all) - s.ended, Fired: s.stats.fired.Load(), Late: s.stats.late.Load(),
		Retried: s.stats.retried.Load(), Failed: s.stats.failed.Load(),
	}
}
