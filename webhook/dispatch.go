package webhook

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Bounds of one webhook's dispatch.
const (
	pageLimit  = 256
	lineLimit  = 64
	maxMemory  = 16 << 20
	firstRetry = time.Second
	lastRetry  = 10 * time.Minute
	leastTries = 5
	// settleGrace and saveGrace are what the end of a lease leaves for requests
	// under way and for the cursor.
	settleGrace = time.Second
	saveGrace   = 900 * time.Millisecond
	// awayTries is how many failures without a success in between mean that the
	// receiver itself was away; backSpread is the time over which the lines that
	// waited for it are tried once it is back.
	awayTries  = 5
	backSpread = time.Second
)

// A dispatcher tells one webhook. What it works with is one goroutine's, the one
// that holds the lease.
type dispatcher struct {
	s    *Events
	app  *earshot.App
	hook *earshot.Webhook
	post *poster

	waiting atomic.Int64 // lines that wait
	oldest  atomic.Int64 // when the oldest event of theirs was recorded; 0 for none

	cursor   cursor // Lines are made when it is saved
	revision uint64
	dirty    bool
	saved    time.Time
	lines    map[string]*line
	due      lines
	names    int       // bytes that the lines take in the cursor
	bytes    int       // of events in memory
	newest   time.Time // when the newest event that was read was recorded
	caught   time.Time // when the outbox was last read to its end
	behind   bool      // there may be more to read
	news     <-chan struct{}
	flying   int           // requests under way
	landed   chan *landing // their outcomes
	failures int           // since the last success
}

// A landing is what became of a try.
type landing struct {
	line    *line
	task    *task
	refused *refusal // nil if it was taken
	buried  error    // why it could not become a dead letter
	dead    bool
}

func newDispatcher(s *Events, a *earshot.App, w *earshot.Webhook) (*dispatcher, error) {
	post, err := newPoster(w, s.config.Timeout)
	if err != nil {
		return nil, err
	}
	return &dispatcher{s: s, app: a, hook: w, post: post}, nil
}

// work tells the webhook until the context ends, or another node has taken over.
func (d *dispatcher) work(ctx context.Context) {
	log := d.s.log.With("app", d.app.Slug, "webhook", d.hook.ID)
	if err := d.load(ctx); err != nil {
		if ctx.Err() == nil {
			log.Warn("the cursor cannot be read", "err", err)
		}
		return
	}
	// What is under way when the lease ends has a moment to be answered.
	flight, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	err := d.run(ctx, flight)
	d.settle(cancel)
	if err == nil {
		saving, done := context.WithTimeout(context.WithoutCancel(ctx), saveGrace)
		defer done()
		err = d.save(saving)
	}
	d.waiting.Store(0)
	d.oldest.Store(0)
	if err != nil && !errors.Is(err, context.Cause(ctx)) {
		log.Warn("telling a webhook was interrupted", "err", err)
	}
}

// load begins where the cursor says.
func (d *dispatcher) load(ctx context.Context) error {
	c, revision, err := d.s.readCursor(ctx, d.app.Slug, d.hook.ID)
	if err != nil {
		return err
	}
	d.cursor, d.revision, d.dirty, d.saved = c, revision, false, time.Now()
	d.cursor.Writer = rand.Uint64()
	d.lines, d.due, d.names, d.bytes, d.flying, d.failures = map[string]*line{}, nil, 0, 0, 0, 0
	d.newest, d.caught, d.behind = time.Time{}, time.Time{}, true
	d.news, d.landed = d.s.news.next(), make(chan *landing, perHost)
	for i := range c.Lines {
		l := d.line(c.Lines[i].Name)
		l.loaded, l.more = earshot.Position{Epoch: c.Epoch, Seq: c.Lines[i].Done}, true
		l.tries = c.Lines[i].Tries
		d.due.at(l, fromMillis(c.Lines[i].Next))
	}
	return nil
}

// line returns the line of a name, made if need be.
func (d *dispatcher) line(name string) *line {
	l := d.lines[name]
	if l == nil {
		l = &line{name: name, index: -1}
		d.lines[name] = l
		d.names += lineBytes + len(name)
	}
	return l
}

// run is the loop: read, send, wait.
func (d *dispatcher) run(ctx, flight context.Context) error {
	for ctx.Err() == nil {
		d.hear()
		err := d.read(ctx)
		if err == nil {
			err = d.send(ctx, flight)
		}
		if err != nil {
			d.s.log.Debug("the outbox cannot be read", "err", err)
			pause(ctx, retryPut)
		}
		if err := d.saveInTime(ctx); err != nil {
			return err
		}
		if d.behind && d.room() {
			d.drainLanded()
			continue
		}
		d.wait(ctx)
	}
	return nil
}

// hear notices that something was recorded here since the last call.
func (d *dispatcher) hear() {
	select {
	case <-d.news:
		d.news, d.behind = d.s.news.next(), true
	default:
	}
}

