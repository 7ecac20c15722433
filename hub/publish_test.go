package hub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestRenderedOnce has 1,000 subscribers of one encoding on two shards.
func TestRenderedOnce(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		run(t, hub.Config{Shards: 2}, func(r *rig) {
			rendered := 0
			once := &hub.Encoding{Render: func(m *earshot.Message) *hub.Frame {
				rendered++
				return hub.TextFrame(m.Data)
			}}
			var clients []*client
			for range 1000 {
				c := r.connect(everything())
				c.subscribe(hub.Join{Channel: channel, Encoding: once})
				clients = append(clients, c)
			}
			other := r.connect(everything())
			other.subscribe(hub.Join{Channel: channel})
			r.publish(channel, "x")
			synctest.Wait()
			for _, c := range append(clients, other) {
				c.expect("ok", "x")
			}
			if rendered != 1 {
				r.Errorf("rendered %d times", rendered)
			}
		})
	}
}

// TestHeadsShareABody has a head for each subscription.
func TestHeadsShareABody(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		enc := text()
		enc.Head = func(tag any, _ *earshot.Message) []byte { return []byte(tag.(string)) }
		a, b := r.connect(everything()), r.connect(everything())
		a.subscribe(hub.Join{Channel: "c", Encoding: enc, Tag: "a:"})
		b.subscribe(hub.Join{Channel: "c", Encoding: enc, Tag: "b:"})
		r.publish("c", "x")
		synctest.Wait()
		a.expect("ok", "a:x")
		b.expect("ok", "b:x")
	})
}

// send lets a client publish.
func (c *client) send(m *earshot.Message) error {
	var err error
	called := false
	refused := c.conn.Publish(context.Background(), hub.Publication{Message: m}, func(_ hub.Appended, e error) { err, called = e, true })
	synctest.Wait()
	if refused == nil && !called || refused != nil && called {
		c.Errorf("refused: %v, done called: %v", refused, called)
	}
	return errors.Join(refused, err)
}

// TestEcho has a client whose grants do not let it hear itself; others, and
// its own other connection, hear it.
func TestEcho(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		run(t, hub.Config{}, func(r *rig) {
			quiet := everything()
			quiet.Grants[0].Allow &^= earshot.Echo
			own, twin, other := r.connect(quiet), r.connect(quiet), r.connect(everything())
			for _, c := range []*client{own, twin, other} {
				c.subscribe(hub.Join{Channel: channel})
			}
			if err := own.send(message(channel, "1")); err != nil {
				r.Fatal(err)
			}
			if err := other.send(message(channel, "2")); err != nil {
				r.Fatal(err)
			}
			own.expect("ok", "2")
			twin.expect("ok", "1", "2")
			other.expect("ok", "1", "2")
		})
	}
}

// TestEchoInHistory subscribes again: one's own are skipped there too, and
// when a gap is refilled.
func TestEchoInHistory(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		quiet := everything()
		quiet.Grants[0].Allow &^= earshot.Echo
		c := r.connect(quiet)
		sub, _ := c.subscribe(hub.Join{Channel: "c"})
		stored := message("c", "own")
		stored.Event = "stored"
		if err := c.send(stored); err != nil {
			r.Fatal(err)
		}
		c.conn.Unsubscribe(sub)
		c.subscribe(hub.Join{Channel: "c", After: beginning()})
		r.lose(1)
		if err := c.send(message("c", "lost")); err != nil {
			r.Fatal(err)
		}
		r.publish("c", "other")
		synctest.Wait()
		c.expect("ok", "ok", "other")
	})
}

