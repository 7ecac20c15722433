package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
)

// TestClientRate is the app's limit, for each connection.
func TestClientRate(t *testing.T) {
	limited := app(api())
	limited.Limits.ClientRate = 0.1 // one message may be saved up
	n := serve(t, limited)
	c, other := n.dial("/prod"), n.dial("/prod")
	c.say(`{"action":"echo"}`)
	c.hears(`{"action":"echo"}`)
	c.say(`{"action":"echo"}`)
	if _, got, err := c.next(); err != nil || !strings.HasPrefix(got, `{"message": "Too Many Requests", "connectionId":"`+c.id+`"`) {
		t.Errorf("heard %q %v", got, err)
	}
	other.say(`{"action":"echo"}`)
	other.hears(`{"action":"echo"}`)
}

// TestErrorFrames is table 11.4, byte for byte.
func TestErrorFrames(t *testing.T) {
	n := serve(t, app(api(without("$default"), func(g *earshot.Gateway) {
		g.Routes = append(g.Routes, earshot.GatewayRoute{Key: "nothing"})
		g.Stages[0].Routes = map[string]earshot.GatewayThrottle{"push": {Rate: 0.001, Burst: 1}}
	})))
	c := n.dial("/prod")
	c.say(`{"action":"push"}`)
	n.wait(t, core.Message, 1)
	for _, test := range []struct {
		text, message string
		kind          core.FailureKind
		called        bool
	}{
		{`{"action":"nope"}`, "Forbidden", 0, false},
		{`no JSON`, "Forbidden", 0, false},
		{`{"action":"$connect"}`, "Forbidden", 0, false},
		{`{"action":"$disconnect"}`, "Forbidden", 0, false},
		{`{"action":"push"}`, "Too Many Requests", 0, false},
		{`{"action":"nothing"}`, "Internal server error", 0, false},
		{`{"action":"echo","n":1}`, "Internal server error", core.Raised, true},
		{`{"action":"echo","n":2}`, "Internal server error", core.Malformed, true},
		{`{"action":"echo","n":3}`, "Internal server error", core.Unreachable, true},
		{`{"action":"echo","n":4}`, "Internal server error", core.Misconfigured, true},
		{`{"action":"echo","n":5}`, "Internal server error", core.Overloaded, true},
		{`{"action":"echo","n":6}`, "Endpoint request timed out", core.TimedOut, true},
	} {
		n.answers(func(context.Context, *core.Event) (*core.Answer, error) {
			if test.kind == 0 {
				return nil, nil
			}
			return nil, fails(test.kind)
		})
		before := n.count(core.Message)
		c.say(test.text)
		kind, got, err := c.next()
		want := regexp.MustCompile(`^\{"message": "` + test.message + `", "connectionId":"` + regexp.QuoteMeta(c.id) + `", "requestId":"([\w-]{15}=)"\}$`)
		match := want.FindStringSubmatch(got)
		if err != nil || kind != websocket.MessageText || match == nil {
			t.Fatalf("%s: heard %q %v", test.text, got, err)
		}
		if called := n.count(core.Message) > before; called != test.called {
			t.Errorf("%s: the integration was called: %v", test.text, called)
		} else if called {
			if e := n.wait(t, core.Message, before+1); e.RequestID != match[1] {
				t.Errorf("%s: the frame says %s, the event %s", test.text, match[1], e.RequestID)
			}
		}
	}
	n.answers(nil)
	c.say(`{"action":"echo"}`) // the connection is as good as before
	c.hears(`{"action":"echo"}`)
}

