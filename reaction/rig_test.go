package reaction_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/reaction"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is nodes that share a store.
type world struct {
	testing.TB
	store *mem.Store
	nodes []*node
}

// A node is a hub with its reactions, and a recorder of its own.
type node struct {
	*world
	app       *earshot.App
	records   *counted
	hub       *hub.Hub
	reactions *reaction.Store
	events    *events
}

func run(t *testing.T, n int, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t, n)) })
}

func newWorld(t testing.TB, n int) *world {
	w := &world{TB: t, store: mem.NewStore(mem.Config{})}
	for range n {
		e := w.store.Node()
		n := &node{world: w, records: &counted{Records: e}, events: &events{}, app: &earshot.App{Slug: "app"}}
		n.hub = hub.New(hub.Config{Shards: 2}, e, slog.New(slog.DiscardHandler))
		n.hub.SetRecorder(n.events)
		n.reactions = reaction.New(n.hub, n.records)
		if err := n.hub.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.nodes = append(w.nodes, n)
		t.Cleanup(func() {
			_ = e.Close(context.Background())
			n.hub.Close()
		})
	}
	return w
}

// counted counts what is asked of the records.
type counted struct {
	hub.Records
	gets, puts, lists, listed atomic.Int64
}

func (c *counted) Get(ctx context.Context, key hub.Key) (hub.Record, error) {
	c.gets.Add(1)
	return c.Records.Get(ctx, key)
}

func (c *counted) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	c.puts.Add(1)
	return c.Records.Put(ctx, key, data, revision, ttl)
}

func (c *counted) List(ctx context.Context, prefix, after hub.Key, limit int) ([]hub.Record, bool, error) {
	c.lists.Add(1)
	rs, more, err := c.Records.List(ctx, prefix, after, limit)
	c.listed.Add(int64(len(rs)))
	return rs, more, err
}

// events are what was recorded.
type events struct {
	mu   sync.Mutex
	all  []*hub.Event
	fail error
}

func (e *events) Wants(*earshot.App, hub.EventType) bool { return true }

func (e *events) Record(ev *hub.Event, done func(error)) {
	e.mu.Lock()
	err := e.fail
	if err == nil && ev.Reaction != nil {
		e.all = append(e.all, ev)
	}
	e.mu.Unlock()
	if done != nil {
		done(err)
	}
}

func (e *events) take() []*hub.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// A client hears notices, and messages.
type client struct {
	*node
	conn *hub.Conn
	mu   sync.Mutex
	got  []string
}

func (c *client) Push(f *hub.Frame) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, string(f.Body))
	return 0
}

func (c *client) Flush() int                               { c.conn.Flushed(); return 0 }
func (c *client) Farewell(error) (*hub.Frame, int, string) { return nil, 0, "" }
func (c *client) Handle(context.Context, hub.Input) error  { return nil }

type wire struct{ *client }

func (wire) Close(hub.Goodbye) {}

type handler struct{ *client }

func (handler) Close(hub.End) {}

// reacting may react with any value to events that begin with any, and with 👍
// to those that begin with thumb.
func reacting(uid string) *earshot.Identity {
	return &earshot.Identity{App: "app", UID: uid, HasUID: uid != "", Meta: []byte(`{"of":"` + uid + `"}`), Grants: []earshot.Grant{{
		Channel: earshot.Glob("*"), Allow: earshot.Subscribe, Events: []earshot.EventGrant{
			{Event: earshot.Glob("any*"), React: earshot.Reactions{Any: true}},
			{Event: earshot.Glob("thumb*"), React: earshot.Reactions{Values: []string{"👍"}}},
			{Event: earshot.Glob("*emit"), Allow: earshot.Emit},
		},
	}}}
}

func (n *node) connect(id *earshot.Identity) *client {
	n.Helper()
	c := &client{node: n}
	conn, err := n.hub.Open(n.hub.NextShard(), wire{c}, hub.Opening{App: n.app, Identity: id, Farewell: c})
	if err != nil {
		n.Fatal(err)
	}
	c.conn = conn
	conn.Serve(handler{c})
	n.Cleanup(func() {
		conn.Close(nil)
		conn.Ended(hub.End{})
	})
	return c
}

func (c *client) subscribe(channel string) *client {
	c.Helper()
	sub, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: channel, Encoding: &hub.Encoding{
		Name: "test", Notices: true, Render: func(m *earshot.Message) *hub.Frame {
			if m.Notice == earshot.NoNotice {
				return hub.TextFrame(m.Data)
			}
			return hub.TextFrame(fmt.Appendf(nil, "%s %s", m.Sender.UID, m.Data[len(`{"messageId":"`)+26+len(`",`):]))
		},
	}})
	if err != nil {
		c.Fatal(err)
	}
	if err := sub.Start(context.Background()); err != nil {
		c.Fatal(err)
	}
	return c
}

func (c *client) take() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

func (c *client) expect(want ...string) {
	c.Helper()
	if got := c.take(); fmt.Sprint(got) != fmt.Sprint(want) {
		c.Errorf("got %q, want %q", got, want)
	}
}

// publish stores a message.
func (n *node) publish(channel, event string, store time.Duration) earshot.ID {
	n.Helper()
	r, err := n.hub.Publish(context.Background(), n.app, hub.Publication{
		Message: &earshot.Message{Channel: channel, Event: event, Data: []byte(`"` + event + `"`), Store: store}, WantID: true,
	})
	if err != nil {
		n.Fatal(err)
	}
	return r.ID
}

// react changes a reaction as the client.
func (c *client) react(id earshot.ID, value string, remove bool) (bool, error) {
	return c.reactions.ApplyBy(context.Background(), c.conn, reaction.Change{Channel: "c", Message: id, Value: value, Remove: remove}, "echoed")
}

func (c *client) must(id earshot.ID, value string, remove, changed bool) {
	c.Helper()
	if got, err := c.react(id, value, remove); err != nil || got != changed {
		c.Errorf("%s: changed is %v, %v", value, got, err)
	}
}

// of lists reactions as uid:value.
func (n *node) of(id earshot.ID) []string {
	n.Helper()
	all, err := n.reactions.Of(context.Background(), n.app, "c", id)
	if err != nil {
		n.Fatal(err)
	}
	var got []string
	for _, r := range all {
		got = append(got, r.UID+":"+r.Value)
	}
	return got
}
