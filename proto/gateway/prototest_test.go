package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/gateway"
	"github.com/earshot-io/earshot/proto/prototest"
)

// A chat is the application's functions: it lets clients join the channels that
// they showed they may when they connected.
type chat struct {
	mu  sync.Mutex
	may map[string][]string // patterns, by connection
}

func (c *chat) Authorize(_ context.Context, _ *earshot.App, e *core.Event) (*core.Verdict, error) {
	return &core.Verdict{Context: map[string]string{"principalId": e.Handshake.Query.Get("uid")}}, nil
}

func (c *chat) Integrate(_ context.Context, _ *earshot.App, e *core.Event) (*core.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Type {
	case core.Connect:
		if e.Handshake.Query.Has("refuse") {
			return &core.Answer{Status: 401}, nil
		}
		c.may[e.Conn.ID] = e.Handshake.Query["may"]
		a := &core.Answer{Status: 200}
		if e.Handshake.Query.Has("sub") {
			a.Subprotocol = "chat"
		}
		return a, nil
	case core.Disconnect:
		delete(c.may, e.Conn.ID)
		return &core.Answer{Status: 200}, nil
	}
	var m struct{ Action, Channel string }
	if err := json.Unmarshal(e.Body, &m); err != nil {
		return nil, fails(core.Raised)
	}
	a := &core.Answer{Status: 200, Envelope: true, Body: fmt.Appendf(nil, `{"done":%q,"channel":%q}`, m.Action, m.Channel)}
	switch m.Action {
	case "ping":
		return a, nil
	case "unsub":
		a.Leave = []string{m.Channel}
		return a, nil
	}
	for _, pattern := range c.may[e.Conn.ID] {
		if p := earshot.Glob(pattern); p.Match(m.Channel) {
			a.Join = []string{m.Channel}
			return a, nil
		}
	}
	return &core.Answer{Status: 200, Body: []byte(`{"done":"refused"}`)}, nil
}

// TestPromises holds the protocol to what every protocol promises.
func TestPromises(t *testing.T) {
	const functions = "clients publish by the application's functions only"
	prototest.Run(t, &prototest.Dialect{
		New: func(deps proto.Deps) (proto.Protocol, error) {
			deps.Gateways = &chat{may: map[string][]string{}}
			return gateway.New(gateway.Config{}, deps), nil
		},
		Carriers: []prototest.Carrier{prototest.WebSocket, prototest.WebSocketGoroutines, prototest.WebSocketTLS},
		Cannot: map[string]string{
			"history then live":             "there is no history",
			"resume":                        "messages have no place to come back to",
			"pattern":                       "functions join channels by their names",
			"echo rule":                     functions,
			"acknowledged only when stored": functions,
			"refused publish leaks nothing": functions,
			"too large":                     functions,
			"text and binary":               functions,
			"expiry ends it":                "an authorizer's yes has no end",
			"heartbeat beside long work":    "there is none but the WebSocket's ping",
		},
		App: func(a *earshot.App) {
			g := api(func(g *earshot.Gateway) {
				g.ID, g.Stages = "of"+a.Slug, g.Stages[:1]
				route(g, "$default").RouteResponse = "$default"
				g.Authorizers = []earshot.GatewayAuthorizer{{ID: "auth", URI: "arn:aws:lambda:us-east-1:000000000000:function:auth"}}
				route(g, "$connect").AuthorizationType, route(g, "$connect").AuthorizerID = "CUSTOM", "auth"
			})
			a.Gateways = []earshot.Gateway{g}
		},
		Silent: true,
		Hello: func(c prototest.Client, _ prototest.Carrier) prototest.Hello {
			q := url.Values{"uid": {c.UID}, "sub": {""}}
			for _, g := range c.Grants {
				q.Add("may", g.Channel)
			}
			h := prototest.Hello{Path: "/prod?" + q.Encode(), Subprotocols: []string{"other", "chat"}}
			if c.App == "two" {
				h.Path = "/two" + h.Path
			}
			return h
		},
		Refused:     func() prototest.Hello { return prototest.Hello{Path: "/prod?refuse=1"} },
		Subprotocol: "chat",
		Subscribe: func(channel string, _ prototest.From) hub.Input {
			return hub.Input{Data: fmt.Appendf(nil, `{"action":"sub","channel":%q}`, channel)}
		},
		Unsubscribe: func(channel string) hub.Input {
			return hub.Input{Data: fmt.Appendf(nil, `{"action":"unsub","channel":%q}`, channel)}
		},
		Heartbeat: func() hub.Input { return hub.Input{Data: []byte(`{"action":"ping"}`)} },
		Read: func(m hub.Input) (prototest.Event, error) {
			var f struct {
				Done, Channel, Data, Message string
			}
			if err := json.Unmarshal(m.Data, &f); err != nil || m.Op != hub.Text {
				return prototest.Event{}, fmt.Errorf("%v: %.100q", err, m.Data)
			}
			what, known := map[string]prototest.What{
				"sub": prototest.Subscribed, "unsub": prototest.Unsubscribed, "ping": prototest.Alive, "refused": prototest.Refused,
			}[f.Done]
			switch {
			case known:
				return prototest.Event{What: what, Channel: f.Channel}, nil
			case f.Done != "" || f.Message != "":
				return prototest.Event{}, nil
			}
			return prototest.Event{What: prototest.Message, Channel: f.Channel, Data: f.Data}, nil
		},
	})
}