// TestMayPublish asks what a client may.
func TestMayPublish(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.app.Rules = append(r.app.Rules, earshot.Rule{Channel: earshot.Exact("open"), Open: earshot.Subscribe | earshot.Publish})
		id := &earshot.Identity{App: "app", Grants: []earshot.Grant{
			{Channel: earshot.Exact("in"), Allow: earshot.Subscribe | earshot.Publish},
			{Channel: earshot.Exact("cast"), Allow: earshot.Broadcast},
			{Channel: earshot.Exact("mute"), Allow: earshot.Subscribe | earshot.Publish | earshot.Broadcast},
			{Channel: earshot.Exact("mute"), Deny: earshot.Publish},
			{Channel: earshot.Exact("read"), Allow: earshot.Subscribe},
			{Channel: earshot.Exact("open"), Events: []earshot.EventGrant{{Event: earshot.Exact("no"), Deny: earshot.Publish}}},
		}}
		c := r.connect(id)
		reason := func(channel, event string) string {
			m := message(channel, "x")
			m.Event = event
			if err := c.send(m); err != nil {
				return earshot.AsError(err).Reason
			}
			return ""
		}
		want := func(channel, event, want string) {
			r.Helper()
			if got := reason(channel, event); got != want {
				r.Errorf("%s %s: %q, want %q", channel, event, got, want)
			}
		}
		want("in", "", "NOT_SUBSCRIBED")
		want("cast", "", "")
		want("none", "", "PUBLISH")
		for _, channel := range []string{"in", "mute", "read", "open"} {
			c.subscribe(hub.Join{Channel: channel})
		}
		want("in", "", "")
		want("mute", "", "PUBLISH")
		want("read", "", "PUBLISH")
		want("open", "yes", "")
		want("open", "no", "PUBLISH")
		m := message("in", strings.Repeat("x", hub.MaxData+1))
		if err := c.send(m); earshot.CodeOf(err) != earshot.TooLarge {
			r.Errorf("%v", err)
		}
		nobody := r.connect(nil)
		if err := nobody.send(message("in", "x")); earshot.CodeOf(err) != earshot.Unauthenticated {
			r.Errorf("%v", err)
		}
	})
}

// TestStoreIsTheGrants has what a client may store said by its grants, not by
// its message; a live channel stores nothing.
func TestStoreIsTheGrants(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		c.subscribe(hub.Join{Channel: "c"})
		c.subscribe(hub.Join{Channel: "live"})
		for _, event := range []string{"stored", "passing"} {
			m := message("c", event)
			m.Event = event
			if err := c.send(m); err != nil {
				r.Fatal(err)
			}
		}
		page, err := c.conn.History(context.Background(), "c", hub.Range{})
		if err != nil || len(page.Messages) != 1 || string(page.Messages[0].Data) != "stored" {
			r.Errorf("%v %v", page.Messages, err)
		}
		if s := page.Messages[0].Sender; s == nil || s.UID != "u" || !s.HasUID {
			r.Errorf("sent by %+v", s)
		}
		m := message("live", "x")
		m.Event = "stored"
		if err := c.send(m); earshot.AsError(err) == nil || earshot.AsError(err).Reason != "LIVE_CHANNEL" {
			r.Errorf("%v", err)
		}
	})
}

// TestLiveIDsRise has many publishers on two nodes and a clock that steps.
func TestLiveIDsRise(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		second := newRig(r, hub.Config{}, r.store)
		var mu sync.Mutex
		seen := map[earshot.ID]bool{}
		var last earshot.ID
		enc := &hub.Encoding{Render: func(m *earshot.Message) *hub.Frame {
			mu.Lock()
			defer mu.Unlock()
			if seen[m.ID] || !m.ID.Position().IsZero() || m.ID.IsZero() {
				r.Errorf("id %v", m.ID)
			}
			if strings.HasPrefix(string(m.Data), "1") {
				if bytes.Compare(m.ID[:], last[:]) <= 0 {
					r.Errorf("%v after %v", m.ID, last)
				}
				last = m.ID
			}
			seen[m.ID] = true
			return nil
		}}
		c := r.connect(everything())
		c.subscribe(hub.Join{Channel: "live", Encoding: enc})
		var all sync.WaitGroup
		for i, node := range []*rig{r, second} {
			for range 8 {
				all.Go(func() {
					for range 50 {
						node.publish("live", fmt.Sprint(i+1))
						time.Sleep(time.Millisecond)
					}
				})
			}
		}
		all.Wait()
		synctest.Wait()
		if len(seen) != 800 || r.hub.Stats().Unrenderable != 800 {
			r.Errorf("%d messages, %d unrenderable", len(seen), r.hub.Stats().Unrenderable)
		}
	})
}

// TestKeysOnLive uses a key many times at once, and again after its window.
func TestKeysOnLive(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		c.subscribe(hub.Join{Channel: "live"})
		use := func(channel, key string) hub.Appended {
			a, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: message(channel, "x"), Key: key, WantID: true})
			if err != nil {
				r.Error(err)
			}
			return a
		}
		var mu sync.Mutex
		ids := map[earshot.ID]int{}
		firsts := 0
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				a := use("live", "k")
				mu.Lock()
				defer mu.Unlock()
				ids[a.ID]++
				if !a.Duplicate {
					firsts++
				}
			})
		}
		all.Wait()
		if len(ids) != 1 || firsts != 1 || ids[earshot.ID{}] != 0 {
			r.Errorf("%d ids, %d firsts", len(ids), firsts)
		}
		if use("live2", "k").Duplicate || use("live", "k2").Duplicate {
			r.Error("a key counts where it was not used")
		}
		time.Sleep(6 * time.Minute)
		if use("live", "k").Duplicate {
			r.Error("a key is remembered for too long")
		}
		synctest.Wait()
		c.expect("ok", "x", "x", "x")
	})
}

