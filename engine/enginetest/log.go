package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func logPromises() []promise {
	return []promise{
		{name: "a message comes back whole", test: whole},
		{name: "ids are derived and rise", test: numbering},
		{name: "what one goroutine appends keeps its order", test: orderOfCalls},
		{name: "an append has one outcome", test: oneOutcome},
		{name: "a key is used once", test: keys},
		{name: "a key is used once by many at once", test: keysAtOnce},
		{name: "a key is used once on two nodes", needs: []string{TwoNodes}, test: keysOnNodes},
		{name: "retention", options: Options{ResumeWindow: time.Second}, test: retention},
		{name: "what is stored survives", needs: []string{Reopen}, test: survives},
		{name: "a token is spent once", test: spend},
		{name: "a token is spent once on two nodes", needs: []string{TwoNodes}, test: spendOnNodes},
		{name: "a closed engine refuses", test: closed},
	}
}

// rich is a message that uses every field.
func rich() *earshot.Message {
	return &earshot.Message{
		App: app, Channel: "rich", Event: "some event\n", Kind: earshot.Binary, Data: []byte{0, 1, 255, '\n'},
		Headers: map[string]string{"content-type": "x/y", "Ünï": "a\r\nb", "": "empty"},
		Sender:  &earshot.Sender{UID: "", HasUID: true, Meta: []byte(`{"a":[1]}`)},
		Store:   earshot.Forever, Skip: earshot.NewConnID(),
	}
}

func whole(s *suite) {
	e := s.start(0)
	s.hear(0, app, "rich")
	server := message("rich", "")
	server.Event, server.Kind, server.Store = "", earshot.JSON, time.Hour
	for i, want := range []*earshot.Message{rich(), server} {
		before := *want
		id := s.append(0, want)
		heard := s.wait(e, app, "rich", i+1)[i]
		stored := s.read(0, "rich", hub.Range{}).Messages[i]
		for from, got := range map[string]*earshot.Message{"live": heard, "history": stored} {
			if got.ID != id || !got.Time.Equal(id.Time()) {
				s.Errorf("%s: id %v at %v, published as %v", from, got.ID, got.Time, id)
			}
			if !same(got, &before) {
				s.Errorf("%s: %+v, want %+v", from, got, &before)
			}
		}
	}
}

// same compares what the publisher said.
func same(a, b *earshot.Message) bool {
	if (a.Sender == nil) != (b.Sender == nil) {
		return false
	}
	if a.Sender != nil && (a.Sender.UID != b.Sender.UID || a.Sender.HasUID != b.Sender.HasUID || !bytes.Equal(a.Sender.Meta, b.Sender.Meta)) {
		return false
	}
	return a.App == b.App && a.Channel == b.Channel && a.Event == b.Event && a.Kind == b.Kind &&
		bytes.Equal(a.Data, b.Data) && maps.Equal(a.Headers, b.Headers) && a.Store == b.Store && a.Skip == b.Skip
}

// numbering has many publishers on many channels: an id is its message's
// place, and whoever publishes after an acknowledgement gets a higher one.
func numbering(s *suite) {
	const publishers, each = 8, 40
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			var last earshot.ID
			for i := range each {
				m := message(fmt.Sprintf("n.%d", i%3), fmt.Sprintf("%d/%d", p, i))
				out := s.try(0, m, hub.AppendOptions{WantID: true})
				if out.err != nil || slices.Compare(out.ID[:], last[:]) <= 0 {
					s.Errorf("publisher %d: %v (%v) after %v", p, out.ID, out.err, last)
					return
				}
				last = out.ID
			}
		})
	}
	all.Wait()
	seen := map[uint64]bool{}
	for i := range 3 {
		var last earshot.ID
		for _, m := range s.read(0, fmt.Sprintf("n.%d", i), hub.Range{}).Messages {
			p := m.ID.Position()
			if slices.Compare(m.ID[:], last[:]) <= 0 || p.Epoch == 0 || seen[p.Seq] {
				s.Errorf("id %v (%+v) after %v", m.ID, p, last)
			}
			seen[p.Seq], last = true, m.ID
		}
	}
	if len(seen) != publishers*each {
		s.Errorf("%d messages are stored, want %d", len(seen), publishers*each)
	}
}

