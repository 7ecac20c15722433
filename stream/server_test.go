package stream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/stream"
	"github.com/earshot-io/earshot/transport"
)

// echo sends back each line; it is asked what it admits.
type echo struct {
	admit    func(context.Context, *proto.Request) (proto.Admission, error)
	requests chan proto.Request
	ends     chan hub.End
}

func (e *echo) Admit(ctx context.Context, r *proto.Request) (proto.Admission, error) {
	e.requests <- *r
	return e.admit(ctx, r)
}

func (e *echo) Open(_ context.Context, c *hub.Conn, _ proto.Admission) (proto.Session, error) {
	return &session{e, c}, nil
}

func (e *echo) Farewell(err error) (*hub.Frame, int, string) {
	if err == nil {
		return nil, 0, ""
	}
	return hub.TextFrame([]byte("bye " + earshot.CodeOf(err).String() + "\n")), 0, ""
}

func (e *echo) NewCutter() proto.Cut {
	return func(data []byte) (int, hub.Input, error) {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return 0, hub.Input{}, nil
		}
		return i + 1, hub.Input{Data: data[:i]}, nil
	}
}

type session struct {
	*echo
	conn *hub.Conn
}

func (s *session) Handle(_ context.Context, m hub.Input) error {
	return s.conn.Send(hub.TextFrame(append(m.Data, '\n')))
}

func (s *session) Close(end hub.End) { s.ends <- end }

// A bench is a server on loopback.
type bench struct {
	*testing.T
	echo    *echo
	server  *stream.Server
	address string
}

// admitted admits anybody.
func admitted(context.Context, *proto.Request) (proto.Admission, error) {
	return proto.Admission{}, nil
}

func serve(t *testing.T, c stream.Config) *bench {
	t.Helper()
	return serveAsking(t, c, admitted)
}

func serveAsking(t *testing.T, c stream.Config, admit func(context.Context, *proto.Request) (proto.Admission, error)) *bench {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	engine := mem.New(mem.Config{})
	h := hub.New(hub.Config{Shards: 2}, engine, log)
	if err := h.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	tr, err := transport.New(transport.Config{}, h, log)
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	e := &echo{
		admit: admit, requests: make(chan proto.Request, 100), ends: make(chan hub.End, 100),
	}
	b := &bench{T: t, echo: e}
	if b.server, err = stream.New(h, tr, e, c, log); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(l) }()
	t.Cleanup(func() {
		if err := b.server.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Drain(ctx, 0); err != nil {
			t.Error(err)
		}
		if err := tr.Close(ctx); err != nil {
			t.Error(err)
		}
		h.Close()
		if err := engine.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) dial() net.Conn {
	b.Helper()
	nc, err := net.Dial("tcp", b.address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = nc.Close() }) // it may be closed
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		b.Fatal(err)
	}
	return nc
}

// says expects what the server says before it ends.
func (b *bench) says(nc net.Conn, want string) {
	b.Helper()
	got, err := io.ReadAll(nc)
	if string(got) != want || err != nil {
		b.Errorf("the server said %q, %v; not %q", got, err, want)
	}
	_ = nc.Close()
}

