package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/earshot-io/earshot/bench"
)

// benchCmd is "earshot bench".
type benchCmd struct {
	Run         benchRunCmd   `cmd:"" default:"withargs" help:"Measure a server."`
	FloorServer benchFloorCmd `cmd:"" hidden:"" help:"Serve the bare loop that figures are compared with."`
}

// benchRunCmd measures a server that runs, or starts one.
type benchRunCmd struct {
	URL     string `help:"Measure the server at this http:// address." xor:"target"`
	DevJSON string `name:"dev-json" help:"Measure the development server that wrote this dev.json." type:"existingfile" xor:"target"`
	Spawn   bool   `help:"Measure a server of our own, started for it (the default)." xor:"target"`
	WSURL   string `name:"ws-url" help:"Where the server upgrades; --url with /v1 if not given."`
	Key     string `help:"Publish key, for --http." env:"EARSHOT_PUBLISH_KEY"`
	Token   string `help:"Token that may subscribe and broadcast, with --url." env:"EARSHOT_TOKEN"`
	PID     int    `help:"The server's process on this machine, if --url does not tell it."`

	Compare bool `help:"Compare with the floor: the floor and every way of publishing in turn, three times each." xor:"what"`
	Idle    bool `help:"Measure memory per idle connection." xor:"what"`
	Storm   bool `help:"Kill a server of our own and let everybody come back at once." xor:"what"`

	Floor       bool          `help:"Run the same on the bare loop, for the limit beside it."`
	Connections int           `short:"n" help:"Subscribers; 0 for 1000, and 15000 with --idle and --storm."`
	Channels    int           `help:"Channels that they are dealt to; 0 for 1, and 100 with --storm."`
	Prefix      string        `help:"What the channels are called, before a number. A server of our own has live ones below live. and logs the others." default:"live."`
	HTTP        bool          `name:"http" help:"Publish by POST /publish."`
	Publishers  int           `help:"Connections that publish; 0 for what suits."`
	Rate        float64       `help:"Publishes per second; 0 for as fast as --outstanding allows."`
	Batch       int           `help:"Publishes in one write or request; 0 for what suits."`
	Outstanding int           `help:"Publishes that may be under way at a time." default:"64"`
	Store       int           `help:"Seconds that history keeps what is published with --http; such a publish waits for the disk."`
	Size        int           `help:"Bytes of data." default:"128"`
	Warmup      time.Duration `help:"Time before it is measured." default:"1s"`
	Duration    time.Duration `help:"Time that is measured." default:"5s"`
	Rounds      int           `help:"How often --compare runs everything." default:"3"`
	Case        []string      `help:"Only these cases of --compare: a, a50, c."`
	Readers     int           `help:"Threads that read." default:"1"`
	Sources     int           `help:"Loopback addresses to connect from." default:"4"`
	JSON        bool          `name:"json" help:"Print the report as JSON."`
}

// errFaults ends the process with 1 after the report was printed.
var errFaults = errors.New("messages or connections were lost, or messages doubled or out of order")

// Run measures and prints.
func (b *benchRunCmd) Run(w *world) error {
	ctx, stop := w.signalled()
	defer stop()
	report := bench.Report{Machine: bench.ThisMachine()}
	if err := b.measure(ctx, w, &report); err != nil {
		return err
	}
	if err := b.print(w.out, &report); err != nil {
		return err
	}
	if !report.OK() {
		return errFaults
	}
	return nil
}

func (b *benchRunCmd) measure(ctx context.Context, w *world, r *bench.Report) (err error) {
	switch {
	case b.Compare:
		r.Comparison, err = b.compare(ctx, w)
		return err
	case b.Storm:
		r.Storm, err = b.storm(ctx)
		return err
	case b.Idle:
		return b.idle(ctx, r)
	}
	if b.Floor {
		if r.Floor, err = b.on(ctx, startFloor); err != nil {
			return err
		}
	}
	r.Run, err = b.on(ctx, b.target)
	return err
}

