package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
)

// TestJoinByAnswer: $connect and messages have connections join channels, and leave
// them, before the client is told and with all that is published from then on.
func TestJoinByAnswer(t *testing.T) {
	n := serve(t)
	n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
		a := &core.Answer{Status: 200, Body: e.Body}
		switch {
		case e.Type == core.Connect:
			a.Join = []string{"live.all", "logged"}
		case strings.Contains(string(e.Body), "join"):
			a.Join, a.Envelope = []string{"live.room"}, true
		case strings.Contains(string(e.Body), "leave"):
			a.Leave = []string{"live.room", "live.all", "never joined"}
		}
		return a, nil
	})
	c := n.dial("/prod")
	n.publish("live.all", "one")
	c.hears("one")
	n.publish("logged", "two")
	c.hears("two")
	n.publish("live.room", "unheard")
	c.say(`{"action":"echo","x":"join"}`)
	c.hears(`{"action":"echo","x":"join"}`)
	n.publishMessage(&earshot.Message{Channel: "live.room", Event: "e", Kind: earshot.JSON, Data: []byte(`{ "n": 1.0 }`)})
	c.hears(`{"channel":"live.room","event":"e","data":{ "n": 1.0 }}`)
	c.say(`{"action":"echo","x":"leave"}`)
	c.hears(`{"action":"echo","x":"leave"}`)
	n.publish("live.room", "unheard")
	n.publish("live.all", "unheard")
	n.publish("logged", "three")
	c.hears("three")
}

// TestJoinFails: what cannot be joined is a failure of the message, or ends a
// connection that has just begun.
func TestJoinFails(t *testing.T) {
	n := serve(t)
	c := n.dial("/prod")
	n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
		if e.Type == core.Disconnect {
			return nil, nil
		}
		return &core.Answer{Status: 200, Join: []string{""}}, nil
	})
	c.say(`{"action":"echo"}`)
	if _, got, err := c.next(); err != nil || !strings.HasPrefix(got, `{"message": "Internal server error"`) {
		t.Errorf("heard %q %v", got, err)
	}
	c = n.dial("/prod")
	c.ends(1008, "Policy violation")
}

// TestRendering: what a member hears of each kind of message, alone and in the
// envelope.
func TestRendering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		plain, wrapped := n.connect("/prod"), n.connect("/prod")
		for w, query := range map[*wire]string{plain: "", wrapped: "?envelope=true"} {
			path := "/prod/@connections/" + w.conn.ID().String() + "/@channels/live%2Fc%22%C3%BC" + query
			for range 2 { // a second time changes nothing
				if status, _, body := n.in(call{method: "PUT", path: path}); status != 204 {
					t.Fatalf("a join was answered %d %s", status, body)
				}
			}
		}
		const channel = `live/c"ü`
		for _, test := range []struct {
			m              earshot.Message
			alone, envelop string
		}{
			{earshot.Message{Kind: earshot.Text, Data: []byte("a \"text\"")}, `a "text"`, `"data":"a \"text\""`},
			{earshot.Message{Event: `e"`, Kind: earshot.Text}, ``, `"event":"e\"","data":""`},
			{earshot.Message{Event: "e", Kind: earshot.JSON, Data: []byte(`{"a":1,"a":2}`)}, `{"a":1,"a":2}`, `"event":"e","data":{"a":1,"a":2}`},
			{earshot.Message{Kind: earshot.JSON}, `null`, `"data":null`},
			{earshot.Message{Kind: earshot.Binary, Data: []byte{0, 255}}, "\x00\xff", `"data":"AP8=","isBase64Encoded":true`},
		} {
			m := test.m
			m.Channel = channel
			n.publishMessage(&m)
			plain.hears(test.alone)
			wrapped.hears(`{"channel":"live/c\"ü",` + test.envelop + `}`)
		}
		// The other form takes the place of the first.
		path := "/prod/@connections/" + plain.conn.ID().String() + "/@channels/live%2Fc%22%C3%BC"
		n.in(call{method: "PUT", path: path + "?envelope=true"})
		n.publish(channel, "x")
		plain.hears(`{"channel":"live/c\"ü","data":"x"}`)
		wrapped.hears(`{"channel":"live/c\"ü","data":"x"}`)
		if status, _, _ := n.in(call{method: "DELETE", path: path}); status != 204 {
			t.Errorf("leaving was answered %d", status)
		}
		n.publish(channel, "y")
		wrapped.hears(`{"channel":"live/c\"ü","data":"y"}`)
		n.in(call{method: "POST", path: "/prod/@connections/" + plain.conn.ID().String(), body: []byte("nothing before")})
		plain.hears("nothing before")
	})
}

