package prototest

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"

	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/stream"
	"github.com/earshot-io/earshot/transport"
)

// streams carries dialogues on package stream.
type streams struct {
	w         *world
	transport *transport.Transport
	server    *stream.Server
	address   string
	secure    *tls.Config // the clients'
	serving   chan error
}

// A tcp is one client.
type tcp struct {
	conn    net.Conn
	cut     proto.Cut
	in      *inbox
	out     *outbox
	gate    *gate
	ctx     context.Context
	cancel  context.CancelFunc
	reading sync.WaitGroup
}

func newStreams(w *world, log *slog.Logger) (dialer, error) {
	if w.d.Cut == nil {
		return nil, errors.New("the dialect does not say how a stream is cut")
	}
	t, err := newTransport(w, log)
	if err != nil {
		return nil, err
	}
	s := &streams{w: w, transport: t, serving: make(chan error, 1)}
	var c stream.Config
	if w.carrier == StreamTLS {
		c.TLS, s.secure = certificate()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		s.server, err = stream.New(w.hub, t, w.protocol, c, log)
	}
	if err != nil {
		closeTransport(w, t)
		return nil, err
	}
	s.address = l.Addr().String()
	go func() { s.serving <- s.server.Serve(l) }()
	return s, nil
}

func (s *streams) close() {
	err := errors.Join(s.server.Close(), <-s.serving)
	if err != nil {
		s.w.Errorf("closing the server: %v", err)
	}
	closeTransport(s.w, s.transport)
}

func (s *streams) dial(Hello) (wire, string, error) {
	conn, err := dialTCP(s.address, s.secure)
	if err != nil {
		return nil, "", err
	}
	c := &tcp{conn: conn, cut: s.w.d.Cut(), in: newInbox(), gate: newGate()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.out = newOutbox(c.write, func() {})
	c.reading.Go(c.read)
	return c, "", nil
}

func (c *tcp) write(ms []message) {
	for _, m := range ms {
		if _, err := c.conn.Write(m.Data); err != nil {
			return // the reader finds out
		}
	}
}

// read cuts what comes until the server ends it, and ends our half then.
func (c *tcp) read() {
	defer c.in.end(parting{})
	defer func() { _ = c.conn.Close() }() // the server may have been first
	var held []byte
	buf := make([]byte, 16<<10)
	for c.gate.pass(c.ctx) {
		n, err := c.conn.Read(buf)
		held = append(held, buf[:n]...)
		for len(held) > 0 {
			taken, m, err := c.cut(held)
			if err != nil {
				return
			}
			if taken == 0 {
				break
			}
			if len(m.Data) > 0 {
				c.in.put(message{Op: m.Op, Data: append([]byte(nil), m.Data...)})
			}
			held = held[taken:]
		}
		if err != nil {
			return
		}
	}
}

func (c *tcp) send(m message) { c.out.put(m) }

func (c *tcp) box() *inbox { return c.in }

func (c *tcp) stall(yes bool) { c.gate.stall(yes) }

// leave ends our half; a stream has no words for more.
func (c *tcp) leave(int, string) {
	c.out.end()
	<-c.out.done
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // if it fails, there is nobody to be told
	}
}

func (c *tcp) drop() {
	c.cancel()
	_ = c.conn.Close() // it may be closed
	c.out.end()
	<-c.out.done
	c.reading.Wait()
}
