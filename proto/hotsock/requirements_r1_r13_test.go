package hotsock_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// The tests named TestR… are named after the requirements of the
// specification's section 7, as far as they are the server's.

func TestR1AcceptsTheThreePaths(t *testing.T) {
	e := hotsock.Entry()
	if want := []string{"/", "/v1", "/v1/"}; !slices.Equal(e.Paths, want) {
		t.Errorf("got the paths %q, want %q", e.Paths, want)
	}
	if len(e.Subprotocols) != 0 {
		t.Errorf("got the subprotocols %q, want none", e.Subprotocols)
	}
	p, err := e.New(func(any) error { return nil }, proto.Deps{Hub: newServer(t, hotsock.DefaultConfig()).hub})
	if err != nil || p == nil {
		t.Errorf("got %v, %v", p, err)
	}
	bad := errors.New("bad section")
	if _, err := e.New(func(any) error { return bad }, proto.Deps{}); err != bad {
		t.Errorf("got %v, want the section's error", err)
	}
}

// R2: connected is queued by Open, before anything is read; time does not pass.
func TestR2ConnectedWithinFiveSeconds(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		before := time.Now()
		c := s.connect(nil)
		if took := time.Since(before); took != 0 {
			t.Errorf("connected came after %v", took)
		}
		if !regexp.MustCompile(`^[\w-]{15}=$`).MatchString(c.greeting.Data.ConnectionID) {
			t.Errorf("got the connectionId %q", c.greeting.Data.ConnectionID)
		}
		if !regexp.MustCompile(`^[A-Za-z0-9]{20}$`).MatchString(c.greeting.Data.ConnectionSecret) {
			t.Errorf("got the connectionSecret %q", c.greeting.Data.ConnectionSecret)
		}
		if other := s.connect(nil); other.greeting.Data.ConnectionSecret == c.greeting.Data.ConnectionSecret {
			t.Error("two connections have one secret")
		}
	})
}

func TestR3RefusesBadTokensAtTheUpgrade(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		connect := claims{"scope": "connect"}
		expired := claims{"scope": "connect", "exp": 1}
		for name, c := range map[string]struct {
			token  string
			status int
			code   string
		}{
			"none":                {"", 401, "TOKEN_MISSING"},
			"nonsense":            {"x", 401, "TOKEN_MALFORMED"},
			"expired":             {token(t, expired), 401, "TOKEN_EXPIRED"},
			"unknown key":         {tokenOf(t, "other", connect), 401, "TOKEN_KEY"},
			"no scope":            {token(t, claims{}), 403, "TOKEN_SCOPE"},
			"another scope":       {token(t, claims{"scope": "subscribe umd"}), 403, "TOKEN_SCOPE"},
			"scope of wrong type": {token(t, claims{"scope": []string{"connect"}}), 401, "TOKEN_CLAIMS"},
			"bound":               {token(t, claims{"scope": "connect", "connectionId": "AAAAAAAAAAAAAAA="}), 403, "TOKEN_CONNECTION"},
			"bad regex":           {token(t, claims{"scope": "connect", "channels": claims{"#regex:(": claims{}}}), 401, "TOKEN_CLAIMS"},
			"single use, no jti":  {token(t, claims{"scope": "connect", "singleUse": true}), 401, "TOKEN_JTI"},
		} {
			_, r := s.admit(c.token)
			if r == nil {
				t.Fatalf("%s: admitted", name)
			}
			var body struct {
				Error struct{ Code, Message string }
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatalf("%s: %s: %v", name, r.Body, err)
			}
			if r.Status != c.status || body.Error.Code != c.code || body.Error.Message == "" {
				t.Errorf("%s: got %d %s, want %d %s", name, r.Status, r.Body, c.status, c.code)
			}
			if got := r.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("got the Content-Type %q", got)
			}
			if c.token != "" && c.token != "x" && strings.Contains(string(r.Body)+r.Error(), c.token) {
				t.Error("the refusal shows the token")
			}
		}
	})
}

