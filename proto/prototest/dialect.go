package prototest

import (
	"net/http"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// A Dialect says how the clients of one protocol speak. All functions are pure
// and may be called concurrently. Those that only a promise in Cannot needs may
// be nil.
type Dialect struct {
	// New makes the protocol.
	New func(proto.Deps) (proto.Protocol, error)
	// Carriers are what it stands on, beside Memory.
	Carriers []Carrier
	// Cannot holds the names of the promises that the protocol cannot say, and why.
	Cannot map[string]string
	// App completes an application of the suite, with keys for example; nil if
	// there is nothing to add.
	App func(*earshot.App)
	// Silent says that the server does not greet a client that connects.
	Silent bool
	// Mute says that it does not answer a subscribe or unsubscribe either, and does
	// not tell the channel of a message: a Heartbeat is sent behind each, whose
	// answer, in its turn, says that it was carried out or refused.
	Mute bool

	// Hello is how a client begins that may do what c says.
	Hello func(c Client, on Carrier) Hello
	// Refused is how a client begins that the protocol refuses before the handshake.
	Refused func() Hello
	// Subprotocol is what the server answers to a Hello that offers some.
	Subprotocol string

	// Subscribe asks for a channel, from a place in its history.
	Subscribe func(channel string, from From) hub.Input
	// SubscribeAs is Subscribe where a client shows with it what it may; Subscribe
	// is for garbage only then.
	SubscribeAs func(c Client, channel string) hub.Input
	// Pattern asks for all channels below a level: of "a" it matches "a.x" and
	// "a.x.y", neither "a" nor "ab.x".
	Pattern func(level string) hub.Input
	// Unsubscribe ends a subscription to a channel.
	Unsubscribe func(channel string) hub.Input
	// Publish publishes data, which is any text for the kinds Text and Binary.
	Publish func(channel string, kind earshot.Kind, data string) hub.Input
	// Post publishes a text by HTTP instead, in a, and is answered when that is
	// stored. Only a protocol whose Publish is not acknowledged has it; its
	// Protocol is a proto.Router.
	Post func(a *earshot.App, channel, data string) *http.Request
	// Heartbeat asks for a sign of life.
	Heartbeat func() hub.Input

	// Read says what a message of the server means.
	Read func(hub.Input) (Event, error)
	// Cut cuts a server's messages out of a stream; nil without one.
	Cut func() proto.Cut

	// Wrapping is how many bytes a published text grows by in the protocol's form,
	// for example by quotes, where that counts towards the limit of a message.
	Wrapping int
	// LargeIsFatal says that too large a publish ends the dialogue, after its
	// answer if the protocol has one; else it is answered and goes on.
	LargeIsFatal bool
}

// A Client is what a client can prove.
type Client struct {
	// App is the application's slug, UID the user's id.
	App, UID string
	// Grants are what it may do.
	Grants []Grant
	// Expires is when the proof ends.
	Expires time.Time
}

// A Grant allows something on some channels. Their history is open to who may
// subscribe.
type Grant struct {
	// Channel is a name, in which * stands for any run of characters.
	Channel string
	May     earshot.Action
}

// A Hello is how a client begins.
type Hello struct {
	// Path is the URL's path, with a query; Header are further headers.
	Path   string
	Header http.Header
	// Subprotocols are offered.
	Subprotocols []string
	// First is what the client sends first, to say who it is.
	First []hub.Input
}

// From is where a subscription begins.
type From struct {
	// Start asks for all that is stored; else Last, if it is not empty, for what
	// came after the message of that Event.ID.
	Start bool
	Last  string
}

// What an Event is.
type What uint8

// The events.
const (
	// Other is anything that the suite does not ask about.
	Other What = iota
	// Ready greets a client.
	Ready
	// Subscribed and Unsubscribed confirm. Broken is a Subscribed that says that
	// something before it is lost.
	Subscribed
	Broken
	Unsubscribed
	// Message is a message of a channel.
	Message
	// Published acknowledges a publish.
	Published
	// Refused answers a request with an error.
	Refused
	// Alive answers a heartbeat.
	Alive
)

var whats = [...]string{"other", "ready", "subscribed", "broken", "unsubscribed", "message", "published", "refused", "alive"}

// String names the event.
func (w What) String() string { return whats[w] }

// An Event is what a server's message means.
type Event struct {
	What What
	// Channel is whose it is, where the protocol says; of a Message the channel
	// that it was published to.
	Channel string
	// Data is a Message's text, or its bytes.
	Data string
	// ID is a Message's place, for From; empty if the protocol tells none.
	ID string
	// Op is the frame's; Run sets it.
	Op hub.Op
}
