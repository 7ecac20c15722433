package tenant

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
)

const (
	// watchRetry is when a watch that ended is begun again.
	watchRetry = 250 * time.Millisecond
	// applyEvery is how long changes gather: what it takes to apply them grows with
	// the number of apps, and many may be made one after another.
	applyEvery = 50 * time.Millisecond
)

// Connections are those of this node: a hub.Hub.
type Connections interface {
	Renew(a *earshot.App) (closed int)
	Expel(slug string) (closed int)
}

// A Live keeps a directory, and the connections of this node, as the records of
// apps are. Apps that were in the directory before are of the settings: they come
// first and stay. It is safe for concurrent use.
type Live struct {
	directory *auth.Directory
	keys      *Keyring
	log       *slog.Logger
	settings  map[string]*earshot.App
	first     []*earshot.App
	taken     map[string]string

	mu      sync.Mutex
	known   map[string]*known // by slug
	served  map[string]*known
	refused map[string]string // by slug: why it is not served
	changes uint64            // that were applied
	closed  uint64

	seen    uint64        // the newest revision that was told
	applied uint64        // and the newest that counts
	counted chan struct{} // closed when that changes

	dirty   chan struct{}
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// A known is what a record says. It is never changed.
type known struct {
	slug string
	id   int64
	name string
	// owners are those that it names.
	owners []string
	// from is where an app comes from that is moving here, to is where one went.
	from *arrival
	to   string
	// app is nil if it is not to be served, problem why it cannot be.
	app     *earshot.App
	problem string
}

// NewLive makes a Live. Taken are slugs that no app may have, with who has each.
// Nothing runs before Start.
func NewLive(d *auth.Directory, keys *Keyring, taken map[string]string, log *slog.Logger) *Live {
	l := &Live{
		directory: d, keys: keys, taken: taken, log: log, first: d.Apps(), settings: map[string]*earshot.App{},
		known: map[string]*known{}, served: map[string]*known{}, refused: map[string]string{}, dirty: make(chan struct{}, 1),
		counted: make(chan struct{}),
	}
	for _, a := range l.first {
		l.settings[a.Slug] = a
	}
	return l
}

// Start begins to watch, and returns when all apps that there are count, or the
// context ends. Changes then count within a second of their write, as far as the
// store can be reached: while it cannot, the apps stay as they were. Who started
// closes.
func (l *Live) Start(ctx context.Context, records hub.Records, conns Connections) error {
	running, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	synced := make(chan struct{})
	l.running.Go(func() { l.watch(running, records, synced) })
	select {
	case <-synced:
	case <-ctx.Done():
		l.Close()
		return context.Cause(ctx)
	}
	l.apply(conns)
	l.running.Go(func() {
		for {
			select {
			case <-running.Done():
				return
			case <-l.dirty:
				l.apply(conns)
				pause(running, applyEvery)
			}
		}
	})
	return nil
}

// Close ends the watch and waits for it.
func (l *Live) Close() {
	if l.cancel != nil {
		l.cancel()
	}
	l.running.Wait()
}

// watch keeps known as the records are.
func (l *Live) watch(ctx context.Context, records hub.Records, synced chan struct{}) {
	var once sync.Once
	for ctx.Err() == nil {
		seen := map[string]bool{} // nil once the beginning is over
		err := records.Watch(ctx, hub.Key{"app"}, func(all []hub.Record) { l.changed(all, seen) }, func() {
			l.forget(seen)
			seen = nil
			once.Do(func() { close(synced) })
		})
		if ctx.Err() == nil {
			l.log.Warn("apps are not watched", "err", err)
			pause(ctx, watchRetry)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// changed takes records.
func (l *Live) changed(all []hub.Record, seen map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range all {
		r := &all[i]
		if len(r.Key) != 2 {
			continue
		}
		slug := strings.Clone(r.Key[1]) // not a piece of all that the engine was sent
		l.seen = max(l.seen, r.Revision)
		if seen != nil {
			seen[slug] = true
		}
		if k := l.understand(r, slug); k != nil {
			l.known[slug] = k
		} else {
			delete(l.known, slug)
		}
	}
	l.soil()
}

// forget drops what a watch that began again did not tell of.
func (l *Live) forget(seen map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.known, func(slug string, _ *known) bool { return !seen[slug] })
	l.soil()
}

func (l *Live) soil() {
	select {
	case l.dirty <- struct{}{}:
	default:
	}
}

// understand makes a known of a record; nil if there is no app.
func (l *Live) understand(r *hub.Record, slug string) *known {
	if r.Data == nil {
		return nil
	}
	got, err := l.keys.decode(r.Data, slug)
	if err == nil && got.App == nil {
		if got.To == "" {
			return nil
		}
		return &known{slug: slug, to: got.To}
	}
	k := &known{slug: slug}
	if err == nil {
		k.id, k.name, k.owners, k.from = got.App.ID, got.App.Name, got.App.Owners, got.From
		if got.App.Active {
			k.app, err = got.App.build()
		}
	}
	if reason, _ := l.reserved(slug); reason != "" {
		k.app, k.problem = nil, reason
	}
	if err != nil {
		k.app, k.problem = nil, err.Error()
	}
	return k
}

// apply makes the directory and the connections as the records are.
func (l *Live) apply(conns Connections) {
	l.mu.Lock()
	defer l.mu.Unlock()
	inOrder := slices.SortedFunc(maps.Values(l.known), func(a, b *known) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.slug, b.slug))
	})
	apps := slices.Clone(l.first)
	served, refused := map[string]*known{}, map[string]string{}
	for _, k := range inOrder {
		switch {
		case !l.here(k):
		case k.problem != "":
			refused[k.slug] = k.problem
		case k.app != nil:
			served[k.slug] = k
			apps = append(apps, k.app)
		}
	}
	for _, r := range l.directory.Replace(apps) {
		refused[r.App.Slug] = r.Err.Error()
		delete(served, r.App.Slug)
	}
	for slug, why := range refused {
		if l.refused[slug] != why {
			l.log.Warn("an app is not served", "app", slug, "why", why)
		}
	}
	l.tell(conns, served)
	l.served, l.refused = served, refused
	l.changes++
	l.applied = l.seen
	close(l.counted)
	l.counted = make(chan struct{})
}

