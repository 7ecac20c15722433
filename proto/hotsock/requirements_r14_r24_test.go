package hotsock_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// R14: whatever is wrong, a subscribe gets one answer, with a code that
// hotsock-js acts on.
func TestR14EverySubscribeIsAnswered(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "channels": claims{"c*": claims{"subscribe": true}, "presence.*": claims{"subscribe": true}}})
		const denied, bad = "SUBSCRIBE_PERMISSION_DENIED", "INVALID_SUBSCRIBE_TOKEN"
		good := claims{"scope": "subscribe", "uid": "u", "channels": claims{"x": claims{"subscribe": true}}}
		with := func(name string, value any) string {
			changed := claims{}
			for k, v := range good {
				changed[k] = v
			}
			changed[name] = value
			return fmt.Sprintf(`{"token":%q}`, token(t, changed))
		}
		for _, q := range []struct{ channel, data, code string }{
			{"x", `null`, denied},
			{"", `{}`, "INVALID_MESSAGE"},
			{"c,d", `{}`, denied},
			{"c d", `{}`, denied},
			{strings.Repeat("c", 257), `{}`, denied},
			{"presence.a b", `{}`, denied},
			{"c", `"token"`, denied},
			{"c", `{"after":5}`, denied},
			{"c", `{"after":"yesterday"}`, denied},
			{"c", `{"after":""}`, denied},
			{"x", `{"token":5}`, bad},
			{"x", `{"token":""}`, bad},
			{"x", `{"token":"x.y.z"}`, bad},
			{"x", with("scope", "connect"), bad},
			{"x", with("uid", "somebody else"), bad},
			{"x", with("uid", ""), bad},
			{"x", with("uid", nil), bad},
			{"x", with("exp", 1), bad},
			{"x", with("connectionId", "AAAAAAAAAAAAAAA="), bad},
			{"x", with("singleUse", true), bad},
			{"x", with("channels", claims{"y": claims{"subscribe": true}}), denied},
			{"x", with("channels", claims{"x": claims{"subscribe": true}, "*": claims{"subscribe": false}}), denied},
		} {
			c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":%q,"data":%s}`, q.channel, q.data))
			wantError(t, c.next(), q.code, q.channel)
			c.silent()
		}
		anonymous := s.connect(claims{"channels": claims{"presence.*": claims{"subscribe": true}}})
		anonymous.send(`{"event":"hotsock.subscribe","channel":"presence.x"}`)
		wantError(t, anonymous.next(), "PRESENCE_CHANNEL_USER_ID_REQUIRED", "presence.x")
		// A log that does not answer is waited for, but not for ever.
		s.engine.Cut()
		c.send(`{"event":"hotsock.subscribe","channel":"c.late","data":{"after":"0"}}`)
		time.Sleep(10 * time.Second)
		c.silent()
		s.engine.Restore()
		time.Sleep(time.Second)
		c.expect(strings.Replace(confirmed("c.late", true), `"uid":null`, `"uid":"u"`, 1))
		s.engine.Cut()
		c.send(`{"event":"hotsock.subscribe","channel":"c.unheard","data":{"after":"0"}}`)
		time.Sleep(time.Minute)
		wantError(t, c.next(), denied, "c.unheard")
		s.engine.Restore()
	})
}

// R15: a drain staggers the closes, and each says why.
func TestR15DrainStaggersCloses(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		var clients []*client
		for range 64 {
			clients = append(clients, s.connect(nil))
		}
		done := make(chan error)
		go func() { done <- s.hub.Drain(context.Background(), 10*time.Second) }()
		time.Sleep(5 * time.Second)
		closed := 0
		for _, c := range clients {
			if c.goodbye() != nil {
				closed++
			}
		}
		if closed < 8 || closed > 56 {
			t.Errorf("after half the time %d of 64 are closed", closed)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			if g := c.goodbye(); g == nil || g.Code != 1001 || g.Reason != "Going away" {
				t.Fatalf("closed with %+v, want 1001", g)
			}
		}
	})
}

func TestR16ATokenNeedsExp(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		_, r := s.admit(sign(t, "dev", `{"scope":"connect"}`))
		if r == nil || r.Status != http.StatusUnauthorized || !strings.Contains(string(r.Body), "TOKEN_EXP") {
			t.Errorf("got %v, want 401", r)
		}
	})
}

