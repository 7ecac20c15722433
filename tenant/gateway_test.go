package tenant_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
	"github.com/go-json-experiment/json"
)

const chatJSON = `{
	"id": "chat1", "name": "Chat", "hosts": ["ws.example.com"], "routeSelectionExpression": "$request.body.action",
	"stages": [{"stageName": "dev", "stageVariables": {"a": "b"}, "routeSettings": {"$connect": {"throttlingRateLimit": 5}}}],
	"routes": [{"routeKey": "$connect", "target": "integrations/i", "apiKeyRequired": true, "authorizationType": "CUSTOM", "authorizerId": "z"}],
	"integrations": [{"integrationId": "i", "integrationType": "HTTP_EVENT", "integrationUri": "https://example.com/events"}],
	"authorizers": [{"authorizerId": "z", "authorizerUri": "judge"}],
	"functions": [{"functionName": "judge", "endpoint": "https://lambda.us-east-1.amazonaws.com", "accessKey": {"id": "AK", "secret": "signing-secret"}}],
	"apiKeys": [{"id": "k", "value": "an-api-key-of-the-shop", "throttle": {"throttlingBurstLimit": 3}}]
}`

func gatewayOf(t *testing.T, text string) tenant.Gateway {
	t.Helper()
	var d tenant.Draft
	if err := unmarshal(`{"slug":"shop","gateways":[`+text+`]}`, &d); err != nil {
		t.Fatal(err)
	}
	return d.Gateways[0]
}

// TestGateways leads a WebSocket API through its life: it counts on every node
// within a second, never trusted, and shows its secrets to nobody.
func TestGateways(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, records *mem.Store) {
		ctx := context.Background()
		d := draft("shop")
		d.Gateways = []tenant.Gateway{gatewayOf(t, chatJSON)}
		d.Gateways[0].Trusted = true
		made := one.create(t, d)
		second()
		a, g := two.directory.ByGatewayHost("ws.example.com")
		if a == nil || g.ID != "chat1" || g.Trusted || g.APIKeys[0].Value != "an-api-key-of-the-shop" || g.APIKeys[0].Throttle.Burst != 3 ||
			!reflect.DeepEqual(g.Functions[0].AccessKey, &earshot.AccessKey{ID: "AK", Secret: "signing-secret"}) || g.Stages[0].Routes["$connect"].Rate != 5 {
			t.Fatalf("the other node has %+v", g)
		}
		raw, _, err := records.Node().List(ctx, hub.Key{"app"}, nil, 10)
		if err != nil || len(raw) != 1 || strings.Contains(string(raw[0].Data), "an-api-key") || strings.Contains(string(raw[0].Data), "signing-secret") {
			t.Errorf("what is stored shows a secret, or is not there: %v", err)
		}
		shown, err := json.Marshal(made.Public())
		if err != nil || strings.Contains(string(shown), "an-api-key") || strings.Contains(string(shown), "signing-secret") || !strings.Contains(string(shown), `"chat1"`) {
			t.Errorf("shown is %s, %v", shown, err)
		}
		if made.Gateways[0].APIKeys[0].Value == "" {
			t.Error("showing it took the secret away")
		}

		// What was shown, changed and given back keeps its secrets.
		var change tenant.Change
		if err := unmarshal(`{"gateways":[`+strings.Replace(strings.Replace(chatJSON, `"value": "an-api-key-of-the-shop", `, "", 1), `, "secret": "signing-secret"`, "", 1)+`]}`, &change); err != nil {
			t.Fatal(err)
		}
		(*change.Gateways)[0].Stages[0].Name = "prod"
		if _, err := two.store.Update(ctx, operator, "shop", &change, 0); err != nil {
			t.Fatal(err)
		}
		second()
		if _, g := one.directory.ByGateway("chat1"); g == nil || g.Stages[0].Name != "prod" || g.APIKeys[0].Value != "an-api-key-of-the-shop" || g.Functions[0].AccessKey.Secret != "signing-secret" {
			t.Errorf("changed it is %+v", g)
		}
		(*change.Gateways)[0].Functions[0].Endpoint = "https://thief.example"
		_, err = one.store.Update(ctx, operator, "shop", &change, 0)
		expectReason(t, "a secret for another endpoint", err, earshot.Invalid, "GATEWAY")

		exported, err := one.store.Export(ctx, operator, "shop")
		if err != nil {
			t.Fatal(err)
		}
		text, err := tenant.Reveal(exported)
		if err != nil || !strings.Contains(string(text), "an-api-key-of-the-shop") || !strings.Contains(string(text), "signing-secret") {
			t.Errorf("exported is %s, %v", text, err)
		}
		none := []tenant.Gateway{}
		if _, err := one.store.Update(ctx, operator, "shop", &tenant.Change{Gateways: &none}, 0); err != nil {
			t.Fatal(err)
		}
		second()
		if a, _ := two.directory.ByGateway("chat1"); a != nil {
			t.Error("an API that was taken away is found")
		}
	})
}

