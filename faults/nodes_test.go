package faults

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A guest is a client of one node.
type guest struct {
	*testing.T
	node   *server
	ws     *websocket.Conn
	id     string
	secret string
	frames chan told
}

// told is a frame that a guest heard.
type told struct {
	ID      string `json:"id"`
	Event   string `json:"event"`
	Channel string `json:"channel"`
	Key     string `json:"key"`
	Data    struct {
		ConnectionID, ConnectionSecret string
		Members                        []struct {
			UID string `json:"uid"`
			UMD any    `json:"umd"`
		}
		Reaction, MessageID string
		V                   int
	} `json:"data"`
	raw string
}

const room = "presence.room"

// enter connects a user to a node, and subscribes to the room.
func enter(t *testing.T, node *server, uid string) *guest {
	t.Helper()
	token := node.token(map[string]any{
		"exp": time.Now().Add(time.Hour).Unix(), "scope": "connect", "uid": uid, "channels": map[string]any{
			room: map[string]any{
				"subscribe": true, "getInfo": true, "historyStart": 0,
				"messages": map[string]any{"*": map[string]any{"publish": true, "react": true}},
				"storage":  map[string]any{"*": map[string]any{"observe": true, "get": true, "set": true}},
			},
		},
	})
	ws, _, err := websocket.Dial(t.Context(), node.dev.WS+"?token="+token, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	g := &guest{T: t, node: node, ws: ws, frames: make(chan told, 256)}
	go g.listen()
	hello := g.hear("hotsock.connected")
	g.id, g.secret = hello.Data.ConnectionID, hello.Data.ConnectionSecret
	g.say(`{"event":"hotsock.subscribe","channel":"` + room + `"}`)
	return g
}

func (g *guest) listen() {
	defer close(g.frames)
	for {
		_, raw, err := g.ws.Read(context.Background())
		if err != nil {
			return
		}
		f := told{raw: string(raw)}
		_ = json.Unmarshal(raw, &f) // data of another shape is in raw
		g.frames <- f
	}
}

func (g *guest) say(text string) {
	g.Helper()
	if err := g.ws.Write(g.Context(), websocket.MessageText, []byte(text)); err != nil {
		g.Fatal(err)
	}
}

// hear waits for the next frame, which is to be of an event.
func (g *guest) hear(event string) told {
	g.Helper()
	select {
	case f, ok := <-g.frames:
		if !ok || f.Event != event {
			g.Fatalf("waiting for %s: heard %q", event, f.raw)
		}
		return f
	case <-time.After(15 * time.Second):
		g.Fatalf("%s was not heard", event)
		panic("unreachable")
	}
}

// names are the members of a frame, in their order.
func (f *told) names() string {
	var all []string
	for _, m := range f.Data.Members {
		all = append(all, m.UID)
	}
	return strings.Join(all, " ")
}

// call posts to the client's HTTP API, on whichever node.
func (g *guest) call(node *server, path, body string) (status int, answer string) {
	g.Helper()
	q := url.Values{"connectionId": {g.id}, "connectionSecret": {g.secret}}
	resp, err := http.Post(strings.TrimSuffix(node.dev.URL, "/")+"/connection/"+path+"?"+q.Encode(), "text/plain", strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestTwoNodesAreOne: clients of two nodes are present together, observe each
// other's storage and reactions, and are served by whichever node their HTTP
// requests come to. When one node is killed, its members have left within ten
// seconds.
func TestTwoNodesAreOne(t *testing.T) {
	url, keys := startNATS(t), newKeys()
	a, b := keys.serve(t, url), keys.serve(t, url)
	ann := enter(t, a, "ann")
	if f := ann.hear("hotsock.subscribed"); f.names() != "ann" {
		t.Fatalf("who is first is told %s", f.raw)
	}
	b.awaitMember(t, "ann")
	bob := enter(t, b, "bob")
	if f := bob.hear("hotsock.subscribed"); f.names() != "ann bob" {
		t.Fatalf("who comes to the other node is told %s", f.raw)
	}
	if f := ann.hear("hotsock.memberAdded"); f.names() != "ann bob" {
		t.Fatalf("of who comes to the other node is told %s", f.raw)
	}

	ann.say(`{"event":"hotsock.channelStorageSet","channel":"` + room + `","key":"k","data":{"v":1}}`)
	for _, g := range []*guest{ann, bob} {
		if f := g.hear("hotsock.channelStorageUpdated"); f.Key != "k" || f.Data.V != 1 {
			t.Fatalf("an observer is told %s", f.raw)
		}
	}

	message := published(t, b, `{"channel":"`+room+`","event":"e","store":600,"eagerIdGeneration":true}`)
	for _, g := range []*guest{ann, bob} {
		if f := g.hear("e"); f.ID != message {
			t.Fatalf("message %s arrives as %s", message, f.raw)
		}
	}
	bob.say(`{"event":"hotsock.messageReaction","channel":"` + room + `","data":{"messageId":"` + message + `","reaction":"up","action":"add"}}`)
	if f := ann.hear("hotsock.messageReactionAdded"); f.Data.MessageID != message || f.Data.Reaction != "up" {
		t.Fatalf("a reaction arrives as %s", f.raw)
	}

	for _, node := range []*server{a, b} {
		if status, answer := ann.call(node, "getChannelInfo", `{"channel":"`+room+`"}`); status != 200 || !strings.Contains(answer, `"subscriptionsCount":2`) {
			t.Errorf("getChannelInfo: %d %s", status, answer)
		}
		if status, answer := ann.call(node, "listMessages", `{"channel":"`+room+`"}`); status != 200 || !strings.Contains(answer, `"up":{"count":1}`) {
			t.Errorf("listMessages: %d %s", status, answer)
		}
		if status, answer := ann.call(node, "channelStorageGet", `{"channel":"`+room+`","key":"k"}`); status != 200 || !strings.Contains(answer, `"data":{"v":1}`) {
			t.Errorf("channelStorageGet: %d %s", status, answer)
		}
	}
	token := a.token(map[string]any{
		"exp": time.Now().Add(time.Hour).Unix(), "scope": "umd", "uid": "ann", "umd": "away", "umdUpdate": true, "umdPropagate": true,
	})
	if status, answer := ann.call(b, "umdUpdate", `{"token":"`+token+`"}`); status != 200 {
		t.Fatalf("umdUpdate on the other node: %d %s", status, answer)
	}
	for _, g := range []*guest{ann, bob} {
		if f := g.hear("hotsock.memberUpdated"); f.names() != "ann bob" || f.Data.Members[0].UMD != "away" {
			t.Fatalf("metadata arrives as %s", f.raw)
		}
	}

	killed := time.Now()
	a.kill()
	f := bob.hear("hotsock.memberRemoved")
	gone := time.Since(killed)
	if f.names() != "bob" || gone > 10*time.Second {
		t.Errorf("%v after its node was killed: %s", gone, f.raw)
	}
	t.Logf("the members of a killed node had left after %v", gone.Round(10*time.Millisecond))
	b.kill()
}

// published publishes by HTTP, and returns the message's id.
func published(t *testing.T, s *server, body string) (id string) {
	t.Helper()
	status, answer := s.ask(t, http.MethodPost, "/publish", []byte(body))
	var got struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusAccepted || got.ID == "" {
		t.Fatalf("publish: %d %s", status, answer)
	}
	return got.ID
}

// awaitMember waits until a node knows who is present: nodes tell each other
// when they have answered their clients.
func (s *server) awaitMember(t *testing.T, uid string) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		if status, answer := s.ask(t, http.MethodGet, "/channels/"+room, nil); status == http.StatusOK && strings.Contains(answer, `"uid":"`+uid+`"`) {
			return
		}
	}
	t.Fatalf("the node does not know that %s is present", uid)
}
