package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// noticing renders notices as a word and their data.
func noticing() *hub.Encoding {
	words := map[earshot.Notice]string{earshot.MemberAdded: "added", earshot.MemberUpdated: "updated", earshot.MemberRemoved: "removed"}
	return &hub.Encoding{Name: "noticing", Notices: true, Render: func(m *earshot.Message) *hub.Frame {
		if m.Notice == earshot.NoNotice {
			return hub.TextFrame(m.Data)
		}
		return hub.TextFrame([]byte(words[m.Notice] + " " + string(m.Data)))
	}}
}

// user may all, and is a user with metadata.
func user(uid, meta string) *earshot.Identity {
	id := everything()
	id.UID, id.HasUID = uid, uid != ""
	if meta != "" {
		id.Meta = []byte(meta)
	}
	return id
}

// A watcher is a client that is a member of a channel, and folds what it is sent
// into its own view of who is there.
type watcher struct {
	*client
	sub  *hub.Sub
	view []string // "uid=umd", in order
}

func show(m hub.Member) string {
	if m.Meta == nil {
		return m.UID + "=null"
	}
	return m.UID + "=" + string(m.Meta)
}

func showAll(all []hub.Member) []string {
	var out []string
	for _, m := range all {
		out = append(out, show(m))
	}
	return out
}

// present joins a channel as a member.
func (r *rig) present(channel, uid, meta string, e *hub.Encoding) (*watcher, error) {
	w := &watcher{client: r.connect(user(uid, meta))}
	return w, w.join(channel, e)
}

func (w *watcher) join(channel string, e *hub.Encoding) error {
	sub, _, err := w.conn.Subscribe(context.Background(), hub.Join{Channel: channel, Encoding: e, Present: true})
	if err != nil {
		return err
	}
	w.sub, w.view = sub, showAll(sub.Members())
	return sub.Start(context.Background())
}

func (r *rig) mustPresent(channel, uid, meta string) *watcher {
	r.Helper()
	w, err := r.present(channel, uid, meta, noticing())
	if err != nil {
		r.Fatalf("%s joins %s: %v", uid, channel, err)
	}
	return w
}

// leave ends the connection.
func (w *watcher) leave() {
	w.conn.Close(nil)
	w.conn.Ended(hub.End{})
}

// A noticed is the data of a notice.
type noticed struct {
	Member  seenMember
	Members []seenMember
}

type seenMember struct {
	UID string          `json:"uid"`
	UMD json.RawMessage `json:"umd"`
}

func (m seenMember) String() string { return m.UID + "=" + string(m.UMD) }

// fold brings the view up to date with the notices that came, each of which must
// be possible, and returns them.
func (w *watcher) fold() (notices []string, err error) {
	for _, frame := range w.take() {
		word, data, _ := strings.Cut(frame, " ")
		var n noticed
		if err := json.Unmarshal([]byte(data), &n); err != nil {
			return nil, fmt.Errorf("%s: %w", frame, err)
		}
		if err := w.apply(word, n); err != nil {
			return nil, err
		}
		notices = append(notices, word+" "+n.Member.String())
	}
	return notices, nil
}

func (w *watcher) apply(word string, n noticed) error {
	i := slices.IndexFunc(w.view, func(s string) bool { return strings.HasPrefix(s, n.Member.UID+"=") })
	switch {
	case word == "added" && i < 0:
	case word == "updated" && i >= 0 && w.view[i] != n.Member.String():
		w.view[i] = n.Member.String()
	case word == "removed" && i >= 0:
		w.view = slices.Delete(w.view, i, i+1)
	default:
		return fmt.Errorf("%s %v makes no sense for who sees %v", word, n.Member, w.view)
	}
	var all []string
	for _, m := range n.Members {
		all = append(all, m.String())
	}
	if word == "added" {
		w.view = append(w.view, n.Member.String())
	}
	if !sameMembers(all, w.view) {
		return fmt.Errorf("after %s %v the list is %v, but the notices before led to %v", word, n.Member, all, w.view)
	}
	w.view = all // whom several nodes have at once may move up when they hear of each other
	return nil
}

