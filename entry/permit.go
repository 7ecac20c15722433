package entry

import (
	"context"
	"slices"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

var (
	errMayNotWrite = &earshot.Error{Code: earshot.Forbidden, Reason: "STORAGE_PERMISSION_DENIED", Text: "writing this entry of the channel's storage is not permitted"}
	errMayNotRead  = &earshot.Error{Code: earshot.Forbidden, Reason: "STORAGE_PERMISSION_DENIED", Text: "reading this entry of the channel's storage is not permitted"}
)

// acting is who a connection acts as on a channel: what the proof of a
// subscription added counts there, whether or not an action needs one. It fails
// with Unauthenticated before the client has said who it is.
func acting(c *hub.Conn, channel string) (*earshot.Identity, error) {
	if sub := c.Sub(channel); sub != nil {
		return sub.Identity(), nil
	}
	if id := c.Identity(); id != nil {
		return id, nil
	}
	return nil, earshot.Errorf(earshot.Unauthenticated, "not authenticated")
}

// Permit asks whether the client of a connection may write, and completes the
// write by who it is and by what its grants say: how long the entry stays,
// whether it is an event. A subscription is not needed. ScheduleBefore of the
// terms is until when it may be scheduled. It fails with Invalid, Forbidden, or
// Limited: a write counts as a message that the client publishes.
func (s *Store) Permit(c *hub.Conn, w *Write) (earshot.Terms, error) {
	if err := CheckKey(w.Key); err != nil {
		return earshot.Terms{}, err
	}
	who, err := acting(c, w.Channel)
	if err != nil {
		return earshot.Terms{}, err
	}
	terms := who.OnEntry(w.Channel, w.Key)
	if !terms.Allow.Has(earshot.WriteEntry) {
		return terms, errMayNotWrite
	}
	if err := c.Spend(); err != nil {
		return terms, err
	}
	w.Store, w.Emit = terms.Store, terms.Allow.Has(earshot.Emit)
	w.Sender = &earshot.Sender{UID: who.UID, HasUID: who.HasUID, Meta: who.Meta}
	if w.Emit && w.Origin == nil {
		w.Origin = c.Origin()
	}
	return terms, nil
}

// SetBy is Set for the client of a connection, if it may.
func (s *Store) SetBy(ctx context.Context, c *hub.Conn, w Write) (changed bool, err error) {
	if _, err := s.Permit(c, &w); err != nil {
		return false, err
	}
	return s.Set(ctx, c.App(), w)
}

// GetBy is Get for the client of a connection, if it may.
func (s *Store) GetBy(ctx context.Context, c *hub.Conn, channel, key string) (Entry, error) {
	if err := CheckKey(key); err != nil {
		return Entry{}, err
	}
	who, err := acting(c, channel)
	if err != nil {
		return Entry{}, err
	}
	if !who.OnEntry(channel, key).Allow.Has(earshot.ReadEntry) {
		return Entry{}, errMayNotRead
	}
	return s.Get(ctx, c.App(), channel, key)
}

// ListBy is List for the client of a connection: of what it may read.
func (s *Store) ListBy(ctx context.Context, c *hub.Conn, q Query) (entries []Entry, more bool, err error) {
	who, err := acting(c, q.Channel)
	if err != nil {
		return nil, false, err
	}
	q.May = func(key string) bool { return who.OnEntry(q.Channel, key).Allow.Has(earshot.ReadEntry) }
	if keys, few := opened(who, q.Channel, earshot.ReadEntry); few && q.Keys == nil {
		q.Keys = keys
	}
	return s.List(ctx, c.App(), q)
}

// opened returns the only keys that an identity's grants open for an action, not
// nil, if they are so few that they are read one by one: who may see little of a
// large channel, or nothing, has no cause to have all of it read.
func opened(who *earshot.Identity, channel string, a earshot.Action) (keys []string, few bool) {
	keys, exact := who.EntryKeys(channel, a)
	if !exact || len(keys) > MaxKeys {
		return nil, false
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return CheckKey(key) != nil })
	if keys == nil {
		keys = []string{}
	}
	return keys, true
}

// Observed visits the entries of a new subscription's channel that its client
// may observe, behind a key and in the order of their keys, until visit returns
// false, and makes sure that no change which a visited value holds already is
// sent by the subscription. It is called after Conn.Subscribe and before
// Sub.Start.
func (s *Store) Observed(ctx context.Context, a *earshot.App, sub *hub.Sub, after string, visit func(Entry) bool) error {
	who := sub.Identity()
	if !who.MayObserve(sub.Name()) {
		return nil
	}
	each := s.Each
	if keys, few := opened(who, sub.Name(), earshot.Observe); few {
		each = func(ctx context.Context, a *earshot.App, channel, after string, visit func(Entry) bool) error {
			return s.named(ctx, a, &Query{Channel: channel, After: after, Keys: keys}, visit)
		}
	}
	return each(ctx, a, sub.Name(), after, func(e Entry) bool {
		if !who.OnEntry(sub.Name(), e.Key).Allow.Has(earshot.Observe) {
			return true
		}
		sub.Saw(e.Key, e.Revision, e.Written)
		return e.Data == nil || visit(e)
	})
}