func orderOfCalls(s *suite) {
	const n = 300
	var all sync.WaitGroup
	for i := range n {
		all.Add(1)
		s.Nodes[0].Append(message("calls", fmt.Sprint(i)), hub.AppendOptions{Rule: &earshot.Rule{}}, func(_ hub.Appended, err error) {
			if err != nil {
				s.Errorf("append %d: %v", i, err)
			}
			all.Done()
		})
	}
	all.Wait()
	for i, text := range texts(s.read(0, "calls", hub.Range{Limit: n}).Messages) {
		if text != fmt.Sprint(i) {
			s.Fatalf("message %s is stored in place %d", text, i)
		}
	}
}

// oneOutcome closes the engine under appends.
func oneOutcome(s *suite) {
	s.start(0)
	const n = 200
	var mu sync.Mutex
	outcomes := make([]int, n)
	var all sync.WaitGroup
	all.Add(n)
	for i := range n {
		go s.Nodes[0].Append(message("closing", fmt.Sprint(i)), hub.AppendOptions{Rule: &earshot.Rule{}}, func(hub.Appended, error) {
			mu.Lock()
			defer mu.Unlock()
			if outcomes[i]++; outcomes[i] == 1 {
				all.Done()
			}
		})
		if i == n/2 {
			if err := s.Nodes[0].Close(s.ctx); err != nil {
				s.Errorf("close: %v", err)
			}
		}
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	for i, times := range outcomes {
		if times != 1 {
			s.Errorf("append %d had %d outcomes", i, times)
		}
	}
}

func keys(s *suite) {
	with := func(m *earshot.Message, key string) outcome {
		s.Helper()
		out := s.try(0, m, hub.AppendOptions{Key: key, WantID: true})
		if out.err != nil {
			s.Fatalf("append with key %q: %v", key, out.err)
		}
		return out
	}
	// Keys are bytes of the publisher's: one that looks like a scope must not be one.
	for _, key := range []string{"k", "a b\n", "é", ".", "keys.k", "app/keys/k", string(bytes.Repeat([]byte("x"), 200))} {
		first := with(message("keys", key), key)
		again := with(message("keys", "other"), key)
		if first.Duplicate || !again.Duplicate || again.ID != first.ID {
			s.Errorf("key %q: first %+v, again %+v", key, first, again)
		}
	}
	other := message("keys", "other app")
	other.App = "app2"
	if out := with(other, "k"); out.Duplicate {
		s.Error("a key of one app counts in another")
	}
	if out := with(message("keys2", "other channel"), "k"); out.Duplicate {
		s.Error("a key of one channel counts on another")
	}
	if out := s.try(0, message("keys", "none"), hub.AppendOptions{}); out.Duplicate || out.err != nil {
		s.Errorf("without a key: %+v", out)
	}
	if got := len(s.read(0, "keys", hub.Range{}).Messages); got != 8 {
		s.Errorf("%d messages are stored, want 8", got)
	}
}

func keysAtOnce(s *suite) { s.race(16, func(int) int { return 0 }) }

func keysOnNodes(s *suite) { s.race(16, func(i int) int { return i % 2 }) }

// race appends with one key from many goroutines.
func (s *suite) race(n int, node func(int) int) {
	for round := range 5 {
		channel := fmt.Sprintf("race.%d", round)
		outs := make([]outcome, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				outs[i] = s.try(node(i), message(channel, fmt.Sprint(i)), hub.AppendOptions{Key: "k", WantID: true})
			})
		}
		all.Wait()
		stored := s.read(0, channel, hub.Range{}).Messages
		if len(stored) != 1 {
			s.Fatalf("stored: %v", texts(stored))
		}
		first := 0
		for i, out := range outs {
			if !out.Duplicate {
				first++
			}
			if out.err != nil || out.ID != stored[0].ID {
				s.Errorf("append %d: %+v, stored is %v", i, out, stored[0].ID)
			}
		}
		if first != 1 {
			s.Errorf("%d appends were told that they are the first", first)
		}
	}
}

