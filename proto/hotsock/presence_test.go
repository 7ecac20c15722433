package hotsock_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// R6: each notice has the full list of who is there, and the member that it is
// about; who joins hears of itself by the confirmation alone (spec §2.6).
func TestR6NoticesHaveAllMembers(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		ann := s.connect(claims{"uid": "ann", "umd": claims{"n": 1}, "channels": everything()})
		bob := s.connect(claims{"uid": "bob", "channels": everything()})
		const p = `{"event":"hotsock.subscribe","channel":"presence.p"}`
		ann.send(p)
		ann.expect(`{"event":"hotsock.subscribed","channel":"presence.p","data":{"members":[{"uid":"ann","umd":{"n":1}}]},"meta":{"uid":"ann","umd":{"n":1}}}`)
		bob.send(p)
		bob.expect(`{"event":"hotsock.subscribed","channel":"presence.p","data":{"members":[{"uid":"ann","umd":{"n":1}},{"uid":"bob","umd":null}]},"meta":{"uid":"bob","umd":null}}`)
		ann.expect(`{"event":"hotsock.memberAdded","channel":"presence.p","data":{"member":{"uid":"bob","umd":null},"members":[{"uid":"ann","umd":{"n":1}},{"uid":"bob","umd":null}]}}`)
		bob.send(`{"event":"hotsock.unsubscribe","channel":"presence.p"}`)
		bob.expect(`{"event":"hotsock.unsubscribed","channel":"presence.p","data":{}}`)
		ann.expect(`{"event":"hotsock.memberRemoved","channel":"presence.p","data":{"member":{"uid":"bob","umd":null},"members":[{"uid":"ann","umd":{"n":1}}]}}`)
		bob.silent()
	})
}

// TestPresenceIsByUser: a second connection of a user adds nobody, and the last
// one to end removes it; another umd updates the member.
func TestPresenceIsByUser(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		ann := s.connect(claims{"uid": "ann", "channels": everything()})
		ann.subscribe("presence.p")
		first := s.connect(claims{"uid": "bob", "umd": 1, "channels": everything()})
		first.subscribe("presence.p")
		ann.next()
		second := s.connect(claims{"uid": "bob", "umd": 1, "channels": everything()})
		second.subscribe("presence.p")
		ann.silent()
		first.silent()
		third := s.connect(claims{"uid": "bob", "umd": 2, "channels": everything()})
		third.send(`{"event":"hotsock.subscribe","channel":"presence.p"}`)
		third.expect(`{"event":"hotsock.subscribed","channel":"presence.p","data":{"members":[{"uid":"ann","umd":null},{"uid":"bob","umd":2}]},"meta":{"uid":"bob","umd":2}}`)
		told := `{"event":"hotsock.memberUpdated","channel":"presence.p","data":{"member":{"uid":"bob","umd":2},"members":[{"uid":"ann","umd":null},{"uid":"bob","umd":2}]}}`
		ann.expect(told)
		first.expect(told)
		first.leave()
		second.leave()
		ann.silent()
		third.leave()
		ann.expect(`{"event":"hotsock.memberRemoved","channel":"presence.p","data":{"member":{"uid":"bob","umd":2},"members":[{"uid":"ann","umd":null}]}}`)
	})
}

// TestPresenceAutoSubscribedAndResumed: the list comes with every confirmation.
func TestPresenceAutoSubscribedAndResumed(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		ann := s.connect(claims{"uid": "ann", "channels": claims{"presence.p": claims{"autoSubscribe": true}}})
		ann.expect(`{"event":"hotsock.subscribed","channel":"presence.p","data":{"autoSubscribed":true,"members":[{"uid":"ann","umd":null}]},"meta":{"uid":"ann","umd":null}}`)
		bob := s.connect(claims{"uid": "bob", "channels": everything()})
		bob.send(`{"event":"hotsock.subscribe","channel":"presence.p","data":{"after":"0"}}`)
		bob.expect(`{"event":"hotsock.subscribed","channel":"presence.p","data":{"recovered":true,"members":[{"uid":"ann","umd":null},{"uid":"bob","umd":null}]},"meta":{"uid":"bob","umd":null}}`)
		bob.silent() // notices are never history
		nobody := s.connect(claims{"channels": claims{"presence.p": claims{"autoSubscribe": true}}})
		wantError(t, nobody.next(), "PRESENCE_CHANNEL_USER_ID_REQUIRED", "presence.p")
		empty := s.connect(claims{"uid": "", "channels": everything()})
		empty.send(`{"event":"hotsock.subscribe","channel":"presence.p"}`)
		wantError(t, empty.next(), "PRESENCE_CHANNEL_USER_ID_REQUIRED", "presence.p")
	})
}

