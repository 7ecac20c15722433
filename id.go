package earshot

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// A Position is a place in the stream that numbers logged messages. The zero
// Position is no position: messages of live channels have it.
type Position struct {
	// Epoch names the stream's life; sequences of different epochs cannot be compared.
	Epoch uint16
	// Seq is the message's sequence in the stream, from 1.
	Seq uint64
}

// IsZero reports whether p is no position.
func (p Position) IsZero() bool { return p == Position{} }

// An ID names a message. It is a ULID: 48 bits of Unix milliseconds, 16 bits
// that hold the epoch and 64 bits that hold the sequence, so that the id of a
// logged message is also its position and ids of one channel sort in the order
// of delivery. On a live channel the epoch is 0 and the last 64 bits only rise.
type ID [16]byte

// NewID derives the id of the message stored at p at t.
func NewID(t time.Time, p Position) ID {
	var u ulid.ULID
	ms := max(t.UnixMilli(), 0)
	// The range of a ULID's time ends in the year 10889.
	_ = u.SetTime(min(uint64(ms), ulid.MaxTime()))
	binary.BigEndian.PutUint16(u[6:8], p.Epoch)
	binary.BigEndian.PutUint64(u[8:16], p.Seq)
	return ID(u)
}

// ParseID reads the 26 characters of a ULID. It is strict about the alphabet
// and about overflow.
func ParseID(s string) (ID, error) {
	u, err := ulid.ParseStrict(s)
	if err != nil {
		return ID{}, fmt.Errorf("message id: %w", err)
	}
	return ID(u), nil
}

// Position returns where the message stands; the zero Position for a live message.
func (id ID) Position() Position {
	p := Position{
		Epoch: binary.BigEndian.Uint16(id[6:8]),
		Seq:   binary.BigEndian.Uint64(id[8:16]),
	}
	if p.Epoch == 0 {
		return Position{}
	}
	return p
}

// Time returns the millisecond that the id holds.
func (id ID) Time() time.Time { return ulid.ULID(id).Timestamp() }

// IsZero reports whether no id has been given.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the 26 characters of the ULID.
func (id ID) String() string { return ulid.ULID(id).String() }

// AppendText appends the 26 characters of the ULID to b.
func (id ID) AppendText(b []byte) ([]byte, error) {
	n := len(b)
	b = append(b, make([]byte, ulid.EncodedSize)...)
	return b, ulid.ULID(id).MarshalTextTo(b[n:])
}
