package gateway_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
)

// whole uses everything that can be set.
func whole() *earshot.Gateway {
	body := "hello"
	return &earshot.Gateway{
		ID: "abc123", Name: "Chat", Hosts: []string{"ws.example.com"}, RouteSelection: "$request.body.action",
		APIKeySelection: "$request.header.x-api-key", Region: "eu-west-1", Account: "123456789012", ManagementDomain: "Rt.example.com:8443",
		Stages: []earshot.GatewayStage{
			{Name: "dev", Variables: map[string]string{"fn": "echo", "host": "10.0.0.1:80"}, Default: earshot.GatewayThrottle{Rate: 0.5, Burst: 2}},
			{Name: "$default", Variables: map[string]string{"fn": "auth", "host": "example.com"}, Routes: map[string]earshot.GatewayThrottle{"say": {Rate: 1}}},
		},
		Routes: []earshot.GatewayRoute{
			{Key: "$connect", Target: "integrations/echo", AuthorizationType: "CUSTOM", AuthorizerID: "auth", APIKeyRequired: true},
			{Key: "$disconnect"},
			{Key: "say", Target: "integrations/http", AuthorizationType: "NONE", RouteResponse: "$default"},
		},
		Integrations: []earshot.GatewayIntegration{
			{ID: "echo", Type: earshot.AWSProxy, TimeoutMillis: 50, Asynchronous: true, URI: "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:${stageVariables.fn}:live/invocations"},
			{ID: "http", Type: earshot.HTTPPlain, Method: "POST", URI: "http://${stageVariables.host}/x", Responses: []earshot.GatewayResponse{{Key: "$default"}, {Key: `/2\d\d/`, Status: 200, Body: &body}}, RequestParameters: map[string]string{
				"integration.request.header.connectionId": "context.connectionId", "integration.request.querystring.a": "'x'", "integration.request.path.p": "route.request.body.a.b",
			}},
			{ID: "mock", Type: earshot.Mock},
			{ID: "event", Type: earshot.HTTPEvent, URI: "https://example.com/event", Concurrency: 3},
		},
		Authorizers: []earshot.GatewayAuthorizer{{ID: "auth", URI: "auth", IdentitySource: []string{"route.request.querystring.Auth", "$request.header.X"}}},
		Functions: []earshot.GatewayFunction{
			{Name: "echo", Source: "./echo", Environment: map[string]string{"A": "b"}, TimeoutSeconds: 900},
			{Name: "auth", Endpoint: "https://lambda.eu-west-1.amazonaws.com", AccessKey: &earshot.AccessKey{ID: "AK", Secret: "s"}},
		},
		APIKeys:      []earshot.GatewayKey{{ID: "k", Value: strings.Repeat("v", 20), Throttle: earshot.GatewayThrottle{Rate: 2}}},
		Subprotocols: []string{"chat.v1"}, IdleSeconds: -1,
	}
}

func TestCheckTakes(t *testing.T) {
	if err := gateway.Check(whole()); err != nil {
		t.Error(err)
	}
	least := &earshot.Gateway{ID: "a", RouteSelection: "$request.body.action", Stages: []earshot.GatewayStage{{Name: "s"}}}
	if err := gateway.Check(least); err != nil {
		t.Error(err)
	}
}

