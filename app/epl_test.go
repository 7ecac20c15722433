package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
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

func (h *hearer) read() (string, error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	_, text, err := h.conn.Read(ctx)
	return string(text), err
}

func (h *hearer) next() string {
	h.t.Helper()
	text, err := h.read()
	if err != nil {
		h.t.Fatal(h.name, err)
	}
	return text
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

// newES256 draws a private key, in PEM, and its public one.
func newES256(t *testing.T) (private []byte, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}))
}

// issued is a token by a key.
func issued(t *testing.T, k earshot.SigningKey, claims map[string]any) string {
	t.Helper()
	i, err := auth.NewIssuer(k)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Issue(text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestExPusherLite: what is published by its API is heard by Phoenix's clients of
// either age, and by those of the other protocols on the channel of that name, with
// event and data as they are.
func TestExPusherLite(t *testing.T) {
	a := up(t, start(t, administered(t), app.Options{Open: inMemory}))
	hs, es := earshot.SigningKey{ID: "shop-hs", Alg: "HS256", Key: []byte(auth.NewSecret())}, earshot.SigningKey{ID: "shop-es", Alg: "ES256"}
	var public string
	es.Key, public = newES256(t)
	draft, err := json.Marshal(map[string]any{"slug": "shop", "name": "The shop", "signingKeys": []any{
		map[string]any{"id": hs.ID, "alg": hs.Alg, "secret": base64.StdEncoding.EncodeToString(hs.Key)},
		map[string]any{"id": es.ID, "alg": es.Alg, "publicKey": public},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, text := admin(t, a, http.MethodPost, "/admin/apps", string(draft))
	var made struct {
		App struct {
			Key     string
			Secrets []struct{ Secret string }
		}
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil || len(made.App.Secrets) == 0 {
		t.Fatal(text, err)
	}
	until := time.Now().Add(time.Hour).Unix()
	token := issued(t, hs, map[string]any{"scope": "connect", "exp": until, "channels": map[string]any{"public:shop": map[string]any{"subscribe": true}}})
	listens := issued(t, es, map[string]any{"sub": "u", "exp": until, "topics": []string{"public:shop"}, "scope": "subscribe"})
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
	if status, _ := publish(key, "wrong", nil); status != 401 {
		t.Error("an app that was just made answers", status)
	}

	v1 := hears(t, a, "V1", "/socket/websocket?vsn=1.0.0", `{"topic":"public:shop","event":"phx_join","payload":{},"ref":"1"}`)
	v2 := hears(t, a, "V2", "/socket/websocket?vsn=2.0.0", `["1","1","public:shop","phx_join",{}]`)
	hotsock := hears(t, a, "Hotsock", "/v1?token="+token, `{"event":"hotsock.subscribe","channel":"public:shop"}`)
	// Its subscribe is answered by silence, and anything else in its turn.
	notiflux := hears(t, a, "notiflux", "/ws", "/subscribe public:shop "+listens, "/help")
	notiflux.until("Unknown command")
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
			v1:       fmt.Sprintf(`{"topic":"public:shop","event":%q,"payload":%s,"ref":null}`, c.heard, c.payload),
			v2:       fmt.Sprintf(`[null,null,"public:shop",%q,%s]`, c.heard, c.payload),
			hotsock:  fmt.Sprintf(`"event":%q,"channel":"public:shop","data":%s`, c.heard, c.payload),
			notiflux: c.payload,
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
	for _, h := range []*hearer{v1, v2, hotsock, notiflux} {
		for {
			if _, err := h.read(); err != nil {
				if code := websocket.CloseStatus(err); code == websocket.StatusNormalClosure || code < 0 {
					t.Errorf("%s ended with %v", h.name, err)
				}
				break
			}
		}
	}
}
