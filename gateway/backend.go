package gateway

import (
	"context"
	"fmt"

	"github.com/earshot-io/earshot"
)

// A Backend calls integrations and authorizers. It may be called concurrently.
type Backend interface {
	// Integrate calls the integration of the event's route, which has one, and
	// returns what it answered. An error is a *Failure.
	Integrate(ctx context.Context, a *earshot.App, e *Event) (*Answer, error)
	// Authorize asks the authorizer of the event's route, which has one. An error is
	// a *Failure.
	Authorize(ctx context.Context, a *earshot.App, e *Event) (*Verdict, error)
}

// Functions invokes the Lambda functions of applications. It may be called
// concurrently.
type Functions interface {
	// Invoke calls a function of the app by its name, with a JSON value, and
	// returns the JSON value that it answered. It fails with a *FunctionError if the
	// function did, with NotFound if there is none of the name, with Timeout, with
	// Limited if too many calls are under way, or else as Unavailable.
	Invoke(ctx context.Context, a *earshot.App, name string, payload []byte) ([]byte, error)
	// Enqueue has a function called later, once, and does not wait for it.
	Enqueue(a *earshot.App, name string, payload []byte) error
}

// A FunctionError is what a function that failed said (10.1).
type FunctionError struct {
	// Payload is the whole object; Message and Type are members of it.
	Payload       []byte
	Message, Type string
}

// Error returns type and message.
func (e *FunctionError) Error() string {
	return fmt.Sprintf("the function failed: %s: %s", e.Type, e.Message)
}

// An Answer is what an integration answered.
type Answer struct {
	// Status is its status code; of $connect, 2xx lets the client in.
	Status int
	// Subprotocol is its Sec-WebSocket-Protocol, empty for none.
	Subprotocol string
	// Body is for the client if the route has a route response, nil for nothing.
	// Binary sends it as a binary message.
	Body   []byte
	Binary bool
	// Join and Leave are the channels that the connection is to hear from now on,
	// or no more: Earshot's own members "join" and "leave" of the answer.
	Join, Leave []string
	// Envelope has what the joined channels bring come with its names: the answer's
	// member "envelope".
	Envelope bool
}

// A Verdict is an authorizer's yes.
type Verdict struct {
	// Context is what events say of it, principalId included, as texts (8.5).
	Context map[string]string
	// UsageKey is its usageIdentifierKey, empty for none.
	UsageKey string
}

// A FailureKind says why there is no answer.
type FailureKind uint8

// The kinds, with what becomes of a handshake (4.3, 4.4) and of a message (11.4).
const (
	// Raised is a function that failed: 502; Internal server error.
	Raised FailureKind = iota + 1
	// Malformed is an answer that is none (7.2): 502; Internal server error.
	Malformed
	// TimedOut is one that did not come in time: 504; Endpoint request timed out.
	TimedOut
	// Unreachable is a backend that could not be called: 504; Internal server error.
	Unreachable
	// Misconfigured is an integration or a function that is not there: 500;
	// Internal server error.
	Misconfigured
	// Overloaded is one with too many calls under way, or that has failed so often
	// that it is let alone for a while: 503; Internal server error.
	Overloaded
	// NoIdentity is a handshake without an identity source: 401.
	NoIdentity
	// Unauthorized is an authorizer that said just that: 401.
	Unauthorized
	// Denied is a policy that does not allow: 403.
	Denied
	// AuthorizerFailed is an authorizer without a valid answer: 500.
	AuthorizerFailed
)

// FailureKinds returns all kinds.
func FailureKinds() []FailureKind {
	var all []FailureKind
	for k := Raised; k <= AuthorizerFailed; k++ {
		all = append(all, k)
	}
	return all
}

// String returns the kind in words, with _ between them.
func (k FailureKind) String() string {
	switch k {
	case Raised:
		return "raised"
	case Malformed:
		return "malformed"
	case TimedOut:
		return "timed_out"
	case Unreachable:
		return "unreachable"
	case Misconfigured:
		return "misconfigured"
	case Overloaded:
		return "overloaded"
	case NoIdentity:
		return "no_identity"
	case Unauthorized:
		return "unauthorized"
	case Denied:
		return "denied"
	case AuthorizerFailed:
		return "authorizer_failed"
	}
	return "unknown"
}

// A Failure is why there is no answer.
type Failure struct {
	Kind FailureKind
	// Err is the cause, for the log alone.
	Err error
}

// Error returns the cause.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }
