package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
)

// The bounds of what a Gate logs: one line for an app and origin each originEvery,
// for originsKnown of them at a time.
const (
	originEvery  = time.Minute
	originsKnown = 1000
	maxOrigin    = 200 // bytes that are logged
	sweepEvery   = time.Second
)

// A GateConfig is what a Gate knows of the server.
type GateConfig struct {
	// Client says from where a request came, behind proxies too, and whether by
	// TLS; nil believes nobody but the connection itself.
	Client func(*http.Request) (addr netip.Addr, secure bool)
	// Settings is the file with the apps of the settings, empty for none.
	Settings string
	Log      *slog.Logger
}

// A Gate judges the way by which a client comes to an app: by TLS where the app
// requires it (earshot.App.RequireTLS), and from an origin that it lists. Every
// edge asks it as soon as it knows the app: at the handshake if host, path or
// token say which, else when the first message does. It is safe for concurrent
// use; a nil Gate judges the same, and logs and counts nothing.
//
// What is there already when an app begins to require TLS, or drops an origin,
// stays: both are judged when a client comes.
//
// A refused origin is logged with what the app allows and how the origin would
// be let in, once a minute for an app and origin. Of more than a thousand such
// pairs in a minute the others are only counted.
type Gate struct {
	config GateConfig

	origins, plain atomic.Uint64

	mu     sync.Mutex
	logged map[refusedOrigin]time.Time
	more   uint64 // refused since the last line, and not logged
	// swept is when old pairs were last dropped: a flood must not cost a look at all
	// of them each time.
	swept time.Time
}

type refusedOrigin struct{ app, origin string }

// NewGate makes a gate.
func NewGate(c GateConfig) *Gate { return &Gate{config: c, logged: map[refusedOrigin]time.Time{}} }

// errPlain is what did not come over TLS.
var errPlain = &earshot.Error{Code: earshot.Forbidden, Reason: "TLS_REQUIRED", Text: "this app is reached over TLS only: use https:// or wss://"}

var errOrigin = &earshot.Error{Code: earshot.Forbidden, Reason: "ORIGIN", Text: "this origin may not connect"}

// A Way is how a client came: the Origin that its request said, empty for none, the
// Host that it asked, and whether it came over TLS.
type Way struct {
	Origin, Host string
	Secure       bool
}

// WayOf is the way of a request.
func WayOf(r *http.Request, secure bool) Way {
	return Way{Origin: r.Header.Get("Origin"), Host: r.Host, Secure: secure}
}

// Admit judges a client that begins a dialogue with an app: nil if it may. A nil
// app, one that is not known yet, admits everybody. It fails with Forbidden.
func (g *Gate) Admit(a *earshot.App, by Way) error {
	if a == nil {
		return nil
	}
	if err := g.Secured(a, by.Secure); err != nil {
		return err
	}
	if a.AllowsOrigin(by.Origin, by.Host) {
		return nil
	}
	if g != nil {
		g.origins.Add(1)
		g.warn(a, by.Origin)
	}
	return errOrigin
}

// Secured judges what came to an app over TLS, or not: nil if it may go on, else
// Forbidden.
func (g *Gate) Secured(a *earshot.App, secure bool) error {
	if !a.RequireTLS || secure {
		return nil
	}
	if g != nil {
		g.plain.Add(1)
	}
	return errPlain
}

// Request is Secured of an HTTP request.
func (g *Gate) Request(r *http.Request, a *earshot.App) error { return g.Secured(a, g.secure(r)) }

// Call judges a request to an app's HTTP side that is no handshake. Moved says
// that it was answered here: a GET or HEAD that should have come over TLS is sent
// there by 308, which is not to be remembered. Everything else that should have
// is Forbidden, since its body has been told by then.
func (g *Gate) Call(w http.ResponseWriter, r *http.Request, a *earshot.App) (moved bool, err error) {
	err = g.Request(r, a)
	host := hostOf(r.Host)
	if err == nil || host == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false, err
	}
	w.Header().Set("Location", "https://"+host+r.URL.RequestURI())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusPermanentRedirect)
	return true, nil
}

// Refused returns how many clients came from an origin that their app does not
// list, and how much came without the TLS that its app requires.
func (g *Gate) Refused() (origins, plain uint64) { return g.origins.Load(), g.plain.Load() }

func (g *Gate) secure(r *http.Request) bool {
	if g == nil || g.config.Client == nil {
		return r.TLS != nil
	}
	_, secure := g.config.Client(r)
	return secure
}

// hostOf is a Host without its port: nobody knows behind which one TLS is spoken,
// so it is the usual one. It is empty for what is no host.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
		if strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
	}
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[]:") != "" {
		return ""
	}
	return host
}

// warn logs a refused origin, if it is its turn.
func (g *Gate) warn(a *earshot.App, origin string) {
	more, ok := g.turn(refusedOrigin{a.Slug, origin[:min(len(origin), maxOrigin)]}, time.Now())
	if !ok || g.config.Log == nil {
		return
	}
	args := []any{"app", a.Slug, "origin", origin[:min(len(origin), maxOrigin)], "allowed", a.Origins, "to allow it", g.remedy(a, origin)}
	if more > 0 {
		args = append(args, "not logged before", more)
	}
	g.config.Log.Log(context.Background(), slog.LevelWarn, "a refused origin", args...)
}

// turn reports whether a refusal is to be logged, and how many were not since the
// last one that was.
func (g *Gate) turn(r refusedOrigin, now time.Time) (more uint64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at, known := g.logged[r]; known && now.Sub(at) < originEvery {
		g.more++
		return 0, false
	}
	if len(g.logged) >= originsKnown && now.Sub(g.swept) >= sweepEvery {
		g.swept = now
		for old, at := range g.logged {
			if now.Sub(at) >= originEvery {
				delete(g.logged, old)
			}
		}
	}
	if len(g.logged) >= originsKnown {
		g.more++
		return 0, false
	}
	g.logged[r] = now
	more, g.more = g.more, 0
	return more, true
}

// remedy is the line that would let an origin in. It is made to be copied, so
// there is none for an origin of which a shell or a file could make anything else:
// whoever has no browser sends what he likes.
func (g *Gate) remedy(a *earshot.App, origin string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/[]"
	if !earshot.ValidOrigin(origin) || len(origin) > maxOrigin || strings.Trim(origin, plain) != "" {
		return "no list of origins can hold it; an app without a list allows every origin"
	}
	all := append(append([]string(nil), a.Origins...), origin)
	if a.ID != 0 {
		line := "earshot app update " + a.Slug
		for _, o := range all {
			line += " --origin '" + strings.ReplaceAll(o, "'", `'\''`) + "'"
		}
		return line
	}
	for i := range all {
		all[i] = fmt.Sprintf("%q", all[i])
	}
	where := g.config.Settings
	if where == "" {
		where = "the settings"
	}
	return fmt.Sprintf("origins = [%s] of the app %q in %s", strings.Join(all, ", "), a.Slug, where)
}
