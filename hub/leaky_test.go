package hub_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// A leaky engine loses, doubles and swaps what its node tells, while it is asked
// to, and remembers all of it.
type leaky struct {
	*mem.Engine
	sink hub.Sink

	mu    sync.Mutex
	every int // of so many messages one is lost, one doubled, two swapped; 0 for none
	n     int
	late  []letter
	all   []letter
}

type letter struct {
	to   string
	data []byte
}

func (l *leaky) Start(ctx context.Context, s hub.Sink) (earshot.Position, error) {
	l.sink = s
	return l.Engine.Start(ctx, s)
}

func (l *leaky) Tell(to string, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := letter{to, slices.Clone(data)}
	l.all = append(l.all, m)
	out := []letter{m}
	if l.every > 0 {
		l.n++
		switch l.n % l.every {
		case 0:
			out = nil
		case 1:
			out = append(out, m)
		case 2:
			l.late, out = append(l.late, m), nil
		}
	}
	if len(out) > 0 {
		out = append(out, l.late...)
		l.late = nil
	}
	var err error
	for _, m := range out {
		err = l.Engine.Tell(m.to, m.data)
	}
	return err
}

// leaks sets how much goes wrong.
func (l *leaky) leaks(every int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.every = every
}

// told returns what the node has told since the last call.
func (l *leaky) told() []letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// newLeaky adds a node that leaks when it is asked to.
func newLeaky(t testing.TB, store *mem.Store) (*rig, *leaky) {
	e := store.Node()
	l := &leaky{Engine: e}
	return rigOn(t, hub.Config{}, store, e, l), l
}

// TestLateWords: what a node told comes after its goodbye, or once it was taken
// for dead, and nobody is left behind by it.
func TestLateWords(t *testing.T) {
	for _, clean := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := mem.NewStore(mem.Config{})
			one, heard := newLeaky(t, store)
			two, said := newLeaky(t, store)
			a := one.mustPresent("live.p", "a", "")
			synctest.Wait()
			said.told()
			two.mustPresent("live.p", "b", "")
			a.expectNotices("added b=null")
			words := said.told()
			if len(words) == 0 {
				t.Fatal("nothing was told")
			}
			if clean {
				two.hub.Close()
			}
			two.kill()
			time.Sleep(10 * time.Second)
			a.expectNotices("removed b=null")
			for _, w := range words {
				heard.sink.Told(w.data)
			}
			if clean {
				a.expectNotices()
				if n := one.hub.Nodes(); len(n) != 1 {
					t.Errorf("nodes %v", n)
				}
				return
			}
			// A dead node cannot be told from one that was away, for a moment.
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if _, err := a.fold(); err != nil {
				t.Error(err)
			}
			a.expectView("a=null")
		})
	}
}

// TestClocksThatDiffer: what is done after having heard of something is newer,
// whatever the clocks say. Here both stand at one moment.
func TestClocksThatDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
		synctest.Wait()
		nodes := []*rig{one, two}
		for i := range 20 {
			nodes[i/3%2].mustPresent("live.p", "a", string(rune('0'+i%10)))
			synctest.Wait()
			for j, r := range nodes {
				want := []string{"a=" + string(rune('0'+i%10))}
				if got := r.members("live.p"); !slices.Equal(got, want) {
					t.Fatalf("node %d has %v, want %v", j, got, want)
				}
			}
		}
	})
}