func retention(s *suite) {
	store := func(data string, d time.Duration) {
		m := message("kept", data)
		m.Store = d
		s.append(0, m)
	}
	store("forever", earshot.Forever)
	store("hidden", 0)
	store("short", 2*time.Second)
	store("long", time.Hour)
	is := func(r hub.Range, want ...string) bool {
		return slices.Equal(texts(s.read(0, "kept", r).Messages), want)
	}
	if !is(hub.Range{}, "forever", "short", "long") {
		s.Errorf("history: %v", texts(s.read(0, "kept", hub.Range{}).Messages))
	}
	if !is(hub.Range{Hidden: true}, "forever", "hidden", "short", "long") {
		s.Errorf("with hidden: %v", texts(s.read(0, "kept", hub.Range{Hidden: true}).Messages))
	}
	s.until("the hidden message ends with the resume window", func() bool {
		return is(hub.Range{Hidden: true}, "forever", "short", "long") || is(hub.Range{Hidden: true}, "forever", "long")
	})
	s.until("the short message ends", func() bool { return is(hub.Range{Hidden: true}, "forever", "long") })
}

func survives(s *suite) {
	ids := s.fill("kept", 20)
	s.try(0, message("kept", "21"), hub.AppendOptions{Key: "k"})
	until := time.Now().Add(time.Hour)
	if first, err := s.Nodes[0].Spend(s.ctx, app, "t", until); !first || err != nil {
		s.Fatalf("spend: %v %v", first, err)
	}
	s.Reopen()
	page := s.read(0, "kept", hub.Range{After: ids[10].Position(), Hidden: true})
	if len(page.Messages) != 11 || !page.Exact || page.Messages[0].ID != ids[11] {
		s.Errorf("after reopening: exact %v, %v", page.Exact, texts(page.Messages))
	}
	if out := s.try(0, message("kept", "again"), hub.AppendOptions{Key: "k"}); !out.Duplicate || out.err != nil {
		s.Errorf("a key of before: %+v", out)
	}
	if first, err := s.Nodes[0].Spend(s.ctx, app, "t", until); first || err != nil {
		s.Errorf("a token of before: %v %v", first, err)
	}
	last := page.Messages[10].ID
	if id := s.append(0, message("kept", "22")); slices.Compare(id[:], last[:]) <= 0 {
		s.Errorf("id %v after %v", id, last)
	}
}

func spend(s *suite) { s.spendRace(func(int) int { return 0 }) }

func spendOnNodes(s *suite) { s.spendRace(func(i int) int { return i % 2 }) }

func (s *suite) spendRace(node func(int) int) {
	until := time.Now().Add(time.Hour)
	for _, jti := range []string{"a", "A", "a.b", "*", ">", "", " ", "é", string(bytes.Repeat([]byte("j"), 500))} {
		for _, app := range []string{"app", "app2"} {
			var mu sync.Mutex
			firsts := 0
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					first, err := s.Nodes[node(i)].Spend(s.ctx, app, jti, until)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						s.Errorf("spend %q: %v", jti, err)
					}
					if first {
						firsts++
					}
				})
			}
			all.Wait()
			if firsts != 1 {
				s.Errorf("token %q of %s was spent %d times", jti, app, firsts)
			}
		}
	}
}

func closed(s *suite) {
	s.start(0)
	if err := s.Nodes[0].Close(s.ctx); err != nil {
		s.Fatalf("close: %v", err)
	}
	if out := s.try(0, message("c", "x"), hub.AppendOptions{}); out.err == nil {
		s.Error("a closed engine stored a message")
	}
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	if _, err := s.Nodes[0].Read(ctx, app, "c", hub.Range{}); err == nil {
		s.Error("a closed engine read")
	}
	if _, _, err := s.Nodes[0].Hear(ctx, app, "c"); err == nil {
		s.Error("a closed engine hears")
	}
}
