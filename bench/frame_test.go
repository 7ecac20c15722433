package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// sizes are where the length of a frame changes its form (RFC 6455 §5.2).
var sizes = []int{0, 1, 7, 8, 125, 126, 127, 65535, 65536, 100_000}

func text(n int) []byte { return bytes.Repeat([]byte("x~é1"), n/5+1)[:n/5*5] }

// told collects what a receiver is told.
type told struct {
	messages [][]byte
	controls []byte
}

func (t *told) message(p []byte) error {
	t.messages = append(t.messages, bytes.Clone(p))
	return nil
}

func (t *told) control(op byte, _ []byte) error {
	t.controls = append(t.controls, op)
	return nil
}

// handshake makes a WebSocket connection to a coder/websocket server by hand.
func handshake(t *testing.T, serve func(*websocket.Conn)) net.Conn {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		c.SetReadLimit(1 << 20)
		defer c.CloseNow()
		serve(c)
	}))
	t.Cleanup(s.Close)
	to, err := newEndpoint("ws"+s.URL[4:], "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", to.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(to.request); err != nil {
		t.Fatal(err)
	}
	var head []byte
	for b := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, b...) {
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	if got := http.StatusSwitchingProtocols; !bytes.Contains(head, []byte("101")) {
		t.Fatalf("%s, not %d", head, got)
	}
	if !bytes.Contains(head, []byte(to.accept)) {
		t.Fatalf("%s does not hold %s", head, to.accept)
	}
	return c
}

func TestClientFramesAreUnderstood(t *testing.T) {
	got := make(chan []byte, len(sizes))
	c := handshake(t, func(s *websocket.Conn) {
		for range sizes {
			_, p, err := s.Read(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			got <- p
		}
	})
	for _, n := range sizes {
		if _, err := c.Write(appendClient(nil, opText, text(n), rand.Uint32())); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range sizes {
		if p := <-got; !bytes.Equal(p, text(n)) {
			t.Errorf("%d bytes came as %d", len(text(n)), len(p))
		}
	}
}

// TestServerFramesAreRead lets another implementation send whole messages,
// fragments and pings, and feeds them in pieces of every size.
func TestServerFramesAreRead(t *testing.T) {
	c := handshake(t, func(s *websocket.Conn) {
		ctx := context.Background()
		for _, n := range sizes {
			if err := s.Write(ctx, websocket.MessageText, text(n)); err != nil {
				t.Error(err)
			}
		}
		w, err := s.Writer(ctx, websocket.MessageText)
		if err != nil {
			t.Error(err)
			return
		}
		for range 3 {
			_, _ = w.Write(text(5000)) // each becomes a fragment
		}
		_ = w.Close()
		_ = s.Close(4321, "bye")
	})
	all, err := io.ReadAll(untilClose{c})
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []int{1, 2, 3, 7, 1000, len(all)} {
		got := feedInPieces(t, all, piece)
		if len(got.messages) != len(sizes)+1 {
			t.Fatalf("%d messages in pieces of %d, not %d", len(got.messages), piece, len(sizes)+1)
		}
		for i, n := range sizes {
			if !bytes.Equal(got.messages[i], text(n)) {
				t.Errorf("message %d came as %d bytes, not %d", i, len(got.messages[i]), len(text(n)))
			}
		}
		if want := bytes.Repeat(text(5000), 3); !bytes.Equal(got.messages[len(sizes)], want) {
			t.Errorf("the fragments came as %d bytes, not %d", len(got.messages[len(sizes)]), len(want))
		}
		if !bytes.Equal(got.controls, []byte{opClose}) {
			t.Errorf("control frames %v", got.controls)
		}
	}
}

// untilClose reads until the other side has sent its close frame and waits for ours.
type untilClose struct{ net.Conn }

func (u untilClose) Read(p []byte) (int, error) {
	n, err := u.Conn.Read(p)
	if n > 0 && bytes.HasSuffix(p[:n], []byte("\x10\xe1bye")) {
		_, _ = u.Conn.Write(appendClient(nil, opClose, []byte{0x10, 0xe1}, 1))
	}
	if errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func feedInPieces(t *testing.T, all []byte, piece int) *told {
	t.Helper()
	var in inbound
	var got told
	var rest []byte
	for len(all) > 0 {
		n := min(piece, len(all))
		rest = append(rest, all[:n]...)
		all = all[n:]
		used, err := in.feed(rest, &got)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[used:]
	}
	if len(rest) > 0 {
		t.Errorf("%d bytes are left over", len(rest))
	}
	return &got
}

func TestBadServerFramesAreRefused(t *testing.T) {
	for name, frame := range map[string][]byte{
		"masked":               appendClient(nil, opText, []byte("x"), 7),
		"reserved bit":         {0xc1, 0},
		"unknown opcode":       {0x83, 0},
		"unknown control":      {0x8b, 0},
		"long form, short":     {0x81, 126, 0, 1, 'x'},
		"longest form, short":  {0x81, 127, 0, 0, 0, 0, 0, 0, 1, 0},
		"fragmented ping":      {0x09, 0},
		"long ping":            appendServer(nil, opPing, make([]byte, 126)),
		"continuation alone":   {0x80, 0},
		"text within a text":   {0x01, 0, 0x81, 0},
		"larger than we take":  {0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0},
		"length over 63 bits":  {0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0},
		"fragments over limit": append(appendFragment(1, maxMessage), appendFragment(0, 1)...),
	} {
		var in inbound
		if _, err := in.feed(frame, &told{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func appendFragment(op byte, n int) []byte {
	b := appendServer(nil, op, make([]byte, n))
	b[0] &^= 0x80
	return b
}

func FuzzInbound(f *testing.F) {
	for _, n := range sizes[:6] {
		f.Add(appendServer(nil, opText, text(n)))
	}
	f.Add([]byte{0x01, 1, 'a', 0x89, 0, 0x80, 1, 'b'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole, pieces told
		var in, in2 inbound
		used, err := in.feed(b, &whole)
		if used > len(b) {
			t.Fatalf("used %d of %d bytes", used, len(b))
		}
		var rest []byte
		var err2 error
		for i := 0; i < len(b) && err2 == nil; i++ {
			var n int
			rest = append(rest, b[i])
			n, err2 = in2.feed(rest, &pieces)
			rest = rest[n:]
		}
		if (err == nil) != (err2 == nil) || len(whole.messages) != len(pieces.messages) {
			t.Fatalf("at once: %d messages, %v; byte by byte: %d, %v", len(whole.messages), err, len(pieces.messages), err2)
		}
	})
}
