package hotsock_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// asks posts to an endpoint, and checks the answer.
func (c *client) asks(endpoint, body string, status int, want string) {
	c.t.Helper()
	w := c.post("/connection/"+endpoint, body)
	if w.Code != status || w.Body.String() != want {
		c.t.Errorf("%s %s: got %d %s, want %d %s", endpoint, body, w.Code, w.Body, status, want)
	}
}

func TestGetChannelInfo(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		info := claims{"getInfo": true}
		asker := s.connect(claims{"channels": claims{"c": claims{"getInfo": true, "alias": "room"}, "presence.*": info, "d": claims{"subscribe": true}}})
		asker.asks("getChannelInfo", `{"channel":"c"}`, http.StatusOK, `{"channel":"c","subscriptionsCount":0}`)
		asker.asks("getChannelInfo", `{"channel":"presence.p"}`, http.StatusOK, `{"channel":"presence.p","subscriptionsCount":0,"members":[]}`)
		for i, uid := range []string{"a", "b", "a"} {
			c := s.connect(claims{"uid": uid, "umd": i, "channels": everything()})
			c.subscribe("c")
			c.subscribe("presence.p")
		}
		asker.asks("getChannelInfo", `{"channel":"room"}`, http.StatusOK, `{"channel":"c","subscriptionsCount":3}`)
		asker.asks("getChannelInfo", `{"channel":"presence.p"}`, http.StatusOK, `{"channel":"presence.p","subscriptionsCount":3,"members":[{"uid":"a","umd":2},{"uid":"b","umd":1}]}`)
		asker.subscribe("d")
		denied := `{"error":{"code":"INFO_PERMISSION_DENIED","message":"asking for the state of this channel is not permitted"}}`
		asker.asks("getChannelInfo", `{"channel":"d"}`, http.StatusForbidden, denied)
		asker.asks("getChannelInfo", `{"channel":7}`, http.StatusBadRequest, `{"error":{"code":"INVALID_MESSAGE","message":"the member channel has the wrong type"}}`)
		asker.asks("getChannelInfo", `{}`, http.StatusBadRequest, `{"error":{"code":"INVALID_MESSAGE","message":"channel is missing"}}`)
		asker.asks("getChannelInfo", `{"channel":"a b"}`, http.StatusBadRequest, `{"error":{"code":"INVALID_CHANNEL_NAME","message":"a channel name has no *, #, comma or white space"}}`)
	})
}

// TestPermissionsOfASubscription: what a subscribe token added counts over HTTP
// too, as long as the subscription lasts (spec §5).
func TestPermissionsOfASubscription(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u"})
		more := token(t, claims{"scope": "subscribe", "uid": "u", "channels": claims{"c": claims{"subscribe": true, "getInfo": true, "messages": claims{"e": claims{"publish": true, "echo": true}}}}})
		c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, more))
		c.next()
		c.asks("getChannelInfo", `{"channel":"c"}`, http.StatusOK, `{"channel":"c","subscriptionsCount":1}`)
		c.asks("publishMessage", `{"channel":"c","event":"e"}`, http.StatusAccepted, `{"channel":"c","event":"e"}`)
		c.next()
		c.send(`{"event":"hotsock.unsubscribe","channel":"c"}`)
		c.next()
		c.asks("getChannelInfo", `{"channel":"c"}`, http.StatusForbidden, `{"error":{"code":"INFO_PERMISSION_DENIED","message":"asking for the state of this channel is not permitted"}}`)
		if w := c.post("/connection/publishMessage", `{"channel":"c","event":"e"}`); w.Code != http.StatusForbidden {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}

// TestOmitFromSubCount: such a subscription is not counted; a presence member it
// is all the same.
func TestOmitFromSubCount(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		asker := s.connect(claims{"channels": claims{"*": claims{"getInfo": true}}})
		c := s.connect(claims{"uid": "u", "channels": claims{"*": claims{"subscribe": true, "omitFromSubCount": true}}})
		c.subscribe("c")
		c.subscribe("presence.p")
		asker.asks("getChannelInfo", `{"channel":"c"}`, http.StatusOK, `{"channel":"c","subscriptionsCount":0}`)
		asker.asks("getChannelInfo", `{"channel":"presence.p"}`, http.StatusOK, `{"channel":"presence.p","subscriptionsCount":0,"members":[{"uid":"u","umd":null}]}`)
	})
}

// TestInfoOpenedByTheRule: what a channel's rule opens counts for everybody.
func TestInfoOpenedByTheRule(t *testing.T) {
	open := app()
	open.Rules = []earshot.Rule{{Channel: earshot.Glob("open*"), Open: earshot.Info}}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, hotsock.DefaultConfig(), open)
		c := s.connect(claims{"channels": claims{"open.not": claims{"getInfo": false}}})
		c.asks("getChannelInfo", `{"channel":"open"}`, http.StatusOK, `{"channel":"open","subscriptionsCount":0}`)
		if w := c.post("/connection/getChannelInfo", `{"channel":"open.not"}`); w.Code != http.StatusForbidden {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}
