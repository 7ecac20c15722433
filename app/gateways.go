package app

import (
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/gateway/invoke"
	protocol "github.com/earshot-io/earshot/proto/gateway"
	"github.com/earshot-io/earshot/ws"
)

// backendFigures are those of integrations and authorizers of WebSocket APIs.
func backendFigures(b *invoke.Backend) api.Source {
	return func(add func(api.Metric)) {
		s := b.Stats()
		calls := api.Metric{Name: "earshot_gateway_calls_total", Help: "Calls of integrations and authorizers, by the type of the event.", Label: "type"}
		for _, kind := range invoke.CallTypes() {
			calls.Samples = append(calls.Samples, api.Sample{Label: kind, Value: float64(s.Calls[kind])})
		}
		add(calls)
		failures := api.Metric{Name: "earshot_gateway_execution_errors_total", Help: "Calls of integrations and authorizers without an answer to go by, by what was wrong.", Label: "kind"}
		for _, kind := range gateway.FailureKinds() {
			failures.Samples = append(failures.Samples, api.Sample{Label: kind.String(), Value: float64(s.Failures[kind])})
		}
		add(failures)
		add(api.Counter("earshot_gateway_integration_errors_total", "Answers of integrations with a status of 400 or more.", s.Refusals))
		add(api.Metric{
			Name: "earshot_gateway_calls_seconds_total", Help: "Time that calls of integrations and authorizers took.",
			Samples: []api.Sample{{Value: s.Time.Seconds()}},
		})
		add(api.Gauge("earshot_gateway_calls_in_progress", "Calls of integrations and authorizers that are under way.", float64(s.Running)))
		add(api.Gauge("earshot_gateway_paused", "Integrations and authorizers that are let alone, having been out of reach.", float64(s.Paused)))
	}
}

// gatewayFigures are those of the clients of WebSocket APIs.
func gatewayFigures(endpoints []ws.Endpoint) api.Source {
	return func(add func(api.Metric)) {
		for _, e := range endpoints {
			p, ok := e.Protocol.(*protocol.Protocol)
			if !ok {
				continue
			}
			s := p.Stats()
			add(api.Gauge("earshot_gateway_connections", "Clients of WebSocket APIs.", float64(s.Connections)))
			add(api.Gauge("earshot_gateway_handshakes_waiting", "Handshakes that wait for a backend's answer.", float64(s.Handshakes)))
			add(api.Gauge("earshot_gateway_disconnects_waiting", "Ends of connections of which their backend is yet to be told.", float64(s.Waiting)))
			add(api.Counter("earshot_gateway_disconnects_total", "Ends of connections of which their backend was told.", s.Told))
			add(api.Counter("earshot_gateway_disconnects_given_up_total", "Ends of connections of which their backend could not be told; the log says which.", s.GivenUp))
			add(api.Counter("earshot_gateway_posted_total", "Messages that the management API sent.", s.Posted))
			add(api.Counter("earshot_gateway_posted_refused_total", "Messages that it refused, since their client did not read.", s.Behind))
			add(api.Counter("earshot_gateway_client_errors_total", "Messages of clients without a route, or beyond a throttle.", s.Refused))
		}
	}
}
