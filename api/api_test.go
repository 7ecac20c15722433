package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/transport"
)

// published is a hub that remembers what it was given.
type published struct {
	all    []hub.Publication
	apps   []string
	kicked []hub.Selection
	asked  []string
	info   hub.Info
	// answer says what becomes of a message; nil accepts it.
	answer func(p hub.Publication) (hub.Appended, error)
	// hold keeps the outcomes back.
	hold bool
}

func (h *published) PublishAsync(_ context.Context, a *earshot.App, p hub.Publication, done func(hub.Appended, error)) {
	h.all = append(h.all, p)
	h.apps = append(h.apps, a.Slug)
	switch {
	case h.hold:
	case h.answer != nil:
		done(h.answer(p))
	default:
		done(hub.Appended{ID: earshot.NewID(time.UnixMilli(1), earshot.Position{Epoch: 1, Seq: uint64(len(h.all))})}, nil)
	}
}

func (h *published) Kick(s hub.Selection) (int, error) {
	h.kicked = append(h.kicked, s)
	return 2, nil
}

func (h *published) Info(_ context.Context, a *earshot.App, channel string) (hub.Info, error) {
	h.asked = append(h.asked, a.Slug+" "+channel)
	return h.info, nil
}

type world struct {
	functions *functions
	testing.TB
	hub *published
	mux *http.ServeMux
	// lambda stands before mux.
	lambda http.Handler
	stored *stored
	ready  error
	log    bytes.Buffer
}

