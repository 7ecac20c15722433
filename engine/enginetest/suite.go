package enginetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A suite is one test's cluster and what it asks of it.
type suite struct {
	*testing.T
	*Cluster
	ctx context.Context
}

// app is the application that tests use unless they need two.
const app = "app"

// start starts a node, and hears with what it delivers.
func (s *suite) start(node int) *ear {
	s.Helper()
	e := &ear{more: make(chan struct{}, 1)}
	if _, err := s.Nodes[node].Start(s.ctx, e); err != nil {
		s.Fatalf("start: %v", err)
	}
	return e
}

// hear makes a node hear a channel until the test ends.
func (s *suite) hear(node int, app, channel string) {
	s.Helper()
	if _, _, err := s.Nodes[node].Hear(s.ctx, app, channel); err != nil {
		s.Fatalf("hear %q: %v", channel, err)
	}
}

// message is a text message that is shown in history for ever.
func message(channel, data string) *earshot.Message {
	return &earshot.Message{
		App: app, Channel: channel, Event: "e", Kind: earshot.Text, Data: []byte(data), Store: earshot.Forever,
	}
}

type outcome struct {
	hub.Appended
	err error
}

// try appends and waits for the outcome.
func (s *suite) try(node int, m *earshot.Message, o hub.AppendOptions) outcome {
	s.Helper()
	if o.Rule == nil {
		o.Rule = &earshot.Rule{}
	}
	result := make(chan outcome, 1)
	s.Nodes[node].Append(m, o, func(a hub.Appended, err error) {
		select {
		case result <- outcome{a, err}:
		default:
			s.Errorf("done was called twice")
		}
	})
	select {
	case out := <-result:
		return out
	case <-s.ctx.Done():
		s.Fatalf("append of %q had no outcome", m.Data)
		return outcome{}
	}
}

// append appends a message that must be stored, and returns its id.
func (s *suite) append(node int, m *earshot.Message) earshot.ID {
	s.Helper()
	out := s.try(node, m, hub.AppendOptions{WantID: true})
	if out.err != nil || out.Duplicate || out.ID.Position().IsZero() {
		s.Fatalf("append of %q: %+v", m.Data, out)
	}
	return out.ID
}

// fill appends messages with the numbers from 1 to n, and returns their ids
// from index 1.
func (s *suite) fill(channel string, n int) []earshot.ID {
	s.Helper()
	ids := make([]earshot.ID, n+1)
	for i := range n {
		ids[i+1] = s.append(0, message(channel, fmt.Sprint(i+1)))
	}
	return ids
}

// read reads a page that must come.
func (s *suite) read(node int, channel string, r hub.Range) hub.Page {
	s.Helper()
	page, err := s.Nodes[node].Read(s.ctx, app, channel, r)
	if err != nil {
		s.Fatalf("read %+v: %v", r, err)
	}
	return page
}

// texts are the messages' data.
func texts(ms []*earshot.Message) []string {
	all := []string{}
	for _, m := range ms {
		all = append(all, string(m.Data))
	}
	return all
}

// until polls, since an engine's time may be the real one.
func (s *suite) until(what string, ok func() bool) {
	s.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.Fatalf("never happened: %s", what)
		}
	}
}

// An ear is a sink that remembers.
type ear struct {
	more chan struct{}

	mu   sync.Mutex
	ds   []hub.Delivery
	told []string
}

// Deliver takes messages.
func (e *ear) Deliver(ds []hub.Delivery) {
	e.mu.Lock()
	e.ds = append(e.ds, ds...)
	e.mu.Unlock()
	e.signal()
}

// Told takes a control message.
func (e *ear) Told(data []byte) {
	e.mu.Lock()
	e.told = append(e.told, string(data))
	e.mu.Unlock()
	e.signal()
}

func (e *ear) signal() {
	select {
	case e.more <- struct{}{}:
	default:
	}
}

// distinct are the deliveries of one channel as a hub would let them pass:
// each once, in order.
func (e *ear) distinct(app, channel string) []*earshot.Message {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*earshot.Message
	seen := map[earshot.ID]bool{}
	for _, d := range e.ds {
		if m := d.Message; m.App == app && m.Channel == channel && !seen[m.ID] {
			seen[m.ID] = true
			all = append(all, m)
		}
	}
	return all
}

func (e *ear) control() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.told...)
}

// wait waits until the ear has heard n messages of a channel.
func (s *suite) wait(e *ear, app, channel string, n int) []*earshot.Message {
	s.Helper()
	for {
		if got := e.distinct(app, channel); len(got) >= n {
			return got
		}
		select {
		case <-e.more:
		case <-s.ctx.Done():
			s.Fatalf("heard %d of %d messages of %q", len(e.distinct(app, channel)), n, channel)
		}
	}
}
