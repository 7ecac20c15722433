package transport

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// lines is the simplest wire: what is sent goes as it is, and what comes is cut
// at newlines.
type lines struct{ silent bool }

func (l *lines) Append(dst []byte, f *hub.Frame) []byte {
	return append(append(dst, f.Head...), f.Body...)
}

func (l *lines) Goodbye(_ int, reason string) []byte {
	if l.silent {
		return nil
	}
	return []byte("bye " + reason + "\n")
}

func (l *lines) Ping() []byte { return []byte("?\n") }

// bed is a transport with a hub around it.
type bed struct {
	hub    *hub.Hub
	engine hub.Engine
	wire   *Transport
	ln     *net.TCPListener
}

var app = &earshot.App{
	Slug: "acme", Rules: []earshot.Rule{{Channel: earshot.Glob("*"), Live: true, Open: earshot.Subscribe | earshot.Publish}},
}

func newBed(t testing.TB, config Config, hc hub.Config) *bed {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	engine := mem.New(mem.Config{})
	b := &bed{hub: hub.New(hc, engine, log), engine: engine}
	if err := b.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	config.KeepFreed = true
	var err error
	if b.wire, err = New(config, b.hub, log); err != nil {
		t.Fatal(err)
	}
	b.wire.Start()
	if b.ln, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.close(t) })
	return b
}

// close cuts what is left, and ends everything.
func (b *bed) close(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.wire.Close(ctx); err != nil {
		t.Error(err)
	}
	_ = b.ln.Close()
	b.hub.Close()
	if err := b.engine.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// pair connects two ends over the loopback.
func (b *bed) pair(t testing.TB) (client *net.TCPConn, server net.Conn) {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, b.ln.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	if server, err = b.ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, server
}

// A listener is a session that hands on what it is told.
type listener struct {
	handle func(*hub.Conn, hub.Input) error
	ends   chan hub.End
	conn   *hub.Conn
}

func (l *listener) Handle(_ context.Context, m hub.Input) error {
	if l.handle == nil {
		return nil
	}
	return l.handle(l.conn, m)
}

func (l *listener) Close(end hub.End) {
	if l.ends != nil {
		l.ends <- end
	}
}

// Farewell says the error's text.
func (l *listener) Farewell(err error) (*hub.Frame, int, string) {
	if err == nil {
		return nil, 1, "regularly"
	}
	return nil, 2, earshot.AsError(err).Text
}

// open adopts one connection, subscribed to a channel if it is not empty.
func (b *bed) open(t testing.TB, kind *Kind, d Decoder, channel string, l *listener) (client *net.TCPConn, conn *hub.Conn) {
	t.Helper()
	client, server := b.pair(t)
	s := b.hub.NextShard()
	c := b.wire.NewConn(s, kind, d, nil)
	conn, err := b.hub.Open(s, c, hub.Opening{App: app, Identity: &earshot.Identity{}, Farewell: l})
	if err != nil {
		t.Fatal(err)
	}
	l.conn = conn
	if channel != "" {
		sub, _, err := conn.Subscribe(conn, hub.Join{Channel: channel, Encoding: asIs})
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Start(conn); err != nil {
			t.Fatal(err)
		}
	}
	conn.Serve(l)
	if err := c.Adopt(conn, server, nil); err != nil {
		t.Fatal(err)
	}
	return client, conn
}

// asIs renders a message's data.
var asIs = &hub.Encoding{Name: "as is", Render: func(m *earshot.Message) *hub.Frame { return hub.BinaryFrame(m.Data) }}

// lineCutter decodes lines.
type lineCutter struct{}

func (lineCutter) Decode(in []byte, d *Decoded) (n int, err error) {
	for i, c := range in {
		if c == '\n' {
			d.In = append(d.In, hub.Input{Data: append([]byte(nil), in[n:i]...)})
			n = i + 1
		}
	}
	return n, nil
}

// BenchmarkFanOut publishes to subscribers over loopback sockets that are read
// now and then, and reports what one delivery costs the publisher's side,
// kernel included. "burst" is how many messages are published before they are
// settled in one go, so that writes coalesce.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		for _, burst := range []int{1, 16} {
			b.Run(fmt.Sprintf("subscribers=%d/burst=%d", n, burst), func(b *testing.B) { fanOut(b, n, burst) })
		}
	}
}

func fanOut(b *testing.B, subscribers, burst int) {
	bed := newBed(b, Config{}, hub.Config{QueueBytes: 64 << 20})
	kind := &Kind{Format: &lines{}}
	var conns []*Conn
	for range subscribers {
		client, server := bed.pair(b)
		s := bed.hub.NextShard()
		c := bed.wire.NewConn(s, kind, lineCutter{}, nil)
		conn, err := bed.hub.Open(s, c, hub.Opening{App: app, Identity: &earshot.Identity{}, Farewell: &listener{}})
		if err != nil {
			b.Fatal(err)
		}
		conn.Serve(&listener{})
		if err := c.Adopt(conn, server, nil); err != nil {
			b.Fatal(err)
		}
		conns = append(conns, c)
		go func() { _, _ = io.Copy(io.Discard, client) }()
	}
	data := make([]byte, 128)
	runtime.GC()
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		frames := make([]*hub.Frame, burst)
		for i := range frames {
			frames[i] = hub.BinaryFrame(data)
		}
		for _, c := range conns {
			c.loop.shard.Lock()
			for _, f := range frames {
				c.Push(f)
			}
			c.Flush()
			c.loop.shard.Unlock()
		}
		done += subscribers * burst
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/delivery")
	s := bed.wire.Stats()
	b.ReportMetric(float64(s.FramesOut)/float64(s.Writes), "frames/write")
	waitFor(b, "everything is written", func() bool { return bed.wire.Stats().FramesOut >= uint64(b.N) })
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(15 * time.Second); !so(); {
		select {
		case <-deadline:
			t.Fatal("never: " + what)
		case <-ticker.C:
		}
	}
}
