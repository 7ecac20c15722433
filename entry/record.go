package entry

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A kept is an entry as its record holds it.
type kept struct {
	// Data is nil for an entry that was cleared: its record stays for a while,
	// for the order of notices and for who repeats the write.
	Data   []byte `cbor:"1,keyasint,omitempty"`
	Client bool   `cbor:"2,keyasint,omitempty"`
	UID    string `cbor:"3,keyasint,omitempty"`
	HasUID bool   `cbor:"4,keyasint,omitempty"`
	Meta   []byte `cbor:"5,keyasint,omitempty"`
	// Expires is in Unix milliseconds, 0 for never.
	Expires int64 `cbor:"6,keyasint,omitempty"`
	Emit    bool  `cbor:"7,keyasint,omitempty"`
	// Revision and Written, in Unix milliseconds, are of the change, in a record
	// that was written again since; 0 if they are the record's own.
	Revision uint64 `cbor:"8,keyasint,omitempty"`
	Written  int64  `cbor:"9,keyasint,omitempty"`
	// Previous is the value before, for the event.
	Previous []byte `cbor:"10,keyasint,omitempty"`
	// Done are the writes with a Once of the last minutes, the newest last.
	Done []done `cbor:"11,keyasint,omitempty"`
	// Quiet says that there is no change: the record only remembers.
	Quiet bool `cbor:"12,keyasint,omitempty"`
}

// A done is a write that is not to be done again.
type done struct {
	_   struct{} `cbor:",toarray"`
	Sum uint64   // of its Once
	At  int64    // Unix milliseconds
}

// maxDone bounds what an entry remembers.
const maxDone = 1000

func sumOf(once string) uint64 {
	sum := sha256.Sum256([]byte(once))
	return binary.BigEndian.Uint64(sum[:])
}

// did reports whether a write was done before.
func (k *kept) did(w *Write, now time.Time) bool {
	sum := sumOf(w.Once)
	return w.Once != "" && slices.ContainsFunc(k.Done, func(d done) bool {
		return d.Sum == sum && now.Sub(time.UnixMilli(d.At)) < repeat
	})
}

// doing are the writes to be remembered with a further one.
func (k *kept) doing(w *Write, now time.Time) []done {
	all := slices.DeleteFunc(slices.Clone(k.Done), func(d done) bool { return now.Sub(time.UnixMilli(d.At)) >= repeat })
	if w.Once != "" {
		all = append(all, done{Sum: sumOf(w.Once), At: now.UnixMilli()})
	}
	return all[max(0, len(all)-maxDone):]
}

// read returns what a record holds; the zero kept if there is none.
func read(r hub.Record) (kept, error) {
	var k kept
	if r.Revision == 0 {
		return k, nil
	}
	if err := cbor.Unmarshal(r.Data, &k); err != nil {
		return k, &earshot.Error{Code: earshot.Internal, Text: "an entry's record cannot be read", Err: err}
	}
	if k.Revision == 0 && !k.Quiet {
		k.Revision, k.Written = r.Revision, r.Time.UnixMilli()
	}
	return k, nil
}

// live reports whether there is a value that has not expired.
func (k *kept) live(now time.Time) bool { return k.Data != nil && !k.expired(now) }

func (k *kept) expired(now time.Time) bool {
	return k.Data != nil && k.Expires != 0 && now.UnixMilli() >= k.Expires
}

func (k *kept) expires() time.Time {
	if k.Expires == 0 {
		return time.Time{}
	}
	return time.UnixMilli(k.Expires)
}

func (k *kept) sender() *earshot.Sender {
	if !k.Client {
		return nil
	}
	return &earshot.Sender{UID: k.UID, HasUID: k.HasUID, Meta: k.Meta}
}

// entry is what readers see; its Data is nil if there is nothing to be seen.
func (k *kept) entry(key string, now time.Time) Entry {
	e := Entry{Key: key, Revision: k.Revision}
	if k.Revision != 0 {
		e.Written = time.UnixMilli(k.Written)
	}
	if k.live(now) {
		e.Data, e.Sender, e.Expires = k.Data, k.sender(), k.expires()
	}
	return e
}

// ttl is how long the record stays; 0 for ever. One that owes an event of its
// expiry outlives it.
func (k *kept) ttl(now time.Time) time.Duration {
	switch {
	case k.Data == nil:
		return clearedFor
	case k.Expires == 0:
		return 0
	}
	left := max(k.expires().Sub(now), time.Second)
	if k.Emit {
		left += owedFor
	}
	if len(k.Done) > 0 {
		left = max(left, repeat)
	}
	return left
}

const (
	// clearedFor is how long the record of a cleared entry stays, longer than
	// repeat.
	clearedFor = 10 * time.Minute
	// owedFor is how long an expired entry waits for its event.
	owedFor = 7 * 24 * time.Hour
	// repeat is how long a write can be repeated to have its notice published,
	// as long as the log remembers idempotency keys.
	repeat = 5 * time.Minute
)
