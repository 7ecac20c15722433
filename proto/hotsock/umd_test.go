package hotsock_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// umdUpdate is the frame of an update, without a channel for the connection.
func umdUpdate(t testing.TB, channel string, c claims) string {
	t.Helper()
	all := claims{"scope": "umd"}
	for k, v := range c {
		all[k] = v
	}
	if channel == "" {
		return fmt.Sprintf(`{"event":"hotsock.umdUpdate","data":{"token":%q}}`, token(t, all))
	}
	return fmt.Sprintf(`{"event":"hotsock.umdUpdate","channel":%q,"data":{"token":%q}}`, channel, token(t, all))
}

// mayUpdate is the claim that permits an update on every channel.
func mayUpdate() claims { return claims{"*": claims{"umdUpdate": true}} }

// comesIn takes as many frames as are wanted, in any order: a notice and an
// answer do not wait for each other.
func (c *client) comesIn(want ...string) {
	c.t.Helper()
	got := make([]string, len(want))
	for i := range want {
		got[i] = mask(c.next())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.t.Fatalf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// TestUMDUpdateOfAChannel: one subscription has the new metadata, and what it
// publishes; the others, and the connection, keep theirs (spec §2.6).
func TestUMDUpdateOfAChannel(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "umd": 1, "channels": everything()})
		c.subscribe("a")
		c.subscribe("b")
		c.send(umdUpdate(t, "a", claims{"uid": "u", "umd": claims{"n": 2}, "channels": mayUpdate()}))
		c.expect(`{"event":"hotsock.umdUpdated","channel":"a","data":{},"meta":{"uid":"u","umd":{"n":2}}}`)
		c.send(`{"event":"e","channel":"a"}`)
		c.expect(`{"id":"$ID","event":"e","channel":"a","data":null,"meta":{"uid":"u","umd":{"n":2}}}`)
		c.send(`{"event":"e","channel":"b"}`)
		c.expect(`{"id":"$ID","event":"e","channel":"b","data":null,"meta":{"uid":"u","umd":1}}`)
		c.send(umdUpdate(t, "a", claims{"uid": "u", "channels": mayUpdate()})) // without umd there is none
		c.expect(`{"event":"hotsock.umdUpdated","channel":"a","data":{},"meta":{"uid":"u","umd":null}}`)
		c.subscribe("d")
		c.send(`{"event":"e","channel":"d"}`)
		c.expect(`{"id":"$ID","event":"e","channel":"d","data":null,"meta":{"uid":"u","umd":1}}`)
	})
}

// TestUMDUpdateOfTheConnection: later subscriptions inherit it, those that are
// there keep theirs unless it propagates.
func TestUMDUpdateOfTheConnection(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "umd": 1, "channels": everything()})
		other := s.connect(claims{"uid": "v", "channels": everything()})
		c.subscribe("a")
		c.subscribe("presence.p")
		other.subscribe("presence.p")
		c.expect(`{"event":"hotsock.memberAdded","channel":"presence.p","data":{"member":{"uid":"v","umd":null},"members":[{"uid":"u","umd":1},{"uid":"v","umd":null}]}}`)
		c.send(umdUpdate(t, "", claims{"uid": "u", "umd": 2, "umdUpdate": true}))
		c.expect(`{"event":"hotsock.umdUpdated","data":{},"meta":{"uid":"u","umd":2}}`)
		other.silent()
		c.send(`{"event":"e","channel":"a"}`, `{"event":"hotsock.subscribe","channel":"b"}`)
		c.comesIn(
			`{"id":"$ID","event":"e","channel":"a","data":null,"meta":{"uid":"u","umd":1}}`,
			`{"event":"hotsock.subscribed","channel":"b","data":{},"meta":{"uid":"u","umd":2}}`,
		)
		c.send(umdUpdate(t, "", claims{"connectionId": c.greeting.Data.ConnectionID, "umd": 3, "umdUpdate": true, "umdPropagate": true}))
		told := `{"event":"hotsock.memberUpdated","channel":"presence.p","data":{"member":{"uid":"u","umd":3},"members":[{"uid":"u","umd":3},{"uid":"v","umd":null}]}}`
		c.comesIn(told, `{"event":"hotsock.umdUpdated","data":{},"meta":{"uid":"u","umd":3}}`)
		other.expect(told)
		c.send(`{"event":"e","channel":"a"}`)
		c.expect(`{"id":"$ID","event":"e","channel":"a","data":null,"meta":{"uid":"u","umd":3}}`)
		c.send(umdUpdate(t, "", claims{"uid": "u", "umd": 3, "umdUpdate": true, "umdPropagate": true}))
		c.expect(`{"event":"hotsock.umdUpdated","data":{},"meta":{"uid":"u","umd":3}}`)
		other.silent() // nothing has changed
	})
}

