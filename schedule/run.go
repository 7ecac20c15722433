package schedule

import (
	"slices"
	"time"
)

const (
	// nap is how long run sleeps at the most while it waits for a time on the
	// wall, as that clock may be set.
	nap = 500 * time.Millisecond
	// calmFor is how long nothing is begun after the store has failed.
	calmFor = 250 * time.Millisecond
)

// A line is the timers that wait for each other. The lock of Timers guards it.
type line struct {
	name  uint64
	due   queue
	held  []*timer // that other nodes carry out
	busy  bool     // timers of it are carried out here
	ready bool     // it is among those that are
}

// lineAt finds a line, or makes it. The lock is held.
func (s *Timers) lineAt(name uint64) *line {
	l := s.lines[name]
	if l == nil {
		l = &line{name: name, due: queue{before: earlier}}
		s.lines[name] = l
	}
	return l
}

// free notes that no other node carries the timer out any more. The lock is held.
func (s *Timers) free(t *timer) {
	l := s.lineAt(t.line)
	if i := slices.Index(l.held, t); i >= 0 {
		l.held = slices.Delete(l.held, i, i+1)
	}
	s.offer(l)
}

// next is the timer of the line that this node may carry out next; nil if there
// is none, or another node carries out one that comes before. If that takes long,
// only those of the same moment go on waiting: they are to keep their order, and
// the others their time.
func (l *line) next() *timer {
	t := l.due.first()
	if t == nil || !l.blocked(t) {
		return t
	}
	if slices.ContainsFunc(l.held, func(h *timer) bool { return !h.yields }) {
		return nil
	}
	t = nil
	for _, other := range l.due.all {
		if (t == nil || earlier(other, t)) && !l.blocked(other) {
			t = other
		}
	}
	return t
}

// blocked reports whether a timer has to wait for one that another node holds.
func (l *line) blocked(t *timer) bool {
	return slices.ContainsFunc(l.held, func(h *timer) bool { return earlier(h, t) && (h.at == t.at || !h.yields) })
}

// offer lets a line that has something to do wait for a worker, and forgets one
// that has not. The lock is held.
func (s *Timers) offer(l *line) {
	switch {
	case l.busy || l.ready:
	case l.next() != nil:
		l.ready = true
		s.ready = append(s.ready, l)
		s.signal()
	case l.due.Len() == 0 && len(l.held) == 0:
		delete(s.lines, l.name)
	}
}

// run moves what is due, until Close.
func (s *Timers) run() {
	alarm := time.NewTimer(nap)
	defer alarm.Stop()
	for {
		next, any := s.turn()
		if any {
			alarm.Reset(next)
		} else {
			alarm.Stop()
		}
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		case <-alarm.C:
		}
	}
}

// turn moves what is due to its line and sets workers to work. It returns when
// there will be something to do, if that is known.
func (s *Timers) turn() (next time.Duration, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sooner := func(d time.Duration) {
		if !any || d < next {
			next, any = max(d, 0), true
		}
	}
	now := time.Now()
	for t := s.rests.first(); t != nil; t = s.rests.first() {
		if t.rest.After(now) {
			sooner(t.rest.Sub(now))
			break
		}
		s.rested(t)
	}
	// The wall's clock without the one that cannot be set.
	wall := s.now().Round(0)
	for t := s.waits.first(); t != nil && s.synced; t = s.waits.first() {
		if wait := time.UnixMilli(t.at).Sub(wall); wait > 0 {
			sooner(min(wait, nap))
			break
		}
		s.waits.remove(t)
		l := s.lineAt(t.line)
		l.due.push(t)
		s.offer(l)
	}
	if wait := s.calm.Sub(now); wait > 0 {
		sooner(wait)
		return next, any
	}
	for len(s.ready) > 0 && s.busy < workers && !s.closed {
		l := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		l.ready = false
		s.begin(l)
	}
	return next, any
}

// rested ends a timer's rest. The lock is held.
func (s *Timers) rested(t *timer) {
	if t.held && !t.yields {
		s.rests.remove(t)
		t.yields = true
		t.rest = t.rest.Add(claimHold - yieldAfter)
		s.rests.push(t)
		s.offer(s.lineAt(t.line))
		return
	}
	s.unplace(t)
	if t.state == ended {
		s.ended--
		delete(s.all, t.name)
		return
	}
	s.settle(t)
}

// begin sets a worker to what is due of a line. The lock is held.
func (s *Timers) begin(l *line) {
	jobs := make([]job, 0, min(l.due.Len(), chunk))
	for t := l.next(); t != nil && len(jobs) < chunk; t = l.next() {
		l.due.remove(t)
		t.state = running
		jobs = append(jobs, job{t: t, revision: t.revision, born: t.born, tries: t.tries, over: t.done})
	}
	if len(jobs) == 0 {
		s.offer(l)
		return
	}
	l.busy = true
	s.busy++
	s.running.Go(func() {
		s.carryOut(jobs)
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range jobs {
			s.conclude(&jobs[i])
		}
		s.busy--
		l.busy = false
		s.offer(l)
		s.signal()
	})
}
