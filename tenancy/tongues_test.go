package tenancy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/app"
	"github.com/go-json-experiment/json"
)

// A tongue is a protocol as these tests speak it.
type tongue struct {
	// name is that of the protocol's entry, over what it is carried, if not by a
	// WebSocket.
	name, over string
	// dial connects; nil for a WebSocket.
	dial func(l *listener, d door) error
	// doors are where a client of the app may connect.
	doors func(a *tenantApp) []door
	// enter completes a door by what proves who the client is: any token of an app,
	// perhaps of another one than the door's.
	enter func(t testing.TB, a *tenantApp, d door) door
	// join subscribes with a token of an app; it returns why not.
	join func(l *listener, as *tenantApp, channel string) error
	// says publishes as the client, on a channel that it has joined; nil if the
	// protocol has no words for that.
	says func(l *listener, m mark)
}

// tongues are all that the server speaks. TestEveryProtocolIsSpoken fails for one
// that is missing here.
var tongues = []tongue{hotsockTongue, notifluxTongue, phoenixTongue, polledTongue, gatewayTongue}

// TestEveryProtocolIsSpoken: whoever adds a protocol adds it to the proof too.
func TestEveryProtocolIsSpoken(t *testing.T) {
	known, polls := map[string]bool{}, map[string]bool{}
	for _, s := range tongues {
		known[s.name] = true
		polls[s.name] = polls[s.name] || s.over != ""
	}
	for _, p := range app.Protocols() {
		if !known[p.Name] {
			t.Errorf("the protocol %s is not among the tongues: nothing proves that its apps are apart", p.Name)
		}
		delete(known, p.Name)
	}
	for name := range known {
		t.Errorf("there is no protocol %s", name)
	}
	if !polls["phoenix"] {
		t.Error("nobody polls")
	}
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string in UTF-8
	}
	return string(b)
}

// everything are Hotsock's claims for all channels.
func everything(uid string) claims {
	return claims{
		"scope": "connect", "uid": uid, "channels": map[string]any{"*": map[string]any{
			"subscribe": true, "getInfo": true, "historyStart": 0,
			"messages": map[string]any{"*": map[string]any{"publish": true, "echo": true, "react": true}},
			"storage":  map[string]any{"*": map[string]any{"observe": true, "get": true, "set": true}},
		}},
	}
}

var hotsockTongue = tongue{
	name: "hotsock",
	doors: func(a *tenantApp) []door {
		return []door{{path: "/v1"}, {path: "/", host: a.host}, {path: "/" + a.slug + "/v1"}, {path: "/v1/", host: a.host + ":443"}}
	},
	enter: func(t testing.TB, a *tenantApp, d door) door {
		d.path += "?token=" + a.token(t, everything("ann"))
		return d
	},
	join: func(l *listener, _ *tenantApp, channel string) error {
		at := l.say(`{"event":"hotsock.subscribe","channel":` + quoted(channel) + `}`)
		if l.answered(at, `"hotsock.subscribed"`, quoted(channel)) == "" {
			return fmt.Errorf("no confirmation of %q", channel)
		}
		return nil
	},
	says: func(l *listener, m mark) {
		l.say(fmt.Sprintf(`{"event":"e","channel":%s,"data":{"m":%q}}`, quoted(m.channel), m))
	},
}

var notifluxTongue = tongue{
	name: "notiflux",
	doors: func(a *tenantApp) []door {
		return []door{{path: "/ws"}, {path: "/ws", host: a.host}, {path: "/" + a.slug + "/ws"}}
	},
	enter: func(_ testing.TB, _ *tenantApp, d door) door { return d },
	join: func(l *listener, as *tenantApp, channel string) error {
		token := as.pairToken(l, claims{"sub": "notiflux", "scope": "subscribe", "topics": []string{channel}})
		l.say("/subscribe " + channel + " " + token)
		if at := l.say("/done?"); l.answered(at, "Unknown command") == "" {
			return fmt.Errorf("no sign of life after subscribing to %q", channel)
		}
		return nil // a refusal is not told
	},
}

var phoenixTongue = tongue{
	name: "phoenix",
	doors: func(a *tenantApp) []door {
		return []door{{path: "/socket/" + a.slug + "/websocket"}, {path: "/socket/websocket", host: a.host}}
	},
	enter: func(_ testing.TB, _ *tenantApp, d door) door {
		d.path += "?vsn=2.0.0"
		return d
	},
	join: func(l *listener, as *tenantApp, channel string) error {
		l.next++
		ref := fmt.Sprint(l.next)
		token := as.token(l, claims{"uid": "ann", "listen": []string{"*"}, "publish": []string{"*"}})
		at := l.say(fmt.Sprintf(`[%q,%q,%s,"phx_join",{"token":%q}]`, ref, ref, quoted(channel), token))
		answer := l.answered(at, fmt.Sprintf(`[%q,%q,`, ref, ref), `"phx_reply"`)
		if !strings.Contains(answer, `"status":"ok"`) {
			return fmt.Errorf("joining %q: %s", channel, answer)
		}
		return nil
	},
	says: func(l *listener, m mark) {
		l.next++
		l.say(fmt.Sprintf(`[null,"%d",%s,"e",{"m":%q}]`, l.next, quoted(m.channel), m))
	},
}

