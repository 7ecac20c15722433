package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
)

// TestCompileRefuses what could not be carried out, and says where it is.
func TestCompileRefuses(t *testing.T) {
	integrate := func(n earshot.GatewayIntegration) func(*earshot.Gateway) {
		return func(g *earshot.Gateway) {
			n.ID = "i"
			g.Integrations[0] = n
		}
	}
	mapped := func(target, source string) func(*earshot.Gateway) {
		return integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://b/", RequestParameters: map[string]string{target: source}})
	}
	for _, test := range []struct {
		says   string
		change func(*earshot.Gateway)
	}{
		{"routeSelectionExpression", func(g *earshot.Gateway) { g.RouteSelection = "$x" }},
		{"region", func(g *earshot.Gateway) { g.Region = "x.example.com/" }},
		{"stage prod is there twice", func(g *earshot.Gateway) { g.Stages = append(g.Stages, g.Stages[0]) }},
		{"route $default is there twice", func(g *earshot.Gateway) { g.Routes = append(g.Routes, earshot.GatewayRoute{Key: "$default"}) }},
		{"does not begin with $", func(g *earshot.Gateway) { g.Routes[3].Key = "$own" }},
		{"key is empty", func(g *earshot.Gateway) { g.Routes[3].Key = "" }},
		{"routeResponseSelectionExpression", func(g *earshot.Gateway) { g.Routes[3].RouteResponse = "x" }},
		{"integrations/ID", func(g *earshot.Gateway) { g.Routes[3].Target = "i" }},
		{"no integration x", func(g *earshot.Gateway) { g.Routes[3].Target = "integrations/x" }},
		{"authorizationType", func(g *earshot.Gateway) { g.Routes[0].AuthorizationType = "JWT" }},
		{"only $connect", func(g *earshot.Gateway) { g.Routes[3].AuthorizationType = "CUSTOM" }},
		{"no authorizer", func(g *earshot.Gateway) { g.Routes[0].AuthorizerID = "x" }},
		{"authorizerUri", func(g *earshot.Gateway) { g.Authorizers[0].URI = "http://" }},
		{"authorizerUri", func(g *earshot.Gateway) { g.Authorizers[0].URI = "a:b:c:d:e" }},
		{"no variable", func(g *earshot.Gateway) { g.Authorizers[0].URI = "${stageVariables.x}" }},
		{"identitySource", func(g *earshot.Gateway) { g.Authorizers[0].IdentitySource = []string{"x"} }},
		{"integrationType", integrate(earshot.GatewayIntegration{Type: "AWS"})},
		{"timeoutInMillis", integrate(earshot.GatewayIntegration{Type: earshot.Mock, TimeoutMillis: 49})},
		{"timeoutInMillis", integrate(earshot.GatewayIntegration{Type: earshot.Mock, TimeoutMillis: 29001})},
		{"integrationMethod", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://b/", Method: "BREW"})},
		{"http://", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "ftp://b/"})},
		{"names no host", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http:///x"})},
		{"fragment", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://b/x#y"})},
		{"not a URL", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://b\x00/"})},
		{"query", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://b/?%zz"})},
		{"only its path", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://{b}/"})},
		{"nothing is mapped", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://b/{x}"})},
		{"no variable", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://${stageVariables.b}/"})},
		{"closing brace", integrate(earshot.GatewayIntegration{Type: earshot.HTTPProxy, URI: "http://${stageVariables.b/"})},
		{"integration response", integrate(earshot.GatewayIntegration{Type: earshot.Mock, Responses: []earshot.GatewayResponse{{Key: "200"}}})},
		{"integration response", integrate(earshot.GatewayIntegration{Type: earshot.Mock, Responses: []earshot.GatewayResponse{{Key: "/(/"}}})},
		{"statusCode", integrate(earshot.GatewayIntegration{Type: earshot.Mock, Responses: []earshot.GatewayResponse{{Key: "$default", Status: 99}}})},
		{"not known as a source", mapped("integration.request.header.x", "nothing")},
		{"a target is", mapped("method.request.header.x", "'a'")},
		{"no header's name", mapped("integration.request.header.a b", "'a'")},
		{"no header's name", mapped("integration.request.header.a\r\nb", "'a'")},
		{"cannot be a header's", mapped("integration.request.header.a", "'a\r\nb'")},
		{"not to be mapped", mapped("integration.request.header.Host", "'a'")},
		{"not to be mapped", mapped("integration.request.header.content-length", "'0'")},
		{"not to be mapped", mapped("integration.request.header.Transfer-Encoding", "'chunked'")},
		{"not to be mapped", mapped("integration.request.header.connection", "'close'")},
	} {
		g := *sampleStage(t, nil).API.Gateway
		test.change(&g)
		if _, err := Compile(&g); err == nil || !strings.Contains(err.Error(), test.says) || !strings.HasPrefix(err.Error(), "API abc123: ") {
			t.Errorf("%s: %v", test.says, err)
		}
	}
}

func TestCompiled(t *testing.T) {
	s := sampleStage(t, func(g *earshot.Gateway) {
		g.Stages = append(g.Stages, earshot.GatewayStage{Name: "dev", Variables: map[string]string{"fn": "other"}})
		g.Stages[0].Variables = map[string]string{"fn": "fn"}
		g.Integrations[0].URI = "arn:aws:lambda:us-east-1:123456789012:function:${stageVariables.fn}"
		g.Integrations[0].TimeoutMillis = 50
		g.Functions = []earshot.GatewayFunction{{Name: "fn"}}
	})
	if got := s.Route("$default").Calls.Function.Name; got != "fn" {
		t.Errorf("prod calls %s", got)
	}
	dev := s.API.Stage("dev")
	if got := dev.Route("$default").Calls.Function.Name; got != "other" {
		t.Errorf("dev calls %s", got)
	}
	if s.API.Stage("x") != nil || s.Route("x") != nil || s.API.Function("other") != nil || s.API.Function("fn") == nil {
		t.Error("what is not there is")
	}
	if got := s.Route("$connect").Asks.Function.Name; got != "auth" {
		t.Errorf("it asks %s", got)
	}
	if got := s.Route("$default").Timeout(); got != 50*time.Millisecond {
		t.Errorf("timeout %v", got)
	}
	if got := (&Route{}).Timeout(); got != DefaultTimeout {
		t.Errorf("timeout %v", got)
	}
	plain, err := Compile(&earshot.Gateway{ID: "x", RouteSelection: "a"})
	if err != nil || plain.ARN("s", "$connect") != "arn:aws:execute-api:us-east-1:000000000000:x/s/$connect" {
		t.Errorf("%v", err)
	}
}

// TestThrottles is section 12.
func TestThrottles(t *testing.T) {
	s := sampleStage(t, func(g *earshot.Gateway) {
		g.Stages[0].Default = earshot.GatewayThrottle{Rate: 2, Burst: 3}
		g.Stages[0].Routes = map[string]earshot.GatewayThrottle{"twoway": {Burst: 1}, "$default": {Rate: 0.5}}
		g.APIKeys = []earshot.GatewayKey{{ID: "k", Throttle: earshot.GatewayThrottle{Rate: 1}}, {ID: "free"}}
	})
	now := time.Unix(1e9, 0)
	all := NewThrottles()
	admitted := func(key string, at time.Time) (n int) {
		for range 10 {
			if all.Allow(s, key, at) {
				n++
			}
		}
		return n
	}
	for _, test := range []struct {
		name, key string
		after     time.Duration
		want      int
	}{
		{"the stage's burst", "pushtowebsocket", 0, 3},
		{"another route's is its own", "$connect", 0, 3},
		{"the route's burst over it", "twoway", 0, 1},
		{"the route's rate over it", "$default", 0, 3},
		{"a second later", "pushtowebsocket", time.Second, 2},
		{"likewise", "twoway", time.Second, 1},
		{"likewise, at half a token", "$default", time.Second, 0},
		{"two seconds later", "$default", 2 * time.Second, 1},
		{"never more than the burst", "pushtowebsocket", time.Hour, 3},
		{"a key without a route", "$disconnect", time.Hour, 3},
	} {
		if got := admitted(test.key, now.Add(test.after)); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
	free := build(t, "a", "a")
	for range 1000 {
		if !all.Allow(free, "a", now) {
			t.Fatal("refused without a limit")
		}
	}
	if k := &s.API.APIKeys[0]; !all.AllowKey(s.API, k, now) || all.AllowKey(s.API, k, now) {
		t.Error("the key's plan does not count")
	}
	for range 10 {
		if !all.AllowKey(s.API, &s.API.APIKeys[1], now) {
			t.Error("a key without a plan is limited")
		}
	}
}

// TestThrottlesOutliveSettings: what was used stays used, and new limits count.
func TestThrottlesOutliveSettings(t *testing.T) {
	limited := func(rate float64, burst int) *Stage {
		return sampleStage(t, func(g *earshot.Gateway) {
			g.Stages[0].Default = earshot.GatewayThrottle{Rate: rate, Burst: burst}
		})
	}
	all, now := NewThrottles(), time.Unix(1e9, 0)
	if !all.Allow(limited(1, 1), "$default", now) || all.Allow(limited(1, 1), "$default", now) {
		t.Error("the bucket is not the same")
	}
	if all.Allow(limited(10, 5), "$default", now.Add(100*time.Millisecond)) {
		t.Error("the new limits fill the bucket")
	}
	if !all.Allow(limited(10, 5), "$default", now.Add(200*time.Millisecond)) {
		t.Error("the new rate does not count")
	}
	if !all.Allow(limited(0, 0), "$default", now.Add(100*time.Millisecond)) {
		t.Error("no limit is one")
	}
}

// TestThrottlesForget full buckets, and no others.
func TestThrottlesForget(t *testing.T) {
	all, now := NewThrottles(), time.Unix(1e9, 0)
	key := earshot.GatewayKey{Throttle: earshot.GatewayThrottle{Rate: 1, Burst: 1}}
	api := build(t, "a", "a").API
	use := func(id int, at time.Time) bool {
		key.ID = "k" + time.Duration(id).String()
		return all.AllowKey(api, &key, at)
	}
	for i := range minSweep {
		use(i, now)
	}
	later := now.Add(time.Minute)
	use(0, later)
	for i := minSweep; i < 2*minSweep; i++ {
		use(i, later)
	}
	if n := len(all.buckets); n > minSweep+1 {
		t.Errorf("there are %d buckets", n)
	}
	if use(0, later) {
		t.Error("a bucket in use was forgotten")
	}
}
