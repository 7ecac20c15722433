package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
)

// TestChannelStorage reads real entries: by page, by key, of one app.
func TestChannelStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &earshot.App{Slug: "one", PublishKeys: []string{"key-one"}}
		apps, err := auth.NewDirectory([]*earshot.App{app, {Slug: "two", PublishKeys: []string{"key-two"}}})
		if err != nil {
			t.Fatal(err)
		}
		engine := mem.New(mem.Config{})
		h := hub.New(hub.Config{}, engine, slog.New(slog.DiscardHandler))
		if err := h.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		defer func() { _ = engine.Close(context.Background()) }()
		entries := entry.New(h, engine, nil)
		set := func(key, data string, from *earshot.Sender) {
			w := entry.Write{Channel: "a/b", Key: key, Data: []byte(data), Store: earshot.Forever, Sender: from}
			if _, err := entries.Set(context.Background(), app, w); err != nil {
				t.Fatal(err)
			}
		}
		set("b", `{"x":[1]}`, nil)
		set("a", "1", &earshot.Sender{UID: "ann", HasUID: true, Meta: []byte(`{"n":1}`)})
		mux := http.NewServeMux()
		api.New(api.Deps{Entries: entries, Apps: apps, Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler)}).Routes(mux.Handle)
		get := func(target, key string, status int, want string) {
			t.Helper()
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.Header.Set("Authorization", "Bearer "+key)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != status || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %d %s, want %d %s", target, w.Code, w.Body, status, want)
			}
		}
		a, b := `{"key":"a","data":1,"meta":{"uid":"ann","umd":{"n":1}}}`, `{"key":"b","data":{"x":[1]},"meta":{"uid":null,"umd":null}}`
		get("/channels/a%2Fb/storage", "key-one", 200, `{"items":[`+a+`,`+b+`]}`)
		get("/channels/a%2Fb/storage?after=a", "key-one", 200, `{"items":[`+b+`]}`)
		get("/channels/a%2Fb/storage?keys=none,b", "key-one", 200, `{"items":[`+b+`]}`)
		get("/channels/a%2Fb/storage?keys=", "key-one", 200, `{"items":[`+a+`,`+b+`]}`)
		get("/channels/a%2Fb/storage", "key-two", 200, `{"items":[]}`)
		get("/channels/other/storage", "key-one", 200, `{"items":[]}`)
		get("/channels/a%2Fb/storage", "wrong", 401, `KEY_UNKNOWN`)
		get("/channels/a%20b/storage", "key-one", 400, `CHANNEL_NAME`)
		get("/channels/a%2Fb/storage?keys=a,,b", "key-one", 400, `INVALID_STORAGE_KEY`)
		get("/channels/a%2Fb/storage?keys="+strings.Repeat("a,", 100)+"a", "key-one", 413, `TOO_MANY_KEYS`)
		for i := range 120 {
			set(fmt.Sprintf("k%03d", i), "1", nil)
		}
		get("/channels/a%2Fb/storage", "key-one", 200, `"more":true}`)
		get("/channels/a%2Fb/storage?after=k097", "key-one", 200, `{"items":[{"key":"k098",`)
	})
}
