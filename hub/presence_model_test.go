package hub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"pgregory.net/rapid"
)

// A step is one thing that happens; what its numbers mean depends on how many
// nodes and clients there are then.
type step struct {
	What, Node, Client, User, Meta int
}

var steps = rapid.Custom(func(t *rapid.T) step {
	return step{
		What: rapid.IntRange(0, 20).Draw(t, "what"), Node: rapid.IntRange(0, 2).Draw(t, "node"),
		Client: rapid.IntRange(0, 99).Draw(t, "client"), User: rapid.IntRange(0, 4).Draw(t, "user"),
		Meta: rapid.IntRange(0, 3).Draw(t, "meta"),
	}
})

// A world is three nodes that come and go, and what should be known of them.
type world struct {
	t     *testing.T
	store *mem.Store
	enc   *hub.Encoding
	nodes [3]*rig
	buses [3]*leaky
	cut   [3]bool
	subs  []*modelled // that live, the one that joined or changed last comes last
}

// modelled is a subscription as the model has it.
type modelled struct {
	*watcher
	node      int
	uid, meta string
}

const modelChannel = "live.p"

// TestMembersModel lets things happen in any order, and compares: every node's
// list, and what every client has made of its notices, is what the subscriptions
// that live say.
func TestMembersModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(steps, 1, 100).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(t *testing.T) { err = play(t, all) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func play(t *testing.T, all []step) error {
	w := &world{t: t, store: mem.NewStore(mem.Config{}), enc: noticing()}
	for i := range w.nodes {
		w.nodes[i], w.buses[i] = newLeaky(t, w.store)
	}
	synctest.Wait()
	for i, s := range all {
		if err := w.do(s); err != nil {
			return fmt.Errorf("step %d, %+v: %w", i, s, err)
		}
		time.Sleep(time.Millisecond) // what is done later is newer
		if err := w.fold(); err != nil {
			return fmt.Errorf("after step %d, %+v: %w", i, s, err)
		}
	}
	return w.settle()
}

func (w *world) do(s step) error {
	switch s.What {
	case 0, 1, 2, 3, 4, 5:
		return w.join(s)
	case 6, 7, 8:
		w.leave(s)
	case 9, 10, 11:
		return w.change(s)
	case 12:
		w.end(s, (*rig).kill)
	case 13:
		w.end(s, func(r *rig) { r.hub.Close(); r.kill() })
	case 14:
		w.cut[s.Node] = true
		w.nodes[s.Node].engine.Cut()
	case 15:
		w.restore(s.Node)
	case 16:
		time.Sleep(time.Duration(s.Client) * 100 * time.Millisecond)
	case 17:
		synctest.Wait()
	case 18:
		return w.burst(s)
	case 19:
		w.buses[s.Node].leaks(3 + s.User)
	case 20:
		return w.settle()
	}
	return nil
}

func meta(n int) string { return []string{"", "1", "2", `{"x":[1]}`}[n] }

func (w *world) join(s step) error {
	uid := "u" + strconv.Itoa(s.User)
	c, err := w.nodes[s.Node].present(modelChannel, uid, meta(s.Meta), w.enc)
	if err != nil {
		if w.cut[s.Node] {
			return nil // the channel could not be heard
		}
		return err
	}
	w.subs = append(w.subs, &modelled{c, s.Node, uid, meta(s.Meta)})
	return nil
}

// one picks a subscription, and takes it out of the model.
func (w *world) one(s step) *modelled {
	if len(w.subs) == 0 {
		return nil
	}
	i := s.Client % len(w.subs)
	m := w.subs[i]
	w.subs = slices.Delete(w.subs, i, i+1)
	return m
}

func (w *world) leave(s step) {
	m := w.one(s)
	switch {
	case m == nil:
	case s.Meta == 0:
		m.conn.Unsubscribe(m.sub)
	default:
		m.leave()
	}
}

// change gives a subscription other metadata, in any of the ways there are.
func (w *world) change(s step) error {
	m := w.one(s)
	if m == nil {
		return nil
	}
	ctx, to := context.Background(), []byte(meta(s.Meta))
	if len(to) == 0 {
		to = nil
	}
	w.subs = append(w.subs, m)
	m.meta = meta(s.Meta)
	if s.User%2 == 0 {
		return m.conn.SetMeta(ctx, modelChannel, to)
	}
	return m.conn.SetDefaultMeta(ctx, to, true)
}

// end ends a node, and begins another in its place.
func (w *world) end(s step, how func(*rig)) {
	how(w.nodes[s.Node])
	w.subs = slices.DeleteFunc(w.subs, func(m *modelled) bool { return m.node == s.Node })
	w.cut[s.Node] = false
	w.nodes[s.Node], w.buses[s.Node] = newLeaky(w.t, w.store)
}

func (w *world) restore(node int) {
	w.cut[node] = false
	w.nodes[node].engine.Restore()
}

// burst lets many come and go at the same time, on all nodes that are not cut:
// those who come have the same metadata, so that it does not matter who is first.
func (w *world) burst(s step) error {
	var leaving []*modelled
	for range s.Client % 5 {
		if m := w.one(step{Client: s.Client * 7}); m != nil {
			leaving = append(leaving, m)
		}
	}
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	for _, m := range leaving {
		all.Go(m.leave)
	}
	for i := range 6 {
		node := (s.Node + i) % len(w.nodes)
		if w.cut[node] {
			continue
		}
		uid := "u" + strconv.Itoa((s.User+i/2)%5)
		all.Go(func() {
			c, err := w.nodes[node].present(modelChannel, uid, meta(s.Meta), w.enc)
			mu.Lock()
			defer mu.Unlock()
			w.subs = append(w.subs, &modelled{c, node, uid, meta(s.Meta)})
			errs = append(errs, err)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// fold lets every client take what came: none may make no sense.
func (w *world) fold() error {
	for _, m := range w.subs {
		if _, err := m.fold(); err != nil {
			return fmt.Errorf("a client on node %d: %w", m.node, err)
		}
	}
	return nil
}

// settle mends what is cut or leaks, lets ten seconds go by, and compares all with the
// model.
func (w *world) settle() error {
	for i := range w.nodes {
		w.restore(i)
		w.buses[i].leaks(0)
	}
	time.Sleep(10 * time.Second)
	synctest.Wait()
	if err := w.fold(); err != nil {
		return err
	}
	want := w.want()
	first := w.nodes[0].members(modelChannel)
	sorted := slices.Sorted(slices.Values(first))
	if !slices.Equal(sorted, want) {
		return fmt.Errorf("node 0 has %v, want %v", first, want)
	}
	for i, r := range w.nodes {
		info, err := r.hub.Info(context.Background(), r.app, modelChannel)
		if err != nil {
			return err
		}
		if got := showAll(info.Members); !slices.Equal(got, first) {
			return fmt.Errorf("node %d has %v, node 0 %v", i, got, first)
		}
		if info.Subscriptions != len(w.subs) {
			return fmt.Errorf("node %d counts %d subscriptions, there are %d", i, info.Subscriptions, len(w.subs))
		}
		if got := len(r.hub.Nodes()); got != len(w.nodes) {
			return fmt.Errorf("node %d knows %d nodes", i, got)
		}
	}
	for _, m := range w.subs {
		if !sameMembers(m.view, first) {
			return fmt.Errorf("a client on node %d sees %v, the nodes %v", m.node, m.view, first)
		}
	}
	return nil
}

// want is who should be present, by name.
func (w *world) want() []string {
	metas := map[string]string{}
	for _, m := range w.subs {
		metas[m.uid] = m.meta
	}
	var all []string
	for uid, meta := range metas {
		all = append(all, show(hub.Member{UID: uid, Meta: orNil(meta)}))
	}
	slices.Sort(all)
	return all
}

func orNil(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}
