package gateway

import "github.com/earshot-io/earshot"

// An API is a compiled earshot.Gateway.
type API struct {
	*earshot.Gateway
	stages map[string]*Stage
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
}

// Stage returns the stage of a name, nil if there is none.
func (a *API) Stage(name string) *Stage { return a.stages[name] }

// Route returns the route of a key, nil if there is none.
func (s *Stage) Route(key string) *Route { return s.routes[key] }
