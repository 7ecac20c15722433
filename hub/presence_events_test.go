package hub_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// recordedMembers is a node that records what becomes of members.
func recordedMembers(t *testing.T, store *mem.Store) (*rig, *recorder) {
	e := store.Node()
	rec := &recorder{only: []hub.EventType{hub.MemberAdded, hub.MemberUpdated, hub.MemberRemoved}}
	r := &rig{TB: t, engine: e, store: store, hub: hub.New(hub.Config{}, e, slog.New(slog.DiscardHandler)), app: liveApp()}
	r.hub.SetRecorder(rec)
	r.hub.SetApps(func(string) *earshot.App { return r.app })
	if err := r.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.hub.Close()
		_ = e.Close(context.Background())
	})
	return r, rec
}

func liveApp() *earshot.App {
	return &earshot.App{Slug: "app", Rules: []earshot.Rule{{Channel: earshot.Glob("live*"), Live: true}}}
}

// members returns what was recorded since the last call.
func (r *recorder) members() (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		line := string(e.Type) + " " + show(*e.Member) + " of"
		for _, m := range e.Members {
			line += " " + show(m)
		}
		lines = append(lines, line)
	}
	r.events = nil
	return lines
}

// TestMembersAreRecordedOnce: by the node on which it happened, or for one that
// died by the first of those that live.
func TestMembersAreRecordedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, first := recordedMembers(t, store)
		two, second := recordedMembers(t, store)
		three, third := recordedMembers(t, store)
		expect := func(what string, want ...[]string) {
			t.Helper()
			synctest.Wait()
			for i, rec := range []*recorder{first, second, third} {
				var lines []string
				if i < len(want) {
					lines = want[i]
				}
				if got := rec.members(); !slices.Equal(got, lines) {
					t.Errorf("%s: node %d recorded %q, want %q", what, i, got, lines)
				}
			}
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		b := two.mustPresent("live.p", "b", "")
		expect("a join", nil, []string{"memberAdded b=null of b=null"})
		again := three.mustPresent("live.p", "b", "1")
		expect("other metadata", nil, nil, []string{"memberUpdated b=1 of b=1"})
		again.leave()
		expect("the newest leaves", nil, nil, []string{"memberUpdated b=null of b=null"})
		c := three.mustPresent("live.p", "c", "")
		expect("another", nil, nil, []string{"memberAdded c=null of b=null c=null"})
		b.leave()
		expect("a leave", nil, []string{"memberRemoved b=null of c=null"})

		// The last two subscriptions of a user end at once, on two nodes.
		x, y := two.mustPresent("live.p", "x", ""), three.mustPresent("live.p", "x", "")
		synctest.Wait()
		first.members()
		second.members()
		third.members()
		x.leave()
		y.leave()
		synctest.Wait()
		all := slices.Concat(first.members(), second.members(), third.members())
		if !slices.Equal(all, []string{"memberRemoved x=null of c=null"}) {
			t.Errorf("two leaves at once: %q", all)
		}

		// The first node has never had anybody on the channel.
		three.engine.Cut()
		time.Sleep(9 * time.Second)
		expect("a node that is away", []string{"memberRemoved c=null of"})
		three.engine.Restore()
		time.Sleep(9 * time.Second)
		expect("and is back", []string{"memberAdded c=null of c=null"})
		three.kill()
		time.Sleep(9 * time.Second)
		expect("and dies", []string{"memberRemoved c=null of"})
		_, _ = one, c
	})
}
