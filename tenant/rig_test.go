package tenant_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node is one server with all that apps need.
type node struct {
	hub       *hub.Hub
	directory *auth.Directory
	tokens    *auth.Verifier
	live      *tenant.Live
	store     *tenant.Store
	log       *logged
	logger    *slog.Logger
	keys      *tenant.Keyring
}

// logged is what a node logs.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func keyring(t testing.TB, keys ...string) *tenant.Keyring {
	t.Helper()
	text := ""
	for _, k := range keys {
		text += k + ","
	}
	k, err := tenant.NewKeyring(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newNode adds a node to a store. The settings have the app "fixed".
func newNode(t testing.TB, records *mem.Store, keys *tenant.Keyring) *node {
	t.Helper()
	return newNodeOf(t, records, keys, &earshot.App{Slug: "fixed", Hosts: []string{"fixed.example"}})
}

// newNodeOf adds a node whose settings have these apps.
func newNodeOf(t testing.TB, records *mem.Store, keys *tenant.Keyring, apps ...*earshot.App) *node {
	t.Helper()
	e := records.Node()
	n := &node{log: &logged{}, keys: keys}
	log := slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n.logger = log
	var err error
	if n.directory, err = auth.NewDirectory(apps); err != nil {
		t.Fatal(err)
	}
	n.tokens = auth.NewVerifier(n.directory, nil)
	n.hub = hub.New(hub.Config{}, e, log)
	n.hub.SetApps(n.directory.BySlug)
	if err := n.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	n.live = tenant.NewLive(n.directory, keys, map[string]string{"publish": "the server"}, log)
	if err := n.live.Start(context.Background(), e, n.hub); err != nil {
		t.Fatal(err)
	}
	n.store = tenant.New(tenant.Config{Records: e, Keys: keys, Live: n.live, Log: log})
	t.Cleanup(func() {
		n.live.Close()
		_ = e.Close(context.Background())
		n.hub.Close()
	})
	return n
}

var operator = tenant.Actor{Name: "ann", Address: "192.0.2.1"}

func (n *node) create(t testing.TB, d *tenant.Draft) *tenant.App {
	t.Helper()
	a, err := n.store.Create(context.Background(), operator, d)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func draft(slug string) *tenant.Draft {
	return &tenant.Draft{App: tenant.App{Slug: slug, Active: true}}
}

// expectReason expects an error of a code and reason.
func expectReason(t testing.TB, what string, err error, code earshot.Code, reason string) {
	t.Helper()
	var e *earshot.Error
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		t.Errorf("%s: %v, want %v %s", what, err, code, reason)
	}
}

// A client is a connection that notes how it ends.
type client struct {
	mu   sync.Mutex
	conn *hub.Conn
	bye  *hub.Goodbye
}

func (c *client) Push(*hub.Frame) int { return 0 }
func (c *client) Flush() int          { return 0 }
func (c *client) Close(g hub.Goodbye) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bye = &g
}

func (c *client) Farewell(err error) (*hub.Frame, int, string) {
	return nil, 4000 + int(earshot.CodeOf(err)), err.Error()
}

func (c *client) kicked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bye != nil && c.bye.Code == 4000+int(earshot.Kicked)
}

type handler struct{}

func (handler) Handle(context.Context, hub.Input) error { return nil }
func (handler) Close(hub.End)                           {}

func (n *node) connect(t testing.TB, slug string) *client {
	t.Helper()
	c := &client{}
	conn, err := n.hub.Open(n.hub.NextShard(), c, hub.Opening{
		App: n.directory.BySlug(slug), Farewell: c,
		Identity: &earshot.Identity{App: slug, UID: "u", HasUID: true, Grants: []earshot.Grant{{Channel: earshot.Glob("*"), Allow: earshot.Subscribe}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	conn.Serve(handler{})
	t.Cleanup(func() {
		conn.Close(errors.New("the test is over"))
		conn.Ended(hub.End{})
	})
	return c
}
