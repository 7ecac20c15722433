package hub

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
)

// A Key names a record by levels, of which the first says what kind of record
// it is: {"entry", app, channel, key}. A level is any string; a key has from 1
// to 8 levels of 512 bytes at the most, and 1,200 bytes in all.
type Key []string

// In reports whether the key is below a prefix, or is the prefix itself.
func (k Key) In(prefix Key) bool {
	return len(k) >= len(prefix) && slices.Equal(k[:len(prefix)], prefix)
}

// Compare orders keys level by level, byte by byte.
func (k Key) Compare(other Key) int { return slices.Compare(k, other) }

// String returns the levels with slashes between them, for people.
func (k Key) String() string { return strings.Join(k, "/") }

// Check reports why k cannot name a record.
func (k Key) Check() error {
	total := 0
	for _, level := range k {
		if len(level) > 512 {
			return earshot.Errorf(earshot.Invalid, "a level of a record's key is longer than 512 bytes")
		}
		total += len(level)
	}
	if len(k) == 0 || len(k) > 8 || total > 1200 {
		return earshot.Errorf(earshot.Invalid, "a record's key has 1 to 8 levels and 1200 bytes at the most")
	}
	return nil
}

// A Record is a small value under a key.
type Record struct {
	Key Key
	// Data is the value. It is nil only where there is no record.
	Data []byte
	// Revision rises with every change of any record. 0 says that there is no
	// record.
	Revision uint64
	// Time is when it was written.
	Time time.Time
}

// AnyRevision writes whatever is there.
const AnyRevision = ^uint64(0)

// MaxRecord is how many bytes of data a record may have.
const MaxRecord = 512 << 10

// Records keep small values that all nodes share: who reads after a write
// returned, on any node, sees it or what came after. What was written is as
// durable as an acknowledged message, and nothing is shown before it is. All
// methods may be called concurrently. All fail with Unavailable while the engine
// cannot be asked, and with Invalid for a key that Check refuses; a write that
// failed with Unknown may have been done, or may still be.
type Records interface {
	// Get reads a record. If there is none, it has Revision 0.
	Get(ctx context.Context, key Key) (Record, error)
	// Put writes a record if it still has the revision: 0 if there must be none,
	// AnyRevision for any. It fails with Conflict if it has another one, or is
	// just being written; with Full if there is no space, and with TooLarge.
	// ttl, 0 for none, ends the record by itself: it counts whole seconds, rounded
	// up, one at the least, and may end the record a few seconds late, never
	// early. It returns the new revision.
	Put(ctx context.Context, key Key, data []byte, revision uint64, ttl time.Duration) (uint64, error)
	// Delete removes a record if it still has the revision, and fails as Put does;
	// that there is none any more is no error with AnyRevision or 0.
	Delete(ctx context.Context, key Key, revision uint64) error
	// List reads up to limit records in the prefix (Key.In; an empty one is in
	// every key), in the order of their keys, that come after a key; nil for the
	// first. It may return fewer, since what it returns is bounded in bytes too;
	// more says whether there are others. A record that changes meanwhile comes
	// as it was before or is then.
	List(ctx context.Context, prefix, after Key, limit int) (records []Record, more bool, err error)
	// Watch calls changed with every record in the prefix, and then with every
	// change, until the context ends; it returns then, with the context's cause,
	// or when it cannot begin, or when the engine is closed. Changes of one record
	// come in their order, but several may be told as the newest; a record that
	// was removed, or has ended, comes with nil Data, if it had been told. What
	// happened while the engine was away is told afterwards. synced is called
	// once, after the records that existed at the beginning. Calls do not overlap.
	Watch(ctx context.Context, prefix Key, changed func([]Record), synced func()) error
}
