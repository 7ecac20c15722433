package schedule_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/schedule"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is some nodes on one store.
type rig struct {
	testing.TB
	store *mem.Store
	app   *earshot.App
	gone  atomic.Bool // the app
	nodes []*node
	log   bytes.Buffer
	logMu sync.Mutex
}

// A node is a hub with its timers.
type node struct {
	*rig
	*front
	hub       *hub.Hub
	timers    *schedule.Timers
	publisher *schedule.Publisher
	stopped   bool
}

// front stands before an engine: what a killed process asks for reaches nobody.
type front struct {
	*mem.Engine
	dead  atomic.Bool
	slow  atomic.Int64 // how long each write takes
	puts  atomic.Int64
	onPut func(data []byte) // after; nil for nothing
}

var errDead = earshot.Errorf(earshot.Unavailable, "the process is dead")

func (f *front) Get(ctx context.Context, key hub.Key) (hub.Record, error) {
	if f.dead.Load() {
		return hub.Record{}, errDead
	}
	return f.Engine.Get(ctx, key)
}

func (f *front) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	if d := f.slow.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	if f.dead.Load() {
		return 0, errDead
	}
	f.puts.Add(1)
	revision, err := f.Engine.Put(ctx, key, data, revision, ttl)
	if f.onPut != nil && err == nil {
		f.onPut(data)
	}
	return revision, err
}

func (f *front) Delete(ctx context.Context, key hub.Key, revision uint64) error {
	if f.dead.Load() {
		return errDead
	}
	return f.Engine.Delete(ctx, key, revision)
}

func (f *front) Append(m *earshot.Message, o hub.AppendOptions, done func(hub.Appended, error)) {
	if f.dead.Load() {
		done(hub.Appended{}, errDead)
		return
	}
	f.Engine.Append(m, o, done)
}

// Write takes a line of the log.
func (r *rig) Write(b []byte) (int, error) {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.log.Write(b)
}

// logged is what was logged.
func (r *rig) logged() string {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.log.String()
}

// run runs a test on some nodes, in virtual time.
func run(t *testing.T, nodes int, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{TB: t, store: mem.NewStore(mem.Config{Cap: 100_000}), app: &earshot.App{
			Slug: "app", Rules: []earshot.Rule{{Channel: earshot.Glob("live*"), Live: true}},
		}}
		for range nodes {
			r.start()
		}
		t.Cleanup(func() {
			for _, n := range r.nodes {
				n.stop()
			}
		})
		test(r)
	})
}

// start starts another node. Prepare may change its timers before.
func (r *rig) start(prepare ...func(*node)) *node {
	n := &node{rig: r, front: &front{Engine: r.store.Node()}}
	log := slog.New(slog.NewTextHandler(r, nil))
	n.hub = hub.New(hub.Config{}, n.front, log)
	if err := n.hub.Start(context.Background()); err != nil {
		r.Fatal(err)
	}
	n.timers = schedule.New(n.front, log)
	n.publisher = schedule.NewPublisher(n.timers, n.hub, n.front, func(slug string) *earshot.App {
		if slug != "app" || r.gone.Load() {
			return nil
		}
		return r.app
	})
	for _, f := range prepare {
		f(n)
	}
	n.timers.Start()
	r.nodes = append(r.nodes, n)
	return n
}

// stop stops a node regularly, or takes what is left of a dead one away.
func (n *node) stop() {
	if n.stopped {
		return
	}
	n.stopped = true
	n.timers.Close()
	_ = n.Engine.Close(context.Background())
	n.hub.Close()
}

// publish schedules a message.
func (n *node) publish(at time.Time, channel, data string) string {
	n.Helper()
	return n.publication(at, hub.Publication{Message: &earshot.Message{
		Channel: channel, Event: "e", Kind: earshot.Text, Data: []byte(data), Store: earshot.Forever,
	}})
}

func (n *node) publication(at time.Time, p hub.Publication) string {
	n.Helper()
	id, err := n.publisher.Publish(context.Background(), n.app, at, p)
	if err != nil {
		n.Fatalf("scheduling: %v", err)
	}
	return id
}

// messages reads what a channel holds.
func (r *rig) messages(channel string) []*earshot.Message {
	r.Helper()
	reader := r.store.Node()
	defer reader.Close(context.Background())
	var all []*earshot.Message
	for after := (hub.Range{Hidden: true}); ; after.After = all[len(all)-1].ID.Position() {
		page, err := reader.Read(context.Background(), "app", channel, after)
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, page.Messages...)
		if !page.More {
			return all
		}
	}
}

// expect checks what a channel holds.
func (r *rig) expect(channel string, want ...string) {
	r.Helper()
	got := []string{}
	for _, m := range r.messages(channel) {
		got = append(got, string(m.Data))
	}
	if !slices.Equal(got, want) {
		r.Errorf("%s holds %s, want %s", channel, brief(got), brief(want))
	}
}

// pending checks how many timers are left, by the store and by each node.
func (r *rig) pending(want int) {
	r.Helper()
	synctest.Wait()
	reader := r.store.Node()
	defer reader.Close(context.Background())
	records, _, err := reader.List(context.Background(), hub.Key{"timer"}, nil, 1_000_000)
	if err != nil || len(records) != want {
		r.Errorf("the store holds %d timers (%v), want %d", len(records), err, want)
	}
	for i, n := range r.nodes {
		if got := n.timers.Stats().Pending; !n.stopped && !n.dead.Load() && got != want {
			r.Errorf("node %d knows %d timers, want %d", i, got, want)
		}
	}
}

// after lets time pass until a moment, and all come to rest.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func brief(all []string) string {
	text := strings.Join(all, " ")
	return fmt.Sprintf("%d: %s", len(all), text[:min(len(text), 200)])
}
