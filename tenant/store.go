package tenant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Config is what a Store works with.
type Config struct {
	// Records is where apps are kept, Keys are the master keys; nil for none.
	Records hub.Records
	Keys    *Keyring
	// Live says what of an app fits beside the others.
	Live *Live
	// Settle is how long a change waits at the most until it counts on this node, so
	// that who made it can go on here; 0 does not wait.
	Settle time.Duration
	Log    *slog.Logger
}

// A Store makes and changes apps. It is safe for concurrent use, on all nodes.
//
// Its methods fail with NotFound for an app that is not there or cannot be
// changed here, with Conflict for one that changed meanwhile, or that wants what
// another one has, with Invalid for one that cannot be, and as hub.Records does.
type Store struct {
	records hub.Records
	keys    *Keyring
	live    *Live
	settle  time.Duration
	log     *slog.Logger
}

// New makes a store.
func New(c Config) *Store {
	return &Store{records: c.Records, keys: c.Keys, live: c.Live, settle: c.Settle, log: c.Log}
}

func appKey(slug string) hub.Key { return hub.Key{"app", slug} }

var (
	errNoApp   = &earshot.Error{Code: earshot.NotFound, Reason: "APP_NOT_FOUND", Text: "there is no such app"}
	errChanged = &earshot.Error{Code: earshot.Conflict, Reason: "REVISION", Text: "the app was changed meanwhile: read it again"}
)

// Get reads an app, with its secrets.
func (s *Store) Get(ctx context.Context, slug string) (*App, error) {
	if CheckSlug(slug) != nil {
		return nil, errNoApp
	}
	r, err := s.records.Get(ctx, appKey(slug))
	if err != nil {
		return nil, err
	}
	if r.Revision == 0 {
		return nil, errNoApp
	}
	return s.read(ctx, &r)
}

// read makes an app of its record; NotFound if it was deleted, or has not arrived.
func (s *Store) read(ctx context.Context, r *hub.Record) (*App, error) {
	got, err := s.keys.decode(r.Data, r.Key[1])
	switch {
	case err != nil:
		return nil, &earshot.Error{Code: earshot.Unavailable, Reason: "APP_UNREADABLE", Text: err.Error()}
	case got.App == nil:
		return nil, errNoApp
	case got.From != nil:
		if here, err := s.arrived(ctx, got.App.Slug, got.From); err != nil || !here {
			return nil, cmp.Or(err, error(errNoApp))
		}
	}
	got.App.Revision, got.App.dry = r.Revision, got.Dry
	return got.App, nil
}

// A Listed is an app in a list, without secrets.
type Listed struct {
	*App
	// Problem says why it is not served although it is active; empty if it is.
	Problem string `json:"problem,omitempty"`
}

// List reads up to limit apps in the order of their slugs, those after a slug;
// empty for the first. It may return fewer; more says whether there are others,
// and last is the slug that the next call goes on after.
func (s *Store) List(ctx context.Context, after string, limit int) (all []Listed, last string, more bool, err error) {
	var from hub.Key
	if after != "" {
		from = appKey(after)
	}
	records, more, err := s.records.List(ctx, hub.Key{"app"}, from, limit)
	if err != nil {
		return nil, "", false, err
	}
	for i := range records {
		r := &records[i]
		last = r.Key[1]
		a, err := s.read(ctx, r)
		if earshot.CodeOf(err) == earshot.NotFound && err != nil {
			continue
		}
		if err != nil {
			all = append(all, Listed{&App{Slug: last, Revision: r.Revision}, err.Error()})
			continue
		}
		all = append(all, Listed{a.Public(), s.live.Problem(last)})
	}
	return all, last, more, nil
}