// TestUMDUpdateOfAPresenceChannel: all members are told, the sender too; with
// its own token a subscription may be updated by an alias.
func TestUMDUpdateOfAPresenceChannel(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "channels": claims{"presence.p": claims{"subscribe": true, "alias": "room"}}})
		other := s.connect(claims{"uid": "v", "channels": everything()})
		other.subscribe("presence.p")
		c.send(`{"event":"hotsock.subscribe","channel":"room"}`)
		c.expect(`{"event":"hotsock.subscribed","channel":"presence.p","data":{"members":[{"uid":"v","umd":null},{"uid":"u","umd":null}]},"meta":{"channelAlias":"room","uid":"u","umd":null}}`)
		other.next()
		c.send(umdUpdate(t, "room", claims{"uid": "u", "umd": "busy", "channels": claims{"presence.p": claims{"umdUpdate": true}}}))
		told := `{"event":"hotsock.memberUpdated","channel":"presence.p","data":{"member":{"uid":"u","umd":"busy"},"members":[{"uid":"v","umd":null},{"uid":"u","umd":"busy"}]}}`
		c.comesIn(told, `{"event":"hotsock.umdUpdated","channel":"presence.p","data":{},"meta":{"channelAlias":"room","uid":"u","umd":"busy"}}`)
		other.expect(told)
	})
}

func TestUMDUpdateRefused(t *testing.T) {
	other := app()
	other.Slug, other.SigningKeys, other.PublishKeys = "other", []earshot.SigningKey{key("other")}, nil
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, hotsock.DefaultConfig(), app(), other)
		c := s.connect(claims{"uid": "u", "umd": 1, "channels": everything()})
		anonymous := s.connect(claims{"channels": everything()})
		c.subscribe("c")
		anonymous.subscribe("c")
		good := claims{"uid": "u", "umd": 2, "umdUpdate": true, "channels": mayUpdate()}
		with := func(name string, value any) claims {
			changed := claims{}
			for k, v := range good {
				changed[k] = v
			}
			changed[name] = value
			return changed
		}
		for _, q := range []struct {
			frame, code, channel string
		}{
			{`{"event":"hotsock.umdUpdate"}`, "TOKEN_MISSING", ""},
			{`{"event":"hotsock.umdUpdate","channel":"c","data":{}}`, "TOKEN_MISSING", "c"},
			{`{"event":"hotsock.umdUpdate","channel":"c","data":[]}`, "INVALID_MESSAGE", "c"},
			{`{"event":"hotsock.umdUpdate","channel":"c","data":{"token":7}}`, "TOKEN_MALFORMED", "c"},
			{umdUpdate(t, "", with("scope", "connect subscribe")), "TOKEN_SCOPE", ""},
			{umdUpdate(t, "c", with("exp", 1)), "TOKEN_EXPIRED", "c"},
			{umdUpdate(t, "c", with("uid", "v")), "TOKEN_UID", "c"},
			{umdUpdate(t, "c", with("uid", "")), "TOKEN_UID", "c"},
			{umdUpdate(t, "c", with("connectionId", "AAAAAAAAAAAAAAA=")), "TOKEN_CONNECTION", "c"},
			{umdUpdate(t, "c", with("umd", strings.Repeat("x", 1025))), "TOKEN_CLAIMS", "c"},
			{umdUpdate(t, "", with("umdUpdate", false)), "UMD_UPDATE_PERMISSION_DENIED", ""},
			{umdUpdate(t, "c", with("channels", claims{"c": claims{"umdUpdate": false}, "*": claims{"umdUpdate": true}})), "UMD_UPDATE_PERMISSION_DENIED", "c"},
			{umdUpdate(t, "c", with("channels", claims{"d": claims{"umdUpdate": true}})), "UMD_UPDATE_PERMISSION_DENIED", "c"},
			{umdUpdate(t, "d", good), "NOT_SUBSCRIBED", "d"},
			{umdUpdate(t, "a b", good), "INVALID_CHANNEL_NAME", "a b"},
			{fmt.Sprintf(`{"event":"hotsock.umdUpdate","channel":"c","data":{"token":%q}}`, tokenOf(t, "other", claims{"scope": "umd", "uid": "u", "channels": mayUpdate()})), "TOKEN_KEY", "c"},
		} {
			c.send(q.frame)
			wantError(t, c.next(), q.code, q.channel)
		}
		anonymous.send(umdUpdate(t, "c", claims{"uid": "", "channels": mayUpdate()}))
		wantError(t, anonymous.next(), "TOKEN_UID", "c")
		c.send(`{"event":"e","channel":"c"}`)
		c.expect(`{"id":"$ID","event":"e","channel":"c","data":null,"meta":{"uid":"u","umd":1}}`) // nothing has changed
	})
}

