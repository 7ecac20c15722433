package entry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
)

// TestNoChangeTellsNobody: of equal values the first is told, and recorded.
func TestNoChangeTellsNobody(t *testing.T) {
	run(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		c := b.connect(may("u", everything))
		c.subscribe("c")
		write := func(n *node, data string) bool {
			changed, err := n.entries.Set(context.Background(), n.app, entry.Write{Channel: "c", Key: "k", Data: []byte(data), Store: earshot.Forever, Emit: true})
			if err != nil {
				w.Fatal(err)
			}
			return changed
		}
		for i, data := range []string{`{"a":1,"b":[2]}`, `{"b":[2.0],"a":1}`, `{"a":1,"b":[2]}`} {
			if write(w.nodes[i%2], data) != (i == 0) {
				t.Errorf("write %d: changed is %v", i, i != 0)
			}
		}
		c.expect(`k={"a":1,"b":[2]}`)
		if n := len(a.events.take()) + len(b.events.take()); n == 0 || n > 2 {
			t.Errorf("%d events", n)
		}
		if !write(a, "null") || write(a, "{}") || write(a, "") || write(a, " { } ") {
			t.Error("clearing twice is a change, or clearing is not")
		}
		c.expect("k=null")
	})
}

// TestEventOfAChange says what there was, and what there is.
func TestEventOfAChange(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		from := &hub.Origin{Trigger: hub.ByServerHTTP, RequestID: "r"}
		write := func(data string, emit bool) *hub.Event {
			t.Helper()
			_, err := n.entries.Set(context.Background(), n.app, entry.Write{
				Channel: "c", Key: "k", Data: []byte(data), Store: time.Hour, Emit: emit, Origin: from, Sender: &earshot.Sender{UID: "ann", HasUID: true},
			})
			all := n.events.take()
			if err != nil || len(all) > 1 || len(all) == 0 && emit {
				t.Fatalf("%v, %d events", err, len(all))
			}
			if len(all) == 0 {
				return nil
			}
			return all[0]
		}
		e := write("1", true)
		if e.Channel != "c" || e.App != "app" || e.Origin != from || e.Message.Key != "k" || string(e.Message.Data) != "1" || e.Message.ID.IsZero() ||
			e.Message.Sender.UID != "ann" || e.Entry.Previous != nil || e.Entry.Expired || !e.Entry.Expires.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("the event is %+v of %+v, %+v", e, e.Message, e.Entry)
		}
		if write("2", false) != nil {
			t.Error("an event that nobody asked for")
		}
		if e := write("3", true); string(e.Entry.Previous) != "2" {
			t.Errorf("before was %s", e.Entry.Previous)
		}
		if e := write("null", true); string(e.Entry.Previous) != "3" || string(e.Message.Data) != "null" || !e.Entry.Expires.IsZero() {
			t.Errorf("clearing is %+v, %s", e.Entry, e.Message.Data)
		}
	})
}

// TestExpiry: no read shows what has expired, observers are not told, and where
// its writer emitted events there is one of it, once, whichever node looks.
func TestExpiry(t *testing.T) {
	run(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		c := b.connect(may("u", everything))
		c.subscribe("c")
		for _, emit := range []bool{false, true} {
			_, err := a.entries.Set(context.Background(), a.app, entry.Write{Channel: "c", Key: "k", Data: []byte("1"), Store: 10 * time.Second, Emit: emit})
			if err != nil {
				t.Fatal(err)
			}
			c.expect("k=1")
			a.events.take()
			time.Sleep(10*time.Second - time.Millisecond)
			if got := b.get("c", "k"); got != "1" {
				t.Errorf("before its end it is %q", got)
			}
			time.Sleep(time.Millisecond)
			if got := b.get("c", "k"); got != "" {
				t.Errorf("at its end it is %q", got)
			}
			if list, _, err := b.entries.List(context.Background(), b.app, entry.Query{Channel: "c"}); err != nil || len(list) != 0 {
				t.Errorf("listed: %v, %v", list, err)
			}
			time.Sleep(time.Minute)
			c.expect()
			all := append(a.events.take(), b.events.take()...)
			if !emit {
				if len(all) != 0 {
					t.Errorf("%d events that nobody asked for", len(all))
				}
				continue
			}
			if len(all) != 1 || !all[0].Entry.Expired || string(all[0].Entry.Previous) != "1" || string(all[0].Message.Data) != "null" || all[0].Message.ID.IsZero() {
				t.Errorf("events %+v", all)
			}
		}
	})
}

