package epl_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/epl"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The operator's credentials.
const user, password = "ann", "open sesame"

// A rig is the API on everything that it needs.
type rig struct {
	t         *testing.T
	handler   http.Handler
	hub       *heard
	directory *auth.Directory
	store     *tenant.Store
	operator  *auth.Operator
	log       *bytes.Buffer
	records   *mem.Engine
	live      *tenant.Live
	stopping  error
}

// heard is a hub that remembers what was published.
type heard struct {
	*hub.Hub
	mu            sync.Mutex
	messages      []earshot.Message
	calls, wrongs int
	fails         error
}

func (h *heard) Publish(ctx context.Context, a *earshot.App, p hub.Publication) (hub.Appended, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails != nil {
		return hub.Appended{}, h.fails
	}
	if p.Message.Sender != nil {
		return hub.Appended{}, errors.New("it has a sender")
	}
	done, err := h.Hub.Publish(ctx, a, p)
	if err == nil {
		h.messages = append(h.messages, *p.Message)
	}
	return done, err
}

func (h *heard) CountCall(a *earshot.App)    { h.calls++; h.Hub.CountCall(a) }
func (h *heard) CountRefusal(a *earshot.App) { h.wrongs++; h.Hub.CountRefusal(a) }

// last is the newest message; nil if there is none since it was asked last.
func (h *heard) last() *earshot.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.messages) == 0 {
		return nil
	}
	m := h.messages[len(h.messages)-1]
	h.messages = nil
	return &m
}

// on runs a test in a bubble. The settings have the app "fixed", with the name
// "Fixed one".
func on(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t)) })
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	e := mem.NewStore(mem.Config{}).Node()
	var err error
	if r.directory, err = auth.NewDirectory([]*earshot.App{{Slug: "fixed", Name: "Fixed one", Key: "fixed-key", Secrets: []string{"s1", "s2"}, PublishKeys: []string{"pk"}}}); err != nil {
		t.Fatal(err)
	}
	if r.operator, err = auth.NewOperator(auth.OperatorConfig{User: user, Password: password, Token: "tok"}); err != nil {
		t.Fatal(err)
	}
	keys, err := tenant.NewKeyring(tenant.NewMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	h := hub.New(hub.Config{}, e, log)
	h.SetApps(r.directory.BySlug)
	live := tenant.NewLive(r.directory, keys, map[string]string{"publish-here": "the server"}, log)
	if err := errors.Join(h.Start(t.Context()), live.Start(t.Context(), e, h)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		live.Close()
		_ = e.Close(context.Background())
		h.Close()
	})
	r.hub, r.records, r.live = &heard{Hub: h}, e, live
	r.store = tenant.New(tenant.Config{Records: e, Keys: keys, Live: live, Settle: time.Second, Log: log})
	r.serve(epl.Deps{
		Hub: r.hub, Apps: r.directory, Store: r.store, Operator: r.operator, Log: log, Ready: func() error { return r.stopping },
		Gate:   auth.NewGate(auth.GateConfig{Client: client, Log: log}),
		Client: client,
	})
	return r
}

// client says that requests with the header Secure came over TLS.
func client(r *http.Request) (netip.Addr, bool) {
	return netip.MustParseAddr("192.0.2.7"), r.Header.Get("Secure") != ""
}

func (r *rig) serve(d epl.Deps) {
	mux := http.NewServeMux()
	epl.New(d).Routes(mux.Handle)
	r.handler = mux
}

// A request is what is asked for. Headers are "Name: value".
type request struct {
	method, path, kind, body string
	headers                  []string
	// as are credentials for Basic, "" for none; operator's unless said.
	as string
}

const (
	form   = "application/x-www-form-urlencoded"
	inJSON = "application/json"
	nobody = "-"
)

func (r *rig) do(q request) *http.Response {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), q.method, q.path, strings.NewReader(q.body))
	if q.body == "" {
		req.Body = http.NoBody
	}
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
	}
	for _, h := range q.headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	switch q.as {
	case "":
		req.SetBasicAuth(user, password)
	case nobody:
	default:
		name, secret, _ := strings.Cut(q.as, ":")
		req.SetBasicAuth(name, secret)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Result()
}

// want expects a status and a body; "" for an empty one, else JSON that is equal.
func (r *rig) want(q request, status int, body string) *http.Response {
	r.t.Helper()
	resp := r.do(q)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != status || !sameJSON(string(text), body) {
		r.t.Errorf("%s %s %s: %d %s, want %d %s", q.method, q.path, q.body, resp.StatusCode, text, status, body)
	}
	kind := resp.Header.Get("Content-Type")
	if len(text) > 0 && kind != "application/json; charset=utf-8" || len(text) == 0 && kind != "" {
		r.t.Errorf("%s %s: the body %s is of the type %q", q.method, q.path, text, kind)
	}
	if resp.Header.Get("WWW-Authenticate") != "" {
		r.t.Error("it asks for credentials")
	}
	return resp
}

func sameJSON(got, want string) bool {
	if got == want {
		return true
	}
	var a, b any
	return json.Unmarshal([]byte(got), &a) == nil && json.Unmarshal([]byte(want), &b) == nil && reflect.DeepEqual(a, b)
}

// An app is one as it is answered.
type app struct {
	ID                      int64
	Name, Slug, Key, Secret string
	Active                  bool
}

// made makes an app of a name.
func (r *rig) made(name string) app {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"app": map[string]any{"name": name}})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.answered(request{method: "POST", path: "/api/admin/apps", kind: inJSON, body: string(body)}, http.StatusCreated)
}

// answered expects a status and an app with exactly the members of A.4.
func (r *rig) answered(q request, status int) app {
	r.t.Helper()
	resp := r.do(q)
	var got struct{ Data map[string]any }
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || json.Unmarshal(text, &got) != nil {
		r.t.Fatalf("%s %s %s: %d %s, want %d", q.method, q.path, q.body, resp.StatusCode, text, status)
	}
	if len(got.Data) != 6 {
		r.t.Errorf("an app has the members %v", got.Data)
	}
	var out struct{ Data app }
	if err := json.Unmarshal(text, &out); err != nil {
		r.t.Fatal(err)
	}
	return out.Data
}
