package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// A run is one scenario against one target.
type run struct {
	Scenario
	target     *Target
	clock      clock
	positions  bool // subscribers remember theirs
	to         *endpoint
	desk       *desk
	fleet      *fleet
	publishers []*publisher
}

// Run runs a scenario. Faults are in the result; an error is a run that could
// not be measured.
func Run(ctx context.Context, t *Target, s Scenario) (*Result, error) {
	s, err := s.complete()
	if err != nil {
		return nil, err
	}
	r := &run{Scenario: s, target: t, clock: newClock()}
	defer r.close()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r.measure(ctx)
}

// assemble makes the fleet; nothing is connected yet.
func (r *run) assemble() error {
	if err := r.target.complete(); err != nil {
		return err
	}
	var err error
	if r.to, err = newEndpoint(r.target.WSURL, r.target.Token); err != nil {
		return err
	}
	r.desk = newDesk(r.clock, r.Publishing, r.fan())
	r.fleet, err = newFleet(r.to, r.clock, r.fleetPlan(), r.desk)
	return err
}

// open connects everybody.
func (r *run) open(ctx context.Context) error {
	if err := r.assemble(); err != nil {
		return err
	}
	if err := r.fleet.open(ctx, r.Connections, r.Parallel); err != nil {
		return err
	}
	for i := range r.Publishing.Connections {
		p := newPublisher(r.desk, i, r.names())
		r.publishers = append(r.publishers, p)
		if err := r.dial(ctx, p, r.to); err != nil {
			return fmt.Errorf("connecting a publisher: %w", err)
		}
	}
	return nil
}

func (r *run) fleetPlan() fleetPlan {
	return fleetPlan{
		subscribers: r.Connections, publishers: r.Publishing.Connections, readers: r.Readers, sources: r.Sources,
		names: r.names(), positions: r.positions,
	}
}

func (r *run) dial(ctx context.Context, p *publisher, to *endpoint) error {
	if !r.Publishing.HTTP {
		return p.dialWS(ctx, to)
	}
	u, err := url.Parse(r.target.URL)
	if err != nil || u.Scheme != "http" || r.target.PublishKey == "" {
		return errors.New("publishing over HTTP needs the server's http:// address and a publish key")
	}
	return p.dialHTTP(ctx, u.Host, r.target.PublishKey)
}

// measure publishes, and watches.
func (r *run) measure(ctx context.Context) (*Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var publishing sync.WaitGroup
	for _, p := range r.publishers {
		publishing.Go(func() {
			if err := p.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	defer publishing.Wait()
	defer r.desk.stop()
	if err := pause(ctx, r.Warmup); err != nil {
		return nil, err
	}
	result, err := r.window(ctx)
	if err != nil {
		return nil, err
	}
	r.desk.stop()
	publishing.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return result, r.settle(ctx, result)
}

// A reading is where everything stands at one moment.
type reading struct {
	at        time.Duration
	published uint64
	delivered uint64
	server    Usage
	known     bool
	own       time.Duration
}

func (r *run) read(ctx context.Context) reading {
	n := reading{at: r.clock.now(), published: r.desk.published(), delivered: r.fleet.received.Load(), own: ownCPU()}
	var err error
	n.server, err = r.target.usage(ctx)
	n.known = err == nil
	return n
}

// window measures for the duration.
func (r *run) window(ctx context.Context) (*Result, error) {
	from := r.read(ctx)
	r.fleet.measure()
	if err := pause(ctx, r.Duration); err != nil {
		return nil, err
	}
	late := r.fleet.latency()
	to := r.read(ctx)
	result := &Result{
		Scenario: r.Scenario, Seconds: (to.at - from.at).Seconds(), Latency: late.latency(),
		Published: to.published - from.published, Delivered: to.delivered - from.delivered,
	}
	result.Client = newCost(to.own-from.own, result.Delivered, result.Seconds)
	if from.known && to.known {
		c := newCost(to.server.CPU-from.server.CPU, result.Delivered, result.Seconds)
		c.RSS = to.server.RSS
		result.Server = &c
	}
	return result, nil
}

// settle waits for what is on its way, and counts the faults.
func (r *run) settle(ctx context.Context, result *Result) error {
	sent := make([][]uint32, len(r.publishers))
	for i, p := range r.publishers {
		sent[i] = p.sent
	}
	if err := r.fleet.await(ctx, expected(sent, r.fan()), r.Settle); err != nil {
		return err
	}
	result.Faults = r.fleet.faults(sent)
	if err := r.fleet.failure(); err != nil {
		result.Trouble = err.Error()
	}
	return nil
}

// expected is how many deliveries what was sent makes.
func expected(sent [][]uint32, fan []int32) (n uint64) {
	for _, channels := range sent {
		for ch, count := range channels {
			n += uint64(count) * uint64(fan[ch])
		}
	}
	return n
}

// await waits until n messages have come, or nothing has for a while.
func (f *fleet) await(ctx context.Context, n uint64, patience time.Duration) error {
	last, since := f.received.Load(), time.Now()
	for {
		got := f.received.Load()
		switch {
		case got >= n:
			// What comes twice comes right behind.
			return pause(ctx, 50*time.Millisecond)
		case got != last:
			last, since = got, time.Now()
		case time.Since(since) > patience:
			return nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits, unless it is over before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *run) close() {
	for _, p := range r.publishers {
		p.close()
	}
	if r.fleet != nil {
		r.fleet.close()
	}
}
