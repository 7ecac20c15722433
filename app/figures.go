package app

import (
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/nats"
	"github.com/earshot-io/earshot/schedule"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/webhook"
	"github.com/earshot-io/earshot/ws"
)

func carrierFigures(t *transport.Transport, door *transport.Door) api.Source {
	return func(add func(api.Metric)) {
		s := t.Stats()
		add(api.Counter("earshot_received_bytes_total", "Bytes that clients sent.", s.BytesIn))
		add(api.Counter("earshot_received_messages_total", "Messages that clients sent.", s.MessagesIn))
		add(api.Counter("earshot_sent_bytes_total", "Bytes that were written to clients.", s.BytesOut))
		add(api.Counter("earshot_sent_frames_total", "Frames that were written to clients.", s.FramesOut))
		add(api.Counter("earshot_writes_total", "System calls that wrote to clients.", s.Writes))
		add(api.Counter("earshot_writes_blocked_total", "Writes that a client's system did not take whole.", s.Blocked))
		add(api.Counter("earshot_pings_total", "Pings that were sent.", s.Pings))
		add(api.Counter("earshot_pings_unanswered_total", "Clients that were cut for not answering.", s.Unanswered))
		add(api.Counter("earshot_violations_total", "Clients that were cut because their bytes were wrong.", s.Violations))
		add(api.Gauge("earshot_handshakes_in_progress", "Connections between accept and their first answer.", float64(door.Waiting())))
	}
}

func handshakeFigures(s *ws.Server, l *transport.Limits) api.Source {
	return func(add func(api.Metric)) {
		n := s.Stats()
		add(api.Counter("earshot_upgrades_total", "Handshakes that were accepted.", n.Upgraded))
		add(api.Counter("earshot_upgrades_refused_total", "Handshakes that were refused.", n.Refused))
		m := api.Metric{Name: "earshot_limited_total", Help: "Handshakes that a limit refused, by the limit.", Label: "limit"}
		for name, count := range l.Refused() {
			m.Samples = append(m.Samples, api.Sample{Label: name, Value: float64(count)})
		}
		slices.SortFunc(m.Samples, func(a, b api.Sample) int { return strings.Compare(a.Label, b.Label) })
		add(m)
	}
}

func gateFigures(g *auth.Gate) api.Source {
	return func(add func(api.Metric)) {
		origins, plain := g.Refused()
		add(api.Counter("earshot_origins_refused_total", "Clients from an origin that their app does not list; the log says which.", origins))
		add(api.Counter("earshot_plain_refused_total", "Requests and clients that did not come over the TLS that their app requires.", plain))
	}
}

func eventFigures(e *webhook.Events) api.Source {
	return func(add func(api.Metric)) {
		s := e.Stats()
		add(api.Counter("earshot_events_recorded_total", "Events that were recorded.", s.Recorded))
		add(api.Counter("earshot_events_refused_total", "Events that could not be recorded, whose publish failed.", s.Refused))
		add(api.Counter("earshot_events_lost_total", "Events that nobody waited for, and that could not be recorded.", s.Lost))
		add(api.Counter("earshot_webhook_delivered_total", "Events that a webhook took.", s.Delivered))
		add(api.Counter("earshot_webhook_failed_total", "Tries that a webhook did not take.", s.Failed))
		add(api.Counter("earshot_webhook_dead_total", "Events that became dead letters.", s.Dead))
		add(api.Gauge("earshot_webhook_waiting", "Channels and connections whose events wait for a webhook, of those that this node tells.", float64(s.Waiting)))
		add(api.Gauge("earshot_webhook_oldest_seconds", "How long the oldest event known has been waiting for a webhook that this node tells.", s.Oldest.Seconds()))
		add(api.Gauge("earshot_outbox_bytes", "Bytes in the outbox of events, if this is the node that looks.", float64(s.Bytes)))
		add(api.Gauge("earshot_outbox_limit_bytes", "Bytes that the outbox of events may hold, likewise.", float64(s.Limit)))
	}
}

// scheduleFigures are those of schedules.
func scheduleFigures(timers *schedule.Timers) api.Source {
	return func(add func(api.Metric)) {
		s := timers.Stats()
		add(api.Gauge("earshot_schedules_pending", "Messages, writes and ends of entries that wait for their time, of all nodes.", float64(s.Pending)))
		add(api.Counter("earshot_schedules_fired_total", "Those that this node carried out.", s.Fired))
		add(api.Counter("earshot_schedules_late_total", "Those of them that were more than a second late.", s.Late))
		add(api.Counter("earshot_schedules_retried_total", "Attempts that failed, and are made again.", s.Retried))
		add(api.Counter("earshot_schedules_failed_total", "Those that could not be carried out, and were dropped.", s.Failed))
	}
}

// engineFigures are those of the engine, if it has any.
func engineFigures(e Engine) api.Source {
	stored, ok := e.(*nats.Engine)
	if !ok {
		return func(func(api.Metric)) {}
	}
	return func(add func(api.Metric)) {
		s := stored.Stats()
		add(api.Counter("earshot_engine_stored_total", "Messages that were stored.", s.Appended))
		m := api.Metric{Name: "earshot_engine_refused_total", Help: "Messages that were not stored, or perhaps not, by the reason.", Label: "reason"}
		for _, c := range earshot.Codes() {
			m.Samples = append(m.Samples, api.Sample{Label: strings.ReplaceAll(c.String(), " ", "_"), Value: float64(s.Refused[c])})
		}
		add(m)
		add(api.Counter("earshot_engine_delivered_total", "Stored messages that reached this node.", s.Delivered))
		add(api.Counter("earshot_engine_redelivered_total", "Stored messages that reached this node only by an audit.", s.Redelivered))
		add(api.Counter("earshot_engine_malformed_total", "Messages in the log that could not be read.", s.Malformed))
		add(api.Counter("earshot_engine_syncs_total", "Group commits.", s.Barriers))
		add(api.Metric{
			Name: "earshot_engine_sync_seconds_total", Help: "Time that group commits took.",
			Samples: []api.Sample{{Value: s.BarrierTime.Seconds()}},
		})
		add(api.Counter("earshot_engine_probes_total", "Messages sent to prove that this node hears.", s.Probes))
		add(api.Counter("earshot_engine_overruns_total", "Times that deliveries were dropped and read again.", s.Overruns))
		add(api.Counter("earshot_engine_audits_total", "Looks for messages that did not reach this node.", s.Audits))
		add(api.Counter("earshot_engine_trims_total", "Channels that were cut to their depth.", s.Trimmed))
		add(api.Counter("earshot_engine_clock_steps_total", "Steps back of the clock that were recorded.", s.ClockSteps))
		add(api.Counter("earshot_engine_restarts_total", "Restarts of the embedded engine.", s.Restarts))
		add(api.Gauge("earshot_engine_in_flight", "Messages that are being stored.", float64(s.InFlight)))
		add(api.Gauge("earshot_engine_newest_sequence", "The newest message's sequence.", float64(s.Newest)))
	}
}
