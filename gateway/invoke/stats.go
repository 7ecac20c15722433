package invoke

import (
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot/gateway"
)

// authorizing is the type of calls of authorizers, beside those of events.
const authorizing = "AUTHORIZER"

// Stats are figures of a backend since it was made (13).
type Stats struct {
	// Calls counts by the type of the event: CONNECT, MESSAGE, DISCONNECT, and
	// AUTHORIZER for authorizers. MOCK calls nobody.
	Calls map[string]uint64
	// Failures counts calls without an answer, by their kind.
	Failures map[gateway.FailureKind]uint64
	// Refusals counts answers of integrations with a status of 400 or more.
	Refusals uint64
	// Time is what all calls took together.
	Time time.Duration
	// Running is how many calls are under way, Paused how many integrations are
	// let alone, having been out of reach.
	Running, Paused int
}

// figures counts.
type figures struct {
	calls    [4]atomic.Uint64
	failures [gateway.AuthorizerFailed + 1]atomic.Uint64
	refusals atomic.Uint64
	nanos    atomic.Int64
}

// CallTypes returns the types that calls are counted by.
func CallTypes() []string {
	return []string{gateway.Connect, gateway.Message, gateway.Disconnect, authorizing}
}

func (f *figures) count(kind string) {
	for i, k := range CallTypes() {
		if k == kind {
			f.calls[i].Add(1)
		}
	}
}

func (f *figures) fail(kind gateway.FailureKind) { f.failures[kind].Add(1) }

func (f *figures) took(d time.Duration) { f.nanos.Add(int64(d)) }

// Stats returns the figures.
func (b *Backend) Stats() Stats {
	f := &b.figures
	s := Stats{
		Calls: map[string]uint64{}, Failures: map[gateway.FailureKind]uint64{},
		Refusals: f.refusals.Load(), Time: time.Duration(f.nanos.Load()),
	}
	for i, k := range CallTypes() {
		s.Calls[k] = f.calls[i].Load()
	}
	for _, k := range gateway.FailureKinds() {
		s.Failures[k] = f.failures[k].Load()
	}
	s.Running, s.Paused = b.lanes.count()
	return s
}
