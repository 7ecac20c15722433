package app

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/console"
	"github.com/earshot-io/earshot/gateway/invoke"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/schedule"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/usage"
	"github.com/earshot-io/earshot/webhook"
	"github.com/earshot-io/earshot/ws"
)

// bringUp opens the engine and puts everything on it, from the bottom up: each
// step is taken down again in the reverse order.
func (a *App) bringUp(ctx context.Context) error {
	for _, w := range a.apps.Warnings() {
		a.log.Warn("weak key: " + w)
	}
	begun := time.Now()
	events, err := a.openHub(ctx)
	if err != nil {
		return err
	}
	carrier, err := transport.New(transport.Config{}, a.hub, a.log)
	if err != nil {
		return err
	}
	a.onStop("transport", carrier.Close)
	carrier.Start()

	kept := keep(a.hub, a.engine, a.apps, schedule.New(a.engine, a.log.With("part", "schedules")))
	kept.timers.Start()
	a.onStop("schedules", func(context.Context) error { kept.timers.Close(); return nil })

	hosted, err := a.hostFunctions(ctx)
	if err != nil {
		return err
	}
	front, err := a.openFront(carrier, events, kept, hosted)
	if err != nil {
		return err
	}
	a.front.Store(&front)
	if a.state.CompareAndSwap(starting, ready) {
		a.log.Info("ready", "address", a.Addr().String(), "after", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// openHub opens the engine, the hub on it, and what tells of events.
func (a *App) openHub(ctx context.Context) (*webhook.Events, error) {
	engine, err := a.options.Open(ctx, a.config, a.log)
	if err != nil {
		return nil, err
	}
	a.onStop("engine", engine.Close)
	a.engine = engine

	a.hub = hub.New(hub.Config{
		QueueBytes: int(a.config.WebSocket.Queue), MaxSubscriptions: a.config.WebSocket.Subscriptions,
		ResumeWindow: time.Duration(a.config.Engine.ResumeWindow),
	}, engine, a.log)
	events, err := a.tellEvents(engine)
	if err != nil {
		return nil, err
	}
	a.onStop("events", events.Close)
	a.hub.SetRecorder(events)
	a.onStop("hub", func(context.Context) error { a.hub.Close(); return nil })
	a.hub.SetApps(a.apps.BySlug)
	if err := a.hub.Start(ctx); err != nil {
		return nil, err
	}
	a.recordUsage()
	if err := a.liveApps(ctx, engine); err != nil {
		return nil, err
	}
	return events, events.Start(ctx, a.hub.Lease)
}

// openFront makes all that requests come to: the protocols, the API and the page.
func (a *App) openFront(carrier *transport.Transport, events *webhook.Events, kept *stores, hosted functions) (http.Handler, error) {
	proxies, err := a.config.Proxies()
	if err != nil {
		return nil, err
	}
	from := transport.Proxies(proxies).Client
	gate := auth.NewGate(auth.GateConfig{Client: from, Settings: a.config.Path(), Log: a.log})
	backends, err := a.callBackends(hosted)
	if err != nil {
		return nil, err
	}
	limits, enter := a.newLimits()
	endpoints, err := a.speak(proto.Deps{
		Hub: a.hub, Apps: a.apps, Tokens: a.verifier(), Entries: kept.entries, Reactions: kept.reactions,
		Schedule: clientScheduler{scheduler{kept}}, Client: from, Enter: enter, Gate: gate, Records: a.engine, Gateways: backends, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	sockets, err := ws.New(
		ws.Config{
			PingEvery: pingEvery(time.Duration(a.config.WebSocket.PingEvery)), MaxMessage: int(a.config.WebSocket.MaxMessage),
			Deflate: a.config.WebSocket.Compression, Proxies: proxies,
		},
		ws.Deps{Hub: a.hub, Transport: carrier, Limits: limits, Apps: a.apps, Gate: gate, Log: a.log}, endpoints,
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	served := api.New(api.Deps{
		Hub: a.hub, Apps: a.apps, Storage: storage{kept}, Entries: kept.entries, Reactions: reactions{kept},
		Schedule: scheduler{kept}, Schedules: scheduler{kept}, Ready: a.whyNot, Log: a.log, Client: from, Events: events,
		Operator: a.operator, Tenants: a.tenants, Gate: gate, Functions: hosted,
		Usage: usage.NewStore(a.engine), Live: usage.NewLive(a.hub, a.recorder), Counts: a.hub,
		Metrics: []api.Source{
			api.HubFigures(a.hub.Stats), carrierFigures(carrier, a.door), handshakeFigures(sockets, limits), gateFigures(gate), engineFigures(a.engine),
			api.ProcessFigures(), eventFigures(events), scheduleFigures(kept.timers),
			tenantFigures(a.live, a.operator), usageFigures(a.hub, a.recorder), backendFigures(backends), gatewayFigures(endpoints), functionFigures(hosted),
		},
	})
	served.Routes(mux.Handle)
	a.exPusherLite(gate, from).Routes(mux.Handle)
	console.New(a.options.Dev, a.whyNot).Routes(mux.Handle)
	routeProtocols(mux, endpoints)
	return sockets.Handler(served.Lambda(wrap(mux, endpoints))), nil
}

// callBackends makes what calls the backends of WebSocket APIs.
func (a *App) callBackends(hosted functions) (*invoke.Backend, error) {
	allowed, err := a.config.Guard()
	if err != nil {
		return nil, err // cannot be: it was checked
	}
	b := invoke.New(invoke.Config{Guard: allowed, Functions: hosted})
	a.onStop("backends", func(context.Context) error { b.Close(); return nil })
	return b, nil
}

// tellEvents makes what tells the apps' own servers. Where other nodes record
// events too, they come in another order now and then, and without a sign.
func (a *App) tellEvents(engine Engine) (*webhook.Events, error) {
	c := webhook.Config{
		Timeout: time.Duration(a.config.Events.Timeout), GiveUp: time.Duration(a.config.Events.GiveUp),
		DeadKeep: time.Duration(a.config.Events.DeadKeep),
	}
	if a.config.Engine.URL != "" {
		c.Hold, c.Poll = time.Second, 500*time.Millisecond
	}
	return webhook.New(c, a.apps.Apps(), engine, a.log.With("part", "events"))
}

// pingEvery translates "0 never pings" for package ws.
func pingEvery(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// speak makes the protocols from their sections of the settings.
func (a *App) speak(deps proto.Deps) ([]ws.Endpoint, error) {
	all := make([]ws.Endpoint, 0, len(a.options.Protocols))
	for _, entry := range a.options.Protocols {
		d := deps
		d.Log = deps.Log.With("protocol", entry.Name)
		p, err := entry.New(a.config.Section(entry.Name), d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name, err)
		}
		all = append(all, ws.Endpoint{Entry: entry, Protocol: p})
		if r, ok := p.(proto.Runner); ok {
			a.run(entry.Name, r)
		}
	}
	return all, nil
}

// run lets a protocol work until the server stops.
func (a *App) run(name string, r proto.Runner) {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		r.Run(ctx)
	}()
	a.onStop(name, func(context.Context) error {
		cancel()
		<-over
		return nil
	})
}

// wrap lets protocols answer what patterns of a mux cannot tell.
func wrap(next http.Handler, endpoints []ws.Endpoint) http.Handler {
	for _, e := range endpoints {
		if w, ok := e.Protocol.(proto.Wrapper); ok {
			next = w.Wrap(next)
		}
	}
	return next
}

// routeProtocols registers the HTTP side of the protocols, and tells who visits
// their paths without an upgrade what they are for.
func routeProtocols(mux *http.ServeMux, endpoints []ws.Endpoint) {
	told := map[string]bool{"/": true} // has the page
	for _, e := range endpoints {
		if r, ok := e.Protocol.(proto.Router); ok {
			r.Routes(mux.Handle)
		}
		for _, path := range e.Entry.Paths {
			if !told[path] {
				told[path] = true
				mux.HandleFunc("GET "+exactly(path), wantsUpgrade)
			}
		}
	}
}

// exactly is the mux pattern of one path, without what is below it.
func exactly(path string) string {
	if strings.HasSuffix(path, "/") {
		return path + "{$}"
	}
	return path
}

func wantsUpgrade(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	http.Error(w, "this address is for WebSocket clients", http.StatusUpgradeRequired)
}
