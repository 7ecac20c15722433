package hub

import (
	"net/netip"
	"time"

	"github.com/earshot-io/earshot"
)

// An EventType says what happened. Its text is what a webhook's Events match.
type EventType string

// The types.
const (
	Connected         EventType = "connected"
	Disconnected      EventType = "disconnected"
	ConnectionUpdated EventType = "connectionUpdated" // its metadata changed
	Subscribed        EventType = "subscribed"
	Unsubscribed      EventType = "unsubscribed"
	ChannelUpdated    EventType = "channelUpdated" // its number of subscriptions changed
	MessagePublished  EventType = "messagePublished"
	MemberAdded       EventType = "memberAdded"
	MemberUpdated     EventType = "memberUpdated"
	MemberRemoved     EventType = "memberRemoved"
	EntryChanged      EventType = "channelStorageUpdated"
	ReactionAdded     EventType = "messageReactionAdded"
	ReactionRemoved   EventType = "messageReactionRemoved"
)

// An Event is something that the application's own server may be told of. It
// is shared and never changed after it was recorded.
type Event struct {
	Type EventType
	App  string
	// Channel is empty for events of a connection.
	Channel string
	Time    time.Time
	// Conn is whose doing it was, or which connection; nil if none is.
	Conn *EventConn
	// Count is the channel's number of subscriptions, for ChannelUpdated.
	Count int
	// Member is who came, changed or left, Members who is present now.
	Member  *Member
	Members []Member
	// Message is what was published; for EntryChanged and reactions their notice.
	// It has its ID.
	Message *earshot.Message
	// Entry and Reaction say more of what changed; nil for other types.
	Entry    *EventEntry
	Reaction *EventReaction
	// Origin is where the request came from; nil where there was none.
	Origin *Origin
}

// An EventConn is a connection as events tell of it.
type EventConn struct {
	ID     earshot.ConnID
	Opened time.Time
	// Closed is zero while it is open.
	Closed    time.Time
	KeepAlive bool
	Remote    netip.Addr
	UserAgent string
	UID       string
	HasUID    bool
	Meta      []byte
}

// An EventEntry is what EntryChanged says beside the notice.
type EventEntry struct {
	// Previous is the JSON value before, nil for none.
	Previous []byte
	// Expired says that its time had come, rather than that somebody wrote.
	Expired bool
	// Expires is when the entry will end, zero for never.
	Expires time.Time
}

// An EventReaction is what a reaction's event says beside the notice. For one
// that was removed, it is of the reaction when it was added.
type EventReaction struct {
	MessageID earshot.ID
	Value     string
	UID       string
	Meta      []byte
	Created   time.Time
	// Expires is when the message ends, zero for never.
	Expires time.Time
}

// An Origin is the request that made something happen.
type Origin struct {
	Trigger   Trigger
	RequestID string
	// Conn is the client's connection, zero for a request of a server.
	Conn      earshot.ConnID
	Remote    netip.Addr
	UserAgent string
}

// A Trigger is the way in which a request came. Edges have further ones.
type Trigger string

// The triggers.
const (
	ByClientSocket Trigger = "client.websocket"
	ByClientHTTP   Trigger = "client.http"
	ByServerHTTP   Trigger = "server.http"
	// BySchedule is the server itself, when a time had come.
	BySchedule Trigger = "server.schedule"
)

// A Recorder keeps events until the application's own server has been told. Its
// methods may be called concurrently, and with locks of the hub held.
type Recorder interface {
	// Wants reports whether anybody is to be told of events of this type. It is
	// quick.
	Wants(app *earshot.App, t EventType) bool
	// Record keeps e, and calls done exactly once, from any goroutine, when it is
	// as safe as an acknowledged message, or with the reason why it is not; done
	// may be nil. Record does not block. Events of one channel that are recorded
	// one after the other, and those of one connection without a channel, keep
	// their order.
	Record(e *Event, done func(error))
}

// A Member is who is present on a channel.
type Member struct {
	UID string
	// Meta is the member's metadata as a JSON value, nil for none.
	Meta []byte
	// Seat tells the connections of a user apart where each is a member by itself
	// (Join.Apart); empty else.
	Seat string
}