// here reports whether there is an app under its slug: it has not gone, and has
// arrived. It is called with mu held.
func (l *Live) here(k *known) bool {
	if k.to != "" || k.from == nil {
		return k.to == ""
	}
	old := l.known[k.from.Slug]
	return old != nil && old.to == k.slug
}

// await waits until a revision counts on this node.
func (l *Live) await(ctx context.Context, revision uint64) error {
	for {
		l.mu.Lock()
		done, counted := l.applied >= revision, l.counted
		l.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-counted:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// named returns the slug of an app of a name; empty if there is none but perhaps
// the one of a slug.
func (l *Live) named(name, but string) string {
	for _, a := range l.first {
		if a.Name == name && a.Slug != but {
			return a.Slug
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for slug, k := range l.known {
		if k.name == name && slug != but && l.here(k) {
			return slug
		}
	}
	return ""
}

// tell closes and renews the connections of what has changed. Those of apps that
// are gone come first: each takes a look at all connections, and many apps may
// change at once.
func (l *Live) tell(conns Connections, served map[string]*known) {
	closed := 0
	var changed []*known
	for slug, old := range l.served {
		now := served[slug]
		switch {
		case now == old:
		case now == nil || now.id != old.id:
			closed += conns.Expel(slug)
		default:
			changed = append(changed, now)
		}
	}
	for _, now := range changed {
		closed += conns.Renew(now.app)
	}
	l.closed += uint64(closed)
}

// reserved says why no record may have a slug; ok if one may.
func (l *Live) reserved(slug string) (reason string, ok bool) {
	if owner := l.taken[slug]; owner != "" {
		return fmt.Sprintf("the path /%s belongs to %s", slug, owner), false
	}
	if l.settings[slug] != nil {
		return "an app of the settings has this slug", false
	}
	return "", true
}

// fits reports, as Conflict or Invalid, why an app could not be served beside
// the others that this node knows, but for the one of a slug.
func (l *Live) fits(built *earshot.App, instead string) error {
	if err := l.directory.Check(built); err != nil {
		return &earshot.Error{Code: earshot.Invalid, Reason: "APP", Text: err.Error()}
	}
	if err := l.directory.FitsInstead(built, instead); err != nil {
		return &earshot.Error{Code: earshot.Conflict, Reason: "TAKEN", Text: err.Error()}
	}
	return nil
}

// Problem says why an active app is not served here; empty if it is.
func (l *Live) Problem(slug string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused[slug]
}

// Stats are counts, and how things are now.
type Stats struct {
	// Apps are the records that there are, Served those that are served, Refused
	// those that cannot be.
	Apps, Served, Refused int
	// Changes is how often what was changed was applied, Closed how many connections
	// that closed.
	Changes, Closed uint64
}

// Stats returns them.
func (l *Live) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	apps := 0
	for _, k := range l.known {
		if l.here(k) {
			apps++
		}
	}
	return Stats{Apps: apps, Served: len(l.served), Refused: len(l.refused), Changes: l.changes, Closed: l.closed}
}
