package ws_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/ws"
)

// A finder takes the rest: the paths below /rest, and a host of its own.
type finder struct{ speaker }

func (*finder) Find(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/rest") }
func (*finder) Owns(r *http.Request) bool { return r.Host == "own.example" }

func rest(f *finder, admitTime time.Duration) ws.Endpoint {
	return ws.Endpoint{Entry: proto.Entry{Name: "rest", Rest: true, AdmitTime: admitTime}, Protocol: f}
}

// says has every connection begin with a word.
func says(word string) func(*hub.Conn) error {
	return func(c *hub.Conn) error { return c.Send(hub.TextFrame([]byte(word))) }
}

// TestRest: the entry that takes the rest has what nobody else has and it wants,
// and all of a host that is its own.
func TestRest(t *testing.T) {
	s := serve(t, setup{endpoints: []ws.Endpoint{at(&speaker{open: says("first")}, "/v1", "/rest/taken"), rest(&finder{speaker{open: says("rest")}}, 0)}})
	for _, test := range []struct{ host, path, want string }{
		{"", "/v1", "first"}, {"", "/rest/taken", "first"}, {"", "/rest/free", "rest"}, {"own.example", "/v1", "rest"}, {"own.example", "/else", "rest"},
	} {
		c := s.dial(test.path, &websocket.DialOptions{Host: test.host})
		if _, got, err := c.Read(t.Context()); err != nil || string(got) != test.want {
			t.Errorf("%s%s: %q %v", test.host, test.path, got, err)
		}
	}
	if _, err := s.tryDial("/else", nil); err == nil {
		t.Error("somebody took /else")
	}
}

// TestOneRest: two entries cannot both take the rest.
func TestOneRest(t *testing.T) {
	_, err := ws.New(ws.Config{}, ws.Deps{Apps: apps{}}, []ws.Endpoint{rest(&finder{}, 0), rest(&finder{}, 0)})
	if err == nil || !strings.Contains(err.Error(), "what nobody else does") {
		t.Errorf("it was allowed: %v", err)
	}
}

// TestLongAdmission: who waits for a backend holds no place at the door, has its
// id, and is told of if there is no connection after all.
func TestLongAdmission(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		id, release := earshot.NewConnID(), make(chan struct{})
		asked := make(chan struct{}, 1)
		var lost atomic.Int32
		f := &finder{speaker{admit: func(ctx context.Context, _ *proto.Request) (proto.Admission, error) {
			asked <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return proto.Admission{App: app, Identity: &earshot.Identity{App: app.Slug}, ID: id, Lost: func() { lost.Add(1) }}, nil
		}}}
		s := serve(t, setup{way: w, endpoints: []ws.Endpoint{rest(f, time.Minute)}, ws: ws.Config{HandshakeTime: time.Nanosecond}})
		opened := make(chan error, 1)
		connect := func() {
			c, err := s.tryDial("/rest", nil)
			if err == nil {
				err = c.Write(t.Context(), websocket.MessageText, []byte("x"))
			}
			opened <- err
		}
		go connect()
		next(t, asked)
		if n := s.door.Waiting(); n != 0 {
			t.Errorf("%d wait at the door", n)
		}
		release <- struct{}{}
		if err := next(t, opened); err != nil {
			t.Fatal(err)
		}
		if s.hub.Conn(id) == nil {
			t.Error("there is no connection of this id")
		}
		go connect()
		next(t, asked)
		if err := s.hub.Drain(t.Context(), 0); err != nil {
			t.Error(err)
		}
		release <- struct{}{}
		if err := next(t, opened); err == nil || lost.Load() != 1 {
			t.Errorf("while the server drains: %v, lost %d", err, lost.Load())
		}
	})
}
