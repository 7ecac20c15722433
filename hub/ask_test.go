package hub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// TestAskAll asks three nodes, of which one is silent for a while, one fails, and
// one goes.
func TestAskAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		var nodes []*rig
		for range 3 {
			nodes = append(nodes, newRig(t, hub.Config{}, store))
		}
		for i, r := range nodes {
			r.hub.ServeAll("name", func(_ context.Context, data []byte) ([]byte, error) { return fmt.Appendf(data, " %d", i), nil })
			if i != 1 {
				r.hub.ServeAll("odd", func(context.Context, []byte) ([]byte, error) { return nil, nil })
			}
			r.hub.ServeAll("failing", func(ctx context.Context, _ []byte) ([]byte, error) {
				switch i {
				case 1:
					return nil, errors.New("no")
				case 2:
					panic("never mind")
				}
				return nil, nil
			})
			r.hub.ServeAll("slow", func(ctx context.Context, _ []byte) ([]byte, error) {
				if i == 2 {
					<-ctx.Done()
				}
				return nil, ctx.Err()
			})
			r.hub.ServeAll("large", func(context.Context, []byte) ([]byte, error) { return make([]byte, i*300<<10), nil })
		}
		time.Sleep(time.Second)
		synctest.Wait()
		ask := func(kind string) ([]string, int) {
			answers, missing, err := nodes[0].hub.AskAll(context.Background(), kind, []byte("node"))
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			var all []string
			for _, a := range answers {
				all = append(all, string(a))
			}
			slices.Sort(all)
			return all, missing
		}
		if all, missing := ask("name"); missing != 0 || !slices.Equal(all, []string{"node 0", "node 1", "node 2"}) {
			t.Errorf("%q, %d missing", all, missing)
		}
		for kind, want := range map[string]int{"failing": 2, "slow": 1, "odd": 1, "large": 2} {
			if _, missing := ask(kind); missing != want {
				t.Errorf("%s: %d are missing, want %d", kind, missing, want)
			}
		}
		if _, _, err := nodes[0].hub.AskAll(context.Background(), "never", nil); earshot.CodeOf(err) != earshot.Invalid || err == nil {
			t.Errorf("a question that nobody knows: %v", err)
		}
		nodes[2].engine.Cut()
		if all, missing := ask("name"); missing != 1 || len(all) != 2 {
			t.Errorf("one that is cut off: %q, %d missing", all, missing)
		}
	})
}

// TestSubscribed lists channels page by page.
func TestSubscribed(t *testing.T) {
	run(t, hub.Config{Shards: 2}, func(r *rig) {
		c, d := r.connect(everything()), r.connect(everything())
		var want []hub.ChannelCount
		for i := range 25 {
			name := fmt.Sprintf("live.%02d", i)
			c.subscribe(hub.Join{Channel: name})
			n := 1
			if i%3 == 0 {
				d.subscribe(hub.Join{Channel: name})
				n = 2
			}
			if i%5 == 4 {
				c.conn.Unsubscribe(c.conn.Sub(name))
				n--
			}
			if n > 0 {
				want = append(want, hub.ChannelCount{Name: name, Subscriptions: n})
			}
		}
		r.publish("kept", "nobody hears it, but it is known") // has no subscription
		for limit := 1; limit < 30; limit++ {
			var got []hub.ChannelCount
			after, pages := "", 0
			for more := true; more; pages++ {
				var page []hub.ChannelCount
				page, more = r.hub.Subscribed("app", after, limit)
				if len(page) > limit || more && len(page) < limit {
					t.Errorf("limit %d: a page of %d, more %v", limit, len(page), more)
				}
				got = append(got, page...)
				if len(page) > 0 {
					after = page[len(page)-1].Name
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("limit %d: %v\nwant %v", limit, got, want)
			}
		}
		if all, more := r.hub.Subscribed("nobody", "", 10); all != nil || more {
			t.Error("an app that nobody knows has channels")
		}
	})
}
