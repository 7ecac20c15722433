package ws_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/ws"
)

func TestEcho(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		c := echo(t, w).dial("/v1", nil)
		for _, size := range []int{0, 1, 125, 126, 4095, 65535, 65536, 128 << 10} {
			for _, op := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
				sent := bytes.Repeat([]byte("x"), size)
				if err := c.Write(within(t), op, sent); err != nil {
					t.Fatal(err)
				}
				got, data, err := c.Read(within(t))
				if err != nil || got != op || !bytes.Equal(data, sent) {
					t.Fatalf("%d bytes: got %v, %d bytes, %v", size, got, len(data), err)
				}
			}
		}
	})
}

// TestManyAtOnce sends without waiting, so that messages arrive together and
// while others are handled; their order must hold.
func TestManyAtOnce(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		c := echo(t, w).dial("/v1", nil)
		const n = 5000
		go func() {
			for i := range n {
				if c.Write(context.Background(), websocket.MessageBinary, []byte{byte(i >> 8), byte(i)}) != nil {
					return
				}
			}
		}()
		for i := range n {
			_, data, err := c.Read(within(t))
			if err != nil || len(data) != 2 || int(data[0])<<8|int(data[1]) != i {
				t.Fatalf("message %d: got %v, %v", i, data, err)
			}
		}
	})
}

func TestFragmentsAndInterleavedPing(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		c := echo(t, w).raw("/v1", nil)
		for _, frame := range [][]byte{
			mask(0x01, "gr\xc3"), mask(0x89, "are you there?"), mask(0x00, ""), mask(0x80, "\xbc\xc3\x9f dich"),
		} {
			if _, err := c.Write(frame); err != nil {
				t.Fatal(err)
			}
		}
		want := "\x8a\x0eare you there?" + "\x81\x0bgrüß dich"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

// TestFramesWithTheUpgrade sends frames in the handshake's own write: they are
// in net/http's buffer, and raise no edge.
func TestFramesWithTheUpgrade(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		c := echo(t, w).raw("/v1", append(mask(0x81, "early"), mask(0x81, "bird")[:3]...))
		if _, err := c.Write(mask(0x81, "bird")[3:]); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 13)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "\x81\x05early\x81\x04bird" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

func TestOpenSendsFirst(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		p := &speaker{open: func(c *hub.Conn) error { return c.Send(hub.TextFrame([]byte("connected"))) }}
		c := serve(t, setup{way: w, endpoints: []ws.Endpoint{at(p, "/v1")}}).raw("/v1", mask(0x81, "hi"))
		got := make([]byte, 15)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "\x81\x09connected\x81\x02hi" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

func TestOpenRefusesInFrames(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		p := &speaker{open: func(*hub.Conn) error { return earshot.Errorf(earshot.Forbidden, "not you") }}
		c := serve(t, setup{way: w, endpoints: []ws.Endpoint{at(p, "/v1")}}).dial("/v1", nil)
		_, _, err := c.Read(within(t))
		wantClose(t, err, 4000, "not you")
	})
}

// wantClose checks what a client was told.
func wantClose(t *testing.T, err error, code websocket.StatusCode, reason string) {
	t.Helper()
	var ce websocket.CloseError
	if !errors.As(err, &ce) || ce.Code != code || ce.Reason != reason {
		t.Errorf("got %v, want close %d %q", err, code, reason)
	}
}

func TestViolationsAreClosedWithTheirCode(t *testing.T) {
	for _, test := range []struct {
		name   string
		send   []byte
		code   websocket.StatusCode
		reason string
	}{
		{"too large", mask(0x82, strings.Repeat("x", 128<<10+1))[:14], 1009, "the message is too large"},
		{"too large in fragments", append(mask(0x02, strings.Repeat("x", 128<<10)), mask(0x80, "x")...), 1009, "the message is too large"},
		{"not UTF-8", mask(0x81, "\xff"), 1007, "a text message is not UTF-8"},
		{"cut off UTF-8", append(mask(0x01, "\xc3"), mask(0x80, "x")...), 1007, "a text message is not UTF-8"},
		{"not masked", []byte{0x81, 1, 'x'}, 1002, "a frame is not masked"},
		{"reserved bit", mask(0xc1, "x"), 1002, "a reserved bit is set"},
		{"opcode", mask(0x83, "x"), 1002, "an opcode is not known"},
		{"continuation", mask(0x80, "x"), 1002, "there is no message to continue"},
		{"nested", append(mask(0x01, "x"), mask(0x81, "y")...), 1002, "a message begins within another one"},
		{"long ping", mask(0x89, strings.Repeat("x", 126)), 1002, "a control frame is too long"},
		{"fragmented ping", mask(0x09, "x"), 1002, "a control frame is fragmented"},
		{"flood of pings", bytes.Repeat(mask(0x89, ""), 200), 1008, "too many control frames"},
		{"fragments", append(mask(0x01, ""), bytes.Repeat(mask(0x00, ""), 200)...), 1008, "a message has too many fragments"},
	} {
		t.Run(test.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, w way) {
				p := &speaker{ends: make(chan hub.End, 1)}
				s := serve(t, setup{way: w, endpoints: []ws.Endpoint{at(p, "/v1")}})
				c := s.raw("/v1", nil)
				if _, err := c.Write(test.send); err != nil {
					t.Fatal(err)
				}
				all, err := io.ReadAll(c) // the server ends it, although no close frame answers
				if err != nil {
					t.Fatal(err)
				}
				code, reason := lastClose(t, all)
				if code != int(test.code) || reason != test.reason {
					t.Errorf("closed with %d %q", code, reason)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				end := next(t, p.ends)
				if end.Peer || end.Code != int(test.code) || end.Err == nil {
					t.Errorf("the session was told %+v", end)
				}
				if n := s.wire.Stats().Violations; n != 1 {
					t.Errorf("%d violations counted", n)
				}
			})
		})
	}
}

