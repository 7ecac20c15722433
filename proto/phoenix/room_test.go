package phoenix_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/proto/phoenix"
)

// flood pushes n times to a topic, and returns how many pushes were heard, and how
// many refused with an answer.
func (st *stage) flood(who, topic, refusal string, n int) (heard, refused int) {
	st.t.Helper()
	st.play(who + `@ /socket/websocket?vsn=2.0.0`)
	st.play(fmt.Sprintf(`%s> ["1","1",%q,"phx_join",{}]`, who, topic))
	st.play(fmt.Sprintf(`%s< ["1","1",%q,"phx_reply",{"status":"ok","response":{}}]`, who, topic))
	for i := range n {
		st.send(who, fmt.Sprintf(`["1","p%d",%q,"e",{}]`, i, topic))
	}
	for heard+refused < n && !st.t.Failed() {
		_, b, err := st.conns[who].Read(within(st.t))
		switch got := string(b); {
		case err != nil:
			st.t.Fatal(err)
		case strings.Contains(got, `"e",{}]`):
			heard++
		case strings.Contains(got, refusal):
			refused++
		default:
			st.t.Errorf("got %s", got)
		}
	}
	return heard, refused
}

// TestRoomRate is A.7.2: ten messages in a second, but where the app has a limit
// of its own.
func TestRoomRate(t *testing.T) {
	const n = 300
	st := newStageOf(t, []*earshot.App{{Slug: "a"}, {Slug: "b", Limits: earshot.Limits{ClientRate: 1e6}}})
	heard, refused := st.flood("ann", "public:a", `{"status":"error","response":{"reason":"rate limited"}}`, n)
	if heard < 10 || refused == 0 {
		t.Errorf("%d of %d pushes were heard, and %d refused", heard, n, refused)
	}
	if heard, refused := st.flood("bob", "public:b", "nothing", n); heard != n {
		t.Errorf("with a limit of the app's own %d of %d pushes were heard, and %d refused", heard, n, refused)
	}
}

// TestOpenPublic is the setting of that name (A.7.1).
func TestOpenPublic(t *testing.T) {
	st := newStageWith(t, tenants(), phoenix.Config{Channels: 10, OpenPublic: true})
	for _, who := range []string{"ann", "bob"} {
		st.play(who + `@ /socket/websocket?vsn=2.0.0`)
		st.play(who + `> ["1","1","public:nobody:x","phx_join",{}]`)
		st.play(who + `< ["1","1","public:nobody:x","phx_reply",{"status":"ok","response":{}}]`)
	}
	st.play(`ann> ["1","2","public:nobody:x","hello",{"a":1}]`)
	st.play(`ann< [null,null,"public:nobody:x","hello",{"a":1}]`)
	st.play(`bob< [null,null,"public:nobody:x","hello",{"a":1}]`)
	st.play(`ann> ["3","3","private:nobody","phx_join",{}]`)
	st.play(`ann< ["3","3","private:nobody","phx_reply",{"status":"error","response":"authentication_required"}]`)
}

// TestAppsLimits are an app's own limits in this protocol's words.
func TestAppsLimits(t *testing.T) {
	st := newStageOf(t, []*earshot.App{{Slug: "a", Limits: earshot.Limits{Channels: 1, MessageBytes: 10, ClientRate: 0.1}}})
	st.play(`@ /socket/websocket?vsn=2.0.0`)
	st.play(`> ["1","1","public:a","phx_join",{}]`)
	st.play(`< ["1","1","public:a","phx_reply",{"status":"ok","response":{}}]`)
	st.play(`> ["2","2","public:a:b","phx_join",{}]`)
	st.play(`< ["2","2","public:a:b","phx_reply",{"status":"error","response":{"reason":"too many channels joined"}}]`)
	st.play(`> ["1","3","public:a","e",1]`)
	st.play(`< [null,null,"public:a","e",1]`)
	st.play(`> ["1","4","public:a","e",2]`)
	st.play(`< ["1","4","public:a","phx_reply",{"status":"error","response":{"reason":"rate limited"}}]`)
	st.play(`> ["1","5","public:a","e","more than ten bytes"]`)
	_, b, err := st.conns[""].Read(within(t))
	if err != nil || !strings.Contains(string(b), `"status":"error"`) {
		t.Errorf("too large: %s, %v", b, err)
	}
}
