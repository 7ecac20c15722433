package phoenix

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func bin(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors are the binary frames of B.3.3, byte for byte.
func TestVectors(t *testing.T) {
	f, err := v2.parse(hub.Input{Op: hub.Binary, Data: bin(t, "00010106063335726f6f6d3a3175706c6f6164010203")})
	if err != nil || f.join != `"3"` || f.ref != `"5"` || f.topic != "room:1" || f.event != "upload" || string(f.payload) != "\x01\x02\x03" || !f.binary {
		t.Errorf("the push is %+v, %v", f, err)
	}
	data := []byte{1, 2, 3}
	for want, got := range map[string]*hub.Frame{
		"0001060433726f6f6d3a3164617461010203":                   pack(binaryPush, data, "3", "room:1", "data"),
		"01010106023335726f6f6d3a316f6b010203":                   pack(binaryReply, data, "3", "5", "room:1", "ok"),
		"020604726f6f6d3a3164617461010203":                       v2.render(&earshot.Message{Channel: "room:1", Event: "data", Kind: earshot.Binary, Data: data}),
		"02" + "0604" + hex.EncodeToString([]byte("room:1data")): v2.render(&earshot.Message{Channel: "room:1", Event: "data", Kind: earshot.Binary}),
	} {
		if got == nil || got.Op != hub.Binary || hex.EncodeToString(got.Body) != want {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
	long := strings.Repeat("ä", 128) // 256 bytes, and never cut
	if got := v2.render(&earshot.Message{Channel: long, Event: "e", Kind: earshot.Binary}); got != nil {
		t.Errorf("a topic that is too long became %x", got.Body)
	}
	if got := v1.render(&earshot.Message{Channel: "c", Event: "e", Kind: earshot.Binary}); got != nil {
		t.Errorf("binary became %q in V1", got.Body)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		v    version
		in   string
		want frame
	}{
		{v2, `["3","3","public:foo-app","phx_join",{"a":1}]`, frame{join: `"3"`, ref: `"3"`, topic: "public:foo-app", event: "phx_join", payload: []byte(`{"a":1}`)}},
		{v2, ` [null,"4","phoenix","heartbeat",{}] `, frame{ref: `"4"`, topic: "phoenix", event: "heartbeat", payload: []byte(`{}`)}},
		{v2, `[3,4.5,"a \"b\" #ü","\u0065",null,"more",{"x":[]}]`, frame{join: "3", ref: "4.5", topic: `a "b" #ü`, event: "e", payload: []byte(`null`)}},
		{v1, `{"topic":"public:foo-app","event":"phx_join","payload":{},"ref":"1"}`, frame{ref: `"1"`, topic: "public:foo-app", event: "phx_join", payload: []byte(`{}`)}},
		{v1, `{"join_ref":"7","x":1,"ref":null,"payload":[1],"event":"e","topic":"t"}`, frame{join: `"7"`, topic: "t", event: "e", payload: []byte(`[1]`)}},
	} {
		got, err := c.v.parse(hub.Input{Data: []byte(c.in)})
		if err != nil || got.join != c.want.join || got.ref != c.want.ref || got.topic != c.want.topic || got.event != c.want.event || string(got.payload) != string(c.want.payload) {
			t.Errorf("%s: got %+v, %v", c.in, got, err)
		}
	}
}

// TestMalformed is B.3.4: what a frame that cannot be read closes the connection with.
func TestMalformed(t *testing.T) {
	p := &Protocol{}
	for _, c := range []struct {
		v    version
		op   hub.Op
		in   string
		code int
	}{
		{v2, hub.Text, `["1","1","t","e",{}`, 1007},
		{v2, hub.Text, `["1","1","t","e",{}] x`, 1007},
		{v2, hub.Text, "[\"1\",\"1\",\"\xff\",\"e\",{}]", 1007},
		{v2, hub.Text, `["1","1","t","e",{"a":1,"a":2}]`, 1007},
		{v2, hub.Text, `{"topic":"t","event":"e","payload":{},"ref":"1"}`, 1007},
		{v2, hub.Text, ``, 1007},
		{v2, hub.Text, `["1","1","t","e"]`, 1008},
		{v2, hub.Text, `["1","1",7,"e",{}]`, 1008},
		{v2, hub.Text, `["1","1","t",null,{}]`, 1008},
		{v2, hub.Text, `[{},"1","t","e",{}]`, 1008},
		{v2, hub.Text, `["1","` + strings.Repeat("1", 256) + `","t","e",{}]`, 1008},
		{v2, hub.Binary, "\x00\x01\x01\x06\x06", 1007},
		{v2, hub.Binary, "\x01\x01\x01\x01\x01abcd", 1007},
		{v2, hub.Binary, "\x00\x01\x01\x01\x01ab\xffd", 1007},
		{v2, hub.Binary, "", 1007},
		{v1, hub.Binary, "\x00\x01\x01\x01\x01abcd", 1003},
		{v1, hub.Text, `["1","1","t","e",{}]`, 1007},
		{v1, hub.Text, `{"topic":"t","event":"e","payload":{}}`, 1008},
		{v1, hub.Text, `{"topic":"t","event":"e","ref":"1"}`, 1008},
		{v1, hub.Text, `{"topic":"t","payload":{},"ref":"1"}`, 1008},
		{v1, hub.Text, `{"event":"e","payload":{},"ref":"1"}`, 1008},
		{v1, hub.Text, `{"topic":"t","topic":"u","event":"e","payload":{},"ref":"1"}`, 1007},
	} {
		_, err := c.v.parse(hub.Input{Op: c.op, Data: []byte(c.in)})
		if err == nil {
			t.Errorf("%q is taken", c.in)
			continue
		}
		if last, code, _ := p.Farewell(err); code != c.code || last != nil {
			t.Errorf("%q closes with %d, not %d", c.in, code, c.code)
		}
	}
}

// TestServerFrames are the kinds of B.3.1 and B.3.2.
func TestServerFrames(t *testing.T) {
	for _, c := range []struct {
		got  *hub.Frame
		want string
	}{
		{v1.reply(`"1"`, `"1"`, "public:foo-app", "ok", []byte(`{}`)), `{"topic":"public:foo-app","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}`},
		{v1.render(&earshot.Message{Channel: "public:foo-app", Event: "msg", Data: []byte(`{"a":1}`)}), `{"topic":"public:foo-app","event":"msg","payload":{"a":1},"ref":null}`},
		{v1.closed(`"1"`, "t"), `{"topic":"t","event":"phx_close","payload":{},"ref":"1"}`},
		{v2.reply(`"1"`, `7`, "t", "error", []byte(`"no"`)), `["1",7,"t","phx_reply",{"status":"error","response":"no"}]`},
		{v2.text(`"1"`, "", "t", "e", []byte(`[]`)), `["1",null,"t","e",[]]`},
		{v2.render(&earshot.Message{Channel: "t", Event: "e", Data: []byte(`{"a":1}`)}), `[null,null,"t","e",{"a":1}]`},
		{v2.closed(`"1"`, "t"), `["1","1","t","phx_close",{}]`},
		{v2.failed(`"1"`, "t", "channel_crash"), `["1","1","t","phx_error",{"reason":"channel_crash"}]`},
	} {
		if string(c.got.Body) != c.want || c.got.Op != hub.Text {
			t.Errorf("got %s, want %s", c.got.Body, c.want)
		}
	}
}

// TestNaming is what a message of any protocol is heard as, and what a push makes.
func TestNaming(t *testing.T) {
	server := func(event string, kind earshot.Kind, data string) *earshot.Message {
		return &earshot.Message{Channel: "a:b", Event: event, Kind: kind, Data: []byte(data)}
	}
	client := func(event string) *earshot.Message {
		m := server(event, earshot.JSON, "1")
		m.Sender = &earshot.Sender{}
		return m
	}
	for _, c := range []struct {
		m    *earshot.Message
		want string // empty: not delivered
	}{
		{server("e", earshot.JSON, `{"a":[1,null]}`), `[null,null,"a:b","e",{"a":[1,null]}]`},
		{server("public:room:msg", earshot.JSON, `"x"`), `[null,null,"a:b","public:room:msg","x"]`},
		{server("", earshot.JSON, ``), `[null,null,"a:b","message",{}]`},
		{server("e", earshot.JSON, `null`), `[null,null,"a:b","e",{}]`},
		{server("e", earshot.Text, "a \"b\"\n"), `[null,null,"a:b","e","a \"b\"\n"]`},
		{server("phx_close", earshot.JSON, `{}`), ``},
		{server("presence_diff", earshot.JSON, `{}`), `[null,null,"a:b","presence_diff",{}]`},
		{client("presence_diff"), ``},
		{client("presence_state"), ``},
		{client("e"), `[null,null,"a:b","e",1]`},
	} {
		got := ""
		if f := v2.render(c.m); f != nil {
			got = string(f.Body)
		}
		if got != c.want {
			t.Errorf("%+v is heard as %s, not %s", c.m, got, c.want)
		}
	}
	m := messageOf(&frame{topic: "a:b", event: "e", payload: []byte("\xff"), binary: true})
	if m.Channel != "a:b" || m.Event != "e" || m.Kind != earshot.Binary || string(m.Data) != "\xff" {
		t.Errorf("a binary push is %+v", m)
	}
	for topic, want := range map[string]string{"public:app": "app", "public:app:rest:more": "app", "lobby": "", "a:": "", "": "", "a::b": ""} {
		if got := slugOf(topic); got != want {
			t.Errorf("the second part of %q is %q", topic, got)
		}
	}
}

// TestPresenceFrames is B.7.
func TestPresenceFrames(t *testing.T) {
	now := hub.Member{UID: "ann", Seat: "s", Meta: []byte(`{"name":"Ann","phx_ref":"mine","phx_ref_prev":"mine"}`)}
	was := hub.Member{UID: "ann", Seat: "s", Meta: []byte("7")}
	ann := `{"ann":{"metas":[{"phx_ref":"` + phxRef(&now) + `","name":"Ann"}]}}`
	newer := `{"ann":{"metas":[{"phx_ref":"` + phxRef(&now) + `","phx_ref_prev":"` + phxRef(&was) + `","name":"Ann"}]}}`
	older := `{"ann":{"metas":[{"phx_ref":"` + phxRef(&was) + `","umd":7}]}}`
	data := []byte(`{"member":{"uid":"ann","umd":` + string(now.Meta) + `,"seat":"s"},"members":[]}`)
	for n, want := range map[earshot.Notice]string{
		earshot.MemberAdded:   `[null,null,"t","presence_diff",{"joins":` + ann + `,"leaves":{}}]`,
		earshot.MemberRemoved: `[null,null,"t","presence_diff",{"joins":{},"leaves":` + ann + `}]`,
		earshot.MemberUpdated: `[null,null,"t","presence_diff",{"joins":` + newer + `,"leaves":` + older + `}]`,
	} {
		m := &earshot.Message{Channel: "t", Notice: n, Data: data, Headers: map[string]string{hub.HeaderBefore: "7"}}
		if f := v2.render(m); f == nil || string(f.Body) != want {
			t.Errorf("notice %d: got %+v, want %s", n, f, want)
		}
	}
	if f := v2.render(&earshot.Message{Channel: "t", Notice: earshot.EntryChanged, Data: []byte("1")}); f != nil {
		t.Errorf("a change of an entry is told as %s", f.Body)
	}
	refs := map[string]bool{}
	for _, m := range []hub.Member{
		{UID: "ann"},
		{UID: "ann", Meta: []byte("1")},
		{UID: "a", Meta: []byte("b")},
		{UID: "ab"},
		{UID: "ann", Seat: "1"},
		{UID: "ann1"},
		{UID: "ann", Seat: "2"},
		{UID: "ann", Seat: "1", Meta: []byte("1")},
		{UID: "ann", Seat: "11"},
	} {
		if r := phxRef(&m); refs[r] {
			t.Errorf("%+v has the phx_ref of another meta", m)
		} else {
			refs[r] = true
		}
	}
	all := []hub.Member{{UID: "bob", Seat: "1"}, {UID: `__proto__"`}, {UID: "bob", Seat: "2"}}
	want := fmt.Sprintf(`{"bob":{"metas":[{"phx_ref":"%s"},{"phx_ref":"%s"}]},"__proto__\"":{"metas":[{"phx_ref":"%s"}]}}`, phxRef(&all[0]), phxRef(&all[2]), phxRef(&all[1]))
	if got := string(stateOf(all)); got != want {
		t.Errorf("the state is %s, not %s", got, want)
	}
	if got := string(stateOf(nil)); got != "{}" {
		t.Errorf("the state of nobody is %s", got)
	}
}

// TestFarewell gives every code a way to end, and never 1000 (B.8).
func TestFarewell(t *testing.T) {
	p := &Protocol{}
	want := map[earshot.Code]int{
		earshot.Shutdown: 1012, earshot.Kicked: 1001, earshot.Timeout: 1001, earshot.TooLarge: 1009, earshot.Internal: 1011,
		earshot.Limited: 1013, earshot.Unavailable: 1013, earshot.Full: 1013, earshot.Unknown: 1013,
	}
	for _, c := range earshot.Codes() {
		last, code, reason := p.Farewell(&earshot.Error{Code: c})
		if w := want[c]; last != nil || w == 0 && code != 1008 || w != 0 && code != w {
			t.Errorf("%v ends with %d %q", c, code, reason)
		}
	}
	if last, code, _ := p.Farewell(nil); last != nil || code != 1001 {
		t.Errorf("a regular end is %d", code)
	}
	if _, code, _ := p.Farewell(errors.New("a fault")); code != 1011 {
		t.Errorf("a fault ends with %d", code)
	}
}

// FuzzParse holds the parser to what a client can hear: what it takes can be
// answered, and is read again as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`["3","3","public:foo-app","phx_join",{"a":1}]`, `[null,"4","phoenix","heartbeat",{}]`, `[1,2,"t","e",null,3]`,
		`{"topic":"t","event":"e","payload":{},"ref":"1","join_ref":2}`, "\x00\x01\x01\x06\x0635room:1upload\x01\x02\x03",
	} {
		for mode := range byte(4) {
			f.Add(mode, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, mode byte, data []byte) {
		v, op := version(1+mode&1), hub.Op(mode>>1&1)
		got, err := v.parse(hub.Input{Op: op, Data: data})
		if err != nil {
			if earshot.CodeOf(err) != earshot.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		payload := got.payload
		if got.binary {
			payload = []byte("{}")
		}
		again, err := v.parse(hub.Input{Data: v.text(got.join, got.ref, got.topic, got.event, payload).Body})
		if err != nil || again.ref != got.ref || again.topic != got.topic || again.event != got.event || string(again.payload) != string(payload) {
			t.Fatalf("%+v is read again as %+v, %v", got, again, err)
		}
		if v == v2 && again.join != got.join {
			t.Fatalf("the join_ref %s is read again as %s", got.join, again.join)
		}
	})
}