// TestReplies is 7.6 and 7.1: only a route with a response answers, with the body
// alone, whatever the status.
func TestReplies(t *testing.T) {
	n := serve(t)
	c := n.dial("/prod")
	reply := func(a *core.Answer) {
		n.answers(func(context.Context, *core.Event) (*core.Answer, error) { return a, nil })
	}
	reply(&core.Answer{Status: 200, Body: []byte("not for the client")})
	c.say(`{"action":"push"}`)
	n.wait(t, core.Message, 1)
	for _, test := range []struct {
		answer *core.Answer
		want   string
		binary bool
	}{
		{&core.Answer{Status: 200, Body: []byte("hello")}, "hello", false},
		{&core.Answer{Status: 501, Body: []byte("no error")}, "no error", false},
		{&core.Answer{Status: 200, Body: []byte{0, 1}, Binary: true}, "\x00\x01", true},
		{&core.Answer{Status: 200, Body: []byte{0xff}}, "\xff", true},
		{&core.Answer{Status: 200, Body: bytes.Repeat([]byte("x"), 128<<10)}, strings.Repeat("x", 128<<10), false},
	} {
		reply(test.answer)
		c.say(`{"action":"echo"}`)
		kind, got, err := c.next()
		if err != nil || got != test.want || (kind == websocket.MessageBinary) != test.binary {
			t.Fatalf("heard %v %.50q %v, want %.50q", kind, got, err, test.want)
		}
	}
	reply(&core.Answer{Status: 200, Body: bytes.Repeat([]byte("x"), 128<<10+1)})
	c.say(`{"action":"echo"}`)
	if _, got, err := c.next(); err != nil || !strings.HasPrefix(got, `{"message": "Internal server error"`) {
		t.Errorf("too large a reply: heard %.80q %v", got, err)
	}
	before := n.count(core.Message)
	reply(&core.Answer{Status: 200}) // nothing
	c.say(`{"action":"push"}`)
	c.say(`{"action":"echo"}`)
	n.wait(t, core.Message, before+2)
	c.say(`{"action":"push"}`) // the one before has been answered when this is worked on
	n.wait(t, core.Message, before+3)
	reply(nil)
	c.say(`{"action":"echo","last":1}`)
	c.hears(`{"action":"echo","last":1}`)
}

// TestBinary: 1003, or the event has it where the API wants that (11.3).
func TestBinary(t *testing.T) {
	allowing := api(func(g *earshot.Gateway) {
		g.ID, g.Binary, g.Stages[0].Name, g.Stages[1].Name = "def456", true, "bin", "bin2"
	})
	n := serve(t, app(api(), allowing))
	c := n.dial("/prod")
	if err := c.Write(t.Context(), websocket.MessageBinary, []byte{1}); err != nil {
		t.Fatal(err)
	}
	c.ends(1003, "Binary messages are not supported")
	if e := n.wait(t, core.Disconnect, 1); e.Code != 1003 || e.Reason != "Binary messages are not supported" {
		t.Errorf("$disconnect was told %d %q", e.Code, e.Reason)
	}
	c = n.dial("/bin")
	if err := c.Write(t.Context(), websocket.MessageBinary, []byte(`{"action":"echo"}`)); err != nil {
		t.Fatal(err)
	}
	if e := n.wait(t, core.Message, 1); !e.Binary || string(e.Body) != `{"action":"echo"}` || e.Route.Key != "$default" {
		t.Errorf("the event is of %s, %v %q", e.Route.Key, e.Binary, e.Body)
	}
}

// TestTooLarge: a message over 128 KiB ends the connection with 1009, one of that
// size, in frames or whole, does not (11.2).
func TestTooLarge(t *testing.T) {
	n := serve(t)
	c := n.dial("/prod")
	fits := `{"action":"push","x":"` + strings.Repeat("x", 128<<10-24) + `"}`
	c.say(fits)
	if e := n.wait(t, core.Message, 1); len(e.Body) != 128<<10 || e.Route.Key != "push" {
		t.Errorf("%d bytes came on %s", len(e.Body), e.Route.Key)
	}
	c.say(fits + " ")
	_, _, err := c.next()
	if websocket.CloseStatus(err) != 1009 {
		t.Errorf("the connection ended with %v", err)
	}
	if e := n.wait(t, core.Disconnect, 1); e.Code != 1009 {
		t.Errorf("$disconnect was told %d %q", e.Code, e.Reason)
	}
}

// TestSerial: messages of a connection are worked on one after another, while its
// pings are answered and other connections go on.
func TestSerial(t *testing.T) {
	n := serve(t)
	var running, most atomic.Int32
	release := make(chan struct{})
	n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
		if e.Type == core.Message && e.Stage.Name == "prod" {
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
		}
		return nil, nil
	})
	c, other := n.dial("/prod"), n.dial("/dev")
	const messages = 100
	for i := range messages {
		c.say(fmt.Sprintf(`{"action":"push","n":%d}`, i))
	}
	n.wait(t, core.Message, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reading := c.CloseRead(ctx)
	if err := c.Ping(reading); err != nil {
		t.Errorf("a ping was not answered: %v", err)
	}
	other.say(`{"action":"echo"}`)
	other.hears(`{"action":"echo"}`)
	close(release)
	for i := range messages {
		if e := n.wait(t, core.Message, i+2); e.Stage.Name == "prod" && most.Load() != 1 {
			t.Fatalf("%d at once", most.Load())
		}
	}
}