// TestUMDUpdateSingleUse: what is refused does not use a token up.
func TestUMDUpdateSingleUse(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "channels": everything()})
		once := umdUpdate(t, "c", claims{"uid": "u", "umd": 2, "singleUse": true, "jti": "j", "channels": mayUpdate()})
		c.send(once)
		wantError(t, c.next(), "NOT_SUBSCRIBED", "c")
		c.subscribe("c")
		c.send(once, once)
		c.expect(`{"event":"hotsock.umdUpdated","channel":"c","data":{},"meta":{"uid":"u","umd":2}}`)
		wantError(t, c.next(), "TOKEN_USED", "c")
	})
}

func TestUMDUpdateOverHTTP(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "channels": everything()})
		c.subscribe("presence.p")
		body := func(channel string, more claims) string {
			all := claims{"scope": "umd", "uid": "u", "umd": 5}
			for k, v := range more {
				all[k] = v
			}
			return fmt.Sprintf(`{"token":%q,"channel":%s}`, token(t, all), channel)
		}
		w := c.post("/connection/umdUpdate", body(`"presence.p"`, claims{"channels": mayUpdate()}))
		if w.Code != http.StatusOK || w.Body.String() != `{}` {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		c.expect(`{"event":"hotsock.memberUpdated","channel":"presence.p","data":{"member":{"uid":"u","umd":5},"members":[{"uid":"u","umd":5}]}}`)
		if w = c.post("/connection/umdUpdate", body("null", claims{"umdUpdate": true, "umd": 6, "umdPropagate": true})); w.Code != http.StatusOK {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		c.expect(`{"event":"hotsock.memberUpdated","channel":"presence.p","data":{"member":{"uid":"u","umd":6},"members":[{"uid":"u","umd":6}]}}`)
		for bad, code := range map[string]string{
			`{"token":5}`: "INVALID_MESSAGE", `{"channel":"presence.p"}`: "TOKEN_MISSING", `[]`: "INVALID_MESSAGE",
			body(`"x"`, claims{"channels": mayUpdate()}): "NOT_SUBSCRIBED", body(`"presence.p"`, nil): "UMD_UPDATE_PERMISSION_DENIED", body("null", nil): "UMD_UPDATE_PERMISSION_DENIED",
		} {
			if w := c.post("/connection/umdUpdate", bad); w.Code < 400 || !strings.Contains(w.Body.String(), `"code":"`+code+`"`) {
				t.Errorf("%.30s: got %d %s, want %s", bad, w.Code, w.Body, code)
			}
		}
		c.silent()
	})
}
