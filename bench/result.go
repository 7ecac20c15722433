package bench

import (
	"fmt"
	"time"
)

// A Result is what a run found.
type Result struct {
	Scenario Scenario `json:"scenario"`
	// Seconds is how long was measured; Published and Delivered are how many
	// messages were sent and came then.
	Seconds   float64 `json:"seconds"`
	Published uint64  `json:"published"`
	Delivered uint64  `json:"delivered"`
	Latency   Latency `json:"latency"`
	// Faults are of the whole run, from the first message to the last.
	Faults Faults `json:"faults"`
	// Server is what the server used meanwhile, nil if it is not known.
	Server *Cost `json:"server,omitempty"`
	// Client is what the load tool used.
	Client Cost `json:"client"`
	// Trouble is why connections ended, empty if none did.
	Trouble string `json:"trouble,omitempty"`
}

// Latency is from the sending of a message to its arrival.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

func (h *histogram) latency() Latency {
	return Latency{P50: h.quantile(0.5), P99: h.quantile(0.99), P999: h.quantile(0.999), Max: h.max}
}

// A Cost is CPU time.
type Cost struct {
	// CPUSeconds were used while it was measured.
	CPUSeconds float64 `json:"cpu_seconds"`
	// PerMillion are the CPU seconds per million deliveries.
	PerMillion float64 `json:"cpu_seconds_per_million_deliveries"`
	// Cores is how many processors were busy with it, on average.
	Cores float64 `json:"cores"`
	// RSS is the memory at the end, in bytes.
	RSS int64 `json:"rss_bytes,omitempty"`
}

func newCost(cpu time.Duration, delivered uint64, seconds float64) Cost {
	c := Cost{CPUSeconds: cpu.Seconds(), Cores: cpu.Seconds() / seconds}
	if delivered > 0 {
		c.PerMillion = cpu.Seconds() / float64(delivered) * 1e6
	}
	return c
}

// DeliveriesPerSecond is the rate of deliveries.
func (r *Result) DeliveriesPerSecond() float64 { return float64(r.Delivered) / r.Seconds }

// PublishesPerSecond is the rate of publishes.
func (r *Result) PublishesPerSecond() float64 { return float64(r.Published) / r.Seconds }

// OK reports whether everything came as it should.
func (r *Result) OK() bool { return !r.Faults.Any() && r.Trouble == "" && r.Delivered > 0 }

// String is the result in one line.
func (r *Result) String() string {
	server := "not known"
	if r.Server != nil {
		server = fmt.Sprintf("%.2f s per million", r.Server.PerMillion)
	}
	s := fmt.Sprintf("%.0f deliveries/s, p50 %v, p99 %v, p99.9 %v, server CPU %s, client %.2f s per million (%.2f cores)",
		r.DeliveriesPerSecond(), short(r.Latency.P50), short(r.Latency.P99), short(r.Latency.P999), server, r.Client.PerMillion, r.Client.Cores)
	if !r.OK() {
		s += fmt.Sprintf(", FAULTS %+v %s", r.Faults, r.Trouble)
	}
	return s
}

// short rounds a duration to three digits or so.
func short(d time.Duration) time.Duration {
	for unit := time.Duration(10_000_000); unit > 1; unit /= 10 {
		if d >= 100*unit {
			return d.Round(unit)
		}
	}
	return d
}
