package hub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// mqtt makes a level pattern from MQTT's wildcards, with dots.
func mqtt(text string) earshot.Pattern {
	levels := strings.Split(text, ".")
	for i, l := range levels {
		switch l {
		case "+":
			levels[i] = earshot.OneLevel
		case "#":
			levels[i] = earshot.AnyLevels
		}
	}
	return earshot.Levels('.', levels...)
}

// TestPatterns has every kind of pattern hear exactly the channels that it matches.
func TestPatterns(t *testing.T) {
	regexp, err := earshot.Regexp("^a.*b$")
	if err != nil {
		t.Fatal(err)
	}
	patterns := []earshot.Pattern{
		mqtt("a"), mqtt("a.+"), mqtt("+.b"), mqtt("#"), mqtt("a.#"), mqtt("#.b"), mqtt("a.#.b"), mqtt("+"), mqtt("+.+"),
		mqtt("#.#"), mqtt("a.+.#"), mqtt("#.+"), mqtt(".#"), mqtt("+.#.b.#"), earshot.Glob("*"), earshot.Glob("a*"),
		earshot.Glob("a.*b"), earshot.Glob("*.b"), earshot.Glob("a.b.*"), earshot.Exact("a.b"), earshot.Exact("a." + earshot.AnyLevels),
		earshot.Levels('/', "a.b"), earshot.Levels('/', earshot.OneLevel), earshot.Levels('.', "a.b"), regexp,
		{},
	}
	names := []string{"a", "b", "a.b", "a..b", "a.b.b", "a.x.b", ".", ".a", "a.", "ab", "a.b.c.d", "b.a.b", "a." + earshot.AnyLevels, "a/b", "x.y.z.b.b"}
	for _, kind := range []string{"logged", "live"} {
		run(t, hub.Config{Shards: 2}, func(r *rig) {
			if kind == "live" {
				r.app.Rules = []earshot.Rule{{Channel: earshot.Glob("*"), Live: true}}
			}
			var clients []*client
			for _, p := range patterns {
				c := r.connect(everything())
				enc := &hub.Encoding{Render: func(m *earshot.Message) *hub.Frame { return hub.TextFrame([]byte(m.Channel)) }}
				c.subscribe(hub.Join{Pattern: p, Allowed: true, Encoding: enc})
				clients = append(clients, c)
			}
			for range 2 {
				for _, name := range names {
					m := message(name, "x")
					if kind == "live" {
						m.Store = 0
					}
					if _, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: m}); err != nil {
						r.Fatal(err)
					}
				}
			}
			synctest.Wait()
			for i, p := range patterns {
				want := []string{"ok"}
				for range 2 {
					for _, name := range names {
						if p.Match(name) {
							want = append(want, name)
						}
					}
				}
				if got := clients[i].take(); !slices.Equal(got, want) {
					r.Errorf("%s %q heard %q, want %q", kind, p, got, want)
				}
			}
		})
	}
}

// TestPatternOwesNothingOlder has messages that were stored before anybody heard
// their channel: they are no gap before the first live one.
func TestPatternOwesNothingOlder(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.publish("a.x", "stored before")
		synctest.Wait()
		c := r.connect(everything())
		c.subscribe(hub.Join{Pattern: mqtt("a.+"), Allowed: true, Encoding: text()})
		r.publish("a.x", "live")
		synctest.Wait()
		c.expect("ok", "live")
		if gaps := r.hub.Stats().Gaps; gaps != 0 {
			r.Errorf("%d gaps were noticed where none is", gaps)
		}
	})
}

// TestPatternBesideChannel has both on one connection, and ends each.
func TestPatternBesideChannel(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		tagged := func(tag string) *hub.Encoding {
			return &hub.Encoding{Render: func(m *earshot.Message) *hub.Frame { return hub.TextFrame([]byte(tag + string(m.Data))) }}
		}
		byName, _ := c.subscribe(hub.Join{Channel: "a.b", Encoding: tagged("n")})
		byPattern, _ := c.subscribe(hub.Join{Pattern: mqtt("a.+"), Allowed: true, Encoding: tagged("p")})
		r.publish("a.b", "1")
		synctest.Wait()
		c.expect("ok", "ok", "n1", "p1")
		c.conn.Unsubscribe(byName)
		r.publish("a.b", "2")
		synctest.Wait()
		c.expect("p2")
		c.subscribe(hub.Join{Channel: "a.b", Encoding: tagged("n")})
		c.conn.Unsubscribe(byPattern)
		r.publish("a.b", "3")
		r.publish("a.c", "4")
		synctest.Wait()
		c.expect("ok", "n3")
	})
}

