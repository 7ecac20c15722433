package function

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

// Bounds.
const (
	// MaxPayload is how many bytes an event may have, maxAnswer what a function may
	// answer. They are Lambda's.
	MaxPayload = 6 << 20
	maxAnswer  = MaxPayload + 100
	// defaultTimeout and defaultCopies count where a function says nothing.
	defaultTimeout = 3 * time.Second
	defaultCopies  = 10
	defaultMemory  = 128
)

// nameLetters are what a function's name consists of. It is the name of a file too.
const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// Config says what a host runs, and how. Zero durations and numbers are the
// defaults.
type Config struct {
	// Apps are the applications. Of their gateways that are trusted, the functions
	// with a command or a source are hosted.
	Apps []*earshot.App
	// Keys are the access keys that the functions of an app are given, by its slug.
	Keys map[string]earshot.AccessKey
	// Data is a directory of the host's own: binaries and certificates. It is made.
	Data string
	// Handler is the server itself: what functions say to the management API goes
	// to it.
	Handler http.Handler
	// Init is how long a process may take until it asks for its first event, by
	// default 10 s. Idle is how long one that has nothing to do is kept, by default
	// 10 min. Grace is how long Close lets calls go on, by default 3 s.
	Init, Idle, Grace time.Duration
	// Waiting is how many calls of one function may wait for a copy, and how many
	// more for which nobody waits; by default 1000.
	Waiting int
	Log     *slog.Logger
}

// A Host runs functions. It is safe for concurrent use.
type Host struct {
	config  Config
	pools   map[string]map[string]*pool // by app, by name
	order   []*pool                     // as they stand in the settings
	proxy   *proxy
	starter *starter
	count   counters
	closing chan struct{}
	close   sync.Once
}

// New makes a host; nothing runs before Start. It fails if two functions of an
// app have one name.
func New(c Config) (*Host, error) {
	c.Init, c.Idle, c.Grace = or(c.Init, 10*time.Second), or(c.Idle, 10*time.Minute), or(c.Grace, 3*time.Second)
	c.Waiting = or(c.Waiting, 1000)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &Host{config: c, pools: map[string]map[string]*pool{}, closing: make(chan struct{})}
	for _, a := range c.Apps {
		if err := h.add(a); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Hosted reports whether a function is one that a host runs, rather than one of
// a service elsewhere.
func Hosted(g *earshot.Gateway, f *earshot.GatewayFunction) bool {
	return g.Trusted && f.Endpoint == "" && (len(f.Command) > 0 || f.Source != "")
}

// Any reports whether an app has a function that a host runs.
func Any(a *earshot.App) bool {
	for i := range a.Gateways {
		for j := range a.Gateways[i].Functions {
			if Hosted(&a.Gateways[i], &a.Gateways[i].Functions[j]) {
				return true
			}
		}
	}
	return false
}

// add makes the pools of an app.
func (h *Host) add(a *earshot.App) error {
	pools := map[string]*pool{}
	for i := range a.Gateways {
		g := &a.Gateways[i]
		for j := range g.Functions {
			f := &g.Functions[j]
			if !Hosted(g, f) {
				continue
			}
			if f.Name == "" || strings.Trim(f.Name, nameLetters) != "" {
				return fmt.Errorf("app %q: a function cannot be named %q", a.Slug, f.Name)
			}
			if pools[f.Name] != nil {
				return fmt.Errorf("app %q has two functions %q", a.Slug, f.Name)
			}
			pools[f.Name] = newPool(h, a, g, f)
			h.order = append(h.order, pools[f.Name])
		}
	}
	if len(pools) > 0 {
		h.pools[a.Slug] = pools
	}
	return nil
}

// Start builds what is to be built, which may take minutes, and starts one copy
// of each function, which it does not wait for. It fails with what does not
// build, all of it. Close is due even then.
func (h *Host) Start(ctx context.Context) error {
	if len(h.order) == 0 {
		return nil
	}
	if !hosting {
		return errors.New("functions do not run on this system: give them an endpoint elsewhere")
	}
	if err := os.MkdirAll(h.config.Data, 0o700); err != nil {
		return fmt.Errorf("the directory of functions: %w", err)
	}
	var all error
	for _, p := range h.order {
		all = errors.Join(all, p.prepare(ctx))
	}
	if all != nil {
		return all
	}
	var err error
	if h.proxy, err = newProxy(h.config, filepath.Join(h.config.Data, "ca.pem")); err != nil {
		return err
	}
	h.starter = newStarter()
	for _, p := range h.order {
		p.warm()
	}
	return nil
}

// Close ends all. Calls that are under way may end within Config.Grace, or until
// ctx ends; then their processes are killed, and with them what they started.
// When it returns nothing of the host is left. Calling it again does nothing.
func (h *Host) Close(ctx context.Context) error {
	h.close.Do(func() {
		close(h.closing)
		grace, cancel := context.WithTimeout(ctx, h.config.Grace)
		defer cancel()
		var ending sync.WaitGroup
		for _, p := range h.order {
			ending.Go(func() { p.close(grace) })
		}
		ending.Wait()
		if h.starter != nil {
			h.starter.stop()
		}
		if h.proxy != nil {
			h.proxy.close()
		}
	})
	return nil
}

func (h *Host) closed() bool {
	select {
	case <-h.closing:
		return true
	default:
		return false
	}
}

// find returns the pool of a function, or why there is none.
func (h *Host) find(app, name string) (*pool, error) {
	p := h.pools[app][name]
	if p == nil {
		return nil, errUnknown(name)
	}
	if h.closed() || h.starter == nil {
		return nil, errStopped()
	}
	return p, nil
}

// newID draws the id of a call: a UUID of version 4.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
