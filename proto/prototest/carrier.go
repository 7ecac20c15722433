package prototest

import (
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/earshot-io/earshot/proto"
)

// A Carrier is what a dialogue stands on.
type Carrier uint8

// The carriers.
const (
	// Memory is no wire at all, in virtual time. Run always uses it; its clients
	// begin as those of a WebSocket do.
	Memory Carrier = iota
	// LongPoll is package longpoll, in virtual time and without HTTP: its URLs
	// and answers are the adapter's own.
	LongPoll
	// WebSocket is package ws, by epoll where there is one; WebSocketGoroutines
	// has a goroutine for each connection; WebSocketTLS is encrypted.
	WebSocket
	WebSocketGoroutines
	WebSocketTLS
	// Stream is package stream on TCP; StreamTLS is encrypted.
	Stream
	StreamTLS
)

var carriers = [...]string{"memory", "longpoll", "websocket", "websocket-goroutines", "websocket-tls", "stream", "stream-tls"}

// String names the carrier.
func (c Carrier) String() string { return carriers[c] }

// virtual reports whether time is.
func (c Carrier) virtual() bool { return c == Memory || c == LongPoll }

// stream reports whether messages are cut out of a stream.
func (c Carrier) stream() bool { return c == Stream || c == StreamTLS }

// webSocket reports whether it is one.
func (c Carrier) webSocket() bool {
	return c == WebSocket || c == WebSocketGoroutines || c == WebSocketTLS
}

// says reports whether a goodbye has a code and a reason on it.
func (c Carrier) says() bool { return !c.stream() }

// A wire is the client's end of a carrier. Its methods are called by one
// goroutine.
type wire interface {
	// send sends a message; it does not wait for it to be handled.
	send(in message)
	// box is what came.
	box() *inbox
	// stall stops reading, or goes on.
	stall(yes bool)
	// leave says goodbye as a client does.
	leave(code int, reason string)
	// drop ends it without a word, if it has not ended, and waits for its goroutines.
	drop()
}

// A dialer connects a client. The error is a *refusal if the server answered no.
type dialer interface {
	dial(h Hello) (w wire, subprotocol string, err error)
	// close ends the server's side, after all wires.
	close()
}

// request is what a carrier without a wire shows the protocol.
func request(h Hello) *proto.Request {
	r := httptest.NewRequest(http.MethodGet, "http://earshot.test"+h.Path, nil)
	for name, values := range h.Header {
		r.Header[name] = values
	}
	return &proto.Request{HTTP: r, Subprotocols: h.Subprotocols, Remote: netip.MustParseAddr("192.0.2.1")}
}

// A refusal is a no before the dialogue.
type refusal struct {
	status int
	header http.Header
	body   []byte
	err    error // what the protocol said, on a carrier without a wire
}

func (r *refusal) Error() string {
	if r.err != nil {
		return r.err.Error()
	}
	return http.StatusText(r.status) + ": " + string(r.body)
}

func (r *refusal) Unwrap() error { return r.err }
