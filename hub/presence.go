package hub

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxPresence bounds the members of a channel: what all of them have together,
// each written as {"uid":…,"umd":…}.
const MaxPresence = 100 << 10

var (
	errNoUser   = &earshot.Error{Code: earshot.Forbidden, Reason: "PRESENCE_CHANNEL_USER_ID_REQUIRED", Text: "who is to be present needs a user id"}
	errCapacity = &earshot.Error{Code: earshot.Limited, Reason: "PRESENCE_CHANNEL_CAPACITY_REACHED", Text: "the members of the channel would have more than 100 KiB"}
)

// A room is who is present on a channel: the records of all nodes, merged.
type room struct {
	roster *roster
	key    roomKey

	mu      sync.Mutex
	dead    bool
	app     *earshot.App // as of the newest subscription of this node; nil if there was none
	members map[memberKey]*member
	order   []*member // those who are shown, in the order in which they came
	bytes   int       // of their JSON
	here    map[*Sub]*presence
}

// A memberKey names a member of a room: a user, or one connection of a user.
type memberKey struct {
	uid  string
	seat seat // zero for a user whose connections are one member
}

// A seat tells the connections of a user apart where each is a member by itself.
type seat [12]byte

// String returns 16 characters of URL-safe base64, nothing for no seat.
func (s seat) String() string {
	if s == (seat{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(s[:])
}

// memberKey is which member the subscription makes of a user.
func (s *Sub) memberKey(who *earshot.Sender) memberKey {
	k := memberKey{uid: who.UID}
	if s.how&apart != 0 {
		sum := sha256.Sum256(s.conn.id[:]) // a connection's id is not for others
		copy(k.seat[:], sum[:])
	}
	return k
}

// A member is a user of a room, or a connection of one. It is shown while any node
// has a record of it.
type member struct {
	memberKey
	records []nodeRecord
	here    []*presence // this node's subscriptions, in no order

	// How it is shown, or was; before is the metadata before the newest.
	shown  bool
	since  int64
	meta   []byte
	before []byte
	json   []byte

	left int64 // when this node's last subscription ended while others went on
}

// A nodeRecord is what one node says of a user.
type nodeRecord struct {
	node string
	record
}

// A presence is one subscription that makes its user a member.
type presence struct {
	member *member
	stamp  int64 // of the join or the newest change of metadata
	meta   []byte
}

// unlock unlocks the room; one without members is forgotten.
func (r *room) unlock() {
	if len(r.members) == 0 && !r.dead {
		r.dead = true
		r.roster.mu.Lock()
		delete(r.roster.rooms, r.key)
		r.roster.mu.Unlock()
	}
	r.mu.Unlock()
}

// user returns a user of the room, made if need be. Its caller sees to it that
// who has no record is forgotten.
func (r *room) user(k memberKey) *member {
	m := r.members[k]
	if m == nil {
		m = &member{memberKey: k}
		r.members[k] = m
	}
	return m
}

// set changes what a node says of a user, nil for nothing any more, and returns
// what that makes of the member; NoNotice for nothing.
func (r *room) set(m *member, node string, rec *record) earshot.Notice {
	was, before := m.shown, m.meta
	m.set(node, rec)
	if len(m.records) == 0 {
		delete(r.members, m.memberKey)
		if !was {
			return earshot.NoNotice
		}
		r.hide(m)
		m.shown = false
		return earshot.MemberRemoved
	}
	since, meta := m.merged()
	same := was && bytes.Equal(meta, before)
	if same && since == m.since {
		return earshot.NoNotice
	}
	if was {
		r.hide(m)
	}
	if !same {
		m.json = memberJSON(m.memberKey, meta)
	}
	m.since, m.meta, m.before, m.shown = since, meta, before, true
	r.show(m)
	switch {
	case !was:
		return earshot.MemberAdded
	case !same:
		return earshot.MemberUpdated
	}
	return earshot.NoNotice
}

// set replaces the record of one node.
func (m *member) set(node string, rec *record) {
	i := slices.IndexFunc(m.records, func(n nodeRecord) bool { return n.node == node })
	switch {
	case rec == nil && i >= 0:
		m.records = slices.Delete(m.records, i, i+1)
	case rec == nil:
	case i >= 0:
		m.records[i].record = *rec
	default:
		m.records = append(m.records, nodeRecord{node, *rec})
	}
}

// of returns what one node says of the user, nil for nothing.
func (m *member) of(node string) *record {
	for i := range m.records {
		if m.records[i].node == node {
			return &m.records[i].record
		}
	}
	return nil
}

// merged is how the user is shown: since when it came first, and with what it
// said last.
func (m *member) merged() (since int64, meta []byte) {
	newest := &m.records[0]
	since = newest.since
	for i := range m.records {
		n := &m.records[i]
		since = min(since, n.since)
		if n.newest > newest.newest || n.newest == newest.newest && n.node > newest.node {
			newest = n
		}
	}
	return since, newest.meta
}

// memberJSON is how a member is written.
func memberJSON(k memberKey, meta []byte) []byte {
	b := append(make([]byte, 0, len(k.uid)+len(meta)+24), `{"uid":`...)
	b, _ = jsontext.AppendQuote(b, k.uid) // what is not UTF-8 is replaced
	b = append(b, `,"umd":`...)
	if len(meta) == 0 {
		b = append(b, "null"...)
	}
	b = append(b, meta...)
	if s := k.seat.String(); s != "" {
		b = append(append(append(b, `,"seat":"`...), s...), '"')
	}
	return append(b, '}')
}

func (r *room) show(m *member) {
	i, _ := slices.BinarySearchFunc(r.order, m, earlier)
	r.order = slices.Insert(r.order, i, m)
	r.bytes += len(m.json)
}

func (r *room) hide(m *member) {
	if i, ok := slices.BinarySearchFunc(r.order, m, earlier); ok {
		r.order = slices.Delete(r.order, i, i+1)
		r.bytes -= len(m.json)
	}
}

// earlier orders members as they came.
func earlier(a, b *member) int {
	return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.uid, b.uid), bytes.Compare(a.seat[:], b.seat[:]))
}

