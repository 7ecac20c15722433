package app

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/epl"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
	"github.com/earshot-io/earshot/ws"
)

// settle is how long a change of an app waits until it counts on this node.
const settle = time.Second

// liveApps adds the apps that are records to those of the settings, and keeps
// them as they are.
func (a *App) liveApps(ctx context.Context, records hub.Records) error {
	log := a.log.With("part", "apps")
	a.live = tenant.NewLive(a.apps, a.keys, ws.Taken(a.options.Protocols), log)
	a.tenants = tenant.New(tenant.Config{Records: records, Keys: a.keys, Live: a.live, Settle: settle, Log: log})
	if a.operator != nil {
		a.operator.SetOwners(a.tenants)
	}
	if err := a.live.Start(ctx, records, a.hub); err != nil {
		return err
	}
	a.onStop("apps", func(context.Context) error { a.live.Close(); return nil })
	for _, d := range a.options.Seeds {
		if err := a.tenants.Seed(ctx, tenant.Actor{Name: "first start"}, d); err != nil {
			return fmt.Errorf("the app %q: %w", d.Slug, err)
		}
	}
	return nil
}

// exPusherLite is the other HTTP side of apps.
func (a *App) exPusherLite(gate *auth.Gate, from func(*http.Request) (netip.Addr, bool)) *epl.API {
	d := epl.Deps{Hub: a.hub, Apps: a.apps, Store: a.tenants, Gate: gate, Client: from, Ready: a.whyNot, Log: a.log.With("protocol", "epl")}
	if a.operator != nil {
		d.Operator = a.operator
	}
	return epl.New(d)
}

func tenantFigures(live *tenant.Live, operator *auth.Operator) api.Source {
	return func(add func(api.Metric)) {
		s := live.Stats()
		add(api.Gauge("earshot_apps_stored", "Apps that were made while the server ran, of all nodes.", float64(s.Apps)))
		add(api.Gauge("earshot_apps_served", "Those of them that are served.", float64(s.Served)))
		add(api.Gauge("earshot_apps_refused", "Those that are active and cannot be served; the log says why.", float64(s.Refused)))
		add(api.Counter("earshot_apps_changes_total", "Times that changes of apps were applied on this node.", s.Changes))
		add(api.Counter("earshot_apps_closed_total", "Connections that a change of their app closed on this node.", s.Closed))
		if operator != nil {
			wrong, limited := operator.Refused()
			add(api.Counter("earshot_admin_refused_total", "Logins of operators that were wrong.", wrong))
			add(api.Counter("earshot_admin_hashes_total", "Passwords that were hashed for logins.", operator.Hashes()))
			add(api.Counter("earshot_admin_limited_total", "Logins of operators that were not tried, since too many had failed.", limited))
		}
	}
}
