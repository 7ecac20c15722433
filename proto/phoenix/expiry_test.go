package phoenix_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/phoenix"
)

// A page keeps what a client was sent.
type page struct {
	mu     sync.Mutex
	frames []string
}

func (p *page) Push(f *hub.Frame) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, string(f.Head)+string(f.Body))
	return 0
}

func (p *page) Flush() int        { return 0 }
func (p *page) Close(hub.Goodbye) {}

func (p *page) read() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.frames)
}

// listener is a token that opens private topics for a while.
func listener(t *testing.T, valid time.Duration) string {
	t.Helper()
	issuer, err := auth.NewIssuer(dialectKey("one"))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"listen": []string{"private:*"}, "exp": time.Now().Add(valid).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestJoinExpires lets the token of one join expire, in an app that ends what has:
// the client is told so that it joins again, and the others go on.
func TestJoinExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &earshot.App{
			Slug: "one", ExpiryCloses: true, SigningKeys: []earshot.SigningKey{dialectKey("one")},
			Rules: []earshot.Rule{{Channel: earshot.Glob("room*"), Live: true, Open: earshot.Subscribe}},
		}
		apps, err := auth.NewDirectory([]*earshot.App{a})
		if err != nil {
			t.Fatal(err)
		}
		engine := mem.New(mem.Config{})
		h := hub.New(hub.Config{Shards: 1}, engine, slog.New(slog.DiscardHandler))
		if err := h.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		p := phoenix.New(phoenix.DefaultConfig(), proto.Deps{Hub: h, Apps: apps, Tokens: auth.NewVerifier(apps, engine), Log: slog.New(slog.DiscardHandler)})
		yes, err := p.Admit(t.Context(), &proto.Request{HTTP: httptest.NewRequest("GET", "/socket/websocket?vsn=2.0.0", nil)})
		if err != nil {
			t.Fatal(err)
		}
		wire := &page{}
		c, err := h.Open(h.NextShard(), wire, hub.Opening{App: yes.App, Identity: yes.Identity, Farewell: p})
		if err != nil {
			t.Fatal(err)
		}
		session, err := p.Open(c, c, yes)
		if err != nil {
			t.Fatal(err)
		}
		c.Serve(session)
		c.Receive(dialectFrame("1", "1", "private:x", "phx_join", map[string]any{"token": listener(t, time.Minute)}), dialectFrame("2", "2", "room:x", "phx_join", map[string]any{}))
		time.Sleep(2 * time.Minute)
		c.Receive(dialectFrame("1", "3", "private:x", "e", 1))
		synctest.Wait()
		want := []string{
			`["1","1","private:x","phx_reply",{"status":"ok","response":{"message":"Joined"}}]`,
			`["2","2","room:x","phx_reply",{"status":"ok","response":{}}]`,
			`["1","1","private:x","phx_error",{"reason":"token_expired"}]`,
			`[null,"3","private:x","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`,
		}
		if got := wire.read(); !slices.Equal(got, want) {
			t.Errorf("the client was sent %q", got)
		}
		c.Close(nil)
		c.Ended(hub.End{})
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
		h.Close()
	})
}
