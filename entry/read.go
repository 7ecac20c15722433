package entry

import (
	"context"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// MaxKeys is how many keys a Query may name, MaxPage how many entries an answer has.
const (
	MaxKeys = 100
	MaxPage = 100
)

// Get reads an entry. Its Data is nil if there is none. It fails with Invalid, or
// as the engine does.
func (s *Store) Get(ctx context.Context, a *earshot.App, channel, key string) (Entry, error) {
	if err := CheckKey(key); err != nil {
		return Entry{}, err
	}
	if err := earshot.CheckChannel(channel); err != nil {
		return Entry{}, err
	}
	r, err := s.records.Get(ctx, record(a.Slug, channel, key))
	if err != nil {
		return Entry{}, err
	}
	k, err := read(r)
	return k.entry(key, time.Now()), err
}

// A Query selects entries of a channel.
type Query struct {
	Channel string
	// After is the key behind which to begin, empty for the first.
	After string
	// Keys are the only ones that are asked for, MaxKeys at the most; nil for all.
	Keys []string
	// Limit is how many to return; 0 and more than MaxPage mean MaxPage.
	Limit int
	// May says which keys may be read; nil for all.
	May func(key string) bool
}

func (q *Query) may(key string) bool { return q.May == nil || q.May(key) }

// List reads entries in the order of their keys' bytes. more says that there are
// others behind them. It fails with Invalid, TooLarge, or as the engine does.
func (s *Store) List(ctx context.Context, a *earshot.App, q Query) (entries []Entry, more bool, err error) {
	if q.Limit <= 0 || q.Limit > MaxPage {
		q.Limit = MaxPage
	}
	if len(q.Keys) > MaxKeys {
		return nil, false, &earshot.Error{Code: earshot.TooLarge, Reason: "TOO_MANY_KEYS", Text: "100 keys may be asked for at once"}
	}
	each := s.Each
	if q.Keys != nil {
		each = func(ctx context.Context, a *earshot.App, channel, after string, visit func(Entry) bool) error {
			return s.named(ctx, a, &q, visit)
		}
	}
	err = each(ctx, a, q.Channel, q.After, func(e Entry) bool {
		if e.Data == nil || !q.may(e.Key) {
			return true
		}
		if more = len(entries) == q.Limit; !more {
			entries = append(entries, e)
		}
		return !more
	})
	return entries, more, err
}

// named visits the entries that a query names.
func (s *Store) named(ctx context.Context, a *earshot.App, q *Query, visit func(Entry) bool) error {
	keys := slices.Clone(q.Keys)
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if err := CheckKey(key); err != nil {
			return err
		}
		if key <= q.After || !q.may(key) {
			continue
		}
		e, err := s.Get(ctx, a, q.Channel, key)
		if err != nil {
			return err
		}
		if !visit(e) {
			break
		}
	}
	return nil
}

// batch is how many records are read at once.
const batch = 250

// Each visits the entries of a channel behind a key, in the order of their keys'
// bytes, until visit returns false. Those that were cleared of late, or have
// expired, come with nil Data.
func (s *Store) Each(ctx context.Context, a *earshot.App, channel, after string, visit func(Entry) bool) error {
	if err := earshot.CheckChannel(channel); err != nil {
		return err
	}
	prefix := hub.Key{"entry", a.Slug, channel}
	var from hub.Key
	if after != "" {
		from = record(a.Slug, channel, after)
	}
	for {
		rs, more, err := s.records.List(ctx, prefix, from, batch)
		if err != nil {
			return err
		}
		now := time.Now()
		for _, r := range rs {
			k, err := read(r)
			if err != nil {
				return err
			}
			if !visit(k.entry(r.Key[len(r.Key)-1], now)) {
				return nil
			}
		}
		if !more || len(rs) == 0 {
			return nil
		}
		from = rs[len(rs)-1].Key
	}
}