func sameMembers(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func (w *watcher) expectNotices(want ...string) {
	w.Helper()
	synctest.Wait()
	got, err := w.fold()
	if err != nil {
		w.Error(err)
	}
	if !slices.Equal(got, want) {
		w.Errorf("got %q, want %q", got, want)
	}
}

func (w *watcher) expectView(want ...string) {
	w.Helper()
	if !slices.Equal(w.view, want) {
		w.Errorf("sees %q, want %q", w.view, want)
	}
}

// members is who is present as a node tells it.
func (r *rig) members(channel string) []string {
	r.Helper()
	info, err := r.hub.Info(context.Background(), r.app, channel)
	if err != nil {
		r.Fatal(err)
	}
	return showAll(info.Members)
}

// TestMembers: who joins sees all, in the order in which they came, and the
// others are told; a user counts once.
func TestMembers(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		a := r.mustPresent("live.p", "a", `{"n":1}`)
		a.expectView(`a={"n":1}`)
		b := r.mustPresent("live.p", "b", "")
		b.expectView(`a={"n":1}`, "b=null")
		a.expectNotices("added b=null")
		b.expectNotices() // not of itself

		again := r.mustPresent("live.p", "b", "")
		again.expectView(`a={"n":1}`, "b=null")
		a.expectNotices()
		other := r.mustPresent("live.p", "b", "2")
		a.expectNotices("updated b=2")
		b.expectNotices("updated b=2")
		other.expectNotices()
		other.expectView(`a={"n":1}`, "b=2")

		other.leave() // and the newest of those that are left counts
		a.expectNotices("updated b=null")
		again.leave()
		a.expectNotices()
		if !b.conn.Unsubscribe(b.sub) {
			t.Error("b was not subscribed")
		}
		a.expectNotices("removed b=null")
		a.expectView(`a={"n":1}`)
		if got := r.members("live.p"); !slices.Equal(got, []string{`a={"n":1}`}) {
			t.Errorf("members %v", got)
		}
		a.leave()
		if got := r.members("live.p"); got != nil {
			t.Errorf("members %v", got)
		}
	})
}

// TestMembersNeedAUser: a nameless client is refused, and so is one that loses
// its name, and a pattern has no members.
func TestMembersNeedAUser(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		_, err := r.present("live.p", "", "", noticing())
		if e := earshot.AsError(err); e == nil || e.Code != earshot.Forbidden || e.Reason != "PRESENCE_CHANNEL_USER_ID_REQUIRED" {
			t.Errorf("without a user: %v", err)
		}
		empty := user("", "")
		empty.HasUID = true
		c := r.connect(empty)
		if _, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "live.p", Encoding: noticing(), Present: true}); err == nil {
			t.Error("an empty user is present")
		}
		if _, _, err := c.conn.Subscribe(context.Background(), hub.Join{Pattern: earshot.Glob("live.*"), Encoding: noticing(), Present: true, Allowed: true}); earshot.CodeOf(err) != earshot.Invalid {
			t.Errorf("a pattern: %v", err)
		}
		a, b := r.mustPresent("live.p", "a", ""), r.mustPresent("live.p", "b", "")
		a.expectNotices("added b=null")
		if ended := b.conn.Enter(r.app, user("", "")); len(ended) != 1 || ended[0] != b.sub {
			t.Errorf("ended %v", ended)
		}
		a.expectNotices("removed b=null")
	})
}

