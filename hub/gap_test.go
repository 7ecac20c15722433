package hub_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// listen connects a client that is subscribed to c, by name or by a pattern.
func (r *rig) listen(byPattern bool) *client {
	r.Helper()
	c := r.connect(everything())
	j := hub.Join{Channel: "c"}
	if byPattern {
		j = hub.Join{Pattern: earshot.Glob("*"), Allowed: true}
	}
	c.subscribe(j)
	c.take()
	return c
}

func TestGapIsFilled(t *testing.T) {
	for _, byPattern := range []bool{false, true} {
		run(t, hub.Config{}, func(r *rig) {
			c := r.listen(byPattern)
			r.publish("c", "1")
			r.lose(5)
			r.publish("c", "2", "3", "4", "5", "6", "7", "8")
			synctest.Wait()
			c.expect("1", "2", "3", "4", "5", "6", "7", "8")
			if s := r.hub.Stats(); s.Gaps != 1 || s.Refilled != 5 {
				r.Errorf("%d gaps, %d refilled", s.Gaps, s.Refilled)
			}
		})
	}
}

// TestLastIsLost has no next message that would show the gap: the audit finds it.
func TestLastIsLost(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.listen(false)
		r.lose(1)
		r.publish("c", "1")
		synctest.Wait()
		c.expect()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		c.expect("1")
	})
}

func TestDuplicatesAndDisorder(t *testing.T) {
	for seed := range uint64(30) {
		run(t, hub.Config{}, func(r *rig) {
			dice := rand.New(rand.NewPCG(seed, 5))
			c, p := r.listen(false), r.listen(true)
			r.store.OnRepublish(func(int, *earshot.Message) mem.Fate {
				return mem.Fate{Twice: dice.IntN(3) == 0, Late: time.Duration(dice.IntN(5)) * time.Millisecond}
			})
			for i := range 200 {
				r.publish("c", fmt.Sprint(i+1))
				if i%7 == 0 {
					time.Sleep(2 * time.Millisecond)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			for _, l := range []*client{c, p} {
				if err := inOrder(l.take(), 1, 200); err != nil {
					r.Errorf("seed %d: %v", seed, err)
				}
			}
			if r.hub.Stats().Duplicates == 0 {
				r.Error("no duplicates were made")
			}
		})
	}
}

// TestGapWaitsForTheLog has a log that answers only later.
func TestGapWaitsForTheLog(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		second := newRig(r, hub.Config{}, r.store)
		c := second.listen(false)
		second.publish("c", "1")
		r.lose(1)
		r.publish("c", "2")
		second.store.Slow(4*time.Second, 0)
		r.publish("c", "3", "4")
		time.Sleep(time.Second)
		r.publish("c", "5")
		synctest.Wait()
		c.expect("1")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		c.expect("2", "3", "4", "5")
	})
}

// TestGapThatStays cuts who hears the channel before it hears anything beyond
// the gap; who joins afterwards is told what there is.
func TestGapThatStays(t *testing.T) {
	for what, hole := range map[string]func(*rig){
		"unreadable": func(r *rig) {
			r.store.Slow(time.Hour, 0)
			r.publish("c", "4")
		},
		"evicted": func(r *rig) {
			r.lose(1)
			r.publish("c", "4")
			r.store.Purge("app", "c", 1)
			r.publish("c", "5")
		},
		"too much": func(r *rig) {
			r.lose(50)
			for range 100 {
				r.publish("c", strings.Repeat("x", 20_000))
			}
		},
		"a flood behind it": func(r *rig) {
			r.store.Slow(time.Hour, 0)
			for range 100 {
				r.publish("c", strings.Repeat("x", 20_000))
			}
		},
	} {
		for _, byPattern := range []bool{false, true} {
			run(t, hub.Config{QueueBytes: 500_000}, func(r *rig) {
				c := r.listen(byPattern)
				last := r.publish("c", "1")
				synctest.Wait()
				r.lose(2)
				r.publish("c", "2", "3")
				hole(r)
				time.Sleep(3 * time.Minute)
				r.store.Slow(0, 0)
				synctest.Wait()
				c.expectClosed(earshot.Unavailable)
				c.expect("1", "bye")
				r.publish("c", "last")
				again := r.connect(everything())
				_, exact := again.subscribe(hub.Join{Channel: "c", After: after(last)})
				synctest.Wait()
				got := again.take()
				if exact != (what != "evicted") || got[len(got)-1] != "last" {
					r.Errorf("%s: exact %v, %d messages", what, exact, len(got))
				}
				if exact && (got[1] != "2" || got[2] != "3") {
					r.Errorf("%s: %.20q", what, got)
				}
				r.publish("c", "live")
				synctest.Wait()
				again.expect("live")
			})
		}
	}
}

// TestNewEpoch cuts who hears a channel whose stream was lost; numbers begin
// again, and old positions are broken.
func TestNewEpoch(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c, p := r.listen(false), r.listen(true)
		old := r.publish("c", numbers(1, 10)...)
		synctest.Wait()
		c.take()
		p.take()
		r.store.NewEpoch()
		r.publish("c", "new")
		synctest.Wait()
		c.expectClosed(earshot.Unavailable)
		p.expectClosed(earshot.Unavailable)
		again := r.connect(everything())
		if _, exact := again.subscribe(hub.Join{Channel: "c", After: after(old)}); exact {
			r.Error("a position of another life is exact")
		}
		r.publish("c", "newer")
		synctest.Wait()
		again.expect("ok", "new", "newer")
	})
}

// TestNewEpochInAGap loses the stream while a gap is being filled.
func TestNewEpochInAGap(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.listen(false)
		r.publish("c", "1")
		r.lose(1)
		r.store.Slow(time.Second, 0)
		r.publish("c", "2", "3")
		synctest.Wait()
		r.store.NewEpoch()
		r.publish("c", "new")
		time.Sleep(time.Minute)
		synctest.Wait()
		c.expectClosed(earshot.Unavailable)
		c.expect("1", "bye")
		r.store.Slow(0, 0)
		next := r.listen(false)
		r.publish("c", "next")
		synctest.Wait()
		next.expect("next")
	})
}
