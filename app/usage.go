package app

import (
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/usage"
)

// metricApps is how many apps have time series of their own on /metrics.
const metricApps = 100

// recordUsage begins to count what apps use, which is written before the hub and
// the engine end.
func (a *App) recordUsage() {
	a.recorder = usage.NewRecorder(a.hub, a.engine, a.log.With("part", "usage"))
	a.recorder.Start()
	a.onStop("usage", a.recorder.Close)
}

// verifier makes what verifies tokens, and counts those that are refused.
func (a *App) verifier() *auth.Verifier {
	v := auth.NewVerifier(a.apps, a.engine)
	v.CountRefusals(a.hub.CountRefusal)
	return v
}

// usageFigures are what apps use on this node, and how that is kept.
func usageFigures(h *hub.Hub, r *usage.Recorder) api.Source {
	few := usage.NewFew(metricApps)
	return func(add func(api.Metric)) {
		uses := few.Of(h.AppUses(false))
		each := func(name, help string, gauge bool, value func(u *hub.AppUse) uint64) {
			m := api.Metric{Name: name, Help: help, Gauge: gauge, Label: "app"}
			for i := range uses {
				m.Samples = append(m.Samples, api.Sample{Label: uses[i].App, Value: float64(value(&uses[i]))})
			}
			add(m)
		}
		each("earshot_app_connections", "Connections of an app that are open; of the first hundred apps, and of all others as _other.", true,
			func(u *hub.AppUse) uint64 { return uint64(u.Connections) })
		each("earshot_app_messages_in_total", "Messages that were published to an app.", false, func(u *hub.AppUse) uint64 { return u.MessagesIn })
		each("earshot_app_messages_out_total", "Messages that were queued for clients of an app.", false, func(u *hub.AppUse) uint64 { return u.MessagesOut })
		each("earshot_app_bytes_in_total", "Bytes of data that were published to an app.", false, func(u *hub.AppUse) uint64 { return u.BytesIn })
		each("earshot_app_bytes_out_total", "Bytes of messages that were queued for clients of an app.", false, func(u *hub.AppUse) uint64 { return u.BytesOut })
		each("earshot_app_calls_total", "Requests of an app's servers.", false, func(u *hub.AppUse) uint64 { return u.Calls })
		each("earshot_app_auth_failures_total", "Proofs that were shown to an app and refused.", false, func(u *hub.AppUse) uint64 { return u.AuthFailures })
		s := r.Stats()
		add(api.Counter("earshot_usage_written_total", "Pages of what apps use that were written.", s.Written))
		add(api.Counter("earshot_usage_failed_total", "Tries to write one that failed.", s.Failed))
		add(api.Counter("earshot_usage_lost_total", "Pages of minutes that were given up.", s.Lost))
		add(api.Gauge("earshot_usage_waiting", "Pages of what apps use that are to be written.", float64(s.Waiting)))
	}
}