// tell says on the metrics how it is.
func (d *dispatcher) tell() {
	d.waiting.Store(int64(len(d.lines)))
	var oldest int64
	for _, l := range d.lines {
		if at := l.since(); !at.IsZero() && (oldest == 0 || at.UnixNano() < oldest) {
			oldest = at.UnixNano()
		}
	}
	d.oldest.Store(oldest)
}

// wait returns when there may be something to do.
func (d *dispatcher) wait(ctx context.Context) {
	news := d.news
	until := d.s.config.Poll
	if d.dirty {
		until = min(until, time.Until(d.saved.Add(d.saveEvery())))
	}
	if len(d.due) > 0 && d.flying < perHost {
		until = min(until, time.Until(d.due[0].due))
	}
	if !d.room() {
		news = nil
	}
	timer := time.NewTimer(max(until, time.Millisecond))
	defer timer.Stop()
	select {
	case l := <-d.landed:
		d.land(l)
		d.drainLanded()
	case <-news:
	case <-timer.C:
		d.behind = true
	case <-ctx.Done():
	}
}

func (d *dispatcher) drainLanded() {
	for {
		select {
		case l := <-d.landed:
			d.land(l)
		default:
			return
		}
	}
}

// room reports whether more lines may begin to wait.
func (d *dispatcher) room() bool { return d.names < maxCursor && d.bytes < maxMemory }

// head is the position up to which the outbox was read.
func (d *dispatcher) head() earshot.Position {
	return earshot.Position{Epoch: d.cursor.Epoch, Seq: d.cursor.Head}
}

// read reads a page of the outbox and deals it to the lines.
func (d *dispatcher) read(ctx context.Context) error {
	if !d.behind || !d.room() {
		return nil
	}
	d.behind = false
	now := time.Now()
	page, err := d.s.store.ReadEvents(ctx, d.app.Slug, "", d.head(), pageLimit)
	if err != nil {
		return err
	}
	if page.Gone {
		d.s.log.Error("the outbox was made anew: a webhook begins at its beginning", "app", d.app.Slug, "webhook", d.hook.ID)
		d.forget()
	}
	for i := range page.Entries {
		e := &page.Entries[i]
		d.cursor.Epoch, d.cursor.Head, d.newest, d.dirty = e.Position.Epoch, e.Position.Seq, e.Time, true
		if t := d.task(e, now); t != nil {
			d.add(e.Line, t)
		}
	}
	for i := range page.Entries {
		if l := d.lines[page.Entries[i].Line]; l != nil && !l.busy && l.index < 0 {
			d.due.at(l, d.ripe(l))
		}
	}
	if d.behind = page.More; !d.behind {
		d.caught = now
	}
	return nil
}

// forget drops what was of another outbox.
func (d *dispatcher) forget() {
	d.lines, d.due, d.names, d.bytes = map[string]*line{}, nil, 0, 0
	d.cursor.Head, d.dirty = 0, true
}

// task makes a task of an entry; nil if this webhook is not to be told.
func (d *dispatcher) task(e *hub.Entry, now time.Time) *task {
	t := &task{at: e.Position, time: e.Time, read: now}
	if err := cbor.Unmarshal(e.Data, &t.item); err != nil {
		d.s.log.Error("an event in the outbox is not understood", "err", err)
		return nil
	}
	if t.To != "" && t.To != d.hook.ID || !tells(d.hook, t.Type) {
		return nil
	}
	return t
}

// add puts an event behind its line; one that is long already is read again later.
func (d *dispatcher) add(name string, t *task) {
	l := d.line(name)
	switch {
	case l.more:
	case len(l.queue) >= lineLimit || l.tries > 0 || d.bytes >= maxMemory:
		l.more = true
		if len(l.queue) == 0 && l.loaded.Seq < t.at.Seq {
			l.loaded = earshot.Position{Epoch: t.at.Epoch, Seq: t.at.Seq - 1}
		}
	default:
		d.keep(l, t)
	}
}

func (d *dispatcher) keep(l *line, t *task) {
	l.queue = append(l.queue, t)
	l.loaded = t.at
	d.bytes += len(t.Body)
}

// ripe is when the first event of a line may be told: when all that was recorded
// within the hold has been read. That is so when something later has been read,
// or the outbox to its end after the hold.
func (d *dispatcher) ripe(l *line) time.Time {
	if len(l.queue) == 0 {
		return time.Time{} // it has to be read first
	}
	t := l.queue[0]
	if !t.time.Add(d.s.config.Hold).After(d.newest) {
		return t.read
	}
	return t.read.Add(d.s.config.Hold)
}

// unripe reports whether the outbox has to be read once more before the first
// event of a line that is due may be told.
func (d *dispatcher) unripe(l *line) bool {
	t := l.queue[0]
	return t.time.Add(d.s.config.Hold).After(d.newest) && d.caught.Before(t.read.Add(d.s.config.Hold)) && d.room()
}

