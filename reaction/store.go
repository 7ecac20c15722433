package reaction

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A Store adds, removes and reads reactions. Its methods may be called
// concurrently, on all nodes.
type Store struct {
	hub     *hub.Hub
	records hub.Records
	seed    maphash.Seed
	// lines let those who write one bucket on this node wait for each other,
	// rather than find out that they were not the first. Those of a message's first
	// record find that out until it is split.
	lines [lines]chan struct{}
	// reading is held by those who read many messages' reactions.
	reading chan struct{}
}

const (
	lines = 256
	// readers is how many listings are read at once: each may hold megabytes.
	readers = 4
	// writeTime bounds a change that has begun: no notice may come much later
	// than its record.
	writeTime = 10 * time.Second
	// tries is how often a change begins again when other nodes were faster, and
	// pause how long it waits before that at the most.
	tries = 50
	pause = 10 * time.Millisecond
)

// New makes a store on the engine's records.
func New(h *hub.Hub, records hub.Records) *Store {
	s := &Store{hub: h, records: records, seed: maphash.MakeSeed(), reading: make(chan struct{}, readers)}
	for i := range s.lines {
		s.lines[i] = make(chan struct{}, 1)
	}
	return s
}

// ApplyBy is Apply for the client of a connection, if it may: it is subscribed,
// has a uid, may read the message, and its grants for the message's event permit
// the value. It hears its own notice if its grants say so of echoed, the name
// that its protocol has for reactions. UID, Meta, Skip and Emit are set here.
//
// It fails with Forbidden, NotFound (no message that it may read), Limited (it
// counts as a message that the client publishes), or as Apply.
func (s *Store) ApplyBy(ctx context.Context, c *hub.Conn, ch Change, echoed string) (changed bool, err error) {
	sub := c.Sub(ch.Channel)
	if sub == nil {
		return false, errOutsider
	}
	who := sub.Identity()
	ch.UID, ch.Meta = who.UID, who.Meta
	if err := ch.check(); err != nil {
		return false, err
	}
	m, err := c.Message(ctx, ch.Channel, ch.Message)
	if err != nil {
		return false, err
	}
	terms := who.On(ch.Channel, m.Event)
	if !terms.React.Permits(ch.Value) {
		return false, errMayNot
	}
	if err := c.Spend(); err != nil {
		return false, err
	}
	if !who.On(ch.Channel, echoed).Allow.Has(earshot.Echo) {
		ch.Skip = c.ID()
	}
	if ch.Emit = terms.Allow.Has(earshot.Emit); ch.Emit && ch.Origin == nil {
		ch.Origin = c.Origin()
	}
	return s.carryOut(ctx, c.App(), m, &ch)
}

// Apply adds or removes a reaction for the application's own server. It returns
// when the change is as durable as an acknowledged message, its notice is
// published and its event recorded; changed is false if there was nothing to
// change.
//
// It fails with Invalid, NotFound (no such message in history), Limited, or as
// the engine does. After Unknown the change may have been made; it can be
// repeated. A change that has begun is not cut short when ctx ends.
func (s *Store) Apply(ctx context.Context, a *earshot.App, ch Change) (changed bool, err error) {
	if err := ch.check(); err != nil {
		return false, err
	}
	m, err := s.hub.Message(ctx, a, ch.Channel, ch.Message)
	if err != nil {
		return false, err
	}
	return s.carryOut(ctx, a, m, &ch)
}

func (s *Store) carryOut(ctx context.Context, a *earshot.App, m *earshot.Message, ch *Change) (changed bool, err error) {
	line := s.lines[maphash.String(s.seed, string(m.ID[:])+level(ch.UID))%lines]
	select {
	case line <- struct{}{}:
		defer func() { <-line }()
	case <-ctx.Done():
		return false, &earshot.Error{Code: earshot.Unavailable, Text: "the change was given up before it began", Err: context.Cause(ctx)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	for range tries {
		changed, err = s.change(ctx, a, m, ch)
		if err == nil || earshot.CodeOf(err) != earshot.Conflict {
			return changed, err
		}
		if err := rest(ctx, rand.N(pause)); err != nil {
			return false, err
		}
	}
	return false, errContended
}

// rest waits.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &earshot.Error{Code: earshot.Unknown, Text: "the change took too long; repeat it", Err: context.Cause(ctx)}
	}
}