// TestExpiryMoves: a write of the same value says anew how long it stays.
func TestExpiryMoves(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		c := n.connect(may("u", everything))
		c.subscribe("c")
		write := func(store time.Duration) bool {
			changed, err := n.entries.Set(context.Background(), n.app, entry.Write{Channel: "c", Key: "k", Data: []byte("1"), Store: store, Emit: true})
			if err != nil {
				t.Fatal(err)
			}
			return changed
		}
		write(10 * time.Second)
		time.Sleep(9 * time.Second)
		if write(10 * time.Second) {
			t.Error("a longer stay is a change")
		}
		time.Sleep(9 * time.Second)
		if n.get("c", "k") != "1" {
			t.Error("it did not stay")
		}
		write(earshot.Forever)
		time.Sleep(time.Hour)
		if n.get("c", "k") != "1" {
			t.Error("it did not stay for ever")
		}
		if all := n.events.take(); len(all) != 1 {
			t.Errorf("%d events", len(all))
		}
		write(10 * time.Second)
		time.Sleep(11 * time.Second)
		if all := n.events.take(); len(all) != 1 || !all[0].Entry.Expired {
			t.Errorf("%d events", len(all))
		}
		if !write(10 * time.Second) {
			t.Error("a value that has expired is no change")
		}
		c.expect("k=1", "k=1")
	})
}

// TestExpiryThatNobodyWasWokenFor is recorded by the next writer.
func TestExpiryThatNobodyWasWokenFor(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		write := entry.Write{Channel: "c", Key: "k", Data: []byte("1"), Store: time.Second, Emit: true}
		if _, err := n.entries.Set(context.Background(), n.app, write); err != nil {
			t.Fatal(err)
		}
		n.waker.stop()
		time.Sleep(time.Hour)
		write.Data = []byte("2")
		if changed, err := n.entries.Set(context.Background(), n.app, write); err != nil || !changed {
			t.Fatal(changed, err)
		}
		all := n.events.take()
		if len(all) != 3 || all[0].Entry.Expired || !all[1].Entry.Expired || all[2].Entry.Previous != nil {
			t.Errorf("events %+v", all)
		}
	})
}

// TestRepeatedWriteIsToldOnce: a server that dies between record and notice
// leaves it to who repeats the write, on whichever node.
func TestRepeatedWriteIsToldOnce(t *testing.T) {
	for _, data := range []string{"1", "null"} {
		run(t, 2, func(w *world) {
			a, b := w.nodes[0], w.nodes[1]
			a.set("c", "k", "0")
			c := b.connect(may("u", everything))
			c.subscribe("c")
			c.take()
			write := entry.Write{Channel: "c", Key: "k", Data: []byte(data), Store: earshot.Forever, Emit: true}
			down := earshot.Errorf(earshot.Unavailable, "down")
			w.store.OnAppend(func(int, *earshot.Message) mem.Outcome { return mem.Outcome{Err: down} })
			if _, err := a.entries.Set(context.Background(), a.app, write); earshot.CodeOf(err) != earshot.Unknown {
				t.Fatalf("a write whose notice failed: %v", err)
			}
			w.store.OnAppend(nil)
			c.expect()
			a.events.fail = down // and dies again, after the notice
			if _, err := a.entries.Set(context.Background(), a.app, write); earshot.CodeOf(err) != earshot.Unknown {
				t.Fatalf("a write whose event failed: %v", err)
			}
			a.events.fail = nil
			for _, n := range []*node{b, a, b} {
				if changed, err := n.entries.Set(context.Background(), n.app, write); changed || err != nil {
					t.Errorf("repeated: %v, %v", changed, err)
				}
			}
			c.expect("k=" + data)
			all := append(a.events.take(), b.events.take()...)
			if len(all) == 0 || len(all) > 2 {
				t.Errorf("%d events", len(all))
			}
			for _, e := range all {
				if e.Message.ID != all[0].Message.ID {
					t.Error("two events of one change")
				}
			}
			time.Sleep(6 * time.Minute)
			a.set("c", "k", data)
			c.expect()
		})
	}
}

// TestUnknownOutcomeOfTheRecord: a put that may have been done is looked at again.
func TestUnknownOutcomeOfTheRecord(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		c := n.connect(may("u", everything))
		c.subscribe("c")
		failed := false
		n.records.at(func(hub.Key) error {
			if failed {
				return nil
			}
			failed = true
			return earshot.Errorf(earshot.Unknown, "the link broke")
		})
		n.set("c", "k", "1")
		c.expect("k=1")
	})
}

// TestWriterWhoLeaves has written: observers hear of it.
func TestWriterWhoLeaves(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		c := n.connect(may("u", everything))
		c.subscribe("c")
		ctx, cancel := context.WithCancel(context.Background())
		n.records.at(func(hub.Key) error { cancel(); return nil })
		if _, err := n.entries.Set(ctx, n.app, entry.Write{Channel: "c", Key: "k", Data: []byte("1"), Store: earshot.Forever}); err != nil {
			t.Error(err)
		}
		c.expect("k=1")
	})
}

