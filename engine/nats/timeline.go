package nats

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The server stamps each message with its clock, and does not keep the stamps
// from falling when the clock steps back. Ids must rise: publishes wait for a
// clock that is a little behind; then a step is recorded, by which the stamps
// of later messages are lifted.

// A step says that stamps from a sequence on are lifted by so many milliseconds.
type step struct {
	First uint64 `cbor:"1,keyasint"`
	Add   int64  `cbor:"2,keyasint"`
}

// maxSteps bounds how many steps are remembered; older messages than theirs
// keep the oldest one's.
const maxSteps = 64

// clockPatience is how long publishes wait for a clock that is behind.
const clockPatience = time.Second

// recentMessages is how many of the newest messages' times are remembered.
const recentMessages = 4096

type timeline struct {
	// lead is by how much the newest time is ahead of its stamp, and newest is
	// that time in milliseconds.
	lead, newest atomic.Int64

	mu    sync.Mutex
	steps []step
	seq   uint64        // the newest that was seen
	moved chan struct{} // closed when seq rises; nil if nobody waits
	last  [recentMessages]struct {
		seq uint64
		ms  int64
	}
}

// behind reports whether a message stored now would seem older than the newest.
func (t *timeline) behind(now time.Time) bool {
	return now.UnixMilli()+t.lead.Load() < t.newest.Load()
}

// add is the lift at seq; the timeline is locked.
func (t *timeline) add(seq uint64) int64 {
	for i := len(t.steps) - 1; i >= 0; i-- {
		if t.steps[i].First <= seq {
			return t.steps[i].Add
		}
	}
	return 0
}

// at is the time of a message by its stamp.
func (t *timeline) at(seq uint64, stamp time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.UnixMilli(stamp.UnixMilli() + t.add(seq))
}

// recent is the time of a message that was seen not long ago.
func (t *timeline) recent(seq uint64) (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.last[seq%recentMessages]
	return time.UnixMilli(r.ms), r.seq == seq && seq != 0
}

// needs returns the step that has to be recorded before the message that comes
// next in the stream can have a time; ok is false if there is none.
func (t *timeline) needs(seq uint64, stamp time.Time) (s step, ok bool) {
	ms, newest := stamp.UnixMilli(), t.newest.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	add := t.add(seq)
	switch {
	case seq <= t.seq: // late, of another bucket
	case ms+add < newest:
		return step{seq, newest - ms}, true
	case add > 0 && ms >= newest:
		return step{seq, 0}, true // the clock has caught up
	}
	return step{}, false
}

// saw makes a note of a message that came in order, and returns its time.
func (t *timeline) saw(seq uint64, stamp time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	add := t.add(seq)
	ms := stamp.UnixMilli() + add
	if seq > t.seq {
		t.seq = seq
		t.lead.Store(add)
		if t.moved != nil {
			close(t.moved)
			t.moved = nil
		}
	}
	t.last[seq%recentMessages].seq, t.last[seq%recentMessages].ms = seq, ms
	if ms > t.newest.Load() {
		t.newest.Store(ms)
	}
	return time.UnixMilli(ms)
}

// settled waits, for a moment, until a message that was read has also been
// seen in its order, if its stamp is one that a step has to be recorded for.
func (t *timeline) settled(ctx context.Context, seq uint64, stamp time.Time) {
	const patience = 500 * time.Millisecond
	if _, ok := t.needs(seq, stamp); !ok {
		return
	}
	ctx, cancel := contextFor(ctx, patience)
	defer cancel()
	for {
		t.mu.Lock()
		if t.seq >= seq {
			t.mu.Unlock()
			return
		}
		if t.moved == nil {
			t.moved = make(chan struct{})
		}
		moved := t.moved
		t.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// set replaces the steps; newest is the time of the newest message's stamp.
func (t *timeline) set(steps []step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = steps
	if n := len(steps); n > 0 {
		t.lead.Store(steps[n-1].Add)
	}
}

const keySteps = "clock"

// loadSteps reads the steps and the newest time.
func (e *Engine) loadSteps(ctx context.Context, l *link) error {
	steps, _, err := e.readSteps(ctx, l)
	if err != nil {
		return err
	}
	e.timeline.set(steps)
	info, err := l.log.Info(ctx)
	if err != nil {
		return err
	}
	e.raise(info.State.LastSeq)
	if l.n == 1 {
		e.audits.reset(info.State.LastSeq)
	}
	e.ledger.begin(info.State.Msgs)
	if seq := info.State.LastSeq; seq > 0 && !info.State.LastTime.IsZero() {
		e.timeline.saw(seq, e.stamp(seq, info.State.LastTime))
	}
	return nil
}

func (e *Engine) readSteps(ctx context.Context, l *link) (steps []step, revision uint64, err error) {
	data, revision, err := l.get(ctx, keySteps)
	if err != nil || revision == 0 {
		return nil, 0, err
	}
	return steps, revision, e.codec.decode(data, &steps)
}

// record writes a step, on disk, before anything is stamped by it. Another node
// may have recorded the same one.
func (e *Engine) record(ctx context.Context, l *link, s step) error {
	for {
		steps, revision, err := e.readSteps(ctx, l)
		if err != nil {
			return err
		}
		i, found := slices.BinarySearchFunc(steps, s.First, func(have step, first uint64) int {
			return cmpSeq(have.First, first)
		})
		if !found {
			steps = slices.Insert(steps, i, s)
			steps = steps[max(0, len(steps)-maxSteps):]
			data, err := e.codec.encode(steps)
			if err != nil {
				return err
			}
			if err := l.put(ctx, keySteps, data, revision); err != nil {
				if isConflict(err) {
					continue
				}
				return err
			}
		}
		if err := e.sync(ctx); err != nil {
			return err
		}
		e.timeline.set(steps)
		e.stats.clockSteps.Add(1)
		return nil
	}
}

func cmpSeq(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// stamp is the server's time of a message.
func (e *Engine) stamp(seq uint64, at time.Time) time.Time {
	if e.config.stamped != nil {
		return e.config.stamped(seq, at)
	}
	return at
}

// waitForClock holds publishes while the clock is behind what is stored; after
// a second it records by how much, and lets them go on.
func (e *Engine) waitForClock() error {
	e.gate.Lock()
	defer e.gate.Unlock()
	until := time.Now().Add(clockPatience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for e.timeline.behind(e.config.Now()) {
		select {
		case <-tick.C:
		case <-e.closing:
			return e.refusal()
		}
		// What is under way has its place in the stream before the step has.
		if time.Now().Before(until) || len(e.slots) > 0 && time.Now().Before(until.Add(e.config.Deadline)) {
			continue
		}
		return e.recordBehind()
	}
	return nil
}

func (e *Engine) recordBehind() error {
	l, err := e.linked()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.config.Deadline)
	defer cancel()
	info, err := l.log.Info(ctx)
	if err != nil {
		return err
	}
	now := e.config.Now().UnixMilli()
	s := step{info.State.LastSeq + 1, e.timeline.newest.Load() - now}
	if s.Add <= 0 {
		return nil // it has caught up meanwhile
	}
	e.log.Warn("the clock is behind what is stored: ids run ahead of it", "by", fmt.Sprint(time.Duration(s.Add)*time.Millisecond))
	return e.record(ctx, l, s)
}
