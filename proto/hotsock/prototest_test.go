package hotsock_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/hotsock"
	"github.com/earshot-io/earshot/proto/prototest"
)

// TestPromises holds the protocol to what every protocol promises.
func TestPromises(t *testing.T) {
	prototest.Run(t, &prototest.Dialect{
		New:      func(deps proto.Deps) (proto.Protocol, error) { return hotsock.New(hotsock.DefaultConfig(), deps), nil },
		Carriers: []prototest.Carrier{prototest.WebSocket, prototest.WebSocketGoroutines, prototest.WebSocketTLS},
		Cannot: map[string]string{
			"pattern":                          "clients subscribe to channels only",
			"text and binary":                  "all frames are text",
			"acknowledged only when stored":    "a client's publish is answered only if it fails",
			"subprotocol after a slow backend": "it has no subprotocol",
		},
		App:   func(a *earshot.App) { a.SigningKeys = []earshot.SigningKey{dialectKey(a.Slug)} },
		Hello: dialectHello,
		Refused: func() prototest.Hello {
			return prototest.Hello{Path: "/v1?token=none"}
		},
		Subscribe: dialectSubscribe,
		Unsubscribe: func(channel string) hub.Input {
			return dialectFrame(map[string]any{"event": "hotsock.unsubscribe", "channel": channel})
		},
		Publish: func(channel string, _ earshot.Kind, data string) hub.Input {
			return dialectFrame(map[string]any{"event": "e", "channel": channel, "data": data})
		},
		Heartbeat: func() hub.Input { return dialectFrame(map[string]any{"event": "hotsock.ping"}) },
		Read:      dialectRead,
		Wrapping:  len(`""`),
	})
}

func dialectKey(slug string) earshot.SigningKey {
	return earshot.SigningKey{ID: slug, Alg: "HS256", Key: []byte("a secret of thirty-two bytes for " + slug)}
}

func dialectFrame(v any) hub.Input {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // made of strings
	}
	return hub.Input{Data: b}
}

func dialectSubscribe(channel string, from prototest.From) hub.Input {
	q := map[string]any{"event": "hotsock.subscribe", "channel": channel}
	switch {
	case from.Start:
		q["data"] = map[string]any{"after": "0"}
	case from.Last != "":
		q["data"] = map[string]any{"after": from.Last}
	}
	return dialectFrame(q)
}

// dialectHello connects with a token of what the client may do.
func dialectHello(c prototest.Client, _ prototest.Carrier) prototest.Hello {
	channels := map[string]any{}
	for _, g := range c.Grants {
		channels[g.Channel] = map[string]any{
			"subscribe": g.May.Has(earshot.Subscribe), "historyStart": 0,
			"messages": map[string]any{"*": map[string]any{
				"publish": g.May.Has(earshot.Publish), "echo": g.May.Has(earshot.Echo),
			}},
		}
	}
	claims := dialectFrame(map[string]any{
		"scope": "connect", "exp": c.Expires.Unix(), "uid": c.UID, "channels": channels,
	})
	issuer, err := auth.NewIssuer(dialectKey(c.App))
	if err != nil {
		panic(err) // the key is of this file
	}
	token, err := issuer.Issue(claims.Data)
	if err != nil {
		panic(err) // the claims are of this file
	}
	return prototest.Hello{Path: "/v1?" + url.Values{"token": {token}}.Encode()}
}

// dialectRead is the client's side.
func dialectRead(m hub.Input) (prototest.Event, error) {
	var in struct {
		Event, Channel, ID string
		Data               json.RawMessage
	}
	if m.Op != hub.Text {
		return prototest.Event{}, fmt.Errorf("a frame that is not text")
	}
	if err := json.Unmarshal(m.Data, &in); err != nil {
		return prototest.Event{}, err
	}
	e := prototest.Event{Channel: in.Channel, ID: in.ID}
	switch in.Event {
	case "hotsock.connected":
		e.What = prototest.Ready
	case "hotsock.subscribed":
		var data struct{ Recovered *bool }
		if err := json.Unmarshal(in.Data, &data); err != nil {
			return e, err
		}
		e.What = prototest.Subscribed
		if data.Recovered != nil && !*data.Recovered {
			e.What = prototest.Broken
		}
	case "hotsock.unsubscribed":
		e.What = prototest.Unsubscribed
	case "hotsock.error":
		e.What = prototest.Refused
	case "hotsock.pong":
		e.What = prototest.Alive
	default:
		e.What = prototest.Message
		if json.Unmarshal(in.Data, &e.Data) != nil {
			e.Data = string(in.Data)
		}
	}
	return e, nil
}
