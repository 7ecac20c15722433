// Package proto says what a client protocol is: how it admits a client, opens
// a dialogue, handles messages and says goodbye. Adapters implement Protocol;
// the edges that carry bytes (package ws, stream and longpoll) drive it.
package proto

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A Protocol speaks with one kind of client. Its methods may be called
// concurrently.
type Protocol interface {
	// Admit judges the request before the handshake is answered: it may ask a
	// slow backend, choose the subprotocol and response headers, or refuse with
	// a *Refusal, which becomes the HTTP answer as it stands. Any other error is
	// answered as its earshot.Code. A protocol that refuses in its own frames
	// admits, and refuses in Open.
	Admit(ctx context.Context, r *Request) (Admission, error)

	// Open begins the dialogue. What it sends goes out with the first flush,
	// before any Handle. On an error the connection ends with Farewell(err).
	// It does not wait for I/O; what must wait goes to c.Do.
	Open(ctx context.Context, c *hub.Conn, a Admission) (Session, error)

	// Farewell renders the reason a connection ends as this protocol would: a
	// last frame, if it has one, and for a WebSocket the close code and reason.
	// err is nil if the dialogue ended as it should. It may be called while a
	// Session method runs and must not touch the session.
	Farewell(err error) (last *hub.Frame, code int, reason string)
}

// A Session is one client's dialogue: hub.Handler, implemented by adapters.
type Session = hub.Handler

// A Request is what a client showed before its dialogue began.
type Request struct {
	// HTTP is the upgrade request or the first long-poll; nil on a plain stream.
	HTTP *http.Request
	// Head is HTTP's head as it came, for how the client spells the names of its
	// headers; nil where it was not kept.
	Head []byte
	// Subprotocols are the WebSocket subprotocols that the client offered, in order.
	Subprotocols []string
	// App is the app that the host or path selects, nil if neither says.
	App *earshot.App
	// Remote is the client's address, behind trusted proxies the one they name.
	Remote netip.Addr
	// Secure reports whether the client's bytes came over TLS.
	Secure bool
	// Local is the address that was connected to.
	Local net.Addr
}

// An Admission is a protocol's yes.
type Admission struct {
	// App is the client's application. Required, unless the client says in its
	// first frame which one it wants: then nil, and Open's session calls
	// Conn.Enter.
	App *earshot.App
	// Identity is who the client is, with App.
	Identity *earshot.Identity
	// Subprotocol is the WebSocket subprotocol to answer with, empty for none.
	Subprotocol string
	// Header is added to the answer of the handshake.
	Header http.Header
	// KeepAlive says that the client is kept alive by messages of the protocol; it
	// is told in events only.
	KeepAlive bool
	// ID is what the connection is to be called, where that was told to somebody
	// already; zero leaves it to the hub.
	ID earshot.ConnID
	// Lost, if it is not nil, is called if there is no connection after all, so
	// that Open is never called: the client or the server has gone meanwhile. It
	// must not block.
	Lost func()
	// State is the protocol's own, handed to Open.
	State any
}

// A Refusal is an answer to the handshake other than yes.
type Refusal struct {
	Status int
	Header http.Header
	Body   []byte
	// Err is the cause, for the log.
	Err error
}

// Error returns the status and the cause.
func (r *Refusal) Error() string {
	s := "handshake refused: " + http.StatusText(r.Status)
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// An Entry is how an adapter presents itself to the server.
type Entry struct {
	// Name is the config section and the metrics label.
	Name string
	// Paths are where it listens for upgrades. A path that ends in a slash
	// stands for itself alone, not for what is below it. The second of three
	// segments may be {app}: the slug of the app, which it selects.
	Paths []string
	// Rest has it take the clients of paths that no entry has, if Find says that
	// they are its. One entry of a server may.
	Rest bool
	// AdmitTime is how long Admit may take, if that is longer than the edge's own
	// bound: for backends that are asked.
	AdmitTime time.Duration
	// Subprotocols limits the entry to clients that offer one of them; empty
	// takes every client on its paths that no other entry claims.
	Subprotocols []string
	// Segments are the first path segments that belong to the adapter, beyond
	// those of Paths: no app or stage may be called so.
	Segments []string
	// New makes the protocol. decode fills the adapter's config struct from its
	// section; it leaves what is not set.
	New func(decode func(any) error, deps Deps) (Protocol, error)
}

// A Finder is implemented by a protocol whose entry takes the rest: it says whether
// an upgrade of a path that nobody else has is meant for it.
type Finder interface {
	Find(r *http.Request) bool
	// Owns says that a request is the protocol's though its path is another entry's
	// too: the host is the protocol's own with all of its paths, or the path names
	// what only this protocol has.
	Owns(r *http.Request) bool
}

// A Runner is implemented by a protocol that works while no client waits for it.
type Runner interface {
	// Run works until the context ends, and returns when nothing of it is left.
	Run(ctx context.Context)
}

// A Wrapper is implemented by a protocol whose HTTP side cannot be told by ServeMux
// patterns: it answers what is its, and leaves the rest to next.
type Wrapper interface {
	Wrap(next http.Handler) http.Handler
}

// Router is implemented by a protocol with an HTTP side of its own.
type Router interface {
	// Routes registers handlers by ServeMux patterns.
	Routes(handle func(pattern string, h http.Handler))
}

// A Cutter is implemented by a protocol that also stands on a plain stream. It
// makes the resumable reader of one connection.
type Cutter interface {
	NewCutter() Cut
}

// A Cut finds the first whole message at the start of data, which is all that
// was read and not yet consumed. It returns how many bytes the message and what
// separates it take; 0 if more are needed. A message of no bytes is consumed
// and not handed on. What it returns may point into data. An error ends the
// connection.
type Cut func(data []byte) (n int, m hub.Input, err error)
