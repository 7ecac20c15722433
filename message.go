package earshot

import "time"

// Kind says what a message's bytes are.
type Kind uint8

// The kinds of data. What each protocol makes of each is a table in
// ARCHITECTURE.md.
const (
	// JSON is one valid JSON value. Empty data of this kind is JSON null.
	JSON Kind = iota
	// Text is valid UTF-8.
	Text
	// Binary is any bytes.
	Binary
)

// String names the kind in lower case.
func (k Kind) String() string {
	switch k {
	case JSON:
		return "json"
	case Text:
		return "text"
	case Binary:
		return "binary"
	}
	return "unknown"
}

// Forever is a Store that never ends.
const Forever time.Duration = -1

// A Notice tells the server's own messages of a channel from those that
// somebody published. A protocol renders the notices that it has words for
// (hub.Encoding.Notices); history never shows one.
type Notice uint8

// The notices. Data is a JSON value for each.
const (
	// NoNotice is a message that somebody published.
	NoNotice Notice = iota
	// EntryChanged is a change of the channel's storage: Key names the entry, Data
	// is its new value, null if it was cleared. Only who may observe the key hears it.
	EntryChanged
	// ReactionAdded and ReactionRemoved are changes of the reactions to a message:
	// Data is {"messageId","reaction","action"}.
	ReactionAdded
	ReactionRemoved
	// MemberAdded, MemberUpdated and MemberRemoved are changes of who is present:
	// Data is {"member":{"uid","umd"},"members":[…]}. They are of one node and
	// never stored.
	MemberAdded
	MemberUpdated
	MemberRemoved
	notices
)

// Valid reports whether the notice is one that this version knows.
func (n Notice) Valid() bool { return n < notices }

// A Message is what one publish puts on a channel. Once published it is shared
// by every subscriber and never changed.
type Message struct {
	// App is the slug of the application that the channel belongs to.
	App string
	// Channel is the channel's name within the application.
	Channel string
	// Event is the event's name; empty where the publishing protocol has none.
	Event string
	// Kind says what Data is.
	Kind Kind
	// Data is the payload; its owner is the message.
	Data []byte
	// Headers are named values that travel with the message and mean something
	// to some protocols only; nil if there are none.
	Headers map[string]string
	// Notice is not zero for a message of the server itself; its Event is empty
	// then. Key is the key of the entry that an EntryChanged is about.
	Notice Notice
	Key    string
	// Sender is the client that published, nil for a message of a server.
	Sender *Sender
	// Store is how long history shows the message: 0 not at all, Forever
	// without end. A logged channel keeps a message of Store 0 for the resume
	// window.
	Store time.Duration
	// Skip is the connection that must not hear the message, empty for none:
	// the publisher's own where echo is off.
	Skip ConnID

	// ID is given by the hub or the engine, never by the publisher. On a logged
	// channel it is also the message's position.
	ID ID
	// Time is when the message was accepted, to the millisecond that its ID holds.
	Time time.Time
}

// A Sender is who a client message came from, as its subscribers may see it.
type Sender struct {
	// UID is the client's user id; HasUID tells an anonymous client from an empty name.
	UID    string
	HasUID bool
	// Meta is the client's metadata as a JSON value, nil if it has none.
	Meta []byte
}
