package gateway

import (
	"net/url"
	"time"
)

// The types of events (6.4).
const (
	Connect    = "CONNECT"
	Message    = "MESSAGE"
	Disconnect = "DISCONNECT"
)

// The keys of routes that have a meaning of their own.
const (
	ConnectRoute    = "$connect"
	DisconnectRoute = "$disconnect"
	DefaultRoute    = "$default"
)

// A Field is one header of a request as it came, with the client's own spelling
// of its name.
type Field struct{ Name, Value string }

// A Connection is what every event of a connection says of it.
type Connection struct {
	ID          string
	ConnectedAt time.Time
	// Domain is the host that the client used, without a scheme, or the API's
	// management domain.
	Domain string
	// SourceIP is the client's address, UserAgent what it says it is; empty for
	// nothing.
	SourceIP, UserAgent string
	// Authorizer is what the authorizer said, principalId included; nil where none
	// was asked.
	Authorizer map[string]string
	// APIKey and APIKeyID are of the key that was shown, and AccessKey the one that
	// signed the handshake; empty for none.
	APIKey, APIKeyID, AccessKey string
}

// A Handshake is the request that a connection began with.
type Handshake struct {
	Header []Field
	Query  url.Values
	// Forwarded are X-Forwarded-For, X-Forwarded-Port and X-Forwarded-Proto as the
	// event has them.
	ForwardedFor, ForwardedPort, ForwardedProto string
}

// An Event is something that an integration or an authorizer is told.
type Event struct {
	Type  string
	Stage *Stage
	Route *Route
	Conn  *Connection
	// RequestID names the event, MessageID the message of a MESSAGE.
	RequestID, MessageID string
	Time                 time.Time
	// Handshake is there for a CONNECT alone.
	Handshake *Handshake
	// Body is a MESSAGE's, as it came; Binary says that it is no text.
	Body   []byte
	Binary bool
	// Code and Reason are a DISCONNECT's.
	Code   int
	Reason string
}