// R17: a subscribe token that is not for one use works on every connection of
// its user, again and again.
func TestR17SubscribeTokensAreReusable(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		sub := token(t, claims{"scope": "subscribe", "uid": "u", "exp": time.Now().Add(7 * 24 * time.Hour).Unix(), "channels": claims{"c": claims{"subscribe": true, "omitFromSubCount": true}}})
		ask := fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, sub)
		for range 3 {
			c := s.connect(claims{"uid": "u", "umd": 1, "keepAlive": true})
			for range 2 {
				c.send(ask, `{"event":"hotsock.unsubscribe","channel":"c"}`)
				c.expect(
					`{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":"u","umd":1}}`,
					`{"event":"hotsock.unsubscribed","channel":"c","data":{}}`,
				)
			}
		}
		c := s.connect(claims{"uid": "u"})
		once := token(t, claims{"scope": "subscribe", "uid": "u", "singleUse": true, "jti": "j", "channels": claims{"c": claims{"subscribe": true}}})
		again := fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, once)
		c.send(again, `{"event":"hotsock.unsubscribe","channel":"c"}`, again)
		c.expect(
			`{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":"u","umd":null}}`,
			`{"event":"hotsock.unsubscribed","channel":"c","data":{}}`,
			`{"event":"hotsock.error","channel":"c","error":{"code":"INVALID_SUBSCRIBE_TOKEN","reason":"TOKEN_USED","message":"the token has been used"}}`,
		)
		s.publish(stored("c", "e", "1"))
		c.silent()
	})
}

func TestR19ConnectionExpiresAt(t *testing.T) {
	for _, c := range []struct {
		name   string
		config hotsock.Config
		closes bool
		exp    time.Duration
		want   time.Duration
	}{
		{"two hours", hotsock.Config{}, false, time.Hour, 2 * time.Hour},
		{"the lifetime", hotsock.Config{Lifetime: hotsock.Duration(24 * time.Hour)}, false, time.Hour, 24 * time.Hour},
		{"the token's end", hotsock.Config{}, true, time.Hour, time.Hour + earshot.ExpiryGrace},
		{"what comes first", hotsock.Config{}, true, 10 * time.Hour, 2 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := app()
				a.ExpiryCloses = c.closes
				s := newServer(t, c.config, a)
				got := s.connect(claims{"exp": time.Now().Add(c.exp).Unix()}).greeting.Data.ConnectionExpiresAt
				if want := time.Now().Add(c.want).UTC().Format("2006-01-02T15:04:05Z"); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		})
	}
}

// R20: the meta of a subscription is what holds for it.
func TestR20MetaOfASubscription(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		all := claims{"c": claims{"subscribe": true, "messages": claims{"*": claims{"publish": true, "echo": true}}}}
		for _, q := range []struct {
			connection, token claims
			meta              string
		}{
			{claims{}, nil, `"meta":{"uid":null,"umd":null}`},
			{claims{"uid": "u", "umd": 1}, nil, `"meta":{"uid":"u","umd":1}`},
			{claims{"uid": "u", "umd": 1}, claims{"uid": "u"}, `"meta":{"uid":"u","umd":1}`},
			{claims{"uid": "u", "umd": 1}, claims{"uid": "u", "umd": 2}, `"meta":{"uid":"u","umd":2}`},
			{claims{"uid": "u", "umd": 1}, claims{"uid": "v", "bound": true}, `"meta":{"uid":"v","umd":1}`},
			{claims{"umd": 1}, claims{"umd": 2, "bound": true}, `"meta":{"uid":null,"umd":2}`},
		} {
			q.connection["channels"] = all
			c := s.connect(q.connection)
			data := `{}`
			if q.token != nil {
				if q.token["bound"] != nil {
					q.token["connectionId"] = c.greeting.Data.ConnectionID
				}
				q.token["scope"] = "subscribe"
				data = fmt.Sprintf(`{"token":%q}`, token(t, q.token))
			}
			c.send(`{"event":"hotsock.subscribe","channel":"c","data":`+data+`}`, `{"event":"e","channel":"c"}`)
			c.expect(
				`{"event":"hotsock.subscribed","channel":"c","data":{},`+q.meta+`}`,
				`{"id":"$ID","event":"e","channel":"c","data":null,`+q.meta+`}`,
			)
		}
	})
}

func TestR21IdsRise(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		virtual(t, func(t *testing.T, s *server) {
			c := s.connect(claims{"channels": claims{"*": claims{"subscribe": true, "messages": claims{"*": claims{"publish": true, "echo": true}}}}})
			c.subscribe(channel)
			for i := range 100 {
				c.send(fmt.Sprintf(`{"event":"n","channel":%q,"data":%d}`, channel, i))
				s.publish(&earshot.Message{Channel: channel, Event: "n", Data: []byte("0")})
			}
			last := ""
			for range 200 {
				next := id(t, c.next())
				if next <= last {
					t.Fatalf("%s comes after %s", next, last)
				}
				last = next
			}
		})
	}
}

func TestR24LastMemberWins(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.open(sign(t, "dev", `{"exp":1,"scope":"umd","umd":{"a":1},"umd":null,"exp":99999999999,"scope":"connect",
			"channels":{"secret":{"subscribe":true}},"channels":{"c":{"subscribe":false,"subscribe":true}}}`))
		c.greet()
		c.send(`{"event":"hotsock.subscribe","channel":"c"}`, `{"event":"hotsock.subscribe","channel":"secret"}`)
		c.expect(
			`{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":null,"umd":null}}`,
			`{"event":"hotsock.error","channel":"secret","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","message":"subscribing to this channel is not permitted"}}`,
		)
	})
}
