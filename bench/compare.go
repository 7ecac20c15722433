package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A Case is one scenario of a comparison.
type Case struct {
	// Name is short, Title says what it is.
	Name  string `json:"name"`
	Title string `json:"title"`
	// Scenario is run on the floor, over a WebSocket connection.
	Scenario Scenario `json:"scenario"`
	// Bar is how many times the floor's CPU per delivery a server may need, on
	// live channels with publishes over a WebSocket connection.
	Bar float64 `json:"bar"`
}

// Cases are what a server is compared with the floor by.
func Cases() []Case {
	return []Case{
		{
			Name: "a", Title: "1,000 subscribers of one channel, 64 publishes outstanding", Bar: 0.5,
			Scenario: Scenario{Connections: 1000, Channels: 1, Publishing: Publishing{Outstanding: 64}},
		},
		{
			Name: "a50", Title: "1,000 subscribers of one channel, 50 publishes/s", Bar: 1.4,
			Scenario: Scenario{Connections: 1000, Channels: 1, Publishing: Publishing{Rate: 50}},
		},
		{
			Name: "c", Title: "10,000 channels with one subscriber each, 6,000 publishes/s in batches of 6", Bar: 1.5,
			Scenario: Scenario{Connections: 10_000, Channels: 10_000, Publishing: Publishing{Rate: 6000, Batch: 6}},
		},
	}
}

// Prefixes of the channels that a compared server makes live and logged.
const (
	LivePrefix   = "live."
	LoggedPrefix = "logged."
)

// rows are the ways in which a case is run on a server.
func (c *Case) rows() []row {
	live, http, logged := c.Scenario, c.Scenario, c.Scenario
	live.Prefix, http.Prefix, logged.Prefix = LivePrefix, LivePrefix, LoggedPrefix
	http.Publishing.HTTP = true
	return []row{
		{"live, over WebSocket", c.Bar, live},
		{"live, POST /publish", 0, http},
		{"logged, over WebSocket", 0, logged},
	}
}

type row struct {
	name     string
	bar      float64
	scenario Scenario
}

// A Starter starts a fresh server.
type Starter func(context.Context) (*Process, error)

// A Comparison says how to compare.
type Comparison struct {
	// Floor and Server start what is compared: each run has a process of its own.
	Floor, Server Starter
	// Cases are run Rounds times each, the floor and every row in turn.
	Cases  []Case
	Rounds int
	// Adjust changes every scenario before it runs, if set.
	Adjust func(*Scenario)
	// Progress is told what was run.
	Progress func(string)
}

// A Standing is one row of a comparison.
type Standing struct {
	Case string `json:"case"`
	Row  string `json:"row"`
	// PerMillion are the medians of the CPU seconds per million deliveries of
	// the server and of the floor beside it, Ratio is one by the other, and Bar
	// what it may be, 0 for anything.
	PerMillion float64 `json:"cpu_seconds_per_million_deliveries"`
	Floor      float64 `json:"floor_cpu_seconds_per_million_deliveries"`
	Ratio      float64 `json:"ratio"`
	Bar        float64 `json:"bar,omitempty"`
	// Rate is the median of the deliveries per second.
	Rate float64 `json:"deliveries_per_second"`
	// Latency has the medians of the quantiles.
	Latency Latency `json:"latency"`
	// Faults are those of all rounds.
	Faults Faults    `json:"faults"`
	Runs   []*Result `json:"runs"`
}

// Met reports whether the bar is met.
func (s *Standing) Met() bool { return s.Bar == 0 || s.Ratio <= s.Bar }

// Run compares. The first row of each case is the floor's own.
func (c *Comparison) Run(ctx context.Context) ([]*Standing, error) {
	var all []*Standing
	for _, each := range c.Cases {
		standings, err := c.run(ctx, each)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", each.Name, err)
		}
		all = append(all, standings...)
	}
	return all, nil
}

func (c *Comparison) run(ctx context.Context, each Case) ([]*Standing, error) {
	rows := append([]row{{"floor", 0, each.Scenario}}, each.rows()...)
	standings := make([]*Standing, len(rows))
	for i, r := range rows {
		standings[i] = &Standing{Case: each.Name, Row: r.name, Bar: r.bar}
	}
	for round := range c.Rounds {
		for i, r := range rows {
			starter := c.Server
			if i == 0 {
				starter = c.Floor
			}
			result, err := c.one(ctx, starter, r.scenario)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			standings[i].Runs = append(standings[i].Runs, result)
			c.tell(fmt.Sprintf("%s %d/%d %s: %s", each.Name, round+1, c.Rounds, r.name, result))
		}
	}
	for _, s := range standings {
		s.finish(standings[0].Runs)
	}
	return standings, nil
}

func (c *Comparison) one(ctx context.Context, starter Starter, s Scenario) (*Result, error) {
	if c.Adjust != nil {
		c.Adjust(&s)
	}
	p, err := starter(ctx)
	if err != nil {
		return nil, err
	}
	r, err := Run(ctx, &p.Target, s)
	if stopErr := p.Stop(); err == nil {
		err = stopErr
	}
	return r, err
}

func (c *Comparison) tell(s string) {
	if c.Progress != nil {
		c.Progress(s)
	}
}

// finish makes medians of the runs.
func (s *Standing) finish(floor []*Result) {
	s.PerMillion = median(s.Runs, (*Result).serverPerMillion)
	s.Floor = median(floor, (*Result).serverPerMillion)
	if s.Floor > 0 {
		s.Ratio = s.PerMillion / s.Floor
	}
	s.Rate = median(s.Runs, (*Result).DeliveriesPerSecond)
	s.Latency = Latency{
		P50:  time.Duration(median(s.Runs, func(r *Result) float64 { return float64(r.Latency.P50) })),
		P99:  time.Duration(median(s.Runs, func(r *Result) float64 { return float64(r.Latency.P99) })),
		P999: time.Duration(median(s.Runs, func(r *Result) float64 { return float64(r.Latency.P999) })),
		Max:  time.Duration(median(s.Runs, func(r *Result) float64 { return float64(r.Latency.Max) })),
	}
	for _, r := range s.Runs {
		s.Faults.add(r.Faults)
	}
}

func (r *Result) serverPerMillion() float64 {
	if r.Server == nil {
		return 0
	}
	return r.Server.PerMillion
}

// median is the middle of what of gives for each result; the lower of two.
func median(results []*Result, of func(*Result) float64) float64 {
	if len(results) == 0 {
		return 0
	}
	v := make([]float64, len(results))
	for i, r := range results {
		v[i] = of(r)
	}
	slices.Sort(v)
	return v[(len(v)-1)/2]
}