func newWorld(t testing.TB) *world {
	apps, err := auth.NewDirectory([]*earshot.App{
		{
			Slug: "one", PublishKeys: []string{"key-one", "key-two"}, Hosts: []string{"one.example"},
			AccessKeys: []earshot.AccessKey{
				{ID: "AK1", Secret: "secret-one"},
				{ID: "AK2", Secret: "secret-narrow", Allow: []earshot.Pattern{earshot.Glob("lambda:InvokeFunction:my-*")}},
			},
			Rules: []earshot.Rule{{Channel: earshot.Exact("live"), Live: true}},
		},
		{
			Slug: "two", PublishKeys: []string{"key-three"}, Hosts: []string{"two.example"},
			AccessKeys: []earshot.AccessKey{{ID: "AK3", Secret: "secret-two"}}, Unsigned: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, hub: &published{}, mux: http.NewServeMux(), stored: &stored{}, functions: &functions{}}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a := api.New(api.Deps{
		Functions: w.functions,
		Storage:   w.stored, Reactions: w.stored, Schedule: planned{w.stored}, Client: transport.Proxies(nil).Client,
		Hub: w.hub, Apps: apps, Ready: func() error { return w.ready }, Log: log,
		Metrics: []api.Source{api.HubFigures(func() hub.Stats { return hub.Stats{Opened: 5, Ended: 2} }), api.ProcessFigures()},
	})
	a.Routes(w.mux.Handle)
	w.lambda = a.Lambda(w.mux)
	return w
}

// post sends a body with a key.
func (w *world) post(path, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	return rec
}

// wants checks status and, in part, body.
func (w *world) wants(r *httptest.ResponseRecorder, status int, part string) {
	w.Helper()
	if r.Code != status || !strings.Contains(r.Body.String(), part) {
		w.Errorf("got %d %s, want %d %s", r.Code, r.Body, status, part)
	}
}

// TestNobodyGuessesAKey: what the server publishes itself, of changes and at
// times, has keys in the same channels. No deduplicationId is one of them.
func TestNobodyGuessesAKey(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"notice:7", "schedule:01ARZ3NDEKTSV4RRFFQ69G5FAV", "amz-sdk-invocation-id i-1", " "} {
		w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"e","deduplicationId":"`+id+`"}`), http.StatusAccepted, "")
	}
	for _, p := range w.hub.all {
		if !strings.HasPrefix(p.Key, "deduplication-id ") {
			t.Errorf("it is published with the key %q", p.Key)
		}
	}
}

func TestPublish(t *testing.T) {
	w := newWorld(t)
	r := w.post("/publish", "key-two", `{"event":"e","channel":"c/d","data":{ "a": 1.50, "b": "\u00e9" },"store":60,"deduplicationId":"d1","eagerIdGeneration":true,"emitPubSubEvent":true,"schedule_expression":"x","other":[1]}`)
	w.wants(r, http.StatusAccepted, "")
	if got, want := r.Body.String(), `{"channel":"c/d","event":"e","id":"0000000001000G000000000001"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p := w.hub.all[0]
	m := p.Message
	if m.Channel != "c/d" || m.Event != "e" || string(m.Data) != `{"a":1.50,"b":"\u00e9"}` || m.Kind != earshot.JSON || m.Store != time.Minute || m.Sender != nil {
		t.Errorf("got the message %+v %s", m, m.Data)
	}
	if p.Key != "deduplication-id d1" || !p.WantID || w.hub.apps[0] != "one" {
		t.Errorf("got %+v for %s", p, w.hub.apps[0])
	}

	r = w.post("/publish", "key-three", `{"channel":"c","event":"e","store":-1,"eagerIdGeneration":false,"data":null,"scheduleExpression":null}`)
	w.wants(r, http.StatusAccepted, `{"channel":"c","event":"e"}`)
	if p = w.hub.all[1]; p.Message.Store != earshot.Forever || p.WantID || w.hub.apps[1] != "two" {
		t.Errorf("got %+v", p)
	}
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"e"}`), http.StatusAccepted, "")
	if len(w.hub.all[2].Message.Data) != 0 {
		t.Errorf("got data %s, want none", w.hub.all[2].Message.Data)
	}
}

func TestPublishRefuses(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		body   string
		status int
		code   string
	}{
		{``, 400, "JSON"},
		{`nonsense`, 400, "JSON"},
		{`{"channel":"c","event":"e"} x`, 400, "JSON"},
		{`"text"`, 400, "BODY"},
		{`null`, 400, "MEMBER_MISSING"},
		{"{\"channel\":\"\xff\",\"event\":\"e\"}", 400, "JSON"},
		{`{"channel":"c","channel":"d","event":"e"}`, 400, "DUPLICATE_MEMBER"},
		{`{"channel":"c","event":"e","other":1,"other":2}`, 400, "DUPLICATE_MEMBER"},
		{`{"channel":"c","event":"e","data":{"a":1,"a":2}}`, 400, "DUPLICATE_MEMBER"},
		{`{"channel":"c"}`, 400, "MEMBER_MISSING"},
		{`{"event":"e"}`, 400, "MEMBER_MISSING"},
		{`{"Channel":"c","event":"e"}`, 400, "MEMBER_MISSING"},
		{`{"channel":7,"event":"e"}`, 400, "MEMBER_TYPE"},
		{`{"channel":"c","event":["e"]}`, 400, "MEMBER_TYPE"},
		{`{"channel":"c","event":"e","store":"60"}`, 400, "MEMBER_TYPE"},
		{`{"channel":"c","event":"e","store":1.5}`, 400, "MEMBER_TYPE"},
		{`{"channel":"c","event":"e","store":-2}`, 400, "STORE"},
		{`{"channel":"c","event":"e","store":3155695201}`, 400, "STORE"},
		{`{"channel":"c","event":"e","deduplicationId":7}`, 400, "MEMBER_TYPE"},
		{`{"channel":"c","event":"e","deduplicationId":"` + long + `"}`, 400, "DEDUPLICATION_ID"},
		{`{"channel":"c","event":"e","eagerIdGeneration":"yes"}`, 400, "MEMBER_TYPE"},
		{`{"channel":"","event":"e"}`, 400, "CHANNEL_NAME"},
		{`{"channel":"a b","event":"e"}`, 400, "CHANNEL_NAME"},
		{`{"channel":"a*","event":"e"}`, 400, "CHANNEL_NAME"},
		{`{"channel":"` + long + `","event":"e"}`, 400, "CHANNEL_NAME"},
		{`{"channel":"c","event":" "}`, 400, "EVENT_NAME"},
		{`{"channel":"c","event":"a*"}`, 400, "EVENT_NAME"},
		{`{"channel":"c","event":"#a"}`, 400, "EVENT_NAME"},
		{`{"channel":"c","event":"` + long + `"}`, 400, "EVENT_NAME"},
		{`{"channel":"c","event":"hotsock.connected"}`, 400, "EVENT_RESERVED"},
		{`{"channel":"c","event":"e","scheduleExpression":"at(1)"}`, 400, "SCHEDULE"},
		{`{"channel":"c","event":"e","scheduleExpression":7}`, 400, "MEMBER_TYPE"},
		{`{"channel":"c","event":"hotsock.channelStorageSet"}`, 400, "MEMBER_MISSING"},
		{`{"channel":"c","event":"e","data":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "BODY_TOO_LARGE"},
		{strings.Repeat(" ", 10<<20) + `{}`, 413, "BODY_TOO_LARGE"},
		{`[` + strings.Repeat(`{},`, 1000) + `{}]`, 413, "BATCH_TOO_LARGE"},
		{`[1,]`, 400, "JSON"},
	} {
		w := newWorld(t)
		r := w.post("/publish", "key-one", c.body)
		var e struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(r.Body.Bytes(), &e); err != nil || r.Code != c.status || e.Error.Code != c.code || e.Error.Message == "" {
			t.Errorf("%.80s: got %d %s, want %d %s", c.body, r.Code, r.Body, c.status, c.code)
		}
		if len(w.hub.all) != 0 {
			t.Errorf("%.80s: it was published", c.body)
		}
		if r.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%.80s: the error is not JSON", c.body)
		}
	}
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	body := `{"channel":"c","event":"e"}`
	for header, code := range map[string]string{
		"": "KEY_MISSING", "Bearer": "KEY_MISSING", "Bearer ": "KEY_MISSING", "Basic a2V5LW9uZTo=": "KEY_MISSING",
		"Bearer key-on": "KEY_UNKNOWN", "Bearer Key-one": "KEY_UNKNOWN",
	} {
		r := httptest.NewRequest(http.MethodPost, "/publish", strings.NewReader(body))
		r.Header.Set("Authorization", header)
		got := w.do(r)
		w.wants(got, http.StatusUnauthorized, code)
		if got.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Error("the answer does not say how to authenticate")
		}
	}
	r := httptest.NewRequest(http.MethodPost, "http://two.example/publish", strings.NewReader(body))
	r.Header.Set("Authorization", "bearer key-one")
	w.wants(w.do(r), http.StatusForbidden, "KEY_OF_OTHER_APP")
	if len(w.hub.all) != 0 {
		t.Error("something was published")
	}
	r = httptest.NewRequest(http.MethodPost, "http://one.example:8080/publish", strings.NewReader(body))
	r.Header.Set("Authorization", "bearer key-one")
	w.wants(w.do(r), http.StatusAccepted, "")
	if strings.Contains(w.log.String(), "key-on") {
		t.Error("the log holds a key")
	}
}