// TestMembersHaveABound: who does not fit in is refused, for a join and for
// metadata, and who does not grow is not.
func TestMembersHaveABound(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		// {"uid":"00","umd":"…"} has 21 bytes around what is in the quotes.
		fill := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
		deaf := text() // a hundred long lists for a hundred clients say nothing here
		join := func(uid, meta string) *watcher {
			w, err := r.present("live.p", uid, meta, deaf)
			if err != nil {
				t.Fatalf("%s joins: %v", uid, err)
			}
			return w
		}
		var all []*watcher
		for i := range 100 {
			all = append(all, join(fmt.Sprintf("%02d", i), fill(1024-21)))
		}
		_, err := r.present("live.p", "more", "", noticing())
		if e := earshot.AsError(err); e == nil || e.Code != earshot.Limited || e.Reason != "PRESENCE_CHANNEL_CAPACITY_REACHED" {
			t.Fatalf("over the bound: %v", err)
		}
		join("07", fill(1024-21)) // is there already
		ctx := context.Background()
		if err := all[3].conn.SetMeta(ctx, "live.p", []byte(fill(1024-20))); earshot.CodeOf(err) != earshot.Limited {
			t.Errorf("metadata over the bound: %v", err)
		}
		if err := all[3].conn.SetDefaultMeta(ctx, []byte(fill(1024-20)), true); earshot.CodeOf(err) != earshot.Limited {
			t.Errorf("metadata over the bound: %v", err)
		}
		if got := len(all[3].conn.Identity().Meta); got != 1024-19 {
			t.Errorf("a refused default of %d bytes is there", got)
		}
		if err := all[3].conn.SetMeta(ctx, "live.p", []byte(fill(100))); err != nil {
			t.Errorf("less metadata: %v", err)
		}
		join("more", "")
	})
}

// TestMetaOfASubscription: a subscription keeps the metadata that it began with,
// until it is given another, or the connection propagates its own.
func TestMetaOfASubscription(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		ctx := context.Background()
		metas := map[string]string{} // of the newest message of a channel
		hears := r.connect(everything())
		hears.subscribe(hub.Join{Pattern: earshot.Glob("live.*"), Allowed: true, Encoding: &hub.Encoding{Render: func(m *earshot.Message) *hub.Frame {
			metas[m.Channel] = string(m.Sender.Meta)
			return hub.TextFrame(nil)
		}}})
		a := r.connect(user("a", "1"))
		a.subscribe(hub.Join{Channel: "live.old"})
		a.subscribe(hub.Join{Channel: "live.own", As: user("a", "7")})
		expect := func(want map[string]string) {
			t.Helper()
			for _, channel := range slices.Sorted(maps.Keys(want)) {
				p := hub.Publication{Message: message(channel, "x")}
				if err := a.conn.Publish(ctx, p, func(hub.Appended, error) {}); err != nil {
					t.Fatal(err)
				}
				sub := a.conn.Sub(channel)
				if got := string(sub.Identity().Meta); got != want[channel] || string(sub.Sender().Meta) != got || sub.Identity().UID != "a" {
					t.Errorf("the subscription to %s has %s, want %s", channel, got, want[channel])
				}
			}
			synctest.Wait()
			if !maps.Equal(metas, want) {
				t.Errorf("published with %v, want %v", metas, want)
			}
		}
		expect(map[string]string{"live.old": "1", "live.own": "7"})
		if err := a.conn.SetDefaultMeta(ctx, []byte("2"), false); err != nil {
			t.Fatal(err)
		}
		a.subscribe(hub.Join{Channel: "live.new"})
		expect(map[string]string{"live.old": "1", "live.own": "7", "live.new": "2"})
		if err := a.conn.SetMeta(ctx, "live.own", []byte("8")); err != nil {
			t.Fatal(err)
		}
		expect(map[string]string{"live.old": "1", "live.own": "8", "live.new": "2"})
		if err := a.conn.SetDefaultMeta(ctx, []byte("3"), true); err != nil {
			t.Fatal(err)
		}
		expect(map[string]string{"live.old": "3", "live.own": "3", "live.new": "3"})
		if err := a.conn.SetMeta(ctx, "live.old", nil); err != nil {
			t.Fatal(err)
		}
		expect(map[string]string{"live.old": "", "live.own": "3", "live.new": "3"})
		a.conn.Enter(r.app, user("a", "4")) // a newer proof is who it is
		expect(map[string]string{"live.old": "4", "live.own": "3", "live.new": "4"})
		if err := a.conn.SetMeta(ctx, "live.none", nil); earshot.CodeOf(err) != earshot.NotFound {
			t.Errorf("without a subscription: %v", err)
		}
	})
}

