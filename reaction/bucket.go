package reaction

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

const (
	// first is the level of a message's first record, before those of buckets.
	first = "-"
	// buckets is how many others there may be, and splitAt how many reactions the
	// first one has then.
	buckets = 64
	splitAt = 32
	// maxPerUser is how many values of one user a message has.
	maxPerUser = 50
	// repeat is how long a change can be repeated to have its notice published,
	// as long as the log remembers idempotency keys.
	repeat = 5 * time.Minute
)

// An item is a reaction as its record holds it.
type item struct {
	UID     string `cbor:"1,keyasint"`
	Value   string `cbor:"2,keyasint"`
	Meta    []byte `cbor:"3,keyasint,omitempty"`
	Created int64  `cbor:"4,keyasint"` // Unix milliseconds
	// Removed is when it was removed, 0 while it is there: it is remembered for a
	// while for who repeats the removal.
	Removed int64 `cbor:"5,keyasint,omitempty"`
	// Revision is the record's when this changed last; 0 if it is the record's own.
	Revision uint64  `cbor:"6,keyasint,omitempty"`
	Emit     bool    `cbor:"7,keyasint,omitempty"`
	Origin   *origin `cbor:"8,keyasint,omitempty"`
}

func (i *item) is(c *Change) bool { return i.UID == c.UID && i.Value == c.Value }

// changed is when it was added or removed last.
func (i *item) changed() time.Time { return time.UnixMilli(max(i.Created, i.Removed)) }

func (i *item) reaction() Reaction {
	return Reaction{Value: i.Value, UID: i.UID, Meta: i.Meta, Created: time.UnixMilli(i.Created)}
}

// An origin is the request that added a reaction, for the event of its removal.
type origin struct {
	Trigger   string `cbor:"1,keyasint,omitempty"`
	RequestID string `cbor:"2,keyasint,omitempty"`
	Conn      []byte `cbor:"3,keyasint,omitempty"`
	Remote    []byte `cbor:"4,keyasint,omitempty"`
	UserAgent string `cbor:"5,keyasint,omitempty"`
}

func keepOrigin(o *hub.Origin) *origin {
	if o == nil {
		return nil
	}
	k := &origin{Trigger: string(o.Trigger), RequestID: o.RequestID, UserAgent: hub.UserAgent(o.UserAgent)}
	if !o.Conn.IsZero() {
		k.Conn = o.Conn[:]
	}
	if o.Remote.IsValid() {
		k.Remote = o.Remote.AsSlice()
	}
	return k
}

// A bucket is some of the reactions to a message, and the record that holds them.
type bucket struct {
	// Split says of the first one that new reactions go to the others.
	Split bool   `cbor:"1,keyasint,omitempty"`
	Items []item `cbor:"2,keyasint,omitempty"`

	key      hub.Key
	revision uint64
}

// forgetWho drops what is known of who reacted beside the uid.
func (b *bucket) forgetWho() {
	for i := range b.Items {
		b.Items[i].Meta, b.Items[i].Origin = nil, nil
	}
}

// open reads a record; that there is none is an empty bucket.
func open(r hub.Record) (*bucket, error) {
	b := &bucket{key: r.Key, revision: r.Revision}
	if r.Revision == 0 {
		return b, nil
	}
	if err := cbor.Unmarshal(r.Data, b); err != nil {
		return nil, &earshot.Error{Code: earshot.Internal, Text: "a record of reactions cannot be read", Err: err}
	}
	for i := range b.Items {
		if b.Items[i].Revision == 0 {
			b.Items[i].Revision = r.Revision
		}
	}
	return b, nil
}

// find returns the item that a change is about, nil if there is none.
func (b *bucket) find(c *Change) *item {
	for i := range b.Items {
		if b.Items[i].is(c) {
			return &b.Items[i]
		}
	}
	return nil
}

// count is how many reactions are there, of a user or, if that is empty, of all.
func (b *bucket) count(uid string) (n int) {
	for i := range b.Items {
		if b.Items[i].Removed == 0 && (uid == "" || b.Items[i].UID == uid) {
			n++
		}
	}
	return n
}

// forget drops what was removed too long ago to be repeated.
func (b *bucket) forget(now time.Time) {
	b.Items = slices.DeleteFunc(b.Items, func(i item) bool {
		return i.Removed != 0 && now.Sub(time.UnixMilli(i.Removed)) >= repeat
	})
}

// place is where the reactions to a message are.
type place struct{ app, channel, message string }

func (p place) record(level string) hub.Key {
	return hub.Key{"reaction", p.app, p.channel, p.message, level}
}

// level names the bucket of a user's reactions, once there are several.
func level(uid string) string {
	sum := sha256.Sum256([]byte(uid))
	return hex.EncodeToString([]byte{sum[0] % buckets})
}

// mark names one reaction of a message for the order of notices.
func (p place) mark(c *Change) string {
	sum := sha256.Sum256([]byte(c.UID + "\x00" + c.Value))
	return p.message + "/" + hex.EncodeToString(sum[:8])
}

func (s *Store) load(ctx context.Context, key hub.Key) (*bucket, error) {
	r, err := s.records.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return open(r)
}

// save writes a bucket, and gives what was changed in it its revision.
func (s *Store) save(ctx context.Context, b *bucket, m *earshot.Message) error {
	now := time.Now()
	b.forget(now)
	data, err := cbor.Marshal(b)
	if err != nil {
		return err
	}
	if len(data) > hub.MaxRecord {
		return errFull
	}
	var ttl time.Duration
	if end := ends(m); !end.IsZero() {
		ttl = max(end.Sub(now), time.Second)
	}
	revision, err := s.records.Put(ctx, b.key, data, b.revision, ttl)
	if err != nil {
		if earshot.CodeOf(err) == earshot.Unknown {
			// It may be in the record: whoever looks again will see.
			return &earshot.Error{Code: earshot.Conflict, Err: err}
		}
		return err
	}
	b.revision = revision
	return nil
}
