package app_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/auth"
)

// A hearer is a client of some protocol.
type hearer struct {
	t    *testing.T
	name string
	conn *websocket.Conn
}

func hears(t *testing.T, a *app.App, name, path string, said ...string) *hearer {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+a.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(name, err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	h := &hearer{t, name, conn}
	for _, text := range said {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(name, err)
		}
	}
	return h
}

func (h *hearer) next() string {
	h.t.Helper()
	_, text, err := h.conn.Read(h.t.Context())
	if err != nil {
		h.t.Fatal(h.name, err)
	}
	return string(text)
}

// until reads until a text is heard that has a part.
func (h *hearer) until(part string) {
	h.t.Helper()
	for {
		if strings.Contains(h.next(), part) {
			return
		}
	}
}

// TestExPusherLite: what is published by its API is heard by Phoenix's clients of
// either age, and by those of the other protocols on the channel of that name, with
// event and data as they are.
func TestExPusherLite(t *testing.T) {
	a := up(t, start(t, administered(t), app.Options{Open: inMemory}))
	_, text := admin(t, a, http.MethodPost, "/admin/apps", `{"slug":"shop","name":"The shop"}`)
	var made struct {
		App struct {
			Key         string
			Secrets     []struct{ Secret string }
			SigningKeys []struct{ ID, Secret string }
		}
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(text, err)
	}
	signing := made.App.SigningKeys[0]
	raw, err := base64.StdEncoding.DecodeString(signing.Secret)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := auth.NewIssuer(earshot.SigningKey{ID: signing.ID, Alg: "HS256", Key: raw})
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue(fmt.Appendf(nil, `{"scope":"connect","exp":%d,"channels":{"public:shop":{"subscribe":true}}}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(key, secret string, fields url.Values) (int, string) {
		r, err := http.NewRequest(http.MethodPost, "http://"+a.Addr().String()+"/api/apps/shop/events", strings.NewReader(fields.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(key, secret)
		return answer(t, r)
	}
	key, secret := made.App.Key, made.App.Secrets[0].Secret
	eventually(t, "the app is there", func() bool { status, _ := publish(key, "wrong", nil); return status == 401 })

	v1 := hears(t, a, "V1", "/socket/websocket?vsn=1.0.0", `{"topic":"public:shop","event":"phx_join","payload":{},"ref":"1"}`)
	v2 := hears(t, a, "V2", "/socket/websocket?vsn=2.0.0", `["1","1","public:shop","phx_join",{}]`)
	hotsock := hears(t, a, "Hotsock", "/v1?token="+token, `{"event":"hotsock.subscribe","channel":"public:shop"}`)
	v1.until(`"phx_reply"`)
	v2.until(`"phx_reply"`)
	hotsock.until(`"hotsock.subscribed"`)

	for _, c := range []struct{ topic, event, heard, payload string }{
		{"public:prod_chat_channel", "msg", "public:prod_chat_channel:msg", `{"name":"Ann","message":"hi"}`},
		{"#general", "msg", "msg", `{"żółć":[1.50,null,12345678901234567890]}`},
	} {
		status, text := publish(key, secret, url.Values{"topic": {c.topic}, "event": {c.event}, "scope": {"public"}, "payload": {c.payload}})
		if status != 200 || text != "{}" {
			t.Errorf("%s: %d %s", c.topic, status, text)
		}
		for h, want := range map[*hearer]string{
			v1:      fmt.Sprintf(`{"topic":"public:shop","event":%q,"payload":%s,"ref":null}`, c.heard, c.payload),
			v2:      fmt.Sprintf(`[null,null,"public:shop",%q,%s]`, c.heard, c.payload),
			hotsock: fmt.Sprintf(`"event":%q,"channel":"public:shop","data":%s`, c.heard, c.payload),
		} {
			if got := h.next(); !strings.Contains(got, want) {
				t.Errorf("%s hears %s, want %s", h.name, got, want)
			}
		}
	}

	// A deleted app's sockets are closed.
	if status, text := admin(t, a, http.MethodDelete, "/api/admin/apps/shop", ""); status != 204 {
		t.Error(status, text)
	}
	for _, h := range []*hearer{v1, v2, hotsock} {
		for {
			if _, _, err := h.conn.Read(t.Context()); err != nil {
				if code := websocket.CloseStatus(err); code == websocket.StatusNormalClosure || code < 0 {
					t.Errorf("%s ended with %v", h.name, err)
				}
				break
			}
		}
	}
}
