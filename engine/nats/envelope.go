package nats

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
)

// version is the first byte of every message between nodes.
const version = 1

// maxEnvelope bounds what is decoded.
const maxEnvelope = 1 << 20

// An envelope is a message on the wire and in the log. App and channel are in
// the subject, id and time of a logged message come from its place in the stream.
type envelope struct {
	Event   string            `cbor:"1,keyasint,omitempty"`
	Kind    uint8             `cbor:"2,keyasint,omitempty"`
	Data    []byte            `cbor:"3,keyasint,omitempty"`
	Headers map[string]string `cbor:"4,keyasint,omitempty"`
	Sender  *sender           `cbor:"5,keyasint,omitempty"`
	// Store is in milliseconds, -1 for ever.
	Store int64  `cbor:"6,keyasint,omitempty"`
	Skip  []byte `cbor:"7,keyasint,omitempty"`
	// Early says that the message is delivered before the disk has it.
	Early bool `cbor:"8,keyasint,omitempty"`
	// Depth is how many messages the channel's rule keeps, 0 for the cap.
	Depth int `cbor:"9,keyasint,omitempty"`
	// ID is a live message's.
	ID []byte `cbor:"10,keyasint,omitempty"`
	// Notice and Key are of the server's own messages.
	Notice uint8  `cbor:"11,keyasint,omitempty"`
	Key    string `cbor:"12,keyasint,omitempty"`
}

type sender struct {
	UID    string `cbor:"1,keyasint,omitempty"`
	HasUID bool   `cbor:"2,keyasint,omitempty"`
	Meta   []byte `cbor:"3,keyasint,omitempty"`
}

// A codec encodes and decodes envelopes and records. It is immutable.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newCodec() (*codec, error) {
	enc, err := cbor.EncOptions{}.EncMode()
	if err != nil {
		return nil, err
	}
	dec, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 8, MaxArrayElements: 1024, MaxMapPairs: 1024, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	return &codec{enc, dec}, nil
}

// encode writes v behind the version byte.
func (c *codec) encode(v any) ([]byte, error) {
	b, err := c.enc.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte{version}, b...), nil
}

var errVersion = errors.New("unknown version")

// decode reads what encode wrote; anything else is an error.
func (c *codec) decode(b []byte, v any) error {
	if len(b) == 0 || len(b) > maxEnvelope {
		return fmt.Errorf("%d bytes", len(b))
	}
	if b[0] != version {
		return errVersion
	}
	return c.dec.Unmarshal(b[1:], v)
}

// seal makes the envelope of m.
func (c *codec) seal(m *earshot.Message, early bool, depth int) ([]byte, error) {
	v := envelope{
		Event: m.Event, Kind: uint8(m.Kind), Data: m.Data, Headers: m.Headers, Store: int64(earshot.Forever),
		Early: early, Depth: depth, Notice: uint8(m.Notice), Key: m.Key,
	}
	if m.Store != earshot.Forever {
		v.Store = int64(m.Store / time.Millisecond)
	}
	if !m.Skip.IsZero() {
		v.Skip = m.Skip[:]
	}
	if s := m.Sender; s != nil {
		v.Sender = &sender{UID: s.UID, HasUID: s.HasUID, Meta: s.Meta}
	}
	if !m.ID.IsZero() {
		v.ID = m.ID[:]
	}
	return c.encode(&v)
}

// open reads an envelope and checks all that code behind it relies on. The
// message has no name, id and time yet, unless it is a live one.
func (c *codec) open(b []byte) (m *earshot.Message, v *envelope, err error) {
	v = &envelope{}
	if err := c.decode(b, v); err != nil {
		return nil, nil, err
	}
	if err := v.check(); err != nil {
		return nil, nil, err
	}
	m = &earshot.Message{
		Event: v.Event, Kind: earshot.Kind(v.Kind), Data: v.Data, Headers: v.Headers, Store: earshot.Forever,
		Notice: earshot.Notice(v.Notice), Key: v.Key,
	}
	if v.Store >= 0 {
		m.Store = time.Duration(v.Store) * time.Millisecond
	}
	copy(m.Skip[:], v.Skip)
	if s := v.Sender; s != nil {
		m.Sender = &earshot.Sender{UID: s.UID, HasUID: s.HasUID, Meta: s.Meta}
	}
	copy(m.ID[:], v.ID)
	return m, v, nil
}

func (v *envelope) check() error {
	switch {
	case v.Kind > uint8(earshot.Binary):
		return fmt.Errorf("kind %d", v.Kind)
	case v.Store < -1 || v.Store > math.MaxInt64/int64(time.Millisecond):
		return fmt.Errorf("store %d", v.Store)
	case len(v.Skip) != 0 && len(v.Skip) != len(earshot.ConnID{}):
		return fmt.Errorf("skip of %d bytes", len(v.Skip))
	case len(v.ID) != 0 && len(v.ID) != len(earshot.ID{}):
		return fmt.Errorf("id of %d bytes", len(v.ID))
	case !earshot.Notice(v.Notice).Valid():
		return fmt.Errorf("notice %d", v.Notice)
	case v.Depth < 0:
		return fmt.Errorf("depth %d", v.Depth)
	case v.Kind == uint8(earshot.Text) && !utf8.Valid(v.Data):
		return errors.New("text that is not UTF-8")
	}
	return nil
}
