package gateway_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// A wire is a connection without a socket, for virtual time.
type wire struct {
	*node
	conn    *hub.Conn
	waiting int // what the client is behind

	mu     sync.Mutex
	frames []string
	came   chan struct{}
	over   *hub.Goodbye
}

// connect connects a client to a stage.
func (n *node) connect(path string) *wire {
	n.Helper()
	w, err := n.open(path)
	if err != nil {
		n.Fatal(err)
	}
	return w
}

func (n *node) open(path string) (*wire, error) { return n.openBy(newRequest(path)) }

func (n *node) openBy(r *http.Request) (*wire, error) {
	yes, err := n.protocol.Admit(context.Background(), &proto.Request{HTTP: r})
	if err != nil {
		return nil, err
	}
	w := &wire{node: n, came: make(chan struct{}, 1)}
	w.conn, err = n.hub.Open(n.hub.NextShard(), w, hub.Opening{ID: yes.ID, App: yes.App, Identity: yes.Identity, Farewell: n.protocol})
	if err != nil {
		yes.Lost()
		return nil, err
	}
	session, err := n.protocol.Open(w.conn, w.conn, yes)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.conn.Serve(session)
	w.mu.Unlock()
	n.Cleanup(func() { w.conn.Close(nil) })
	return w, nil
}

// Push takes a frame.
func (w *wire) Push(f *hub.Frame) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, string(f.Head)+string(f.Body))
	w.wake()
	return w.waiting
}

// Flush says how much waits.
func (w *wire) Flush() int { return w.waiting }

// Close takes the goodbye, and ends as a client that answers it.
func (w *wire) Close(g hub.Goodbye) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = &g
	w.wake()
	go w.conn.Ended(hub.End{Code: g.Code, Reason: g.Reason})
}

func (w *wire) wake() {
	select {
	case w.came <- struct{}{}:
	default:
	}
}

func (w *wire) say(text string) { w.conn.Receive(hub.Input{Data: []byte(text)}) }

// hears waits for the next frame.
func (w *wire) hears(want string) {
	w.Helper()
	timeout := time.After(patience)
	for {
		w.mu.Lock()
		var got string
		found := len(w.frames) > 0
		if found {
			got, w.frames = w.frames[0], w.frames[1:]
		}
		w.mu.Unlock()
		switch {
		case found && got == want:
			return
		case found:
			w.Fatalf("heard %q, want %q", got, want)
		}
		select {
		case <-w.came:
		case <-timeout:
			w.Fatalf("%q was not heard", want)
		}
	}
}

// ended returns the goodbye, nil if there was none.
func (w *wire) ended() *hub.Goodbye {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

func newStore() *mem.Store { return mem.NewStore(mem.Config{}) }

// in is ask without a socket.
func (n *node) in(c call) (status int, header http.Header, body string) {
	n.Helper()
	if c.key == "" {
		c.key, c.secret = accessKey, secretKey
	}
	r := httptest.NewRequest(c.method, c.path, bytes.NewReader(c.body))
	for name, values := range c.header {
		r.Header[name] = values
	}
	if c.key != "none" {
		sign(r, c.body, c.key, c.secret)
	}
	w := httptest.NewRecorder()
	n.protocol.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.String()
}

// publish publishes a text as the default app's own server.
func (n *node) publish(channel, text string) {
	n.Helper()
	n.publishMessage(&earshot.Message{Channel: channel, Kind: earshot.Text, Data: []byte(text)})
}

func (n *node) publishMessage(m *earshot.Message) {
	n.Helper()
	if _, err := n.hub.Publish(context.Background(), n.apps.Default(), hub.Publication{Message: m}); err != nil {
		n.Fatal(err)
	}
}
