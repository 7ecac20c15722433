package reaction_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/reaction"
)

func added(uid, value string) string {
	return uid + ` "reaction":"` + value + `","action":"add"}`
}

func removed(uid, value string) string {
	return uid + ` "reaction":"` + value + `","action":"remove"}`
}

// TestOnePerUserAndValue: to add what is there and to remove what is not changes
// nothing and tells nobody, on whichever node.
func TestOnePerUserAndValue(t *testing.T) {
	run(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		id := a.publish("c", "any", time.Hour)
		ann, bob := a.connect(reacting("ann")).subscribe("c"), b.connect(reacting("bob")).subscribe("c")
		ann.must(id, "x", true, false)
		ann.must(id, "x", false, true)
		ann.must(id, "x", false, false)
		b.connect(reacting("ann")).subscribe("c").must(id, "x", false, false)
		ann.must(id, `"y"`, false, true)
		bob.must(id, "x", false, true)
		if got := fmt.Sprint(a.of(id)); got != `[ann:x ann:"y" bob:x]` {
			t.Errorf("reactions %s", got)
		}
		ann.must(id, "x", true, true)
		ann.must(id, "x", true, false)
		ann.must(id, "x", false, true)
		if got := fmt.Sprint(b.of(id)); got != `[ann:"y" bob:x ann:x]` {
			t.Errorf("reactions %s", got)
		}
		ann.expect(added("bob", "x")) // it has no echo
		bob.expect(added("ann", "x"), added("ann", `\"y\"`), removed("ann", "x"), added("ann", "x"))
	})
}

// TestEcho: the grants for the name of the protocol's event decide.
func TestEcho(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		id := n.publish("c", "any", time.Hour)
		c := n.connect(reacting("ann")).subscribe("c")
		if _, err := c.reactions.ApplyBy(context.Background(), c.conn, reaction.Change{Channel: "c", Message: id, Value: "x"}, "echoed"); err != nil {
			t.Fatal(err)
		}
		c.expect()
		id2 := reacting("ann")
		id2.Grants[0].Events = append(id2.Grants[0].Events, earshot.EventGrant{Event: earshot.Glob("echoed"), Allow: earshot.Echo})
		loud := n.connect(id2).subscribe("c")
		loud.must(id, "y", false, true)
		loud.expect(added("ann", "y"))
	})
}

// TestWhoMayReact: only subscribers with a uid, with permitted values, to stored
// messages that they may read.
func TestWhoMayReact(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		before := n.publish("c", "any", time.Hour)
		time.Sleep(time.Second)
		other := n.connect(reacting("other")).subscribe("c")
		ann := n.connect(reacting("ann")).subscribe("c")
		nobody := n.connect(reacting("")).subscribe("c")
		outside := n.connect(reacting("out"))
		reader := reacting("reader")
		begin := time.Unix(0, 0)
		reader.Grants[0].HistoryStart = &begin
		denied := reacting("denied")
		denied.Grants[0].Events = append(denied.Grants[0].Events, earshot.EventGrant{Event: earshot.Glob("any2"), React: earshot.Reactions{Deny: true}})
		any2, thumb, silent, brief := n.publish("c", "any2", time.Hour), n.publish("c", "thumb", earshot.Forever), n.publish("c", "silent", time.Hour), n.publish("c", "any", 10*time.Second)
		hidden, elsewhere := n.publish("c", "any", 0), n.publish("c2", "any", time.Hour)
		other.take()
		for name, c := range map[string]struct {
			who   *client
			id    earshot.ID
			value string
			want  earshot.Code
		}{
			"no subscription":    {outside, any2, "x", earshot.Forbidden},
			"no uid":             {nobody, any2, "x", earshot.Forbidden},
			"value not listed":   {ann, thumb, "x", earshot.Forbidden},
			"event not listed":   {ann, silent, "👍", earshot.Forbidden},
			"denied":             {n.connect(denied).subscribe("c"), any2, "x", earshot.Forbidden},
			"before it came":     {ann, before, "x", earshot.NotFound},
			"not stored":         {ann, hidden, "x", earshot.NotFound},
			"of another channel": {ann, elsewhere, "x", earshot.NotFound},
			"made up":            {ann, earshot.NewID(time.Now(), earshot.Position{Epoch: 1, Seq: 99}), "x", earshot.NotFound},
			"of a live channel":  {ann, earshot.NewID(time.Now(), earshot.Position{}), "x", earshot.NotFound},
			"blank":              {ann, any2, " \t", earshot.Invalid},
			"empty":              {ann, any2, "", earshot.Invalid},
			"#":                  {ann, any2, "a#", earshot.Invalid},
			"long":               {ann, any2, strings.Repeat("é", 51), earshot.Invalid},
			"not UTF-8":          {ann, any2, "\xff", earshot.Invalid},
		} {
			for _, remove := range []bool{false, true} {
				if changed, err := c.who.react(c.id, c.value, remove); changed || earshot.CodeOf(err) != c.want {
					t.Errorf("%s: %v, %v", name, changed, err)
				}
			}
		}
		other.expect()
		ann.must(thumb, "👍", false, true)
		ann.must(any2, strings.Repeat("é", 50), false, true)
		n.connect(reader).subscribe("c").must(before, "x", false, true)
		ann.must(brief, "x", false, true)
		time.Sleep(10 * time.Second)
		if _, err := ann.react(brief, "y", false); earshot.CodeOf(err) != earshot.NotFound {
			t.Errorf("to a message that has expired: %v", err)
		}
		if got := n.of(brief); got != nil {
			t.Errorf("reactions to a message that has expired: %v", got)
		}
	})
}

