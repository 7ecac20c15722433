package usage

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/fxamacker/cbor/v2"
)

// The times and bounds of a Recorder.
const (
	// sampleEvery is how often counts are looked at. Minutes are made of whole ones.
	sampleEvery = 5 * time.Second
	// writers is how many pages are written at once: they share the disk's time.
	writers = 16
	// maxPending is how many pages may wait while the engine cannot be reached,
	// before minutes are given up.
	maxPending = 100_000
)

// A Source is where counts come from: the hub.
type Source interface {
	AppUses(fresh bool) []hub.AppUse
}

// A Recorder keeps what apps use on this node. It is safe for concurrent use.
type Recorder struct {
	source  Source
	records hub.Records
	log     *slog.Logger

	mu    sync.Mutex
	apps  map[string]*tally
	life  string // names this node's buckets
	last  time.Time
	wait  map[pageID]*page
	stats Stats

	full    chan struct{} // a minute is over
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// pageID names a page of this node.
type pageID struct {
	app, life string
	id        int64 // the app's
	of        Granularity
	start     time.Time
}

// A page is what is written at once: an app's buckets of one granularity, in their
// order. One that waits to be written is never changed.
type page struct{ buckets []Bucket }

// Stats are counts of a Recorder since its start.
type Stats struct {
	// Written counts pages that were written, Failed tries that failed, and Lost
	// pages of minutes that were given up.
	Written, Failed, Lost uint64
	// Waiting are pages that are to be written.
	Waiting int
}

// A tally is what one app is counted by.
type tally struct {
	id      int64 // the app's, as the slug may become another's
	seen    Counts
	pages   [len(granularities)]open
	in, out Rates
}

// An open page is still being counted on: its last bucket is.
type open struct {
	start   time.Time
	buckets []Bucket
	dirty   bool // since it was last put where it is written from
}

// bucket is the one of a time, made if need be. No time is before one that there is.
func (o *open) bucket(g Granularity, at time.Time) *Bucket {
	if len(o.buckets) == 0 {
		o.start = g.Page(at)
	}
	start := g.Start(at).Unix()
	if n := len(o.buckets); n == 0 || o.buckets[n-1].Start != start {
		o.buckets = append(o.buckets, Bucket{Start: start, From: at.UnixMilli()})
	}
	o.dirty = true
	return &o.buckets[len(o.buckets)-1]
}

// NewRecorder makes a recorder. Who starts it closes it.
func NewRecorder(source Source, records hub.Records, log *slog.Logger) *Recorder {
	r := &Recorder{
		source: source, records: records, log: log, apps: map[string]*tally{}, wait: map[pageID]*page{},
		life: rand.Text()[:16], full: make(chan struct{}, 1), last: time.Now(),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Start begins to count: what was used before is in the first bucket.
func (r *Recorder) Start() {
	r.running.Go(r.sampleAll)
	r.running.Go(r.writeAll)
}

// Close writes what was counted, until the context ends.
func (r *Recorder) Close(ctx context.Context) error {
	r.cancel()
	r.running.Wait()
	r.sample(time.Now())
	r.mu.Lock()
	r.putAway()
	r.mu.Unlock()
	return r.write(ctx)
}

// Stats returns them.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Waiting = len(r.wait)
	return s
}

// sampleAll is the goroutine that looks at the counts.
func (r *Recorder) sampleAll() {
	timer := time.NewTimer(untilNext(time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		r.sample(now)
		timer.Reset(untilNext(now))
	}
}

// untilNext is how long it is to the next sample: they are in step with the
// clock, so that a minute ends with one.
func untilNext(now time.Time) time.Duration {
	return now.Truncate(sampleEvery).Add(sampleEvery).Sub(now)
}

// sample counts what was used since the last one, in the periods of that time.
func (r *Recorder) sample(now time.Time) {
	uses := r.source.AppUses(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.last
	r.last = now
	for i := range uses {
		u := &uses[i]
		t := r.apps[u.App]
		if t == nil {
			t = &tally{id: u.ID}
			r.apps[u.App] = t
		}
		t.count(u, at, now)
		if u.ID != 0 && u.ID != t.id {
			r.handOver(u, t)
		}
	}
	switch {
	case now.Round(0).Before(at.Round(0)): // by the wall clock
		r.putAway()
		r.life = rand.Text()[:16]
	case !Minute.Start(now).Equal(Minute.Start(at)):
		r.roll(now)
	default:
		return
	}
	select {
	case r.full <- struct{}{}:
	default:
	}
}

// handOver begins anew for the app that has got another one's slug: what was
// counted so far stays with that. The lock is held.
func (r *Recorder) handOver(u *hub.AppUse, t *tally) {
	for i, g := range granularities {
		r.put(u.App, t.id, g, &t.pages[i])
	}
	r.apps[u.App] = &tally{id: u.ID, seen: t.seen}
}

// count adds what was used between two times to the buckets of the first.
func (t *tally) count(u *hub.AppUse, at, now time.Time) {
	counts := countsOf(u)
	d := counts.since(&t.seen)
	t.seen = counts
	t.in.tick(d.MessagesIn, now.Sub(at))
	t.out.tick(d.MessagesOut, now.Sub(at))
	if d == (Counts{}) && u.Peak == 0 {
		return
	}
	for i, g := range granularities {
		b := t.pages[i].bucket(g, at)
		b.Counts.add(&d)
		b.Peak = max(b.Peak, u.Peak)
		b.To = max(now.UnixMilli(), b.From)
	}
}

// roll puts every page that was counted on where it is written from, and ends
// those whose time is over. The lock is held.
func (r *Recorder) roll(now time.Time) {
	for app, t := range r.apps {
		for i, g := range granularities {
			o := &t.pages[i]
			r.put(app, t.id, g, o)
			if !g.Page(now).Equal(o.start) {
				*o = open{}
			}
		}
	}
}

// putAway ends all pages. The lock is held.
func (r *Recorder) putAway() {
	for app, t := range r.apps {
		for i, g := range granularities {
			r.put(app, t.id, g, &t.pages[i])
			t.pages[i] = open{}
		}
	}
}

// put lets a page wait to be written, if it was counted on. The lock is held.
func (r *Recorder) put(app string, number int64, g Granularity, o *open) {
	id := pageID{app, r.life, number, g, o.start}
	switch {
	case !o.dirty:
		return
	case g == Minute && len(r.wait) >= maxPending && r.wait[id] == nil:
		r.stats.Lost++
	default:
		r.wait[id] = &page{slices.Clone(o.buckets)}
	}
	o.dirty = false
}

// writeAll is the goroutine that writes what waits, when a minute is over.
func (r *Recorder) writeAll() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.full:
		}
		if err := r.write(r.ctx); err != nil && r.ctx.Err() == nil {
			r.log.Warn("what apps use could not be written; it will be tried again", "err", err)
		}
	}
}

// write writes what waits. It returns one of its errors; what failed still waits.
func (r *Recorder) write(ctx context.Context) error {
	r.mu.Lock()
	ids := make(chan pageID, len(r.wait))
	for id := range r.wait {
		ids <- id
	}
	r.mu.Unlock()
	close(ids)
	var group sync.WaitGroup
	errs := make(chan error, writers)
	for range min(writers, len(ids)) {
		group.Go(func() {
			for id := range ids {
				if err := r.writeOne(ctx, id); err != nil {
					errs <- err // and no more: the engine is not there
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

// writeOne writes one page, unless it is older than it would be kept.
func (r *Recorder) writeOne(ctx context.Context, id pageID) error {
	r.mu.Lock()
	p := r.wait[id]
	r.mu.Unlock()
	if p == nil {
		return nil
	}
	if time.Since(id.start) > id.of.longest()+id.of.Keep() {
		r.written(id, p, nil)
		return nil
	}
	data, err := cbor.Marshal(p.buckets)
	if err == nil {
		_, err = r.records.Put(ctx, id.key(), data, hub.AnyRevision, id.of.Keep())
	}
	r.written(id, p, err)
	if earshot.CodeOf(err) == earshot.Conflict && err != nil {
		return nil // a try of ours from before is still under way: next time
	}
	return err
}

// written notes what became of a write. A page that was counted on meanwhile
// waits again.
func (r *Recorder) written(id pageID, p *page, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.stats.Failed++
		return
	}
	r.stats.Written++
	if r.wait[id] == p {
		delete(r.wait, id)
	}
}

// Now is how fast an app's messages come and go on this node.
func (r *Recorder) Now(app string) (in, out Rates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.apps[app]; t != nil {
		return t.in, t.out
	}
	return Rates{}, Rates{}
}
