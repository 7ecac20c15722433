package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
	"github.com/earshot-io/earshot/usage"
	"github.com/earshot-io/earshot/webhook"
)

// A Publisher is what the API needs of the hub.
type Publisher interface {
	PublishAsync(ctx context.Context, a *earshot.App, p hub.Publication, done func(hub.Appended, error))
	Kick(s hub.Selection) (closed int, err error)
	Info(ctx context.Context, a *earshot.App, channel string) (hub.Info, error)
}

// Counts counts for an app, nil for none, a request that was admitted, and one
// that was not.
type Counts interface {
	CountCall(a *earshot.App)
	CountRefusal(a *earshot.App)
}

// Deps is what the API works with.
type Deps struct {
	Hub  Publisher
	Apps *auth.Directory
	// Storage, Reactions and Schedule carry out what is more than a message; what
	// is nil is refused.
	Storage   Storage
	Reactions Reactions
	Schedule  Schedule
	// Functions run here; nil if there are none.
	Functions Functions
	// Entries are read; nil if there are none.
	Entries Entries
	// Schedules are listed and cancelled; nil if there are none.
	Schedules Schedules
	// Operator recognizes who may make and change apps, which Tenants does; nil if
	// nobody may.
	Operator *auth.Operator
	Tenants  *tenant.Store
	// Usage tells what apps have used, and Live how they are now; nil if nothing does.
	Usage *usage.Store
	Live  *usage.Live
	// Counts counts the requests of apps' servers; nil if nobody does.
	Counts Counts
	// Client says from where a request came, behind proxies too, and whether by
	// TLS; nil if nobody knows.
	Client func(*http.Request) (addr netip.Addr, secure bool)
	// Gate judges requests that do not come over TLS; nil judges too.
	Gate *auth.Gate
	// Events are told to webhooks and read as a stream; nil if none are recorded.
	Events *webhook.Events
	// Ready returns nil when the server serves, else a word why it does not:
	// "starting", "stopping". It may be called at any time.
	Ready func() error
	// Metrics are where /metrics gets its figures.
	Metrics []Source
	Log     *slog.Logger
}

// API answers the requests in the package's comment. It is safe for concurrent use.
type API struct {
	hub       Publisher
	apps      *auth.Directory
	storage   Storage
	entries   Entries
	reactions Reactions
	schedule  Schedule
	schedules Schedules
	functions Functions
	operator  *auth.Operator
	tenants   *tenant.Store
	usage     *usage.Store
	live      *usage.Live
	counts    Counts
	client    func(*http.Request) (netip.Addr, bool)
	gate      *auth.Gate
	events    *webhook.Events
	streams   atomic.Int64 // being read
	ready     func() error
	sources   []Source
	log       *slog.Logger
}

// New makes an API.
func New(d Deps) *API {
	return &API{
		hub: d.Hub, apps: d.Apps, storage: d.Storage, entries: d.Entries, reactions: d.Reactions, schedule: d.Schedule, schedules: d.Schedules, functions: d.Functions, client: d.Client,
		operator: d.Operator, tenants: d.Tenants, gate: d.Gate, usage: d.Usage, live: d.Live, counts: d.Counts,
		events: d.Events, ready: d.Ready, sources: d.Metrics, log: d.Log,
	}
}

// Routes registers the handlers by ServeMux patterns.
func (a *API) Routes(handle func(pattern string, h http.Handler)) {
	handle("POST /publish", a.keyed(a.publish))
	handle("POST /connections/disconnect", a.keyed(a.disconnect))
	handle("GET /channels/{name}", a.keyed(a.channel))
	handle("GET /channels/{name}/storage", a.keyed(a.channelStorage))
	handle("GET /schedules", a.withSchedules(a.listSchedules))
	handle("DELETE /schedules/{id}", a.withSchedules(a.cancelSchedule))
	handle("GET /events", a.withEvents(a.stream))
	handle("GET /webhooks", a.withEvents(a.webhooks))
	handle("GET /webhooks/{id}/dead", a.withEvents(a.dead))
	handle("POST /webhooks/{id}/replay", a.withEvents(a.replay))
	a.adminRoutes(handle)
	handle("GET /healthz", http.HandlerFunc(a.healthz))
	handle("GET /readyz", http.HandlerFunc(a.readyz))
	handle("GET /metrics", metricsHandler(a.sources))
}

// keyed finds the app of the request's key. An error that the handler returns
// is answered.
func (a *API) keyed(do func(http.ResponseWriter, *http.Request, *earshot.App) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		app, err := a.authenticate(r)
		a.count(r, app, err)
		moved := false
		if err == nil {
			moved, err = a.gate.Call(w, r, app)
		}
		if err == nil && !moved {
			err = do(w, r, app)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// count counts a request of an app's server. One with a key that is not known is
// of the app that its host names.
func (a *API) count(r *http.Request, app *earshot.App, err error) {
	switch {
	case a.counts == nil:
	case err == nil:
		a.counts.CountCall(app)
	case earshot.CodeOf(err) == earshot.Unauthenticated && r.Header.Get("Authorization") != "":
		a.counts.CountRefusal(a.apps.ByHost(r.Host))
	}
}

// countSigned counts a request that was signed, with a key of an app or of none.
func (a *API) countSigned(app *earshot.App, err error) {
	switch {
	case a.counts == nil:
	case err == nil:
		a.counts.CountCall(app)
	case earshot.CodeOf(err) == earshot.Unauthenticated:
		a.counts.CountRefusal(app)
	}
}

func (a *API) authenticate(r *http.Request) (*earshot.App, error) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || key == "" {
		return nil, &earshot.Error{Code: earshot.Unauthenticated, Reason: "KEY_MISSING", Text: "a publish key is needed: Authorization: Bearer KEY"}
	}
	app := a.apps.ByPublishKey(strings.TrimSpace(key))
	if app == nil {
		return nil, &earshot.Error{Code: earshot.Unauthenticated, Reason: "KEY_UNKNOWN", Text: "the publish key is not known"}
	}
	if named := a.apps.ByHost(r.Host); named != nil && named.Slug != app.Slug {
		return nil, &earshot.Error{Code: earshot.Forbidden, Reason: "KEY_OF_OTHER_APP", Text: "the publish key is not of the app that this host belongs to"}
	}
	if err := a.ready(); err != nil {
		return nil, &earshot.Error{Code: earshot.Unavailable, Reason: "NOT_READY", Text: "the server is " + err.Error(), RetryAfter: retrySoon}
	}
	return app, nil
}
