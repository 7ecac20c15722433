package prototest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// A world is one promise's server and its clients.
type world struct {
	*testing.T
	d       *Dialect
	carrier Carrier

	store    *mem.Store
	engine   *mem.Engine
	hub      *hub.Hub
	apps     *auth.Directory
	spy      *spy
	protocol proto.Protocol // the spy, for the edges
	dialer   dialer
	clients  []*client
}

// The applications of the suite. In both, channels that begin with "live" are
// live, and the second ends its clients with their proofs.
const (
	appOne = "one"
	appTwo = "two"
)

// queueBytes is how much may wait for a client that does not read.
const queueBytes = 256 << 10

func newWorld(t *testing.T, d *Dialect, on Carrier) *world {
	t.Helper()
	w := &world{T: t, d: d, carrier: on, engine: mem.New(mem.Config{})}
	w.store = w.engine.Store()
	log := slog.New(slog.DiscardHandler)
	var err error
	if w.apps, err = auth.NewDirectory(tenants(d)); err != nil {
		t.Fatalf("the dialect's apps: %v", err)
	}
	w.hub = hub.New(hub.Config{Shards: 2, QueueBytes: queueBytes}, w.engine, log)
	if err := w.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.end)
	p, err := d.New(proto.Deps{Hub: w.hub, Apps: w.apps, Tokens: auth.NewVerifier(w.apps, w.engine), Log: log})
	if err != nil {
		t.Fatalf("the dialect's New: %v", err)
	}
	w.spy = newSpy(p, w.Errorf)
	w.protocol = w.spy.watch()
	if w.dialer, err = newDialer(w, log); err != nil {
		t.Fatal(err)
	}
	return w
}

func tenants(d *Dialect) []*earshot.App {
	all := []*earshot.App{{Slug: appOne}, {Slug: appTwo, ExpiryCloses: true}}
	for _, a := range all {
		a.Rules = []earshot.Rule{{Channel: earshot.Glob("live*"), Live: true}}
		if d.App != nil {
			d.App(a)
		}
	}
	return all
}

// end ends all clients and the server, and waits for them.
func (w *world) end() {
	if w.Failed() {
		for _, c := range w.clients {
			w.Logf("%s heard: %s", c.name, strings.Join(c.heard, ", "))
		}
	}
	for _, c := range w.clients {
		c.wire.drop()
	}
	if w.dialer != nil {
		w.dialer.close()
	}
	if err := w.engine.Close(context.Background()); err != nil {
		w.Errorf("closing the engine: %v", err)
	}
	w.hub.Close()
}

// patience is how long something may take that must come.
func (w *world) patience() time.Duration {
	if w.carrier.virtual() {
		return 10 * time.Minute
	}
	return 20 * time.Second
}

// wait waits for c.
func wait[T any](w *world, what string, c <-chan T) (v T) {
	w.Helper()
	timer := time.NewTimer(w.patience())
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		w.Fatalf("never happened: %s", what)
	}
	return v
}

// app is one of the suite's applications.
func (w *world) app(slug string) *earshot.App { return w.apps.BySlug(slug) }

// publish publishes a text as the application's own server, stored for ever
// where the channel is logged.
func (w *world) publish(app, channel, data string) {
	w.Helper()
	m := &earshot.Message{Channel: channel, Event: "e", Kind: earshot.Text, Data: []byte(data)}
	w.publishMessage(app, m)
}

func (w *world) publishMessage(app string, m *earshot.Message) {
	w.Helper()
	if !strings.HasPrefix(m.Channel, "live") {
		m.Store = earshot.Forever
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.patience())
	defer cancel()
	if _, err := w.hub.Publish(ctx, w.app(app), hub.Publication{Message: m}); err != nil {
		w.Errorf("publishing to %s: %v", m.Channel, err) // perhaps not on the test's goroutine
	}
}

// numbers publishes the numbers from one to another.
func (w *world) numbers(channel string, from, to int) {
	w.Helper()
	for i := from; i <= to; i++ {
		w.publish(appOne, channel, fmt.Sprint(i))
	}
}

// allowed is a client of the first application that may do all of may on the
// channels.
func allowed(uid string, may earshot.Action, channels ...string) Client {
	c := Client{App: appOne, UID: uid, Expires: time.Now().Add(24 * time.Hour)}
	for _, name := range channels {
		c.Grants = append(c.Grants, Grant{Channel: name, May: may})
	}
	return c
}

// listener may subscribe to the channels.
func listener(uid string, channels ...string) Client {
	return allowed(uid, earshot.Subscribe, channels...)
}