// TestEvents: what is emitted, and that a removal tells of the addition.
func TestEvents(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		ann := n.connect(reacting("ann")).subscribe("c")
		quiet, loud := n.publish("c", "any", time.Hour), n.publish("c", "any.emit", time.Hour)
		ann.must(quiet, "x", false, true)
		if all := n.events.take(); len(all) != 0 {
			t.Errorf("%d events that nobody asked for", len(all))
		}
		first := &hub.Origin{Trigger: hub.ByClientHTTP, RequestID: "r1", Conn: ann.conn.ID(), UserAgent: strings.Repeat("a", 300)}
		apply := func(c reaction.Change) *hub.Event {
			t.Helper()
			c.Channel, c.Message, c.Value = "c", loud, "x"
			if _, err := n.reactions.ApplyBy(context.Background(), ann.conn, c, ""); err != nil {
				t.Fatal(err)
			}
			all := n.events.take()
			if len(all) != 1 {
				t.Fatalf("%d events", len(all))
			}
			return all[0]
		}
		created := time.Now()
		e := apply(reaction.Change{Origin: first})
		if e.Type != hub.ReactionAdded || e.Channel != "c" || e.Message.ID.IsZero() || e.Origin != first || e.Reaction.MessageID != loud || e.Reaction.Value != "x" ||
			e.Reaction.UID != "ann" || string(e.Reaction.Meta) != `{"of":"ann"}` || !e.Reaction.Created.Equal(created) || !e.Reaction.Expires.Equal(loud.Time().Add(time.Hour)) {
			t.Errorf("added: %+v, %+v", e, e.Reaction)
		}
		time.Sleep(time.Minute)
		e = apply(reaction.Change{Remove: true, Origin: &hub.Origin{Trigger: hub.ByClientSocket, RequestID: "r2"}})
		if e.Type != hub.ReactionRemoved || e.Origin.RequestID != "r1" || e.Origin.Conn != ann.conn.ID() || len(e.Origin.UserAgent) != 256 || !e.Reaction.Created.Equal(created) {
			t.Errorf("removed: %+v, %+v, %+v", e, e.Origin, e.Reaction)
		}
	})
}

// TestRepeatedChangeIsToldOnce: a server that dies between record and notice
// leaves it to who repeats the change, on whichever node.
func TestRepeatedChangeIsToldOnce(t *testing.T) {
	run(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		here, there := a.connect(reacting("ann")).subscribe("c"), b.connect(reacting("ann")).subscribe("c")
		bob := b.connect(reacting("bob")).subscribe("c")
		id := a.publish("c", "any.emit", earshot.Forever)
		bob.take()
		for _, remove := range []bool{false, true} {
			w.store.OnAppend(func(int, *earshot.Message) mem.Outcome {
				return mem.Outcome{Err: earshot.Errorf(earshot.Unavailable, "down")}
			})
			if _, err := here.react(id, "x", remove); earshot.CodeOf(err) != earshot.Unknown {
				t.Fatalf("a change whose notice failed: %v", err)
			}
			w.store.OnAppend(nil)
			bob.expect()
			there.must(id, "x", remove, false)
			here.must(id, "x", remove, false)
			there.must(id, "x", remove, false)
			want := added("ann", "x")
			if remove {
				want = removed("ann", "x")
			}
			bob.expect(want)
		}
		time.Sleep(6 * time.Minute)
		here.must(id, "x", true, false)
		bob.expect()
	})
}

// TestServerReacts for a user.
func TestServerReacts(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		id := n.publish("c", "e", time.Hour)
		c := n.connect(reacting("c")).subscribe("c")
		change := reaction.Change{Channel: "c", Message: id, Value: "x", UID: "zoe"}
		if changed, err := n.reactions.Apply(context.Background(), n.app, change); !changed || err != nil {
			t.Fatal(changed, err)
		}
		c.expect(added("zoe", "x"))
		change.UID = ""
		if _, err := n.reactions.Apply(context.Background(), n.app, change); earshot.CodeOf(err) != earshot.Forbidden {
			t.Errorf("without a uid: %v", err)
		}
		change.UID, change.Message = "zoe", earshot.NewID(time.Now(), earshot.Position{Epoch: 1, Seq: 99})
		if _, err := n.reactions.Apply(context.Background(), n.app, change); earshot.CodeOf(err) != earshot.NotFound {
			t.Errorf("to no message: %v", err)
		}
	})
}

