package bench

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// A Storming says how a server's crash is tried: everybody is subscribed and
// has a position, the server is killed and started again, messages are
// published that nobody hears, and everybody comes back at once.
type Storming struct {
	Connections int    `json:"connections"`
	Channels    int    `json:"channels"`
	Prefix      string `json:"prefix"`
	// Before and Missed are how many messages each channel gets before the
	// crash and after it.
	Before int `json:"before"`
	Missed int `json:"missed"`
	// Rest is how long after everybody has come memory is read.
	Rest time.Duration `json:"rest_ns"`
}

// A StormResult is how it went.
type StormResult struct {
	Storming Storming `json:"storming"`
	// Ready is from the start of the new process to its /readyz, Resumed from
	// there until everybody had everything. Connected is when all were subscribed.
	Ready     time.Duration `json:"ready_ns"`
	Connected time.Duration `json:"connected_ns"`
	Resumed   time.Duration `json:"resumed_ns"`
	// Steady is the resident memory after the storm, Peak the most the new
	// process had, in bytes.
	Steady int64 `json:"steady_rss_bytes"`
	Peak   int64 `json:"peak_rss_bytes"`
	// CPUSeconds is what the new process used until everybody had everything.
	CPUSeconds float64 `json:"cpu_seconds"`
	Delivered  uint64  `json:"delivered"`
	Faults     Faults  `json:"faults"`
	Trouble    string  `json:"trouble,omitempty"`
}

// OK reports whether everybody came back and had everything.
func (r *StormResult) OK() bool { return !r.Faults.Any() && r.Trouble == "" && r.Delivered > 0 }

// Storm tries a server's crash. begin starts a server, and each call after the
// first starts it again on the same data and the same address.
func Storm(ctx context.Context, begin Starter, st Storming) (*StormResult, error) {
	st.Connections, st.Channels = cmp.Or(st.Connections, 15_000), cmp.Or(st.Channels, 100)
	st.Prefix, st.Rest = cmp.Or(st.Prefix, LoggedPrefix), cmp.Or(st.Rest, 10*time.Second)
	st.Before, st.Missed = cmp.Or(st.Before, 5), cmp.Or(st.Missed, 5)
	s, err := Scenario{
		Name: "storm", Connections: st.Connections, Channels: st.Channels, Prefix: st.Prefix,
		Publishing: Publishing{HTTP: true, Outstanding: 1, Connections: 1},
	}.complete()
	if err != nil {
		return nil, err
	}
	p, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	x := &storm{Storming: st, run: run{Scenario: s, target: &p.Target, clock: newClock(), positions: true}, begin: begin, process: p}
	defer func() {
		x.close()
		x.process.Kill()
	}()
	if err := x.before(ctx); err != nil {
		return nil, fmt.Errorf("before the crash: %w", err)
	}
	result := &StormResult{Storming: st}
	if err := x.crash(ctx, result); err != nil {
		return nil, fmt.Errorf("the crash: %w", err)
	}
	if err := x.after(ctx, result); err != nil {
		return nil, fmt.Errorf("after the crash: %w", err)
	}
	return result, nil
}

type storm struct {
	Storming
	run
	begin   Starter
	process *Process
	sent    [][]uint32
}

// before connects everybody and gives each a position.
func (x *storm) before(ctx context.Context) error {
	if err := x.assemble(); err != nil {
		return err
	}
	if err := x.run.fleet.open(ctx, x.Scenario.Connections, x.Parallel); err != nil {
		return err
	}
	if err := x.publish(ctx, x.Before); err != nil {
		return err
	}
	return x.heard(ctx)
}

// publish sends n messages to each channel, over a connection of its own.
func (x *storm) publish(ctx context.Context, n int) error {
	d := newDesk(x.clock, Publishing{Rate: 1e9, Size: x.Publishing.Size}, x.fan())
	p := newPublisher(d, 0, x.names())
	defer p.close()
	if x.sent != nil {
		p.sent = x.sent[0]
	}
	x.sent = [][]uint32{p.sent}
	if err := x.dial(ctx, p, nil); err != nil {
		return err
	}
	for ch := range x.Scenario.Channels {
		for range n {
			if err := p.write([]order{{channel: uint32(ch), slot: noSlot}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// heard waits for all that was sent.
func (x *storm) heard(ctx context.Context) error {
	return x.fleet.await(ctx, expected(x.sent, x.fan()), x.Settle)
}

// crash kills the server, starts it again and publishes what everybody misses.
func (x *storm) crash(ctx context.Context, r *StormResult) error {
	x.fleet.crash(x.process.Kill)
	begun := time.Now()
	p, err := x.begin(ctx)
	if err != nil {
		return err
	}
	x.process, x.target = p, &p.Target
	r.Ready = time.Since(begun)
	return x.publish(ctx, x.Missed)
}

// after lets everybody come back at once, and looks at the result.
func (x *storm) after(ctx context.Context, r *StormResult) error {
	begun := time.Now()
	if err := x.fleet.open(ctx, x.Scenario.Connections, x.Scenario.Connections); err != nil {
		return err
	}
	r.Connected = time.Since(begun)
	if err := x.heard(ctx); err != nil {
		return err
	}
	r.Resumed = time.Since(begun)
	used, err := x.target.usage(ctx)
	if err != nil {
		return err
	}
	r.CPUSeconds = used.CPU.Seconds()
	if err := pause(ctx, x.Rest); err != nil {
		return err
	}
	if used, err = x.target.usage(ctx); err != nil {
		return err
	}
	r.Steady, r.Peak = used.RSS, used.Peak
	r.Delivered, r.Faults = x.fleet.received.Load(), x.fleet.faults(x.sent)
	if err := x.fleet.failure(); err != nil {
		r.Trouble = err.Error()
	}
	return nil
}
