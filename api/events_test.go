package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/webhook"
)

// eventful is a server with an app whose webhook answers 410, one that records
// events without a webhook, and one that does neither.
type eventful struct {
	*testing.T
	events *webhook.Events
	url    string
	down   atomic.Bool
	told   chan string // ids that the webhook was told, and refused
	takes  atomic.Bool
}

func newEventful(t *testing.T) *eventful {
	e := &eventful{T: t, told: make(chan string, 100)}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !e.takes.Load() {
			w.WriteHeader(http.StatusGone)
		}
		e.told <- r.Header.Get("webhook-id")
	}))
	t.Cleanup(receiver.Close)
	apps := []*earshot.App{
		{Slug: "hooked", PublishKeys: []string{"key-hooked"}, Webhooks: []earshot.Webhook{{
			ID: "main", URL: receiver.URL + "/?key=secret", Secrets: []string{webhook.NewSecret()}, Trusted: true,
		}}},
		{Slug: "recorded", PublishKeys: []string{"key-recorded"}, RecordEvents: true},
		{Slug: "silent", PublishKeys: []string{"key-silent"}},
	}
	directory, err := auth.NewDirectory(apps)
	if err != nil {
		t.Fatal(err)
	}
	node := mem.NewStore(mem.Config{}).Node()
	log := slog.New(slog.DiscardHandler)
	if e.events, err = webhook.New(webhook.Config{Hold: time.Millisecond}, apps, node, log); err != nil {
		t.Fatal(err)
	}
	lease := func(ctx context.Context, _ string, work func(context.Context)) error { work(ctx); return nil }
	if err := e.events.Start(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	ready := func() error {
		if e.down.Load() {
			return errors.New("stopping")
		}
		return nil
	}
	mux := http.NewServeMux()
	api.New(api.Deps{Apps: directory, Ready: ready, Log: log, Events: e.events}).Routes(mux.Handle)
	server := httptest.NewServer(api.Guard(mux, log))
	e.url = server.URL
	t.Cleanup(func() {
		server.Close()
		_ = e.events.Close(context.Background())
		_ = node.Close(context.Background())
	})
	return e
}

func (e *eventful) record(app, channel string, n int) {
	e.Helper()
	done := make(chan error, 1)
	e.events.Record(&hub.Event{Type: hub.ChannelUpdated, App: app, Channel: channel, Count: n}, func(err error) { done <- err })
	if err := <-done; err != nil {
		e.Fatal(err)
	}
}

func (e *eventful) call(method, path, key, body string) (status int, answer map[string]any, text string) {
	e.Helper()
	r, err := http.NewRequestWithContext(e.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		e.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		e.Fatal(err)
	}
	_ = json.Unmarshal(raw, &answer)
	return resp.StatusCode, answer, string(raw)
}

// TestDeadLettersAreListedAndReplayed over HTTP, by the key of their own app.
func TestDeadLettersAreListedAndReplayed(t *testing.T) {
	e := newEventful(t)
	defer http.DefaultClient.CloseIdleConnections()
	hooks := client.Webhooks{URL: e.url, Key: "key-hooked"}
	e.record("hooked", "c", 1)
	id := <-e.told
	// It is a dead letter once the cursor's node has dealt with the answer.
	var letters []client.DeadLetter
	for len(letters) == 0 {
		var err error
		if letters, _, err = hooks.Dead(t.Context(), "main", "", 10); err != nil {
			t.Fatal(err)
		}
	}
	if letters[0].ID != id || letters[0].Reason != "status 410" || letters[0].Type != "channelUpdated" || !strings.Contains(string(letters[0].Event), `"subscriptionsCount":1`) {
		t.Errorf("got %+v", letters[0])
	}
	all, err := hooks.List(t.Context())
	if err != nil || len(all) != 1 || all[0].Dead != 1 || strings.Contains(all[0].URL, "secret") {
		t.Errorf("got %+v, %v", all, err)
	}
	for path, want := range map[string]int{
		"GET /webhooks/other/dead": 404, "POST /webhooks/other/replay": 404, "GET /webhooks/main/dead?limit=0": 400, "GET /webhooks/main/dead?limit=101": 400,
		"GET /webhooks/main/dead?limit=x": 400, "GET /webhooks/main": 404, "POST /webhooks/main/replay {": 400, `POST /webhooks/main/replay {"ids":[]}`: 400,
		`POST /webhooks/main/replay {"ids":"x"}`: 400, `POST /webhooks/main/replay {"ids":["evt_x"]}`: 404,
	} {
		method, rest, _ := strings.Cut(path, " ")
		at, body, _ := strings.Cut(rest, " ")
		if status, _, text := e.call(method, at, "key-hooked", body); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, text, want)
		}
	}
	for _, path := range []string{"/webhooks", "/events"} {
		if status, _, _ := e.call("GET", path, "wrong", ""); status != 401 {
			t.Errorf("%s with a wrong key: %d", path, status)
		}
	}
	if status, _, _ := e.call("GET", "/webhooks/main/dead", "key-recorded", ""); status != 404 {
		t.Errorf("another app's webhook: %d", status)
	}
	e.takes.Store(true)
	if n, err := hooks.Replay(t.Context(), "main", id); n != 1 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
	if again := <-e.told; again != id {
		t.Errorf("told again as %s, not %s", again, id)
	}
}

// TestEventsAreRead by the client, from where it asks for, until the server stops.
func TestEventsAreRead(t *testing.T) {
	e := newEventful(t)
	defer http.DefaultClient.CloseIdleConnections()
	for i := range 5 {
		e.record("recorded", "c", i)
	}
	e.record("hooked", "other", 9)
	var got []client.Event
	errAll := errors.New("all")
	read := func(after string, until int) []client.Event {
		got = nil
		r := client.Events{URL: e.url, Key: "key-recorded", After: after, OnEvent: func(ev client.Event) error {
			if got = append(got, ev); len(got) == until {
				return errAll
			}
			return nil
		}}
		if err := r.Run(t.Context()); !errors.Is(err, errAll) {
			t.Fatalf("ended by %v", err)
		}
		return got
	}
	all := read("0", 5)
	for i, ev := range all {
		if ev.Type != "hotsock.channelUpdated" || string(ev.Data) != fmt.Sprintf(`{"name":"c","subscriptionsCount":%d}`, i) || ev.Metadata["channel"] != "c" || ev.ID == "" {
			t.Errorf("event %d is %+v", i, ev)
		}
	}
	if rest := read(all[2].Place, 2); rest[0].ID != all[3].ID || rest[1].ID != all[4].ID {
		t.Errorf("after the third came %+v", rest)
	}
	for _, path := range []string{"/events?after=x", "/events?after=00000000000000000000000009"} {
		if status, answer, text := e.call("GET", path, "key-recorded", ""); status != 400 || answer["error"] == nil {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, _, text := e.call("GET", "/events", "key-silent", ""); status != 404 || !strings.Contains(text, "EVENTS_NOT_RECORDED") {
		t.Errorf("an app without events: %d %s", status, text)
	}
	e.down.Store(false)
	stopped := make(chan string)
	go func() {
		_, _, text := e.call("GET", "/events?after=0", "key-recorded", "")
		stopped <- text
	}()
	time.AfterFunc(100*time.Millisecond, func() { e.down.Store(true) })
	if text := <-stopped; strings.Count(text, "\ndata: ") != 5 {
		t.Errorf("until the server stopped came %q", text)
	}
}
