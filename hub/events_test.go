package hub_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// A recorder keeps events in memory. It wants what it has no reason not to.
type recorder struct {
	mu     sync.Mutex
	events []*hub.Event
	fails  error
	only   []hub.EventType
}

func (r *recorder) Wants(_ *earshot.App, t hub.EventType) bool {
	return r.only == nil || slices.Contains(r.only, t)
}

func (r *recorder) Record(e *hub.Event, done func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails == nil {
		r.events = append(r.events, e)
	}
	if done != nil {
		done(r.fails)
	}
}

// take returns what was recorded since the last call: a line for each.
func (r *recorder) take() (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		line := string(e.Type) + " " + e.App
		if e.Channel != "" {
			line += " " + e.Channel
		}
		if c := e.Conn; c != nil {
			line += fmt.Sprintf(" %s %s %s %v", c.UID, c.Meta, c.UserAgent, c.KeepAlive)
			if e.Channel == "" && (c.Opened.IsZero() || c.ID.IsZero() || c.Closed.IsZero() != (e.Type != hub.Disconnected)) {
				line += fmt.Sprintf(" opened %v, closed %v", c.Opened, c.Closed)
			}
		}
		if e.Type == hub.ChannelUpdated {
			line += fmt.Sprint(" ", e.Count)
		}
		if m := e.Message; m != nil {
			line += fmt.Sprintf(" %s", m.Data)
			if m.ID.IsZero() || m.Time.IsZero() {
				line += " without an id"
			}
		}
		if o := e.Origin; o != nil {
			line += fmt.Sprintf(" %s %s", o.Trigger, o.UserAgent)
		}
		if e.Time.IsZero() {
			line += " without a time"
		}
		lines = append(lines, line)
	}
	r.events = nil
	return lines
}

// recorded runs a test on a hub whose events are kept.
func recorded(t *testing.T, test func(*rig, *recorder)) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		e := store.Node()
		rec := &recorder{}
		r := rigOn(t, hub.Config{}, store, e, e)
		r.hub.SetRecorder(rec)
		test(r, rec)
	})
}