// reload reads events of a line that were not kept, up to the head.
func (d *dispatcher) reload(ctx context.Context, l *line) error {
	for l.more && len(l.queue) == 0 {
		page, err := d.s.store.ReadEvents(ctx, d.app.Slug, l.name, l.loaded, lineLimit)
		if err != nil {
			return err
		}
		if page.Gone {
			d.behind = true
			return nil // the next read notices too
		}
		l.more = page.More
		now := time.Now()
		for i := range page.Entries {
			e := &page.Entries[i]
			if e.Position.Seq > d.cursor.Head {
				l.more = false // these are read with the head
				break
			}
			l.loaded = e.Position
			if t := d.task(e, now); t != nil {
				d.keep(l, t)
			}
		}
	}
	return nil
}

// send tells the first event of every line that is due, as far as there is room.
func (d *dispatcher) send(ctx, flight context.Context) error {
	for d.flying < perHost {
		l := d.due.ready(time.Now())
		if l == nil {
			return nil
		}
		if err := d.reload(ctx, l); err != nil {
			d.due.at(l, time.Now().Add(firstRetry))
			return err
		}
		if len(l.queue) == 0 {
			d.drop(l)
			continue
		}
		if ripe := d.ripe(l); ripe.After(time.Now()) {
			d.due.at(l, ripe)
			continue
		}
		if d.unripe(l) {
			d.due.at(l, l.queue[0].read)
			d.behind = true
			return nil
		}
		t := l.first(d.s.config.Hold)
		l.busy = true
		d.flying++
		tries := l.tries + 1
		d.s.running.Go(func() { d.landed <- d.try(flight, l, t, tries) })
	}
	return nil
}

// drop forgets a line that has been dealt with.
func (d *dispatcher) drop(l *line) {
	delete(d.lines, l.name)
	d.names -= lineBytes + len(l.name)
	d.dirty = true
}

// try tells an event once; what was tried for long enough is buried.
func (d *dispatcher) try(ctx context.Context, l *line, t *task, tries int) *landing {
	refused := d.post.post(ctx, t.ID, t.Body)
	out := &landing{line: l, task: t, refused: refused}
	if refused == nil || ctx.Err() != nil {
		return out
	}
	if refused.gone || tries >= leastTries && time.Since(t.time) >= d.s.config.GiveUp {
		out.dead = true
		out.buried = d.s.bury(ctx, d.app.Slug, d.hook.ID, l.name, t, refused.reason, tries)
	}
	return out
}

// land takes the outcome of a try.
func (d *dispatcher) land(o *landing) {
	l := o.line
	d.flying--
	l.busy, d.dirty = false, true
	switch {
	case d.lines[l.name] != l:
		return // it was forgotten meanwhile
	case o.refused == nil:
		d.s.stats.delivered.Add(1)
		d.cursor.Delivered = time.Now().UnixMilli()
		d.back()
		d.finish(l)
	case o.dead && o.buried == nil:
		d.s.stats.dead.Add(1)
		d.s.log.Error("an event is a dead letter: its webhook did not take it", "app", d.app.Slug, "webhook", d.hook.ID, "event", o.task.ID, "reason", o.refused.reason)
		d.finish(l)
	default:
		d.fail(l, o.refused)
		d.due.at(l, time.Now().Add(max(backoff(l.tries), o.refused.after)))
	}
}

func (d *dispatcher) fail(l *line, r *refusal) {
	d.s.stats.failed.Add(1)
	d.failures++
	l.tries++
	l.away = r.away
	d.unload(l)
	d.cursor.Failed, d.cursor.Reason = time.Now().UnixMilli(), r.reason
}

// unload keeps of a line that does not move no more than its first event; not
// even that while there is much in memory.
func (d *dispatcher) unload(l *line) {
	upto := l.queue[0].at.Seq
	if d.bytes > maxMemory/2 {
		upto = l.done()
	}
	kept := make([]*task, 0, 1)
	for _, t := range l.queue {
		if t.at.Seq <= upto {
			kept = append(kept, t)
			continue
		}
		d.bytes -= len(t.Body)
		l.more = true
	}
	if l.queue = kept; l.more {
		l.loaded.Seq = min(l.loaded.Seq, upto)
	}
}

// finish takes the first event of a line away.
func (d *dispatcher) finish(l *line) {
	d.bytes -= len(l.queue[0].Body)
	l.queue[0] = nil
	l.queue = l.queue[1:]
	l.tries, l.away = 0, false
	if len(l.queue) == 0 && !l.more {
		d.drop(l)
		return
	}
	d.due.at(l, d.ripe(l))
}

// backoff doubles with every try, and is never the same for everybody.
func backoff(tries int) time.Duration {
	d := min(firstRetry<<min(tries-1, 20), lastRetry)
	return d/2 + rand.N(d/2+1)
}

// back notices that a receiver that was away has come back: what waited for it
// need not wait any longer.
func (d *dispatcher) back() {
	away := d.failures >= awayTries
	d.failures = 0
	if !away {
		return
	}
	now := time.Now()
	for _, l := range d.lines {
		if l.away && l.index >= 0 && l.due.Sub(now) > backSpread {
			d.due.at(l, now.Add(rand.N(backSpread)))
		}
	}
}
