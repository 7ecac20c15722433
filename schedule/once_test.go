package schedule_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/schedule"
)

// TestOnceAndInTime schedules many messages on two nodes: each is published once,
// not before its time, and within a second of it.
func TestOnceAndInTime(t *testing.T) {
	run(t, 2, func(r *rig) {
		begin := time.Now()
		at := map[string]time.Time{}
		for i := range 1000 {
			data := fmt.Sprint(i)
			// One that is due at once may not be pending any more.
			at[data] = begin.Add(time.Duration(1+rand.IntN(60_000)) * time.Millisecond)
			r.nodes[i%2].publish(at[data], fmt.Sprintf("c%d", rand.IntN(5)), data)
		}
		r.pending(1000)
		after(2 * time.Minute)
		r.pending(0)
		for c := range 5 {
			last := time.Time{}
			for _, m := range r.messages(fmt.Sprintf("c%d", c)) {
				due, known := at[string(m.Data)]
				delete(at, string(m.Data))
				switch late := m.Time.Sub(due); {
				case !known:
					t.Errorf("%s came twice", m.Data)
				case late < 0 || late > time.Second:
					t.Errorf("%s came %v after its time", m.Data, late)
				case due.Before(last):
					t.Errorf("%s came after one that was due later", m.Data)
				}
				last = due
			}
		}
		if len(at) > 0 {
			t.Errorf("%d never came", len(at))
		}
		if a, b := r.nodes[0].timers.Stats(), r.nodes[1].timers.Stats(); a.Fired+b.Fired != 1000 || a.Late+b.Late+a.Failed+b.Failed != 0 {
			t.Errorf("the nodes count %+v and %+v", a, b)
		}
		after(2 * time.Minute)
		for _, n := range r.nodes {
			if timers, lines := n.timers.Known(); timers+lines != 0 {
				t.Errorf("%d timers and %d lines are still in mind", timers, lines)
			}
		}
	})
}

// TestOrder: messages of one channel and moment keep the order in which they
// were scheduled, whichever nodes took them.
func TestOrder(t *testing.T) {
	run(t, 3, func(r *rig) {
		at := time.Now().Add(time.Minute)
		for i := range 500 {
			r.nodes[rand.IntN(3)].publish(at, "c", fmt.Sprint(i))
		}
		after(time.Minute + time.Second)
		r.expect("c", numbers(500)...)
		r.pending(0)
	})
}

// TestRestart: what became due while no server ran is published at the start of
// one, in the order of the times.
func TestRestart(t *testing.T) {
	run(t, 1, func(r *rig) {
		begin := time.Now()
		for i := range 100 {
			r.nodes[0].publish(begin.Add(time.Hour-time.Duration(i)*time.Second), "c", fmt.Sprint(99-i))
		}
		r.nodes[0].publish(begin.Add(5*time.Hour), "later", "x")
		r.nodes[0].stop()
		after(3 * time.Hour)
		r.expect("c")
		n := r.start()
		after(time.Second)
		r.expect("c", numbers(100)...)
		r.expect("later")
		if s := n.timers.Stats(); s.Late != 100 || s.Fired != 100 {
			t.Errorf("counted %+v", s)
		}
		r.pending(1)
		after(2 * time.Hour)
		r.expect("later", "x")
		r.pending(0)
	})
}

// TestKilledBeforeTheAppend kills the node that has claimed.
func TestKilledBeforeTheAppend(t *testing.T) {
	run(t, 2, func(r *rig) {
		at := time.Now().Add(time.Minute)
		for i := range 10 {
			r.nodes[0].publish(at, "c", fmt.Sprint(i))
		}
		r.kill(func(m *earshot.Message) mem.Outcome { return mem.Outcome{Err: errDead} })
		after(time.Minute + time.Second)
		r.expect("c")
		after(5 * time.Second)
		r.expect("c", numbers(10)...)
		r.pending(0)
	})
}

