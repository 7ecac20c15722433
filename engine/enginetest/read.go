package enginetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func readPromises() []promise {
	return []promise{
		{name: "ranges", test: ranges},
		{name: "pages", test: pages},
		{name: "since a time", test: since},
		{name: "hidden messages do not stop pages", test: hiddenPages},
		{name: "a read reaches what is asked for", test: atLeast},
		{name: "exact after what exists", test: exactExisting},
		{name: "exact after what expired", test: exactExpired},
		{name: "broken after what was evicted", options: Options{Cap: 10}, test: brokenEvicted},
		{name: "broken after another epoch", needs: []string{NewEpoch}, test: brokenEpoch},
		{name: "broken after the future", test: brokenFuture},
		{name: "names never cross", test: names},
	}
}

func ranges(s *suite) {
	ids := s.fill("r", 9)
	s.append(0, message("r2", "other"))
	at := func(i int) earshot.Position { return ids[i].Position() }
	for _, c := range []struct {
		what string
		r    hub.Range
		want []string
		more bool
	}{
		{"all", hub.Range{}, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}, false},
		{"after", hub.Range{After: at(6)}, []string{"7", "8", "9"}, false},
		{"after the last", hub.Range{After: at(9)}, nil, false},
		{"before", hub.Range{Before: at(3)}, []string{"1", "2"}, false},
		{"before the first", hub.Range{Before: at(1)}, nil, false},
		{"between", hub.Range{After: at(3), Before: at(6)}, []string{"4", "5"}, false},
		{"between neighbours", hub.Range{After: at(3), Before: at(4)}, nil, false},
		{"limit", hub.Range{Limit: 2}, []string{"1", "2"}, true},
		{"limit of all", hub.Range{Limit: 9}, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}, false},
		{"limit after", hub.Range{After: at(7), Limit: 2}, []string{"8", "9"}, false},
		{"limit between", hub.Range{After: at(2), Before: at(8), Limit: 3}, []string{"3", "4", "5"}, true},
		{"reverse", hub.Range{Reverse: true, Limit: 3}, []string{"9", "8", "7"}, true},
		{"reverse before", hub.Range{Reverse: true, Before: at(3)}, []string{"2", "1"}, false},
		{"reverse between", hub.Range{Reverse: true, After: at(2), Before: at(7), Limit: 2}, []string{"6", "5"}, true},
		{"reverse of all", hub.Range{Reverse: true, Limit: 9}, []string{"9", "8", "7", "6", "5", "4", "3", "2", "1"}, false},
	} {
		page := s.read(0, "r", c.r)
		if !slices.Equal(texts(page.Messages), append([]string{}, c.want...)) || page.More != c.more {
			s.Errorf("%s: %v, more %v", c.what, texts(page.Messages), page.More)
		}
	}
	if page := s.read(0, "none", hub.Range{}); len(page.Messages) != 0 || page.More {
		s.Errorf("of an unknown channel: %v", texts(page.Messages))
	}
}

// pages reads page by page, by count and by bytes, both ways.
func pages(s *suite) {
	const n, size = 50, 1000
	var want []string
	for i := range n {
		data := fmt.Sprintf("%0*d", size, i)
		want = append(want, data)
		s.append(0, message("p", data))
		s.append(0, message("p2", "between"))
	}
	backward := slices.Clone(want)
	slices.Reverse(backward)
	for what, r := range map[string]hub.Range{
		"limit": {Limit: 7}, "bytes": {Bytes: 5 * size}, "fewer bytes than a message": {Bytes: 1},
		"reverse limit": {Limit: 7, Reverse: true}, "reverse bytes": {Bytes: 5 * size, Reverse: true},
	} {
		var got []string
		for {
			page := s.read(0, "p", r)
			got = append(got, texts(page.Messages)...)
			if l := len(page.Messages); l == 0 || r.Limit > 0 && l > r.Limit || r.Bytes > 0 && l > max(1, r.Bytes/size) {
				s.Errorf("%s: a page of %d", what, l)
				break
			}
			if !page.More {
				break
			}
			last := page.Messages[len(page.Messages)-1].ID.Position()
			if r.Reverse {
				r.Before = last
				continue
			}
			if page.Upto < last.Seq {
				s.Errorf("%s: complete up to %d, but holds %d", what, page.Upto, last.Seq)
			}
			r.After = earshot.Position{Epoch: last.Epoch, Seq: page.Upto}
		}
		if r.Reverse && !slices.Equal(got, backward) || !r.Reverse && !slices.Equal(got, want) {
			s.Errorf("%s: read %d messages, or in another order", what, len(got))
		}
	}
}

func since(s *suite) {
	s.append(0, message("t", "old"))
	begin := time.Now()
	s.until("the clock goes on", func() bool { return time.Since(begin) > 20*time.Millisecond })
	id := s.append(0, message("t", "new"))
	page := s.read(0, "t", hub.Range{Since: id.Time()})
	if !slices.Equal(texts(page.Messages), []string{"new"}) {
		s.Errorf("since %v: %v", id.Time(), texts(page.Messages))
	}
	page = s.read(0, "t", hub.Range{Since: id.Time().Add(time.Millisecond)})
	if len(page.Messages) != 0 {
		s.Errorf("since later: %v", texts(page.Messages))
	}
}