// TestMetaOfAMember: members hear of new metadata, the one that changed it too.
func TestMetaOfAMember(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		ctx := context.Background()
		a, b := r.mustPresent("live.p", "a", ""), r.mustPresent("live.p", "b", "")
		a.expectNotices("added b=null")
		if err := b.conn.SetMeta(ctx, "live.p", []byte(`"x"`)); err != nil {
			t.Fatal(err)
		}
		a.expectNotices(`updated b="x"`)
		b.expectNotices(`updated b="x"`)
		if err := b.conn.SetMeta(ctx, "live.p", []byte(`"x"`)); err != nil {
			t.Fatal(err)
		}
		a.expectNotices()
		if err := b.conn.SetDefaultMeta(ctx, []byte("2"), false); err != nil {
			t.Fatal(err)
		}
		a.expectNotices()
		if err := b.conn.SetDefaultMeta(ctx, []byte("3"), true); err != nil {
			t.Fatal(err)
		}
		a.expectNotices("updated b=3")
		b.conn.Enter(r.app, user("b", "4"))
		a.expectNotices("updated b=4")
		b.conn.Enter(r.app, user("c", "4")) // another user
		a.expectNotices("removed b=4", "added c=4")
		b.leave()
		a.expectNotices("removed c=4")
		if err := b.conn.SetMeta(ctx, "live.p", nil); earshot.CodeOf(err) != earshot.NotFound {
			t.Errorf("of a connection that is gone: %v", err)
		}
		a.expectNotices()
		a.expectView("a=null")
	})
}

// TestMembersAreHeldBack: what happens between the join and the start comes
// after it, in order with what is published.
func TestMembersAreHeldBack(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(user("a", ""))
		sub, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "p", Encoding: noticing(), Present: true})
		if err != nil {
			t.Fatal(err)
		}
		w := &watcher{client: c, sub: sub, view: showAll(sub.Members())}
		b := r.mustPresent("p", "b", "")
		r.mustPresent("p", "c", "")
		b.leave()
		synctest.Wait()
		c.expect()
		if err := sub.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		if sub.Members() != nil {
			t.Error("the list is kept")
		}
		w.expectNotices("added b=null", "added c=null", "removed b=null")
	})
}

// TestMembersOverNodes: every node shows the same, in the same order.
func TestMembersOverNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
		a := one.mustPresent("live.p", "a", "1")
		synctest.Wait()
		time.Sleep(time.Millisecond)
		b := two.mustPresent("live.p", "b", "")
		b.expectView("a=1", "b=null")
		a.expectNotices("added b=null")
		time.Sleep(time.Millisecond)
		also := two.mustPresent("live.p", "a", "2")
		a.expectNotices("updated a=2")
		b.expectNotices("updated a=2")
		also.leave()
		a.expectNotices("updated a=1")
		b.expectNotices("updated a=1")
		time.Sleep(time.Millisecond)
		also = two.mustPresent("live.p", "a", "1")
		synctest.Wait()
		a.leave() // a is there without a break, and keeps its place
		b.expectNotices()
		b.expectView("a=1", "b=null")
		// Another node learns all that there is.
		three := newRig(t, hub.Config{}, store)
		synctest.Wait()
		for _, r := range []*rig{one, two, three} {
			if got := r.members("live.p"); !slices.Equal(got, []string{"a=1", "b=null"}) {
				t.Errorf("members %v", got)
			}
		}
		c := three.mustPresent("live.p", "c", "")
		synctest.Wait()
		also.leave()
		c.expectNotices("removed a=1")
		b.expectNotices("added c=null", "removed a=1")
	})
}

