package hub_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// heeding renders notices as key=data, and messages as their data.
func heeding() *hub.Encoding {
	return &hub.Encoding{Name: "heeding", Notices: true, Render: func(m *earshot.Message) *hub.Frame {
		if m.Notice == earshot.NoNotice {
			return hub.TextFrame(m.Data)
		}
		return hub.TextFrame([]byte(m.Key + "=" + string(m.Data)))
	}}
}

// observing may observe the entries that match, and all history.
func observing(keys string) *earshot.Identity {
	id := everything()
	id.Grants[0].Entries = []earshot.EntryGrant{{Key: earshot.Glob(keys), Allow: earshot.Observe}}
	return id
}

// announce tells of a revision of an entry; its data is the revision.
func (r *rig) announce(channel, key string, revision uint64) {
	r.Helper()
	p := hub.Publication{Message: &earshot.Message{Channel: channel, Notice: earshot.EntryChanged, Key: key, Data: strconv.AppendUint(nil, revision, 10)}}
	if err := r.hub.Announce(context.Background(), r.app, p, revision); err != nil {
		r.Fatal(err)
	}
	synctest.Wait()
}

// TestOlderNoticesAreNotHeard: of one thing, on whichever node the revisions were
// announced, live and in what a resume brings.
func TestOlderNoticesAreNotHeard(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		synctest.Test(t, func(t *testing.T) {
			store := mem.NewStore(mem.Config{})
			a, b := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
			one, two := a.connect(observing("*")), b.connect(observing("*"))
			for _, c := range []*client{one, two} {
				c.subscribe(hub.Join{Channel: channel, Encoding: heeding()})
			}
			a.announce(channel, "x", 5)
			b.announce(channel, "x", 7)
			b.announce(channel, "y", 6)
			a.announce(channel, "x", 4)
			b.announce(channel, "x", 7)
			a.announce(channel, "x", 8)
			for _, c := range []*client{one, two} {
				c.expect("ok", "x=5", "x=7", "y=6", "x=8")
			}
			if channel == "live" {
				return
			}
			// Neither from a ring nor from the log.
			for _, r := range []*rig{a, newRig(t, hub.Config{}, store)} {
				late := r.connect(observing("*"))
				late.subscribe(hub.Join{Channel: channel, Encoding: heeding(), After: beginning()})
				r.announce(channel, "x", 3)
				late.expect("ok", "x=5", "x=7", "y=6", "x=8")
			}
		})
	}
}

// TestWhoHearsNotices: who may observe, with an encoding that has words for them.
func TestWhoHearsNotices(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		some, none, deaf := r.connect(observing("x*")), r.connect(everything()), r.connect(observing("*"))
		some.subscribe(hub.Join{Channel: "c", Encoding: heeding()})
		none.subscribe(hub.Join{Channel: "c", Encoding: heeding()})
		deaf.subscribe(hub.Join{Channel: "c", Encoding: text()})
		r.announce("c", "x1", 1)
		r.announce("c", "y", 2)
		r.publish("c", "m")
		synctest.Wait()
		some.expect("ok", "x1=1", "m")
		none.expect("ok", "m")
		deaf.expect("ok", "m")
		page, err := some.conn.History(context.Background(), "c", hub.Range{})
		if err != nil || len(page.Messages) != 1 {
			t.Errorf("history shows %d messages, %v", len(page.Messages), err)
		}
		if seen := r.hub.Stats().Unrenderable; seen != 0 {
			t.Errorf("%d notices were counted as not renderable", seen)
		}
	})
}

// TestSaw: what a client was sent of an entry when it subscribed is not sent
// again, and nothing older; what is newer is. After a while it is forgotten.
func TestSaw(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(observing("*"))
		sub, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "c", Encoding: heeding()})
		if err != nil {
			t.Fatal(err)
		}
		r.announce("c", "x", 4) // held
		r.announce("c", "z", 5)
		sub.Saw("x", 6, time.Now())
		sub.Saw("y", 7, time.Now())
		if err := sub.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.expect("z=5")
		r.announce("c", "x", 6)
		r.announce("c", "y", 3)
		r.announce("c", "x", 8)
		r.announce("c", "y", 9)
		c.expect("x=8", "y=9")
		time.Sleep(2 * time.Minute)
		r.announce("c", "y", 10)
		c.expect("y=10")
	})
}

// TestAnnounceOnce: on a channel's log or live, by one node or several.
func TestAnnounceOnce(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		synctest.Test(t, func(t *testing.T) {
			store := mem.NewStore(mem.Config{})
			a, b := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
			c := b.connect(observing("*"))
			c.subscribe(hub.Join{Channel: channel, Encoding: heeding()})
			for _, r := range []*rig{a, b, a, b} {
				r.announce(channel, "x", 1)
			}
			c.expect("ok", "x=1")
		})
	}
}

// BenchmarkAnnounce tells many observers of 64 changes.
func BenchmarkAnnounce(b *testing.B) {
	const outstanding = 64
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("observers=%d", n), func(b *testing.B) {
			r := newRig(b, hub.Config{}, mem.NewStore(mem.Config{}))
			w, id, enc := &counter{all: make(chan struct{}, 1)}, observing("*"), heeding()
			for range n {
				c, err := r.hub.Open(r.hub.NextShard(), w, hub.Opening{App: r.app, Identity: id, Farewell: w})
				if err != nil {
					b.Fatal(err)
				}
				sub, _, err := c.Subscribe(context.Background(), hub.Join{Channel: "live", Encoding: enc})
				if err != nil {
					b.Fatal(err)
				}
				if err := sub.Start(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { c.Close(nil); c.Ended(hub.End{}) })
			}
			b.ReportAllocs()
			revision := uint64(0)
			for b.Loop() {
				w.want.Store(w.got.Load() + int64(outstanding*n))
				for range outstanding {
					revision++
					r.announce1(b, revision)
				}
				<-w.all
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*outstanding*n), "ns/delivery")
		})
	}
}

func (r *rig) announce1(b *testing.B, revision uint64) {
	p := hub.Publication{Message: &earshot.Message{Channel: "live", Notice: earshot.EntryChanged, Key: "k", Data: payload[:1]}}
	if err := r.hub.Announce(context.Background(), r.app, p, revision); err != nil {
		b.Fatal(err)
	}
}