// change tries once; it fails with Conflict if a record changed meanwhile.
func (s *Store) change(ctx context.Context, a *earshot.App, m *earshot.Message, ch *Change) (changed bool, err error) {
	at := place{a.Slug, ch.Channel, m.ID.String()}
	root, err := s.load(ctx, at.record(first))
	if err != nil {
		return false, err
	}
	own := root // where the user's new reactions go
	if root.Split {
		if own, err = s.load(ctx, at.record(level(ch.UID))); err != nil {
			return false, err
		}
	}
	in, known := own, own.find(ch)
	if older := root.find(ch); older != nil && (known == nil || older.Revision > known.Revision) {
		in, known = root, older
	}
	there := known != nil && known.Removed == 0
	if there != ch.Remove {
		return false, s.again(ctx, a, at, m, ch, known)
	}
	if ch.Remove {
		known.Removed, known.Revision = max(time.Now().UnixMilli(), known.Created), 0
		return true, s.put(ctx, a, at, m, ch, in, known)
	}
	n := own.count(ch.UID)
	if own != root {
		n += root.count(ch.UID)
	}
	switch {
	case n >= maxPerUser:
		return false, errTooMany
	case own == root && root.count("") >= splitAt:
		root.Split = true
		if err := s.save(ctx, root, m); err != nil {
			return false, err
		}
		return s.change(ctx, a, m, ch)
	}
	return true, s.put(ctx, a, at, m, ch, own, own.add(ch))
}

// add makes an item of a change, in the place of one that was removed if there is.
func (b *bucket) add(ch *Change) *item {
	i := item{UID: ch.UID, Value: ch.Value, Meta: ch.Meta, Created: time.Now().UnixMilli(), Emit: ch.Emit}
	if ch.Emit {
		i.Origin = keepOrigin(ch.Origin)
	}
	if old := b.find(ch); old != nil {
		*old = i
		return old
	}
	b.Items = append(b.Items, i)
	return &b.Items[len(b.Items)-1]
}

// put writes a bucket in which one item has changed, and tells of it.
func (s *Store) put(ctx context.Context, a *earshot.App, at place, m *earshot.Message, ch *Change, b *bucket, changed *item) error {
	i := *changed // saving may move it
	if err := s.save(ctx, b, m); err != nil {
		return err
	}
	i.Revision = b.revision
	return unfinished(s.announce(ctx, a, at, m, ch, &i))
}

// again is a change that was made before. What who made it may not have come to
// do, since its server died, is done.
func (s *Store) again(ctx context.Context, a *earshot.App, at place, m *earshot.Message, ch *Change, known *item) error {
	if known == nil || time.Since(known.changed()) >= repeat {
		return nil
	}
	return unfinished(s.announce(ctx, a, at, m, ch, known))
}

// announce tells subscribers, and records the event if one is to be. Of a
// removal it is told by whom and when the reaction was added.
func (s *Store) announce(ctx context.Context, a *earshot.App, at place, m *earshot.Message, ch *Change, i *item) error {
	n := &earshot.Message{
		Channel: ch.Channel, Kind: earshot.JSON, Notice: earshot.ReactionAdded, Key: at.mark(ch), Skip: ch.Skip,
		Sender: &earshot.Sender{UID: ch.UID, HasUID: true, Meta: ch.Meta},
	}
	e := &hub.Event{Type: hub.ReactionAdded, Reaction: &hub.EventReaction{
		MessageID: m.ID, Value: i.Value, UID: i.UID, Meta: i.Meta, Created: time.UnixMilli(i.Created), Expires: ends(m),
	}}
	from, action := ch.Origin, add
	if ch.Remove {
		n.Notice, e.Type, action = earshot.ReactionRemoved, hub.ReactionRemoved, remove
		if i.Origin != nil {
			from = i.Origin.origin()
		}
	}
	n.Data = data(m.ID, i.Value, action)
	return s.hub.Announce(ctx, a, hub.Publication{Message: n, Emit: ch.Emit || i.Emit, Event: e, Origin: from}, i.Revision)
}

// data is what a notice says.
func data(id earshot.ID, value, action string) []byte {
	b := append(make([]byte, 0, 128), `{"messageId":"`...)
	b, _ = id.AppendText(b)                                           // fails for a short buffer only
	b, _ = jsontext.AppendQuote(append(b, `","reaction":`...), value) // valid UTF-8 always can be quoted
	return append(append(append(b, `,"action":"`...), action...), `"}`...)
}

func (o *origin) origin() *hub.Origin {
	from := &hub.Origin{Trigger: hub.Trigger(o.Trigger), RequestID: o.RequestID, UserAgent: o.UserAgent}
	copy(from.Conn[:], o.Conn)
	from.Remote, _ = netip.AddrFromSlice(o.Remote) // invalid for none
	return from
}

// unfinished is why a change fails that is in the record already.
func unfinished(err error) error {
	if err == nil {
		return nil
	}
	return &earshot.Error{Code: earshot.Unknown, Text: "the reaction was changed, but not everybody was told; repeat the change", Err: err}
}
