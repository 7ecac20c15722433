package schedule

import (
	"context"
	"time"

	"github.com/earshot-io/earshot/hub"
)

// name is what a timer is known by.
type name struct{ app, id string }

// A timer is what a node keeps in mind of one. The lock of Timers guards it.
type timer struct {
	name
	at       int64     // milliseconds since 1970
	rest     time.Time // until when, if it is among those that rest
	born     uint64    // see claim
	revision uint64    // the newest that is known
	line     uint64
	in       *queue // nil for none
	place    int32
	state    state
	tries    uint8 // that failed
	round    uint8 // of the watch that told of it last
	held     bool  // another node carries it out
	yields   bool  // it has been held for long
	done     bool  // it was carried out, and is to be deleted
	lost     bool  // the record went while it was carried out
	strange  bool  // its kind is not known here
}

// state is what a timer is doing.
type state uint8

const (
	waiting state = iota // for its time, or for its line
	resting              // after a failure, or while another node carries it out
	running              // it is being carried out here
	ended                // the record is gone; old news of it may still come
)

// endedKept is how long an end is remembered.
const endedKept = time.Minute

// earlier orders timers by their times, and those of one time as they were set.
func earlier(a, b *timer) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.born < b.born
}

func rested(a, b *timer) bool { return a.rest.Before(b.rest) }

// rewatch is when a watch that ended is begun again.
const rewatch = 250 * time.Millisecond

// watch keeps the timers known.
func (s *Timers) watch() {
	for s.ctx.Err() == nil {
		s.mu.Lock()
		s.round++
		s.mu.Unlock()
		err := s.store.Watch(s.ctx, hub.Key{kindLevel}, s.changed, s.sync)
		if s.ctx.Err() == nil {
			s.log.Warn("schedules are not watched for a moment", "err", err)
			pause(s.ctx, rewatch)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (s *Timers) changed(records []hub.Record) {
	for _, r := range records {
		s.see(r)
	}
}

// sync is told when the watch has told of all timers that there are: others
// went while nobody watched.
func (s *Timers) sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.all {
		if t.round != s.round && t.state != ended {
			s.gone(t)
		}
	}
	s.synced = true
	s.signal()
}

// see takes a state of a record, unless a newer one is known.
func (s *Timers) see(r hub.Record) {
	if len(r.Key) != 3 {
		return
	}
	var n note
	if r.Data != nil {
		var err error
		if n, _, err = decode(r.Data); err != nil {
			s.log.Error("a schedule cannot be read, and is left as it is", "key", r.Key.String(), "err", err)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.all[name{r.Key[1], r.Key[2]}]
	switch {
	case t == nil && r.Data == nil:
	case t == nil:
		t = &timer{name: name{s.intern(r.Key[1]), r.Key[2]}, round: s.round}
		s.all[t.name] = t
		s.learn(t, r.Revision, &n)
	case r.Revision <= t.revision:
		t.round = s.round
	case r.Data == nil:
		t.revision = r.Revision
		s.gone(t)
	default:
		t.round = s.round
		s.learn(t, r.Revision, &n)
	}
}

// intern keeps one copy of the names of apps.
func (s *Timers) intern(app string) string {
	if known, ok := s.names[app]; ok {
		return known
	}
	s.names[app] = app
	return app
}

// learn takes what the record of a timer says now. The lock is held.
func (s *Timers) learn(t *timer, revision uint64, n *note) {
	born := revision
	if n.Claim != nil {
		born = n.Claim.Born
	}
	if t.born != born {
		t.born, t.at, t.tries, t.done, t.rest = born, n.At, 0, false, time.Time{}
	}
	t.revision, t.lost = revision, false
	s.unplace(t)
	if t.state == ended {
		t.state = waiting
		s.ended--
	}
	_, known := s.kinds[n.Kind]
	t.strange = !known
	if t.tries == 0 {
		t.line = s.lineOf(t.app, n.Kind, n.Line)
	}
	if n.Claim != nil && n.Claim.Node != s.me && !s.alone {
		s.hold(t)
	}
	if t.state != running {
		s.settle(t)
	}
}

// unplace takes a timer out of wherever it waits. The lock is held.
func (s *Timers) unplace(t *timer) {
	if t.in != nil {
		t.in.remove(t)
	}
	if t.held {
		t.held = false
		s.free(t)
	}
}

// hold notes that another node carries the timer out. It and its line wait for
// that node, but not for ever. The lock is held.
func (s *Timers) hold(t *timer) {
	t.held, t.yields = true, false
	t.rest = time.Now().Add(yieldAfter)
	l := s.lineAt(t.line)
	l.held = append(l.held, t)
}

// settle lets a timer wait for what it has to wait for. The lock is held.
func (s *Timers) settle(t *timer) {
	switch {
	case t.strange:
		t.state = waiting
	case t.held || t.rest.After(time.Now()):
		t.state = resting
		s.rests.push(t)
	default:
		t.state = waiting
		s.waits.push(t)
	}
	s.signal()
}

// gone notes that a timer's record is. The lock is held.
func (s *Timers) gone(t *timer) {
	s.unplace(t)
	if t.state == running {
		t.lost = true
		return
	}
	if t.state == ended {
		s.ended--
	}
	delete(s.all, t.name)
	s.signal()
}

// end notes that this node has deleted a record. News from before may still
// come, so that it is not forgotten at once.
func (s *Timers) end(n name, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.all[n]; t != nil && t.revision <= revision && t.state != running {
		s.unplace(t)
		s.bury(t)
	}
}

// bury lets a timer rest as ended. The lock is held.
func (s *Timers) bury(t *timer) {
	if t.state != ended {
		s.ended++
	}
	t.state, t.rest = ended, time.Now().Add(endedKept)
	s.rests.push(t)
	s.signal()
}

// signal wakes run.
func (s *Timers) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
