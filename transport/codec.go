package transport

import (
	"time"

	"github.com/earshot-io/earshot/hub"
)

// A Kind is what connections of one sort have in common: how their frames
// become bytes, and how they are kept alive. It is shared by all of them and
// not changed once a connection uses it.
type Kind struct {
	// Format writes frames.
	Format Format
	// PingEvery is how often the client is asked whether it is still there; a
	// client that leaves two pings unanswered is closed with earshot.Timeout.
	// Whatever is heard of a client is an answer. 0 never asks: the dialogue
	// has heartbeats of its own.
	PingEvery time.Duration
	// Linger is how long a client has to take our goodbye and to answer it,
	// 5 seconds by default; SlowLinger the same for a client that does not
	// read or is silent, 1 second by default.
	Linger, SlowLinger time.Duration
}

// A Format turns frames into the bytes of one wire format. It has no state of
// a connection: the same frame is always the same bytes, for every connection
// of its Kind. Its methods are called concurrently, also with a shard locked,
// and must be quick. Formats are compared, so they are pointers or small
// comparable values.
type Format interface {
	// Append appends f as it goes on the wire: headers of the wire, f.Head,
	// f.Body. It must not keep dst. What is expensive to make (a compressed
	// frame) is kept in f by f.Form.
	Append(dst []byte, f *hub.Frame) []byte
	// Goodbye returns the last bytes that we send, after what is queued. Code 0
	// is a goodbye without words. Nil means that the wire has no word for it:
	// then our half of the connection is closed instead.
	Goodbye(code int, reason string) []byte
	// Ping returns the bytes that ask the client to answer, the same each time.
	// Nil if the wire has none.
	Ping() []byte
}

// A Decoder cuts what one client sends into messages. It belongs to one
// connection, and its calls never overlap.
type Decoder interface {
	// Decode takes whole messages, and as much of the next one as it likes,
	// from the start of in, and adds what it found to d. It returns how many
	// bytes it took; the rest is shown again, at the start of the next in,
	// behind it what was read meanwhile. So a decoder may wait until a whole
	// message is there (and take 0 until then), or take pieces as they come and
	// keep them itself, but what it holds must be bounded by what the client
	// sent, and a message that will be too long is refused as soon as its
	// length is known.
	//
	// In is the transport's: it may be changed in place, and nothing of it may
	// be kept; what goes into d is copied. An error ends the connection by
	// hub.Conn.Close(err), after the messages found before it have been
	// handled; Decode is not called again.
	Decode(in []byte, d *Decoded) (n int, err error)
}

// Decoded is what one call of Decode found.
type Decoded struct {
	// In are whole messages in the order they came, which are the session's
	// from now on.
	In []hub.Input
	// Reply is sent to the client at once, between frames: the answer to a ping.
	// It takes the place of one that the client has not taken yet.
	Reply []byte
	// Bye says that the client has said goodbye, with Code and Reason, 0 and
	// empty if it gave none. What comes after it is not decoded.
	Bye    bool
	Code   int
	Reason string
}

// Raw is the Op of a frame whose Body goes on the wire as it is, whatever the
// Format: the answer to a handshake, a pong.
const Raw hub.Op = 255

// reply is Raw for a decoder's Reply, which a newer one replaces while it waits.
const reply = Raw - 1

// raw returns a frame of wire bytes.
func raw(b []byte) *hub.Frame { return &hub.Frame{Op: Raw, Body: b} }
