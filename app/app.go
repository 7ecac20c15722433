package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/console"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/tenant"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/usage"
	"github.com/earshot-io/earshot/ws"
)

// Options are what a server is made of besides its settings. The zero Options
// are a production server's.
type Options struct {
	// Log is where the server logs; by default nowhere.
	Log *slog.Logger
	// Open opens the engine; by default the one of the settings.
	Open func(ctx context.Context, c *config.Config, log *slog.Logger) (Engine, error)
	// Protocols are what is spoken; by default everything there is.
	Protocols []proto.Entry
	// Dev opens the page of a development server; nil for none.
	Dev *Dev
	// Seeds are apps that are made at the first start, those that are not there and
	// never were.
	Seeds []*tenant.Draft
	// Gateways are WebSocket APIs beside those of the settings, by the slug of their
	// app.
	Gateways map[string][]earshot.Gateway
}

// Dev is what the page of a development server works with.
type Dev = console.Dev

// An App is a server. It is started once and stopped once.
type App struct {
	config   *config.Config
	options  Options
	log      *slog.Logger
	apps     *auth.Directory
	lent     map[string]earshot.AccessKey // to functions, by the slug of their app
	operator *auth.Operator               // nil if nobody may make apps
	keys     *tenant.Keyring
	live     *tenant.Live
	tenants  *tenant.Store
	listener net.Listener
	server   *http.Server
	door     *transport.Door
	recorder *usage.Recorder
	hub      *hub.Hub // set before the state is ready
	engine   Engine

	state   atomic.Int32
	front   atomic.Pointer[http.Handler]
	running sync.WaitGroup // what Start began
	cancel  context.CancelFunc
	up      chan struct{} // closed when the server is ready or has failed
	failed  chan struct{} // closed when it cannot go on

	mu       sync.Mutex
	err      error // why it cannot go on
	teardown []step
}

// A step takes one thing down again.
type step struct {
	name string
	down func(context.Context) error
}

// The states, in order.
const (
	created int32 = iota
	starting
	ready
	stopping
)

// New makes a server of settings that were loaded. It fails with
// config.Problems if they are not such as a server can run with: without an app
// and without keys it does not.
func New(c *config.Config, o Options) (*App, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Open == nil {
		o.Open = openEngine
	}
	if o.Protocols == nil {
		o.Protocols = Protocols()
	}
	tenants, err := check(c, o.Protocols)
	if err != nil {
		return nil, err
	}
	for _, t := range tenants {
		t.Gateways = append(t.Gateways, o.Gateways[t.Slug]...)
	}
	lent := lend(tenants)
	apps, err := auth.NewDirectory(tenants)
	if err != nil {
		return nil, err
	}
	operator, err := c.Operator()
	if err != nil {
		return nil, err // cannot be: it was checked
	}
	keys, err := c.MasterKeys()
	if err != nil {
		return nil, err // likewise
	}
	a := &App{
		config: c, options: o, log: o.Log, apps: apps, lent: lent, operator: operator, keys: keys, door: transport.NewDoor(c.Limits.Handshakes),
		up: make(chan struct{}), failed: make(chan struct{}),
	}
	var front http.Handler = http.HandlerFunc(a.serveStarting)
	a.front.Store(&front)
	return a, nil
}

// Check reports all that is wrong with settings, as config.Problems.
func Check(c *config.Config) error {
	_, err := check(c, Protocols())
	return err
}

func check(c *config.Config, entries []proto.Entry) ([]*earshot.App, error) {
	var all config.Problems
	collect := func(err error) {
		var p config.Problems
		if errors.As(err, &p) {
			all = append(all, p...)
		} else if err != nil {
			all = append(all, err.Error())
		}
	}
	collect(c.Check())
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name)
	}
	collect(c.CheckProtocols(names))
	tenants, err := c.Tenants()
	collect(err)
	taken := ws.Taken(entries)
	for _, a := range tenants {
		if owner, ok := taken[a.Slug]; ok {
			collect(fmt.Errorf("apps: the slug %q is taken: the path /%s belongs to %s", a.Slug, a.Slug, owner))
		}
	}
	if len(all) > 0 {
		return nil, all
	}
	return tenants, nil
}

// Start listens, and returns; the rest comes up meanwhile. Up says when it has.
func (a *App) Start() error {
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	if err := a.listen(); err != nil {
		cancel()
		return errors.Join(err, a.unwind(context.Background()))
	}
	a.state.Store(starting)
	a.running.Go(func() {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.fail(err)
		}
	})
	a.running.Go(func() {
		defer close(a.up)
		if err := a.bringUp(ctx); err != nil {
			a.fail(err)
		}
	})
	return nil
}

// Up waits until the server is ready. It returns why it is not going to be, or
// the end of the context.
func (a *App) Up(ctx context.Context) error {
	select {
	case <-a.up:
		return a.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Failed is closed when the server cannot go on; Err says why. It is still to
// be stopped.
func (a *App) Failed() <-chan struct{} { return a.failed }

// Err returns why the server cannot go on, nil if it can.
func (a *App) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Addr is where the server listens, once it was started.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// Secure reports whether it speaks TLS.
func (a *App) Secure() bool { return a.config.TLS.Cert != "" }

func (a *App) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && a.state.Load() != stopping {
		a.err = err
		close(a.failed)
	}
}

// onStop registers how something is taken down, the moment that it exists.
func (a *App) onStop(name string, down func(context.Context) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.teardown = append(a.teardown, step{name, down})
}

// unwind takes everything down, the last first. An error does not stop it.
func (a *App) unwind(ctx context.Context) error {
	var all error
	for {
		a.mu.Lock()
		n := len(a.teardown)
		if n == 0 {
			a.mu.Unlock()
			return all
		}
		last := a.teardown[n-1]
		a.teardown = a.teardown[:n-1]
		a.mu.Unlock()
		if err := last.down(ctx); err != nil {
			a.log.Warn("stopping", "what", last.name, "err", err)
			all = errors.Join(all, err)
		}
	}
}

// whyNot says why the server does not serve, nil if it does.
func (a *App) whyNot() error {
	switch a.state.Load() {
	case ready:
		if ok, reason := a.engine.Ready(); !ok {
			return errors.New(reason)
		}
		return nil
	case stopping:
		return errors.New("stopping")
	}
	return errors.New("starting")
}
