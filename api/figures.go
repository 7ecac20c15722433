package api

import (
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// HubFigures are the hub's counts.
func HubFigures(stats func() hub.Stats) Source {
	return func(add func(Metric)) {
		s := stats()
		add(Gauge("earshot_connections", "Connections that are open.", float64(s.Opened-s.Ended)))
		add(Counter("earshot_connections_opened_total", "Connections that were opened.", s.Opened))
		add(closedBy(&s))
		add(Counter("earshot_slow_clients_total", "Clients that were cut because they did not read.", s.Slow))
		add(Gauge("earshot_channels", "Channels that this node knows now.", float64(s.Channels)))
		add(Counter("earshot_subscriptions_made_total", "Subscriptions that were made.", s.Subscribed))
		add(Counter("earshot_messages_published_total", "Messages that were taken to be published.", s.Published))
		add(Counter("earshot_messages_delivered_total", "Messages that were queued for a client.", s.Delivered))
		add(Counter("earshot_messages_unrenderable_total", "Deliveries that a client's protocol could not carry.", s.Unrenderable))
		add(Counter("earshot_gaps_total", "Gaps that were noticed in a channel's sequence.", s.Gaps))
		add(Counter("earshot_messages_refilled_total", "Messages that were read from the log to fill a gap.", s.Refilled))
		add(Counter("earshot_messages_duplicate_total", "Messages that arrived again and were dropped.", s.Duplicates))
		add(Counter("earshot_resumes_from_memory_total", "Resumes that were answered without the log.", s.RingHits))
	}
}

// closedBy tells the connections that we ended, by the reason's code.
func closedBy(s *hub.Stats) Metric {
	m := Metric{Name: "earshot_connections_closed_total", Help: "Connections that the server ended, by the reason.", Label: "reason"}
	for _, c := range earshot.Codes() {
		m.Samples = append(m.Samples, Sample{strings.ReplaceAll(c.String(), " ", "_"), float64(s.Closed[c])})
	}
	return m
}