// TestKilledAfterTheAppend kills the node that has published, before it deletes
// the timer.
func TestKilledAfterTheAppend(t *testing.T) {
	for _, keys := range []string{"", "their own"} {
		run(t, 2, func(r *rig) {
			r.nodes[0].publication(time.Now().Add(time.Minute), hub.Publication{
				Message: &earshot.Message{Channel: "c", Data: []byte("1")}, Key: keys,
			})
			r.kill(func(m *earshot.Message) mem.Outcome { return mem.Outcome{} })
			after(time.Minute + time.Second)
			r.expect("c", "1")
			r.pending(1)
			after(5 * time.Second)
			r.expect("c", "1")
			r.pending(0)
		})
	}
}

// kill kills the node that appends the next message, which meets a fate.
func (r *rig) kill(fate func(*earshot.Message) mem.Outcome) {
	killed := false
	r.store.OnAppend(func(node int, m *earshot.Message) mem.Outcome {
		if killed {
			return mem.Outcome{}
		}
		killed = true
		r.nodes[node].dead.Store(true)
		return fate(m)
	})
}

// TestLongOutage: all nodes are away for longer than keys are remembered, and one
// died between the append and the delete.
func TestLongOutage(t *testing.T) {
	for name, c := range map[string]struct {
		store  time.Duration
		append bool
		want   []string
	}{
		"it was published and is found":       {earshot.Forever, true, []string{"1"}},
		"it was not published":                {earshot.Forever, false, []string{"1"}},
		"nothing is left of what was":         {0, true, []string{"1"}}, // again
		"not published, and nothing is left":  {0, false, []string{"1"}},
		"it was published and is found still": {time.Hour, true, []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, 1, func(r *rig) {
				for i := range 300 { // more than a page
					r.store.OnAppend(nil)
					if err := appendTo(r, fmt.Sprint("other ", i)); err != nil {
						t.Fatal(err)
					}
				}
				n := r.nodes[0]
				n.publication(time.Now().Add(time.Second), hub.Publication{
					Message: &earshot.Message{Channel: "c", Kind: earshot.Text, Data: []byte("1"), Store: c.store},
				})
				r.kill(func(*earshot.Message) mem.Outcome {
					if c.append {
						return mem.Outcome{}
					}
					return mem.Outcome{Err: errDead}
				})
				after(2 * time.Second)
				n.stop()
				after(20 * time.Minute)
				r.start()
				after(6 * time.Second)
				r.expect("c", c.want...)
				r.pending(0)
			})
		})
	}
}

// appendTo adds a message to the channel that is not scheduled, and gone soon.
func appendTo(r *rig, data string) error {
	_, err := r.nodes[0].hub.Publish(context.Background(), r.app, hub.Publication{
		Message: &earshot.Message{Channel: "c", Kind: earshot.Text, Data: []byte(data), Store: time.Minute},
	})
	return err
}

// TestCutLink: a node without a link fires nothing, the others fire for it, and
// nothing comes again when the link is mended.
func TestCutLink(t *testing.T) {
	run(t, 2, func(r *rig) {
		begin := time.Now()
		r.nodes[0].publish(begin.Add(time.Minute), "c", "0")
		r.nodes[0].publish(begin.Add(2*time.Minute), "c", "1")
		after(30 * time.Second)
		r.nodes[0].Cut()
		after(31 * time.Second)
		r.expect("c", "0")
		r.nodes[1].Cut()
		after(2 * time.Minute)
		r.expect("c", "0")
		r.nodes[0].Restore()
		after(time.Second)
		r.expect("c", "0", "1")
		r.nodes[1].Restore()
		after(10 * time.Second)
		r.expect("c", "0", "1")
		r.pending(0)
	})
}

// TestUnknownOutcomes: writes and appends whose answers are lost are repeated,
// and happen once.
func TestUnknownOutcomes(t *testing.T) {
	run(t, 2, func(r *rig) {
		lost := earshot.Errorf(earshot.Unknown, "the answer was lost")
		at := time.Now().Add(time.Minute)
		for i := range 50 {
			r.nodes[0].publish(at, fmt.Sprintf("c%d", i), "x")
		}
		r.store.OnAppend(func(int, *earshot.Message) mem.Outcome {
			if rand.IntN(2) == 0 {
				return mem.Outcome{Err: lost}
			}
			return mem.Outcome{}
		})
		r.store.OnPut(func(int, hub.Key) mem.Outcome {
			switch rand.IntN(4) {
			case 0:
				return mem.Outcome{Err: lost}
			case 1:
				return mem.Outcome{Err: earshot.Errorf(earshot.Unavailable, "no")}
			}
			return mem.Outcome{}
		})
		after(10 * time.Minute)
		for i := range 50 {
			r.expect(fmt.Sprintf("c%d", i), "x")
		}
		r.pending(0)
	})
}

