package hub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// TestConfirmHistoryHeldLive has one of each, in this order.
func TestConfirmHistoryHeldLive(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.publish("c", "1", "2")
		c := r.connect(everything())
		sub, exact, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "c", Encoding: text(), After: beginning()})
		if err != nil || !exact {
			r.Fatalf("%v %v", exact, err)
		}
		r.publish("c", "3")
		synctest.Wait()
		c.expect()
		if err := c.conn.Send(hub.TextFrame([]byte("ok"))); err != nil {
			r.Fatal(err)
		}
		r.publish("c", "4")
		synctest.Wait()
		c.expect("ok")
		if err := sub.Start(context.Background()); err != nil {
			r.Fatal(err)
		}
		r.publish("c", "5")
		synctest.Wait()
		c.expect("1", "2", "3", "4", "5")
	})
}

func TestLiveOnlyHearsNoHistory(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		run(t, hub.Config{}, func(r *rig) {
			r.publish(channel, "before")
			c := r.connect(everything())
			c.subscribe(hub.Join{Channel: channel})
			r.publish(channel, "after")
			synctest.Wait()
			c.expect("ok", "after")
		})
	}
}

// TestFreshNodeKnowsTheStream has a node that starts when much is stored: it
// tells neither old messages as live ones, nor history twice.
func TestFreshNodeKnowsTheStream(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.publish("c", numbers(1, 700)...)
		late := newRig(r, hub.Config{}, r.store)
		live, all := late.connect(everything()), late.connect(everything())
		live.subscribe(hub.Join{Channel: "c"})
		sub, _, err := all.conn.Subscribe(context.Background(), hub.Join{Channel: "c", Encoding: text(), After: beginning()})
		if err != nil {
			r.Fatal(err)
		}
		r.publish("c", "701")
		synctest.Wait()
		if err := sub.Start(context.Background()); err != nil {
			r.Fatal(err)
		}
		r.publish("c", "702")
		synctest.Wait()
		live.expect("ok", "701", "702")
		if err := inOrder(all.take(), 1, 702); err != nil {
			r.Error(err)
		}
	})
}

// TestFirstMessageLost loses the first message that a node would hear.
func TestFirstMessageLost(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.publish("c", "0")
		late := newRig(r, hub.Config{}, r.store)
		c := late.connect(everything())
		c.subscribe(hub.Join{Channel: "c"})
		r.lose(1)
		r.publish("c", "1", "2")
		synctest.Wait()
		c.expect("ok", "1", "2")
	})
}

// lose loses the next n republished messages on all nodes.
func (r *rig) lose(n int) {
	lost := map[earshot.ID]bool{}
	r.store.OnRepublish(func(_ int, m *earshot.Message) mem.Fate {
		if !lost[m.ID] && len(lost) < n {
			lost[m.ID] = true
		}
		return mem.Fate{Lost: lost[m.ID]}
	})
}