// TestOnce: of writes with the same Once the first is done, whatever came between.
func TestOnce(t *testing.T) {
	run(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		write := func(n *node, data, once string, store time.Duration) bool {
			changed, err := n.entries.Set(context.Background(), n.app, entry.Write{
				Channel: "c", Key: "k", Data: []byte(data), Once: once, Store: store, Emit: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			return changed
		}
		ever := earshot.Forever
		if write(a, "null", "zero", ever) {
			t.Error("clearing nothing is a change")
		}
		for i, c := range []struct {
			data, once string
			store      time.Duration
			want       string
		}{
			{"5", "zero", ever, ""},
			{"1", "one", ever, "1"},
			{"2", "", ever, "2"},
			{"1", "one", ever, "2"},
			{"2", "two", ever, "2"},
			{"3", "three", ever, "3"},
			{"2", "two", ever, "3"},
			{"null", "four", ever, ""},
			{"3", "three", ever, ""},
			{"4", "five", 10 * time.Second, "4"},
		} {
			write(w.nodes[i%2], c.data, c.once, c.store)
			if got := a.get("c", "k"); got != c.want {
				t.Errorf("%d: %s once %s leaves %q, want %q", i, c.data, c.once, got, c.want)
			}
		}
		time.Sleep(time.Minute)
		write(b, "4", "five", 10*time.Second)
		if got := a.get("c", "k"); got != "" {
			t.Errorf("it is back as %s", got)
		}
		time.Sleep(5 * time.Minute)
		write(b, "4", "five", ever)
		if got := a.get("c", "k"); got != "4" {
			t.Errorf("after five minutes it is %q", got)
		}
	})
}

// TestRefused: nothing is written.
func TestRefused(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		good := entry.Write{Channel: "c", Key: "k", Data: []byte("1"), Store: earshot.Forever}
		for name, spoil := range map[string]func(*entry.Write){
			"no channel": func(w *entry.Write) { w.Channel = "" },
			"no key":     func(w *entry.Write) { w.Key = "" },
			"bad key":    func(w *entry.Write) { w.Key = "a b" },
			"long key":   func(w *entry.Write) { w.Key = strings.Repeat("é", 129) },
			"not UTF-8":  func(w *entry.Write) { w.Key = "\xff" },
			"store 0":    func(w *entry.Write) { w.Store = 0 },
			"store -2":   func(w *entry.Write) { w.Store = -2 * time.Second },
			"too large":  func(w *entry.Write) { w.Data = []byte(`"` + strings.Repeat("x", hub.MaxData) + `"`) },
			"too deep":   func(w *entry.Write) { w.Data = []byte(strings.Repeat("[", 129) + strings.Repeat("]", 129)) },
		} {
			bad := good
			spoil(&bad)
			if _, err := n.entries.Set(context.Background(), n.app, bad); err == nil {
				t.Errorf("%s: written", name)
			}
		}
		if _, err := n.entries.SetBy(context.Background(), n.connect(may("u", earshot.ReadEntry|earshot.Observe)).conn, good); earshot.CodeOf(err) != earshot.Forbidden {
			t.Errorf("without a grant: %v", err)
		}
		if list, _, err := n.entries.List(context.Background(), n.app, entry.Query{Channel: "c"}); len(list) != 0 || err != nil {
			t.Errorf("written: %v, %v", list, err)
		}
		if _, err := n.entries.Set(context.Background(), n.app, entry.Write{Channel: "c", Key: strings.Repeat("é", 128), Data: []byte("1"), Store: time.Second}); err != nil {
			t.Errorf("128 characters: %v", err)
		}
	})
}

// TestNobodyForgesANotice: not by any way to publish.
func TestNobodyForgesANotice(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		c := n.connect(may("u", everything))
		c.subscribe("c")
		forged := func() *earshot.Message {
			return &earshot.Message{Channel: "c", Notice: earshot.EntryChanged, Key: "k", Data: []byte("1")}
		}
		if _, err := n.hub.Publish(context.Background(), n.app, hub.Publication{Message: forged()}); earshot.CodeOf(err) != earshot.Invalid {
			t.Errorf("published by the server: %v", err)
		}
		id := may("u", everything)
		id.Grants[0].Allow |= earshot.Publish | earshot.Broadcast
		var outcome error
		err := n.connect(id).conn.Publish(context.Background(), hub.Publication{Message: forged()}, func(_ hub.Appended, err error) { outcome = err })
		if errors.Join(err, outcome) == nil {
			t.Error("published by a client")
		}
		if err := n.hub.Announce(context.Background(), n.app, hub.Publication{Message: &earshot.Message{Channel: "c", Event: "e"}}, 1); err == nil {
			t.Error("a message was announced")
		}
		c.expect()
	})
}