func (r *rig) wantEvents(rec *recorder, want ...string) {
	r.Helper()
	synctest.Wait()
	if got := rec.take(); !slices.Equal(got, want) {
		r.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// opens opens a connection with all that events tell of one.
func (r *rig) opens(id *earshot.Identity) *client {
	c := &client{rig: r}
	o := hub.Opening{App: r.app, Identity: id, Farewell: c, Remote: netip.MustParseAddr("192.0.2.1"), UserAgent: "ua", KeepAlive: true}
	if id == nil {
		o.App = nil
	}
	conn, err := r.hub.Open(r.hub.NextShard(), wire{c}, o)
	if err != nil {
		r.Fatal(err)
	}
	c.conn = conn
	conn.Serve(c)
	return c
}

func TestEventsOfAConnection(t *testing.T) {
	recorded(t, func(r *rig, rec *recorder) {
		c := r.opens(everything())
		r.wantEvents(rec, "connected app u  ua true")
		same, other := *everything(), *everything()
		c.conn.Enter(r.app, &same)
		r.wantEvents(rec) // nothing has changed
		other.Meta = []byte(`{"a":1}`)
		c.conn.Enter(r.app, &other)
		r.wantEvents(rec, `connectionUpdated app u {"a":1} ua true`)
		c.conn.Enter(&earshot.App{Slug: "second"}, &other)
		r.wantEvents(rec, `disconnected app u {"a":1} ua true`, `connected second u {"a":1} ua true`)
		c.conn.Close(nil)
		c.conn.Ended(hub.End{})
		r.wantEvents(rec, `disconnected second u {"a":1} ua true`)

		late := r.opens(nil)
		r.wantEvents(rec)
		late.conn.Enter(r.app, everything())
		r.wantEvents(rec, "connected app u  ua true")
		late.conn.Ended(hub.End{})
		r.wantEvents(rec, "disconnected app u  ua true")
		r.opens(nil).conn.Ended(hub.End{})
		r.wantEvents(rec)
	})
}

func TestEventsOfSubscriptions(t *testing.T) {
	recorded(t, func(r *rig, rec *recorder) {
		rec.only = []hub.EventType{hub.Subscribed, hub.Unsubscribed, hub.ChannelUpdated}
		c, d := r.opens(everything()), r.opens(everything())
		sub, _ := c.subscribe(hub.Join{Channel: "a"})
		time.Sleep(time.Second)
		r.wantEvents(rec, "subscribed app a u   false", "channelUpdated app a 1")
		c.conn.Unsubscribe(sub)
		c.conn.Unsubscribe(sub)
		d.subscribe(hub.Join{Channel: "b"})
		d.subscribe(hub.Join{Pattern: earshot.Glob("c*"), Allowed: true})
		d.conn.Ended(hub.End{})
		r.wantEvents(rec, "unsubscribed app a u   false", "subscribed app b u   false", "unsubscribed app b u   false")
		time.Sleep(time.Second)
		got := rec.take()
		slices.Sort(got)
		if want := []string{"channelUpdated app a 0", "channelUpdated app b 0"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		uncounted := everything()
		uncounted.Grants[0].Allow |= earshot.Uncounted
		r.opens(uncounted).subscribe(hub.Join{Channel: "a"})
		time.Sleep(time.Second)
		r.wantEvents(rec, "subscribed app a u   false")
		c.conn.Ended(hub.End{})
	})
}

// TestAStormIsCountedNowAndThen: the number is asked for a few times, and the
// last one is told.
func TestAStormIsCountedNowAndThen(t *testing.T) {
	recorded(t, func(r *rig, rec *recorder) {
		rec.only = []hub.EventType{hub.ChannelUpdated}
		const n = 500
		for range n {
			r.opens(everything()).subscribe(hub.Join{Channel: "a"})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		got := rec.take()
		if len(got) > 5 || len(got) == 0 || got[len(got)-1] != fmt.Sprintf("channelUpdated app a %d", n) {
			t.Errorf("told %d times, the last time %q", len(got), got[max(0, len(got)-1):])
		}
	})
}

func TestEventsOfMessages(t *testing.T) {
	recorded(t, func(r *rig, rec *recorder) {
		rec.only = []hub.EventType{hub.MessagePublished}
		publish := func(p hub.Publication) (hub.Appended, error) {
			return r.hub.Publish(context.Background(), r.app, p)
		}
		for _, channel := range []string{"a", "live"} {
			for _, want := range []bool{false, true} {
				a, err := publish(hub.Publication{Message: message(channel, "1"), Emit: true, WantID: want, Key: fmt.Sprint(want), Origin: &hub.Origin{Trigger: hub.ByServerHTTP}})
				if err != nil || want == a.ID.IsZero() {
					t.Errorf("%s: id %v, %v", channel, a.ID, err)
				}
			}
			r.wantEvents(rec, "messagePublished app "+channel+" 1 server.http ", "messagePublished app "+channel+" 1 server.http ")
			if _, err := publish(hub.Publication{Message: message(channel, "2")}); err != nil {
				t.Error(err)
			}
			r.wantEvents(rec) // was not asked for
			first, err := publish(hub.Publication{Message: message(channel, "3"), Emit: true, WantID: true, Key: "k"})
			if err != nil {
				t.Fatal(err)
			}
			second, err := publish(hub.Publication{Message: message(channel, "3"), Emit: true, WantID: true, Key: "k"})
			if err != nil || second.ID != first.ID || !second.Duplicate || rec.events[0].Message.ID != rec.events[1].Message.ID {
				t.Errorf("%s: repeated: %+v, %v; events of %v and %v", channel, second, err, rec.events[0].Message.ID, rec.events[1].Message.ID)
			}
			rec.take()
			rec.fails = earshot.Errorf(earshot.Full, "no room")
			if _, err := publish(hub.Publication{Message: message(channel, "4"), Emit: true, Key: "l"}); earshot.CodeOf(err) != earshot.Unknown {
				t.Errorf("%s: what was not recorded was answered by %v", channel, err)
			}
			rec.fails = nil
			if _, err := publish(hub.Publication{Message: message(channel, "4"), Emit: true, Key: "l"}); err != nil {
				t.Error(err)
			}
			r.wantEvents(rec, "messagePublished app "+channel+" 4")
		}
	})
}

// TestAClientsGrantsSayWhatIsEmitted, whatever its adapter asked for.
func TestAClientsGrantsSayWhatIsEmitted(t *testing.T) {
	recorded(t, func(r *rig, rec *recorder) {
		rec.only = []hub.EventType{hub.MessagePublished}
		id := everything()
		id.Grants[0].Events = append(id.Grants[0].Events, earshot.EventGrant{Event: earshot.Glob("told"), Allow: earshot.Emit})
		c := r.opens(id)
		c.subscribe(hub.Join{Channel: "a"})
		for _, event := range []string{"told", "other"} {
			m := message("a", event)
			m.Event = event
			if err := c.conn.Publish(context.Background(), hub.Publication{Message: m, Emit: true}, func(_ hub.Appended, err error) {
				if err != nil {
					t.Error(err)
				}
			}); err != nil {
				t.Error(err)
			}
		}
		r.wantEvents(rec, "messagePublished app a told client.websocket ua")
	})
}

// TestTheLastNumberIsTold of a channel whose subscribers go with the server.
func TestTheLastNumberIsTold(t *testing.T) {
	recorded(t, func(r *rig, rec *recorder) {
		rec.only = []hub.EventType{hub.ChannelUpdated}
		c := r.opens(everything())
		c.subscribe(hub.Join{Channel: "a"})
		time.Sleep(time.Second)
		r.wantEvents(rec, "channelUpdated app a 1")
		c.conn.Ended(hub.End{})
		r.hub.Close()
		r.wantEvents(rec, "channelUpdated app a 0")
	})
}

// TestNumbersAreOfAllNodes, and the last one that is told is right, whichever
// node tells it.
func TestNumbersAreOfAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		rec := &recorder{only: []hub.EventType{hub.ChannelUpdated}}
		a, b := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
		a.hub.SetRecorder(rec)
		b.hub.SetRecorder(rec)
		time.Sleep(10 * time.Second) // until they know each other
		for i := range 40 {
			on := a
			if i%2 == 1 {
				on = b
			}
			on.opens(everything()).subscribe(hub.Join{Channel: "c"})
			time.Sleep(37 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		got := rec.take()
		if len(got) == 0 || got[len(got)-1] != "channelUpdated app c 40" {
			t.Errorf("told %q", got)
		}
	})
}