// TestManyAtOnce: ten thousand messages are due at once, each of a channel of its
// own, or all of one.
func TestManyAtOnce(t *testing.T) {
	const many = 10_000
	for name, channel := range map[string]func(i int) string{
		"channels":    func(i int) string { return fmt.Sprintf("c%d", i) },
		"one channel": func(int) string { return "c" },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, 2, func(r *rig) {
				at := time.Now().Add(time.Hour)
				for i := range many {
					r.nodes[i%2].publish(at, channel(i), fmt.Sprint(i))
				}
				after(time.Hour)
				for range 5 {
					after(100 * time.Millisecond)
				}
				r.pending(0)
				if name == "one channel" {
					r.expect("c", numbers(many)...)
					return
				}
				for i := range many {
					if got := r.messages(channel(i)); len(got) != 1 {
						t.Fatalf("%s holds %d messages", channel(i), len(got))
					}
				}
			})
		})
	}
}

// TestClaimsAreFew: two nodes do not do everything twice.
func TestClaimsAreFew(t *testing.T) {
	run(t, 2, func(r *rig) {
		at := time.Now().Add(time.Minute)
		for i := range 1000 {
			r.nodes[0].publish(at, "c", fmt.Sprint(i))
		}
		after(2 * time.Minute)
		if puts := r.nodes[0].puts.Load() + r.nodes[1].puts.Load(); puts > 2*1000+100 {
			t.Errorf("%d writes for 1000 timers, which are written once and claimed once", puts)
		}
		r.expect("c", numbers(1000)...)
	})
}

// TestLive: a message of a live channel is published at its time too.
func TestLive(t *testing.T) {
	run(t, 2, func(r *rig) {
		heard := 0
		before := r.nodes[0].hub.Stats().Published + r.nodes[1].hub.Stats().Published
		r.nodes[0].publication(time.Now().Add(time.Minute), hub.Publication{Message: &earshot.Message{Channel: "live.c", Data: []byte("1")}})
		after(2 * time.Minute)
		heard = int(r.nodes[0].hub.Stats().Published + r.nodes[1].hub.Stats().Published - before)
		if heard != 1 {
			t.Errorf("published %d times", heard)
		}
		r.pending(0)
	})
}

var _ schedule.Store = (*front)(nil)

// TestDeadNodeHoldsUpItsMomentOnly: what a dead node had taken is late, and what
// is to keep its order behind it; what is due later is in time.
func TestDeadNodeHoldsUpItsMomentOnly(t *testing.T) {
	run(t, 2, func(r *rig) {
		begin := time.Now()
		at := begin.Add(time.Minute)
		for i := range 3 {
			r.nodes[1].publish(at, "c", fmt.Sprint(i))
		}
		var killed atomic.Bool
		for _, n := range r.nodes {
			n.onPut = func(data []byte) {
				if bytes.Contains(data, []byte(`"claim"`)) && killed.CompareAndSwap(false, true) {
					n.dead.Store(true)
				}
			}
		}
		for i := range 3 {
			r.nodes[1].publish(at.Add(time.Duration(i+1)*time.Second), "c", fmt.Sprint("later ", i))
		}
		after(time.Minute + 4*time.Second)
		r.expect("c", "later 0", "later 1", "later 2")
		after(2 * time.Second)
		r.expect("c", "later 0", "later 1", "later 2", "0", "1", "2")
		for _, m := range r.messages("c")[:3] {
			if late := m.Time.Sub(at) % time.Second; late > 500*time.Millisecond {
				t.Errorf("%s was %v late", m.Data, late)
			}
		}
		r.pending(0)
	})
}