// TestLiveWithoutALink fails as a whole, and the key is free to be tried again.
func TestLiveWithoutALink(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		c.subscribe(hub.Join{Channel: "live"})
		p := func() (hub.Appended, error) {
			return r.hub.Publish(context.Background(), r.app, hub.Publication{Message: message("live", "x"), Key: "k"})
		}
		r.engine.Cut()
		if _, err := p(); earshot.CodeOf(err) != earshot.Unavailable {
			r.Errorf("%v", err)
		}
		r.engine.Restore()
		if a, err := p(); err != nil || a.Duplicate {
			r.Errorf("%+v %v", a, err)
		}
		synctest.Wait()
		c.expect("ok", "x")
	})
}

// TestHandlePublishesTogether settles what a Receive has published at its end,
// and before it waits.
func TestHandlePublishesTogether(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c, other := r.connect(everything()), r.connect(everything())
		c.subscribe(hub.Join{Channel: "live"})
		other.subscribe(hub.Join{Channel: "live"})
		block := make(chan struct{})
		c.handle = func(ctx context.Context, m hub.Input) error {
			if string(m.Data) == "wait" {
				for range 258 { // one runs, 256 wait, one does not fit
					c.conn.Do(func(context.Context) { <-block })
				}
				return nil
			}
			return c.conn.Publish(ctx, hub.Publication{Message: message("live", string(m.Data))}, func(hub.Appended, error) {})
		}
		c.conn.Receive(hub.Input{Data: []byte("1")}, hub.Input{Data: []byte("2")})
		other.expect("ok", "1", "2")
		go c.conn.Receive(hub.Input{Data: []byte("3")}, hub.Input{Data: []byte("wait")})
		synctest.Wait()
		other.expect("3")
		close(block)
		synctest.Wait()
	})
}

// TestTwoNodes delivers what one publishes to the clients of the other.
func TestTwoNodes(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		second := newRig(r, hub.Config{}, r.store)
		c, d := r.connect(everything()), second.connect(everything())
		for _, channel := range []string{"c", "live"} {
			c.subscribe(hub.Join{Channel: channel})
			d.subscribe(hub.Join{Channel: channel})
		}
		for i, channel := range []string{"c", "live"} {
			r.publish(channel, fmt.Sprint(i))
			synctest.Wait()
			second.publish(channel, fmt.Sprint(i+10))
			synctest.Wait()
		}
		want := []string{"ok", "ok", "0", "10", "1", "11"}
		c.expect(want...)
		d.expect(want...)
	})
}

// TestUnknownOutcome gives a publish up that takes too long.
func TestUnknownOutcome(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.slowAppends(time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := r.hub.Publish(ctx, r.app, hub.Publication{Message: message("c", "x"), Key: "k"})
		if earshot.CodeOf(err) != earshot.Unknown {
			r.Errorf("%v", err)
		}
		r.slowAppends(0)
		a, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: message("c", "x"), Key: "k"})
		if err != nil || !a.Duplicate {
			r.Errorf("%+v %v", a, err)
		}
		time.Sleep(2 * time.Minute)
	})
}

// TestPerPublisherOrder has what one connection publishes in the order of its messages.
func TestPerPublisherOrder(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		run(t, hub.Config{}, func(r *rig) {
			c := r.connect(everything())
			c.subscribe(hub.Join{Channel: channel})
			c.handle = func(ctx context.Context, m hub.Input) error {
				return c.conn.Publish(ctx, hub.Publication{Message: message(channel, string(m.Data))}, func(hub.Appended, error) {})
			}
			var in []hub.Input
			for _, n := range numbers(1, 500) {
				in = append(in, hub.Input{Data: []byte(n)})
			}
			c.conn.Receive(in...)
			synctest.Wait()
			if got := c.take(); !slices.Equal(got[1:], numbers(1, 500)) {
				r.Errorf("got %q", got)
			}
		})
	}
}