// TestRandomJoins joins, leaves and resumes at random, while a publisher goes
// on and the network loses, doubles and delays: every client gets each number
// once and in order, from where it began.
func TestRandomJoins(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			run(t, hub.Config{Shards: 3}, func(r *rig) { randomJoins(r, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

type walker struct {
	*client
	sub  *hub.Sub
	seen int // the last number
	last earshot.Position
}

func randomJoins(r *rig, dice *rand.Rand) {
	second := newRig(r, hub.Config{Shards: 2}, r.store)
	r.store.Slow(time.Duration(dice.IntN(4))*time.Millisecond, time.Duration(dice.IntN(3))*time.Millisecond)
	r.store.Lag(uint64(dice.IntN(20)))
	faults, fates := dice.IntN(100), rand.New(rand.NewPCG(dice.Uint64(), 2))
	r.store.OnRepublish(func(int, *earshot.Message) mem.Fate {
		if fates.IntN(200) >= faults {
			return mem.Fate{}
		}
		return mem.Fate{Lost: fates.IntN(3) == 0, Twice: fates.IntN(3) == 0, Late: time.Duration(fates.IntN(3)) * time.Millisecond}
	})
	const last = 600
	published := make(chan struct{})
	pauses := make([]time.Duration, last+1)
	for i := range pauses {
		pauses[i] = time.Duration(dice.IntN(2000)) * time.Microsecond
	}
	defer func() { <-published }()
	go func() {
		defer close(published)
		for i := 1; i <= last; i++ {
			r.publish("c", fmt.Sprint(i))
			time.Sleep(pauses[i])
		}
	}()
	var clients []*walker
	for range 12 {
		on := []*rig{r, second}[dice.IntN(2)]
		w := &walker{client: on.connect(everything())}
		clients = append(clients, w)
		time.Sleep(time.Duration(dice.IntN(60)) * time.Millisecond)
		w.join()
		if dice.IntN(2) == 0 {
			time.Sleep(time.Duration(dice.IntN(30)) * time.Millisecond)
			w.conn.Unsubscribe(w.sub)
			w.collect()
			time.Sleep(time.Duration(dice.IntN(30)) * time.Millisecond)
			w.join()
		}
	}
	<-published
	r.store.OnRepublish(nil)
	time.Sleep(time.Minute) // the audit finds what was lost last
	for i, w := range clients {
		w.collect()
		if w.seen != last || w.closed() != nil {
			r.Errorf("client %d has %d of %d, closed as %+v", i, w.seen, last, w.closed())
		}
	}
}

// join subscribes from what was seen last.
func (w *walker) join() {
	w.Helper()
	numbered := &hub.Encoding{Render: func(m *earshot.Message) *hub.Frame {
		return hub.TextFrame([]byte(string(m.Data) + " " + m.ID.String()))
	}}
	sub, exact := w.subscribe(hub.Join{Channel: "c", After: &w.last, Encoding: numbered})
	if !exact {
		w.Errorf("a join after %d is not exact", w.seen)
	}
	w.sub = sub
}

func (w *walker) collect() {
	w.Helper()
	for _, g := range w.take() {
		if g == "ok" {
			continue
		}
		number, id, _ := strings.Cut(g, " ")
		if number != fmt.Sprint(w.seen+1) {
			w.Fatalf("%s after %d", g, w.seen)
		}
		w.seen++
		last, err := earshot.ParseID(id)
		if err != nil {
			w.Fatal(err)
		}
		w.last = last.Position()
	}
}

// TestLongHistory has a client that reads slowly: only a page waits for it.
func TestLongHistory(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		const n = 3000
		data := strings.Repeat("x", 1000)
		for range n {
			r.publish("c", data)
		}
		c := r.connect(everything())
		c.read(false)
		done := make(chan bool)
		c.conn.Do(func(ctx context.Context) {
			defer close(done)
			c.subscribe(hub.Join{Channel: "c", After: beginning()})
		})
		got := 0
		for reading := true; reading; {
			time.Sleep(10 * time.Millisecond)
			c.read(true)
			c.read(false)
			got += len(c.take())
			select {
			case <-done:
				reading = false
			default:
			}
		}
		c.read(true)
		got += len(c.take())
		if got != n+1 || c.closed() != nil {
			r.Errorf("%d frames of %d, closed as %+v", got, n+1, c.closed())
		}
		if c.peak > 512<<10 {
			r.Errorf("%d bytes waited for the client", c.peak)
		}
	})
}

// A flood is an engine that publishes after each of the first reads.
type flood struct {
	*mem.Engine
	times   int
	publish func()
}

func (f *flood) Read(ctx context.Context, app, channel string, r hub.Range) (hub.Page, error) {
	page, err := f.Engine.Read(ctx, app, channel, r)
	if f.times > 0 && !r.Reverse {
		f.times--
		f.publish()
	}
	return page, err
}

// TestHeldOverflow publishes more during each read of a join than may be held,
// and than the ring remembers.
func TestHeldOverflow(t *testing.T) {
	for times := range 8 {
		synctest.Test(t, func(t *testing.T) {
			store := mem.NewStore(mem.Config{})
			f := &flood{Engine: store.Node(), times: times}
			r := rigOn(t, hub.Config{QueueBytes: 30_000}, store, f.Engine, f)
			sent := 0
			f.publish = func() {
				for range 140 {
					sent++
					r.publish("c", fmt.Sprint(sent))
				}
				synctest.Wait()
			}
			c := r.connect(everything())
			sub, exact, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "c", Encoding: text(), After: beginning()})
			if err != nil || !exact {
				t.Fatalf("%v %v", exact, err)
			}
			err = sub.Start(context.Background())
			if times > 3 { // after the first read, and after each that began again
				if earshot.CodeOf(err) != earshot.Slow || c.closed() == nil {
					t.Errorf("%d floods: %v, closed as %+v", times, err, c.closed())
				}
				return
			}
			if err != nil {
				t.Fatalf("%d floods: %v", times, err)
			}
			r.publish("c", fmt.Sprint(sent+1))
			synctest.Wait()
			if err := inOrder(c.take(), 1, sent+1); err != nil {
				t.Errorf("%d floods: %v", times, err)
			}
		})
	}
}

