package gateway

import (
	"fmt"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/guard"
)

// Compile makes an API of its settings, which must not change afterwards. It
// fails for what could not be carried out, and names the place.
func Compile(g *earshot.Gateway) (*API, error) {
	a := &API{Gateway: g, stages: make(map[string]*Stage, len(g.Stages))}
	var err error
	if a.selection, err = parseExpression(g.RouteSelection); err != nil {
		return nil, fmt.Errorf("API %s: routeSelectionExpression: %w", g.ID, err)
	}
	if g.Region != "" && !isRegion(g.Region) {
		return nil, fmt.Errorf("API %s: region: %q is none", g.ID, g.Region)
	}
	if err := checkSize(g); err != nil {
		return nil, fmt.Errorf("API %s: %w", g.ID, err)
	}
	if a.responses, err = allResponses(g); err != nil {
		return nil, fmt.Errorf("API %s: %w", g.ID, err)
	}
	for i := range g.Routes {
		a.longest = max(a.longest, len(g.Routes[i].Key))
	}
	for i := range g.Stages {
		s := &Stage{GatewayStage: g.Stages[i], API: a, routes: make(map[string]*Route, len(g.Routes))}
		if a.stages[s.Name] != nil {
			return nil, fmt.Errorf("API %s: stage %s is there twice", g.ID, s.Name)
		}
		if err := s.compile(); err != nil {
			return nil, fmt.Errorf("API %s: stage %s: %w", g.ID, s.Name, err)
		}
		a.stages[s.Name] = s
	}
	return a, nil
}

// Bounds of an API. Every stage has every route, compiled: a few lines of settings
// must not become gigabytes.
const (
	maxStages      = 100
	maxStageRoutes = 10_000
)

func checkSize(g *earshot.Gateway) error {
	switch {
	case len(g.Stages) > maxStages:
		return fmt.Errorf("it has more than %d stages", maxStages)
	case len(g.Stages)*len(g.Routes) > maxStageRoutes:
		return fmt.Errorf("it has more than %d routes in all its stages together", maxStageRoutes)
	}
	return nil
}

// allResponses compiles the responses of all integrations, which are the same in
// every stage and for every route.
func allResponses(g *earshot.Gateway) (map[*earshot.GatewayIntegration][]response, error) {
	all := map[*earshot.GatewayIntegration][]response{}
	for i := range g.Integrations {
		n := &g.Integrations[i]
		if len(n.Responses) == 0 {
			continue
		}
		made, err := parseResponses(n.Responses)
		if err != nil {
			return nil, fmt.Errorf("integration %s: %w", n.ID, err)
		}
		all[n] = made
	}
	return all, nil
}

func (s *Stage) compile() error {
	made := map[*earshot.GatewayIntegration]*Route{} // the first route to each
	for i := range s.API.Routes {
		r := &Route{GatewayRoute: s.API.Routes[i]}
		if s.routes[r.Key] != nil {
			return fmt.Errorf("route %s is there twice", r.Key)
		}
		if err := s.compileRoute(r, made); err != nil {
			return fmt.Errorf("route %s: %w", r.Key, err)
		}
		s.routes[r.Key] = r
	}
	return nil
}

func (s *Stage) compileRoute(r *Route, made map[*earshot.GatewayIntegration]*Route) error {
	if err := checkKey(r.Key); err != nil {
		return err
	}
	r.Throttle = s.throttle(r.Key)
	if r.RouteResponse != "" && r.RouteResponse != DefaultRoute {
		return fmt.Errorf("routeResponseSelectionExpression: only $default is known")
	}
	if err := s.findIntegration(r, made); err != nil {
		return err
	}
	return s.findAuthorizer(r)
}

func checkKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("the key is empty")
	case key[0] == '$' && key != ConnectRoute && key != DisconnectRoute && key != DefaultRoute:
		return fmt.Errorf("a key of one's own does not begin with $")
	}
	return nil
}

