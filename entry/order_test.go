package entry_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
)

// TestNewestWins: whatever writers on two nodes do at once, and however late the
// log takes a notice, no observer is shown an older value after a newer one or
// one value twice, and the last that it is shown is the one that is there. Who
// joins meanwhile is no exception. The order is that of the records.
func TestNewestWins(t *testing.T) {
	for seed := range uint64(60) {
		for _, channel := range []string{"c", "live"} {
			t.Run(fmt.Sprint(channel, seed), func(t *testing.T) { newestWins(t, channel, seed) })
		}
	}
}

func newestWins(t *testing.T, channel string, seed uint64) {
	run(t, 2, func(w *world) {
		r := &chance{Rand: rand.New(rand.NewPCG(seed, 1))}
		w.store.OnAppend(func(int, *earshot.Message) mem.Outcome { return mem.Outcome{Delay: r.upTo(3 * time.Millisecond)} })
		w.store.OnRepublish(func(int, *earshot.Message) mem.Fate {
			return mem.Fate{Late: r.upTo(20 * time.Millisecond), Twice: r.below(10) == 0}
		})
		for _, n := range w.nodes {
			n.records.Records = &slow{n.records.Records, r}
		}
		observers := []*client{w.nodes[0].connect(may("u", everything)), w.nodes[1].connect(may("u", everything))}
		for _, c := range observers {
			c.subscribe(channel)
		}
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				for j := range 8 {
					time.Sleep(r.upTo(15 * time.Millisecond))
					n, key := w.nodes[i%2], fmt.Sprint("k", r.below(2))
					value := fmt.Sprint(i*100 + j)
					if r.below(8) == 0 {
						value = "null"
					}
					if _, err := n.entries.Set(context.Background(), n.app, entry.Write{Channel: channel, Key: key, Data: []byte(value), Store: earshot.Forever}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var mu sync.Mutex
		for i := range 6 {
			all.Go(func() {
				time.Sleep(r.upTo(100 * time.Millisecond))
				c := w.nodes[i%2].connect(may("u", everything))
				if _, err := c.join(channel); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				observers = append(observers, c)
			})
		}
		all.Wait()
		time.Sleep(30 * time.Second)
		history := r.history
		for i, c := range observers {
			checkOrder(t, i, c.take(), history)
			for _, key := range []string{"k0", "k1"} {
				c.node.checkLast(t, channel, key, history[key])
			}
		}
	})
}

// checkOrder checks what one observer was shown against the order of the records.
func checkOrder(t *testing.T, who int, got []string, history map[string][]string) {
	t.Helper()
	at := map[string]int{}
	for _, line := range got {
		key, value, _ := strings.Cut(line, "=")
		place := -1
		for i := at[key]; i < len(history[key]); i++ {
			if history[key][i] == value {
				place = i
				break
			}
		}
		if place < 0 {
			t.Fatalf("observer %d was shown %s out of order: %q of %q", who, line, got, history[key])
		}
		at[key] = place + 1
	}
	for key, values := range history {
		last := values[len(values)-1]
		if at[key] == 0 && last == "null" {
			continue // it was gone when the observer came
		}
		if at[key] != len(values) {
			t.Fatalf("observer %d was not shown the last of %s: %q of %q", who, key, got, values)
		}
	}
}

func (n *node) checkLast(t *testing.T, channel, key string, history []string) {
	t.Helper()
	last := "null"
	if len(history) > 0 {
		last = history[len(history)-1]
	}
	if got := n.get(channel, key); got != last && (got != "" || last != "null") {
		t.Fatalf("%s is %q, want %q", key, got, last)
	}
}

// chance is random, for many at once, and remembers the order of records.
type chance struct {
	mu sync.Mutex
	*rand.Rand
	history map[string][]string
}

func (r *chance) upTo(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.Int64N(int64(d)))
}

func (r *chance) below(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.IntN(n)
}

// slow takes its time before and after a record is put, and makes a note of the
// order.
type slow struct {
	hub.Records
	chance *chance
}

func (s *slow) Get(ctx context.Context, key hub.Key) (hub.Record, error) {
	time.Sleep(s.chance.upTo(2 * time.Millisecond))
	return s.Records.Get(ctx, key)
}

func (s *slow) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	time.Sleep(s.chance.upTo(2 * time.Millisecond))
	rev, err := s.put(ctx, key, data, revision, ttl)
	time.Sleep(s.chance.upTo(10 * time.Millisecond))
	return rev, err
}

func (s *slow) put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	s.chance.mu.Lock()
	defer s.chance.mu.Unlock()
	rev, err := s.Records.Put(ctx, key, data, revision, ttl)
	if err == nil {
		if s.chance.history == nil {
			s.chance.history = map[string][]string{}
		}
		name := key[len(key)-1]
		s.chance.history[name] = append(s.chance.history[name], entry.DataOf(data))
	}
	return rev, err
}

// TestJoinMissesNothing: a change at any moment of a join is shown once, after
// what it changed.
func TestJoinMissesNothing(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		for step := range 80 {
			run(t, 2, func(w *world) {
				a, b := w.nodes[0], w.nodes[1]
				a.set(channel, "k", "1")
				slowdown := &chance{Rand: rand.New(rand.NewPCG(uint64(step), 2))}
				b.records.Records = &slow{b.records.Records, slowdown}
				w.store.Slow(5*time.Millisecond, 5*time.Millisecond)
				who := may("u", everything)
				if step >= 40 {
					who.Grants[0].Entries[0].Key = earshot.Exact("k") // is read in another way
				}
				c := b.connect(who)
				var all sync.WaitGroup
				all.Go(func() { c.subscribe(channel) })
				all.Go(func() {
					time.Sleep(time.Duration(step%40) * 500 * time.Microsecond)
					a.set(channel, "k", "2")
				})
				all.Wait()
				synctest.Wait()
				time.Sleep(time.Second)
				got := c.take()
				if s := fmt.Sprint(got); s != "[k=1 k=2]" && s != "[k=2]" {
					t.Errorf("%s, step %d: %s", channel, step, s)
				}
			})
		}
	}
}