var polledTongue = tongue{
	name: "phoenix", over: "long polls",
	dial: (*listener).poll,
	doors: func(a *tenantApp) []door {
		return []door{{path: "/socket/" + a.slug + "/longpoll"}, {path: "/socket/longpoll", host: a.host}}
	},
	enter: phoenixTongue.enter, join: phoenixTongue.join, says: phoenixTongue.says,
}

// gatewayTongue is that of clients of a WebSocket API, who hear channels where a
// server says so.
var gatewayTongue = tongue{
	name: "gateway",
	doors: func(a *tenantApp) []door {
		return []door{{path: "/prod", host: a.host}, {path: "/" + a.slug + "/prod"}, {path: "/" + a.slug + "/" + a.gatewayID() + "/prod"}}
	},
	enter: func(_ testing.TB, _ *tenantApp, d door) door { return d },
	join: func(l *listener, as *tenantApp, channel string) error {
		at := l.say(`{"action":"nobody has this route"}`)
		var told struct {
			ID string `json:"connectionId"`
		}
		if err := json.Unmarshal([]byte(l.answered(at, "connectionId")), &told); err != nil {
			return err
		}
		path := "/" + l.app.slug + "/prod/@connections/" + url.PathEscape(told.ID) + "/@channels/" + url.PathEscape(channel)
		q := ask{method: http.MethodPut, path: path, header: l.header}
		q.sign = as.signAWS(l, "execute-api", "")
		if status, body, _ := l.node.ask(l, q); status >= 300 {
			return fmt.Errorf("joining %q: %d %s", channel, status, body)
		}
		return nil
	},
}

// A mouth is a way to publish over HTTP.
type mouth struct {
	name string
	// channel is the one that it publishes to; nil for any.
	channel func(a *tenantApp) string
	// ask is the request that publishes.
	ask func(t testing.TB, a *tenantApp, m mark) ask
	// ok reports whether an answer says that it was published. Mute says that the
	// answer does not tell.
	ok   func(status int, body string) bool
	mute bool
	// named says that the path names the app, whatever the host.
	named bool
}

var mouths = []mouth{
	{
		name: "publish",
		ask: func(_ testing.TB, a *tenantApp, m mark) ask {
			return ask{path: "/publish", header: a.bearer(), body: fmt.Sprintf(`{"channel":%s,"event":"e","data":{"m":%q}}`, quoted(m.channel), m)}
		},
		ok: func(status int, _ string) bool { return status == 202 },
	},
	{
		name: "lambda",
		ask: func(t testing.TB, a *tenantApp, m mark) ask {
			body := fmt.Sprintf(`{"channel":%s,"event":"e","data":{"m":%q}}`, quoted(m.channel), m)
			return ask{path: "/2015-03-31/functions/f/invocations", body: body, sign: a.signAWS(t, "lambda", body)}
		},
		ok: func(status int, body string) bool { return status == 200 && !strings.Contains(body, "errorType") },
	},
	{
		name: "broadcast",
		ask: func(t testing.TB, a *tenantApp, m mark) ask {
			token := a.pairToken(t, claims{"sub": "notiflux", "scope": "broadcast", "topics": []string{m.channel}})
			return ask{
				path: "/broadcast", header: map[string]string{"Content-Type": "application/json"},
				body: fmt.Sprintf(`{"topic":%s,"message":"said %s","token":%q}`, quoted(m.channel), m, token),
			}
		},
		ok: func(status int, _ string) bool { return status == 200 }, mute: true,
	},
	{
		name: "epl", named: true, channel: func(a *tenantApp) string { return "private:" + a.slug },
		ask: func(_ testing.TB, a *tenantApp, m mark) ask {
			return ask{
				path: "/api/apps/" + a.slug + "/events", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
				body: url.Values{"scope": {"private"}, "topic": {"news"}, "event": {"e"}, "payload": {fmt.Sprintf(`{"m":%q}`, m)}}.Encode(),
				sign: func(r *http.Request) { r.SetBasicAuth(a.key, a.secret) },
			}
		},
		ok: func(status int, _ string) bool { return status == 200 },
	},
	{
		name: "gateway", named: true,
		ask: func(t testing.TB, a *tenantApp, m mark) ask {
			body := fmt.Sprintf(`{"m":%q}`, m)
			return ask{path: "/" + a.slug + "/prod/@channels/" + url.PathEscape(m.channel), body: body, sign: a.signAWS(t, "execute-api", body)}
		},
		ok: func(status int, _ string) bool { return status < 300 },
	},
}

// on is the channel that a mouth publishes to, who would like another one.
func (by *mouth) on(a *tenantApp, channel string) string {
	if by.channel != nil {
		return by.channel(a)
	}
	return channel
}

// connects opens a client by a tongue at a door, with the tokens of as.
func (w *world) connects(s *tongue, n *node, a, as *tenantApp, d door) (*listener, error) {
	l := newListener(w, n, a, s.name)
	return l, s.open(l, s.enter(w, as, d))
}

// open connects a listener by its tongue.
func (s *tongue) open(l *listener, d door) error {
	l.tongue = s
	if s.dial != nil {
		return s.dial(l, d)
	}
	return l.dial(d)
}

// nameable are the names that every tongue can say.
func nameable(name string) bool {
	return name != "" && !strings.ContainsAny(name, "*#, \t\n") && url.PathEscape(name) != "" && !slices.Contains(strings.Split(name, ":"), "")
}
