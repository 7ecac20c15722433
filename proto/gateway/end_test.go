package gateway_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// TestIdle: ten minutes without a message in either direction end a connection,
// and messages of either side put that off (11.1, 11.5).
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		w := n.connect("/prod")
		stays := func(d time.Duration) {
			t.Helper()
			time.Sleep(d)
			if w.ended() != nil {
				t.Fatal("the connection has ended")
			}
		}
		stays(9 * time.Minute)
		w.say(`{"action":"push"}`)
		stays(9 * time.Minute)
		if status, _, _ := n.in(call{method: "POST", path: "/prod/@connections/" + w.conn.ID().String()}); status != 200 {
			t.Fatalf("a post was answered %d", status)
		}
		w.hears("")
		stays(9 * time.Minute)
		if status, _, _ := n.in(call{method: "PUT", path: "/prod/@connections/" + w.conn.ID().String() + "/@channels/live.news"}); status != 204 {
			t.Fatalf("a join was answered %d", status)
		}
		n.publish("live.news", "x")
		w.hears("x")
		stays(9 * time.Minute)
		began := time.Now()
		e := n.waitFor(t, core.Disconnect, 1, time.Hour)
		if took := time.Since(began); took > 2*time.Minute+time.Second {
			t.Errorf("it took %v more", took)
		}
		if g := w.ended(); e.Code != 1001 || e.Reason != "Going away" || g.Code != 1001 || g.Reason != "Going away" {
			t.Errorf("the client was told %d %q, $disconnect %d %q", g.Code, g.Reason, e.Code, e.Reason)
		}
	})
}

// TestIdleIsExact: who hears no channel ends at the second.
func TestIdleIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		began := time.Now()
		n.connect("/prod")
		n.waitFor(t, core.Disconnect, 1, time.Hour)
		if took := time.Since(began); took < 10*time.Minute || took > 10*time.Minute+time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestTimesOfTheAPI: idle time and lifetime are the API's, and may be never.
func TestTimesOfTheAPI(t *testing.T) {
	for _, test := range []struct {
		name       string
		idle, life int
		want       time.Duration // 0 is never
	}{
		{"idle", 60, 0, time.Minute},
		{"lifetime", -1, 7200, 2 * time.Hour},
		{"whichever is first", 60, 30, 30 * time.Second},
		{"never", -1, -1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := bare(t, newStore(), newBackend(), app(api(func(g *earshot.Gateway) { g.IdleSeconds, g.LifetimeSeconds = test.idle, test.life })))
				began := time.Now()
				w := n.connect("/prod")
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				switch e := n.find(core.Disconnect, 1); {
				case test.want == 0:
					if w.ended() != nil {
						t.Error("it has ended")
					}
				case e == nil || e.Code != 1001 || e.Time.Sub(began) < test.want || e.Time.Sub(began) > test.want+time.Second:
					t.Errorf("the end: %+v", e)
				}
			})
		})
	}
}

// TestDisconnectCodes is table 4.5, as far as the codes are the client's.
func TestDisconnectCodes(t *testing.T) {
	n := serve(t)
	for i, test := range []struct {
		name   string
		leave  func(*client)
		code   int
		reason string
	}{
		{"no status", func(c *client) { _ = c.Close(websocket.StatusNoStatusRcvd, "") }, 1005, "Client-side close frame status not set"},
		{"going away", func(c *client) { _ = c.Close(websocket.StatusGoingAway, "") }, 1001, ""},
		{"its own", func(c *client) { _ = c.Close(4321, "so long") }, 4321, "so long"},
		{"lost", func(c *client) { _ = c.CloseNow() }, 1006, "Connection closed abnormally"},
	} {
		test.leave(n.dial("/prod"))
		if e := n.wait(t, core.Disconnect, i+1); e.Code != test.code || e.Reason != test.reason {
			t.Errorf("%s: $disconnect was told %d %q", test.name, e.Code, e.Reason)
		}
	}
}

