package webhook

import (
	"encoding/base64"
	"net/netip"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestEnvelopes is the table of section 5.1, every row of it, byte by byte.
func TestEnvelopes(t *testing.T) {
	opened := time.Date(2026, 7, 27, 10, 11, 12, 123456789, time.UTC)
	closed := opened.Add(time.Minute)
	conn := earshot.ConnID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	id := earshot.NewID(opened, earshot.Position{Epoch: 1, Seq: 7})
	about := earshot.NewID(opened, earshot.Position{Epoch: 1, Seq: 3})
	user := &hub.EventConn{
		ID: conn, Opened: opened, Closed: closed, KeepAlive: true, Remote: netip.MustParseAddr("::ffff:192.0.2.1"), UserAgent: "ua",
		UID: "u1", HasUID: true, Meta: []byte(`{"n":1}`),
	}
	nobody := &hub.EventConn{ID: conn, Opened: opened}
	socket := &hub.Origin{Trigger: hub.ByClientSocket, RequestID: "r1", Conn: conn, Remote: netip.MustParseAddr("192.0.2.1"), UserAgent: "ua"}
	server := &hub.Origin{Trigger: "server.lambda"}
	sender := &earshot.Sender{UID: "u1", HasUID: true, Meta: []byte(`{"n":1}`)}
	say := func(kind earshot.Kind, data string, from *earshot.Sender) *earshot.Message {
		return &earshot.Message{Channel: "c", Event: "e", Kind: kind, Data: []byte(data), ID: id, Sender: from, Key: "k"}
	}
	const idText, aboutText, connText = "01KYHGX7KV000G000000000007", "01KYHGX7KV000G000000000003", "AQIDBAUGBwgJCgs="
	if id.String() != idText || about.String() != aboutText || conn.String() != connText {
		t.Fatalf("the ids are %v, %v, %v", id, about, conn)
	}
	const v = `"hotsockVersion":"1.13.5"`
	for name, c := range map[string]struct {
		e    hub.Event
		want string
	}{
		"connected": {
			hub.Event{Type: hub.Connected, Conn: nobody},
			`{"source":"hotsock.v1","type":"hotsock.connected","metadata":{` + v + `},"data":{"id":"` + connText + `","connectedAt":"2026-07-27T10:11:12.123456789Z","disconnectedAt":null,"keepAlive":false,"sourceIp":null,"uid":null,"umd":null,"userAgent":null},"dataType":"connection"}`,
		},
		"disconnected": {
			hub.Event{Type: hub.Disconnected, Conn: user},
			`{"source":"hotsock.v1","type":"hotsock.disconnected","metadata":{` + v + `},"data":{"id":"` + connText + `","connectedAt":"2026-07-27T10:11:12.123456789Z","disconnectedAt":"2026-07-27T10:12:12.123456789Z","keepAlive":true,"sourceIp":"192.0.2.1","uid":"u1","umd":{"n":1},"userAgent":"ua"},"dataType":"connection"}`,
		},
		"connectionUpdated": {
			hub.Event{Type: hub.ConnectionUpdated, Conn: &hub.EventConn{ID: conn, Opened: opened, UID: "", HasUID: true, Meta: []byte(`"x"`)}},
			`{"source":"hotsock.v1","type":"hotsock.connectionUpdated","metadata":{` + v + `},"data":{"id":"` + connText + `","connectedAt":"2026-07-27T10:11:12.123456789Z","disconnectedAt":null,"keepAlive":false,"sourceIp":null,"uid":"","umd":"x","userAgent":null},"dataType":"connection"}`,
		},
		"subscribed": {
			hub.Event{Type: hub.Subscribed, Channel: "c", Conn: user},
			`{"source":"hotsock.v1","type":"hotsock.subscribed","metadata":{"channel":"c",` + v + `},"data":{"channel":"c","connectionId":"` + connText + `","uid":"u1","umd":{"n":1}},"dataType":"subscription"}`,
		},
		"unsubscribed": {
			hub.Event{Type: hub.Unsubscribed, Channel: "c", Conn: nobody},
			`{"source":"hotsock.v1","type":"hotsock.unsubscribed","metadata":{"channel":"c",` + v + `},"data":{"channel":"c","connectionId":"` + connText + `","uid":null,"umd":null},"dataType":"subscription"}`,
		},
		"channelUpdated": {
			hub.Event{Type: hub.ChannelUpdated, Channel: "c", Count: 3},
			`{"source":"hotsock.v1","type":"hotsock.channelUpdated","metadata":{"channel":"c",` + v + `},"data":{"name":"c","subscriptionsCount":3},"dataType":"channel"}`,
		},
		"messagePublished by a client": {
			hub.Event{Type: hub.MessagePublished, Channel: "c", Message: say(earshot.JSON, `{"a":[1,"<"]}`, sender), Origin: socket},
			`{"source":"hotsock.v1","type":"hotsock.messagePublished","metadata":{"channel":"c","connectionId":"` + connText + `","event":"e",` + v + `,"requestId":"r1","sourceIp":"192.0.2.1","trigger":"client.websocket","userAgent":"ua"},"data":{"channel":"c","event":"e","id":"` + idText + `","data":{"a":[1,"<"]},"meta":{"uid":"u1","umd":{"n":1}}},"dataType":"message"}`,
		},
		"messagePublished by a server": {
			hub.Event{Type: hub.MessagePublished, Channel: "c", Message: say(earshot.JSON, "", nil), Origin: server},
			`{"source":"hotsock.v1","type":"hotsock.messagePublished","metadata":{"channel":"c","event":"e",` + v + `,"requestId":"evt_1","trigger":"server.lambda"},"data":{"channel":"c","event":"e","id":"` + idText + `","data":null},"dataType":"message"}`,
		},
		"messagePublished as text": {
			hub.Event{Type: hub.MessagePublished, Channel: "c", Message: say(earshot.Text, `say "x"`, nil)},
			`{"source":"hotsock.v1","type":"hotsock.messagePublished","metadata":{"channel":"c","event":"e",` + v + `,"requestId":"evt_1"},"data":{"channel":"c","event":"e","id":"` + idText + `","data":"say \"x\""},"dataType":"message"}`,
		},
		"messagePublished as bytes": {
			hub.Event{Type: hub.MessagePublished, Channel: "c", Message: say(earshot.Binary, "\xff\x00", &earshot.Sender{})},
			`{"source":"hotsock.v1","type":"hotsock.messagePublished","metadata":{"channel":"c","event":"e",` + v + `,"requestId":"evt_1"},"data":{"channel":"c","event":"e","id":"` + idText + `","data":"/wA=","encoding":"base64","meta":{"uid":null,"umd":null}},"dataType":"message"}`,
		},
		"memberAdded": {
			hub.Event{Type: hub.MemberAdded, Channel: "presence.c", Member: &hub.Member{UID: "u1", Meta: []byte(`1`)}, Members: []hub.Member{{UID: "u0"}, {UID: "u1", Meta: []byte(`1`)}}},
			`{"source":"hotsock.v1","type":"hotsock.memberAdded","metadata":{"channel":"presence.c",` + v + `},"data":{"uid":"u1","umd":1,"members":[{"uid":"u0","umd":null},{"uid":"u1","umd":1}]},"dataType":"channelMember"}`,
		},
		"memberUpdated": {
			hub.Event{Type: hub.MemberUpdated, Channel: "presence.c", Member: &hub.Member{UID: "u1"}, Members: []hub.Member{{UID: "u1"}}},
			`{"source":"hotsock.v1","type":"hotsock.memberUpdated","metadata":{"channel":"presence.c",` + v + `},"data":{"uid":"u1","umd":null,"members":[{"uid":"u1","umd":null}]},"dataType":"channelMember"}`,
		},
		"memberRemoved": {
			hub.Event{Type: hub.MemberRemoved, Channel: "presence.c", Member: &hub.Member{UID: "u1"}},
			`{"source":"hotsock.v1","type":"hotsock.memberRemoved","metadata":{"channel":"presence.c",` + v + `},"data":{"uid":"u1","umd":null,"members":[]},"dataType":"channelMember"}`,
		},
		"channelStorageUpdated by a client": {
			hub.Event{
				Type: hub.EntryChanged, Channel: "c", Message: say(earshot.JSON, `{"a":2}`, sender), Origin: socket,
				Entry: &hub.EventEntry{Previous: []byte(`{"a":1}`), Expires: closed},
			},
			`{"source":"hotsock.v1","type":"hotsock.channelStorageUpdated","metadata":{"channel":"c","connectionId":"` + connText + `",` + v + `,"key":"k","sourceIp":"192.0.2.1","trigger":"client.websocket","userAgent":"ua"},"data":{"channel":"c","key":"k","data":{"a":2},"dataPrevious":{"a":1},"expired":false,"expiresAt":"2026-07-27T10:12:12.123456789Z","meta":{"uid":"u1","umd":{"n":1}}},"dataType":"channelStorage"}`,
		},
		"channelStorageUpdated by its time": {
			hub.Event{
				Type: hub.EntryChanged, Channel: "c", Message: say(earshot.JSON, "", nil), Origin: &hub.Origin{Trigger: hub.BySchedule},
				Entry: &hub.EventEntry{Previous: []byte(`1`), Expired: true},
			},
			`{"source":"hotsock.v1","type":"hotsock.channelStorageUpdated","metadata":{"channel":"c",` + v + `,"key":"k","trigger":"server.schedule"},"data":{"channel":"c","key":"k","data":null,"dataPrevious":1,"expired":true,"expiresAt":null,"meta":{"uid":null,"umd":null}},"dataType":"channelStorage"}`,
		},
		"messageReactionAdded": {
			hub.Event{
				Type: hub.ReactionAdded, Channel: "c", Message: say(earshot.JSON, "", sender), Origin: socket,
				Reaction: &hub.EventReaction{MessageID: about, Value: "👍", UID: "u1", Meta: []byte(`{"n":1}`), Created: opened, Expires: closed},
			},
			`{"source":"hotsock.v1","type":"hotsock.messageReactionAdded","metadata":{"channel":"c","connectionId":"` + connText + `",` + v + `,"reaction":"👍","requestId":"r1","sourceIp":"192.0.2.1","trigger":"client.websocket","userAgent":"ua"},"data":{"channel":"c","messageId":"` + aboutText + `","id":"` + idText + `","reaction":"👍","uid":"u1","umd":{"n":1},"createdAt":"2026-07-27T10:11:12.123456789Z","expiresAt":"2026-07-27T10:12:12.123456789Z"},"dataType":"messageReaction"}`,
		},
		"messageReactionRemoved": {
			hub.Event{
				Type: hub.ReactionRemoved, Channel: "c", Message: say(earshot.JSON, "", nil), Origin: server,
				Reaction: &hub.EventReaction{MessageID: about, Value: "👍", UID: "u1", Created: opened},
			},
			`{"source":"hotsock.v1","type":"hotsock.messageReactionRemoved","metadata":{"channel":"c",` + v + `,"reaction":"👍","requestId":"evt_1","trigger":"server.lambda"},"data":{"channel":"c","messageId":"` + aboutText + `","id":"` + idText + `","reaction":"👍","uid":"u1","umd":null,"createdAt":"2026-07-27T10:11:12.123456789Z","expiresAt":null},"dataType":"messageReaction"}`,
		},
	} {
		got, err := render(&c.e, "evt_1")
		if err != nil || string(got) != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s\n(%v)", name, got, c.want, err)
		}
		if !jsontext.Value(got).IsValid() {
			t.Errorf("%s: not valid JSON", name)
		}
	}
}

