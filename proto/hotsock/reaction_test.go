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
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/proto/hotsock"
	"github.com/earshot-io/earshot/reaction"
)

// reacting are claims of a user who may react on the channel c, and hears his
// own if he likes.
func reacting(uid string, echo bool) claims {
	return claims{"uid": uid, "umd": claims{"of": uid}, "channels": claims{"c": claims{
		"subscribe": true, "alias": "nick", "messages": claims{
			"any*": claims{"react": true, "publish": true, "store": 60}, "thumb": claims{"react": []string{"👍"}},
			"hotsock.messageReaction": claims{"echo": echo},
		},
	}}}
}

func react(channel, id, value, action string) string {
	return fmt.Sprintf(`{"event":"hotsock.messageReaction","channel":%q,"data":{"messageId":%q,"reaction":%q,"action":%q}}`, channel, id, value, action)
}

func reactionTold(event, id, value, action, uid string) string {
	return fmt.Sprintf(`{"id":"$ID","event":"hotsock.messageReaction%s","channel":"c","data":{"messageId":%q,"reaction":%q,"action":%q},"meta":{"uid":%q,"umd":{"of":%q}}}`,
		event, id, value, action, uid, uid)
}

// TestReactions: added and removed, heard by subscribers, by the sender only with
// echo, over nodes and by an alias (spec §2.7).
func TestReactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newNode(t, store, hotsock.DefaultConfig()), newNode(t, store, hotsock.DefaultConfig())
		ann, bob, loud := one.connect(reacting("ann", false)), two.connect(reacting("bob", false)), two.connect(reacting("loud", true))
		all := []*client{ann, bob, loud}
		for _, c := range all {
			c.subscribe("c")
		}
		one.publish(stored("c", "any", `"hello"`))
		to := id(t, ann.next())
		bob.next()
		loud.next()
		ann.send(react("c", to, "👍", "add"), react("c", to, "👍", "add"))
		loud.send(react("nick", to, "👍", "add"))
		ann.send(react("c", to, "👍", "remove"), react("c", to, "never", "remove"))
		ann.expect(reactionTold("Added", to, "👍", "add", "loud"))
		for _, c := range []*client{bob, loud} {
			c.expect(reactionTold("Added", to, "👍", "add", "ann"), reactionTold("Added", to, "👍", "add", "loud"), reactionTold("Removed", to, "👍", "remove", "ann"))
		}
		for _, c := range all {
			c.silent()
		}
	})
}

// TestReactionsRefused: the client is told, and nobody else.
func TestReactionsRefused(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		bystander := s.connect(reacting("by", false))
		bystander.subscribe("c")
		s.publish(stored("c", "any", "1"))
		old := id(t, bystander.next())
		time.Sleep(time.Second)
		c := s.connect(reacting("ann", false))
		c.send(react("c", old, "x", "add"))
		wantError(t, c.next(), "NOT_SUBSCRIBED", "c")
		c.subscribe("c")
		s.publish(stored("c", "thumb", "1"))
		thumb := id(t, c.next())
		bystander.next()
		for _, q := range []struct{ sends, want string }{
			{react("c", thumb, "x", "add"), "REACTION_PERMISSION_DENIED"},
			{react("c", thumb, "x", "remove"), "REACTION_PERMISSION_DENIED"},
			{react("c", old, "x", "add"), "MESSAGE_NOT_FOUND"},
			{react("c", strings.Replace(thumb, "0", "1", 1), "👍", "add"), "MESSAGE_NOT_FOUND"},
			{react("c", "x", "👍", "add"), "INVALID_REACTION"},
			{react("c", thumb, "👍", "toggle"), "INVALID_REACTION"},
			{react("c", thumb, " ", "add"), "INVALID_REACTION"},
			{react("c", thumb, "#", "add"), "INVALID_REACTION"},
			{react("c", thumb, strings.Repeat("x", 101), "add"), "INVALID_REACTION"},
			{`{"event":"hotsock.messageReaction","channel":"c"}`, "INVALID_REACTION"},
			{`{"event":"hotsock.messageReaction","channel":"c","data":{"messageId":5,"reaction":"x","action":"add"}}`, "INVALID_REACTION"},
			{react("a b", thumb, "👍", "add"), "INVALID_CHANNEL_NAME"},
		} {
			c.send(q.sends)
			if got := c.next(); !strings.Contains(got, `"code":"`+q.want+`"`) {
				t.Errorf("%s: %s, want %s", q.sends, got, q.want)
			}
		}
		nobody := s.connect(claims{"channels": reacting("x", false)["channels"]})
		nobody.subscribe("c")
		nobody.send(react("c", thumb, "👍", "add"))
		wantError(t, nobody.next(), "REACTION_USER_ID_REQUIRED", "c")
		bystander.silent()
	})
}

