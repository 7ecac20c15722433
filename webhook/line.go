package webhook

import (
	"bytes"
	"container/heap"
	"time"

	"github.com/earshot-io/earshot"
)

// A task is an event to be told.
type task struct {
	item
	at   earshot.Position
	time time.Time // when it was recorded, by the outbox's clock
	read time.Time // when we read it, by ours
}

// before reports whether t belongs before other, by more than the order in which
// the outbox has them: messages by their ids, what one node recorded by its
// count.
func (t *task) before(other *task) bool {
	switch {
	case len(t.Message) > 0 && len(other.Message) > 0:
		return bytes.Compare(t.Message, other.Message) < 0
	case t.Node == other.Node && t.N != 0 && other.N != 0:
		return t.N < other.N
	}
	return false
}

// A line is a channel's, or a connection's, events that are to be told one after
// another.
type line struct {
	name string
	// queue are the events in memory, in the outbox's order; there are others
	// behind loaded if more says so.
	queue  []*task
	loaded earshot.Position
	more   bool

	busy  bool // its first event is under way
	tries int
	due   time.Time // when it is to be looked at
	away  bool      // the last try found nobody
	index int       // in the heap; -1 if it is not there
}

// done is the position up to which all of the line has been dealt with.
func (l *line) done() uint64 {
	p := l.loaded.Seq
	for _, t := range l.queue {
		p = min(p, t.at.Seq-1)
	}
	return p
}

// since is when the oldest event in memory was recorded; zero for none.
func (l *line) since() time.Time {
	var t time.Time
	for _, k := range l.queue {
		if t.IsZero() || k.time.Before(t) {
			t = k.time
		}
	}
	return t
}

// first moves the event that is to be told next to the front: of those that were
// recorded within the hold of the first, the one that belongs before the others.
// A line whose first event has been tried keeps it.
func (l *line) first(hold time.Duration) *task {
	best := 0
	until := l.queue[0].time.Add(hold)
	for i, t := range l.queue {
		if t.time.After(until) || l.tries > 0 {
			break
		}
		if t.before(l.queue[best]) {
			best = i
		}
	}
	t := l.queue[best]
	copy(l.queue[1:best+1], l.queue[:best])
	l.queue[0] = t
	return t
}

// lines are a heap by due.
type lines []*line

// Len, Less, Swap, Push and Pop are the heap's.
func (h lines) Len() int           { return len(h) }
func (h lines) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

// Swap swaps two lines.
func (h lines) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push adds a *line at the end.
func (h *lines) Push(x any) {
	l := x.(*line)
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop removes the last one.
func (h *lines) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.index = -1
	return l
}

// at puts a line where its time is, or moves it there.
func (h *lines) at(l *line, due time.Time) {
	l.due = due
	if l.index >= 0 {
		heap.Fix(h, l.index)
		return
	}
	heap.Push(h, l)
}

// ready takes out the line that has been due for longest, nil if none is.
func (h *lines) ready(now time.Time) *line {
	if len(*h) == 0 || (*h)[0].due.After(now) {
		return nil
	}
	return heap.Pop(h).(*line)
}