func (b *benchRunCmd) print(out io.Writer, r *bench.Report) error {
	if !b.JSON {
		return r.WriteText(out)
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (b *benchRunCmd) scenario() bench.Scenario {
	return bench.Scenario{
		Connections: b.Connections, Channels: b.Channels, Prefix: b.Prefix,
		Warmup: b.Warmup, Duration: b.Duration, Readers: b.Readers, Sources: b.Sources,
		Publishing: bench.Publishing{
			HTTP: b.HTTP, Connections: b.Publishers, Rate: b.Rate, Batch: b.Batch, Outstanding: b.Outstanding, Store: b.Store, Size: b.Size,
		},
	}
}

// on runs the scenario on what start starts; the floor publishes over WebSocket.
func (b *benchRunCmd) on(ctx context.Context, start bench.Starter) (*bench.Result, error) {
	p, err := start(ctx)
	if err != nil {
		return nil, err
	}
	s := b.scenario()
	if p.URL == "" {
		s.Publishing.HTTP = false
	}
	r, err := bench.Run(ctx, &p.Target, s)
	if stopErr := p.Stop(); err == nil {
		err = stopErr
	}
	return r, err
}

// target is the server that is asked for: one that runs, or one of our own.
func (b *benchRunCmd) target(ctx context.Context) (*bench.Process, error) {
	switch {
	case b.DevJSON != "":
		t, err := bench.DevTarget(b.DevJSON)
		if err != nil {
			return nil, err
		}
		return bench.Running(*t), nil
	case b.URL != "":
		return bench.Running(bench.Target{URL: b.URL, WSURL: b.WSURL, PublishKey: b.Key, Token: b.Token, PID: b.PID}), nil
	}
	return startServer(ctx)
}

func (b *benchRunCmd) compare(ctx context.Context, w *world) ([]*bench.Standing, error) {
	cases := bench.Cases()
	if len(b.Case) > 0 {
		var chosen []bench.Case
		for _, c := range cases {
			for _, name := range b.Case {
				if c.Name == name {
					chosen = append(chosen, c)
				}
			}
		}
		cases = chosen
	}
	if len(cases) == 0 {
		return nil, errors.New("there is no such case")
	}
	c := bench.Comparison{
		Floor: startFloor, Server: startServer, Cases: cases, Rounds: b.Rounds,
		Adjust:   func(s *bench.Scenario) { s.Warmup, s.Duration = b.Warmup, b.Duration },
		Progress: func(line string) { fmt.Fprintln(w.err, line) },
	}
	return c.Run(ctx)
}

func (b *benchRunCmd) idle(ctx context.Context, r *bench.Report) error {
	for _, own := range []bool{false, true} {
		p, err := b.target(ctx)
		if err != nil {
			return err
		}
		i, err := bench.Idle(ctx, &p.Target, bench.Idling{Many: b.Connections, OwnChannels: own, Prefix: b.Prefix})
		if stopErr := p.Stop(); err == nil {
			err = stopErr
		}
		if err != nil {
			return err
		}
		r.Idle = append(r.Idle, i)
	}
	return nil
}

func (b *benchRunCmd) storm(ctx context.Context) (*bench.StormResult, error) {
	command, err := bench.Self("serve", "--config")
	if err != nil {
		return nil, err
	}
	s, err := bench.NewServer(command)
	if err != nil {
		return nil, err
	}
	defer s.Remove()
	return bench.Storm(ctx, s.Start, bench.Storming{Connections: b.Connections, Channels: b.Channels})
}

// startServer starts a fresh server of our own.
func startServer(ctx context.Context) (*bench.Process, error) {
	command, err := bench.Self("serve", "--config")
	if err != nil {
		return nil, err
	}
	return bench.Fresh(command)(ctx)
}

// startFloor starts the bare loop in a process of its own.
func startFloor(ctx context.Context) (*bench.Process, error) {
	command, err := bench.Self("bench", "floor-server")
	if err != nil {
		return nil, err
	}
	return bench.StartFloor(ctx, command)
}

// benchFloorCmd serves the floor until its input ends, so that it cannot
// outlive who started it.
type benchFloorCmd struct{}

// Run prints the address and serves.
func (*benchFloorCmd) Run(w *world) error {
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_, _ = w.in.Read(make([]byte, 1))
		stop()
	}()
	fmt.Fprintln(w.out, l.Addr())
	return bench.ServeFloor(ctx, l)
}
