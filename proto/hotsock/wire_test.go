package hotsock

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

func text(s string) hub.Input { return hub.Input{Op: hub.Text, Data: []byte(s)} }

func TestParse(t *testing.T) {
	var p parser
	for _, c := range []struct {
		in   string
		want request
	}{
		{`{"event":"hotsock.subscribe","channel":"c"}`, request{event: "hotsock.subscribe", channel: "c"}},
		{`{"event":"hotsock.subscribe","channel":"c","data":{"token":"t"}}`, request{event: "hotsock.subscribe", channel: "c", data: []byte(`{"token":"t"}`)}},
		{`{"channel":"c","event":"e","data":[1, 2]}`, request{event: "e", channel: "c", data: []byte(`[1, 2]`)}},
		{` { "event" : "e" , "data" : "å" } ` + "\n", request{event: "e", data: []byte(`"å"`)}},
		{`{"event":"e","data":null}`, request{event: "e", data: []byte(`null`)}},
		{`{"event":"e","channel":null}`, request{event: "e"}},
		{`{"\u0065vent":"a\u0062\n","channel":"\ud83d\ude00"}`, request{event: "ab\n", channel: "😀"}},
		{`{"event":"e","other":{"event":1},"Event":5}`, request{event: "e"}},
		{`{"event":"e","scheduleExpression":"at(x)","scheduleExpressionTimezone":"UTC"}`, request{event: "e", expression: "at(x)", zone: "UTC"}},
		{`{"event":"e","key":"k","scheduleExpressionTimezone":null}`, request{event: "e", key: "k"}},
		{`{"event":"e","scheduleExpression":null}`, request{event: "e"}},
		{`{"event":"e","data":{"a":{"a":1}}}`, request{event: "e", data: []byte(`{"a":{"a":1}}`)}},
	} {
		got, err := p.parse(text(c.in))
		same := bytes.Equal(got.data, c.want.data) && (got.data == nil) == (c.want.data == nil)
		rest, want := got, c.want
		rest.data, want.data = nil, nil
		if err != nil || !same || !reflect.DeepEqual(rest, want) {
			t.Errorf("parse(%s) = %+v, %v, want %+v", c.in, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	var p parser
	deep := `{"event":"e","data":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`
	for in, want := range map[string]error{
		``:                                     errNotObject,
		`not json`:                             errNotObject,
		`[]`:                                   errNotObject,
		`null`:                                 errNotObject,
		`"event"`:                              errNotObject,
		`{`:                                    errNotObject,
		`{"event":"e"`:                         errNotObject,
		`{"event":"e",}`:                       errNotObject,
		`{"event":"e"} {"event":"e"}`:          errNotObject,
		`{"event":"e"}x`:                       errNotObject,
		`{"event":"e","data":tru}`:             errNotObject,
		`{"event":"e","data":01}`:              errNotObject,
		`{'event':'e'}`:                        errNotObject,
		"{\"event\":\"e\x01\"}":                errNotObject,
		deep:                                   errNotObject,
		`{"event":"a","event":"b"}`:            errDuplicate,
		`{"event":"a","\u0065vent":"b"}`:       errDuplicate,
		`{"event":"a","x":1,"x":1}`:            errDuplicate,
		`{"event":"a","data":{"x":1,"x":2}}`:   errDuplicate,
		"{\"event\":\"\xff\"}":                 errNotUTF8,
		"{\"event\":\"e\",\"data\":\"\xc3\"}":  errNotUTF8,
		`{"event":["x"]}`:                      errEvent,
		`{"event":5}`:                          errEvent,
		`{"event":{"a":1}}`:                    errEvent,
		`{}`:                                   errNoEvent,
		`{"event":""}`:                         errNoEvent,
		`{"event":null}`:                       errNoEvent,
		`{"channel":"x"}`:                      errNoEvent,
		`{"event":"e","channel":5}`:            errChannel,
		`{"event":"e","channel":["c"]}`:        errChannel,
		`{"event":"e","scheduleExpression":5}`: errExpression,
		`{"event":"e","scheduleExpressionTimezone":[]}`: errZone,
		`{"event":"e","key":true}`:                      errKey,
		`{"event":"e","data":"\ud800"}`:                 errNotObject,
	} {
		got, err := p.parse(text(in))
		if err != want {
			t.Errorf("parse(%.60s) = %+v, %v, want %v", in, got, err, want)
		}
	}
	if _, err := p.parse(hub.Input{Op: hub.Binary, Data: []byte(`{"event":"e"}`)}); earshot.CodeOf(err) != earshot.Invalid {
		t.Errorf("a binary frame gives %v", err)
	}
	if q, err := p.parse(text(`{"event":"hotsock.ping"}`)); err != nil || q.event != "hotsock.ping" {
		t.Errorf("after all that a good message gives %+v, %v", q, err)
	}
}

func TestFrames(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	id := earshot.NewID(at, earshot.Position{Epoch: 1, Seq: 7})
	ann := earshot.Sender{UID: "ann", HasUID: true, Meta: []byte(`{"n":1}`)}
	nobody := earshot.Sender{}
	conn := earshot.ConnID{1, 2, 3}
	sender := &earshot.Sender{UID: "a\"b", HasUID: true}
	message := func(m earshot.Message) *hub.Frame {
		m.ID, m.Channel = id, "c"
		return render(&m)
	}
	for _, c := range []struct {
		got  *hub.Frame
		want string
	}{
		{connected(conn, "s3cret", at, ann), `{"event":"hotsock.connected","data":{"connectionId":"AQIDAAAAAAAAAAA=","connectionExpiresAt":"2023-11-14T22:13:20Z","connectionSecret":"s3cret"},"meta":{"uid":"ann","umd":{"n":1}}}`},
		{subscribed("c", "", nobody, confirmation{}), `{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":null,"umd":null}}`},
		{subscribed("c", "a", ann, confirmation{auto: true}), `{"event":"hotsock.subscribed","channel":"c","data":{"autoSubscribed":true},"meta":{"channelAlias":"a","uid":"ann","umd":{"n":1}}}`},
		{subscribed("c", "", nobody, confirmation{resumed: true, recovered: true}), `{"event":"hotsock.subscribed","channel":"c","data":{"recovered":true},"meta":{"uid":null,"umd":null}}`},
		{subscribed("c", "", nobody, confirmation{resumed: true}), `{"event":"hotsock.subscribed","channel":"c","data":{"recovered":false},"meta":{"uid":null,"umd":null}}`},
		{subscribed("c", "", ann, confirmation{present: true}), `{"event":"hotsock.subscribed","channel":"c","data":{"members":[]},"meta":{"uid":"ann","umd":{"n":1}}}`},
		{subscribed("c", "", ann, confirmation{auto: true, resumed: true, recovered: true, ticket: "T", present: true, members: []hub.Member{{UID: "a\"", Meta: []byte(`7`)}, {UID: "b"}}}), `{"event":"hotsock.subscribed","channel":"c","data":{"autoSubscribed":true,"recovered":true,"resume":"T","members":[{"uid":"a\"","umd":7},{"uid":"b","umd":null}]},"meta":{"uid":"ann","umd":{"n":1}}}`},
		{updated("", "", ann), `{"event":"hotsock.umdUpdated","data":{},"meta":{"uid":"ann","umd":{"n":1}}}`},
		{updated("c", "a", nobody), `{"event":"hotsock.umdUpdated","channel":"c","data":{},"meta":{"channelAlias":"a","uid":null,"umd":null}}`},
		{unsubscribed("c", "", ann), `{"event":"hotsock.unsubscribed","channel":"c","data":{}}`},
		{unsubscribed("c", "a", nobody), `{"event":"hotsock.unsubscribed","channel":"c","data":{},"meta":{"channelAlias":"a","uid":null,"umd":null}}`},
		{refreshed(at, ann), `{"event":"hotsock.refreshed","data":{"tokenExpiresAt":"2023-11-14T22:13:20Z"},"meta":{"uid":"ann","umd":{"n":1}}}`},
		{failure("", "", fault{code: "C", text: "t"}), `{"event":"hotsock.error","error":{"code":"C","message":"t"}}`},
		{failure("c\n", "", fault{code: "C", reason: "R", text: "t"}), `{"event":"hotsock.error","channel":"c\n","error":{"code":"C","reason":"R","message":"t"}}`},
		{failure("c", "a", fault{code: "C", text: "t"}), `{"event":"hotsock.error","channel":"c","error":{"code":"C","message":"t"},"meta":{"channelAlias":"a"}}`},
		{message(earshot.Message{Event: "e", Data: []byte(`{"a": 1}`)}), `{"id":"` + id.String() + `","event":"e","channel":"c","data":{"a": 1}}`},
		{message(earshot.Message{Event: "e"}), `{"id":"` + id.String() + `","event":"e","channel":"c","data":null}`},
		{message(earshot.Message{Event: "e", Sender: &earshot.Sender{}}), `{"id":"` + id.String() + `","event":"e","channel":"c","data":null,"meta":{"uid":null,"umd":null}}`},
		{message(earshot.Message{Event: "e", Sender: sender}), `{"id":"` + id.String() + `","event":"e","channel":"c","data":null,"meta":{"uid":"a\"b","umd":null}}`},
		{message(earshot.Message{Event: "e", Kind: earshot.Text, Data: []byte("å\n\"")}), `{"id":"` + id.String() + `","event":"e","channel":"c","data":"å\n\""}`},
		{message(earshot.Message{Event: "e", Kind: earshot.Text}), `{"id":"` + id.String() + `","event":"e","channel":"c","data":""}`},
		{message(earshot.Message{Event: "e", Kind: earshot.Binary, Data: []byte{0, 255}}), `{"id":"` + id.String() + `","event":"e","channel":"c","data":"AP8=","encoding":"base64"}`},
		{message(earshot.Message{Kind: earshot.Text, Data: []byte("x")}), `{"id":"` + id.String() + `","event":"message","channel":"c","data":"x"}`},
	} {
		if got := string(c.got.Head) + string(c.got.Body); got != c.want || c.got.Op != hub.Text {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if !json.Valid(c.got.Body) {
			t.Errorf("%s is not JSON", c.got.Body)
		}
	}
	if f := message(earshot.Message{Event: "hotsock.error"}); f != nil {
		t.Errorf("a message passes for the server's word: %s", f.Body)
	}
	listed := string(listed([]*earshot.Message{{ID: id, Event: "e", Channel: "c"}, {ID: id, Event: "f", Channel: "c", Sender: sender}}, nil, false))
	want := `{"messages":[{"id":"` + id.String() + `","event":"e","channel":"c","data":null,"meta":{"uid":null,"umd":null}},` +
		`{"id":"` + id.String() + `","event":"f","channel":"c","data":null,"meta":{"uid":"a\"b","umd":null}}]}`
	if listed != want {
		t.Errorf("got  %s\nwant %s", listed, want)
	}
}

// FuzzEnvelope: what the parser accepts is what the standard library reads, and
// is strict JSON; what it refuses it explains; and nothing panics.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{
		`{"event":"e","channel":"c","data":{"a":[1,2.5e9,"x"]}}`, `{"event":"a","event":"b"}`, `{"event":["x"]}`,
		`{"\u0065vent":"\ud83d\ude00"}`, "{\"event\":\"\xff\"}", `{"event":"e"} x`, `null`, `{"event":"e","data":"\u0000"}`,
		`{"event":"e","scheduleExpression":"at(2026-01-01T00:00:00)"}`,
	} {
		f.Add([]byte(s))
	}
	var p parser
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := p.parse(hub.Input{Op: hub.Text, Data: bytes.Clone(data)})
		if err != nil {
			if e := earshot.AsError(err); e.Code != earshot.Invalid || e.Text == "" {
				t.Fatalf("%q is refused with %v", data, err)
			}
			return
		}
		var want struct {
			Event, Channel *string
			Data           json.RawMessage
		}
		if !utf8.Valid(data) || !jsontext.Value(data).IsValid() {
			t.Fatalf("%q is accepted, but is not strict JSON", data)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatal(err)
		}
		want.Data = members["data"]
		for name, into := range map[string]**string{"event": &want.Event, "channel": &want.Channel} {
			if err := json.Unmarshal(or(members[name], "null"), into); err != nil {
				t.Fatalf("%q: %s is accepted: %v", data, name, err)
			}
		}
		if want.Event == nil || q.event != *want.Event || want.Channel != nil && q.channel != *want.Channel || !bytes.Equal(q.data, want.Data) {
			t.Fatalf("%q is read as %+v", data, q)
		}
		frame := render(&earshot.Message{Event: q.event, Channel: q.channel, Data: q.data})
		if frame != nil && !jsontext.Value(frame.Body).IsValid() {
			t.Fatalf("%q becomes %q", data, frame.Body)
		}
	})
}

func or(v json.RawMessage, other string) json.RawMessage {
	if v == nil {
		return json.RawMessage(other)
	}
	return v
}
