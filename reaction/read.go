package reaction

import (
	"cmp"
	"context"
	"slices"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Of returns the reactions to a message, in the order in which they were made.
// Whether the message is there, and who may read it, is the caller's concern.
func (s *Store) Of(ctx context.Context, a *earshot.App, channel string, id earshot.ID) ([]Reaction, error) {
	all, err := s.Among(ctx, a, channel, []earshot.ID{id}, true)
	return all[id], err
}

// batch is how many records are read at once.
const batch = 200

// Among returns the reactions to messages of one channel, each in the order in
// which they were made. It reads the records between the oldest and the newest of
// the messages by one listing, so they are best neighbours. Without meta, who
// reacted comes without metadata, which is most of what there is to hold. Few
// are answered at once; the others wait.
func (s *Store) Among(ctx context.Context, a *earshot.App, channel string, ids []earshot.ID, meta bool) (map[earshot.ID][]Reaction, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return nil, &earshot.Error{Code: earshot.Unavailable, Text: "too many read reactions", Err: context.Cause(ctx)}
	}
	wanted := make(map[string]earshot.ID, len(ids))
	for _, id := range ids {
		wanted[id.String()] = id
	}
	byID := func(x, y earshot.ID) int { return slices.Compare(x[:], y[:]) }
	last := slices.MaxFunc(ids, byID).String()
	prefix := hub.Key{"reaction", a.Slug, channel}
	after := hub.Key{"reaction", a.Slug, channel, slices.MinFunc(ids, byID).String()}
	items := map[earshot.ID][]item{}
	for {
		rs, more, err := s.records.List(ctx, prefix, after, batch)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			id, ok := wanted[r.Key[3]]
			if !ok {
				continue
			}
			b, err := open(r)
			if err != nil {
				return nil, err
			}
			if !meta {
				b.forgetWho()
			}
			items[id] = append(items[id], b.Items...)
		}
		if len(rs) == 0 || !more || rs[len(rs)-1].Key[3] > last {
			return inOrder(items), nil
		}
		after = rs[len(rs)-1].Key
	}
}

// inOrder are the reactions that are there.
func inOrder(items map[earshot.ID][]item) map[earshot.ID][]Reaction {
	all := make(map[earshot.ID][]Reaction, len(items))
	for id, in := range items {
		in = slices.DeleteFunc(in, func(i item) bool { return i.Removed != 0 })
		slices.SortStableFunc(in, func(x, y item) int {
			return cmp.Or(cmp.Compare(x.Created, y.Created), cmp.Compare(x.Revision, y.Revision))
		})
		rs := make([]Reaction, len(in))
		for i := range in {
			rs[i] = in[i].reaction()
		}
		if len(rs) > 0 {
			all[id] = rs
		}
	}
	return all
}
