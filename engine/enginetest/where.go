package enginetest

import (
	"fmt"

	"github.com/earshot-io/earshot"
)

func wherePromises() []promise {
	return []promise{
		{name: "a start tells where the stream stands", needs: []string{Reopen}, test: startTells},
		{name: "hearing tells where it begins", needs: []string{TwoNodes}, test: hearTells},
	}
}

// startTells starts a node on an empty stream and one on a full one.
func startTells(s *suite) {
	at, err := s.Nodes[0].Start(s.ctx, &ear{more: make(chan struct{}, 1)})
	if err != nil || at.Epoch == 0 {
		s.Fatalf("the empty stream stands at %+v, %v", at, err)
	}
	last := s.fill("w", 20)[20].Position()
	s.Reopen()
	at, err = s.Nodes[0].Start(s.ctx, &ear{more: make(chan struct{}, 1)})
	if err != nil || at.Epoch != last.Epoch || at.Seq < last.Seq {
		s.Fatalf("the stream stands at %+v, %v; the last message at %+v", at, err, last)
	}
	next := s.append(0, message("w", "21")).Position()
	if at.Seq >= next.Seq {
		s.Errorf("the stream stood at %d, and the next message is %d", at.Seq, next.Seq)
	}
}

// hearTells hears channels of which much is stored: what is behind the sequence
// that Hear or Start answered, or was delivered since, must arrive.
func hearTells(s *suite) {
	s.start(0)
	e := &ear{more: make(chan struct{}, 1)}
	at, err := s.Nodes[1].Start(s.ctx, e)
	if err != nil {
		s.Fatalf("start: %v", err)
	}
	for i := range 20 {
		channel := fmt.Sprintf("h.%d", i)
		var ids []earshot.ID
		for j := range 5 {
			ids = append(ids, s.append(0, message(channel, fmt.Sprint(j))))
		}
		from, _, err := s.Nodes[1].Hear(s.ctx, app, channel)
		if err != nil {
			s.Fatalf("hear: %v", err)
		}
		known := max(from, at.Seq, e.newest())
		ids = append(ids, s.append(0, message(channel, "now")))
		if last := ids[len(ids)-1].Position().Seq; known >= last {
			s.Errorf("hearing begins at %d, and the next message is %d", known, last)
		}
		s.until("all behind the sequence arrives", func() bool {
			got := map[earshot.ID]bool{}
			for _, m := range e.distinct(app, channel) {
				got[m.ID] = true
			}
			for _, id := range ids {
				if id.Position().Seq > known && !got[id] {
					return false
				}
			}
			return true
		})
	}
}

// newest is the highest sequence that was delivered.
func (e *ear) newest() (seq uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.ds {
		seq = max(seq, d.Message.ID.Position().Seq)
	}
	return seq
}
