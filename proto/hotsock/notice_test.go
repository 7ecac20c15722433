package hotsock

import (
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json/jsontext"
)

// TestNotices: what the server says of a channel, word for word (spec §2.4).
func TestNotices(t *testing.T) {
	id := earshot.NewID(time.UnixMilli(1), earshot.Position{Epoch: 1, Seq: 2})
	members := []byte(`{"member":{"uid":"d","umd":null},"members":[{"uid":"d","umd":null}]}`)
	reaction := []byte(`{"messageId":"x","reaction":"👍","action":"add"}`)
	ann := &earshot.Sender{UID: "ann", HasUID: true, Meta: []byte(`{"n":1}`)}
	for _, c := range []struct {
		m    earshot.Message
		want string
	}{
		{earshot.Message{Notice: earshot.MemberAdded, Channel: "presence.a\"b", Data: members}, `{"event":"hotsock.memberAdded","channel":"presence.a\"b","data":` + string(members) + `}`},
		{earshot.Message{Notice: earshot.MemberUpdated, Channel: "presence.a", Data: members}, `{"event":"hotsock.memberUpdated","channel":"presence.a","data":` + string(members) + `}`},
		{earshot.Message{Notice: earshot.MemberRemoved, Channel: "presence.a", Data: members}, `{"event":"hotsock.memberRemoved","channel":"presence.a","data":` + string(members) + `}`},
		{earshot.Message{Notice: earshot.EntryChanged, Channel: "c", Key: `k"`, Data: []byte(`{"a":1}`), Sender: ann}, `{"event":"hotsock.channelStorageUpdated","channel":"c","key":"k\"","data":{"a":1},"meta":{"uid":"ann","umd":{"n":1}}}`},
		{earshot.Message{Notice: earshot.EntryChanged, Channel: "c", Key: "k"}, `{"event":"hotsock.channelStorageUpdated","channel":"c","key":"k","data":null,"meta":{"uid":null,"umd":null}}`},
		{earshot.Message{ID: id, Notice: earshot.ReactionAdded, Channel: "c", Data: reaction, Sender: ann}, `{"id":"` + id.String() + `","event":"hotsock.messageReactionAdded","channel":"c","data":` + string(reaction) + `,"meta":{"uid":"ann","umd":{"n":1}}}`},
		{earshot.Message{ID: id, Notice: earshot.ReactionRemoved, Channel: "c", Data: reaction, Sender: ann}, `{"id":"` + id.String() + `","event":"hotsock.messageReactionRemoved","channel":"c","data":` + string(reaction) + `,"meta":{"uid":"ann","umd":{"n":1}}}`},
	} {
		f := render(&c.m)
		if f == nil || string(f.Body) != c.want || !jsontext.Value(f.Body).IsValid() {
			t.Errorf("%v is %v, want %s", c.m.Notice, f, c.want)
		}
	}
}

// TestEveryNoticeHasWords: a notice that is added later is not forgotten here.
func TestEveryNoticeHasWords(t *testing.T) {
	seen := map[string]bool{}
	for n := earshot.NoNotice + 1; n.Valid(); n++ {
		event := noticeEvent(n)
		if event == "" || seen[event] {
			t.Errorf("the notice %d is %q", n, event)
		}
		seen[event] = true
	}
	if render(&earshot.Message{Notice: ^earshot.Notice(0)}) != nil {
		t.Error("a notice of another version is rendered")
	}
}
