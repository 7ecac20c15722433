package epl

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
)

// A Hub takes events, and counts who asks for what: a hub.Hub.
type Hub interface {
	Publish(ctx context.Context, a *earshot.App, p hub.Publication) (hub.Appended, error)
	CountCall(a *earshot.App)
	CountRefusal(a *earshot.App)
}

// Apps finds the apps that are served: an auth.Directory.
type Apps interface {
	BySlug(slug string) *earshot.App
	ByPublishKey(key string) *earshot.App
}

// A Store makes and changes apps: a tenant.Store.
type Store interface {
	All(ctx context.Context) ([]*tenant.App, error)
	Get(ctx context.Context, slug string) (*tenant.App, error)
	Named(name, but string) (slug string)
	Create(ctx context.Context, by tenant.Actor, d *tenant.Draft) (*tenant.App, error)
	Update(ctx context.Context, by tenant.Actor, slug string, c *tenant.Change, revision uint64) (*tenant.App, error)
	Rename(ctx context.Context, by tenant.Actor, slug, to string, c *tenant.Change, revision uint64) (*tenant.App, error)
	Delete(ctx context.Context, by tenant.Actor, slug string, revision uint64) error
}

// An Operator recognizes who may administer the server: an auth.Operator.
type Operator interface {
	Admit(ctx context.Context, r *http.Request, from netip.Addr) (name string, err error)
}

// A Gate judges whether a request came to an app as the app wants it: an
// auth.Gate.
type Gate interface {
	Call(w http.ResponseWriter, r *http.Request, a *earshot.App) (moved bool, err error)
}

// Deps is what the API works with.
type Deps struct {
	Hub   Hub
	Apps  Apps
	Store Store
	Gate  Gate
	// Operator is nil if nobody may administer the server.
	Operator Operator
	// Client says from where a request came; nil if nobody knows.
	Client func(*http.Request) (addr netip.Addr, secure bool)
	// Ready returns nil when the server serves, else a word why it does not. It may
	// be called at any time.
	Ready func() error
	Log   *slog.Logger
}

// API is Ex Pusher Lite's HTTP side. It is safe for concurrent use.
type API struct{ Deps }

// New makes it.
func New(d Deps) *API { return &API{d} }

// Routes registers the handlers by ServeMux patterns.
func (a *API) Routes(handle func(pattern string, h http.Handler)) {
	for _, end := range []string{"", "/{$}"} {
		handle("/api/admin/apps"+end, a.route(map[string]call{http.MethodGet: a.admin(a.list), http.MethodPost: a.admin(a.create)}))
		handle("/api/admin/apps/{slug}"+end, a.route(map[string]call{
			http.MethodGet: a.admin(a.show), http.MethodPut: a.admin(a.update), http.MethodPatch: a.admin(a.update), http.MethodDelete: a.admin(a.remove),
		}))
		handle("/api/apps/{slug}/events"+end, a.route(map[string]call{http.MethodPost: a.publish}))
	}
}

// A call answers a request, or returns why it cannot.
type call func(w http.ResponseWriter, r *http.Request) error

// route chooses by the method. A path that does not know it is no path, as with
// the original's router.
func (a *API) route(calls map[string]call) http.Handler {
	calls[http.MethodHead] = calls[http.MethodGet]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do, err := calls[r.Method], errNotFound
		switch {
		case do == nil:
		case !acceptsJSON(r.Header.Values("Accept")):
			err = errNotAcceptable
		default:
			err = do(w, r)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// notReady says why the server does not serve, nil if it does.
func (a *API) notReady() error {
	if err := a.Ready(); err != nil {
		return &earshot.Error{Code: earshot.Unavailable, Reason: "NOT_READY", Text: "the server is " + err.Error()}
	}
	return nil
}
