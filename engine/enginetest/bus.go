package enginetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func busPromises() []promise {
	return []promise{
		{name: "deliveries are in order and know their predecessor", test: order},
		{name: "what is stored after Hear arrives", test: interest},
		{name: "an app is heard whole", test: appWide},
		{name: "before the disk is the same order", test: beforeDisk},
		{name: "two nodes hear each other", needs: []string{TwoNodes}, test: twoNodes},
		{name: "what is stored on one node after Hear on another arrives", needs: []string{TwoNodes}, test: interestOnNodes},
		{name: "a node that was cut hears what it missed", needs: []string{TwoNodes, Cut}, test: cutAndRestored},
		{name: "the last message before a leader change arrives", needs: []string{StepDown}, test: leaderChange},
	}
}

// order has many publishers; deliveries come in the order of sequences, and
// the predecessor they name is the one before on the channel.
func order(s *suite) {
	e := s.start(0)
	const publishers, each, channels = 8, 50, 4
	for c := range channels {
		s.hear(0, app, fmt.Sprintf("o.%d", c))
	}
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				m := message(fmt.Sprintf("o.%d", (p+i)%channels), fmt.Sprintf("%d/%d", p, i))
				if out := s.try(0, m, hub.AppendOptions{}); out.err != nil {
					s.Errorf("append: %v", out.err)
				}
			}
		})
	}
	all.Wait()
	for c := range channels {
		channel := fmt.Sprintf("o.%d", c)
		s.wait(e, app, channel, publishers*each/channels)
		var last uint64
		for _, d := range e.first(channel) {
			seq := d.Message.ID.Position().Seq
			if seq <= last || d.Prev > last {
				s.Errorf("%s: %d after %d, says that %d is before it", channel, seq, last, d.Prev)
			}
			last = seq
		}
	}
}

// first are the deliveries of a channel, without those that come again.
func (e *ear) first(channel string) []hub.Delivery {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []hub.Delivery
	seen := map[earshot.ID]bool{}
	for _, d := range e.ds {
		if d.Message.Channel == channel && !seen[d.Message.ID] {
			seen[d.Message.ID] = true
			all = append(all, d)
		}
	}
	return all
}

func interest(s *suite) { s.interest(0) }

func interestOnNodes(s *suite) { s.interest(1) }

// interest appends on node 0 as soon as the last node hears the channel.
func (s *suite) interest(listener int) {
	e := s.start(listener)
	if listener != 0 {
		s.start(0)
	}
	const n = 60
	var releases []func()
	for i := range n {
		channel := fmt.Sprintf("i.%d", i)
		_, release, err := s.Nodes[listener].Hear(s.ctx, app, channel)
		if err != nil {
			s.Fatalf("hear: %v", err)
		}
		_, again, err := s.Nodes[listener].Hear(s.ctx, app, channel)
		if err != nil {
			s.Fatalf("hear again: %v", err)
		}
		again() // one of two is left
		releases = append(releases, release)
		s.append(0, message(channel, "now"))
	}
	for i := range n {
		s.wait(e, app, fmt.Sprintf("i.%d", i), 1)
	}
	for _, release := range releases {
		release()
	}
	s.hear(listener, app, "i.0")
	s.append(0, message("i.0", "again"))
	s.wait(e, app, "i.0", 2)
}

func appWide(s *suite) {
	e := s.start(0)
	s.hear(0, app, "")
	for i := range 30 {
		s.append(0, message(fmt.Sprintf("w.%d..%d", i, i), "x"))
	}
	for i := range 30 {
		s.wait(e, app, fmt.Sprintf("w.%d..%d", i, i), 1)
	}
}

func beforeDisk(s *suite) {
	e := s.start(0)
	s.hear(0, app, "b")
	const n = 100
	for i := range n {
		m := message("b", fmt.Sprint(i))
		out := s.try(0, m, hub.AppendOptions{Rule: &earshot.Rule{BeforeDisk: i%2 == 0}})
		if out.err != nil {
			s.Fatalf("append: %v", out.err)
		}
	}
	for i, text := range texts(s.wait(e, app, "b", n)) {
		if text != fmt.Sprint(i) {
			s.Fatalf("message %s came in place %d", text, i)
		}
	}
}

func twoNodes(s *suite) {
	ears := []*ear{s.start(0), s.start(1)}
	for node := range ears {
		s.hear(node, app, "logged")
		s.hear(node, app, "live")
	}
	const n = 20
	for i := range n {
		node := i % 2
		s.append(node, message("logged", fmt.Sprint(i)))
		m := message("live", fmt.Sprint(i))
		m.Store = 0
		m.Time = time.UnixMilli(time.Now().UnixMilli())
		m.ID = earshot.NewID(m.Time, earshot.Position{})
		m.ID[15] = byte(i + 1)
		if err := s.Nodes[node].Spread(m); err != nil {
			s.Errorf("spread: %v", err)
		}
	}
	if err := s.Nodes[0].Tell("", []byte("told")); err != nil {
		s.Errorf("tell: %v", err)
	}
	for node, e := range ears {
		for i, text := range texts(s.wait(e, app, "logged", n)) {
			if text != fmt.Sprint(i) {
				s.Fatalf("node %d: message %s came in place %d", node, text, i)
			}
		}
		// A node hears of live messages what the other spread, and never its own.
		for i, text := range texts(s.wait(e, app, "live", n/2)) {
			if text != fmt.Sprint(2*i+1-node) {
				s.Errorf("node %d: live message %s in place %d", node, text, i)
			}
		}
	}
	s.until("the other node is told", func() bool { return slices.Equal(ears[1].control(), []string{"told"}) })
	if own := ears[0].control(); len(own) != 0 {
		s.Errorf("a node was told its own: %q", own)
	}
}

// cutAndRestored stores while a node is away; it hears all of it without a
// further message.
func cutAndRestored(s *suite) {
	s.start(0)
	e := s.start(1)
	s.hear(1, app, "c")
	s.append(0, message("c", "before"))
	s.wait(e, app, "c", 1)
	s.Cut(1)
	for i := range 20 {
		s.append(0, message("c", fmt.Sprint(i)))
	}
	s.Restore(1)
	got := s.wait(e, app, "c", 21)
	seen := map[string]bool{}
	for _, m := range got {
		seen[string(m.Data)] = true
	}
	if len(seen) != 21 {
		s.Errorf("heard %v", texts(got))
	}
}

// leaderChange appends until the leader steps down, and nothing after.
func leaderChange(s *suite) {
	e := s.start(0)
	s.hear(0, app, "l")
	stored := 0
	for round := range 5 {
		for i := range 30 {
			// A publish that fails or is unknown here is repeated with its key.
			key := fmt.Sprintf("%d/%d", round, i)
			for {
				if out := s.try(0, message("l", key), hub.AppendOptions{Key: key}); out.err == nil {
					break
				} else if s.ctx.Err() != nil {
					s.Fatalf("append: %v", out.err)
				}
			}
			stored++
		}
		s.StepDown()
		s.wait(e, app, "l", stored)
	}
}
