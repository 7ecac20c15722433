package faults

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A listener is the backend of a WebSocket API: it lets everybody in, to the channels
// that they want to join, and keeps what it is told of the ends.
type listener struct {
	*httptest.Server
	mu    sync.Mutex
	began map[string]string // connections, by what their clients call themselves
	ends  map[string][]int  // codes, by connection
	news  chan struct{}
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{began: map[string]string{}, ends: map[string][]int{}, news: make(chan struct{}, 1)}
	l.Server = httptest.NewServer(http.HandlerFunc(l.told))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) told(w http.ResponseWriter, r *http.Request) {
	var e struct {
		QueryStringParameters struct{ Name, Join string }
		RequestContext        struct {
			EventType, ConnectionID string
			DisconnectStatusCode    int
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	switch c := e.RequestContext; c.EventType {
	case "CONNECT":
		l.began[e.QueryStringParameters.Name] = c.ConnectionID
	case "DISCONNECT":
		l.ends[c.ConnectionID] = append(l.ends[c.ConnectionID], c.DisconnectStatusCode)
	}
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
	answer := map[string]any{"statusCode": http.StatusOK}
	if join := e.QueryStringParameters.Join; join != "" {
		answer["join"] = strings.Split(join, ",")
	}
	_ = json.NewEncoder(w).Encode(answer) // a server that was killed need not be told
}

// await waits until all of the connections have ended, as the backend knows.
func (l *listener) await(t *testing.T, ids []string, patience time.Duration) {
	t.Helper()
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		var left []string
		for _, id := range ids {
			if len(l.ends[id]) == 0 {
				left = append(left, id)
			}
		}
		l.mu.Unlock()
		if len(left) == 0 {
			return
		}
		select {
		case <-l.news:
		case <-timeout:
			t.Fatalf("of the ends of %d connections out of %d nobody was told", len(left), len(ids))
		}
	}
}

// serveAPI runs `earshot serve` with a WebSocket API whose backend listens. engine
// is that section of the settings.
func serveAPI(t *testing.T, engine string, l *listener) *server {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	key := drawn()
	settings := fmt.Sprintf(`[server]
listen = %q
[engine]
%s
[[apps]]
slug = "main"
publish_keys = [%q]
[[apps.signing_keys]]
alg = "HS256"
key = %q
[[apps.access_keys]]
id = "AKIDEXAMPLE"
secret = "SECRETKEYEXAMPLE"
[[apps.gateways]]
id = "abc123"
route_selection_expression = "$request.body.action"
stages = [{ stage_name = "prod" }]
routes = [
  { route_key = "$connect", target = "integrations/l" },
  { route_key = "$disconnect", target = "integrations/l" },
]
integrations = [{ integration_id = "l", integration_type = "HTTP_EVENT", integration_uri = %q }]
`, address, engine, key, newKeys().encoded(), l.URL)
	file := filepath.Join(t.TempDir(), "earshot.toml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: exec.Command(binary, "serve", "-c", file)}
	s.cmd.Stderr = os.Stderr
	s.dev.URL, s.dev.WS, s.dev.Key = "http://"+address, "ws://"+address+"/prod", key
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.awaitReady(t)
	return s
}

// visit connects clients, a third of which leave again, while the server is killed
// at some time. It returns the names of those that were let in.
func (s *server) visit(t *testing.T, round, clients int, enough func()) (in []string) {
	t.Helper()
	var mu sync.Mutex
	var visiting sync.WaitGroup
	for i := range clients {
		visiting.Go(func() {
			name := fmt.Sprintf("%d-%d", round, i)
			ws, _, err := websocket.Dial(t.Context(), s.dev.WS+"?Name="+name, nil)
			if err != nil {
				return // the server is gone
			}
			mu.Lock()
			if in = append(in, name); len(in) == clients/2 {
				enough()
			}
			mu.Unlock()
			if i%3 == 0 {
				_ = ws.Close(4000, "seen enough") // as far as there is somebody to say it to
				return
			}
			_, _, _ = ws.Read(t.Context()) // until the server is gone
			_ = ws.CloseNow()
		})
	}
	visiting.Wait()
	return in
}

// TestKilledServerTellsOfItsConnections kills a server while clients connect and
// leave: after the next start its backend has been told of the end of each
// connection that it had let in.
func TestKilledServerTellsOfItsConnections(t *testing.T) {
	l, data := listen(t), t.TempDir()
	engine := fmt.Sprintf("data = %q", data)
	for round := range rounds(1) {
		s := serveAPI(t, engine, l)
		time.AfterFunc(20*time.Second, s.kill) // if nobody is let in
		in := s.visit(t, round, 150, func() { go s.kill() })
		s.kill()

		next := serveAPI(t, engine, l)
		began := time.Now()
		ids := l.let(t, in)
		l.await(t, ids, time.Minute)
		t.Logf("round %d: %d connections, all told of after %v", round, len(ids), time.Since(began).Round(10*time.Millisecond))
		next.kill()
	}
	l.judge(t)
}

// let returns the connections of clients that were let in. One whose handshake was
// cut off by the kill may never have been there for its server.
func (l *listener) let(t *testing.T, names []string) (ids []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(names) == 0 {
		t.Fatal("nobody was let in: the test showed nothing")
	}
	for _, name := range names {
		id := l.began[name]
		if id == "" {
			t.Fatalf("the client %s was let in, and the backend was not asked", name)
		}
		ids = append(ids, id)
	}
	return ids
}

// judge checks what was told.
func (l *listener) judge(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	twice := 0
	begun := map[string]bool{}
	for _, id := range l.began {
		begun[id] = true
	}
	for id, codes := range l.ends {
		if !begun[id] {
			t.Errorf("%s has ended, and never begun", id)
		}
		if len(codes) > 1 {
			twice++
		}
		for _, code := range codes {
			if code != 1006 && code != 4000 {
				t.Errorf("%s has ended with %d", id, code)
			}
		}
	}
	t.Logf("%d of %d connections were told of more than once", twice, len(l.ends))
}

// TestKilledNodeIsToldOfByAnother does the same with two nodes, of which one stays.
// It is for the soak alone, since a node counts as dead only after some seconds.
func TestKilledNodeIsToldOfByAnother(t *testing.T) {
	if os.Getenv("EARSHOT_SOAK") == "" {
		t.Skip("EARSHOT_SOAK is not set")
	}
	l, engine := listen(t), fmt.Sprintf("url = %q", startNATS(t))
	serveAPI(t, engine, l)
	for round := range rounds(1) {
		s := serveAPI(t, engine, l)
		time.AfterFunc(20*time.Second, s.kill)
		in := s.visit(t, round, 150, func() { go s.kill() })
		s.kill()
		began := time.Now()
		ids := l.let(t, in)
		l.await(t, ids, time.Minute)
		t.Logf("round %d: %d connections, all told of after %v", round, len(ids), time.Since(began).Round(10*time.Millisecond))
	}
	l.judge(t)
}
