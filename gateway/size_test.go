package gateway

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
)

// TestSizeOfWhatIsCompiled: settings of 64 KiB, which is what an app may have at run
// time, do not become more than some megabytes, whatever they repeat.
func TestSizeOfWhatIsCompiled(t *testing.T) {
	api := func(stages, routes int, change func(*earshot.GatewayIntegration)) *earshot.Gateway {
		n := earshot.GatewayIntegration{ID: "i", Type: earshot.HTTPPlain, Method: "POST", URI: "https://example.com"}
		change(&n)
		g := &earshot.Gateway{ID: "a", RouteSelection: "$request.body.a", Integrations: []earshot.GatewayIntegration{n}}
		for i := range stages {
			g.Stages = append(g.Stages, earshot.GatewayStage{Name: fmt.Sprint(i)})
		}
		for i := range routes {
			g.Routes = append(g.Routes, earshot.GatewayRoute{Key: fmt.Sprint(i), Target: "integrations/i"})
		}
		return g
	}
	repeating := func(key string) func(*earshot.GatewayIntegration) {
		return func(n *earshot.GatewayIntegration) {
			for i := range 1000 {
				n.Responses = append(n.Responses, earshot.GatewayResponse{Key: fmt.Sprintf(key, i)})
			}
		}
	}
	for _, test := range []struct {
		name string
		g    *earshot.Gateway
		want string // in what is wrong; empty if nothing is
	}{
		{"stages", api(101, 1, func(*earshot.GatewayIntegration) {}), "more than 100 stages"},
		{"routes", api(100, 101, func(*earshot.GatewayIntegration) {}), "more than 10000 routes"},
		{"repetitions", api(1, 1, repeating("/%d(a{1,900})/")), "regular expression"},
		{"repetitions of repetitions", api(1, 1, repeating("/%d((a{11}){11})/")), "regular expression"},
		{"long expressions", api(1, 1, repeating("/%d"+strings.Repeat("a", 300)+"/")), "regular expression"},
		{"responses", api(100, 100, repeating(`/%d\d{2}/`)), ""},
		{"mappings", api(10, 1000, func(n *earshot.GatewayIntegration) {
			n.RequestParameters = map[string]string{}
			for i := range 500 {
				n.RequestParameters[fmt.Sprint("integration.request.header.h", i)] = "context.stage"
			}
		}), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := Check(test.g)
			runtime.ReadMemStats(&after)
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 64 {
				t.Errorf("%d MiB", used)
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%.200v, want %q", err, test.want)
			}
		})
	}
}
