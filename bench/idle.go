package bench

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// An Idling says how to measure what an idle connection costs.
type Idling struct {
	// Few and Many are how many connections there are at the two readings.
	Few  int `json:"few"`
	Many int `json:"many"`
	// OwnChannels gives each connection a channel of its own, else all are on one.
	OwnChannels bool `json:"own_channels"`
	// Rest is how long after the last connect memory is read.
	Rest time.Duration `json:"rest_ns"`
	// Prefix is what the channels are called, and a number.
	Prefix string `json:"prefix"`
}

// An IdleResult is what an idle connection costs.
type IdleResult struct {
	Idling Idling `json:"idling"`
	// RSSFew and RSSMany are the server's resident memory at the two readings,
	// in bytes, PerConnection what each further connection added.
	RSSFew        int64   `json:"rss_few_bytes"`
	RSSMany       int64   `json:"rss_many_bytes"`
	PerConnection float64 `json:"bytes_per_connection"`
	// Dropped connections ended before we ended them.
	Dropped uint64 `json:"dropped"`
	Trouble string `json:"trouble,omitempty"`
}

// OK reports whether all connections stayed.
func (r *IdleResult) OK() bool { return r.Dropped == 0 && r.Trouble == "" }

// Idle connects and subscribes, and compares the server's memory.
func Idle(ctx context.Context, t *Target, i Idling) (*IdleResult, error) {
	i.Few, i.Many = cmp.Or(i.Few, 1000), cmp.Or(i.Many, 15_000)
	i.Rest, i.Prefix = cmp.Or(i.Rest, 10*time.Second), cmp.Or(i.Prefix, "bench.")
	if i.Many <= i.Few {
		return nil, errors.New("the second reading needs more connections than the first")
	}
	s := Scenario{Name: "idle", Connections: i.Many, Prefix: i.Prefix}
	if i.OwnChannels {
		s.Channels = i.Many
	}
	s, err := s.complete()
	if err != nil {
		return nil, err
	}
	r := &run{Scenario: s, target: t, clock: newClock()}
	defer r.close()
	if err := r.assemble(); err != nil {
		return nil, err
	}
	result := &IdleResult{Idling: i}
	if result.RSSFew, err = r.rssAt(ctx, i.Few, i.Rest); err != nil {
		return nil, err
	}
	if result.RSSMany, err = r.rssAt(ctx, i.Many, i.Rest); err != nil {
		return nil, err
	}
	result.PerConnection = float64(result.RSSMany-result.RSSFew) / float64(i.Many-i.Few)
	result.Dropped = r.fleet.faults(nil).Dropped
	if err := r.fleet.failure(); err != nil {
		result.Trouble = err.Error()
	}
	return result, nil
}

// rssAt opens connections until there are n, rests, and reads the server's memory.
func (r *run) rssAt(ctx context.Context, n int, rest time.Duration) (int64, error) {
	if err := r.fleet.open(ctx, n, r.Parallel); err != nil {
		return 0, err
	}
	if err := pause(ctx, rest); err != nil {
		return 0, err
	}
	u, err := r.target.usage(ctx)
	return u.RSS, err
}
