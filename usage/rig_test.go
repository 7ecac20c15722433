package usage_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/usage"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A meter is a source of counts that a test sets.
type meter struct {
	mu   sync.Mutex
	uses map[string]*hub.AppUse
}

func (m *meter) AppUses(fresh bool) []hub.AppUse {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []hub.AppUse
	for _, u := range m.uses {
		all = append(all, *u)
		if fresh {
			u.Peak = u.Connections
		}
	}
	return all
}

// use counts for an app.
func (m *meter) use(app string, f func(u *hub.AppUse)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uses == nil {
		m.uses = map[string]*hub.AppUse{}
	}
	u := m.uses[app]
	if u == nil {
		u = &hub.AppUse{App: app}
		m.uses[app] = u
	}
	f(u)
	u.Peak = max(u.Peak, u.Connections)
}

// sends counts messages.
func (m *meter) sends(app string, n uint64) {
	m.use(app, func(u *hub.AppUse) {
		u.MessagesIn += n
		u.BytesIn += 10 * n
		u.MessagesOut += 2 * n
		u.BytesOut += 30 * n
		u.Calls += n
		u.AuthFailures++
	})
}

// connects sets how many connections there are.
func (m *meter) connects(app string, n int) {
	m.use(app, func(u *hub.AppUse) { u.Connections = n })
}

// A server is a node that may be started again.
type server struct {
	meter  *meter
	engine *mem.Engine
	rec    *usage.Recorder
	over   bool
}

// start starts a server on a store, in a bubble.
func start(t testing.TB, store *mem.Store) *server {
	s := &server{meter: &meter{}, engine: store.Node()}
	s.rec = usage.NewRecorder(s.meter, s.engine, slog.New(slog.DiscardHandler))
	s.rec.Start()
	t.Cleanup(func() { s.crash() })
	return s
}

// stop stops it as it should.
func (s *server) stop(t testing.TB) {
	t.Helper()
	s.over = true
	if err := s.rec.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	_ = s.engine.Close(context.Background())
}

// crash ends it so that it writes nothing any more.
func (s *server) crash() {
	if s.over {
		return
	}
	s.over = true
	_ = s.engine.Close(context.Background())
	_ = s.rec.Close(context.Background())
}

func read(t testing.TB, store *mem.Store, app string, g usage.Granularity, from, to time.Time) []usage.Row {
	t.Helper()
	return readOf(t, store, app, 0, g, from, to)
}

// readOf is read for an app with a number.
func readOf(t testing.TB, store *mem.Store, app string, id int64, g usage.Granularity, from, to time.Time) []usage.Row {
	t.Helper()
	e := store.Node()
	defer func() { _ = e.Close(context.Background()) }()
	rows, err := usage.NewStore(e).Read(context.Background(), app, id, g, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// texts are rows as short texts.
func texts(rows []usage.Row) []string {
	var all []string
	for _, r := range rows {
		all = append(all, fmt.Sprintf("%s in=%d out=%d bytes=%d/%d calls=%d failures=%d peak=%d",
			r.Start.Format("02 15:04"), r.MessagesIn, r.MessagesOut, r.BytesIn, r.BytesOut, r.Calls, r.AuthFailures, r.PeakConnections))
	}
	return all
}

func expect(t testing.TB, what string, got []usage.Row, want ...string) {
	t.Helper()
	if g := texts(got); !slices.Equal(g, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, g, want)
	}
}

// A node is a whole hub with live figures.
type node struct {
	hub  *hub.Hub
	live *usage.Live
	rec  *usage.Recorder
}

var app = &earshot.App{Slug: "app", Rules: []earshot.Rule{{Channel: earshot.Glob("*"), Live: true}}}

func newNode(t testing.TB, store *mem.Store) *node {
	t.Helper()
	e := store.Node()
	log := slog.New(slog.DiscardHandler)
	n := &node{hub: hub.New(hub.Config{}, e, log)}
	if err := n.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	n.rec = usage.NewRecorder(n.hub, e, log)
	n.rec.Start()
	n.live = usage.NewLive(n.hub, n.rec)
	t.Cleanup(func() {
		_ = n.rec.Close(context.Background())
		_ = e.Close(context.Background())
		n.hub.Close()
	})
	return n
}

// A wire takes everything.
type wire struct{}

func (wire) Push(*hub.Frame) int                      { return 0 }
func (wire) Flush() int                               { return 0 }
func (wire) Close(hub.Goodbye)                        {}
func (wire) Farewell(error) (*hub.Frame, int, string) { return nil, 0, "" }
func (wire) Handle(context.Context, hub.Input) error  { return nil }
func (wire) Ended()                                   {}
func text(m *earshot.Message) *hub.Frame              { return hub.TextFrame(append([]byte("> "), m.Data...)) }

var encoding = &hub.Encoding{Name: "text", Render: text}

// subscribe connects a client that hears channels.
func (n *node) subscribe(t testing.TB, channels ...string) *hub.Conn {
	t.Helper()
	who := &earshot.Identity{App: "app", Grants: []earshot.Grant{{Channel: earshot.Glob("*"), Allow: earshot.Subscribe}}}
	c, err := n.hub.Open(n.hub.NextShard(), wire{}, hub.Opening{App: app, Identity: who, Farewell: wire{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range channels {
		sub, _, err := c.Subscribe(context.Background(), hub.Join{Channel: name, Encoding: encoding})
		if err == nil {
			err = sub.Start(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { c.Close(nil); c.Ended(hub.End{}) })
	return c
}

func (n *node) publish(t testing.TB, channel, data string) {
	t.Helper()
	m := &earshot.Message{Channel: channel, Kind: earshot.Text, Data: []byte(data)}
	if _, err := n.hub.Publish(context.Background(), app, hub.Publication{Message: m}); err != nil {
		t.Fatal(err)
	}
}
