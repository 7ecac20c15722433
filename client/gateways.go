package client

import "github.com/earshot-io/earshot"

// A Gateway is a WebSocket API of an app, with its secrets. Functions have an
// Endpoint: those that run on the server itself stand in its settings.
type Gateway struct {
	earshot.Gateway
	// APIKeys and Functions are those of the API, instead of the fields below it.
	APIKeys   []GatewayKey      `json:"apiKeys,omitempty"`
	Functions []GatewayFunction `json:"functions,omitempty"`
}

// A GatewayKey is an API key. A change that leaves Value out keeps it.
type GatewayKey struct {
	ID       string                  `json:"id"`
	Value    string                  `json:"value,omitempty"`
	Throttle earshot.GatewayThrottle `json:"throttle,omitzero"`
}

// A GatewayFunction is a function of a service that has Lambda's API, and what
// signs the requests to it. A change that leaves the secret out keeps it.
type GatewayFunction struct {
	earshot.GatewayFunction
	AccessKey *AccessKey `json:"accessKey,omitempty"`
}

// GatewayOf is an API with the secrets that its own JSON does not show.
func GatewayOf(g *earshot.Gateway) Gateway {
	out := Gateway{Gateway: *g}
	for _, k := range g.APIKeys {
		out.APIKeys = append(out.APIKeys, GatewayKey(k))
	}
	for i := range g.Functions {
		f := GatewayFunction{GatewayFunction: g.Functions[i]}
		if k := f.GatewayFunction.AccessKey; k != nil {
			f.AccessKey = &AccessKey{ID: k.ID, Secret: k.Secret}
		}
		out.Functions = append(out.Functions, f)
	}
	return out
}
