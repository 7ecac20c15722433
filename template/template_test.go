package template_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/template"
)

func text(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// file reads a template of testdata.
func file(t testing.TB, name string, o template.Options) *template.Result {
	t.Helper()
	got, err := template.Read(text(t, name), o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got.Gateways {
		if err := gateway.Check(&got.Gateways[i]); err != nil {
			t.Error(err)
		}
	}
	return got
}

// expect compares what was made with what is wanted.
func expect(t testing.TB, got *template.Result, findings []string, want ...earshot.Gateway) {
	t.Helper()
	if len(got.Gateways) != len(want) {
		t.Fatalf("got %d APIs, want %d", len(got.Gateways), len(want))
	}
	for i := range want {
		g, w := reflect.ValueOf(got.Gateways[i]), reflect.ValueOf(want[i])
		for f := range g.NumField() {
			if !reflect.DeepEqual(g.Field(f).Interface(), w.Field(f).Interface()) {
				t.Errorf("%s: got\n%+v\nwant\n%+v", g.Type().Field(f).Name, g.Field(f).Interface(), w.Field(f).Interface())
			}
		}
	}
	var said []string
	for _, f := range got.Findings {
		said = append(said, f.String())
	}
	if !reflect.DeepEqual(said, findings) {
		t.Errorf("it says\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(findings, "\n"))
	}
}

func lambdaURI(region, account, name string) string {
	return "arn:aws:apigateway:" + region + ":lambda:path/2015-03-31/functions/arn:aws:lambda:" + region + ":" + account + ":function:" + name + "/invocations"
}

// tutorial writes what the functions of the tutorial are in: Go programs.
func tutorial(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"onConnect", "authorizer", "pushToWebSocket"} {
		at := filepath.Join(dir, "functions", name)
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, "main.go"), []byte("package main\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTutorial reads the template of "AWS API Gateway Websocket with
// Cloudformation and Golang": every member of what it makes is as the article says.
func TestTutorial(t *testing.T) {
	dir := tutorial(t)
	got := file(t, "tutorial.yaml", template.Options{Set: map[string]string{"Environment": "dev"}, Dir: dir})
	id := got.Gateways[0].ID
	function := func(name, source string, more map[string]string) earshot.GatewayFunction {
		env := map[string]string{"GO_ENV": "dev"}
		for k, v := range more {
			env[k] = v
		}
		return earshot.GatewayFunction{
			Name: name, Source: filepath.Join(dir, "functions", source), Handler: "main", TimeoutSeconds: 10, MemoryMB: 128, Environment: env,
		}
	}
	uri := func(name string) string { return lambdaURI("us-east-1", "000000000000", name) }
	expect(t, got, nil, earshot.Gateway{
		ID: id, Name: "websocket-dev", RouteSelection: "$request.body.action", Region: "us-east-1", Account: "000000000000",
		ManagementDomain: id + ".execute-api.us-east-1.amazonaws.com",
		Stages:           []earshot.GatewayStage{{Name: "dev"}},
		Routes: []earshot.GatewayRoute{
			{Key: "$connect", Target: "integrations/ConnectRouteIntegration", AuthorizationType: "CUSTOM", AuthorizerID: "Authorizer"},
			{Key: "pushtowebsocket", Target: "integrations/PushToWebSocketIntegration", AuthorizationType: "NONE"},
		},
		Integrations: []earshot.GatewayIntegration{
			{ID: "ConnectRouteIntegration", Type: earshot.AWSProxy, URI: uri("onConnect")},
			{ID: "PushToWebSocketIntegration", Type: earshot.AWSProxy, URI: uri("PushToWebSocketFunction")},
		},
		Authorizers: []earshot.GatewayAuthorizer{
			{ID: "Authorizer", URI: uri("RequestAuthorizer"), IdentitySource: []string{"route.request.querystring.Auth"}},
		},
		Functions: []earshot.GatewayFunction{
			function("RequestAuthorizer", "authorizer", nil),
			function("onConnect", "onConnect", nil),
			function("PushToWebSocketFunction", "pushToWebSocket", map[string]string{"API_GATEWAY_ID": id}),
		},
	})
	if again := file(t, "tutorial.yaml", template.Options{Set: map[string]string{"Environment": "prod"}, Dir: dir}); again.Gateways[0].ID != id || len(id) != 10 {
		t.Errorf("the API is %q once and %q then", id, again.Gateways[0].ID)
	}
	if other := file(t, "tutorial.yaml", template.Options{Set: map[string]string{"Environment": "dev"}, Dir: dir, Stack: "other"}); other.Gateways[0].ID == id {
		t.Error("the APIs of two stacks have the same id")
	}
}

// TestTutorialElsewhere gives what the article leaves to the deployment.
func TestTutorialElsewhere(t *testing.T) {
	got := file(t, "tutorial.yaml", template.Options{
		Set:    map[string]string{"Environment": "prod", "Appname": "chat", "WebSocket": "abc123defg"},
		Region: "eu-west-1", Account: "123456789012", Endpoint: "http://127.0.0.1:4566",
	})
	g := got.Gateways[0]
	if g.ID != "abc123defg" || g.Name != "chat-prod" || g.Stages[0].Name != "prod" || g.Region != "eu-west-1" || g.Account != "123456789012" || g.ManagementDomain != "" || len(got.Findings) != 0 {
		t.Errorf("got %+v, %v", g, got.Findings)
	}
	if g.Authorizers[0].URI != lambdaURI("eu-west-1", "123456789012", "RequestAuthorizer") {
		t.Errorf("the authorizer is %s", g.Authorizers[0].URI)
	}
	for _, f := range g.Functions {
		if f.Endpoint != "http://127.0.0.1:4566" || f.Source != "" || f.Command != nil || f.Environment != nil || f.TimeoutSeconds != 10 {
			t.Errorf("got %+v", f)
		}
	}
}