// All reads every app with its secrets, in the order of their numbers. One that
// cannot be read is left out, and logged.
func (s *Store) All(ctx context.Context) ([]*App, error) {
	var all []*App
	for after, more := hub.Key(nil), true; more; {
		var records []hub.Record
		var err error
		if records, more, err = s.records.List(ctx, hub.Key{"app"}, after, listPage); err != nil {
			return nil, err
		}
		for i := range records {
			after = records[i].Key
			a, err := s.read(ctx, &records[i])
			switch {
			case err == nil:
				all = append(all, a)
			case earshot.CodeOf(err) != earshot.NotFound:
				s.log.Warn("an app cannot be read", "app", after[1], "err", err)
			}
		}
	}
	slices.SortFunc(all, func(a, b *App) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// listPage is how many records are read at once.
const listPage = 200

// Named returns the slug of an app of a name, as far as this node knows, empty if
// there is none. The one of slug but does not count.
func (s *Store) Named(name, but string) string { return s.live.named(name, but) }

// counts waits until a change counts on this node. It has been made anyway: if
// that takes long, who made it may be early.
func (s *Store) counts(ctx context.Context, slug string, revision uint64) {
	if s.settle <= 0 || revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.settle)
	defer cancel()
	if err := s.live.await(ctx, revision); err != nil {
		s.log.Warn("a change of an app does not count here yet", "app", slug, "err", err)
	}
}

// A Draft is an app that is to be made. ID, Created, Updated and Revision are
// set by the store; Key, publish key and signing key are made if there are none.
type Draft struct {
	App
	// Reuse takes a slug that an app had which was deleted: what is stored on the
	// channels of the old app is then the new one's.
	Reuse bool `json:"reuse,omitzero"`
	// Lean makes no publish key and no signing key: the app has Key and Secrets.
	Lean bool `json:"-"`
}

// Create makes an app, and returns it with its secrets.
func (s *Store) Create(ctx context.Context, by Actor, d *Draft) (*App, error) {
	a := d.clone()
	now := time.Now().UTC().Truncate(time.Millisecond)
	a.ID, a.Created, a.Updated, a.Revision = 0, now, now, 0
	if err := s.complete(a, d.Lean); err != nil {
		return nil, err
	}
	if reason, ok := s.live.reserved(a.Slug); !ok {
		return nil, &earshot.Error{Code: earshot.Conflict, Reason: "SLUG_TAKEN", Text: reason}
	}
	if err := s.fits(a, a.Slug); err != nil {
		return nil, err
	}
	e := &Entry{By: by, Action: "create", App: a.Slug, After: a.Public()}
	err := s.audited(ctx, e, func() error {
		err := s.insert(ctx, a, d.Reuse)
		e.AppID, e.After.ID, e.written = a.ID, a.ID, a.Revision
		return err
	})
	return a, err
}

// Seed makes an app, and waits until it counts on this node; it does nothing if
// there is one of its slug, ever was, or another has what it wants.
func (s *Store) Seed(ctx context.Context, by Actor, d *Draft) error {
	r, err := s.records.Get(ctx, appKey(d.Slug))
	if err != nil || r.Revision != 0 {
		return err
	}
	made, err := s.Create(ctx, by, d)
	if err != nil {
		if earshot.CodeOf(err) == earshot.Conflict {
			return nil
		}
		return err
	}
	return s.live.await(ctx, made.Revision)
}

// insert writes a new app.
func (s *Store) insert(ctx context.Context, a *App, reuse bool) error {
	over, dry, err := s.free(ctx, a.Slug, reuse)
	if err != nil {
		return err
	}
	if a.ID, err = s.nextID(ctx); err != nil {
		return err
	}
	a.dry = dry
	if err := s.put(ctx, a, over); !errors.Is(err, errChanged) {
		return err
	}
	return errSlugTaken // by who was faster
}

// put writes an app over a revision.
func (s *Store) put(ctx context.Context, a *App, revision uint64) error {
	next, err := s.write(ctx, a.Slug, &stored{App: a, Dry: a.isDry()}, revision)
	a.Revision = next
	return err
}

// idTries is how often a number is asked for while others ask too.
const idTries = 50

// nextID draws a number that no app has or had.
func (s *Store) nextID(ctx context.Context) (int64, error) {
	key := hub.Key{"app.id"}
	for range idTries {
		r, err := s.records.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		var last int64
		if r.Revision != 0 {
			if last, err = strconv.ParseInt(string(r.Data), 10, 64); err != nil {
				return 0, fmt.Errorf("the number of the newest app: %w", err)
			}
		}
		_, err = s.records.Put(ctx, key, strconv.AppendInt(nil, last+1, 10), r.Revision, 0)
		if err == nil {
			return last + 1, nil
		}
		if earshot.CodeOf(err) != earshot.Conflict {
			return 0, err
		}
	}
	return 0, &earshot.Error{Code: earshot.Unavailable, Reason: "BUSY", Text: "too many apps are made at once"}
}

// fits checks an app by itself, and beside the others but for the one of a slug,
// whose place it takes.
func (s *Store) fits(a *App, instead string) error {
	if err := a.check(); err != nil {
		return err
	}
	built, err := a.build()
	if err != nil {
		return err
	}
	return s.live.fits(built, instead)
}

// change reads an app, changes and writes it, under the audit trail. A revision
// that is not 0 must be the app's.
func (s *Store) change(ctx context.Context, by Actor, action, slug string, revision uint64, f func(a *App) error) (*App, error) {
	before, err := s.Get(ctx, slug)
	if err != nil {
		return nil, err
	}
	if revision != 0 && revision != before.Revision {
		return nil, errChanged
	}
	after := before.clone()
	if err := f(after); err != nil {
		return nil, err
	}
	after.Updated = time.Now().UTC().Truncate(time.Millisecond)
	if err := s.fits(after, slug); err != nil {
		return nil, err
	}
	e := &Entry{By: by, Action: action, App: slug, Before: before.Public(), After: after.Public()}
	return after, s.audited(ctx, e, func() error {
		err := s.put(ctx, after, before.Revision)
		e.written = after.Revision
		return err
	})
}

// Delete ends an app: who is connected is closed, and its keys are of no use any
// more. Its slug stays used; see Draft.Reuse. A revision that is not 0 must be
// the app's.
func (s *Store) Delete(ctx context.Context, by Actor, slug string, revision uint64) error {
	before, err := s.Get(ctx, slug)
	if err != nil {
		return err
	}
	if revision != 0 && revision != before.Revision {
		return errChanged
	}
	e := &Entry{By: by, Action: "delete", App: slug, Before: before.Public()}
	return s.audited(ctx, e, func() (err error) {
		e.written, err = s.write(ctx, slug, &stored{Deleted: true, Dry: before.isDry()}, before.Revision)
		return err
	})
}

// Export reads an app with its secrets, which stands in the audit trail. What
// it returns can be given to Create.
func (s *Store) Export(ctx context.Context, by Actor, slug string) (*App, error) {
	a, err := s.Get(ctx, slug)
	if err != nil {
		return nil, err
	}
	return a, s.audited(ctx, &Entry{By: by, Action: "export", App: slug, AppID: a.ID}, func() error { return nil })
}