// R3, overload: a store that is down is no reason to let anybody in.
func TestR3SingleUse(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		once := token(t, claims{"scope": "connect", "singleUse": true, "jti": "j1"})
		s.open(once).greet()
		if _, r := s.admit(once); r == nil || r.Status != 401 || !strings.Contains(string(r.Body), "TOKEN_USED") {
			t.Errorf("got %v for the second use, want 401", r)
		}
		early := token(t, claims{"scope": "connect", "singleUse": true, "jti": "j2", "nbf": time.Now().Add(time.Minute).Unix()})
		if _, r := s.admit(early); r == nil || r.Status != 401 {
			t.Errorf("got %v for a token of tomorrow, want 401", r)
		}
		time.Sleep(time.Minute)
		s.open(early).greet() // the early use did not use it up
		s.engine.Cut()
		if _, r := s.admit(token(t, claims{"scope": "connect", "singleUse": true, "jti": "j3"})); r == nil || r.Status != 503 || r.Header.Get("Retry-After") == "" {
			t.Errorf("got %v while the store is down, want 503 with Retry-After", r)
		}
		s.engine.Restore()
	})
}

func TestR4ConnectedHasMetaAndData(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		for _, c := range []struct {
			claims claims
			meta   string
		}{
			{claims{}, `"meta":{"uid":null,"umd":null}`},
			{claims{"uid": "Jim", "umd": claims{"n": 1}}, `"meta":{"uid":"Jim","umd":{"n":1}}`},
			{claims{"uid": "", "umd": nil}, `"meta":{"uid":"","umd":null}`},
			{claims{"uid": nil, "umd": []int{1}}, `"meta":{"uid":null,"umd":[1]}`},
		} {
			c.claims["scope"] = "connect"
			got := s.open(token(t, c.claims)).next()
			want := regexp.MustCompile(`^\{"event":"hotsock.connected","data":\{"connectionId":"[\w-]{15}=","connectionExpiresAt":"2000-01-01T02:00:00Z","connectionSecret":"\w{20}"\},` + regexp.QuoteMeta(c.meta) + `\}$`)
			if !want.MatchString(got) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})
}

func TestR5SubscribedHasMetaAndData(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": everything(), "uid": "u", "umd": "m"})
		c.send(`{"event":"hotsock.subscribe","channel":"c"}`)
		c.expect(`{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":"u","umd":"m"}}`)
	})
}

func TestR7EveryFrameIsAJSONObject(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": everything(), "keepAlive": true})
		c.send(`{"event":"hotsock.subscribe","channel":"c"}`, `nonsense`, `{"event":"hotsock.ping"}`, `{"event":"hotsock.subscribe","channel":"c"}`)
		for _, m := range []*earshot.Message{
			{Channel: "c", Event: "e\u2028\"", Kind: earshot.Text, Data: []byte("text \" \n")},
			{Channel: "c", Event: "e", Kind: earshot.Binary, Data: []byte{0, 255}},
			{Channel: "c", Kind: earshot.JSON},
			{Channel: "c", Event: "bad \xff", Kind: earshot.Text, Data: []byte("\xff")},
		} {
			s.publish(m)
		}
		c.send(`{"event":"hotsock.unsubscribe","channel":"c"}`, `{"event":"hotsock.refresh"}`)
		time.Sleep(10 * time.Minute)
		frames := c.read()
		if len(frames) < 10 {
			t.Fatalf("got only %q", frames)
		}
		for _, f := range frames {
			var object map[string]any
			if err := json.Unmarshal([]byte(f), &object); err != nil || object["event"] == nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	})
}

// R8: what a client sends at once on open is carried out after connected.
func TestR8SubscribeBeforeConnected(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.open(token(t, claims{"scope": "connect", "channels": everything()}))
		c.conn.Receive(hub.Input{Data: []byte(`{"event":"hotsock.subscribe","channel":"c"}`)})
		c.greet()
		c.expect(`{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":null,"umd":null}}`)
	})
}