// TestPatternHearsLateMessages has messages that come late, of channels that
// are new to the node or that somebody just joins by name.
func TestPatternHearsLateMessages(t *testing.T) {
	for seed := range uint64(20) {
		run(t, hub.Config{}, func(r *rig) {
			dice := rand.New(rand.NewPCG(seed, 3))
			r.publish("c.0", "old")
			node := newRig(r, hub.Config{}, r.store)
			p := node.connect(everything())
			p.subscribe(hub.Join{Pattern: mqtt("c.+"), Allowed: true})
			fates := rand.New(rand.NewPCG(seed, 4))
			r.store.OnRepublish(func(int, *earshot.Message) mem.Fate {
				return mem.Fate{Late: time.Duration(fates.IntN(20)) * time.Millisecond, Lost: fates.IntN(10) == 0, Twice: fates.IntN(10) == 0}
			})
			last := map[string]int{}
			for i := range 300 {
				name := fmt.Sprintf("c.%d", dice.IntN(30))
				if dice.IntN(10) == 0 {
					c := node.connect(everything())
					sub, _ := c.subscribe(hub.Join{Channel: name})
					if dice.IntN(2) == 0 {
						c.conn.Unsubscribe(sub)
					}
				}
				last[name]++
				r.publish(name, fmt.Sprintf("%s %d", name, last[name]))
				if i%10 == 0 {
					time.Sleep(time.Duration(dice.IntN(30)) * time.Millisecond)
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			heard := map[string]int{}
			for _, g := range p.take()[1:] {
				name, n, _ := strings.Cut(g, " ")
				if heard[name]++; n != fmt.Sprint(heard[name]) {
					r.Fatalf("seed %d: %s in the place of %d", seed, g, heard[name])
				}
			}
			for name, n := range last {
				if heard[name] != n {
					r.Errorf("seed %d: %s: heard %d of %d", seed, name, heard[name], n)
				}
			}
		})
	}
}

// TestManyWildcards would take longer than anybody waits if each of them tried
// every place again.
func TestManyWildcards(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		c.subscribe(hub.Join{Pattern: mqtt(strings.Repeat("#.a.", 15) + "b"), Allowed: true})
		c.subscribe(hub.Join{Pattern: mqtt(strings.Repeat("#.", 31) + "b"), Allowed: true})
		r.publish("live"+strings.Repeat(".a", 31), "x")
		r.publish("live"+strings.Repeat(".a", 30)+".b", "y")
		synctest.Wait()
		c.expect("ok", "ok", "y", "y")
	})
}

// TestPatternsComeAndGo ends and begins patterns while others stay.
func TestPatternsComeAndGo(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		dice := rand.New(rand.NewPCG(7, 7))
		all := []string{"a.#", "a.+", "a.b", "#", "+.b", "a.#.b"}
		subs := map[string]*hub.Sub{}
		c := r.connect(everything())
		for i := range 400 {
			text := all[dice.IntN(len(all))]
			if sub := subs[text]; sub != nil {
				c.conn.Unsubscribe(sub)
				delete(subs, text)
			} else {
				subs[text], _ = c.subscribe(hub.Join{Pattern: mqtt(text), Allowed: true})
			}
			c.take()
			name := []string{"a", "a.b", "a.c", "live.b", "a.x.b"}[dice.IntN(5)]
			want := 0
			for text := range subs {
				if mqtt(text).Match(name) {
					want++
				}
			}
			r.publish(name, "x")
			synctest.Wait()
			if got := len(c.take()); got != want {
				r.Fatalf("step %d: %s came %d times, want %d", i, name, got, want)
			}
		}
	})
}