func TestBatch(t *testing.T) {
	w := newWorld(t)
	w.wants(w.post("/publish", "key-one", `[]`), http.StatusAccepted, `[]`)
	r := w.post("/publish", "key-one", ` [{"channel":"c","event":"1"},{"channel":"c","event":"2","eagerIdGeneration":true}]`)
	w.wants(r, http.StatusAccepted, `[{"channel":"c","event":"1"},{"channel":"c","event":"2","id":"0000000001000G000000000002"}]`)

	w.hub.answer = func(p hub.Publication) (hub.Appended, error) {
		if p.Message.Event == "full" {
			return hub.Appended{}, earshot.Errorf(earshot.Full, "no room")
		}
		return hub.Appended{}, nil
	}
	r = w.post("/publish", "key-one", `[{"channel":"c","event":"a"},7,{"channel":"c","event":"full"},{"event":"x"},{"channel":"c","event":"b","x":1,"x":1},{"channel":"c","event":"z"}]`)
	w.wants(r, http.StatusBadRequest, "DUPLICATE_MEMBER") // the array itself is not valid then
	r = w.post("/publish", "key-one", `[{"channel":"c","event":"a"},7,{"channel":"c","event":"full"},{"event":"x"},{"channel":"c","event":"z"}]`)
	w.wants(r, http.StatusMultiStatus, "")
	want := `[{"channel":"c","event":"a"},{"error":{"code":"BODY","message":"a message is a JSON object"}},` +
		`{"channel":"c","event":"full","error":{"code":"FULL","message":"no room"}},` +
		`{"error":{"code":"MEMBER_MISSING","message":"channel and event are needed"}},{"channel":"c","event":"z"}]`
	if r.Body.String() != want {
		t.Errorf("got %s, want %s", r.Body, want)
	}
	var order []string
	for _, p := range w.hub.all[2:] {
		order = append(order, p.Message.Event)
	}
	if strings.Join(order, " ") != "a full z" {
		t.Errorf("published in the order %v", order)
	}
}