// TestHeldOverflowOnLive has no log to read again: the client is cut.
func TestHeldOverflowOnLive(t *testing.T) {
	run(t, hub.Config{QueueBytes: 10_000}, func(r *rig) {
		c := r.connect(everything())
		sub, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "live", Encoding: text()})
		if err != nil {
			r.Fatal(err)
		}
		for range 100 {
			r.publish("live", strings.Repeat("x", 1000))
		}
		synctest.Wait()
		if err := sub.Start(context.Background()); earshot.CodeOf(err) != earshot.Slow {
			r.Errorf("%v", err)
		}
		c.expectClosed(earshot.Slow)
	})
}

func TestUnsubscribeThenSilence(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		sub, _ := c.subscribe(hub.Join{Channel: "c"})
		r.publish("c", "1")
		synctest.Wait()
		if !c.conn.Unsubscribe(sub) || c.conn.Unsubscribe(sub) || c.conn.Sub("c") != nil {
			r.Error("it did not end once")
		}
		r.publish("c", "2")
		synctest.Wait()
		c.expect("ok", "1")
		c.subscribe(hub.Join{Channel: "c"})
		r.publish("c", "3")
		synctest.Wait()
		c.expect("ok", "3")
	})
}

// TestUnsubscribeDuringHistory ends a subscription between two of its pages.
func TestUnsubscribeDuringHistory(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.publish("c", numbers(1, 600)...)
		c := r.connect(everything())
		sub, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "c", Encoding: text(), After: beginning()})
		if err != nil {
			r.Fatal(err)
		}
		c.read(false)
		started := make(chan error)
		go func() { started <- sub.Start(context.Background()) }()
		synctest.Wait()
		c.conn.Unsubscribe(sub)
		c.read(true)
		if err := <-started; err != nil {
			r.Error(err)
		}
		r.publish("c", "601")
		synctest.Wait()
		if got := c.take(); len(got) != 256 || c.closed() != nil {
			r.Errorf("%d messages, closed as %+v", len(got), c.closed())
		}
	})
}

func TestRefusedJoins(t *testing.T) {
	run(t, hub.Config{MaxSubscriptions: 2}, func(r *rig) {
		id := &earshot.Identity{App: "app", Grants: []earshot.Grant{{Channel: earshot.Glob("a*"), Allow: earshot.Subscribe}}}
		c := r.connect(id)
		ask := func(j hub.Join) (*hub.Sub, earshot.Code) {
			j.Encoding = text()
			sub, _, err := c.conn.Subscribe(context.Background(), j)
			return sub, earshot.CodeOf(err)
		}
		first, _ := ask(hub.Join{Channel: "a1"})
		for _, w := range []struct {
			j    hub.Join
			want earshot.Code
		}{
			{hub.Join{Channel: "b"}, earshot.Forbidden},
			{hub.Join{Pattern: earshot.Glob("a*")}, earshot.Forbidden},
			{hub.Join{Channel: strings.Repeat("a", 300)}, earshot.Invalid},
			{hub.Join{Channel: "a1"}, earshot.Conflict},
		} {
			sub, code := ask(w.j)
			if code != w.want || w.want == earshot.Conflict && sub != first {
				r.Errorf("%q: %v %v", w.j.Channel, sub, code)
			}
		}
		if _, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "b", Encoding: text(), Allowed: true}); err != nil {
			r.Error(err)
		}
		if _, code := ask(hub.Join{Channel: "a2"}); code != earshot.Limited {
			r.Errorf("a third: %v", code)
		}
		r.publish("b2", "secret")
		synctest.Wait()
		c.expect()
	})
}

// TestChannelsAreForgotten leaves nothing behind.
func TestChannelsAreForgotten(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		p := r.connect(everything())
		sub, _ := p.subscribe(hub.Join{Pattern: earshot.Glob("*"), Allowed: true})
		for i := range 100 {
			for _, name := range []string{fmt.Sprintf("c.%d", i), fmt.Sprintf("live.%d", i)} {
				c.subscribe(hub.Join{Channel: name})
				r.publish(name, "x")
			}
		}
		synctest.Wait()
		p.conn.Unsubscribe(sub)
		c.conn.Close(nil)
		c.conn.Ended(hub.End{})
		time.Sleep(2 * time.Minute)
		if n := r.hub.Stats().Channels; n != 0 {
			r.Errorf("%d channels are left", n)
		}
	})
}