// TestEveryTypeHasAnEnvelope, those too that somebody adds.
func TestEveryTypeHasAnEnvelope(t *testing.T) {
	for _, kind := range Types() {
		e := hub.Event{
			Type: kind, Conn: &hub.EventConn{}, Member: &hub.Member{}, Message: &earshot.Message{}, Reaction: &hub.EventReaction{},
		}
		got, err := render(&e, "id")
		if err != nil || jsontext.Value(got).Kind() != '{' || string(got[len(got)-14:]) == `"dataType":""}` {
			t.Errorf("%s: %s, %v", kind, got, err)
		}
	}
}

func TestLines(t *testing.T) {
	conn := &hub.EventConn{ID: earshot.ConnID{1}}
	for want, e := range map[string]*hub.Event{
		"#c":                   {Channel: "c", Conn: conn},
		"@" + conn.ID.String(): {Conn: conn},
		".":                    {},
	} {
		if got := lineOf(e); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestSign: the signature is that of the published example of Standard Webhooks.
func TestSign(t *testing.T) {
	key, err := DecodeSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const id, timestamp, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := Sign([][]byte{key}, id, timestamp, []byte(body)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	other, err := DecodeSecret(NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	if got := Sign([][]byte{other, key}, id, timestamp, []byte(body)); len(got) != 2*len(want)+1 || got[len(want)+1:] != want {
		t.Errorf("two secrets make %s", got)
	}
}

func TestSecrets(t *testing.T) {
	encode := func(n int) string { return secretPrefix + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for secret, ok := range map[string]bool{
		"": false, "whsec_": false, "c2VjcmV0": false, "whsec_%": false, encode(23): false, encode(24): true, encode(64): true, encode(65): false,
	} {
		if _, err := DecodeSecret(secret); (err == nil) != ok {
			t.Errorf("%q: %v", secret, err)
		}
	}
}
