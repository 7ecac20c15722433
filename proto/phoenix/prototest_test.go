package phoenix_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/phoenix"
	"github.com/earshot-io/earshot/proto/prototest"
)

// TestPromises holds the protocol to what every protocol promises, in V2.
func TestPromises(t *testing.T) {
	prototest.Run(t, &prototest.Dialect{
		New:      func(deps proto.Deps) (proto.Protocol, error) { return phoenix.New(phoenix.DefaultConfig(), deps), nil },
		Carriers: []prototest.Carrier{prototest.WebSocket, prototest.WebSocketGoroutines, prototest.WebSocketTLS, prototest.LongPoll},
		Cannot: map[string]string{
			"pattern":           "clients join topics only",
			"history then live": "a join asks for what is live only",
			"resume":            "messages have no id, and nothing is asked for again",
		},
		App:    func(a *earshot.App) { a.SigningKeys = []earshot.SigningKey{dialectKey(a.Slug)} },
		Silent: true,
		Hello:  dialectHello,
		Refused: func() prototest.Hello {
			return prototest.Hello{Path: "/socket/websocket?vsn=3.0.0"}
		},
		Subprotocol: "phoenix",
		Subscribe: func(channel string, _ prototest.From) hub.Input {
			return dialectFrame("join", "join", channel, "phx_join", map[string]any{})
		},
		Unsubscribe: func(channel string) hub.Input {
			return dialectFrame(nil, "leave", channel, "phx_leave", map[string]any{})
		},
		Publish:   dialectPublish,
		Heartbeat: func() hub.Input { return dialectFrame(nil, "beat", "phoenix", "heartbeat", map[string]any{}) },
		Read:      dialectRead,
		Wrapping:  len(`""`),
	})
}

func dialectKey(slug string) earshot.SigningKey {
	return earshot.SigningKey{ID: slug, Alg: "HS256", Key: []byte("a secret of thirty-two bytes for " + slug)}
}

func dialectFrame(v ...any) hub.Input {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // made of strings
	}
	return hub.Input{Data: b}
}

func dialectPublish(channel string, kind earshot.Kind, data string) hub.Input {
	if kind != earshot.Binary {
		return dialectFrame(nil, "push", channel, "e", data)
	}
	b := append([]byte{0, 0, 4, byte(len(channel)), 1}, "push"+channel+"e"+data...)
	return hub.Input{Op: hub.Binary, Data: b}
}

// dialectHello shows a token of what the client may do by the subprotocol.
func dialectHello(c prototest.Client, _ prototest.Carrier) prototest.Hello {
	listen, publish, echo := []string{}, []string{}, []string{}
	for _, g := range c.Grants {
		name := strings.ReplaceAll(g.Channel, "*", ":*")
		if g.May.Has(earshot.Subscribe) {
			listen = append(listen, name, g.Channel)
		}
		if g.May.Has(earshot.Publish) {
			publish = append(publish, name, g.Channel)
		}
		if g.May.Has(earshot.Echo) {
			echo = append(echo, name, g.Channel)
		}
	}
	claims, err := json.Marshal(map[string]any{"exp": c.Expires.Unix(), "uid": c.UID, "listen": listen, "publish": publish, "echo": echo})
	if err != nil {
		panic(err) // made of strings
	}
	issuer, err := auth.NewIssuer(dialectKey(c.App))
	if err != nil {
		panic(err) // the key is of this file
	}
	token, err := issuer.Issue(claims)
	if err != nil {
		panic(err) // the claims are of this file
	}
	return prototest.Hello{
		Path:         "/socket/websocket?" + url.Values{"vsn": {"2.0.0"}}.Encode(),
		Subprotocols: []string{"phoenix", "base64url.bearer.phx." + base64.RawURLEncoding.EncodeToString([]byte(token))},
	}
}

// dialectRead is the client's side.
func dialectRead(m hub.Input) (prototest.Event, error) {
	if m.Op == hub.Binary {
		return dialectBinary(m.Data)
	}
	var in []json.RawMessage
	if err := json.Unmarshal(m.Data, &in); err != nil || len(in) != 5 {
		return prototest.Event{}, fmt.Errorf("not five elements: %w", err)
	}
	var ref any
	var topic, event string
	for i, into := range map[int]any{1: &ref, 2: &topic, 3: &event} {
		if err := json.Unmarshal(in[i], into); err != nil {
			return prototest.Event{}, err
		}
	}
	e := prototest.Event{Channel: topic}
	switch event {
	case "phx_close":
		e.What = prototest.Unsubscribed
	case "phx_error":
	case "phx_reply":
		return e, dialectReply(&e, ref, in[4])
	default:
		e.What = prototest.Message
		if json.Unmarshal(in[4], &e.Data) != nil {
			e.Data = string(in[4])
		}
	}
	return e, nil
}

func dialectReply(e *prototest.Event, ref any, payload []byte) error {
	var reply struct {
		Status   string
		Response json.RawMessage
	}
	if err := json.Unmarshal(payload, &reply); err != nil {
		return err
	}
	if reply.Status != "ok" {
		e.What = prototest.Refused
		return nil
	}
	switch ref {
	case "join":
		e.What = prototest.Subscribed
	case "push":
		e.What = prototest.Published
	case "beat":
		e.What = prototest.Alive
	}
	return nil
}

func dialectBinary(b []byte) (prototest.Event, error) {
	if len(b) < 3 || b[0] != 2 || len(b) < 3+int(b[1])+int(b[2]) {
		return prototest.Event{}, errors.New("a binary frame that is no broadcast")
	}
	topic := 3 + int(b[1])
	return prototest.Event{What: prototest.Message, Channel: string(b[3:topic]), Data: string(b[topic+int(b[2]):])}, nil
}