func TestDialogue(t *testing.T) {
	b := serve(t, stream.Config{})
	nc := b.dial()
	for _, part := range []string{"he", "llo\nwor", "ld\n"} {
		if _, err := io.WriteString(nc, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b.says(nc, "hello\nworld\n")
	if end := <-b.echo.ends; !end.Peer || end.Code != 0 {
		t.Errorf("ended as %+v", end)
	}
	r := <-b.echo.requests
	if r.HTTP != nil || r.Secure || !r.Remote.IsLoopback() || r.Local.String() != b.address {
		t.Errorf("asked to admit %+v", r)
	}
}

func TestNoFirstMessage(t *testing.T) {
	b := serve(t, stream.Config{FirstMessage: 50 * time.Millisecond})
	nc := b.dial()
	if _, err := io.WriteString(nc, "\n\n"); err != nil { // heartbeats do not count
		t.Fatal(err)
	}
	b.says(nc, "bye timeout\n")
	if end := <-b.echo.ends; end.Peer || earshot.CodeOf(end.Err) != earshot.Timeout {
		t.Errorf("ended as %+v", end)
	}
}

func TestTooLong(t *testing.T) {
	b := serve(t, stream.Config{MaxMessage: 1000})
	nc := b.dial()
	if _, err := nc.Write(append([]byte("first\n"), make([]byte, 1001)...)); err != nil {
		t.Fatal(err)
	}
	b.says(nc, "first\nbye too large\n")
}

func TestNotAdmitted(t *testing.T) {
	c := stream.Config{Limits: transport.NewLimits(transport.LimitConfig{Connections: 1})}
	b := serveAsking(t, c, func(context.Context, *proto.Request) (proto.Admission, error) {
		return proto.Admission{}, earshot.Errorf(earshot.Forbidden, "no")
	})
	for range 3 { // the place under the limit is given back
		b.says(b.dial(), "bye forbidden\n")
	}
}

func TestTooMany(t *testing.T) {
	b := serve(t, stream.Config{Limits: transport.NewLimits(transport.LimitConfig{Connections: 1})})
	first := b.dial()
	<-b.echo.requests
	b.says(b.dial(), "bye unavailable\n")
	_ = first.Close()
	<-b.echo.ends
	again := b.dial()
	<-b.echo.requests
	if err := again.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b.says(again, "")
}

// TestBeginningsAreBounded has one client wait for its Admit; the next one is
// not asked about before the first is through.
func TestBeginningsAreBounded(t *testing.T) {
	answer := make(chan struct{})
	b := serveAsking(t, stream.Config{Handshakes: 1}, func(context.Context, *proto.Request) (proto.Admission, error) {
		<-answer
		return proto.Admission{}, nil
	})
	first, second := b.dial(), b.dial()
	<-b.echo.requests
	if len(b.echo.requests) != 0 {
		t.Error("two are beginning")
	}
	close(answer)
	<-b.echo.requests
	for _, nc := range []net.Conn{first, second} {
		if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		b.says(nc, "")
	}
}

// TestCloseEndsAdmit closes the server while a backend is slow.
func TestCloseEndsAdmit(t *testing.T) {
	b := serveAsking(t, stream.Config{}, func(ctx context.Context, _ *proto.Request) (proto.Admission, error) {
		<-ctx.Done()
		return proto.Admission{}, &earshot.Error{Code: earshot.Shutdown, Err: context.Cause(ctx)}
	})
	nc := b.dial()
	<-b.echo.requests
	if err := b.server.Close(); err != nil {
		t.Fatal(err)
	}
	b.says(nc, "bye shutdown\n")
}

func TestTLS(t *testing.T) {
	keys := httptest.NewUnstartedServer(nil)
	keys.StartTLS()
	defer keys.Close()
	app := &earshot.App{Slug: "app"}
	b := serve(t, stream.Config{
		TLS: &tls.Config{Certificates: keys.TLS.Certificates},
		App: func(name string) *earshot.App {
			if name == "example.com" {
				return app
			}
			return nil
		},
	})
	plain := b.dial()
	if _, err := io.WriteString(plain, "this is no TLS\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(plain) // an alert, or a reset
	nc := tls.Client(b.dial(), &tls.Config{ServerName: "example.com", InsecureSkipVerify: true})
	if _, err := io.WriteString(nc, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if r := <-b.echo.requests; !r.Secure || r.App != app {
		t.Errorf("asked to admit %+v", r)
	}
	if err := nc.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b.says(nc, "hello\n")
}

func TestNoCutter(t *testing.T) {
	if _, err := stream.New(nil, nil, struct{ proto.Protocol }{}, stream.Config{}, nil); err == nil {
		t.Error("a protocol without a cutter stands on a stream")
	}
}
