package hub

import "context"

// A Transport carries one connection's frames to its client. Push, Flush and
// Close are called with the connection's shard locked; they never block.
//
// The transport calls Conn.Receive with what the client sent, one call at a
// time, and Conn.Ended once, after the last Receive has returned.
type Transport interface {
	// Push queues a frame behind those queued before, and reports the bytes
	// that now wait.
	Push(f *Frame) (waiting int)
	// Flush writes what is queued, as far as the client takes it now, in as few
	// writes as possible; the rest follows when the client can take it. It
	// reports the bytes that still wait.
	Flush() (waiting int)
	// Close says goodbye: what is queued goes out first, then the goodbye, and
	// the connection ends when the client has answered or had its time.
	Close(g Goodbye)
}

// A Goodbye is how a connection ends from our side.
type Goodbye struct {
	// Last is a last frame, nil for none.
	Last *Frame
	// Code and Reason are for a transport that can say them.
	Code   int
	Reason string
	// Drop discards what is queued: the client does not read.
	Drop bool
}

// An End is how a connection ended.
type End struct {
	// Peer reports that the client ended it. Code and Reason are then what it
	// said, else what we said. Code is 0 if nothing was said.
	Peer bool
	// Bye reports that the client said goodbye, be it without a code; false where
	// its bytes just ended.
	Bye    bool
	Code   int
	Reason string
	// Err is why we ended it, or the failure of the wire; nil for a regular end.
	Err error
}

// A Handler is what a protocol does with one connection. Its calls never overlap.
type Handler interface {
	// Handle is given one whole message on a goroutine of its own; m.Data is the
	// handler's to keep. Nothing more is read from the client until it returns,
	// so what may take long (a hook, a backend, history) goes to Conn.Do.
	// An error ends the connection with it. The context is Handle's alone: what
	// goes on afterwards uses the one that Do gives.
	Handle(ctx context.Context, m Input) error
	// Close is told once that the connection is over.
	Close(end End)
}

// An Unsubscriber is a Handler that tells its client of subscriptions that end
// while the connection goes on.
type Unsubscriber interface {
	// Unsubscribed is told of a subscription whose own proof (Join.As) has
	// expired; nothing of it is sent any more. It may be called while another
	// call runs, and must not block.
	Unsubscribed(sub *Sub)
}

// A Farewell renders why a connection ends; see proto.Protocol.
type Farewell interface {
	Farewell(err error) (last *Frame, code int, reason string)
}
