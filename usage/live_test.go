package usage_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/usage"
)

// TestTwoNodes merges what two nodes have, now and over time.
func TestTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		store := mem.NewStore(mem.Config{})
		one, two := newNode(t, store), newNode(t, store)
		time.Sleep(time.Second)
		one.subscribe(t, "a", "b")
		one.subscribe(t, "b")
		gone := two.subscribe(t, "b", "c")
		const long = 600 // seconds
		for range long { // a message a second on each node
			one.publish(t, "b", "12345")
			two.publish(t, "c", "1")
			time.Sleep(time.Second)
		}
		synctest.Wait()
		for i, n := range []*node{one, two} {
			f, err := n.live.Figures(context.Background(), "app")
			if err != nil || f.App != "app" || f.Connections != 3 || f.Nodes != 2 || f.Missing != 0 {
				t.Errorf("node %d: %+v, %v", i, f, err)
			}
			// In: two a second. Out: b has three subscribers, c one.
			for what, r := range map[string][2]float64{
				"in 1": {f.In.One, 2}, "in 5": {f.In.Five, 2 * (1 - math.Exp(-long/300.))}, "in 15": {f.In.Fifteen, 2 * (1 - math.Exp(-long/900.))},
				"out 1": {f.Out.One, 4}, "out 5": {f.Out.Five, 4 * (1 - math.Exp(-long/300.))}, "out 15": {f.Out.Fifteen, 4 * (1 - math.Exp(-long/900.))},
			} {
				if math.Abs(r[0]-r[1]) > 0.02*r[1] {
					t.Errorf("node %d: %s is %v, want %v", i, what, r[0], r[1])
				}
			}
			page, err := n.live.Channels(context.Background(), "app", "", 100)
			if err != nil || fmt.Sprint(page) != "{[{a 1} {b 3} {c 1}] false 0}" {
				t.Errorf("node %d: %v, %v", i, page, err)
			}
		}
		gone.Close(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		rows := read(t, store, "app", usage.Hour, begin, time.Now())
		if len(rows) != 1 || rows[0].MessagesIn != 1200 || rows[0].MessagesOut != 2400 || rows[0].PeakConnections != 3 ||
			rows[0].BytesIn != 600*6 || rows[0].BytesOut != 600*(3*7+3) {
			t.Errorf("%q", texts(rows))
		}
		f, err := one.live.Figures(context.Background(), "app")
		if err != nil || f.Connections != 2 || f.In.One > 1 || f.In.One < 0.5 {
			t.Errorf("a minute later: %+v, %v", f, err)
		}
		time.Sleep(4 * time.Hour)
		if f, err = one.live.Figures(context.Background(), "app"); err != nil || f.In != (usage.Rates{}) || f.Out != (usage.Rates{}) {
			t.Errorf("hours later: %+v, %v", f, err)
		}
		if f, err = one.live.Figures(context.Background(), "nobody"); err != nil || f.Connections != 0 || f.Nodes != 2 {
			t.Errorf("of nobody: %+v, %v", f, err)
		}
	})
}

// TestChannelPages lists channels over three nodes, each once and none left out,
// whatever node has which.
func TestChannelPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 3))
		store := mem.NewStore(mem.Config{})
		nodes := []*node{newNode(t, store), newNode(t, store), newNode(t, store)}
		time.Sleep(time.Second)
		want := map[string]int{}
		for range 60 {
			name := fmt.Sprintf("c.%02d", random.IntN(40))
			nodes[random.IntN(3)].subscribe(t, name)
			want[name]++
		}
		var names []string
		for name := range want {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, limit := range []int{-1, 1, 2, 3, 7, 39, 40, 100, 1000} {
			var got []usage.Channel
			after := ""
			for more := true; more; {
				page, err := nodes[limit&1].live.Channels(context.Background(), "app", after, limit)
				if err != nil || page.Missing != 0 {
					t.Fatal(page, err)
				}
				if len(page.Channels) == 0 && page.More || len(page.Channels) > max(limit, 1) {
					t.Fatalf("limit %d: a page of %d, more %v", limit, len(page.Channels), page.More)
				}
				got = append(got, page.Channels...)
				if more = page.More; more {
					after = page.Channels[len(page.Channels)-1].Name
				}
			}
			if len(got) != len(names) {
				t.Errorf("limit %d: %d channels, want %d", limit, len(got), len(names))
			}
			for i, c := range got {
				if strings.Compare(c.Name, names[i]) != 0 || c.Subscriptions != want[c.Name] {
					t.Errorf("limit %d: %v in the place of %s with %d", limit, c, names[i], want[names[i]])
				}
			}
		}
	})
}