// lastClose finds the close frame at the end of what a server sent.
func lastClose(t *testing.T, b []byte) (code int, reason string) {
	t.Helper()
	for len(b) >= 2 {
		n := int(b[1])
		if n > 125 || len(b) < 2+n {
			break
		}
		if b[0] == 0x88 {
			if n < 2 || len(b) != 2+n {
				t.Fatalf("the close frame is %q", b)
			}
			return int(b[2])<<8 | int(b[3]), string(b[4:])
		}
		b = b[2+n:]
	}
	t.Fatalf("no close frame in %q", b)
	return 0, ""
}

func TestTheClientCloses(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		for _, test := range []struct {
			name  string
			close []byte
			end   hub.End
			echo  string
		}{
			{"with a code", mask(0x88, "\x0f\xa1so long"), hub.End{Peer: true, Bye: true, Code: 4001, Reason: "so long"}, "\x88\x02\x0f\xa1"},
			{"without", mask(0x88, ""), hub.End{Peer: true, Bye: true}, "\x88\x00"},
		} {
			p := &speaker{ends: make(chan hub.End, 1)}
			c := serve(t, setup{way: w, endpoints: []ws.Endpoint{at(p, "/v1")}}).raw("/v1", nil)
			if _, err := c.Write(append(mask(0x81, "x"), test.close...)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil || string(got) != "\x81\x01x"+test.echo {
				t.Errorf("%s: answered %q, %v", test.name, got, err)
			}
			if end := next(t, p.ends); end != test.end {
				t.Errorf("%s: the session was told %+v", test.name, end)
			}
		}
	})
}

func TestTheClientVanishes(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		p := &speaker{ends: make(chan hub.End, 1)}
		c := serve(t, setup{way: w, endpoints: []ws.Endpoint{at(p, "/v1")}}).raw("/v1", nil)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if end := next(t, p.ends); !end.Peer || end.Code != 0 {
			t.Errorf("the session was told %+v", end)
		}
	})
}

func TestTheServerCloses(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		p := &speaker{ends: make(chan hub.End, 1)}
		p.handle = func(_ context.Context, c *hub.Conn, _ hub.Input) error {
			if err := c.Send(hub.TextFrame([]byte("before"))); err != nil {
				return err
			}
			return earshot.Errorf(earshot.Forbidden, "enough")
		}
		c := serve(t, setup{way: w, endpoints: []ws.Endpoint{at(p, "/v1")}}).dial("/v1", nil)
		if err := c.Write(within(t), websocket.MessageText, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, data, err := c.Read(within(t)); err != nil || string(data) != "before" {
			t.Errorf("got %q, %v", data, err)
		}
		_, _, err := c.Read(within(t))
		wantClose(t, err, 4000, "enough")
		end := next(t, p.ends)
		if end.Peer || end.Code != 4000 || end.Reason != "enough" || earshot.CodeOf(end.Err) != earshot.Forbidden {
			t.Errorf("the session was told %+v", end)
		}
	})
}

func TestDrainSaysSo(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		s := echo(t, w)
		c := s.dial("/v1", nil)
		told := make(chan error, 1)
		go func() {
			_, data, err := c.Read(within(t))
			if err == nil && string(data) == "last words" {
				_, _, err = c.Read(within(t))
			}
			told <- err
		}()
		if err := s.hub.Drain(within(t), 0); err != nil {
			t.Fatal(err)
		}
		wantClose(t, next(t, told), 1012, "restart")
		eventually(t, "no connection is left", func() bool { return s.wire.Stats().Open == 0 })
		if _, err := s.tryDial("/v1", nil); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("a new client was told %v", err)
		}
	})
}

