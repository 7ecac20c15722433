package function_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/function"
	core "github.com/earshot-io/earshot/gateway"
)

func TestFromDirectory(t *testing.T) {
	g, err := function.FromDirectory("testdata/tutorial", "tutorial1", "dev")
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Check(&g); err != nil {
		t.Error(err)
	}
	if len(g.Functions) != 3 || len(g.Authorizers) != 1 || g.RouteSelection != "$request.body.action" || !g.Trusted || g.Stages[0].Name != "dev" {
		t.Errorf("got %+v", g)
	}
	for key, target := range map[string]string{"$connect": "onConnect", "pushtowebsocket": "pushToWebSocket"} {
		found := false
		for _, r := range g.Routes {
			found = found || r.Key == key && r.Target == "integrations/"+target
			if r.Key == "$connect" && (r.AuthorizationType != "CUSTOM" || r.AuthorizerID != g.Authorizers[0].ID) {
				t.Errorf("$connect is %+v", r)
			}
		}
		if !found {
			t.Errorf("there is no route %s in %+v", key, g.Routes)
		}
	}
	a := g.Authorizers[0]
	if a.URI != "arn:aws:lambda:us-east-1:000000000000:function:authorizer" || len(a.IdentitySource) != 1 || a.IdentitySource[0] != "route.request.querystring.Auth" {
		t.Errorf("the authorizer is %+v", a)
	}
	if env := g.Functions[2].Environment; env["API_GATEWAY_ID"] != "tutorial1" || env["GO_ENV"] != "dev" {
		t.Errorf("got %v", env)
	}
}

// TestDirectoryForms: programs that are built, alone or in a directory, and an
// authorizer without a $connect; what is no function is passed over.
func TestDirectoryForms(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("Request_Authorizer/bootstrap", 0o700)
	put("on-disconnect.bin", 0o700)
	put("ondefault/main", 0o700)
	put("sayHello", 0o700)
	put("README.md", 0o600)
	put(".hidden", 0o700)
	put("empty/notes.txt", 0o600)
	g, err := function.FromDirectory(dir, "x", "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Check(&g); err != nil {
		t.Error(err)
	}
	keys := map[string]bool{}
	for _, r := range g.Routes {
		keys[r.Key] = true
	}
	if len(g.Functions) != 4 || len(keys) != 4 || !keys["$connect"] || !keys["$disconnect"] || !keys["$default"] || !keys["sayhello"] || len(g.Authorizers) != 1 {
		t.Errorf("got %+v", g)
	}
	put("onDisconnect", 0o700)
	if _, err := function.FromDirectory(dir, "x", "s"); err == nil || !strings.Contains(err.Error(), "$disconnect has a function already") {
		t.Errorf("got %v", err)
	}
	if _, err := function.FromDirectory(t.TempDir(), "x", "s"); err == nil {
		t.Error("an empty directory is taken")
	}
	if _, err := function.FromDirectory(filepath.Join(dir, "nowhere"), "x", "s"); err == nil {
		t.Error("a directory that is not there is taken")
	}
	put("a b", 0o700)
	if _, err := function.FromDirectory(dir, "x", "s"); err == nil || !strings.Contains(err.Error(), "a b") {
		t.Errorf("got %v", err)
	}
}

// TestSource: functions are built from their source, and work.
func TestSource(t *testing.T) {
	t.Parallel()
	g, err := function.FromDirectory("testdata/tutorial", "abc123", "prod")
	if err != nil {
		t.Fatal(err)
	}
	g.Functions = slices.DeleteFunc(g.Functions, func(f earshot.GatewayFunction) bool { return f.Name == "pushToWebSocket" })
	r := start(t, func(c *function.Config) { c.Apps = []*earshot.App{{Slug: "one", Gateways: []earshot.Gateway{g}}} })
	event := `{"type":"REQUEST","methodArn":"arn:x","queryStringParameters":{"Auth":"TOKEN"}}`
	if got := r.must("authorizer", []byte(strings.Replace(event, "TOKEN", "myFakeToken", 1))); !strings.Contains(got, `"Effect":"Allow"`) {
		t.Errorf("got %s", got)
	}
	r.fails("authorizer", []byte(event), "errorString", "Unauthorized")
	r.must("onConnect", []byte(`{"requestContext":{"connectionId":"c1"}}`))
	answer, err := r.host.Of("one").Run(t.Context(), "onConnect", function.Call{Payload: []byte(`{"requestContext":{"connectionId":"c2"}}`), Tail: true})
	if err != nil || !strings.Contains(string(answer.Log), "connected: c2") {
		t.Errorf("got %q, %v", answer.Log, err)
	}
}

func TestBuildErrors(t *testing.T) {
	err := function.Build(t.Context(), "testdata/broken", filepath.Join(t.TempDir(), "out"))
	if err == nil || !strings.Contains(err.Error(), "undefined: lambda") || !strings.Contains(err.Error(), "main.go:3") {
		t.Errorf("got %v", err)
	}
	if err := function.Build(t.Context(), "testdata/nowhere", "out"); err == nil {
		t.Error("built nothing")
	}
	broken := earshot.GatewayFunction{Name: "broken", Source: "testdata/broken"}
	lost := earshot.GatewayFunction{Name: "lost", Command: []string{"./no-such-program"}}
	h, err := function.New(function.Config{Apps: []*earshot.App{{Slug: "one", Gateways: []earshot.Gateway{gateway(broken, lost)}}}, Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	err = h.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "function broken: ") || !strings.Contains(err.Error(), "function lost: ") {
		t.Errorf("got %v", err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestHosted: only what the operator wrote down, and what is not elsewhere, runs.
func TestHosted(t *testing.T) {
	command := earshot.GatewayFunction{Name: "f", Command: []string{"x"}}
	away := earshot.GatewayFunction{Name: "f", Endpoint: "http://x", Source: "x"}
	for name, c := range map[string]struct {
		trusted bool
		f       earshot.GatewayFunction
		want    bool
	}{
		"trusted": {true, command, true}, "not trusted": {false, command, false}, "elsewhere": {true, away, false}, "nothing": {true, earshot.GatewayFunction{}, false},
	} {
		if got := function.Hosted(&earshot.Gateway{Trusted: c.trusted}, &c.f); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
		if got := function.Any(&earshot.App{Gateways: []earshot.Gateway{{Trusted: c.trusted, Functions: []earshot.GatewayFunction{c.f}}}}); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	g := gateway(command, command)
	if _, err := function.New(function.Config{Apps: []*earshot.App{{Slug: "one", Gateways: []earshot.Gateway{g}}}}); err == nil {
		t.Error("two functions have one name")
	}
	g = gateway(earshot.GatewayFunction{Name: "../f", Command: []string{"x"}})
	if _, err := function.New(function.Config{Apps: []*earshot.App{{Slug: "one", Gateways: []earshot.Gateway{g}}}}); err == nil {
		t.Error("a function is named ../f")
	}
}
