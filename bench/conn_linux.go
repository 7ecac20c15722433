package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// state is how far a connection has come.
type state uint8

const (
	idle        state = iota // not dialled yet, or to be dialled again
	dialling                 // until the socket is writable
	upgrading                // until the handshake is answered
	opening                  // until hotsock.connected
	subscribing              // until hotsock.subscribed
	live
	ended
)

// A conn is one subscriber. Its loop owns it.
type conn struct {
	loop    *loop
	in      inbound
	rest    []byte // of the input, the start of something incomplete; nil when there is none
	out     []byte // what the socket did not take; nil when it took all
	fd      int32
	index   uint32 // in the loop
	channel uint32
	tries   uint16
	state   state
}

// ready handles what epoll says of the connection.
func (c *conn) ready(events uint32) error {
	if c.state == dialling {
		return c.dialled()
	}
	if events&unix.EPOLLOUT != 0 {
		if err := c.send(nil); err != nil {
			return err
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return nil
	}
	return c.read()
}

// dialled sends the handshake if the socket is connected.
func (c *conn) dialled() error {
	code, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	c.state = upgrading
	if err := c.loop.watch(c, unix.EPOLLIN); err != nil {
		return err
	}
	return c.send(c.loop.fleet.to.request)
}

// send writes b behind what waits already.
func (c *conn) send(b []byte) error {
	waiting := len(c.out) > 0
	if waiting {
		c.out = append(c.out, b...)
		b = c.out
	}
	n, err := unix.Write(int(c.fd), b)
	if err != nil && err != unix.EAGAIN {
		return err
	}
	n = max(n, 0)
	if n == len(b) {
		c.out = nil
	} else {
		c.out = append([]byte(nil), b[n:]...)
	}
	if waiting == (len(c.out) > 0) {
		return nil
	}
	events := uint32(unix.EPOLLIN)
	if len(c.out) > 0 {
		events |= unix.EPOLLOUT
	}
	return c.loop.watch(c, events)
}

// read takes what has come, once; the poller says if there is more.
func (c *conn) read() error {
	l := c.loop
	have := copy(l.buf, c.rest)
	n, err := unix.Read(int(c.fd), l.buf[have:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the server closed the connection")
	}
	l.now = l.fleet.clock.now()
	return c.take(l.buf[:have+n])
}

// take handles b, which is the whole input so far, and keeps what is incomplete.
func (c *conn) take(b []byte) error {
	if c.state == upgrading {
		n, err := c.upgraded(b)
		if err != nil || n == 0 {
			c.keep(b)
			return err
		}
		b = b[n:]
	}
	used, err := c.in.feed(b, c)
	c.keep(b[used:])
	return err
}

func (c *conn) keep(rest []byte) {
	if len(rest) == 0 {
		c.rest = nil
		return
	}
	c.rest = append([]byte(nil), rest...)
}

// upgraded judges the answer to the handshake and returns its length, 0 if it
// is not whole.
func (c *conn) upgraded(b []byte) (int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > 16<<10 {
			return 0, errors.New("the answer to the handshake is too long")
		}
		return 0, nil
	}
	if err := checkUpgrade(b[:end], c.loop.fleet.to.accept); err != nil {
		return 0, err
	}
	c.state = opening
	return end + 4, nil
}

// A refusal is a handshake answered with another status than 101.
type refusal struct {
	status string
	after  time.Duration // from Retry-After
}

// Error returns the status line.
func (r *refusal) Error() string { return "the handshake was refused: " + r.status }

// checkUpgrade judges the head of the answer to a handshake (RFC 6455 §4.1).
func checkUpgrade(head []byte, accept string) error {
	lines := bytes.Split(head, []byte("\r\n"))
	_, status, _ := bytes.Cut(lines[0], []byte(" "))
	if !bytes.HasPrefix(status, []byte("101")) {
		r := &refusal{status: string(status)}
		if s, err := strconv.Atoi(field(lines, "Retry-After")); err == nil {
			r.after = time.Duration(s) * time.Second
		}
		return r
	}
	if field(lines, "Sec-WebSocket-Accept") != accept {
		return errors.New("the handshake was answered with a wrong Sec-WebSocket-Accept")
	}
	return nil
}

// field returns a header's value, empty if it is not there.
func field(lines [][]byte, name string) string {
	for _, l := range lines[1:] {
		k, v, _ := bytes.Cut(l, []byte(":"))
		if bytes.EqualFold(k, []byte(name)) {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// control answers pings and takes note of a close.
func (c *conn) control(op byte, p []byte) error {
	switch op {
	case opPing:
		return c.send(appendClient(nil, opPong, p, c.loop.random.Uint32()))
	case opClose:
		return closeError(p)
	}
	return nil
}

// message takes one message of the server: mostly a published one.
func (c *conn) message(p []byte) error {
	if s, ok := findStamp(p); ok && c.state == live {
		c.loop.delivered(c, s, p)
		return nil
	}
	return c.event(p)
}

func (c *conn) event(p []byte) error {
	var e event
	if err := json.Unmarshal(p, &e); err != nil {
		return fmt.Errorf("a message that is not JSON: %w", err)
	}
	switch {
	case e.Event == "hotsock.connected" && c.state == opening:
		c.state = subscribing
		return c.send(appendClient(nil, opText, c.subscription(), c.loop.random.Uint32()))
	case e.Event == "hotsock.subscribed" && c.state == subscribing:
		c.state = live
		if e.broken() {
			c.loop.tally.faults.Broken++
		}
		c.loop.subscribed(c)
	}
	return e.err()
}

// subscription is the message that asks for the connection's channel, from the
// last position that it has seen, if any.
func (c *conn) subscription() []byte {
	b := append([]byte(`{"event":"hotsock.subscribe","channel":`), strconv.Quote(c.loop.fleet.names[c.channel])...)
	if after := c.loop.position(c); after != "" {
		b = append(append(append(b, `,"data":{"after":"`...), after...), `"}`...)
	}
	return append(b, '}')
}
