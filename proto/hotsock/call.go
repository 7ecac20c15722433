package hotsock

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/fxamacker/cbor/v2"
)

// A question is a request of the client's HTTP API on its way to the node that
// holds the connection: only that one can judge the secret.
type question struct {
	Endpoint  string     `cbor:"1,keyasint"`
	Secret    string     `cbor:"2,keyasint"`
	Body      []byte     `cbor:"3,keyasint"`
	Request   string     `cbor:"4,keyasint"`
	Remote    netip.Addr `cbor:"5,keyasint"`
	UserAgent string     `cbor:"6,keyasint"`
	// Secure says that it came over TLS. A node that does not tell has not asked.
	Secure bool `cbor:"7,keyasint"`

	id earshot.ConnID
}

// An answer is what the holding node says.
type answer struct {
	Status int    `cbor:"1,keyasint"`
	Body   []byte `cbor:"2,keyasint"`
}

// errNotTheirs answers who has shown no open connection's id and secret. That
// the connection is not there and that the secret is wrong look the same.
var errNotTheirs = &earshot.Error{Code: earshot.Unauthenticated, Reason: "CONNECTION", Text: "connectionId and connectionSecret are not those of an open connection"}

// answer carries a request out, here or on the node that holds the connection.
func (p *Protocol) answer(ctx context.Context, e *endpoint, q *question) (status int, body []byte) {
	if c := p.deps.Hub.Conn(q.id); c != nil {
		return p.carryOut(ctx, e, c, q)
	}
	a, err := p.forward(ctx, q)
	if err != nil {
		return refused(ctx, e, err)
	}
	return a.Status, a.Body
}

// carryOut carries a request out for a connection of this node.
func (p *Protocol) carryOut(ctx context.Context, e *endpoint, c *hub.Conn, q *question) (status int, body []byte) {
	if !p.knows(c, q.Secret) {
		return refused(ctx, e, errNotTheirs)
	}
	if err := p.deps.Gate.Secured(c.App(), q.Secure); err != nil {
		return refused(ctx, e, err)
	}
	body, err := e.serve(ctx, &call{conn: c, body: q.Body, origin: &hub.Origin{
		Trigger: hub.ByClientHTTP, RequestID: q.Request, Conn: c.ID(), Remote: q.Remote, UserAgent: q.UserAgent,
	}})
	if err != nil {
		return refused(ctx, e, err)
	}
	return e.status, body
}

// knows reports whether the secret is that of an open connection.
func (p *Protocol) knows(c *hub.Conn, secret string) bool {
	right := subtle.ConstantTimeCompare([]byte(secret), []byte(p.secret(c.ID()))) == 1
	return right && c.Err() == nil && c.Identity() != nil
}

// forward asks the node that holds the connection.
func (p *Protocol) forward(ctx context.Context, q *question) (a answer, err error) {
	data, err := cbor.Marshal(q)
	if err != nil {
		return a, err
	}
	data, err = p.deps.Hub.Call(ctx, q.id, callKind, data)
	switch {
	case earshot.CodeOf(err) == earshot.NotFound:
		return a, errNotTheirs
	case err != nil:
		return a, err
	}
	return a, cbor.Unmarshal(data, &a)
}

// callKind is what calls of this protocol are called among the nodes.
const callKind = "hotsock"

// asked carries out what another node forwarded. It is a hub.Callee.
func (p *Protocol) asked(ctx context.Context, c *hub.Conn, data []byte) ([]byte, error) {
	var q question
	if err := cbor.Unmarshal(data, &q); err != nil {
		return nil, &earshot.Error{Code: earshot.Invalid, Text: "the call of another node is not understood", Err: err}
	}
	for _, e := range p.endpoints() {
		if e.name == q.Endpoint {
			status, body := p.carryOut(ctx, &e, c, &q)
			return cbor.Marshal(answer{status, body})
		}
	}
	return nil, earshot.Errorf(earshot.Invalid, "this node does not know %s", q.Endpoint)
}

// secretLen is how many characters a connectionSecret has.
const secretLen = 20

// secret derives the connectionSecret: 20 letters and digits, 119 bits. A digit
// of a MAC byte favours some letters by a quarter, which costs a guesser nothing.
func (p *Protocol) secret(id earshot.ConnID) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write(id[:])
	sum := mac.Sum(nil)
	out := make([]byte, secretLen)
	for i := range out {
		out[i] = letters[sum[i]%byte(len(letters))]
	}
	return string(out)
}

// newRequestID names one request, in events.
func newRequestID() string { return earshot.NewConnID().String() }
