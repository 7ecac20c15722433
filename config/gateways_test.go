package config_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/config"
)

const chatApp = `
[[apps]]
slug = "main"
publish_keys = ["k"]

[[apps.signing_keys]]
alg = "HS256"
key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="
`

// everyGateway has every member that can be set, and its secrets.
func everyGateway() earshot.Gateway {
	body := "a \"text\"\n{}"
	return earshot.Gateway{
		ID: "abc123", Name: "Chat", Hosts: []string{"ws.example.com"}, RouteSelection: "$request.body.action",
		APIKeySelection: "$context.authorizer.usageIdentifierKey", Region: "eu-west-1", Account: "123456789012", ManagementDomain: "rt.example.com:8443",
		Stages: []earshot.GatewayStage{{
			Name: "dev", Variables: map[string]string{"host": "10.0.0.1:80", "a": "b"}, Default: earshot.GatewayThrottle{Rate: 0.5, Burst: 2},
			Routes: map[string]earshot.GatewayThrottle{"$connect": {Rate: 10, Burst: 5}, "say it": {Burst: 1}},
		}, {Name: "prod", Variables: map[string]string{"host": "example.com"}}},
		Routes: []earshot.GatewayRoute{
			{Key: "$connect", Target: "integrations/fn", AuthorizationType: "CUSTOM", AuthorizerID: "auth", APIKeyRequired: true},
			{Key: "say it", Target: "integrations/http", RouteResponse: "$default"},
		},
		Integrations: []earshot.GatewayIntegration{
			{ID: "fn", Type: earshot.AWSProxy, URI: "arn:aws:lambda:eu-west-1:123456789012:function:echo", TimeoutMillis: 50, Asynchronous: true, Concurrency: 7},
			{
				ID: "http", Type: earshot.HTTPPlain, Method: "PUT", URI: "http://${stageVariables.host}/x", ForwardUpgrade: true, EventHeaders: true,
				RequestParameters: map[string]string{"integration.request.header.connectionId": "context.connectionId"},
				Responses:         []earshot.GatewayResponse{{Key: `/2\d\d/`, Status: 201, Body: &body}, {Key: "$default"}},
			},
		},
		Authorizers: []earshot.GatewayAuthorizer{{ID: "auth", URI: "away", IdentitySource: []string{"route.request.querystring.Auth"}}},
		Functions: []earshot.GatewayFunction{
			{Name: "echo", Source: "/srv/echo", Handler: "main", Environment: map[string]string{"DSN": "file:x.db", "A": "1"}, TimeoutSeconds: 10, MemoryMB: 128, Copies: 2},
			{Name: "away", Endpoint: "http://10.0.0.2:4566", AccessKey: &earshot.AccessKey{ID: "AK", Secret: "very-secret"}},
			{Name: "node", Command: []string{"npx", "aws-lambda-ric", "index.handler"}, Dir: "/srv/node"},
		},
		APIKeys:     []earshot.GatewayKey{{ID: "k", Value: "a-key-that-is-very-secret", Throttle: earshot.GatewayThrottle{Rate: 2, Burst: 3}}},
		IdleSeconds: -1, LifetimeSeconds: 7200, Concurrent: true, Binary: true, Subprotocols: []string{"chat.v1"},
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "earshot.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGatewaysRoundTrip writes APIs and loads them: all is there, and trusted.
func TestGatewaysRoundTrip(t *testing.T) {
	want := everyGateway()
	least := earshot.Gateway{ID: "b", RouteSelection: "$request.body.x", Stages: []earshot.GatewayStage{{Name: "s"}}}
	var b bytes.Buffer
	if err := config.WriteGateways(&b, []earshot.Gateway{want, least}); err != nil {
		t.Fatal(err)
	}
	c := load(t, write(t, chatApp+b.String()))
	apps, err := c.Tenants()
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	want.Trusted, least.Trusted = true, true
	if got := apps[0].Gateways; !reflect.DeepEqual(got, []earshot.Gateway{want, least}) {
		t.Errorf("got\n%+v\nwant\n%+v", got, []earshot.Gateway{want, least})
	}
	var printed bytes.Buffer
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if s := printed.String(); strings.Contains(s, "very-secret") || strings.Contains(s, "file:x.db") || !strings.Contains(s, `integration_response_key = "/2\\d\\d/"`) {
		t.Errorf("printed is\n%s", s)
	}
	again := load(t, write(t, printed.String()))
	if len(again.Apps[0].Gateways) != 2 || again.Apps[0].Gateways[0].IdleSeconds != -1 {
		t.Error("what is printed cannot be read")
	}
}

// TestGatewayPaths makes secrets and directories those that the file means.
func TestGatewayPaths(t *testing.T) {
	path := write(t, chatApp+`
[[apps.gateways]]
id = "a"
route_selection_expression = "$request.body.action"
stages = [{ stage_name = "dev" }]
api_keys = [{ id = "k", value = "env:API_KEY" }]

[[apps.gateways.functions]]
function_name = "one"
source = "functions/one"

[[apps.gateways.functions]]
function_name = "two"
command = ["bin/two", "-v"]
dir = "."
`)
	apps, err := load(t, path, "API_KEY=12345678901234567890").Tenants()
	if err != nil {
		t.Fatal(err)
	}
	g, dir := apps[0].Gateways[0], filepath.Dir(path)
	if g.APIKeys[0].Value != "12345678901234567890" || g.Functions[0].Source != filepath.Join(dir, "functions/one") ||
		g.Functions[1].Command[0] != filepath.Join(dir, "bin/two") || g.Functions[1].Command[1] != "-v" || g.Functions[1].Dir != dir {
		t.Errorf("got %+v", g)
	}
}

// TestGatewayProblems says what is wrong in the names of the file.
func TestGatewayProblems(t *testing.T) {
	file := write(t, chatApp+`
[[apps.gateways]]
id = "A"
route_selection_expression = "$request.body.action"

[[apps.gateways.stages]]
stage_name = "dev"
route_settings = { "sayIt" = { throttling_rate_limit = 1 } }

[[apps.gateways.routes]]
route_key = "$x"
target = "integrations/no"

[[apps.gateways]]
id = "b"
route_selection_expression = "$request.body.action"
stages = [{ stage_name = "dev" }]
functions = [{ function_name = "f" }]

[[apps.gateways.integrations]]
integration_id = "i"
integration_type = "AWS_PROXY"
integration_uri = "g"
timeout_in_millis = 10
`)
	_, err := load(t, file).Tenants()
	var p config.Problems
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	golden(t, "gateways.want", p.Error()+"\n")
	err = config.Default().Load(write(t, chatApp+`
[[apps.gateways]]
idd = "b"
stages = [{ stage_variables = "x" }]
integrations = [{ responses = [{ body = 3 }] }]
idle_seconds = -5
functions = [{ timeout = -1, environment = { A = 1 } }]
api_keys = [{ value = "env:NOT_SET" }]
`), nil)
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	golden(t, "gateways_read.want", p.Error()+"\n")
}

// TestGatewayClash: ids are unique on the server.
func TestGatewayClash(t *testing.T) {
	g := "\n[[apps.gateways]]\nid = \"b\"\nroute_selection_expression = \"$request.body.action\"\nstages = [{ stage_name = \"dev\" }]\n"
	if _, err := load(t, write(t, chatApp+g+g)).Tenants(); err == nil || !strings.Contains(err.Error(), `gateway "b"`) {
		t.Errorf("got %v", err)
	}
}
