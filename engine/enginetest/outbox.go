package enginetest

import (
	"fmt"
	"slices"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func outboxPromises() []promise {
	return []promise{
		{name: "events are read in the order in which they were put", test: (*suite).eventsInOrder},
		{name: "an event's key counts once", test: (*suite).eventsOnce},
		{name: "events are seen by every node", needs: []string{TwoNodes}, test: (*suite).eventsOnBoth},
		{name: "events outlast a restart", needs: []string{Reopen}, test: (*suite).eventsOutlast},
		{name: "dropped events are gone, and no others", test: (*suite).eventsDropped},
	}
}

func (s *suite) outbox(node int) hub.Outbox {
	o, ok := s.Nodes[node].(hub.Outbox)
	if !ok {
		s.Fatal("the engine is no outbox")
	}
	return o
}

// post puts entries, and waits for all outcomes.
func (s *suite) post(node int, entries ...hub.Entry) {
	s.Helper()
	results := make(chan error, len(entries))
	for _, e := range entries {
		s.outbox(node).PutEvent(e, func(err error) { results <- err })
	}
	for range entries {
		if err := <-results; err != nil {
			s.Fatalf("put: %v", err)
		}
	}
}

// events reads all of an app, or of one of its lines.
func (s *suite) events(node int, app, line string, after earshot.Position) (got []string, last earshot.Position) {
	s.Helper()
	for {
		p, err := s.outbox(node).ReadEvents(s.ctx, app, line, after, 7)
		if err != nil || p.Gone {
			s.Fatalf("read: %v, gone %v", err, p.Gone)
		}
		for _, e := range p.Entries {
			if e.App != app || line != "" && e.Line != line || e.Time.IsZero() {
				s.Errorf("got %+v", e)
			}
			got, after = append(got, string(e.Data)), e.Position
		}
		if !p.More {
			return got, after
		}
	}
}

func (s *suite) wantEvents(node int, app, line string, after earshot.Position, want ...string) {
	s.Helper()
	if got, _ := s.events(node, app, line, after); !slices.Equal(got, want) {
		s.Errorf("app %s, line %q: got %q, want %q", app, line, got, want)
	}
}

func entry(app, line, data string) hub.Entry {
	return hub.Entry{App: app, Line: line, Data: []byte(data)}
}

func (s *suite) eventsInOrder() {
	var all []hub.Entry
	var want, odd []string
	for i := range 40 {
		text := fmt.Sprint(i)
		all = append(all, entry("app", fmt.Sprintf("odd.*> %d", i%2), text), entry("other", "a", "x"))
		if want = append(want, text); i%2 == 1 {
			odd = append(odd, text)
		}
	}
	s.post(0, all...)
	s.wantEvents(0, "app", "", earshot.Position{}, want...)
	s.wantEvents(0, "app", "odd.*> 1", earshot.Position{}, odd...)
	s.wantEvents(0, "app", "none", earshot.Position{})
	s.wantEvents(0, "ap", "", earshot.Position{})
	page, err := s.outbox(0).ReadEvents(s.ctx, "app", "", earshot.Position{}, 10)
	if err != nil || len(page.Entries) != 10 || !page.More {
		s.Fatalf("got %d, more %v, %v", len(page.Entries), page.More, err)
	}
	s.wantEvents(0, "app", "", page.Entries[9].Position, want[10:]...)
	page.Entries[9].Position.Epoch++
	if page, err = s.outbox(0).ReadEvents(s.ctx, "app", "", page.Entries[9].Position, 1); err != nil || !page.Gone || string(page.Entries[0].Data) != "0" {
		s.Errorf("of another outbox's position: %+v, %v", page, err)
	}
}

func (s *suite) eventsOnce() {
	e, other := entry("app", "a", "1"), entry("other", "a", "1")
	e.Key, other.Key = "k", "k"
	s.post(0, e, e, other)
	e.Data = []byte("2")
	s.post(0, e)
	e.Key = "l"
	s.post(0, e)
	s.wantEvents(0, "app", "", earshot.Position{}, "1", "2")
	s.wantEvents(0, "other", "", earshot.Position{}, "1")
}

func (s *suite) eventsOnBoth() {
	s.post(0, entry("app", "a", "1"))
	s.post(1, entry("app", "a", "2"))
	s.post(0, entry("app", "a", "3"))
	for node := range 2 {
		s.wantEvents(node, "app", "a", earshot.Position{}, "1", "2", "3")
	}
}

func (s *suite) eventsOutlast() {
	s.post(0, entry("app", "a", "1"), entry("app", "a", "2"))
	_, last := s.events(0, "app", "", earshot.Position{})
	s.Reopen()
	s.post(0, entry("app", "a", "3"))
	s.wantEvents(0, "app", "", earshot.Position{}, "1", "2", "3")
	s.wantEvents(0, "app", "", last, "3")
}

func (s *suite) eventsDropped() {
	s.post(0, entry("app", "a", "1"), entry("other", "a", "x"), entry("app", "b", "2"), entry("app", "a", "3"))
	p, err := s.outbox(0).ReadEvents(s.ctx, "app", "", earshot.Position{}, 2)
	if err != nil {
		s.Fatal(err)
	}
	if err := s.outbox(0).DropEvents(s.ctx, "app", p.Entries[1].Position); err != nil {
		s.Fatal(err)
	}
	s.wantEvents(0, "app", "", earshot.Position{}, "3")
	s.wantEvents(0, "other", "", earshot.Position{}, "x")
	state, err := s.outbox(0).Events(s.ctx)
	if err != nil || state.Entries != 2 || state.Bytes == 0 || state.Newest.Seq != 4 {
		s.Errorf("got %+v, %v", state, err)
	}
}
