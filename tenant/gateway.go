package tenant

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
)

// maxGateways is how many WebSocket APIs an app may have.
const maxGateways = 20

// A Gateway is a WebSocket API as it is kept: an earshot.Gateway with its secrets.
type Gateway struct {
	earshot.Gateway
	// APIKeys and Functions are those of the API, instead of the fields below it.
	APIKeys   []GatewayKey      `json:"apiKeys,omitempty"`
	Functions []GatewayFunction `json:"functions,omitempty"`
}

// A GatewayKey is an API key.
type GatewayKey struct {
	ID       string                  `json:"id"`
	Value    Secret                  `json:"value,omitempty"`
	Throttle earshot.GatewayThrottle `json:"throttle,omitzero"`
}

// A GatewayFunction is a function of a service that has Lambda's API.
type GatewayFunction struct {
	earshot.GatewayFunction
	// AccessKey signs the requests to it.
	AccessKey *GatewayAccess `json:"accessKey,omitempty"`
}

// A GatewayAccess is an access key of another service.
type GatewayAccess struct {
	ID     string `json:"id"`
	Secret Secret `json:"secret,omitempty"`
}

// build makes what the server works with. It is not trusted: who administers an
// app need not be the server's operator.
func (g *Gateway) build() earshot.Gateway {
	out := g.Gateway
	out.Trusted, out.APIKeys, out.Functions = false, nil, nil
	for _, k := range g.APIKeys {
		out.APIKeys = append(out.APIKeys, earshot.GatewayKey{ID: k.ID, Value: string(k.Value), Throttle: k.Throttle})
	}
	for _, f := range g.Functions {
		made := f.GatewayFunction
		made.AccessKey = nil
		if f.AccessKey != nil {
			made.AccessKey = &earshot.AccessKey{ID: f.AccessKey.ID, Secret: string(f.AccessKey.Secret)}
		}
		out.Functions = append(out.Functions, made)
	}
	return out
}

// check reports what is wrong with an API. Functions that run on this server are
// for its operator: they would be programs with the server's rights.
func (g *Gateway) check(at string) error {
	for i := range g.Functions {
		f := &g.Functions[i]
		if len(f.Command) > 0 || f.Dir != "" || f.Source != "" || len(f.Environment) > 0 {
			return invalid("GATEWAY_FUNCTION", "%s.functions[%d]: functions that run on this server stand in its settings; here one has an endpoint, and no command, dir, source and environment", at, i)
		}
		if f.AccessKey != nil && f.AccessKey.Secret == hidden {
			return errHidden
		}
	}
	if slices.ContainsFunc(g.APIKeys, func(k GatewayKey) bool { return k.Value == hidden }) {
		return errHidden
	}
	built := g.build()
	var problems gateway.Problems
	if err := gateway.Check(&built); errors.As(err, &problems) {
		lines := make([]string, len(problems))
		for i, p := range problems {
			lines[i] = at + "." + p.Path + ": " + p.Text
		}
		return invalid("GATEWAY", "%s", strings.Join(lines, "; "))
	}
	return nil
}

func (a *App) checkGateways() error {
	if len(a.Gateways) > maxGateways {
		return invalid("TOO_MANY", "an app may have %d gateways", maxGateways)
	}
	for i := range a.Gateways {
		if err := a.Gateways[i].check(fmt.Sprintf("gateways[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

// secrets calls f for each of the API's.
func (g *Gateway) secrets(f func(*Secret)) {
	for i := range g.APIKeys {
		f(&g.APIKeys[i].Value)
	}
	for i := range g.Functions {
		if k := g.Functions[i].AccessKey; k != nil {
			f(&k.Secret)
		}
	}
}

// cloneGateways shares only what is never changed.
func cloneGateways(all []Gateway) []Gateway {
	all = slices.Clone(all)
	for i := range all {
		g := &all[i]
		g.APIKeys, g.Functions = slices.Clone(g.APIKeys), slices.Clone(g.Functions)
		for j := range g.Functions {
			if k := g.Functions[j].AccessKey; k != nil {
				access := *k
				g.Functions[j].AccessKey = &access
			}
		}
	}
	return all
}

// keepSecrets puts the secrets of the APIs that there were where the new ones leave
// them out, so that what is shown can be changed and given back.
func keepSecrets(now, before []Gateway) []Gateway {
	now = cloneGateways(now)
	for i := range now {
		at := slices.IndexFunc(before, func(g Gateway) bool { return g.ID == now[i].ID })
		if at < 0 {
			continue
		}
		old := &before[at]
		for j := range now[i].APIKeys {
			k := &now[i].APIKeys[j]
			if was := slices.IndexFunc(old.APIKeys, func(o GatewayKey) bool { return o.ID == k.ID }); k.Value == "" && was >= 0 {
				k.Value = old.APIKeys[was].Value
			}
		}
		for j := range now[i].Functions {
			keepAccess(&now[i].Functions[j], old.Functions)
		}
	}
	return now
}

// keepAccess keeps a secret where it was for: it is not sent to another endpoint.
func keepAccess(f *GatewayFunction, before []GatewayFunction) {
	for _, o := range before {
		if k := f.AccessKey; k != nil && k.Secret == "" && o.AccessKey != nil && o.Name == f.Name && o.Endpoint == f.Endpoint && o.AccessKey.ID == k.ID {
			k.Secret = o.AccessKey.Secret
		}
	}
}
