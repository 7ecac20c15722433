package client

import (
	"encoding/json"
	"time"
)

// A Notice is what a Subscriber hears beside messages: of its connection, of
// presence, reactions and storage. It is one of Connected, Subscribed,
// Unsubscribed, Disconnected, MemberAdded, MemberUpdated, MemberRemoved,
// ReactionAdded, ReactionRemoved, StorageUpdated, Refused and Other.
type Notice interface{ notice() }

// Connected is that there is a connection.
type Connected struct {
	// Conn is good until it ends.
	Conn *Connection
}

// Subscribed is that a channel is heard.
type Subscribed struct {
	// Channel is its name, Alias the other one, if it has one.
	Channel, Alias string
	// Broken says that the channel was heard before, and messages between then and
	// now may have been lost.
	Broken bool
	// Auto says that the token asked for it (autoSubscribe).
	Auto bool
	// UID and UMD are whom the others see.
	UID string
	UMD json.RawMessage
	// Members are those of a presence channel, the subscriber itself too.
	Members []Member
}

// Unsubscribed is that a channel is not heard any more.
type Unsubscribed struct{ Channel string }

// Disconnected is that there is no connection.
type Disconnected struct {
	// Err is why it ended, or did not begin.
	Err error
	// Retry is when the next is tried.
	Retry time.Duration
}

// A Member is one of a presence channel.
type Member struct {
	UID string `json:"uid"`
	// UMD is the metadata, as JSON.
	UMD json.RawMessage `json:"umd"`
}

// A Membership is a change of who is there.
type Membership struct {
	Channel string
	// Member is who came, changed or went.
	Member Member
	// Members are all who are there now.
	Members []Member
}

// MemberAdded is that a user came to a presence channel.
type MemberAdded struct{ Membership }

// MemberUpdated is that the metadata of a user changed.
type MemberUpdated struct{ Membership }

// MemberRemoved is that a user left a presence channel.
type MemberRemoved struct{ Membership }

// A Reaction is one to a message.
type Reaction struct {
	Channel string
	// ID is the reaction's, MessageID the message's.
	ID, MessageID string
	// Reaction is the value, as in 👍.
	Reaction string
	// UID and UMD are who reacted.
	UID string
	UMD json.RawMessage
}

// ReactionAdded is that somebody reacted to a message.
type ReactionAdded struct{ Reaction }

// ReactionRemoved is that somebody took a reaction back.
type ReactionRemoved struct{ Reaction }

// An Entry is one of a channel's storage.
type Entry struct {
	Key string
	// Data is the JSON value, null if there is none.
	Data json.RawMessage
	// UID and UMD are who wrote it, if a client did.
	UID string
	UMD json.RawMessage
}

// StorageUpdated is an entry of an observed key: as it stands, after
// Subscribed, and whenever it changes.
type StorageUpdated struct {
	Channel string
	Entry
}

// Refused is an error of the server that ends nothing: about something that was
// sent, or a channel that the token alone asked for.
type Refused struct {
	// Channel is what it is about, empty if it is about none.
	Channel string
	Err     *Error
}

// Other is an event of the server that this package does not know.
type Other struct {
	Event string
	// Frame is all of it, as JSON.
	Frame json.RawMessage
}

func (Connected) notice()       {}
func (Subscribed) notice()      {}
func (Unsubscribed) notice()    {}
func (Disconnected) notice()    {}
func (MemberAdded) notice()     {}
func (MemberUpdated) notice()   {}
func (MemberRemoved) notice()   {}
func (ReactionAdded) notice()   {}
func (ReactionRemoved) notice() {}
func (StorageUpdated) notice()  {}
func (Refused) notice()         {}
func (Other) notice()           {}
