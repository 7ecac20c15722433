package hub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a hub on an engine in memory.
type rig struct {
	testing.TB
	engine *mem.Engine
	store  *mem.Store
	hub    *hub.Hub
	app    *earshot.App
}

// run runs a test on a rig, in a bubble.
func run(t *testing.T, config hub.Config, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newRig(t, config, mem.NewStore(mem.Config{}))) })
}

// newRig adds a node to the store. Channels that begin with "live" are live.
func newRig(t testing.TB, config hub.Config, store *mem.Store) *rig {
	e := store.Node()
	return rigOn(t, config, store, e, e)
}

// rigOn makes a hub on an engine that is a node, or is in front of one.
func rigOn(t testing.TB, config hub.Config, store *mem.Store, e *mem.Engine, front hub.Engine) *rig {
	r := &rig{TB: t, engine: e, store: store, hub: hub.New(config, front, slog.New(slog.DiscardHandler)), app: &earshot.App{
		Slug: "app", Rules: []earshot.Rule{{Channel: earshot.Glob("live*"), Live: true}},
	}}
	if err := r.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.Close(context.Background())
		r.hub.Close()
	})
	return r
}

// everything may all on every channel, and read all history.
func everything() *earshot.Identity {
	all := earshot.Subscribe | earshot.Publish | earshot.Echo
	begin := time.Unix(0, 0)
	return &earshot.Identity{App: "app", UID: "u", HasUID: true, Grants: []earshot.Grant{{
		Channel: earshot.Glob("*"), Allow: all, HistoryStart: &begin,
		Events: []earshot.EventGrant{{Event: earshot.Glob("stored*"), Store: earshot.Forever}},
	}}}
}

// text renders a message as its data.
func text() *hub.Encoding {
	return &hub.Encoding{Name: "text", Render: func(m *earshot.Message) *hub.Frame { return hub.TextFrame(m.Data) }}
}

// A client is a transport, a farewell and a handler in one. What it is sent is
// guarded by its shard's lock.
type client struct {
	*rig
	conn   *hub.Conn
	handle func(ctx context.Context, m hub.Input) error

	got     []string
	queue   []string
	waiting int
	stuck   bool // does not read
	bye     *hub.Goodbye
	ends    []hub.End
	peak    int // most bytes that ever waited
}

type wire struct{ *client }

func (w wire) Push(f *hub.Frame) int {
	w.queue = append(w.queue, string(f.Head)+string(f.Body))
	w.waiting += f.Len()
	w.peak = max(w.peak, w.waiting)
	return w.waiting
}

func (w wire) Flush() int {
	if w.stuck {
		return w.waiting
	}
	w.got = append(w.got, w.queue...)
	w.queue, w.waiting = nil, 0
	w.conn.Flushed()
	return 0
}

func (w wire) Close(g hub.Goodbye) {
	w.bye = &g
	if g.Drop {
		w.queue, w.waiting = nil, 0
		return
	}
	w.got = append(w.got, w.queue...)
	w.queue, w.waiting = nil, 0
	if g.Last != nil {
		w.got = append(w.got, string(g.Last.Body))
	}
}

// Farewell says the error's code.
func (c *client) Farewell(err error) (*hub.Frame, int, string) {
	if err == nil {
		return nil, 1000, ""
	}
	return hub.TextFrame([]byte("bye")), 4000 + int(earshot.CodeOf(err)), err.Error()
}

func (c *client) Handle(ctx context.Context, m hub.Input) error {
	if c.handle == nil {
		return errors.New("unexpected")
	}
	return c.handle(ctx, m)
}

func (c *client) Close(end hub.End) { c.ends = append(c.ends, end) }

// connect opens a connection as id.
func (r *rig) connect(id *earshot.Identity) *client {
	r.Helper()
	c := &client{rig: r}
	conn, err := r.hub.Open(r.hub.NextShard(), wire{c}, hub.Opening{App: r.app, Identity: id, Farewell: c})
	if err != nil {
		r.Fatal(err)
	}
	c.conn = conn
	conn.Serve(c)
	r.Cleanup(func() {
		conn.Close(nil)
		conn.Ended(hub.End{})
	})
	return c
}

// subscribe joins and starts, with a confirmation between.
func (c *client) subscribe(j hub.Join) (*hub.Sub, bool) {
	c.Helper()
	if j.Encoding == nil {
		j.Encoding = text()
	}
	sub, exact, err := c.conn.Subscribe(context.Background(), j)
	if err != nil {
		c.Fatalf("subscribe %q: %v", j.Channel, err)
	}
	if err := c.conn.Send(hub.TextFrame([]byte("ok"))); err != nil {
		c.Fatalf("%v, closed as %+v", err, c.closed())
	}
	if err := sub.Start(context.Background()); err != nil {
		c.Fatalf("start: %v", err)
	}
	return sub, exact
}

// take returns what the client was sent since the last call.
func (c *client) take() []string {
	c.conn.Shard().Lock()
	defer c.conn.Shard().Unlock()
	got := c.got
	c.got = nil
	return got
}

// closed is how the connection was closed, nil if it was not.
func (c *client) closed() *hub.Goodbye {
	c.conn.Shard().Lock()
	defer c.conn.Shard().Unlock()
	return c.bye
}

// read sets whether the client reads, and if so takes what waits.
func (c *client) read(reads bool) {
	c.conn.Shard().Lock()
	defer c.conn.Shard().Unlock()
	c.stuck = !reads
	wire{c}.Flush()
}

func (c *client) expect(want ...string) {
	c.Helper()
	if got := c.take(); !slices.Equal(got, want) {
		c.Errorf("got %q, want %q", got, want)
	}
}

func (c *client) expectClosed(code earshot.Code) {
	c.Helper()
	if bye := c.closed(); bye == nil || bye.Code != 4000+int(code) {
		c.Errorf("closed as %+v, want %v", bye, code)
	}
}

// message is one that is shown in history.
func message(channel, data string) *earshot.Message {
	m := &earshot.Message{Channel: channel, Kind: earshot.Text, Data: []byte(data)}
	if !strings.HasPrefix(channel, "live") {
		m.Store = earshot.Forever
	}
	return m
}

// publish publishes for the server, and waits until all is still.
func (r *rig) publish(channel string, data ...string) earshot.ID {
	r.Helper()
	var last earshot.ID
	for _, d := range data {
		a, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: message(channel, d), WantID: true})
		if err != nil {
			r.Fatalf("publish: %v", err)
		}
		last = a.ID
	}
	return last
}

// numbers are the texts from 'from' to 'to'.
func numbers(from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func beginning() *earshot.Position { return &earshot.Position{} }

func after(id earshot.ID) *earshot.Position {
	p := id.Position()
	return &p
}

// inOrder reports what is wrong with numbers that should go on one by one up to last.
func inOrder(got []string, first, last int) error {
	for i, g := range got {
		if g != strconv.Itoa(first+i) {
			return fmt.Errorf("%s in the place of %d, after %q", g, first+i, got[max(0, i-3):i])
		}
	}
	if len(got) != last-first+1 {
		return fmt.Errorf("%d messages, want %d", len(got), last-first+1)
	}
	return nil
}

// slowAppends makes the outcome of every append come late.
func (r *rig) slowAppends(d time.Duration) {
	r.store.OnAppend(func(int, *earshot.Message) mem.Outcome { return mem.Outcome{Delay: d} })
}