// TestPresenceOfASubscribeToken: the member is who the subscription acts as.
func TestPresenceOfASubscribeToken(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"umd": 1})
		asked := token(t, claims{"scope": "subscribe", "connectionId": c.greeting.Data.ConnectionID, "uid": "guest", "umd": 2, "channels": claims{"presence.p": claims{"subscribe": true}}})
		c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"presence.p","data":{"token":%q}}`, asked))
		c.expect(`{"event":"hotsock.subscribed","channel":"presence.p","data":{"members":[{"uid":"guest","umd":2}]},"meta":{"uid":"guest","umd":2}}`)
	})
}

// TestPresenceSingleUse: who shows a used token is not seen, not for a moment.
func TestPresenceSingleUse(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		watcher := s.connect(claims{"uid": "w", "channels": everything()})
		watcher.subscribe("presence.p")
		once := token(t, claims{"scope": "subscribe", "uid": "u", "singleUse": true, "jti": "j", "channels": claims{"presence.p": claims{"subscribe": true}}})
		ask := fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"presence.p","data":{"token":%q}}`, once)
		refused := s.connect(claims{"uid": "u"}) // what is not permitted does not use it up
		refused.send(strings.Replace(ask, "presence.p", "presence.q", 1))
		wantError(t, refused.next(), "SUBSCRIBE_PERMISSION_DENIED", "presence.q")
		for i := range 2 {
			c := s.connect(claims{"uid": "u"})
			c.send(ask)
			if i == 0 {
				c.next()
				c.leave()
				watcher.comesIn(
					`{"event":"hotsock.memberAdded","channel":"presence.p","data":{"member":{"uid":"u","umd":null},"members":[{"uid":"w","umd":null},{"uid":"u","umd":null}]}}`,
					`{"event":"hotsock.memberRemoved","channel":"presence.p","data":{"member":{"uid":"u","umd":null},"members":[{"uid":"w","umd":null}]}}`,
				)
				continue
			}
			wantError(t, c.next(), "INVALID_SUBSCRIBE_TOKEN", "presence.p")
			watcher.silent()
		}
	})
}

// TestPresenceOfARefresh: a newer token's metadata is told, and who may not be
// there any more is not.
func TestPresenceOfARefresh(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		watcher := s.connect(claims{"uid": "w", "channels": everything()})
		watcher.subscribe("presence.p")
		c := s.connect(claims{"uid": "u", "channels": everything()})
		c.subscribe("presence.p")
		watcher.next()
		c.send(refresh(t, claims{"scope": "connect", "uid": "u", "umd": 2, "channels": everything()}))
		told := `{"event":"hotsock.memberUpdated","channel":"presence.p","data":{"member":{"uid":"u","umd":2},"members":[{"uid":"w","umd":null},{"uid":"u","umd":2}]}}`
		watcher.expect(told)
		c.send(refresh(t, claims{"scope": "connect", "uid": "u"}))
		watcher.expect(`{"event":"hotsock.memberRemoved","channel":"presence.p","data":{"member":{"uid":"u","umd":2},"members":[{"uid":"w","umd":null}]}}`)
	})
}

// TestPresenceIsBounded: all members together have 100 KiB at the most.
func TestPresenceIsBounded(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		big := strings.Repeat("x", 1000)
		var full *client
		for i := range 110 {
			c := s.connect(claims{"uid": fmt.Sprint("user ", i), "umd": big, "channels": everything()})
			c.send(`{"event":"hotsock.subscribe","channel":"presence.p"}`)
			answer := c.next()
			if strings.HasPrefix(answer, `{"event":"hotsock.subscribed"`) {
				continue
			}
			wantError(t, answer, "PRESENCE_CHANNEL_CAPACITY_REACHED", "presence.p")
			full = c
			break
		}
		if full == nil {
			t.Fatal("110 KB of members were taken")
		}
		full.subscribe("presence.q") // another one has room
		full.send(`{"event":"hotsock.unsubscribe","channel":"presence.p"}`)
		wantError(t, full.next(), "NOT_SUBSCRIBED", "presence.p")
	})
}

// TestPresenceOverNodes: members of another node are there, and those of one
// that dies are gone ten seconds later.
func TestPresenceOverNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newNode(t, store, hotsock.DefaultConfig()), newNode(t, store, hotsock.DefaultConfig())
		time.Sleep(time.Second)
		ann := one.connect(claims{"uid": "ann", "channels": everything()})
		ann.subscribe("presence.p")
		bob := two.connect(claims{"uid": "bob", "channels": everything()})
		time.Sleep(time.Second)
		bob.send(`{"event":"hotsock.subscribe","channel":"presence.p"}`)
		time.Sleep(time.Second)
		bob.expect(`{"event":"hotsock.subscribed","channel":"presence.p","data":{"members":[{"uid":"ann","umd":null},{"uid":"bob","umd":null}]},"meta":{"uid":"bob","umd":null}}`)
		ann.expect(`{"event":"hotsock.memberAdded","channel":"presence.p","data":{"member":{"uid":"bob","umd":null},"members":[{"uid":"ann","umd":null},{"uid":"bob","umd":null}]}}`)
		two.engine.Cut()
		time.Sleep(10 * time.Second)
		ann.expect(`{"event":"hotsock.memberRemoved","channel":"presence.p","data":{"member":{"uid":"bob","umd":null},"members":[{"uid":"ann","umd":null}]}}`)
		two.engine.Restore()
		ann.silent()
	})
}

// meta is what the confirmation of a subscription says.
func confirmedMeta(t testing.TB, frame string) map[string]any {
	t.Helper()
	var m struct{ Meta map[string]any }
	if err := json.Unmarshal([]byte(frame), &m); err != nil {
		t.Fatal(err)
	}
	return m.Meta
}
