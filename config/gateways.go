package config

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
)

// Gateway is a WebSocket API as Amazon API Gateway has them.
type Gateway struct {
	// ID is the API's id: 1 to 32 of a-z and 0-9, unique on this server.
	ID string `toml:"id"`
	// Name is for people.
	Name string `toml:"name"`
	// Hosts are its custom domains. ID.execute-api.REGION.amazonaws.com selects it in
	// any case.
	Hosts []string `toml:"hosts"`
	// RouteSelection says which part of a message is the key of its route, as in
	// "$request.body.action".
	RouteSelection string `toml:"route_selection_expression"`
	// APIKeySelection says where API keys are: "$request.header.x-api-key", which is
	// the default, or "$context.authorizer.usageIdentifierKey".
	APIKeySelection string `toml:"api_key_selection_expression"`
	// Region is the one that ARNs name; empty is us-east-1.
	Region string `toml:"region"`
	// Account is the one that ARNs name; empty is 000000000000.
	Account string `toml:"account"`
	// ManagementDomain is what events say as domainName instead of the client's host:
	// functions make the address of the management API of it.
	ManagementDomain string `toml:"management_domain"`
	// IdleSeconds closes a connection on which nothing was said for so long; 0 is
	// 600, and less than 0 never does.
	IdleSeconds Seconds `toml:"idle_seconds"`
	// LifetimeSeconds closes a connection that is older; 0 and less never does.
	LifetimeSeconds Seconds `toml:"lifetime_seconds"`
	// Concurrent has the messages of one connection worked on beside one another
	// instead of one after another.
	Concurrent bool `toml:"concurrent"`
	// Binary takes binary messages, in base64 in the event, instead of closing with 1003.
	Binary bool `toml:"binary"`
	// Subprotocols are chosen from where no $connect integration chooses one.
	Subprotocols []string `toml:"subprotocols"`
	// Stages are its deployments.
	Stages []GatewayStage `toml:"stages"`
	// Routes lead from the key of a message to an integration.
	Routes []GatewayRoute `toml:"routes"`
	// Integrations are its backends.
	Integrations []GatewayIntegration `toml:"integrations"`
	// Authorizers are functions that judge $connect.
	Authorizers []GatewayAuthorizer `toml:"authorizers"`
	// Functions are what integrations and authorizers may name by their ARN.
	Functions []GatewayFunction `toml:"functions"`
	// APIKeys are those that $connect may ask for.
	APIKeys []GatewayKey `toml:"api_keys"`
}

// GatewayStage is a deployment of a WebSocket API.
type GatewayStage struct {
	// Name is the first segment of the path: letters, digits, - and _.
	Name string `toml:"stage_name"`
	// Variables are for ${stageVariables.NAME} in addresses, and stand in events.
	Variables map[string]string `toml:"stage_variables"`
	// Routes limits single routes, by their keys, as in
	// { "$connect" = { throttling_rate_limit = 10.0, throttling_burst_limit = 5 } }.
	Routes map[string]GatewayThrottle `toml:"route_settings"`
	// Default limits every route.
	Default GatewayThrottle `toml:"default_route_settings"`
}

// GatewayThrottle limits requests; 0 is no limit.
type GatewayThrottle struct {
	// Rate is how many there may be in a second.
	Rate float64 `toml:"throttling_rate_limit"`
	// Burst is how many there may be at once.
	Burst int `toml:"throttling_burst_limit"`
}

// GatewayRoute leads to an integration.
type GatewayRoute struct {
	// Key is $connect, $disconnect, $default, or what the selection expression gives.
	Key string `toml:"route_key"`
	// Target is "integrations/" and an integration_id.
	Target string `toml:"target"`
	// AuthorizationType is, for $connect, "NONE", "CUSTOM" or "AWS_IAM".
	AuthorizationType string `toml:"authorization_type"`
	// AuthorizerID is the authorizer of CUSTOM.
	AuthorizerID string `toml:"authorizer_id"`
	// APIKeyRequired has $connect ask for an API key.
	APIKeyRequired bool `toml:"api_key_required"`
	// RouteResponse is "$default" if what the integration answers goes to the client.
	RouteResponse string `toml:"route_response_selection_expression"`
}

