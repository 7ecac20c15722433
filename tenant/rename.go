package tenant

import (
	"context"
	"errors"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json"
)

// An app whose slug changes is written under the new one, as an arrival that does
// not count yet; then the record of the old slug is replaced by a mark that says
// where the app went. That one write is the move: before it the app is served
// under the old slug, from it on under the new one, on every node and after a
// crash at any point. Last, the arrival is written as an app like any other.
//
// Nobody takes a slug away from a move that may still happen: an arrival is
// replaced only after its old record has been written anew, so that the move
// fails, and a mark only after its arrival has been written as an app.

// An arrival says of an app from where it comes. It counts once the record of
// the old slug says that it went here.
type arrival struct {
	Slug string `json:"slug"`
	// Revision is the old record's, which the move replaces.
	Revision uint64 `json:"revision"`
	// Dry is that of the slug it comes to.
	Dry bool `json:"dry,omitzero"`
}

// Rename gives an app another slug, and changes it, both or neither. Its ID, key
// and secrets stay. Who is connected is closed, since the old slug's channels are
// no more; the old slug is as one of an app that was deleted. What is stored on
// its channels stays under it, and is not the new slug's. A revision that is not
// 0 must be the app's.
func (s *Store) Rename(ctx context.Context, by Actor, slug, to string, c *Change, revision uint64) (*App, error) {
	before, err := s.Get(ctx, slug)
	if err != nil {
		return nil, err
	}
	if revision != 0 && revision != before.Revision {
		return nil, errChanged
	}
	after := before.clone()
	after.Slug, after.Updated = to, time.Now().UTC().Truncate(time.Millisecond)
	if err := c.apply(after); err != nil {
		return nil, err
	}
	if reason, ok := s.live.reserved(to); !ok {
		return nil, &earshot.Error{Code: earshot.Conflict, Reason: "SLUG_TAKEN", Text: reason}
	}
	if err := s.fits(after, slug); err != nil {
		return nil, err
	}
	e := &Entry{By: by, Action: "rename", App: slug, Before: before.Public(), After: after.Public()}
	return after, s.audited(ctx, e, func() error {
		err := s.move(ctx, before, after)
		e.written = after.Revision
		return err
	})
}

// move writes after under its slug, and before no more.
func (s *Store) move(ctx context.Context, before, after *App) error {
	free, dry, err := s.free(ctx, after.Slug, false)
	if err != nil {
		return err
	}
	after.dry = before.dry && dry
	arrived, err := s.write(ctx, after.Slug, &stored{
		App: after, Dry: after.isDry(), From: &arrival{Slug: before.Slug, Revision: before.Revision, Dry: dry},
	}, free)
	if err != nil {
		return err
	}
	_, err = s.write(ctx, before.Slug, &stored{Deleted: true, Dry: before.isDry(), To: after.Slug}, before.Revision)
	if errors.Is(err, errChanged) {
		// It did not move. An arrival that is left behind would count for nothing.
		_, _ = s.write(ctx, after.Slug, &stored{Deleted: true, Dry: dry}, arrived)
	}
	if err != nil {
		return err
	}
	after.Revision = arrived
	if err := s.put(ctx, after, arrived); err != nil {
		s.log.Warn("an app has moved; its record will be completed later", "app", after.Slug, "err", err)
		after.Revision = arrived
	}
	return nil
}

// free makes a slug one that may be written, over the revision that it returns.
// Dry says that nothing can be stored under it; otherwise it must be asked for.
func (s *Store) free(ctx context.Context, slug string, reuse bool) (revision uint64, dry bool, err error) {
	r, err := s.records.Get(ctx, appKey(slug))
	if err != nil || r.Revision == 0 {
		return 0, true, err
	}
	was, err := peek(r.Data)
	switch {
	case err != nil || was.App != nil && was.From == nil:
		return 0, false, errSlugTaken
	case was.App != nil:
		dry, err = was.From.Dry, s.turnAway(ctx, slug, was.From)
	case was.To != "":
		dry, err = was.Dry, s.complement(ctx, was.To, slug)
	default:
		dry = was.Dry
	}
	if err == nil && !dry && !reuse {
		err = errSlugUsed
	}
	return r.Revision, dry, err
}

var (
	errSlugTaken = &earshot.Error{Code: earshot.Conflict, Reason: "SLUG_TAKEN", Text: "there is an app with this slug"}
	errSlugUsed  = &earshot.Error{
		Code: earshot.Conflict, Reason: "SLUG_USED",
		Text: "an app with this slug was deleted, and its messages may still be stored: say reuse if they are this app's",
	}
)

// turnAway sees to it that an app which has not arrived at slug never does.
func (s *Store) turnAway(ctx context.Context, slug string, from *arrival) error {
	origin, err := s.records.Get(ctx, appKey(from.Slug))
	if err != nil {
		return err
	}
	if origin.Revision != 0 {
		was, err := peek(origin.Data)
		if err != nil || was.went(slug) {
			return errSlugTaken
		}
	}
	if origin.Revision != from.Revision {
		return nil // the move can fail only
	}
	_, err = s.records.Put(ctx, origin.Key, origin.Data, origin.Revision, 0)
	return changed(err)
}

// complement writes an app that came to slug as one like any other, if that is
// still to be done.
func (s *Store) complement(ctx context.Context, slug, from string) error {
	r, err := s.records.Get(ctx, appKey(slug))
	if err != nil || r.Revision == 0 {
		return err
	}
	was, err := peek(r.Data)
	if err != nil || was.From == nil || was.From.Slug != from {
		return err
	}
	was.From = nil
	data, err := Reveal(was) // its secrets are sealed
	if err == nil {
		_, err = s.records.Put(ctx, r.Key, data, r.Revision, 0)
	}
	return changed(err)
}

// arrived reports whether an app has come to slug.
func (s *Store) arrived(ctx context.Context, slug string, from *arrival) (bool, error) {
	r, err := s.records.Get(ctx, appKey(from.Slug))
	if err != nil || r.Revision == 0 {
		return false, err
	}
	was, err := peek(r.Data)
	return err == nil && was.went(slug), err
}

// went reports whether it is the mark of an app that went to slug.
func (s *stored) went(slug string) bool { return s.Deleted && s.To == slug }

// peek reads a record without its secrets, which stay sealed.
func peek(data []byte) (*stored, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, errors.New("the record is not understood")
	}
	return &s, nil
}

// write writes a record over a revision.
func (s *Store) write(ctx context.Context, slug string, what *stored, revision uint64) (uint64, error) {
	data, err := s.keys.encode(what, slug)
	if err != nil {
		return 0, err
	}
	next, err := s.records.Put(ctx, appKey(slug), data, revision, 0)
	return next, changed(err)
}

// changed says of a record that was written meanwhile that its app was changed.
func changed(err error) error {
	if err != nil && earshot.CodeOf(err) == earshot.Conflict {
		return errChanged
	}
	return err
}

// isLive reports whether only clients of Phoenix Channels and Ex Pusher Lite can
// speak in the app, since it has no other key, and nothing of it is replayed: then
// all of its channels are live that no rule makes logged, whatever they are called.
func (a *App) isLive() bool {
	return len(a.PublishKeys)+len(a.SigningKeys)+len(a.AccessKeys)+len(a.Gateways) == 0 && a.Replay == nil
}

// isDry reports whether nothing can ever have been stored under the app's slug:
// nobody has a key to store something with, and no rule makes a channel logged.
func (a *App) isDry() bool {
	if !a.dry || !a.isLive() {
		return false
	}
	for i := range a.Channels {
		if !a.Channels[i].Live {
			return false
		}
	}
	return true
}