// TestCheckRefuses changes one thing at a time, and expects the one problem.
func TestCheckRefuses(t *testing.T) {
	for want, change := range map[string]func(g *earshot.Gateway){
		`id: "A b" is not`:                     func(g *earshot.Gateway) { g.ID = "A b" },
		`hosts[0]: "WS.example" is not`:        func(g *earshot.Gateway) { g.Hosts[0] = "WS.example" },
		`hosts[1]: "ws.example.com" stands`:    func(g *earshot.Gateway) { g.Hosts = append(g.Hosts, g.Hosts[0]) },
		`routeSelectionExpression: it is empt`: func(g *earshot.Gateway) { g.RouteSelection = "" },
		`routeSelectionExpression: `:           func(g *earshot.Gateway) { g.RouteSelection = "${request.body.x" },
		`authorizers[0].authorizerUri: "http`:  func(g *earshot.Gateway) { g.Authorizers[0].URI = "http://" },
		`routes: `: func(g *earshot.Gateway) {
			g.Integrations[1].RequestParameters["integration.request.header.x"] = "context.nothing"
		},
		`apiKeySelectionExpression: "x" is`:    func(g *earshot.Gateway) { g.APIKeySelection = "x" },
		`region: "US" is not`:                  func(g *earshot.Gateway) { g.Region = "US" },
		`account: "1" is not 12 digits`:        func(g *earshot.Gateway) { g.Account = "1" },
		`managementDomain: "https://x" is not`: func(g *earshot.Gateway) { g.ManagementDomain = "https://x" },
		`managementDomain: "x:0" is not`:       func(g *earshot.Gateway) { g.ManagementDomain = "x:0" },
		`subprotocols[0]: "a b" is not`:        func(g *earshot.Gateway) { g.Subprotocols[0] = "a b" },
		`stages[0].stageName: "a/b" is not`:    func(g *earshot.Gateway) { g.Stages[0].Name = "a/b" },
		`stages[1].stageName: "dev" stands`:    func(g *earshot.Gateway) { g.Stages[1].Name = "dev" },
		`stages[0].stageVariables: "a b" is`:   func(g *earshot.Gateway) { g.Stages[0].Variables["a b"] = "x" },
		`stages[0].stageVariables.v: the val`:  func(g *earshot.Gateway) { g.Stages[0].Variables["v"] = "a b" },
		`stages[0].defaultRouteSettings.thro`:  func(g *earshot.Gateway) { g.Stages[0].Default.Rate = math.NaN() },
		`stages[1].routeSettings["say"].thro`:  func(g *earshot.Gateway) { g.Stages[1].Routes["say"] = earshot.GatewayThrottle{Burst: -1} },
		`stages[1].routeSettings["no"]: ther`:  func(g *earshot.Gateway) { g.Stages[1].Routes["no"] = earshot.GatewayThrottle{} },
		`routes[1].routeKey: "$else": of tho`:  func(g *earshot.Gateway) { g.Routes[1].Key = "$else" },
		`routes[1].routeKey: "$connect" stan`:  func(g *earshot.Gateway) { g.Routes[1].Key = "$connect"; g.Routes[1].Target = "" },
		`routes[1].routeKey: it has 1 to 128`:  func(g *earshot.Gateway) { g.Routes[1].Key = "" },
		`routes[1].target: "integrations/no"`:  func(g *earshot.Gateway) { g.Routes[1].Target = "integrations/no" },
		`routes[1].target: "echo" is not`:      func(g *earshot.Gateway) { g.Routes[1].Target = "echo" },
		`routes[2].routeResponseSelectionExp`:  func(g *earshot.Gateway) { g.Routes[2].RouteResponse = "x" },
		`routes[0].authorizerId: there is no`:  func(g *earshot.Gateway) { g.Routes[0].AuthorizerID = "no" },
		`routes[0].authorizerId: it needs th`:  func(g *earshot.Gateway) { g.Routes[0].AuthorizationType = "AWS_IAM" },
		`routes[0].authorizationType: "JWT" `:  func(g *earshot.Gateway) { g.Routes[0].AuthorizationType = "JWT" },
		`routes[2].authorizationType: only $`:  func(g *earshot.Gateway) { g.Routes[2].AuthorizationType = "AWS_IAM" },
		`routes[2].apiKeyRequired: only $con`:  func(g *earshot.Gateway) { g.Routes[2].APIKeyRequired = true },
		`integrations[2].integrationId: "" i`:  func(g *earshot.Gateway) { g.Integrations[2].ID = "" },
		`integrations[2].integrationId: "ech`:  func(g *earshot.Gateway) { g.Integrations[2].ID = "echo" },
		`integrations[2].integrationType: "A`:  func(g *earshot.Gateway) { g.Integrations[2].Type = "AWS" },
		`integrations[2].timeoutInMillis: it`:  func(g *earshot.Gateway) { g.Integrations[2].TimeoutMillis = 49 },
		`integrations[2].asynchronous: it is`:  func(g *earshot.Gateway) { g.Integrations[2].Asynchronous = true },
		`integrations[2].concurrency: it is `:  func(g *earshot.Gateway) { g.Integrations[2].Concurrency = -1 },
		`integrations[2].requestParameters: `:  func(g *earshot.Gateway) { g.Integrations[2].RequestParameters = map[string]string{"a": "b"} },
		`integrations[3].responses: they are`:  func(g *earshot.Gateway) { g.Integrations[3].Responses = []earshot.GatewayResponse{{Key: "$default"}} },
		`integrations[3].integrationUri: "ft`:  func(g *earshot.Gateway) { g.Integrations[3].URI = "ftp://example.com" },
		`integrations[1].integrationMethod: `:  func(g *earshot.Gateway) { g.Integrations[1].Method = "" },
		`integrations[1].integrationUri: the`:  func(g *earshot.Gateway) { delete(g.Stages[0].Variables, "host") },
		`integrations[1].requestParameters["`:  func(g *earshot.Gateway) { g.Integrations[1].RequestParameters["integration.request.header.x"] = "x" },
		`integrations[1].requestParameters["i`: func(g *earshot.Gateway) { g.Integrations[1].RequestParameters["integration.request.body.x"] = "'x'" },
		`integrations[1].responses[1].integr`:  func(g *earshot.Gateway) { g.Integrations[1].Responses[1].Key = "/(/" },
		`integrations[1].responses[1].status`:  func(g *earshot.Gateway) { g.Integrations[1].Responses[1].Status = 99 },
		`integrations[0].integrationUri: the`:  func(g *earshot.Gateway) { g.Stages[0].Variables["fn"] = "nobody" },
		`integrations[0].integrationUri: "ar`:  func(g *earshot.Gateway) { g.Integrations[0].URI = "arn:aws:sqs:us-east-1:1:q" },
		`authorizers[0].authorizerUri: there`:  func(g *earshot.Gateway) { g.Authorizers[0].URI = "no" },
		`authorizers[0].identitySource[0]: "`:  func(g *earshot.Gateway) { g.Authorizers[0].IdentitySource[0] = "method.request.header.X" },
		`functions[1].functionName: "auth" s`:  func(g *earshot.Gateway) { g.Functions[0].Name = "auth"; g.Stages[0].Variables["fn"] = "auth" },
		`functions[0]: it needs one of`:        func(g *earshot.Gateway) { g.Functions[0].Command = []string{"x"} },
		`functions[0].timeout: it is 0 to 90`:  func(g *earshot.Gateway) { g.Functions[0].TimeoutSeconds = 901 },
		`functions[0].environment: "A=" cann`:  func(g *earshot.Gateway) { g.Functions[0].Environment["A="] = "x" },
		`functions[1].endpoint: "lambda" is `:  func(g *earshot.Gateway) { g.Functions[1].Endpoint = "lambda" },
		`functions[1].accessKey: it needs an`:  func(g *earshot.Gateway) { g.Functions[1].AccessKey.Secret = "" },
		`apiKeys[0].value: it has 20 to 128 `:  func(g *earshot.Gateway) { g.APIKeys[0].Value = "short" },
		`apiKeys[1].value: another key has i`:  func(g *earshot.Gateway) { g.APIKeys = append(g.APIKeys, g.APIKeys[0]); g.APIKeys[1].ID = "l" },
		`apiKeys[0].throttle.throttlingRateL`:  func(g *earshot.Gateway) { g.APIKeys[0].Throttle.Rate = -1 },
		`stages: there is none, so nobody co`:  func(g *earshot.Gateway) { g.Stages = nil; g.Integrations[1].URI = "http://x/" },
	} {
		g := whole()
		change(g)
		err := gateway.Check(g)
		var all gateway.Problems
		if !errors.As(err, &all) || len(all) != 1 || !strings.HasPrefix(all[0].Path+": "+all[0].Text, want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestFunctionName(t *testing.T) {
	for in, want := range map[string]string{
		"echo": "echo", "echo:live": "echo", "arn:aws:lambda:us-east-1:123456789012:function:echo": "echo",
		"arn:aws:lambda:us-east-1:123456789012:function:echo:$LATEST": "echo", "123456789012:function:echo": "echo",
		"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:echo:1/invocations": "echo",
		"arn:aws:sqs:us-east-1:123456789012:q": "", "": "", "a b": "", "x/functions/echo": "", "http://example.com": "",
	} {
		got, ok := gateway.FunctionName(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %q, %v", in, got, ok)
		}
	}
}
