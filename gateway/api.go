package gateway

import (
	"time"

	"github.com/earshot-io/earshot"
)

// What ARNs name where the API does not say.
const (
	defaultRegion  = "us-east-1"
	defaultAccount = "000000000000"
)

// An API is a compiled earshot.Gateway.
type API struct {
	*earshot.Gateway
	stages    map[string]*Stage
	selection *expression
	responses map[*earshot.GatewayIntegration][]response
	// longest is the length of the longest route key.
	longest int
}

// A Stage is one of an API's stages with its routes: throttles and stage variables
// are a stage's own.
type Stage struct {
	earshot.GatewayStage
	API    *API
	routes map[string]*Route
}

// A Route is one of a stage's routes, with its integration and authorizer.
type Route struct {
	earshot.GatewayRoute
	Integration *earshot.GatewayIntegration
	Authorizer  *earshot.GatewayAuthorizer
	// Throttle is what the stage says of it.
	Throttle earshot.GatewayThrottle
	// Calls is what the integration calls, Asks what the authorizer does, with the
	// stage's variables in their places; nil where nothing is called.
	Calls, Asks *Target

	mapping   *mapping
	responses []response
	sources   []source
}

// Stage returns the stage of a name, nil if there is none.
func (a *API) Stage(name string) *Stage { return a.stages[name] }

// ARN names something of a stage in policies, such as "$connect" or
// "POST/@connections/id".
func (a *API) ARN(stage, what string) string {
	return "arn:aws:execute-api:" + a.Where() + ":" + a.account() + ":" + a.ID + "/" + stage + "/" + what
}

// Where is the API's region.
func (a *API) Where() string {
	if a.Region == "" {
		return defaultRegion
	}
	return a.Region
}

func (a *API) account() string {
	if a.Account == "" {
		return defaultAccount
	}
	return a.Account
}

// Function returns what the API says of a function, nil if nothing.
func (a *API) Function(name string) *earshot.GatewayFunction {
	for i := range a.Functions {
		if a.Functions[i].Name == name {
			return &a.Functions[i]
		}
	}
	return nil
}

// Route returns the route of a key, nil if there is none.
func (s *Stage) Route(key string) *Route { return s.routes[key] }

// Select returns the route that a message takes (5.1): the one whose key is
// exactly what the selection expression makes of it, else $default, and nil if
// there is none either. A message that selects $connect or $disconnect by their
// names takes $default.
func (s *Stage) Select(message []byte) *Route {
	key, ok := s.API.selection.evaluate(message, s.API.longest)
	if ok && len(key) > 0 && key[0] != '$' {
		if r := s.routes[string(key)]; r != nil {
			return r
		}
	}
	return s.routes[DefaultRoute]
}

// TwoWay reports whether what the integration answers goes to the client.
func (r *Route) TwoWay() bool { return r.RouteResponse == DefaultRoute }

// Timeout is how long the integration may take.
func (r *Route) Timeout() time.Duration {
	if r.Integration == nil || r.Integration.TimeoutMillis == 0 {
		return DefaultTimeout
	}
	return time.Duration(r.Integration.TimeoutMillis) * time.Millisecond
}

// How long calls may take.
const (
	DefaultTimeout    = 29 * time.Second
	AuthorizerTimeout = 10 * time.Second
)
