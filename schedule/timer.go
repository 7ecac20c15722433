package schedule

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// kindLevel is the first level of the keys of timers.
const kindLevel = "timer"

// MaxData is how many bytes a timer may carry.
const MaxData = hub.MaxRecord - 8<<10

// A Timer is what is to be done at a time.
type Timer struct {
	// App is the slug of the application that it belongs to.
	App string
	// ID names it within the app. The timers that somebody scheduled have a ULID,
	// of the time at which they were; List shows them. Other ids, as Set takes
	// them, begin with ~, and are the server's own.
	ID string
	// At is when it is due. It is kept to the millisecond, rounded up.
	At time.Time
	// Kind says what is to be done; see Timers.Handle.
	Kind string
	// Line is whose order it keeps within the app and the kind: a channel.
	Line string
	// Data is what the kind makes of it, at most MaxData bytes.
	Data []byte
	// First is when it was first begun to be carried out, by the clock of the node
	// that did; zero if this is the first time. It is told, and not to be set.
	First time.Time
}

// key is the key of its record.
func (t *Timer) key() hub.Key { return keyOf(t.App, t.ID) }

func keyOf(app, id string) hub.Key { return hub.Key{kindLevel, app, id} }

// Scheduled reports whether an id is of a timer that somebody scheduled.
func Scheduled(id string) bool {
	_, err := ulid.ParseStrict(id)
	return err == nil
}

// A note is what a timer's record says before its data, as a line of JSON.
type note struct {
	// At is in milliseconds since 1970.
	At   int64  `json:"at"`
	Kind string `json:"kind"`
	Line string `json:"line,omitempty"`
	// Claim says who carries it out, if anybody does.
	Claim *claim `json:"claim,omitempty"`
}

// A claim is a node's word that it carries a timer out.
type claim struct {
	// Node is who, At when it said so by its own clock, in milliseconds since 1970.
	Node string `json:"node"`
	At   int64  `json:"at"`
	// First is when somebody first did.
	First int64 `json:"first"`
	// Born is the revision that the record had before it was first claimed: which
	// timer it is, if there have been several of its id, and its place in the order.
	Born uint64 `json:"born"`
}

// encode makes a record's data.
func (n *note) encode(data []byte) []byte {
	b, _ := json.Marshal(n) // numbers and strings do not fail
	return append(append(b, '\n'), data...)
}

var errRecord = earshot.Errorf(earshot.Internal, "a timer's record that cannot be read")

// decode reads what encode made. What it returns points into b.
func decode(b []byte) (n note, data []byte, err error) {
	head, data, ok := bytes.Cut(b, []byte{'\n'})
	if !ok {
		return n, nil, errRecord
	}
	if err := json.Unmarshal(head, &n); err != nil {
		return n, nil, &earshot.Error{Code: earshot.Internal, Text: errRecord.Text, Err: err}
	}
	return n, data, nil
}

// timer makes a Timer of what its record says.
func (n *note) timer(app, id string, data []byte) Timer {
	t := Timer{App: app, ID: id, At: time.UnixMilli(n.At), Kind: n.Kind, Line: n.Line, Data: data}
	if n.Claim != nil {
		t.First = time.UnixMilli(n.Claim.First)
	}
	return t
}

// millis rounds up, so that nothing is early.
func millis(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

// lineOf names a line by few bytes. Two lines that share a name wait for each
// other, which harms nobody.
func (s *Timers) lineOf(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, p := range parts {
		_, _ = h.WriteString(p) // never fails
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}
