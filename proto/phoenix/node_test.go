package phoenix_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/phoenix"
)

// A node is one of several that share a store, with its HTTP side alone.
type node struct {
	*testing.T
	engine *mem.Engine
	hub    *hub.Hub
	apps   *auth.Directory
	http   *http.ServeMux
	stop   func()
}

// nodes runs a test on so many nodes, in a bubble.
func nodes(t *testing.T, n int, test func(store *mem.Store, all []*node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		all := make([]*node, n)
		for i := range all {
			all[i] = newNode(t, store)
		}
		time.Sleep(time.Second) // they have met
		test(store, all)
		for _, one := range all {
			one.stop()
		}
	})
}

func newNode(t *testing.T, store *mem.Store) *node {
	t.Helper()
	n := &node{T: t, engine: store.Node(), http: http.NewServeMux()}
	log := slog.New(slog.DiscardHandler)
	var err error
	if n.apps, err = auth.NewDirectory(tenants()); err != nil {
		t.Fatal(err)
	}
	n.hub = hub.New(hub.Config{Shards: 2}, n.engine, log)
	if err := n.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	p := phoenix.New(phoenix.DefaultConfig(), proto.Deps{
		Hub: n.hub, Apps: n.apps, Tokens: auth.NewVerifier(n.apps, n.engine), Records: n.engine, Log: log,
	})
	p.Routes(n.http.Handle)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { p.Run(ctx); close(over) }()
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-over
		n.hub.Close()
		if err := n.engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	return n
}

// An answered is what a request came to.
type answered struct {
	Status   int
	Token    string
	Messages []json.RawMessage

	http   int
	header http.Header
}

// words are the messages as they stand there.
func (a *answered) words() string {
	var all []string
	for _, m := range a.Messages {
		var text string
		if json.Unmarshal(m, &text) == nil {
			all = append(all, text)
		} else {
			all = append(all, "object:"+string(m))
		}
	}
	return strings.Join(all, "\n")
}

func (n *node) ask(r *http.Request) *answered {
	n.Helper()
	w := httptest.NewRecorder()
	n.http.ServeHTTP(w, r)
	a := &answered{http: w.Code, header: w.Header()}
	if w.Code == http.StatusOK && w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), a); err != nil {
			n.Errorf("%v: %s", err, w.Body)
		}
		if got := w.Header().Get("Content-Type") + " " + w.Header().Get("Cache-Control") + " " + w.Header().Get("Access-Control-Allow-Origin"); got != "application/json; charset=utf-8 no-store *" {
			n.Errorf("the answer's headers are %s", got)
		}
	}
	return a
}

const pollPath = "/socket/longpoll?vsn=2.0.0&token="

func (n *node) get(token string) *answered {
	n.Helper()
	return n.ask(httptest.NewRequest(http.MethodGet, pollPath+token, nil))
}

func (n *node) post(token string, lines ...string) *answered {
	n.Helper()
	return n.postAs("application/x-ndjson", token, strings.Join(lines, "\n"))
}

func (n *node) postAs(kind, token, body string) *answered {
	n.Helper()
	r := httptest.NewRequest(http.MethodPost, pollPath+token, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	return n.ask(r)
}

// opened opens a session and returns its token.
func (n *node) opened() string {
	n.Helper()
	a := n.get("")
	if a.Status != 410 || a.Token == "" || a.Messages == nil || len(a.Messages) > 0 {
		n.Fatalf("a session is opened by %+v", a)
	}
	return a.Token
}

func (n *node) wants(a *answered, status int, words ...string) {
	n.Helper()
	if got := a.words(); a.http != http.StatusOK || a.Status != status || got != strings.Join(words, "\n") {
		n.Errorf("answered %d %d %s, want %d %q", a.http, a.Status, got, status, words)
	}
}

const (
	joinLobby   = `["1","1","room:lobby","phx_join",{}]`
	joinedLobby = `["1","1","room:lobby","phx_reply",{"status":"ok","response":{}}]`
)