// GatewayIntegration is a backend.
type GatewayIntegration struct {
	// ID is what targets name.
	ID string `toml:"integration_id"`
	// Type is "AWS_PROXY" for a function, "HTTP_PROXY" or "HTTP" for an address,
	// "HTTP_EVENT" for an address that is posted the event of AWS_PROXY, or "MOCK".
	Type string `toml:"integration_type"`
	// URI is the function's ARN or the address. It may be plain http, and an
	// internal address.
	URI string `toml:"integration_uri"`
	// Method is that of HTTP_PROXY and HTTP.
	Method string `toml:"integration_method"`
	// TimeoutMillis is how long it may take: 50 to 29000, which 0 is too.
	TimeoutMillis int `toml:"timeout_in_millis"`
	// RequestParameters map parameters of HTTP_PROXY and HTTP, as in
	// { "integration.request.header.connectionId" = "context.connectionId" }.
	RequestParameters map[string]string `toml:"request_parameters"`
	// Asynchronous does not wait for what a function answers.
	Asynchronous bool `toml:"asynchronous"`
	// ForwardUpgrade sends the headers of the upgrade on to $connect's address.
	ForwardUpgrade bool `toml:"forward_upgrade"`
	// EventHeaders adds X-Connection-Id and others to requests of HTTP_PROXY and HTTP.
	EventHeaders bool `toml:"event_headers"`
	// Concurrency is how many calls may be under way; 0 is 1000.
	Concurrency int `toml:"concurrency"`
	// Responses are those of HTTP and MOCK.
	Responses []GatewayResponse `toml:"responses"`
}

// GatewayResponse is an integration response.
type GatewayResponse struct {
	// Key is "$default", or a regular expression of the status, as in "/2\d\d/".
	Key string `toml:"integration_response_key"`
	// Status is what it is answered with; 0 leaves it.
	Status int `toml:"status_code"`
	// Body is sent instead of what the integration answered.
	Body *string `toml:"body"`
}

// GatewayAuthorizer is a function that judges $connect.
type GatewayAuthorizer struct {
	// ID is what $connect names.
	ID string `toml:"authorizer_id"`
	// URI is the function's ARN, or an address that is posted the authorizer's event.
	URI string `toml:"authorizer_uri"`
	// IdentitySource are what must not be empty, as in
	// "route.request.querystring.Auth".
	IdentitySource []string `toml:"identity_source"`
}

// GatewayFunction is a Lambda function: it has one of command, source and endpoint.
type GatewayFunction struct {
	// Name is what ARNs name.
	Name string `toml:"function_name"`
	// Command runs it here: a program that is built on a Lambda runtime, and its
	// arguments.
	Command []string `toml:"command"`
	// Dir is where it is run. Like source, it is relative to this file.
	Dir string `toml:"dir"`
	// Source is a directory with a Go program that is built and run.
	Source string `toml:"source"`
	// Endpoint is a service with Lambda's API that has the function.
	Endpoint string `toml:"endpoint"`
	// AccessKeyID signs requests to endpoint; without one they are not signed.
	AccessKeyID string `toml:"access_key_id"`
	// SecretAccessKey is its secret.
	SecretAccessKey Secret `toml:"secret_access_key"`
	// Handler is what the function is told.
	Handler string `toml:"handler"`
	// Environment are its variables, as they are.
	Environment map[string]Secret `toml:"environment"`
	// TimeoutSeconds is how long a call may take; 0 is 3.
	TimeoutSeconds int `toml:"timeout"`
	// MemoryMB is what the function is told it has.
	MemoryMB int `toml:"memory_size"`
	// Copies is how many of it run at the most; 0 is 10.
	Copies int `toml:"copies"`
}

// GatewayKey is an API key with its usage plan.
type GatewayKey struct {
	// ID is what events name it by.
	ID string `toml:"id"`
	// Value is the key: 20 to 128 characters.
	Value Secret `toml:"value"`
	// Throttle limits who shows it.
	Throttle GatewayThrottle `toml:"throttle"`
}

