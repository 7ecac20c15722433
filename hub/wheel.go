package hub

import (
	"math"
	"time"
)

const (
	// tick is the precision of timers: they fire up to one tick late, never early.
	tick = 50 * time.Millisecond
	// slots times tick is the longest time that a timer waits in place; longer
	// ones go round again.
	slots = 1024
)

// A wheel holds the timers of a shard: any number for one time.Timer. The
// shard's lock guards it.
type wheel struct {
	start   time.Time
	now     int64 // ticks since start that have been fired
	count   int
	wakeAt  int64         // tick for which keepTime sleeps
	slots   [slots]Timer  // heads of circular lists
	changed chan struct{} // tells keepTime that something is due before wakeAt
}

// A Timer calls a function at a time. It costs nothing but its memory while it
// waits. Timers of one shard fire one after another on the shard's timer
// goroutine, without a lock held; the function must be quick and must not block.
type Timer struct {
	shard      *Shard
	prev, next *Timer
	at         int64 // tick
	fire       func()
}

// NewTimer makes a timer that is not set.
func (s *Shard) NewTimer(fire func()) *Timer { return &Timer{shard: s, fire: fire} }

// InitTimer makes t, which is part of a larger struct, a timer that is not set.
func (s *Shard) InitTimer(t *Timer, fire func()) { t.shard, t.fire = s, fire }

// Reset sets the timer to fire once, d from now.
func (t *Timer) Reset(d time.Duration) {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	t.reset(d)
}

// Stop unsets the timer. It may be firing at this moment.
func (t *Timer) Stop() {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	t.stop()
}

// ResetLocked and StopLocked are Reset and Stop for who has the shard locked.
func (t *Timer) ResetLocked(d time.Duration) { t.reset(d) }

// StopLocked is Stop for who has the shard locked.
func (t *Timer) StopLocked() { t.stop() }

func (t *Timer) reset(d time.Duration) {
	t.stop()
	w := &t.shard.wheel
	if w.count == 0 {
		w.now = w.elapsed()
	}
	t.at = max(int64((time.Since(w.start)+max(d, 0)+tick-1)/tick), w.now+1)
	w.place(t)
	if t.at < w.wakeAt {
		w.wakeAt = t.at
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// place puts a timer into the slot of its tick, or the last one before it.
func (w *wheel) place(t *Timer) {
	head := &w.slots[min(t.at, w.now+slots-1)%slots]
	t.prev, t.next = head.prev, head
	head.prev.next, head.prev = t, t
	w.count++
}

func (t *Timer) stop() {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.prev, t.next = nil, nil
	t.shard.wheel.count--
}

func (w *wheel) init() {
	w.start = time.Now()
	w.changed = make(chan struct{}, 1)
	w.wakeAt = math.MaxInt64
	for i := range w.slots {
		w.slots[i].next, w.slots[i].prev = &w.slots[i], &w.slots[i]
	}
}

// elapsed is the tick that has begun.
func (w *wheel) elapsed() int64 { return int64(time.Since(w.start) / tick) }

// advance takes out what is due, and puts what is not due yet but came round
// into its new place.
func (w *wheel) advance() (due []*Timer) {
	for to := w.elapsed(); w.now < to; {
		w.now++
		head := &w.slots[w.now%slots]
		for t := head.next; t != head; {
			next := t.next
			t.stop()
			if t.at <= w.now {
				due = append(due, t)
			} else {
				w.place(t)
			}
			t = next
		}
		if w.count == 0 {
			w.now = max(w.now, to)
		}
	}
	return due
}

// keepTime is the shard's timer goroutine. It sleeps without waking while no
// timer is set.
func (s *Shard) keepTime(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		case <-s.wheel.changed:
		}
		s.mu.Lock()
		due := s.wheel.advance()
		timer.Reset(s.wheel.sleep())
		s.mu.Unlock()
		for _, t := range due {
			t.fire()
		}
	}
}

// sleep is how long nothing can be due, and makes a note of it.
func (w *wheel) sleep() time.Duration {
	if w.count == 0 {
		w.wakeAt = math.MaxInt64
		return math.MaxInt64
	}
	w.wakeAt = w.now + slots
	for i := int64(1); i < slots; i++ {
		head := &w.slots[(w.now+i)%slots]
		if head.next != head {
			w.wakeAt = w.now + i
			break
		}
	}
	return max(time.Duration(w.wakeAt)*tick-time.Since(w.start), 0)
}
