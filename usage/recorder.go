package usage

import (
	"context"
	"crypto/rand"
	"log/slog"
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
	// writers is how many buckets are written at once: they share the disk's time.
	writers = 16
	// maxPending is how many buckets may wait while the engine cannot be reached,
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
	wait  map[bucketID]Bucket
	stats Stats

	full    chan struct{} // a minute is over
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// bucketID names a bucket of this node.
type bucketID struct {
	app, life string
	of        Granularity
	start     time.Time
}

// Stats are counts of a Recorder since its start.
type Stats struct {
	// Written counts buckets that were written, Failed tries that failed, and Lost
	// minutes that were given up.
	Written, Failed, Lost uint64
	// Waiting are buckets that are to be written.
	Waiting int
}

// A tally is what one app is counted by.
type tally struct {
	seen    Counts
	buckets [len(granularities)]open
	in, out Rates
}

// An open bucket is still being counted.
type open struct {
	start time.Time
	Bucket
	used  bool // since start
	dirty bool // since it was last put where it is written from
}

// NewRecorder makes a recorder. Who starts it closes it.
func NewRecorder(source Source, records hub.Records, log *slog.Logger) *Recorder {
	r := &Recorder{
		source: source, records: records, log: log, apps: map[string]*tally{}, wait: map[bucketID]Bucket{},
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
			t = &tally{}
			r.apps[u.App] = t
		}
		t.count(u, at, now)
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
		b := &t.buckets[i]
		if !b.used {
			*b = open{start: g.Start(at), used: true, Bucket: Bucket{From: at.UnixMilli()}}
		}
		b.Counts.add(&d)
		b.Peak = max(b.Peak, u.Peak)
		b.To = max(now.UnixMilli(), b.From)
		b.dirty = true
	}
}

// roll puts every bucket that was counted where it is written from, and ends
// those whose period is over. The lock is held.
func (r *Recorder) roll(now time.Time) {
	for app, t := range r.apps {
		for i, g := range granularities {
			b := &t.buckets[i]
			r.put(app, g, b)
			if b.used && !g.Start(now).Equal(b.start) {
				*b = open{}
			}
		}
	}
}

// putAway ends all buckets. The lock is held.
func (r *Recorder) putAway() {
	for app, t := range r.apps {
		for i, g := range granularities {
			r.put(app, g, &t.buckets[i])
			t.buckets[i] = open{}
		}
	}
}

// put lets a bucket wait to be written, if it was counted on. The lock is held.
func (r *Recorder) put(app string, g Granularity, b *open) {
	switch {
	case !b.dirty:
		return
	case g == Minute && len(r.wait) >= maxPending:
		r.stats.Lost++
	default:
		r.wait[bucketID{app, r.life, g, b.start}] = b.Bucket
	}
	b.dirty = false
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
	ids := make(chan bucketID, len(r.wait))
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

// writeOne writes one bucket, unless it is older than it would be kept.
func (r *Recorder) writeOne(ctx context.Context, id bucketID) error {
	r.mu.Lock()
	b, ok := r.wait[id]
	r.mu.Unlock()
	if !ok {
		return nil
	}
	if time.Since(id.start) > id.of.Step()+id.of.Keep() {
		r.written(id, &b, nil)
		return nil
	}
	data, err := cbor.Marshal(b)
	if err == nil {
		_, err = r.records.Put(ctx, id.of.key(id.app, id.start, id.life), data, hub.AnyRevision, id.of.Keep())
	}
	r.written(id, &b, err)
	if earshot.CodeOf(err) == earshot.Conflict && err != nil {
		return nil // a try of ours from before is still under way: next time
	}
	return err
}

// written notes what became of a write. A bucket that was counted on meanwhile
// waits again.
func (r *Recorder) written(id bucketID, b *Bucket, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.stats.Failed++
		return
	}
	r.stats.Written++
	if r.wait[id] == *b {
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