// TestUserAgentThatIsNoText: what a client calls itself is kept with its
// reaction, and spoils the record of the others' in no case.
func TestUserAgentThatIsNoText(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		id := n.publish("c", "any.emit", time.Hour)
		for i, agent := range []string{"bad\xff\xfe", strings.Repeat("a", 255) + "é", "fine"} {
			change := reaction.Change{Channel: "c", Message: id, Value: "x", UID: fmt.Sprint("u", i), Emit: true, Origin: &hub.Origin{UserAgent: agent}}
			if _, err := n.reactions.Apply(context.Background(), n.app, change); err != nil {
				t.Fatalf("%q: %v", agent, err)
			}
		}
		if all := n.of(id); len(all) != 3 {
			t.Errorf("the message has %q", all)
		}
	})
}

// TestLimitPerUser: fifty values, wherever they are kept.
func TestLimitPerUser(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		c := n.connect(reacting("ann")).subscribe("c")
		id := n.publish("c", "any", time.Hour)
		for i := range 50 {
			c.must(id, fmt.Sprint("v", i), false, true)
		}
		if _, err := c.react(id, "v50", false); earshot.CodeOf(err) != earshot.Limited {
			t.Errorf("the 51st: %v", err)
		}
		c.must(id, "v3", true, true)
		c.must(id, "v50", false, true)
		n.connect(reacting("bob")).subscribe("c")
		if got := n.of(id); len(got) != 50 {
			t.Errorf("%d are left", len(got))
		}
	})
}

// TestModel: what many users on two nodes do at random, all at once, is what a
// map says, and who listens to all can tell the end from what was heard.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		run(t, 2, func(w *world) {
			id := w.nodes[0].publish("c", "any", time.Hour)
			ear := w.nodes[1].connect(reacting("ear"))
			begin := time.Unix(0, 0)
			all := reacting("ear")
			all.Grants[0].HistoryStart = &begin
			ear.conn.Enter(ear.app, all)
			ear.subscribe("c")
			var users sync.WaitGroup
			var mu sync.Mutex
			model := map[string]bool{}
			for u := range 12 {
				users.Go(func() {
					r := rand.New(rand.NewPCG(seed, uint64(u)))
					uid := fmt.Sprint("u", u)
					who := reacting(uid)
					who.Grants[0].HistoryStart = &begin
					conns := []*client{w.nodes[0].connect(who).subscribe("c"), w.nodes[1].connect(who).subscribe("c")}
					for range 25 {
						value, remove := fmt.Sprint("v", r.IntN(6)), r.IntN(3) == 0
						mu.Lock()
						want := model[uid+":"+value] == remove
						model[uid+":"+value] = !remove
						mu.Unlock()
						conns[r.IntN(2)].must(id, value, remove, want)
						time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
					}
				})
			}
			users.Wait()
			var want []string
			for k, there := range model {
				if there {
					want = append(want, k)
				}
			}
			heard := map[string]bool{}
			for _, line := range ear.take() {
				uid, rest, _ := strings.Cut(line, ` "reaction":"`)
				value, action, _ := strings.Cut(rest, `"`)
				heard[uid+":"+value] = strings.Contains(action, "add")
			}
			var told []string
			for k, there := range heard {
				if there {
					told = append(told, k)
				}
			}
			for name, got := range map[string][]string{"kept": w.nodes[0].of(id), "read on the other node": w.nodes[1].of(id), "told": told} {
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d, %s: %q, want %q", seed, name, got, want)
				}
			}
		})
	}
}

// TestPageCosts: the reactions to a page of messages are read by few listings,
// whatever else the channel has, and those to a message that many react to are
// in few records.
func TestPageCosts(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes[0]
	ids := make([]earshot.ID, 300)
	ctx := context.Background()
	react := func(id earshot.ID, uid string) {
		if _, err := n.reactions.Apply(ctx, n.app, reaction.Change{Channel: "c", Message: id, Value: "x", UID: uid}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range ids {
		ids[i] = n.publish("c", "e", time.Hour)
		for u := range 5 {
			react(ids[i], fmt.Sprint("u", u))
		}
	}
	for from := 0; from < len(ids); from += 100 {
		n.records.lists.Store(0)
		n.records.gets.Store(0)
		all, err := n.reactions.Among(ctx, n.app, "c", ids[from:from+100], false)
		if err != nil || len(all) != 100 || len(all[ids[from]]) != 5 {
			t.Fatalf("%d messages, %v", len(all), err)
		}
		if lists, gets := n.records.lists.Load(), n.records.gets.Load(); lists != 1 || gets != 0 {
			t.Errorf("%d listings and %d gets for a page", lists, gets)
		}
	}
	for u := range 1000 {
		react(ids[0], fmt.Sprint("many", u))
	}
	n.records.listed.Store(0)
	if all, err := n.reactions.Of(ctx, n.app, "c", ids[0]); err != nil || len(all) != 1005 {
		t.Fatalf("%d reactions, %v", len(all), err)
	}
	if got := n.records.listed.Load(); got > 200 {
		t.Errorf("%d records were read", got)
	}
}