// TestFarewells translates every code.
func TestFarewells(t *testing.T) {
	n := bareNode(t)
	want := map[earshot.Code]int{
		earshot.Internal: 1011, earshot.Invalid: 1008, earshot.Unauthenticated: 1008, earshot.Forbidden: 1008, earshot.NotFound: 1001,
		earshot.Conflict: 1008, earshot.TooLarge: 1009, earshot.Limited: 1013, earshot.Unavailable: 1013, earshot.Full: 1013,
		earshot.Unknown: 1013, earshot.Slow: 1008, earshot.Expired: 1008, earshot.Kicked: 1008, earshot.Shutdown: 1001, earshot.Timeout: 1001,
	}
	for _, c := range earshot.Codes() {
		code, ok := want[c]
		if !ok {
			t.Errorf("the table lacks %v", c)
		}
		if last, got, reason := n.protocol.Farewell(&earshot.Error{Code: c}); got != code || reason == "" || last != nil {
			t.Errorf("%v: %v %d %q", c, last, got, reason)
		}
	}
	if _, code, reason := n.protocol.Farewell(nil); code != 1000 || reason != "Connection Closed Normally" {
		t.Errorf("a regular end: %d %q", code, reason)
	}
	if _, code, _ := n.protocol.Farewell(errors.New("else")); code != 1011 {
		t.Errorf("any other error: %d", code)
	}
}

// TestSilentClient: one that is not heard of any more is lost, whatever it was told.
func TestSilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		w := n.connect("/prod")
		w.conn.Close(earshot.Errorf(earshot.Timeout, "the client did not answer"))
		if e := n.wait(t, core.Disconnect, 1); e.Code != 1006 {
			t.Errorf("$disconnect was told %d %q", e.Code, e.Reason)
		}
	})
}

// TestRemovedAPI: an API or a stage that was removed ends its connections, at the
// next message or look; a change of a route counts from the next message on.
func TestRemovedAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		w := n.connect("/prod")
		w.say(`{"action":"new"}`)
		if e := n.wait(t, core.Message, 1); e.Route.Key != "$default" {
			t.Errorf("the route is %s", e.Route.Key)
		}
		n.replace(api(func(g *earshot.Gateway) {
			g.Routes = append(g.Routes, earshot.GatewayRoute{Key: "new", Target: "integrations/all"})
		}))
		w.say(`{"action":"new"}`)
		if e := n.wait(t, core.Message, 2); e.Route.Key != "new" {
			t.Errorf("the route is %s", e.Route.Key)
		}
		n.replace(api(func(g *earshot.Gateway) { g.Stages = g.Stages[1:] }))
		w.say(`{"action":"new"}`)
		synctest.Wait()
		if g := w.ended(); g == nil || g.Code != 1001 {
			t.Errorf("the client was told %+v", g)
		}
	})
}

// replace gives the app another API.
func (n *node) replace(g earshot.Gateway) {
	a := app(g)
	if refused := n.apps.Replace([]*earshot.App{a}); len(refused) > 0 {
		n.Fatal(refused[0].Err)
	}
	n.hub.Renew(a)
}

// TestLost: who was let in and is not there any more when the answer comes is told
// of, as one whose connection was lost.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		yes, err := n.protocol.Admit(context.Background(), &proto.Request{HTTP: newRequest("/prod")})
		if err != nil {
			t.Fatal(err)
		}
		yes.Lost()
		if e := n.wait(t, core.Disconnect, 1); e.Code != 1006 || e.Conn.ID != yes.ID.String() {
			t.Errorf("$disconnect was told %d of %s", e.Code, e.Conn.ID)
		}
		synctest.Wait()
		n.noRecords()
	})
}

// TestGoneDuringConnect: who leaves while the $connect integration thinks about it
// is told of to who says yes then.
func TestGoneDuringConnect(t *testing.T) {
	n := serve(t)
	release := make(chan struct{})
	n.answers(func(ctx context.Context, e *core.Event) (*core.Answer, error) {
		if e.Type == core.Connect {
			select {
			case <-release:
			case <-ctx.Done():
				t.Error("the call was given up")
			}
		}
		return nil, nil
	})
	nc, err := net.Dial("tcp", strings.TrimPrefix(n.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	const upgrade = "GET /prod HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	if _, err := nc.Write([]byte(upgrade)); err != nil {
		t.Fatal(err)
	}
	id := n.wait(t, core.Connect, 1).Conn.ID
	if err := nc.Close(); err != nil {
		t.Fatal(err)
	}
	close(release)
	if e := n.wait(t, core.Disconnect, 1); e.Code != 1006 || e.Conn.ID != id {
		t.Errorf("$disconnect was told %d of %s", e.Code, e.Conn.ID)
	}
}

func newRequest(path string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		panic(err)
	}
	r.Host = "gateway.example"
	return r
}

// noRecords checks that nothing is kept of any connection.
func (n *node) noRecords() {
	n.Helper()
	for _, kind := range []string{"disconnect"} {
		if all, _, err := n.engine.List(context.Background(), hub.Key{kind}, nil, 10); err != nil || len(all) > 0 {
			n.Errorf("records of %s are left: %v %v", kind, all, err)
		}
	}
}
