package entry_test

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
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is nodes that share a store.
type world struct {
	*testing.T
	store *mem.Store
	nodes []*node
}

// A node is a hub with its entries, and a recorder and a waker of its own.
type node struct {
	*world
	app     *earshot.App
	engine  *mem.Engine
	records *records
	hub     *hub.Hub
	entries *entry.Store
	events  *events
	waker   *waker
}

// run runs a test in a world of n nodes, in virtual time.
func run(t *testing.T, n int, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, store: mem.NewStore(mem.Config{})}
		for range n {
			w.start()
		}
		test(w)
	})
}

// start adds a node. Channels that begin with live are live.
func (w *world) start() *node {
	e := w.store.Node()
	n := &node{world: w, engine: e, records: &records{Records: e}, events: &events{}}
	n.app = &earshot.App{Slug: "app", Rules: []earshot.Rule{{Channel: earshot.Glob("live*"), Live: true}}}
	n.hub = hub.New(hub.Config{Shards: 2}, e, slog.New(slog.DiscardHandler))
	n.hub.SetRecorder(n.events)
	n.waker = &waker{node: n}
	n.entries = entry.New(n.hub, n.records, n.waker)
	if err := n.hub.Start(context.Background()); err != nil {
		w.Fatal(err)
	}
	w.nodes = append(w.nodes, n)
	w.Cleanup(func() {
		n.waker.stop()
		_ = e.Close(context.Background())
		n.hub.Close()
	})
	return n
}

// records can fail, or wait, at a Put.
type records struct {
	hub.Records
	mu    sync.Mutex
	onPut func(hub.Key) error // called before; an error is Put's, after it was done if it is Unknown
	lists atomic.Int32        // how many pages were read
}

func (r *records) List(ctx context.Context, prefix, after hub.Key, limit int) ([]hub.Record, bool, error) {
	r.lists.Add(1)
	return r.Records.List(ctx, prefix, after, limit)
}

func (r *records) at(f func(hub.Key) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onPut = f
}

func (r *records) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	r.mu.Lock()
	f := r.onPut
	r.mu.Unlock()
	var err error
	if f != nil {
		err = f(key)
	}
	if err != nil && earshot.CodeOf(err) != earshot.Unknown {
		return 0, err
	}
	rev, failed := r.Records.Put(ctx, key, data, revision, ttl)
	if err == nil {
		err = failed
	}
	return rev, err
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
	if err == nil && ev.Type == hub.EntryChanged {
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

// A waker calls with timers of its own.
type waker struct {
	node   *node
	mu     sync.Mutex
	timers map[string]*time.Timer
	over   bool
	calls  sync.WaitGroup
}

func (w *waker) Wake(_ context.Context, a *earshot.App, id string, at time.Time, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timers == nil {
		w.timers = map[string]*time.Timer{}
	}
	if old := w.timers[id]; old != nil {
		old.Stop()
	}
	w.timers[id] = time.AfterFunc(time.Until(at), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.over {
			return
		}
		w.calls.Go(func() {
			if err := w.node.entries.Expire(context.Background(), a, data); err != nil {
				w.node.Errorf("expire: %v", err)
			}
		})
	})
	return nil
}

func (w *waker) stop() {
	w.mu.Lock()
	w.over = true
	for _, t := range w.timers {
		t.Stop()
	}
	w.mu.Unlock()
	w.calls.Wait()
}

// A client hears notices.
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

// may is an identity that may do this to all entries of all channels.
func may(uid string, actions earshot.Action) *earshot.Identity {
	return &earshot.Identity{App: "app", UID: uid, HasUID: true, Grants: []earshot.Grant{{
		Channel: earshot.Glob("*"), Allow: earshot.Subscribe, Entries: []earshot.EntryGrant{{Key: earshot.Glob("*"), Allow: actions}},
	}}}
}

const everything = earshot.Observe | earshot.ReadEntry | earshot.WriteEntry

// connect opens a connection.
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

// line is a notice as the clients of the tests are told of it.
func line(key string, data []byte) string { return fmt.Sprintf("%s=%s", key, data) }

// subscribe joins, is sent what it observes, and goes live.
func (c *client) subscribe(channel string) *hub.Sub {
	c.Helper()
	sub, err := c.join(channel)
	if err != nil {
		c.Fatal(err)
	}
	return sub
}

func (c *client) join(channel string) (*hub.Sub, error) {
	ctx := context.Background()
	sub, _, err := c.conn.Subscribe(ctx, hub.Join{Channel: channel, Encoding: &hub.Encoding{
		Name: "test", Notices: true, Render: func(m *earshot.Message) *hub.Frame { return hub.TextFrame([]byte(line(m.Key, m.Data))) },
	}})
	if err != nil {
		return nil, err
	}
	err = c.entries.Observed(ctx, c.app, sub, "", func(e entry.Entry) bool {
		_ = c.conn.Send(hub.TextFrame([]byte(line(e.Key, e.Data))))
		return true
	})
	if err != nil {
		return nil, err
	}
	return sub, sub.Start(ctx)
}

// take returns what the client was sent since the last call.
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

// set writes for the server, for ever.
func (n *node) set(channel, key, data string) bool {
	n.Helper()
	changed, err := n.entries.Set(context.Background(), n.app, entry.Write{Channel: channel, Key: key, Data: []byte(data), Store: earshot.Forever})
	if err != nil {
		n.Fatalf("set %s=%s: %v", key, data, err)
	}
	return changed
}

func (n *node) get(channel, key string) string {
	n.Helper()
	e, err := n.entries.Get(context.Background(), n.app, channel, key)
	if err != nil {
		n.Fatal(err)
	}
	return string(e.Data)
}
