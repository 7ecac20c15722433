package schedule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

const (
	// What has failed is tried again after a time that doubles.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
	// maxTries is how often something may fail that no code says will pass.
	maxTries = 10
	// lateAfter is what counts as late.
	lateAfter = time.Second
	// complainEvery is how often a store that fails is logged.
	complainEvery = 10 * time.Second
)

// A job is a timer that is being carried out by a worker.
type job struct {
	t        *timer
	revision uint64 // that was claimed
	born     uint64
	tries    uint8
	timer    Timer
	claimed  bool
	begun    bool
	over     bool  // it is to be deleted
	err      error // why it could not be carried out, or deleted
	deleted  bool
}

// carryOut carries out timers of one line, in their order, as far as this node
// gets them.
func (s *Timers) carryOut(jobs []job) {
	ctx, cancel := context.WithTimeout(context.Background(), carryTime)
	defer cancel()
	s.claimAll(ctx, jobs)
	s.handleAll(ctx, jobs)
	ctx, done := context.WithTimeout(context.Background(), endTime)
	defer done()
	each(len(jobs), claims, func(i int) { s.delete(ctx, &jobs[i]) })
}

// each calls f for the numbers below n, some at once.
func each(n, atOnce int, f func(int)) {
	if n == 1 {
		f(0)
		return
	}
	var wg sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for i := range n {
		turns <- struct{}{}
		wg.Go(func() { f(i); <-turns })
	}
	wg.Wait()
}

// claimAll claims the first, and the others if that is ours: who has the first
// of a line has the line.
func (s *Timers) claimAll(ctx context.Context, jobs []job) {
	if jobs[0].over {
		return // it has left its line, and is alone
	}
	s.claim(ctx, &jobs[0])
	if rest := jobs[1:]; jobs[0].claimed && len(rest) > 0 {
		each(len(rest), claims, func(i int) { s.claim(ctx, &rest[i]) })
	}
}

// claim writes this node's name into a timer's record, if nobody else has.
func (s *Timers) claim(ctx context.Context, j *job) {
	key := keyOf(j.t.app, j.t.id)
	r, err := s.store.Get(ctx, key)
	if err != nil {
		s.trouble(err)
		return
	}
	if r.Revision == 0 {
		s.lose(j)
		return
	}
	n, data, err := decode(r.Data)
	if err != nil {
		j.claimed, j.err = true, err
		return
	}
	if r.Revision != j.revision && !(n.Claim != nil && n.Claim.Node == s.me && n.Claim.Born == j.born) {
		s.see(r)
		return
	}
	now := s.now().UnixMilli()
	t := n.timer(j.t.app, j.t.id, data)
	if n.Claim == nil {
		n.Claim = &claim{First: now, Born: j.born}
	}
	n.Claim.Node, n.Claim.At = s.me, now
	revision, err := s.store.Put(ctx, key, n.encode(data), r.Revision, 0)
	if err != nil {
		s.missed(ctx, key, r.Revision, err)
		return
	}
	j.timer, j.claimed, j.revision = t, true, revision
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision > j.t.revision {
		j.t.revision = revision
		s.unplace(j.t) // nobody else holds it
	}
}

// lose notes that a job's record is gone, unless it is there again.
func (s *Timers) lose(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.t.lost = j.t.lost || j.t.revision == j.revision
}

// missed deals with a claim that failed.
func (s *Timers) missed(ctx context.Context, key hub.Key, revision uint64, err error) {
	if earshot.CodeOf(err) != earshot.Conflict {
		s.trouble(err)
		return
	}
	r, again := s.store.Get(ctx, key)
	if again != nil || r.Revision == revision {
		s.trouble(err)
		return
	}
	if r.Revision != 0 {
		s.see(r)
	}
}

// trouble lets all rest for a moment, since the store cannot be asked.
func (s *Timers) trouble(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.calm.Before(now) && now.Sub(s.complained) >= complainEvery {
		s.complained = now
		s.log.Warn("schedules have to wait for the store", "err", err)
	}
	s.calm = now.Add(calmFor)
}