// TestPublishToChannel: one request reaches all members, of other nodes too, with
// its event; the body's kind is what it says, or what it is.
func TestPublishToChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		n, other := bare(t, store, newBackend()), bare(t, store, newBackend())
		var all []*wire
		for _, on := range []*node{n, n, other} {
			w := on.connect("/prod")
			on.in(call{method: "PUT", path: "/prod/@connections/" + w.conn.ID().String() + "/@channels/news?envelope=true"})
			all = append(all, w)
		}
		for _, test := range []struct{ body, contentType, frame, data string }{
			{`{"a":1}`, "", "", `{"a":1}`},
			{`{"a":1}`, "application/octet-stream", "", `{"a":1}`},
			{`{"a":1}`, "text/plain; charset=utf-8", "", `"{\"a\":1}"`},
			{`{"a":1}`, "", "text", `"{\"a\":1}"`},
			{`{"a":1}`, "", "binary", `"eyJhIjoxfQ==","isBase64Encoded":true`},
			{`5`, "application/json", "", `5`},
			{`hello`, "binary/octet-stream", "", `"hello"`},
			{"\xff", "", "", `"/w==","isBase64Encoded":true`},
			{"", "", "", `""`},
		} {
			h := http.Header{}
			if test.contentType != "" {
				h.Set("Content-Type", test.contentType)
			}
			if test.frame != "" {
				h.Set("X-Frame-Type", test.frame)
			}
			if status, _, body := n.in(call{method: "POST", path: "/prod/@channels/news?event=e", body: []byte(test.body), header: h}); status != 200 || body != "" {
				t.Fatalf("answered %d %s", status, body)
			}
			for _, w := range all {
				w.hears(`{"channel":"news","event":"e","data":` + test.data + `}`)
			}
		}
		for range 2 { // attempts of one call
			n.in(call{method: "POST", path: "/prod/@channels/news", body: []byte("1"), header: http.Header{"Amz-Sdk-Invocation-Id": {"x"}}})
		}
		n.in(call{method: "POST", path: "/prod/@channels/news", body: []byte("2")})
		for _, w := range all {
			w.hears(`{"channel":"news","data":1}`)
			w.hears(`{"channel":"news","data":2}`)
		}
		for path, want := range map[string]int{
			"/prod/@channels/" + strings.Repeat("a.", 40): 400, "/prod/@channels": 403, "/prod/@channels/news?event=%ff": 400,
		} {
			if status, _, body := n.in(call{method: "POST", path: path, body: []byte("1")}); status != want {
				t.Errorf("%s was answered %d %s", path, status, body)
			}
		}
		if status, _, _ := n.in(call{method: "POST", path: "/prod/@channels/news", body: []byte("{"), header: http.Header{"Content-Type": {"application/json"}}}); status != 400 {
			t.Errorf("what is no JSON was answered %d", status)
		}
		if status, _, _ := n.in(call{method: "POST", path: "/prod/@channels/news", body: make([]byte, 33<<10)}); status != 413 {
			t.Errorf("too large a message was answered %d", status)
		}
		if status, _, _ := n.in(call{method: "POST", path: "/prod/@channels/news", key: "none"}); status != 403 {
			t.Errorf("who does not sign was answered %d", status)
		}
	})
}

// TestOwnAppOnly: a channel is the connection's own app's, whatever a function says,
// and whoever asks.
func TestOwnAppOnly(t *testing.T) {
	other := app(api(func(g *earshot.Gateway) { g.ID = "def456" }))
	other.Slug, other.AccessKeys = "other", []earshot.AccessKey{{ID: "AKOTHER", Secret: "s"}}
	synctest.Test(t, func(t *testing.T) {
		n := bare(t, newStore(), newBackend(), app(api()), other)
		w := n.connect("/prod")
		at := "/@connections/" + w.conn.ID().String() + "/@channels/live.news"
		for _, test := range []call{
			{method: "PUT", path: "/prod" + at, key: "AKOTHER", secret: "s"},
			{method: "PUT", path: "/other/prod" + at, key: "AKOTHER", secret: "s"},
			{method: "PUT", path: "/other/prod" + at},
		} {
			if status, _, _ := n.in(test); status != 403 && status != 410 {
				t.Errorf("%s with %s was answered %d", test.path, test.key, status)
			}
		}
		if len(w.conn.Subs()) != 0 {
			t.Fatal("the connection has joined")
		}
		n.in(call{method: "PUT", path: "/prod" + at})
		if status, _, _ := n.in(call{method: "POST", path: "/other/prod/@channels/live.news", body: []byte("theirs"), key: "AKOTHER", secret: "s"}); status != 200 {
			t.Errorf("a publish was answered %d", status)
		}
		n.publish("live.news", "ours")
		w.hears("ours")
	})
}
