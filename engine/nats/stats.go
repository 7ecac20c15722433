package nats

import (
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
)

// Stats are counts since the engine was opened.
type Stats struct {
	// Appended counts messages stored, Refused those that were not or perhaps
	// not, by code.
	Appended uint64
	Refused  [32]uint64
	// Delivered counts messages handed to the sink, Redelivered those of them
	// that only an audit found, Malformed what was not an envelope.
	Delivered, Redelivered, Malformed uint64
	// Barriers counts group commits, BarrierTime is how long they took together.
	Barriers    uint64
	BarrierTime time.Duration
	// Probes counts messages that were sent to prove that a bucket is heard,
	// Overruns how often a subscription dropped messages, Audits the audits.
	Probes, Overruns, Audits uint64
	// Trimmed counts channels cut to their depth, ClockSteps recorded steps of
	// the clock, Restarts restarts of the embedded server.
	Trimmed, ClockSteps, Restarts uint64
	// InFlight is how many appends are under way, Newest the newest sequence.
	InFlight int
	Newest   uint64
}

type counters struct {
	appended, delivered, redelivered, malformed, barriers, barrierNanos atomic.Uint64
	probes, overruns, audits, trimmed, clockSteps, restarts             atomic.Uint64
	refused                                                             [32]atomic.Uint64
}

func (c *counters) refuse(err error) {
	c.refused[int(earshot.CodeOf(err))%len(c.refused)].Add(1)
}

// Stats returns the counts.
func (e *Engine) Stats() Stats {
	c := &e.stats
	s := Stats{
		Appended: c.appended.Load(), Delivered: c.delivered.Load(), Redelivered: c.redelivered.Load(),
		Malformed: c.malformed.Load(), Barriers: c.barriers.Load(), BarrierTime: time.Duration(c.barrierNanos.Load()),
		Probes: c.probes.Load(), Overruns: c.overruns.Load(), Audits: c.audits.Load(), Trimmed: c.trimmed.Load(),
		ClockSteps: c.clockSteps.Load(), Restarts: c.restarts.Load(), InFlight: len(e.slots), Newest: e.newest.Load(),
	}
	for i := range s.Refused {
		s.Refused[i] = c.refused[i].Load()
	}
	return s
}