// gateways adds the app's WebSocket APIs. What stands in the settings was written
// down by the operator, who may mean internal addresses.
func (a *App) gateways(out *earshot.App, name string, p *Problems) {
	for i := range a.Gateways {
		made := a.Gateways[i].build()
		made.Trusted = true
		at := fmt.Sprintf("%s.gateways[%d]", name, i)
		var problems gateway.Problems
		if errors.As(gateway.Check(&made), &problems) {
			for _, one := range problems {
				p.add("%s.%s: %s", at, asKey(one.Path), one.Text)
			}
		}
		out.Gateways = append(out.Gateways, made)
	}
}

// asKey writes a name of the JSON as it stands in the file: routeKey is route_key.
// What is quoted stays.
func asKey(path string) string {
	var b strings.Builder
	quoted := false
	for _, r := range path {
		if r == '"' {
			quoted = !quoted
		}
		if !quoted && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (g *Gateway) build() earshot.Gateway {
	out := earshot.Gateway{
		ID: g.ID, Name: g.Name, Hosts: g.Hosts, RouteSelection: g.RouteSelection, APIKeySelection: g.APIKeySelection,
		Region: g.Region, Account: g.Account, ManagementDomain: g.ManagementDomain, IdleSeconds: int(g.IdleSeconds),
		LifetimeSeconds: int(g.LifetimeSeconds), Concurrent: g.Concurrent, Binary: g.Binary, Subprotocols: g.Subprotocols,
	}
	out.Stages = each(g.Stages, func(s GatewayStage) earshot.GatewayStage {
		return earshot.GatewayStage{
			Name: s.Name, Variables: s.Variables, Default: earshot.GatewayThrottle(s.Default),
			Routes: eachOf(s.Routes, func(t GatewayThrottle) earshot.GatewayThrottle { return earshot.GatewayThrottle(t) }),
		}
	})
	out.Routes = each(g.Routes, func(r GatewayRoute) earshot.GatewayRoute { return earshot.GatewayRoute(r) })
	out.Integrations = each(g.Integrations, func(i GatewayIntegration) earshot.GatewayIntegration {
		return earshot.GatewayIntegration{
			ID: i.ID, Type: i.Type, URI: i.URI, Method: i.Method, TimeoutMillis: i.TimeoutMillis, RequestParameters: i.RequestParameters,
			Responses:    each(i.Responses, func(r GatewayResponse) earshot.GatewayResponse { return earshot.GatewayResponse(r) }),
			Asynchronous: i.Asynchronous, ForwardUpgrade: i.ForwardUpgrade, EventHeaders: i.EventHeaders, Concurrency: i.Concurrency,
		}
	})
	out.Authorizers = each(g.Authorizers, func(a GatewayAuthorizer) earshot.GatewayAuthorizer { return earshot.GatewayAuthorizer(a) })
	out.Functions = each(g.Functions, GatewayFunction.build)
	out.APIKeys = each(g.APIKeys, func(k GatewayKey) earshot.GatewayKey {
		return earshot.GatewayKey{ID: k.ID, Value: string(k.Value), Throttle: earshot.GatewayThrottle(k.Throttle)}
	})
	return out
}

func (f GatewayFunction) build() earshot.GatewayFunction {
	out := earshot.GatewayFunction{
		Name: f.Name, Command: f.Command, Dir: f.Dir, Source: f.Source, Endpoint: f.Endpoint, Handler: f.Handler,
		Environment:    eachOf(f.Environment, func(s Secret) string { return string(s) }),
		TimeoutSeconds: f.TimeoutSeconds, MemoryMB: f.MemoryMB, Copies: f.Copies,
	}
	if f.AccessKeyID != "" || f.SecretAccessKey != "" {
		out.AccessKey = &earshot.AccessKey{ID: f.AccessKeyID, Secret: string(f.SecretAccessKey)}
	}
	return out
}

// gatewayOf is what build makes it of.
func gatewayOf(g *earshot.Gateway) Gateway {
	out := Gateway{
		ID: g.ID, Name: g.Name, Hosts: g.Hosts, RouteSelection: g.RouteSelection, APIKeySelection: g.APIKeySelection,
		Region: g.Region, Account: g.Account, ManagementDomain: g.ManagementDomain, IdleSeconds: Seconds(g.IdleSeconds),
		LifetimeSeconds: Seconds(g.LifetimeSeconds), Concurrent: g.Concurrent, Binary: g.Binary, Subprotocols: g.Subprotocols,
	}
	out.Stages = each(g.Stages, func(s earshot.GatewayStage) GatewayStage {
		return GatewayStage{
			Name: s.Name, Variables: s.Variables, Default: GatewayThrottle(s.Default),
			Routes: eachOf(s.Routes, func(t earshot.GatewayThrottle) GatewayThrottle { return GatewayThrottle(t) }),
		}
	})
	out.Routes = each(g.Routes, func(r earshot.GatewayRoute) GatewayRoute { return GatewayRoute(r) })
	out.Integrations = each(g.Integrations, func(i earshot.GatewayIntegration) GatewayIntegration {
		return GatewayIntegration{
			ID: i.ID, Type: i.Type, URI: i.URI, Method: i.Method, TimeoutMillis: i.TimeoutMillis, RequestParameters: i.RequestParameters,
			Responses:    each(i.Responses, func(r earshot.GatewayResponse) GatewayResponse { return GatewayResponse(r) }),
			Asynchronous: i.Asynchronous, ForwardUpgrade: i.ForwardUpgrade, EventHeaders: i.EventHeaders, Concurrency: i.Concurrency,
		}
	})
	out.Authorizers = each(g.Authorizers, func(a earshot.GatewayAuthorizer) GatewayAuthorizer { return GatewayAuthorizer(a) })
	out.Functions = each(g.Functions, functionOf)
	out.APIKeys = each(g.APIKeys, func(k earshot.GatewayKey) GatewayKey {
		return GatewayKey{ID: k.ID, Value: Secret(k.Value), Throttle: GatewayThrottle(k.Throttle)}
	})
	return out
}

func functionOf(f earshot.GatewayFunction) GatewayFunction {
	out := GatewayFunction{
		Name: f.Name, Command: f.Command, Dir: f.Dir, Source: f.Source, Endpoint: f.Endpoint, Handler: f.Handler,
		Environment:    eachOf(f.Environment, func(s string) Secret { return Secret(s) }),
		TimeoutSeconds: f.TimeoutSeconds, MemoryMB: f.MemoryMB, Copies: f.Copies,
	}
	if f.AccessKey != nil {
		out.AccessKeyID, out.SecretAccessKey = f.AccessKey.ID, Secret(f.AccessKey.Secret)
	}
	return out
}

func each[A, B any](all []A, f func(A) B) []B {
	var out []B
	for _, a := range all {
		out = append(out, f(a))
	}
	return out
}

func eachOf[A, B any](all map[string]A, f func(A) B) map[string]B {
	if all == nil {
		return nil
	}
	out := make(map[string]B, len(all))
	for k, a := range all {
		out[k] = f(a)
	}
	return out
}

// WriteGateways writes WebSocket APIs, with their secrets, as they stand in a file
// below an app. What has its default is left out.
func WriteGateways(w io.Writer, all []earshot.Gateway) error {
	out := &printer{w: w, sparse: true, reveal: true}
	for i := range all {
		out.gap()
		out.line("[[apps.gateways]]")
		out.fields(reflect.ValueOf(gatewayOf(&all[i])), "apps.gateways")
	}
	return out.err
}

// resolveGateways reads the secrets of the APIs, and makes the directories of
// their functions those that the file means.
func (c *Config) resolveGateways(a *App, name string, p *Problems) {
	for i := range a.Gateways {
		g, at := &a.Gateways[i], fmt.Sprintf("%s.gateways[%d]", name, i)
		for j := range g.APIKeys {
			c.resolve(&g.APIKeys[j].Value, fmt.Sprintf("%s.api_keys[%d].value", at, j), p)
		}
		for j := range g.Functions {
			f := &g.Functions[j]
			c.resolve(&f.SecretAccessKey, fmt.Sprintf("%s.functions[%d].secret_access_key", at, j), p)
			c.relative(&f.Source)
			c.relative(&f.Dir)
			if len(f.Command) > 0 && strings.ContainsRune(f.Command[0], filepath.Separator) {
				c.relative(&f.Command[0])
			}
		}
	}
}

// relative makes a path relative to the file of the settings.
func (c *Config) relative(path *string) {
	if *path != "" && c.path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(filepath.Dir(c.path), *path)
	}
}
