package earshot

import (
	"crypto/rand"
	"encoding/base64"
)

// A ConnID names one connection, on all nodes and for ever: 88 random bits.
// It is not a secret, but cannot be guessed.
type ConnID [11]byte

// NewConnID draws an id.
func NewConnID() ConnID {
	var id ConnID
	_, _ = rand.Read(id[:]) // never fails, by its contract
	return id
}

// ParseConnID reads what String wrote; ok is false for anything else.
func ParseConnID(s string) (id ConnID, ok bool) {
	if len(s) != base64.URLEncoding.EncodedLen(len(id)) {
		return ConnID{}, false
	}
	b, err := base64.URLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return ConnID{}, false
	}
	copy(id[:], b)
	return id, true
}

// IsZero reports whether id names no connection.
func (id ConnID) IsZero() bool { return id == ConnID{} }

// String returns 16 characters of URL-safe base64 with padding, the form that
// clients of API Gateway and Hotsock know.
func (id ConnID) String() string { return base64.URLEncoding.EncodeToString(id[:]) }