// hiddenPages has more hidden messages than fit into a page before a shown one.
func hiddenPages(s *suite) {
	for range 40 {
		m := message("h", "hidden")
		m.Store = 0
		s.append(0, m)
	}
	s.append(0, message("h", "shown"))
	r := hub.Range{Limit: 3}
	for range 41 {
		page := s.read(0, "h", r)
		if len(page.Messages) > 0 {
			if text := string(page.Messages[0].Data); text != "shown" {
				s.Errorf("history shows %q", text)
			}
			return
		}
		if !page.More || page.Upto == 0 {
			break
		}
		r.After = earshot.Position{Epoch: s.epoch(), Seq: page.Upto}
	}
	s.Error("history does not come to the shown message")
}

// epoch is the stream's.
func (s *suite) epoch() uint16 {
	s.Helper()
	return s.append(0, message("epoch", "?")).Position().Epoch
}

func atLeast(s *suite) {
	var last earshot.ID
	for i := range 100 {
		m := message("al", fmt.Sprint(i))
		last = s.append(0, m)
		node := len(s.Nodes) - 1
		page := s.read(node, "al", hub.Range{After: last.Position(), AtLeast: last.Position().Seq})
		if len(page.Messages) != 0 || page.More || page.Upto < last.Position().Seq || !page.Exact {
			s.Fatalf("after the newest, %d: %+v", last.Position().Seq, page)
		}
		page = s.read(node, "al", hub.Range{AtLeast: last.Position().Seq, Reverse: true, Limit: 1})
		if len(page.Messages) != 1 || page.Messages[0].ID != last {
			s.Fatalf("the newest of %d: %v", last.Position().Seq, texts(page.Messages))
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	if page, err := s.Nodes[0].Read(ctx, app, "al", hub.Range{AtLeast: last.Position().Seq + 1000}); err == nil {
		s.Errorf("a read of the future answered: %d messages up to %d", len(page.Messages), page.Upto)
	}
}

// exact reads after a position as who resumes does.
func (s *suite) exact(channel string, after earshot.Position, want bool, messages int) {
	s.Helper()
	page := s.read(0, channel, hub.Range{After: after, Hidden: true})
	if page.Exact != want || len(page.Messages) != messages {
		s.Errorf("after %+v: exact %v with %d messages, want %v with %d", after, page.Exact, len(page.Messages), want, messages)
	}
}

func exactExisting(s *suite) {
	ids := s.fill("x", 10)
	for i := 1; i <= 10; i++ {
		s.exact("x", ids[i].Position(), true, 10-i)
	}
	hidden := message("x", "hidden")
	hidden.Store = 0
	s.exact("x", s.append(0, hidden).Position(), true, 0)
	// The place is another channel's, and nothing was ever removed.
	other := s.append(0, message("y", "y"))
	s.append(0, message("x", "12"))
	page := s.read(0, "x", hub.Range{After: other.Position(), Hidden: true})
	if !slices.Equal(texts(page.Messages), []string{"12"}) {
		s.Errorf("after another channel's: %v", texts(page.Messages))
	}
}

func exactExpired(s *suite) {
	s.fill("x", 2)
	short := message("x", "short")
	short.Store = time.Second
	gone := s.append(0, short)
	s.append(0, message("x", "4"))
	s.exact("x", gone.Position(), true, 1)
	s.until("the message expires", func() bool {
		return len(s.read(0, "x", hub.Range{Hidden: true}).Messages) == 3
	})
	s.exact("x", gone.Position(), true, 1)
	s.append(0, message("x", "5"))
	s.exact("x", gone.Position(), true, 2)
}

// brokenEvicted fills a channel over its cap of 10.
func brokenEvicted(s *suite) {
	other := s.append(0, message("y", "y"))
	ids := s.fill("x", 25)
	s.exact("x", ids[15].Position(), false, 10)
	s.exact("x", ids[3].Position(), false, 10)
	s.exact("x", other.Position(), false, 10)
	s.exact("x", ids[16].Position(), true, 9)
	s.exact("x", ids[25].Position(), true, 0)
}

func brokenEpoch(s *suite) {
	ids := s.fill("x", 5)
	s.NewEpoch()
	first := s.append(0, message("x", "new life"))
	if first.Position().Epoch == ids[1].Position().Epoch {
		s.Fatalf("the epoch is %d as before", first.Position().Epoch)
	}
	for _, i := range []int{1, 5} {
		page := s.read(0, "x", hub.Range{After: ids[i].Position(), Hidden: true})
		if page.Exact || !slices.Contains(texts(page.Messages), "new life") {
			s.Errorf("after %+v of another life: exact %v, %v", ids[i].Position(), page.Exact, texts(page.Messages))
		}
	}
	s.exact("x", first.Position(), true, 0)
}

func brokenFuture(s *suite) {
	ids := s.fill("x", 3)
	p := ids[3].Position()
	for _, ahead := range []uint64{1000, 1 << 40, 1<<64 - 1 - p.Seq} {
		after := earshot.Position{Epoch: p.Epoch, Seq: p.Seq + ahead}
		page, err := s.Nodes[0].Read(s.ctx, app, "x", hub.Range{After: after, Hidden: true})
		if err == nil && page.Exact {
			s.Errorf("after %d, which was never given: exact", after.Seq)
		}
	}
}