// TestList: pages in the order of keys, of what may be read.
func TestList(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		for _, key := range []string{"b", "a", "c", "A", "ä", "aa"} {
			n.set("c", key, `"`+key+`"`)
		}
		n.set("c.d", "x", "1")
		n.set("c", "gone", "1")
		n.set("c", "gone", "null")
		for _, c := range []struct {
			q    entry.Query
			want string
			more bool
		}{
			{entry.Query{}, "A a aa b c ä", false},
			{entry.Query{Limit: 2}, "A a", true},
			{entry.Query{Limit: 6}, "A a aa b c ä", false},
			{entry.Query{After: "a", Limit: 2}, "aa b", true},
			{entry.Query{After: "c"}, "ä", false},
			{entry.Query{Keys: []string{"c", "a", "c", "none", "gone"}}, "a c", false},
			{entry.Query{Keys: []string{"c", "a"}, After: "a"}, "c", false},
			{entry.Query{Keys: []string{}}, "", false},
			{entry.Query{May: func(key string) bool { return key < "b" }}, "A a aa", false},
			{entry.Query{May: func(key string) bool { return key != "a" }, Limit: 2}, "A aa", true},
		} {
			c.q.Channel = "c"
			list, more, err := n.entries.List(context.Background(), n.app, c.q)
			var keys []string
			for _, e := range list {
				keys = append(keys, e.Key)
			}
			if got := strings.Join(keys, " "); got != c.want || more != c.more || err != nil {
				t.Errorf("%+v: %q, %v, %v; want %q, %v", c.q, got, more, err, c.want, c.more)
			}
		}
		if _, _, err := n.entries.List(context.Background(), n.app, entry.Query{Channel: "c", Keys: make([]string, 101)}); earshot.CodeOf(err) != earshot.TooLarge {
			t.Errorf("101 keys: %v", err)
		}
	})
}

// TestLittleIsReadForLittle: what a client may see of a channel decides what is
// read for it, and not how much there is.
func TestLittleIsReadForLittle(t *testing.T) {
	run(t, 1, func(w *world) {
		n := w.nodes[0]
		for _, key := range []string{"a", "b", "c", "d"} {
			n.set("c", key, `"`+key+`"`)
		}
		who := func(keys ...earshot.EntryGrant) *earshot.Identity {
			id := may("u", 0)
			id.Grants[0].Entries = keys
			return id
		}
		const both = earshot.ReadEntry | earshot.Observe
		glob := earshot.Glob("*")
		for name, c := range map[string]struct {
			who   *earshot.Identity
			want  string
			lists int32
		}{
			"nothing":           {who(), "", 0},
			"only to write":     {who(earshot.EntryGrant{Key: glob, Allow: earshot.WriteEntry}), "", 0},
			"by name":           {who(earshot.EntryGrant{Key: earshot.Exact("c"), Allow: both}, earshot.EntryGrant{Key: earshot.Exact("b"), Allow: both}, earshot.EntryGrant{Key: earshot.Exact("x y"), Allow: both}), "b c", 0},
			"by name, denied":   {who(earshot.EntryGrant{Key: earshot.Exact("c"), Allow: both}, earshot.EntryGrant{Key: glob, Deny: both}), "", 0},
			"by name and other": {who(earshot.EntryGrant{Key: earshot.Exact("c"), Allow: both}, earshot.EntryGrant{Key: earshot.Glob("a*"), Allow: both}), "a c", 2},
		} {
			client, before := n.connect(c.who), n.records.lists.Load()
			list, more, err := n.entries.ListBy(context.Background(), client.conn, entry.Query{Channel: "c"})
			if err != nil || more {
				t.Errorf("%s: %v, %v", name, more, err)
			}
			client.subscribe("c")
			var listed, observed []string
			for _, e := range list {
				listed = append(listed, e.Key)
			}
			for _, line := range client.take() {
				observed = append(observed, line[:1])
			}
			for _, got := range []string{strings.Join(listed, " "), strings.Join(observed, " ")} {
				if got != c.want {
					t.Errorf("%s: it is shown %q, want %q", name, got, c.want)
				}
			}
			if read := n.records.lists.Load() - before; read != c.lists {
				t.Errorf("%s: %d pages were read, want %d", name, read, c.lists)
			}
		}
	})
}

// TestManyWritersOfOneKey: all succeed, on one node and on two.
func TestManyWritersOfOneKey(t *testing.T) {
	run(t, 2, func(w *world) {
		errs := make(chan error, 100)
		for i := range cap(errs) {
			go func() {
				n := w.nodes[i%2]
				_, err := n.entries.Set(context.Background(), n.app, entry.Write{Channel: "c", Key: "k", Data: []byte{byte('0' + i%10)}, Store: earshot.Forever})
				errs <- err
			}()
		}
		synctest.Wait()
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}