// TestMembersOfANodeThatEnds: after a clean stop they are gone at once, after a
// death within ten seconds.
func TestMembersOfANodeThatEnds(t *testing.T) {
	for _, how := range []string{"stopped", "killed", "cut"} {
		synctest.Test(t, func(t *testing.T) {
			store := mem.NewStore(mem.Config{})
			one, two := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
			a := one.mustPresent("live.p", "a", "")
			time.Sleep(time.Second)
			b := two.mustPresent("live.p", "b", "")
			a.expectNotices("added b=null")
			b.expectView("a=null", "b=null")
			switch how {
			case "stopped":
				two.hub.Close()
				a.expectNotices("removed b=null")
			case "killed":
				two.kill()
				time.Sleep(6 * time.Second)
				a.expectNotices()
				time.Sleep(3 * time.Second)
				a.expectNotices("removed b=null")
			case "cut":
				two.engine.Cut()
				time.Sleep(9 * time.Second)
				a.expectNotices("removed b=null")
				b.expectNotices("removed a=null")
				two.engine.Restore()
				time.Sleep(3 * time.Second)
				a.expectNotices("added b=null")
				b.expectNotices("added a=null")
				a.expectView("a=null", "b=null")
			}
		})
	}
}

// kill ends the node without a word.
func (r *rig) kill() {
	_ = r.engine.Close(context.Background())
	r.hub.Close()
}

// TestMembersDuringALongHistory: what happens while pages of it are read is in no
// log, and not lost.
func TestMembersDuringALongHistory(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		all := numbers(1, 700)
		r.publish("p", all...)
		c := r.connect(user("a", ""))
		sub, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "p", Encoding: noticing(), Present: true, After: beginning()})
		if err != nil {
			t.Fatal(err)
		}
		w := &watcher{client: c, sub: sub, view: showAll(sub.Members())}
		r.mustPresent("p", "b", "")
		r.mustPresent("p", "c", "").leave()
		if err := sub.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := c.take()
		if err := inOrder(got[:700], 1, 700); err != nil {
			t.Error(err)
		}
		c.got = got[700:]
		w.expectNotices("added b=null", "added c=null", "removed c=null")
	})
}

// TestMembersTooManyToHold: who would miss some of what happened before it was
// started is cut, and comes back.
func TestMembersTooManyToHold(t *testing.T) {
	run(t, hub.Config{QueueBytes: 4096}, func(r *rig) {
		c := r.connect(user("a", ""))
		sub, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "p", Encoding: noticing(), Present: true})
		if err != nil {
			t.Fatal(err)
		}
		b := r.connect(user("b", ""))
		for range 10 {
			other, _, err := b.conn.Subscribe(context.Background(), hub.Join{Channel: "p", Encoding: text(), Present: true})
			if err != nil {
				t.Fatal(err)
			}
			b.conn.Unsubscribe(other)
		}
		synctest.Wait()
		if err := sub.Start(context.Background()); earshot.CodeOf(err) != earshot.Slow {
			t.Errorf("start: %v", err)
		}
		c.expectClosed(earshot.Slow)
		if got := r.members("p"); got != nil {
			t.Errorf("members %v", got)
		}
	})
}

// TestANodeComesBackWhileItIsTakenOut: many members take a moment to be taken
// out; what their node says again meanwhile is not undone.
func TestANodeComesBackWhileItIsTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
		deaf := &hub.Encoding{Name: "deaf", Notices: true, Render: func(*earshot.Message) *hub.Frame { return hub.TextFrame(nil) }}
		if _, err := one.present("live.p", "a", "", deaf); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		long := `"` + strings.Repeat("x", 2000) + `"`
		for i := range 45 {
			if _, err := two.present("live.p", fmt.Sprint("b", i), long, deaf); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		two.engine.Cut()
		for len(one.members("live.p")) == 46 {
			time.Sleep(time.Millisecond)
		}
		if n := len(one.members("live.p")); n == 1 {
			t.Fatal("all were taken out at once")
		}
		two.engine.Restore()
		c, err := two.present("live.p", "c", "", deaf) // and two says so
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if a, b := one.members("live.p"), two.members("live.p"); len(a) != 47 || !slices.Equal(a, b) {
			t.Errorf("%d and %d members", len(a), len(b))
		}
		c.leave()
	})
}
