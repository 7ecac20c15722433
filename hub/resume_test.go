package hub_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestResume resumes where it is exact and where it is not.
func TestResume(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		var ids []earshot.ID
		for i := range 300 {
			ids = append(ids, r.publish("c", fmt.Sprint(i)))
		}
		other := r.publish("other", "x")
		resume := func(p *earshot.Position) (int, bool) {
			c := r.connect(everything())
			_, exact := c.subscribe(hub.Join{Channel: "c", After: p})
			synctest.Wait()
			got := len(c.take()) - 1
			c.conn.Close(nil)
			c.conn.Ended(hub.End{})
			return got, exact
		}
		for _, w := range []struct {
			what  string
			p     *earshot.Position
			got   int
			exact bool
		}{
			{"the last", after(ids[299]), 0, true},
			{"one before", after(ids[298]), 1, true},
			{"in the ring", after(ids[200]), 99, true},
			{"the same again", after(ids[200]), 99, true},
			{"beyond the ring", after(ids[10]), 289, true},
			{"the last of another channel", after(other), 0, true},
			{"another life", &earshot.Position{Epoch: 9, Seq: 3}, 300, false},
		} {
			for range 2 {
				if got, exact := resume(w.p); got != w.got || exact != w.exact {
					r.Errorf("after %s: %d messages, exact %v", w.what, got, exact)
				}
			}
		}
		// Those who hear the channel have a ring; a resume from it reads nothing.
		stay := r.connect(everything())
		stay.subscribe(hub.Join{Channel: "c"})
		r.publish("c", "300", "301")
		synctest.Wait()
		before := r.hub.Stats().RingHits
		if got, exact := resume(after(ids[299])); got != 2 || !exact {
			r.Errorf("from the ring: %d, exact %v", got, exact)
		}
		if got, exact := resume(after(ids[299])); got != 2 || !exact || r.hub.Stats().RingHits == before {
			r.Errorf("the second time: %d, exact %v, %d hits", got, exact, r.hub.Stats().RingHits-before)
		}
		r.store.Purge("app", "c", 5)
		if got, exact := resume(after(ids[10])); exact || got != 5 {
			r.Errorf("after a purge: %d, exact %v", got, exact)
		}
	})
}

// TestResumeFromTheFuture has a client that makes up a position: it misses
// nothing of what comes.
func TestResumeFromTheFuture(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		id := r.publish("c", "1")
		p := id.Position()
		p.Seq += 1000
		c := r.connect(everything())
		sub, exact, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "c", Encoding: text(), After: &p})
		if err != nil || exact {
			r.Fatalf("%v %v", exact, err)
		}
		r.publish("c", "2")
		synctest.Wait()
		if err := sub.Start(context.Background()); err != nil {
			r.Fatal(err)
		}
		r.publish("c", "3")
		synctest.Wait()
		if got := c.take(); !slices.Equal(got, []string{"2", "3"}) {
			r.Errorf("got %q", got)
		}
	})
}

// TestRingForgets has a ring that is older than what it may tell.
func TestRingForgets(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		stay := r.connect(everything())
		stay.subscribe(hub.Join{Channel: "c"})
		first := r.publish("c", "1")
		short := message("c", "short")
		short.Store = 10 * time.Second
		if _, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: short}); err != nil {
			r.Fatal(err)
		}
		r.publish("c", "3")
		time.Sleep(15 * time.Second)
		c := r.connect(everything())
		if _, exact := c.subscribe(hub.Join{Channel: "c", After: after(first)}); !exact {
			r.Error("what expired broke the continuity")
		}
		c.expect("ok", "3")
		time.Sleep(2 * time.Minute)
		hits := r.hub.Stats().RingHits
		again := r.connect(everything())
		again.subscribe(hub.Join{Channel: "c", After: after(first)})
		again.expect("ok", "3")
		if r.hub.Stats().RingHits != hits {
			r.Error("an old ring was used")
		}
	})
}