// TestOrder: replies come in the order of the messages.
func TestOrder(t *testing.T) {
	n := serve(t)
	c := n.dial("/prod")
	go func() {
		for i := range 1000 {
			c.say(fmt.Sprintf(`{"action":"echo","n":%d}`, i))
		}
	}()
	for i := range 1000 {
		c.hears(fmt.Sprintf(`{"action":"echo","n":%d}`, i))
	}
}

// TestConcurrent: where the API wants it, messages are worked on beside one
// another, and not all at once.
func TestConcurrent(t *testing.T) {
	n := serve(t, app(api(func(g *earshot.Gateway) { g.Concurrent = true })))
	var mu sync.Mutex
	running, most := 0, 0
	release := make(chan struct{})
	n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
		if e.Type == core.Message {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-release
			mu.Lock()
			running--
			mu.Unlock()
		}
		return nil, nil
	})
	c := n.dial("/prod")
	for range 100 {
		c.say(`{"action":"push"}`)
	}
	n.wait(t, core.Message, 16)
	close(release)
	n.wait(t, core.Message, 100)
	mu.Lock()
	defer mu.Unlock()
	if most != 16 {
		t.Errorf("%d at once", most)
	}
}

// TestBackpressure: what a client sends faster than it is worked on is bounded here,
// and none of it is lost.
func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		release := make(chan struct{})
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Message {
				<-release
			}
			return nil, nil
		})
		w := n.connect("/prod")
		const messages = 1000
		var taken atomic.Int32
		go func() {
			for i := range messages {
				w.say(fmt.Sprintf(`{"action":"echo","n":%d}`, i))
				taken.Add(1)
			}
		}()
		synctest.Wait()
		if got := taken.Load(); got != 257 {
			t.Errorf("%d messages were taken while the first is worked on", got)
		}
		close(release)
		for i := range messages {
			w.hears(fmt.Sprintf(`{"action":"echo","n":%d}`, i))
		}
	})
}

// TestBackpressureOfBytes: large ones are bounded by their size, and who waits for
// room is let go when the connection ends.
func TestBackpressureOfBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		release := make(chan struct{})
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Message {
				<-release
			}
			return nil, nil
		})
		w := n.connect("/prod")
		large := strings.Repeat("x", 128<<10)
		var taken atomic.Int32
		go func() {
			for range 10 {
				w.say(large)
				taken.Add(1)
			}
		}()
		synctest.Wait()
		if got := taken.Load(); got != 3 {
			t.Errorf("%d large messages were taken", got)
		}
		w.conn.Close(nil)
		synctest.Wait()
		if got := taken.Load(); got != 10 {
			t.Errorf("after the end, %d were taken", got)
		}
		close(release)
		n.wait(t, core.Disconnect, 1)
		if got := n.count(core.Message); got != 3 {
			t.Errorf("%d messages were worked on", got)
		}
	})
}

// TestSaidBeforeTheEnd: what a client said before it left is worked on, in order,
// and its $disconnect comes after that.
func TestSaidBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Message {
				time.Sleep(time.Second)
			}
			return nil, nil
		})
		w := n.connect("/prod")
		for i := range 5 {
			w.say(fmt.Sprint(i))
		}
		w.conn.Ended(hub.End{Peer: true, Bye: true})
		n.wait(t, core.Disconnect, 1)
		for i := range 5 {
			if e := n.find(core.Message, i+1); e == nil || string(e.Body) != fmt.Sprint(i) {
				t.Errorf("message %d was not worked on before the $disconnect", i)
			}
		}
	})
}

// TestLongAfterTheEnd: but not for ever.
func TestLongAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Message {
				time.Sleep(25 * time.Second)
			}
			return nil, nil
		})
		w := n.connect("/prod")
		for range 200 {
			w.say("x")
		}
		w.conn.Ended(hub.End{Peer: true, Bye: true})
		time.Sleep(2 * time.Minute)
		if n.count(core.Disconnect) != 1 || n.count(core.Message) > 4 {
			t.Errorf("after two minutes: %d messages, %d ends", n.count(core.Message), n.count(core.Disconnect))
		}
	})
}
