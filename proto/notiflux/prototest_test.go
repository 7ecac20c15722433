package notiflux_test

import (
	"fmt"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/notiflux"
	"github.com/earshot-io/earshot/proto/prototest"
)

// TestPromises holds the protocol to what every protocol promises.
func TestPromises(t *testing.T) {
	keys := map[string]*pair{"one": newPair(t, "one"), "two": newPair(t, "two")}
	const nothing, silent = "clients publish by HTTP only", "nothing is confirmed"
	prototest.Run(t, &prototest.Dialect{
		New:      func(deps proto.Deps) (proto.Protocol, error) { return notiflux.New(notiflux.Config{}, deps), nil },
		Carriers: []prototest.Carrier{prototest.WebSocket, prototest.WebSocketGoroutines, prototest.WebSocketTLS},
		Cannot: map[string]string{
			"confirm first":                    silent,
			"history then live":                "there is no history",
			"resume":                           "messages have no place to come back to",
			"pattern":                          "clients subscribe to topics only",
			"echo rule":                        nothing,
			"acknowledged only when stored":    "a broadcast is answered with 200, whatever becomes of it",
			"refused publish leaks nothing":    nothing,
			"too large":                        nothing,
			"text and binary":                  nothing,
			"heartbeat beside long work":       "there is none but the WebSocket's ping",
			"refused before the handshake":     "tokens come with the commands, after it",
			"subprotocol after a slow backend": "it has no subprotocol",
		},
		App:    func(a *earshot.App) { a.SigningKeys = []earshot.SigningKey{keys[a.Slug].public} },
		Silent: true,
		Mute:   true,
		Hello:  func(prototest.Client, prototest.Carrier) prototest.Hello { return prototest.Hello{Path: "/ws"} },
		SubscribeAs: func(c prototest.Client, channel string) hub.Input {
			var topics []string
			for _, g := range c.Grants {
				topics = append(topics, g.Channel)
			}
			return text("/subscribe " + channel + " " + keys[c.App].sign(claims{
				"sub": c.UID, "exp": c.Expires.Unix(), "topics": topics, "scope": "subscribe",
			}))
		},
		Subscribe: func(channel string, _ prototest.From) hub.Input {
			return text("/subscribe " + channel + " " + keys["one"].token("subscribe", "junk"))
		},
		Unsubscribe: func(channel string) hub.Input { return text("/unsubscribe " + channel) },
		Heartbeat:   func() hub.Input { return text("/ping") },
		Read: func(m hub.Input) (prototest.Event, error) {
			switch s := string(m.Data); {
			case m.Op != hub.Text:
				return prototest.Event{}, fmt.Errorf("a frame that is not text")
			case s == "Unknown command":
				return prototest.Event{What: prototest.Alive}, nil
			case s == "Invalid subscribe command, it should be: /subscribe <topic> <token>":
				return prototest.Event{}, nil
			default:
				return prototest.Event{What: prototest.Message, Data: s}, nil
			}
		},
	})
}

func text(s string) hub.Input { return hub.Input{Data: []byte(s)} }