func TestR9TheRealNameIsTold(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "channels": claims{
			"room.1": claims{"subscribe": true, "alias": "room", "messages": claims{"e": claims{"publish": true, "echo": true}}},
			"room.2": claims{"alias": "denied"},
		}})
		c.send(`{"event":"hotsock.subscribe","channel":"room"}`)
		c.expect(`{"event":"hotsock.subscribed","channel":"room.1","data":{},"meta":{"channelAlias":"room","uid":"u","umd":null}}`)
		c.send(`{"event":"e","channel":"room","data":1}`)
		c.expect(`{"id":"$ID","event":"e","channel":"room.1","data":1,"meta":{"uid":"u","umd":null}}`)
		c.send(`{"event":"x","channel":"room"}`)
		c.expect(`{"event":"hotsock.error","channel":"room.1","error":{"code":"PUBLISH_PERMISSION_DENIED","message":"publishing this event to this channel is not permitted"},"meta":{"channelAlias":"room"}}`)
		c.send(`{"event":"hotsock.subscribe","channel":"room"}`)
		c.expect(`{"event":"hotsock.error","channel":"room.1","error":{"code":"ALREADY_SUBSCRIBED","message":"the connection is subscribed to this channel"},"meta":{"channelAlias":"room"}}`)
		c.send(`{"event":"hotsock.subscribe","channel":"denied"}`)
		c.expect(`{"event":"hotsock.error","channel":"room.2","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","message":"subscribing to this channel is not permitted"},"meta":{"channelAlias":"denied"}}`)
		c.send(`{"event":"hotsock.unsubscribe","channel":"room.1"}`)
		c.expect(`{"event":"hotsock.unsubscribed","channel":"room.1","data":{},"meta":{"channelAlias":"room","uid":"u","umd":null}}`)
		c.subscribe("room.1")
		c.send(`{"event":"hotsock.unsubscribe","channel":"room"}`)
		c.expect(`{"event":"hotsock.unsubscribed","channel":"room.1","data":{},"meta":{"channelAlias":"room","uid":"u","umd":null}}`)
	})
}

func auto() claims {
	return claims{"scope": "connect", "channels": claims{
		"a": claims{"autoSubscribe": true, "alias": "first"}, "b": claims{"autoSubscribe": true},
		"b*": claims{"autoSubscribe": true, "subscribe": true}, "c": claims{"subscribe": true},
		"d": claims{"autoSubscribe": true, "subscribe": false},
	}}
}

func TestR10AutoSubscribed(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.open(token(t, auto()))
		c.greet()
		c.expect(
			`{"event":"hotsock.subscribed","channel":"a","data":{"autoSubscribed":true},"meta":{"channelAlias":"first","uid":null,"umd":null}}`,
			`{"event":"hotsock.subscribed","channel":"b","data":{"autoSubscribed":true},"meta":{"uid":null,"umd":null}}`,
			`{"event":"hotsock.error","channel":"d","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","message":"subscribing to this channel is not permitted"}}`,
		)
		c.silent()
		s.publish(stored("a", "e", `1`))
		c.expect(`{"id":"$ID","event":"e","channel":"a","data":1}`)
	})
}

// R11: the confirmations come before the answer to what the client sends at
// once, though the engine takes its time.
func TestR11AutoSubscribeComesFirst(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		s.store.Slow(0, 100*time.Millisecond)
		before := time.Now()
		c := s.open(token(t, auto()))
		c.conn.Receive(hub.Input{Data: []byte(`{"event":"hotsock.subscribe","channel":"b"}`)}, hub.Input{Data: []byte(`{"event":"hotsock.ping"}`)})
		c.greet()
		c.expect(`{"event":"hotsock.pong","data":"{}"}`)
		time.Sleep(250*time.Millisecond - time.Since(before))
		c.expect(
			`{"event":"hotsock.subscribed","channel":"a","data":{"autoSubscribed":true},"meta":{"channelAlias":"first","uid":null,"umd":null}}`,
			`{"event":"hotsock.subscribed","channel":"b","data":{"autoSubscribed":true},"meta":{"uid":null,"umd":null}}`,
			`{"event":"hotsock.error","channel":"d","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","message":"subscribing to this channel is not permitted"}}`,
			`{"event":"hotsock.error","channel":"b","error":{"code":"ALREADY_SUBSCRIBED","message":"the connection is subscribed to this channel"}}`,
		)
	})
}

