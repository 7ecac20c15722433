package hub

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// An Outbox keeps the events of applications, in the order in which they were
// put, until the operator's bounds of time and space are reached or they are
// dropped. It is no part of an Engine's work for channels: what it holds takes
// nothing from history. All nodes see the same.
type Outbox interface {
	// PutEvent stores e and calls done exactly once, from any goroutine, when it
	// is as safe as an acknowledged message, or with the reason why it is not:
	// Full when the outbox is, Unknown when it may have been stored. What one
	// goroutine puts keeps its order. PutEvent may wait for a bounded time while
	// too much is under way; done must not block.
	PutEvent(e Entry, done func(error))
	// ReadEvents returns up to limit entries of an app that come after a
	// position, the zero position for the oldest, in their order; of one line,
	// unless that is empty. With a line it misses nothing that any node has read
	// before; without, the newest may come a moment later.
	ReadEvents(ctx context.Context, app, line string, after earshot.Position, limit int) (EntryPage, error)
	// DropEvents removes what an app has up to a position.
	DropEvents(ctx context.Context, app string, upto earshot.Position) error
	// Events tells how full the outbox is.
	Events(ctx context.Context) (OutboxState, error)
}

// MaxEntry bounds the data of an entry.
const MaxEntry = 512 << 10

// An Entry is an event as an Outbox keeps it: what it means is the recorder's.
type Entry struct {
	App string
	// Line names what keeps an order of its own.
	Line string
	// Key makes putting it again harmless for two minutes; empty for none.
	Key  string
	Data []byte

	// Position and Time are the outbox's.
	Position earshot.Position
	Time     time.Time
}

// An EntryPage is an answer of Outbox.ReadEvents.
type EntryPage struct {
	Entries []Entry
	// More says that there are others behind them.
	More bool
	// Gone says that the position is of an outbox that is no more: the entries
	// are the oldest of this one.
	Gone bool
}

// An OutboxState is how full an outbox is.
type OutboxState struct {
	// Bytes are in use of Limit; a Limit of 0 is none. Entries counts them.
	Bytes, Limit uint64
	Entries      uint64
	// Newest is the position of the newest entry that ever was, zero for none.
	Newest earshot.Position
	// Keep is how long an entry is kept at the most; 0 is without end.
	Keep time.Duration
}