// throttle is the stage's default with what it says of the route over it.
func (s *Stage) throttle(key string) earshot.GatewayThrottle {
	t, own := s.Default, s.Routes[key]
	if own.Rate != 0 {
		t.Rate = own.Rate
	}
	if own.Burst != 0 {
		t.Burst = own.Burst
	}
	return t
}

func (s *Stage) findIntegration(r *Route, made map[*earshot.GatewayIntegration]*Route) error {
	if r.Target == "" {
		return nil
	}
	id, ok := strings.CutPrefix(r.Target, "integrations/")
	if !ok {
		return fmt.Errorf("target: it has the form integrations/ID")
	}
	for i := range s.API.Integrations {
		if s.API.Integrations[i].ID == id {
			r.Integration = &s.API.Integrations[i]
		}
	}
	if r.Integration == nil {
		return fmt.Errorf("target: there is no integration %s", id)
	}
	if same := made[r.Integration]; same != nil {
		r.mapping, r.responses, r.Calls = same.mapping, same.responses, same.Calls
		return nil
	}
	if err := s.compileIntegration(r); err != nil {
		return fmt.Errorf("integration %s: %w", id, err)
	}
	made[r.Integration] = r
	return nil
}

func (s *Stage) compileIntegration(r *Route) (err error) {
	n := r.Integration
	if n.TimeoutMillis != 0 && (n.TimeoutMillis < 50 || n.TimeoutMillis > 29000) {
		return fmt.Errorf("timeoutInMillis: it is 50 to 29000")
	}
	r.responses = s.API.responses[n]
	uri, err := s.substitute(n.URI)
	if err != nil {
		return fmt.Errorf("integrationUri: %w", err)
	}
	switch n.Type {
	case earshot.Mock:
		return nil
	case earshot.AWSProxy:
		r.Calls, err = functionTarget(uri)
		return err
	case earshot.HTTPProxy, earshot.HTTPPlain, earshot.HTTPEvent:
		if r.mapping, err = parseMapping(n, uri); err != nil {
			return err
		}
		r.Calls = &Target{URL: uri}
		return nil
	}
	return fmt.Errorf("integrationType: %q is not known", n.Type)
}

func (s *Stage) findAuthorizer(r *Route) error {
	switch r.AuthorizationType {
	case "", "NONE", "AWS_IAM":
		return nil
	case "CUSTOM":
	default:
		return fmt.Errorf("authorizationType: %q is not known", r.AuthorizationType)
	}
	if r.Key != ConnectRoute {
		return fmt.Errorf("authorizationType: only $connect is authorized")
	}
	for i := range s.API.Authorizers {
		if s.API.Authorizers[i].ID == r.AuthorizerID {
			r.Authorizer = &s.API.Authorizers[i]
		}
	}
	if r.Authorizer == nil {
		return fmt.Errorf("authorizerId: there is no authorizer %q", r.AuthorizerID)
	}
	if err := s.compileAuthorizer(r); err != nil {
		return fmt.Errorf("authorizer %s: %w", r.AuthorizerID, err)
	}
	return nil
}

func (s *Stage) compileAuthorizer(r *Route) error {
	uri, err := s.substitute(r.Authorizer.URI)
	if err != nil {
		return fmt.Errorf("authorizerUri: %w", err)
	}
	if strings.HasPrefix(uri, "http://") || strings.HasPrefix(uri, "https://") {
		err = guard.CheckURL(uri, true)
		r.Asks = &Target{URL: uri}
	} else {
		r.Asks, err = functionTarget(uri)
	}
	if err != nil {
		return fmt.Errorf("authorizerUri: %w", err)
	}
	for _, text := range r.Authorizer.IdentitySource {
		from, err := parseIdentity(text)
		if err != nil {
			return fmt.Errorf("identitySource: %w", err)
		}
		r.sources = append(r.sources, from)
	}
	return nil
}
