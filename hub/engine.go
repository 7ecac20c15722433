package hub

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// An Engine stores, numbers and spreads messages, and keeps records.
type Engine interface {
	Log
	Bus
	Records
}

// A Log stores the messages of logged channels in one order.
type Log interface {
	// Append stores m, which has no ID yet, and calls done exactly once, from
	// any goroutine, when the outcome is known: stored as durably as the engine
	// promises, refused, or unknown (earshot.Unknown). Messages that one
	// goroutine appends are stored in the order of the calls. Append itself
	// does not wait for the disk; it may wait for a bounded time while too much
	// is under way. Done must not block.
	Append(m *earshot.Message, o AppendOptions, done func(Appended, error))

	// Read returns stored messages of one channel.
	Read(ctx context.Context, app, channel string, r Range) (Page, error)
}

// AppendOptions are what a publish asks of the log.
type AppendOptions struct {
	// Key makes the append idempotent within (app, channel) for 5 minutes; empty for none.
	Key string
	// WantID asks for the message's id, which costs a read.
	WantID bool
	// Rule is the channel's.
	Rule *earshot.Rule
}

// Appended is what became of an append.
type Appended struct {
	// ID is the message's, if it was asked for; with Duplicate the first one's.
	ID earshot.ID
	// Duplicate says that the key had been used, and nothing new was stored.
	Duplicate bool
}

// A Range selects messages of a channel.
type Range struct {
	// After and Before are exclusive bounds; zero is no bound.
	After, Before earshot.Position
	// Since drops what is older; zero for no bound.
	Since time.Time
	// Reverse reads from the newest.
	Reverse bool
	// Limit and Bytes bound the page: at least one message is returned if there
	// is one. 0 is the engine's own bound.
	Limit, Bytes int
	// AtLeast is a sequence that the answering replica must have reached.
	AtLeast uint64
	// Hidden includes messages that history does not show (Store 0).
	Hidden bool
}

// A Page is an answer of Log.Read.
type Page struct {
	// Messages are in the order asked for.
	Messages []*earshot.Message
	// More says that the range holds more than the page.
	More bool
	// Upto is the sequence up to which a forward page is complete: every message
	// of the range with a sequence up to it is in the page. Without More it is
	// at least AtLeast.
	Upto uint64
	// Exact says that nothing was lost between After and the page: After is of
	// this stream's life, and it still exists on this channel, or nothing but
	// expired messages was ever removed since.
	Exact bool
}

// A Bus carries messages between nodes.
type Bus interface {
	// Start begins deliveries to s, until Close. What the log stores from then
	// on is delivered to every node that hears the channel, this one included,
	// as durable as the channel's rule asks. It returns the stream's newest
	// position: what has a higher sequence will be delivered.
	Start(ctx context.Context, s Sink) (earshot.Position, error)
	// Hear makes sure that messages of the channel reach this node; what is
	// stored after it returned will be delivered. An empty channel means all of
	// the app's. It may have to wait for the network.
	//
	// It returns a sequence: every stored message with a higher one will be
	// delivered. Where that is what Start returned, or what has been delivered
	// since, it may answer 0.
	Hear(ctx context.Context, app, channel string) (from uint64, release func(), err error)
	// Spread hands a live message, which has its ID, to the other nodes that
	// hear the channel. It does not wait.
	Spread(m *earshot.Message) error
	// Node names this node. It has another name each time it is started.
	Node() string
	// Tell hands a control message to another node, or to all others if to is
	// empty. It does not wait, and the message may get lost. It has MaxTell bytes
	// at the most.
	Tell(to string, data []byte) error
	// Close ends deliveries and lets go of everything. Appends under way get
	// their outcome first.
	Close(ctx context.Context) error
}

// MaxTell bounds a control message: an external NATS server takes a megabyte.
const MaxTell = 512 << 10

// A Sink takes what a Bus delivers: the Hub. Its methods may be called
// concurrently, but logged messages come from one goroutine, in the order of
// their sequences but for late ones, and may come twice.
type Sink interface {
	// Deliver takes messages that arrived together.
	Deliver(ds []Delivery)
	// Told takes a control message of another node.
	Told(data []byte)
}

// A Delivery is a message that arrived.
type Delivery struct {
	// Message is logged if its ID has a position, else live.
	Message *earshot.Message
	// Prev is the sequence of the message before it on its channel that still
	// existed when it was stored; 0 if there was none.
	Prev uint64
}
