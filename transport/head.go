package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// headEnd is where the head of a request ends.
var headEnd = []byte("\r\n\r\n")

// A headed connection remembers the head of the request that was read from it last,
// for who wants to know how the client spelled it: net/http forgets that.
type headed struct {
	net.Conn
	mu   sync.Mutex
	head []byte
	done bool // it is whole, or too long
}

// Read reads, and remembers.
func (c *headed) Read(b []byte) (n int, err error) {
	n, err = c.Conn.Read(b)
	c.keep(b[:n])
	return n, err
}

func (c *headed) keep(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || len(b) == 0 {
		return
	}
	from := max(len(c.head)-len(headEnd)+1, 0)
	c.head = append(c.head, b...)
	if end := bytes.Index(c.head[from:], headEnd); end >= 0 {
		c.head, c.done = c.head[:from+end+2], true
	} else if len(c.head) > headerBytes {
		c.head, c.done = nil, true
	}
}

// next forgets the head: another request comes.
func (c *headed) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.done = nil, false
}

// whole returns the head, nil if it is not whole.
func (c *headed) whole() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		return nil
	}
	return c.head
}

// CloseWrite closes our half: net/http does so before it closes a connection whose
// client still sends.
func (c *headed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// NetConn returns the connection below.
func (c *headed) NetConn() net.Conn { return c.Conn }

// header is a headed connection, also one over TLS.
type header interface {
	next()
	whole() []byte
}

// secured is a headed connection over TLS. net/http, which knows only those that
// are no more than that, leaves the handshake to it.
type secured struct {
	headed
	tls *tls.Conn
}

// plainAnswer is what net/http says to who speaks HTTP where TLS is spoken.
const plainAnswer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

// ConnectionState shakes hands, if that has not been done, and returns what came of
// it. What fails then fails at the next Read as well.
func (c *secured) ConnectionState() tls.ConnectionState {
	_ = c.tls.SetDeadline(time.Now().Add(headerTime)) // a dead connection tells at the handshake
	err := c.tls.Handshake()
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader) {
		_, _ = io.WriteString(plain.Conn, plainAnswer) // it is closed next
	}
	_ = c.tls.SetDeadline(time.Time{})
	return c.tls.ConnectionState()
}

func looksLikeHTTP(first [5]byte) bool {
	switch string(first[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// Head returns the head of the request that ctx belongs to as it came, without the
// empty line; nil where it was not kept (Door.KeepHeads).
func Head(ctx context.Context) []byte {
	if p, ok := ctx.Value(doorKey{}).(place); ok && p.head != nil {
		return p.head.whole()
	}
	return nil
}

// bare returns the connection that a headed one was put around.
func bare(nc net.Conn) net.Conn {
	switch c := nc.(type) {
	case *headed:
		return c.Conn
	case *secured:
		return c.Conn
	}
	return nc
}