// handleAll begins what was claimed, up to the first that was not, and waits for
// the outcomes.
func (s *Timers) handleAll(ctx context.Context, jobs []job) {
	type outcome struct {
		job int
		err error
	}
	outcomes := make(chan outcome, len(jobs)) // who is late blocks nobody
	begun := 0
	for i := range jobs {
		j := &jobs[i]
		if j.over || j.err != nil {
			continue
		}
		if !j.claimed || ctx.Err() != nil {
			break
		}
		j.begun = true
		j.err = &earshot.Error{Code: earshot.Unknown, Text: "it was not carried out in time"}
		begun++
		s.handle(ctx, j, func(err error) { outcomes <- outcome{i, err} })
	}
	for range begun {
		select {
		case o := <-outcomes:
			j := &jobs[o.job]
			j.err = o.err
			s.judge(j)
		case <-ctx.Done():
			return
		}
	}
}

// handle begins one, and survives what it panics with.
func (s *Timers) handle(ctx context.Context, j *job, done func(error)) {
	var once sync.Once
	told := func(err error) { once.Do(func() { done(err) }) }
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "doing", "a schedule", "kind", j.timer.Kind, "panic", p, "stack", string(debug.Stack()))
			told(fmt.Errorf("panic: %v", p))
		}
	}()
	s.kinds[j.timer.Kind](ctx, j.timer, told)
}

// judge decides whether a timer is over, after its outcome is known.
func (s *Timers) judge(j *job) {
	if j.err == nil {
		j.over = true
		s.stats.fired.Add(1)
		if s.now().Sub(j.timer.At) > lateAfter {
			s.stats.late.Add(1)
		}
		return
	}
	code := earshot.CodeOf(j.err)
	passing := code == earshot.Internal || code == earshot.Conflict
	if code.Temporary() || passing && j.tries < maxTries {
		return
	}
	j.over = true
	s.stats.failed.Add(1)
	s.log.Error("a schedule could not be carried out, and is dropped",
		"app", j.t.app, "id", j.t.id, "kind", j.timer.Kind, "line", j.timer.Line, "at", j.timer.At, "err", j.err)
}

// delete removes the record of what is over.
func (s *Timers) delete(ctx context.Context, j *job) {
	if !j.over {
		return
	}
	j.err = s.store.Delete(ctx, keyOf(j.t.app, j.t.id), j.revision)
	j.deleted = j.err == nil
	if earshot.CodeOf(j.err) == earshot.Conflict && j.err != nil {
		if r, err := s.store.Get(ctx, keyOf(j.t.app, j.t.id)); err == nil && r.Revision != 0 {
			s.see(r)
		} else if err == nil {
			j.deleted = true
		}
	}
}

// conclude puts a timer back to where it belongs. The lock is held.
func (s *Timers) conclude(j *job) {
	t := j.t
	t.state = waiting
	switch {
	case t.lost:
		t.lost = false
		s.gone(t)
		return
	case t.revision > j.revision:
		// Somebody has set or claimed it meanwhile.
		t.done = t.done || j.over && t.born == j.born
	case j.deleted:
		s.bury(t)
		return
	case j.over || j.err != nil:
		s.fail(t, j)
	}
	s.settle(t)
}

// fail lets a timer rest, and leave its line. The lock is held.
func (s *Timers) fail(t *timer, j *job) {
	s.unplace(t)
	t.done = j.over
	t.line = s.lineOf(t.app, t.id)
	wait := min(firstRetry<<min(t.tries, 10), lastRetry)
	t.rest = time.Now().Add(wait*3/4 + rand.N(wait/2))
	t.tries = min(t.tries+1, 250)
	if !j.over {
		s.stats.retried.Add(1)
		s.log.Warn("a schedule is tried again", "app", t.app, "id", t.id, "kind", j.timer.Kind, "try", t.tries, "err", j.err)
	}
}