// TestIdleWithoutGoroutines counts them with a thousand clients.
func TestIdleWithoutGoroutines(t *testing.T) {
	const clients = 1000
	s := echo(t, way{})
	before := runtime.NumGoroutine()
	conns := make([]net.Conn, clients)
	for i := range conns {
		conns[i] = s.raw("/v1", nil)
	}
	// A few workers wait for the next job, however many clients there are.
	few := before + 5*len(s.hub.Shards())
	eventually(t, "only idle connections are left", func() bool { return runtime.NumGoroutine() <= few })
	for _, c := range conns {
		if _, err := c.Write(mask(0x81, "x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.wire.Stats().Open; n != clients {
		t.Errorf("%d connections are open", n)
	}
}

// TestSlowClientIsCut lets one client not read, while another one does.
func TestSlowClientIsCut(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		p := &speaker{ends: make(chan hub.End, 2)}
		p.open = subscribeTo("news")
		s := serve(t, setup{way: w, hub: hub.Config{QueueBytes: 64 << 10}, endpoints: []ws.Endpoint{at(p, "/v1")}})
		s.raw("/v1", nil) // does not read
		quick := s.dial("/v1", nil)
		message := make([]byte, 16<<10)
		for sent := 0; ; sent++ {
			if s.hub.Stats().Slow == 1 {
				break
			}
			if sent == 4096 {
				t.Fatal("64 MB were sent, and nobody was cut")
			}
			publish(t, s.hub, "news", message)
			if _, data, err := quick.Read(within(t)); err != nil || len(data) != len(message) {
				t.Fatalf("the quick client got %d bytes, %v", len(data), err)
			}
		}
		end := next(t, p.ends)
		if end.Peer || end.Code != 4008 || earshot.CodeOf(end.Err) != earshot.Slow {
			t.Errorf("the slow client's session was told %+v", end)
		}
		eventually(t, "only the quick one is left", func() bool { return s.wire.Stats().Open == 1 })
	})
}

// asText sends a message's data as text.
var asText = &hub.Encoding{Name: "text", Render: func(m *earshot.Message) *hub.Frame { return hub.TextFrame(m.Data) }}

func subscribeTo(channel string) func(*hub.Conn) error {
	return func(c *hub.Conn) error {
		sub, _, err := c.Subscribe(c, hub.Join{Channel: channel, Encoding: asText})
		if err != nil {
			return err
		}
		return sub.Start(c)
	}
}

func publish(t testing.TB, h *hub.Hub, channel string, data []byte) {
	t.Helper()
	_, err := h.Publish(context.Background(), app, hub.Publication{Message: &earshot.Message{Channel: channel, Data: data}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSlowReaderLosesNothing reads late, within the bound.
func TestSlowReaderLosesNothing(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		p := &speaker{open: subscribeTo("news")}
		s := serve(t, setup{way: w, hub: hub.Config{QueueBytes: 64 << 20}, endpoints: []ws.Endpoint{at(p, "/v1")}})
		c := s.dial("/v1", nil)
		const n, size = 2000, 8 << 10
		for i := range n {
			message := make([]byte, size)
			message[0], message[1] = byte(i>>8), byte(i)
			publish(t, s.hub, "news", message)
		}
		for i := range n {
			_, data, err := c.Read(within(t))
			if err != nil || len(data) != size || int(data[0])<<8|int(data[1]) != i {
				t.Fatalf("message %d: %d bytes, %v", i, len(data), err)
			}
		}
		if w.name == "epoll" && s.wire.Stats().Blocked == 0 {
			t.Error("the socket was never full: nothing was tested")
		}
	})
}

func TestSilentClientIsCut(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		p := &speaker{ends: make(chan hub.End, 1)}
		s := serve(t, setup{way: w, ws: ws.Config{PingEvery: 100 * time.Millisecond}, endpoints: []ws.Endpoint{at(p, "/v1")}})
		c := s.raw("/v1", nil)
		all, err := io.ReadAll(c) // without answering
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(all, []byte("\x89\x00\x89\x00\x88")) {
			t.Errorf("got %q, want two pings and a close", all)
		}
		if end := next(t, p.ends); earshot.CodeOf(end.Err) != earshot.Timeout {
			t.Errorf("the session was told %+v", end)
		}
	})
}

func TestAnsweredPingsKeepAlive(t *testing.T) {
	overAll(t, func(t *testing.T, w way) {
		s := serve(t, setup{way: w, ws: ws.Config{PingEvery: 50 * time.Millisecond}, endpoints: []ws.Endpoint{at(&speaker{}, "/v1")}})
		c := s.dial("/v1", nil)
		var reader sync.WaitGroup
		reader.Go(func() { _, _, _ = c.Read(context.Background()) }) // answers pings
		eventually(t, "ten pings were sent", func() bool { return s.wire.Stats().Pings >= 10 })
		if n := s.wire.Stats(); n.Open != 1 || n.Unanswered != 0 {
			t.Errorf("%+v", n)
		}
		_ = c.CloseNow()
		reader.Wait()
	})
}