func TestR12SubscribeIsIdempotent(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		// The permission is the subscribe token's alone; the repetition has none.
		c := s.connect(claims{"uid": "u"})
		sub := token(t, claims{"scope": "subscribe", "uid": "u", "channels": claims{"c": claims{"subscribe": true}}})
		c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, sub))
		c.expect(`{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":"u","umd":null}}`)
		c.send(`{"event":"hotsock.subscribe","channel":"c"}`)
		c.expect(`{"event":"hotsock.error","channel":"c","error":{"code":"ALREADY_SUBSCRIBED","message":"the connection is subscribed to this channel"}}`)
		c.send(`{"event":"hotsock.unsubscribe","channel":"c"}`, `{"event":"hotsock.unsubscribe","channel":"c"}`)
		c.expect(
			`{"event":"hotsock.unsubscribed","channel":"c","data":{}}`,
			`{"event":"hotsock.error","channel":"c","error":{"code":"NOT_SUBSCRIBED","message":"there is no subscription to this channel"}}`,
		)
	})
}

func TestR13PublishProblems(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": claims{
			"c":    claims{"subscribe": true, "messages": claims{"ok": claims{"publish": true}, "no": claims{"publish": false, "broadcast": true}}},
			"d":    claims{"messages": claims{"ok": claims{"publish": true}}},
			"live": claims{"subscribe": true, "messages": claims{"ok": claims{"publish": true, "store": 60}}},
		}})
		c.subscribe("c")
		c.subscribe("live")
		for _, p := range []struct{ frame, code, channel string }{
			{`{"event":"other","channel":"c"}`, "PUBLISH_PERMISSION_DENIED", "c"},
			{`{"event":"no","channel":"c"}`, "PUBLISH_PERMISSION_DENIED", "c"},
			{`{"event":"other","channel":"unknown"}`, "PUBLISH_PERMISSION_DENIED", "unknown"},
			{`{"event":"ok","channel":"d"}`, "NOT_SUBSCRIBED", "d"},
			{`{"event":"ok","channel":"live"}`, "LIVE_CHANNEL", "live"},
			{`{"event":"ok","channel":"c","scheduleExpression":"at(2026-01-01T00:00:00)"}`, "SCHEDULE_PERMISSION_DENIED", "c"},
			{`{"event":"ok","channel":"c","data":"` + strings.Repeat("x", hub.MaxData-1) + `"}`, "MESSAGE_TOO_LARGE", "c"},
			{`{"event":"ok","channel":"c*"}`, "INVALID_CHANNEL_NAME", "c*"},
			{`{"event":"ok"}`, "INVALID_MESSAGE", ""},
			{`{"event":" ","channel":"c"}`, "INVALID_EVENT_NAME", "c"},
			{`{"event":"#x","channel":"c"}`, "INVALID_EVENT_NAME", "c"},
		} {
			c.send(p.frame)
			wantError(t, c.next(), p.code, p.channel)
		}
		c.send(`{"event":"ok","channel":"c","data":"` + strings.Repeat("x", hub.MaxData-2) + `"}`)
		c.silent() // success is not answered
	})
}

// wantError checks the code and channel of an error frame.
func wantError(t *testing.T, frame, code, channel string) {
	t.Helper()
	var e struct {
		Event, Channel string
		Error          struct{ Code, Reason, Message string }
	}
	if err := json.Unmarshal([]byte(frame), &e); err != nil {
		t.Fatalf("%s: %v", frame, err)
	}
	if e.Event != "hotsock.error" || e.Error.Code != code || e.Channel != channel || e.Error.Message == "" {
		t.Errorf("got %s, want %s for %q", frame, code, channel)
	}
}
