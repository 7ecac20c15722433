package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/engine/mem"
)

// together opens engines that are nodes of one store.
func together() app.Options {
	store := mem.NewStore(mem.Config{})
	return app.Options{Open: func(context.Context, *config.Config, *slog.Logger) (app.Engine, error) {
		return memory{store.Node()}, nil
	}}
}

// A shop is an app with what its clients and servers need.
type shop struct {
	key, secret, publishKey, token string
}

// openShop makes an app with limits.
func openShop(t *testing.T, a *app.App, limits string) *shop {
	t.Helper()
	_, text := admin(t, a, http.MethodPost, "/admin/apps", `{"slug":"shop","channels":[{"match":"*","live":true,"open":["subscribe","publish"]}],"limits":`+limits+`}`)
	var made struct {
		App struct {
			Key         string
			PublishKeys []struct{ Key string }
			Secrets     []struct{ Secret string }
			SigningKeys []struct{ ID, Secret string }
		}
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil || made.App.Key == "" {
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
	token, err := issuer.Issue(fmt.Appendf(nil, `{"scope":"connect","exp":%d,"channels":{"*":{"subscribe":true,"messages":{"*":{"publish":true}}}}}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	return &shop{made.App.Key, made.App.Secrets[0].Secret, made.App.PublishKeys[0].Key, token}
}

// publish publishes as a server with a publish key.
func (s *shop) publish(t *testing.T, a *app.App, data string) (int, string) {
	t.Helper()
	return as(t, a, "Bearer "+s.publishKey, http.MethodPost, "/publish", fmt.Sprintf(`{"channel":"c","event":"e","data":%q}`, data))
}

// event publishes as a server of Ex Pusher Lite.
func (s *shop) event(t *testing.T, a *app.App, data string) (int, string) {
	t.Helper()
	fields := url.Values{"topic": {"t"}, "event": {"e"}, "scope": {"public"}, "payload": {fmt.Sprintf(`{"x":%q}`, data)}}
	r, err := http.NewRequest(http.MethodPost, "http://"+a.Addr().String()+"/api/apps/shop/events", strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(s.key, s.secret)
	return answer(t, r)
}

func (h *hearer) say(text string) {
	h.t.Helper()
	if err := h.conn.Write(h.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		h.t.Fatal(h.name, err)
	}
}

// ends reads until the connection ends, and returns how.
func (h *hearer) ends() websocket.StatusCode {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := h.conn.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// heard reads until a text is heard that has a part.
func (h *hearer) heard(part string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	var all []string
	for {
		_, text, err := h.conn.Read(ctx)
		if err != nil {
			h.t.Fatalf("%s: no %s in %q: %v", h.name, part, all, err)
		}
		if all = append(all, string(text)); strings.Contains(string(text), part) {
			return
		}
	}
}

// TestLimitsInWords: each protocol has its own for a limit that is reached, and
// the dialogue goes on.
func TestLimitsInWords(t *testing.T) {
	a := up(t, start(t, administered(t), app.Options{Open: inMemory}))
	// One message each, for a quarter of an hour.
	s := openShop(t, a, `{"channels":1,"messageBytes":40,"clientRate":0.001,"serverRate":0.001}`)
	large := strings.Repeat("x", 41)
	soon(t, "the app is there", func() bool { status, _ := s.publish(t, a, large); return status == 413 })
	for _, c := range []struct {
		what       string
		publish    func(*testing.T, *app.App, string) (int, string)
		data       string
		status     int
		said, then string
	}{
		{"publish", s.publish, large, 413, "MESSAGE_TOO_LARGE", "data may have 40 bytes at the most"},
		{"Ex Pusher Lite", s.event, large, 413, "data may have 40 bytes at the most", ""},
		{"Ex Pusher Lite", s.event, "1", 200, "{}", ""},
		{"Ex Pusher Lite", s.event, "2", 429, "the application's server may publish 0.001 messages a second", ""},
		{"publish", s.publish, "2", 429, "LIMIT_SERVER_RATE", "the application's server may publish 0.001 messages a second"},
	} {
		if status, text := c.publish(t, a, c.data); status != c.status || !strings.Contains(text, c.said) || !strings.Contains(text, c.then) {
			t.Errorf("%s of %d bytes: %d %s, want %d %s", c.what, len(c.data), status, text, c.status, c.said)
		}
	}

	h := hears(t, a, "Hotsock", "/v1?token="+s.token, `{"event":"hotsock.subscribe","channel":"c"}`)
	h.heard("hotsock.subscribed")
	h.say(`{"event":"hotsock.subscribe","channel":"d"}`)
	h.heard("LIMIT_CHANNELS")
	h.say(`{"event":"e","channel":"c","data":1}`)
	h.say(`{"event":"e","channel":"c","data":2}`)
	h.heard("LIMIT_CLIENT_RATE")

	p := hears(t, a, "Phoenix", "/socket/shop/websocket?vsn=2.0.0", `["1","1","room:a","phx_join",{}]`)
	p.heard(`"status":"ok"`)
	p.say(`["2","2","room:b","phx_join",{}]`)
	p.heard(`"reason":"too many channels joined"`)
	p.say(`["1","3","room:a","e",{"x":"` + large + `"}]`)
	p.heard(`"reason":"data may have 40 bytes at the most"`)
	p.say(`["1","4","room:a","e",{}]`)
	p.heard(`"reason":"rate limited"`)
	p.say(`[null,"5","phoenix","heartbeat",{}]`)
	p.heard(`"5","phoenix"`)
}

// TestLoweredLimits: a limit that is lowered on one node closes what it must on
// every one, within a second, and the newest first.
func TestLoweredLimits(t *testing.T) {
	options := together()
	c := administered(t)
	nodes := []*app.App{up(t, start(t, c, options))}
	other := *c
	other.Engine.Data = t.TempDir()
	nodes = append(nodes, up(t, start(t, &other, options)))
	s := openShop(t, nodes[0], `{}`)
	dial := func(a *app.App) *hearer {
		h := hears(t, a, "Hotsock", "/v1?token="+s.token, `{"event":"hotsock.subscribe","channel":"c"}`)
		h.heard("hotsock.subscribed")
		return h
	}
	var stay, leave []*hearer
	for _, a := range nodes {
		soon(t, "the app is there", func() bool { status, _ := s.publish(t, a, "x"); return status == 202 })
		stay = append(stay, dial(a))
		for range 2 {
			leave = append(leave, dial(a))
		}
	}
	begun := time.Now()
	if status, text := admin(t, nodes[1], http.MethodPatch, "/admin/apps/shop", `{"limits":{"connections":1}}`); status != 200 {
		t.Fatal(status, text)
	}
	for _, h := range leave {
		if code := h.ends(); code != websocket.StatusTryAgainLater {
			t.Errorf("closed with %d", code)
		}
	}
	t.Logf("lowered after %v", time.Since(begun))
	for i, a := range nodes {
		if _, r, err := websocket.Dial(t.Context(), "ws://"+a.Addr().String()+"/v1?token="+s.token, nil); err == nil || r == nil || r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" {
			t.Errorf("node %d: one too many: %v, %v", i, r, err)
		}
	}
	if status, text := s.publish(t, nodes[0], "for those who stay"); status != 202 {
		t.Fatal(status, text)
	}
	for _, h := range stay {
		h.heard("for those who stay")
	}
}