// TestUnknownOutcome: who waits too long is told that it may be stored.
func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hub.hold = true
		begun := time.Now()
		r := w.post("/publish", "key-one", `{"channel":"c","event":"e","deduplicationId":"d"}`)
		w.wants(r, http.StatusGatewayTimeout, "the same deduplicationId is safe")
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("it took %v", took)
		}
		r = w.post("/publish", "key-one", `{"channel":"c","event":"e"}`)
		w.wants(r, http.StatusGatewayTimeout, "may publish it twice")
		if r.Header().Get("Retry-After") == "" {
			t.Error("the answer does not say when to come back")
		}
	})
}

// TestEveryCode walks all codes: each has a status and a name, and a cause is
// never shown.
func TestEveryCode(t *testing.T) {
	seen := map[string]earshot.Code{}
	for _, code := range earshot.Codes() {
		w := newWorld(t)
		w.hub.answer = func(hub.Publication) (hub.Appended, error) {
			return hub.Appended{}, &earshot.Error{Code: code, Text: "a text", Err: errors.New("the cause")}
		}
		r := w.post("/publish", "key-one", `{"channel":"c","event":"e"}`)
		if known := api.KnowsCode(code); !known {
			t.Errorf("%v has no status", code)
		}
		var e struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(r.Body.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if r.Code < 400 || e.Error.Code == "" || e.Error.Code != strings.ToUpper(e.Error.Code) || strings.Contains(r.Body.String(), "cause") {
			t.Errorf("%v: got %d %s", code, r.Code, r.Body)
		}
		if other, ok := seen[e.Error.Code]; ok {
			t.Errorf("%v and %v are both called %s", other, code, e.Error.Code)
		}
		seen[e.Error.Code] = code
		if again := r.Header().Get("Retry-After") != ""; again != code.Temporary() {
			t.Errorf("%v: Retry-After is given: %v, but it may pass: %v", code, again, code.Temporary())
		}
		if logged := strings.Contains(w.log.String(), "the cause"); logged != (r.Code >= 500) {
			t.Errorf("%v: status %d, and the cause is logged: %v", code, r.Code, logged)
		}
	}
	if api.KnowsCode(200) {
		t.Error("a code that there is not has a status")
	}
	w := newWorld(t)
	w.hub.answer = func(hub.Publication) (hub.Appended, error) { return hub.Appended{}, errors.New("secret detail") }
	r := w.post("/publish", "key-one", `{"channel":"c","event":"e"}`)
	w.wants(r, http.StatusInternalServerError, `"INTERNAL"`)
	if strings.Contains(r.Body.String(), "secret") {
		t.Error("an internal error is shown")
	}
}

func TestRetryAfter(t *testing.T) {
	w := newWorld(t)
	w.hub.answer = func(hub.Publication) (hub.Appended, error) {
		return hub.Appended{}, &earshot.Error{Code: earshot.Limited, RetryAfter: 1500 * time.Millisecond}
	}
	if got := w.post("/publish", "key-one", `{"channel":"c","event":"e"}`).Header().Get("Retry-After"); got != "2" {
		t.Errorf("got %q, want 2: it is rounded up", got)
	}
}

func TestDisconnect(t *testing.T) {
	w := newWorld(t)
	id := earshot.NewConnID()
	w.wants(w.post("/connections/disconnect", "key-one", fmt.Sprintf(`{"connectionId":%q}`, id)), http.StatusAccepted, `{"closed":2}`)
	w.wants(w.post("/connections/disconnect", "key-three", `{"uid":""}`), http.StatusAccepted, "")
	if k := w.hub.kicked; len(k) != 2 || k[0].App != "one" || k[0].Conn != id || k[0].UID != nil || k[1].App != "two" || !k[1].Conn.IsZero() || *k[1].UID != "" {
		t.Errorf("got %+v", k)
	}
	for body, code := range map[string]string{
		`{}`: "MEMBER_MISSING", fmt.Sprintf(`{"connectionId":%q,"uid":"a"}`, id): "MEMBER_MISSING", `{"connectionId":"x"}`: "CONNECTION_ID",
		`{"connectionId":"AAAAAAAAAAAAAAA="}`: "CONNECTION_ID", `{"uid":7}`: "MEMBER_TYPE", `{"uid":"a","uid":"b"}`: "DUPLICATE_MEMBER", ``: "JSON",
	} {
		w.wants(w.post("/connections/disconnect", "key-one", body), http.StatusBadRequest, code)
	}
	w.wants(w.post("/connections/disconnect", "", `{"uid":"a"}`), http.StatusUnauthorized, "KEY_MISSING")
	if len(w.hub.kicked) != 2 {
		t.Error("a refused request closed connections: without a selection, perhaps all")
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	get := func(path string) *httptest.ResponseRecorder {
		return w.do(httptest.NewRequest(http.MethodGet, path, nil))
	}
	w.wants(get("/healthz"), http.StatusOK, "ok")
	w.wants(get("/readyz"), http.StatusOK, "ready")
	w.ready = errors.New("starting")
	w.wants(get("/healthz"), http.StatusOK, "ok")
	w.wants(get("/readyz"), http.StatusServiceUnavailable, "starting")
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"e"}`), http.StatusServiceUnavailable, "NOT_READY")
	if len(w.hub.all) != 0 {
		t.Error("something was published before the server was ready")
	}
	w.wants(get("/publish"), http.StatusMethodNotAllowed, "")
}

func TestGuard(t *testing.T) {
	var log bytes.Buffer
	h := api.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			panic("oh no")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusTeapot)
	}), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/panic?token=very-secret", nil))
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "oh no") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/x?token=very-secret", nil))
	if rec.Code != http.StatusTeapot || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d %v", rec.Code, rec.Header())
	}
	if s := log.String(); strings.Contains(s, "very-secret") || !strings.Contains(s, "oh no") || !strings.Contains(s, "status=418") {
		t.Errorf("the log is %s", s)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("an abort is not passed on")
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/abort", nil))
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	page := w.do(httptest.NewRequest(http.MethodGet, "/metrics", nil))
	w.wants(page, http.StatusOK, "\nearshot_connections 3\n")
	if got := page.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("got the type %q", got)
	}
	w.wants(page, http.StatusOK, "# TYPE earshot_connections gauge\nearshot_connections 3\n")
	w.wants(page, http.StatusOK, `earshot_connections_closed_total{reason="not_found"} 0`)
	w.wants(page, http.StatusOK, "# TYPE earshot_connections_opened_total counter\nearshot_connections_opened_total 5\n")
	if strings.Contains(page.Body.String(), "process_resident_memory_bytes 0\n") {
		t.Error("the process has no memory")
	}
}
