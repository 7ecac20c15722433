package gateway

import (
	"net/url"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
)

// The connection of the specification's samples.
func sampleConnection() *Connection {
	return &Connection{
		ID: "TXzPWdnOjoECGjA=", ConnectedAt: time.UnixMilli(1708326702789), Domain: "abc123.example.com",
		SourceIP: "192.0.2.1", UserAgent: "agent/1",
		Authorizer: map[string]string{"principalId": "me", "integrationLatency": "250", "org": "my-org"},
	}
}

func sampleHandshake() *Handshake {
	return &Handshake{
		Header: []Field{
			{"Host", "abc123.example.com"},
			{"Connection", "Upgrade"},
			{"Upgrade", "websocket"},
			{"Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"},
			{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
			{"Sec-WebSocket-Version", "13"},
			{"Sec-WebSocket-Protocol", "chat1,myprotocol"},
			{"User-Agent", "agent/1"},
			{"Origin", "https://site"},
			{"Cookie", "c=1"},
			{"X-Amzn-Trace-Id", "Root=1-65d2ff2e-718990494fd688f062bf1571"},
			{"X-Forwarded-For", "10.9.9.9"},
		},
		Query:        url.Values{"Auth": {"myFakeToken"}},
		ForwardedFor: "192.0.2.1", ForwardedPort: "443", ForwardedProto: "https",
	}
}

// sampleStage is a stage of the API of the samples, changed by the test.
func sampleStage(t testing.TB, change func(*earshot.Gateway)) *Stage {
	t.Helper()
	g := &earshot.Gateway{
		ID: "abc123", RouteSelection: "$request.body.action", Account: "123456789012",
		Stages: []earshot.GatewayStage{{Name: "prod"}},
		Routes: []earshot.GatewayRoute{
			{Key: ConnectRoute, Target: "integrations/i", AuthorizationType: "CUSTOM", AuthorizerID: "a"},
			{Key: DisconnectRoute, Target: "integrations/i"},
			{Key: DefaultRoute, Target: "integrations/i"},
			{Key: "pushtowebsocket", Target: "integrations/i"},
			{Key: "twoway", Target: "integrations/i", RouteResponse: DefaultRoute},
		},
		Integrations: []earshot.GatewayIntegration{{ID: "i", Type: earshot.AWSProxy, URI: "arn:aws:lambda:us-east-1:123456789012:function:fn"}},
		Authorizers:  []earshot.GatewayAuthorizer{{ID: "a", URI: "arn:aws:lambda:us-east-1:123456789012:function:auth", IdentitySource: []string{"route.request.querystring.Auth"}}},
	}
	if change != nil {
		change(g)
	}
	a, err := Compile(g)
	if err != nil {
		t.Fatal(err)
	}
	return a.Stage("prod")
}

func sampleEvent(s *Stage, kind string) *Event {
	e := &Event{
		Type: kind, Stage: s, Conn: sampleConnection(), RequestID: "TXzPWFkkjoEF92g=", Time: time.UnixMilli(1708326702790),
	}
	switch kind {
	case Connect:
		e.Route, e.Handshake = s.Route(ConnectRoute), sampleHandshake()
	case Disconnect:
		e.Route, e.Code, e.Reason = s.Route(DisconnectRoute), 1005, "Client-side close frame status not set"
	case Message:
		e.Route, e.MessageID = s.Route("pushtowebsocket"), "R1knPc2ntjMCFIA="
		e.Body = []byte(`{"message":"hello Matteo",  "action":"pushtowebsocket"}`)
	}
	return e
}