// told is the member as others are told of it.
func (m *member) told() Member { return Member{UID: m.uid, Meta: m.meta, Seat: m.seat.String()} }

// list returns who is shown, in order.
func (r *room) list() []Member {
	all := make([]Member, len(r.order))
	for i, m := range r.order {
		all[i] = m.told()
	}
	return all
}

// takes reports whether the user may be shown with this metadata: what does not
// grow may stay, whatever the bound.
func (r *room) takes(k memberKey, meta []byte) bool {
	before := 0
	if m := r.members[k]; m != nil && m.shown {
		before = len(m.json)
	}
	grows := len(memberJSON(k, meta)) - before
	return grows <= 0 || r.bytes+grows <= MaxPresence
}

// add makes a subscription's user present, and returns what that changes.
func (r *room) add(s *Sub, who earshot.Sender) (*member, earshot.Notice) {
	m := r.user(s.memberKey(&who))
	p := &presence{member: m, stamp: r.roster.stamp(), meta: who.Meta}
	m.here = append(m.here, p)
	if r.here == nil {
		r.here = map[*Sub]*presence{}
	}
	r.here[s] = p
	return m, r.said(m, p.stamp)
}

// remove ends what a subscription has made of its user. It returns nil if the
// subscription has not made anybody present.
func (r *room) remove(s *Sub) (*member, earshot.Notice) {
	p := r.here[s]
	if p == nil {
		return nil, earshot.NoNotice
	}
	delete(r.here, s)
	m, now := p.member, r.roster.stamp()
	m.here = slices.DeleteFunc(m.here, func(q *presence) bool { return q == p })
	notice := r.said(m, now)
	if len(m.here) == 0 {
		m.left = now
	}
	return m, notice
}

// said makes this node's record of a user what its subscriptions say, and lets
// the other nodes know.
func (r *room) said(m *member, now int64) earshot.Notice {
	h := r.roster.hub
	old := m.of(h.nodes.name)
	rec := m.mine(old, now)
	if rec == nil && old == nil || rec != nil && old != nil && rec.newest == old.newest {
		return earshot.NoNotice
	}
	notice := r.set(m, h.nodes.name, rec)
	if !h.nodes.alone {
		r.roster.own.set(recordKey{r.key, m.memberKey}, rec, now)
		h.nodes.signal()
	}
	return notice
}

// mine is what this node's subscriptions say of the user, nil if there are none.
// Who is there already keeps the time when it came.
func (m *member) mine(old *record, now int64) *record {
	if len(m.here) == 0 {
		return nil
	}
	newest := m.here[0]
	for _, p := range m.here {
		if p.stamp > newest.stamp {
			newest = p
		}
	}
	rec := &record{since: now, newest: newest.stamp, meta: newest.meta}
	switch {
	case old != nil:
		rec.since = old.since
	case m.shown:
		rec.since = m.since
	}
	return rec
}

// changed tells those who hear the channel on this node what became of a member,
// but for one connection, and records it if this node is the one to do it. The
// channel is locked, or nil. It returns the size of what they are told.
func (r *room) changed(m *member, n earshot.Notice, c *channel, skip earshot.ConnID, b *batch, record bool) int {
	if n == earshot.NoNotice {
		return 0
	}
	if record {
		r.memberEvent(m, n)
	}
	if c == nil {
		if c = r.roster.hub.app(r.key.app).known(r.key.channel); c == nil {
			return 0
		}
		defer c.mu.Unlock()
	}
	if len(c.parts) == 0 && len(c.matching()) == 0 {
		return 0
	}
	data := r.notice(m)
	c.publish(&delivery{m: &earshot.Message{
		App: r.key.app, Channel: r.key.channel, Kind: earshot.JSON, Data: data, Notice: n, Skip: skip, Time: time.Now(),
		Headers: m.headers(n),
	}}, b)
	return len(data)
}

// notice is the data of a notice about a member.
func (r *room) notice(m *member) []byte {
	b := make([]byte, 0, len(m.json)+r.bytes+len(r.order)+32)
	b = append(append(b, `{"member":`...), m.json...)
	b = append(b, `,"members":[`...)
	for i, m := range r.order {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.json...)
	}
	return append(b, "]}"...)
}

// HeaderBefore is the header of a notice of MemberUpdated that holds the member's
// metadata before: a JSON value, empty for none.
const HeaderBefore = "before"

// headers are those of a notice about a member.
func (m *member) headers(n earshot.Notice) map[string]string {
	if n != earshot.MemberUpdated {
		return nil
	}
	return map[string]string{HeaderBefore: string(m.before)}
}

// memberEvent records what became of a member.
func (r *room) memberEvent(m *member, n earshot.Notice) {
	h, t := r.roster.hub, memberEvents[n]
	a := r.app
	if a == nil && h.findApp != nil {
		a = h.findApp(r.key.app) // nobody of this node was ever here
	}
	if told := m.told(); h.Wants(a, t) {
		h.Record(a, &Event{Type: t, Channel: r.key.channel, Member: &told, Members: r.list()}, nil)
	}
}

var memberEvents = [...]EventType{
	earshot.MemberAdded: MemberAdded, earshot.MemberUpdated: MemberUpdated, earshot.MemberRemoved: MemberRemoved,
}
