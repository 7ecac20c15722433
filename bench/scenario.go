package bench

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// A Scenario is what a run does.
type Scenario struct {
	// Name is for people.
	Name string `json:"name"`
	// Connections subscribe to one of Channels channels each, in turn; the
	// channels are called Prefix and a number.
	Connections int    `json:"connections"`
	Channels    int    `json:"channels"`
	Prefix      string `json:"prefix"`
	// Publishing is how messages are published.
	Publishing Publishing `json:"publishing"`
	// Warmup comes before Duration, which is measured.
	Warmup   time.Duration `json:"warmup_ns"`
	Duration time.Duration `json:"duration_ns"`
	// Settle is how long nothing may come, once publishing has stopped, before
	// what is missing counts as lost.
	Settle time.Duration `json:"settle_ns"`
	// Readers are the client's threads, Sources the loopback addresses that it
	// connects from, Parallel the connections that it opens at a time.
	Readers  int `json:"readers"`
	Sources  int `json:"sources"`
	Parallel int `json:"parallel"`
}

// complete puts defaults where nothing is set, and checks the rest.
func (s Scenario) complete() (Scenario, error) {
	p := &s.Publishing
	s.Name = cmp.Or(s.Name, "run")
	s.Connections, s.Channels = cmp.Or(s.Connections, 1000), cmp.Or(s.Channels, 1)
	s.Prefix = cmp.Or(s.Prefix, "bench.")
	s.Warmup, s.Duration = cmp.Or(s.Warmup, time.Second), cmp.Or(s.Duration, 5*time.Second)
	s.Settle = cmp.Or(s.Settle, 5*time.Second)
	s.Readers, s.Sources, s.Parallel = cmp.Or(s.Readers, 1), cmp.Or(s.Sources, 4), cmp.Or(s.Parallel, 128)
	p.Size = cmp.Or(p.Size, 128)
	if p.Rate <= 0 {
		p.Outstanding = cmp.Or(p.Outstanding, 64)
	}
	if p.HTTP || p.Rate > 0 {
		p.Batch = cmp.Or(p.Batch, 1)
	}
	p.Connections = cmp.Or(p.Connections, p.connections())
	return s, s.check()
}

// connections is how many connections publish if nobody says.
func (p *Publishing) connections() int {
	switch {
	case !p.HTTP:
		return 1
	case p.Rate > 0:
		return 4
	}
	return max(p.Outstanding/p.Batch, 1)
}

func (s *Scenario) check() error {
	p := &s.Publishing
	switch {
	case s.Connections < 1 || s.Channels < 1 || s.Readers < 1 || s.Sources < 1 || s.Parallel < 1 || p.Connections < 1:
		return errors.New("connections, channels, readers, sources and what is opened at a time must be at least 1")
	case s.Channels > s.Connections:
		return fmt.Errorf("%d channels need as many connections, and there are %d", s.Channels, s.Connections)
	case s.Channels >= maxChannels || p.Connections >= maxPublishers || p.Outstanding >= noSlot:
		return fmt.Errorf("at most %d channels, %d publishing connections and %d outstanding publishes", maxChannels-1, maxPublishers-1, noSlot-1)
	case s.Sources > 250:
		return errors.New("at most 250 loopback addresses")
	case p.Size < minData || p.Size > 32<<10:
		return fmt.Errorf("the data may have %d bytes to 32 KiB, and %d are asked for", minData, p.Size)
	case p.Batch < 0 || p.Rate < 0 || p.Outstanding < 0 || s.Duration < 0 || s.Warmup < 0:
		return errors.New("a rate, a batch and a time cannot be negative")
	}
	return nil
}

// names are the channels.
func (s *Scenario) names() []string {
	names := make([]string, s.Channels)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", s.Prefix, i)
	}
	return names
}

// fan is how many subscribers each channel has.
func (s *Scenario) fan() []int32 {
	fan := make([]int32, s.Channels)
	for i := range s.Connections {
		fan[i%s.Channels]++
	}
	return fan
}