// TestReactionsInHistory: counts, who reacted if asked for, and listReactions
// (spec §5).
func TestReactionsInHistory(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		ann, bob := s.connect(reacting("ann", false)), s.connect(reacting("bob", false))
		ann.subscribe("c")
		bob.subscribe("c")
		var ids []string
		for range 3 {
			s.publish(stored("c", "any", "1"))
			ids = append(ids, id(t, ann.next()))
		}
		ann.send(react("c", ids[0], "x", "add"), react("c", ids[0], `"`, "add"), react("c", ids[2], "x", "add"))
		if w := bob.post("/connection/publishMessage", react("c", ids[0], "x", "add")); w.Code != http.StatusAccepted || w.Body.String() != `{"channel":"c","event":"hotsock.messageReaction"}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		ann.send(react("c", ids[2], "x", "remove"))
		message := func(i int, reactions string) string {
			return fmt.Sprintf(`{"id":%q,"event":"any","channel":"c","data":1,"meta":{"uid":null,"umd":null}%s}`, ids[i], reactions)
		}
		ask := func(c *client, name, body string, status int, want string) {
			t.Helper()
			if w := c.post("/connection/"+name, body); w.Code != status || w.Body.String() != want && want != "" {
				t.Errorf("%s %s: %d %s, want %s", name, body, w.Code, w.Body, want)
			}
		}
		ask(ann, "listMessages", `{"channel":"c"}`, 200, `{"messages":[`+message(0, `,"reactions":{"x":{"count":2},"\"":{"count":1}}`)+`,`+message(1, "")+`,`+message(2, "")+`]}`)
		ask(ann, "listMessages", `{"channel":"c","reverse":true,"expandReactions":true}`, 200, `{"messages":[`+message(2, `,"reactions":{}`)+`,`+message(1, `,"reactions":{}`)+`,`+
			message(0, `,"reactions":{"x":{"count":2,"items":[{"uid":"ann","umd":{"of":"ann"}},{"uid":"bob","umd":{"of":"bob"}}]},"\"":{"count":1,"items":[{"uid":"ann","umd":{"of":"ann"}}]}}`)+`]}`)
		list := fmt.Sprintf(`{"channel":"c","messageId":%q}`, ids[0])
		ask(ann, "listReactions", list, 200, `{"reactions":[{"reaction":"x","uid":"ann","umd":{"of":"ann"}},{"reaction":"\"","uid":"ann","umd":{"of":"ann"}},{"reaction":"x","uid":"bob","umd":{"of":"bob"}}]}`)
		ask(ann, "listReactions", fmt.Sprintf(`{"channel":"c","messageId":%q}`, ids[2]), 200, `{"reactions":[]}`)
		ask(ann, "listReactions", `{"channel":"c","messageId":"x"}`, 400, "")
		ask(ann, "listReactions", `{"channel":"c"}`, 400, "")
		ask(s.connect(reacting("zoe", false)), "listReactions", list, 403, "")
		time.Sleep(time.Second)
		late := s.connect(reacting("late", false))
		late.subscribe("c")
		ask(late, "listReactions", list, 404, "") // older than the subscription
		time.Sleep(time.Hour)
		ask(ann, "listReactions", list, 404, "") // the message has expired
	})
}

// reacts lets the application's server react for a user.
type reacts struct{ s *server }

func (r reacts) React(ctx context.Context, a *earshot.App, c api.Reaction) error {
	_, err := r.s.reactions.Apply(ctx, a, reaction.Change{Channel: c.Channel, Message: c.MessageID, Value: c.Value, Remove: c.Remove, UID: c.UID})
	return err
}
