package auth

import (
	"fmt"
	"net"
	"strings"

	"github.com/earshot-io/earshot"
)

// A gateway is a WebSocket API with the app that has it.
type gateway struct {
	app *earshot.App
	api *earshot.Gateway
}

// gateways finds APIs by their ids and hosts.
type gateways struct {
	ids   map[string]gateway
	hosts map[string]gateway
}

// addGateways takes the app's APIs. An app may use its own host for one of them,
// but no two of its APIs have the same id or host.
func (p *part) addGateways() error {
	if len(p.app.Gateways) == 0 {
		return nil // as most have: no maps for those
	}
	p.gateways = gateways{map[string]gateway{}, map[string]gateway{}}
	for i := range p.app.Gateways {
		g := &p.app.Gateways[i]
		if _, ok := p.gateways.ids[g.ID]; ok {
			return fmt.Errorf("app %q, gateway %q: %w", p.app.Slug, g.ID, errTwice)
		}
		p.gateways.ids[g.ID] = gateway{p.app, g}
		for _, h := range g.Hosts {
			h = strings.ToLower(h)
			if _, ok := p.gateways.hosts[h]; ok {
				return fmt.Errorf("app %q, gateway %q, host %q: %w", p.app.Slug, g.ID, h, errTwice)
			}
			p.gateways.hosts[h] = gateway{p.app, g}
		}
	}
	return nil
}

// gatewayClash reports which API's id or host another app has.
func (s *snapshot) gatewayClash(p *part, taken func(*earshot.App) bool) error {
	for id := range p.gateways.ids {
		if other := s.gateways.ids[id].app; taken(other) {
			return fmt.Errorf("the apps %q and %q both have a gateway %q", other.Slug, p.app.Slug, id)
		}
	}
	for h := range p.gateways.hosts {
		for _, other := range []*earshot.App{s.gateways.hosts[h].app, s.hosts[h]} {
			if taken(other) {
				return fmt.Errorf("the apps %q and %q both claim the host %q", other.Slug, p.app.Slug, h)
			}
		}
	}
	for _, h := range p.hosts {
		if other := s.gateways.hosts[h].app; taken(other) {
			return fmt.Errorf("the apps %q and %q both claim the host %q", other.Slug, p.app.Slug, h)
		}
	}
	return nil
}

func (g *gateways) take(p *part) {
	for id, found := range p.gateways.ids {
		g.ids[id] = found
	}
	for h, found := range p.gateways.hosts {
		g.hosts[h] = found
	}
}

// HasGateways reports whether any app has a WebSocket API.
func (d *Directory) HasGateways() bool { return len(d.now.Load().gateways.ids) > 0 }

// ByGateway returns the WebSocket API of an id and the app that has it, nil and
// nil if there is none.
func (d *Directory) ByGateway(id string) (*earshot.App, *earshot.Gateway) {
	found := d.now.Load().gateways.ids[id]
	return found.app, found.api
}

// ByGatewayHost returns the WebSocket API that a request's Host names, and the app
// that has it; nil and nil if none does. The host is a custom domain, or
// {id}.execute-api.{region}.amazonaws.com, whose region does not matter since ids
// are unique here. Neither does a port.
func (d *Directory) ByGatewayHost(host string) (*earshot.App, *earshot.Gateway) {
	s := d.now.Load()
	if len(s.gateways.ids) == 0 {
		return nil, nil
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	found := s.gateways.hosts[host]
	if found.app == nil {
		found = s.gateways.ids[executeAPI(host)]
	}
	return found.app, found.api
}

// executeAPI returns the id in the host that API Gateway gives an API, empty if it
// is no such host.
func executeAPI(host string) string {
	id, rest, _ := strings.Cut(host, ".execute-api.")
	for _, suffix := range []string{".amazonaws.com", ".amazonaws.com.cn"} {
		if region, ok := strings.CutSuffix(rest, suffix); ok && region != "" && !strings.Contains(region, ".") {
			return id
		}
	}
	return ""
}