// unmarshal reads JSON as the admin API does.
func unmarshal(text string, into any) error {
	return json.Unmarshal([]byte(text), into, json.RejectUnknownMembers(true))
}

// TestGatewaysRefused: what runs programs here, clashes or cannot be meant.
func TestGatewaysRefused(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		ctx := context.Background()
		first := draft("first")
		first.Gateways = []tenant.Gateway{gatewayOf(t, chatJSON)}
		one.create(t, first)
		second()
		try := func(what string, code earshot.Code, reason, text string, change func(g *tenant.Gateway)) {
			t.Helper()
			g := gatewayOf(t, chatJSON)
			g.ID, g.Hosts = "other", nil
			change(&g)
			d := draft("second")
			d.Gateways = []tenant.Gateway{g}
			_, err := two.store.Create(ctx, operator, d)
			expectReason(t, what, err, code, reason)
			if err != nil && !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v does not say %s", what, err, text)
			}
		}
		for what, change := range map[string]func(f *tenant.GatewayFunction){
			"command":     func(f *tenant.GatewayFunction) { f.Command = []string{"/bin/sh"} },
			"source":      func(f *tenant.GatewayFunction) { f.Source = "/srv" },
			"dir":         func(f *tenant.GatewayFunction) { f.Dir = "/" },
			"environment": func(f *tenant.GatewayFunction) { f.Environment = map[string]string{"A": "b"} },
		} {
			try(what, earshot.Invalid, "GATEWAY_FUNCTION", "functions[0]", func(g *tenant.Gateway) { change(&g.Functions[0]) })
		}
		try("another's id", earshot.Conflict, "TAKEN", `"chat1"`, func(g *tenant.Gateway) { g.ID = "chat1" })
		try("another's host", earshot.Conflict, "TAKEN", `"ws.example.com"`, func(g *tenant.Gateway) { g.Hosts = []string{"ws.example.com"} })
		try("another's host in the settings", earshot.Conflict, "TAKEN", `"fixed.example"`, func(g *tenant.Gateway) { g.Hosts = []string{"fixed.example"} })
		try("a wrong route", earshot.Invalid, "GATEWAY", "gateways[0].routes[0].routeKey", func(g *tenant.Gateway) { g.Routes[0].Key = "$x" })
		try("a hidden key", earshot.Invalid, "SECRET_HIDDEN", "hidden", func(g *tenant.Gateway) { g.APIKeys[0].Value = "(hidden)" })
		try("a hidden secret", earshot.Invalid, "SECRET_HIDDEN", "hidden", func(g *tenant.Gateway) { g.Functions[0].AccessKey.Secret = "(hidden)" })
		d := draft("second")
		d.Gateways = make([]tenant.Gateway, 21)
		_, err := one.store.Create(ctx, operator, d)
		expectReason(t, "too many", err, earshot.Invalid, "TOO_MANY")
	})
}
