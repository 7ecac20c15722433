package hub_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// TestReplay: a join is sent the newest of what was stored, and then what is live.
func TestReplay(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		var ids []earshot.ID
		for _, n := range numbers(1, 5) {
			ids = append(ids, r.publish("p", n))
			time.Sleep(time.Second)
		}
		began := time.Now()
		for name, c := range map[string]struct {
			replay hub.Replay
			want   []string
		}{
			"the newest":              {hub.Replay{Size: 2}, []string{"4", "5"}},
			"all":                     {hub.Replay{Size: 1000}, []string{"1", "2", "3", "4", "5"}},
			"not older":               {hub.Replay{Size: 10, Since: began.Add(-2500 * time.Millisecond)}, []string{"4", "5"}},
			"after one":               {hub.Replay{Size: 10, After: ids[2].Position()}, []string{"4", "5"}},
			"after one, and the size": {hub.Replay{Size: 1, After: ids[2].Position()}, []string{"5"}},
			"after the last":          {hub.Replay{Size: 10, After: ids[4].Position()}, nil},
		} {
			who := r.connect(user("u", ""))
			sub, exact := who.subscribe(hub.Join{Channel: "p", Replay: &c.replay})
			who.expect(append([]string{"ok"}, c.want...)...)
			if !exact {
				t.Errorf("%s: not exact", name)
			}
			who.conn.Unsubscribe(sub)
		}
		live := r.connect(user("u", ""))
		r.publish("live", "never stored")
		live.subscribe(hub.Join{Channel: "live", Replay: &hub.Replay{Size: 10}})
		live.expect("ok")
	})
}

// TestReplayShowsWhatHistoryHides: a message that is kept for the resume window is
// replayed, and not shown to a grant without any history.
func TestReplayShowsWhatHistoryHides(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		for _, d := range []string{"a", "b"} {
			m := message("p", d)
			m.Store = 0
			if _, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: m}); err != nil {
				t.Fatal(err)
			}
		}
		id := user("u", "")
		id.Grants[0].HistoryStart = nil
		c := r.connect(id)
		c.subscribe(hub.Join{Channel: "p", Replay: &hub.Replay{Size: 10}})
		c.expect("ok", "a", "b")
	})
}

// TestReplayLosesNothing: whatever is published while a join reads comes once and
// in order, after what was replayed.
func TestReplayLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
		time.Sleep(time.Second)
		store.Slow(100*time.Millisecond, 10*time.Millisecond)
		const n = 300
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, d := range numbers(1, n) {
				one.publish("p", d)
				time.Sleep(3 * time.Millisecond)
			}
		}()
		for _, r := range []*rig{one, two, one, two} {
			time.Sleep(150 * time.Millisecond)
			c := r.connect(user("u", ""))
			sub, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "p", Encoding: text(), Replay: &hub.Replay{Size: 20}})
			if err != nil {
				t.Fatal(err)
			}
			if err := sub.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			defer func() {
				got := c.take()
				if len(got) < 20 || got[len(got)-1] != "300" {
					t.Fatalf("got %d, %q", len(got), got)
				}
				want := numbers(n-len(got)+1, n)
				if !slices.Equal(got, want) {
					t.Errorf("got %q", got)
				}
			}()
		}
		<-done
		time.Sleep(time.Second)
		synctest.Wait()
	})
}
