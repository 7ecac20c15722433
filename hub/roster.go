package hub

import (
	"encoding/binary"
	"hash/fnv"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/fxamacker/cbor/v2"
)

// The roster says who is present on which channel, over all nodes. Each node is
// the only writer of its own part, a record for every user that it has on a
// channel, and has copies of the parts of the others: it hears of changes by
// numbered deltas, notices by the number and the digest in every beat that it
// missed some, and then asks for a snapshot. What is merged from all parts
// depends on the records alone, and not on the order in which they came.
type roster struct {
	hub   *Hub
	own   ownPart
	clock atomic.Int64 // the newest stamp that was given or heard

	mu    sync.Mutex
	rooms map[roomKey]*room
}

// A roomKey names a channel.
type roomKey struct{ app, channel string }

// A recordKey names what one node knows of one user on a channel.
type recordKey struct {
	roomKey
	memberKey
}

// A record is what one node says of a user on a channel.
type record struct {
	// since is when the user came, newest when it last joined or changed its
	// metadata here; meta is what it said then.
	since, newest int64
	meta          []byte
}

// stamp returns a time that is later than all that this node has heard of: what
// it does now comes after what it has seen, whatever the clocks of others say.
func (r *roster) stamp() int64 {
	for {
		old := r.clock.Load()
		s := max(time.Now().UnixNano(), old+1)
		if r.clock.CompareAndSwap(old, s) {
			return s
		}
	}
}

// saw makes later stamps later than s.
func (r *roster) saw(s int64) {
	for old := r.clock.Load(); s > old; old = r.clock.Load() {
		if r.clock.CompareAndSwap(old, s) {
			return
		}
	}
}

// A change is a record as nodes tell of it. Names are bytes, since they need
// not be UTF-8 in every protocol.
type change struct {
	_       struct{} `cbor:",toarray"`
	App     cbor.ByteString
	Channel cbor.ByteString
	UID     cbor.ByteString
	Since   int64
	// Newest is the record's; of one that is gone, when it went.
	Newest int64
	Meta   []byte
	Gone   bool
	Seat   seat
}

func changeOf(k recordKey) change {
	return change{App: cbor.ByteString(k.app), Channel: cbor.ByteString(k.channel), UID: cbor.ByteString(k.uid), Seat: k.seat}
}

func (c *change) key() recordKey {
	return recordKey{roomKey{string(c.App), string(c.Channel)}, memberKey{string(c.UID), c.Seat}}
}

func (c *change) record() *record {
	if c.Gone {
		return nil
	}
	return &record{since: c.Since, newest: c.Newest, meta: c.Meta}
}

func (c *change) size() int { return 64 + len(c.App) + len(c.Channel) + len(c.UID) + len(c.Meta) }

// digest is a record's part in the digest of its node's part.
func digest(k recordKey, r *record) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for _, s := range []string{k.app, k.channel, k.uid, string(k.seat[:])} {
		binary.LittleEndian.PutUint64(b[:], uint64(len(s)))
		_, _ = h.Write(b[:])
		_, _ = h.Write([]byte(s))
	}
	for _, n := range []int64{r.since, r.newest} {
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		_, _ = h.Write(b[:])
	}
	return h.Sum64()
}

// A delta is what changed in a node's part: the changes after a number.
type delta struct {
	After   uint64   `cbor:"1,keyasint,omitempty"`
	Changes []change `cbor:"2,keyasint,omitempty"`
}

// A snapshot is a part of all that a node has, as of the number Seq.
type snapshot struct {
	Number  uint64   `cbor:"1,keyasint,omitempty"` // of who asked
	Seq     uint64   `cbor:"2,keyasint,omitempty"`
	Part    int      `cbor:"3,keyasint,omitempty"`
	Parts   int      `cbor:"4,keyasint,omitempty"`
	Changes []change `cbor:"5,keyasint,omitempty"`
}

// batchBytes is how much one control message carries of the roster, and
// batchChanges how many changes: a decoder bounds the length of a list.
const (
	batchBytes   = MaxTell / 2
	batchChanges = 4096
)

// batches cuts changes into what one message carries.
func batches(all []change) iter.Seq[[]change] {
	return func(yield func([]change) bool) {
		first, bytes := 0, 0
		for i := range all {
			size := all[i].size()
			if i > first && (bytes+size > batchBytes || i-first == batchChanges) {
				if !yield(all[first:i:i]) {
					return
				}
				first, bytes = i, 0
			}
			bytes += size
		}
		if first < len(all) {
			yield(all[first:])
		}
	}
}

// ownPart is this node's part of the roster.
type ownPart struct {
	mu      sync.Mutex
	seq     uint64 // of the newest change
	digest  uint64
	records map[recordKey]record
	waiting []change // the newest changes, which were not told yet
}

// set changes a record, nil for none any more. The room is locked, so that
// changes of one user keep their order.
func (o *ownPart) set(k recordKey, r *record, now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if old, ok := o.records[k]; ok {
		o.digest ^= digest(k, &old)
	}
	c := changeOf(k)
	c.Newest, c.Gone = now, true
	if r == nil {
		delete(o.records, k)
	} else {
		if o.records == nil {
			o.records = map[recordKey]record{}
		}
		o.records[k] = *r
		o.digest ^= digest(k, r)
		c.Since, c.Newest, c.Meta, c.Gone = r.since, r.newest, r.meta, false
	}
	o.seq++
	o.waiting = append(o.waiting, c)
}

// take returns the changes that were not told yet, and what they lead to.
func (o *ownPart) take() (changes []change, seq, digest uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	changes, o.waiting = o.waiting, nil
	return changes, o.seq, o.digest
}

// all returns every record, and the number of the newest change in them.
func (o *ownPart) all() (records []change, seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	records = make([]change, 0, len(o.records))
	for k, r := range o.records {
		c := changeOf(k)
		c.Since, c.Newest, c.Meta = r.since, r.newest, r.meta
		records = append(records, c)
	}
	return records, o.seq
}

// replicate takes what another node says of a user: a record, or nil and when it
// went. The change is recorded as an event if that node cannot do it. It returns
// how long the list was that those who hear the channel were sent.
func (r *roster) replicate(node string, k recordKey, rec *record, went int64, orphan bool, b *batch) (sent int) {
	room := r.room(k.roomKey)
	defer room.unlock()
	m := room.user(k.memberKey)
	notice := room.set(m, node, rec)
	// Of two nodes that a user leaves at the same moment, neither sees the last of
	// it go: the one that it left last records it.
	later := m.left > went || m.left == went && r.hub.nodes.name > node
	last := notice == earshot.MemberRemoved && later
	return room.changed(m, notice, nil, earshot.ConnID{}, b, orphan || last)
}

// room returns a channel's room, made if need be, and locked.
func (r *roster) room(k roomKey) *room {
	for {
		r.mu.Lock()
		m := r.rooms[k]
		if m == nil {
			m = &room{roster: r, key: k, members: map[memberKey]*member{}}
			if r.rooms == nil {
				r.rooms = map[roomKey]*room{}
			}
			r.rooms[k] = m
		}
		r.mu.Unlock()
		m.mu.Lock()
		if !m.dead {
			return m
		}
		m.mu.Unlock()
	}
}

// known is room for a channel that may have none: it returns nil then.
func (r *roster) known(k roomKey) *room {
	r.mu.Lock()
	m := r.rooms[k]
	r.mu.Unlock()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		return nil
	}
	return m
}
