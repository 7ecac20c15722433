package schedule

import "container/heap"

// A queue holds timers, the first of which is at hand. A timer is in one queue
// at a time, and knows its place there.
type queue struct {
	before func(a, b *timer) bool
	all    []*timer
}

func (q *queue) first() *timer {
	if len(q.all) == 0 {
		return nil
	}
	return q.all[0]
}

func (q *queue) push(t *timer) {
	t.in = q
	heap.Push(q, t)
}

// remove takes out a timer that is in the queue.
func (q *queue) remove(t *timer) {
	heap.Remove(q, int(t.place))
	t.in = nil
}

// What follows is heap.Interface.

func (q *queue) Len() int           { return len(q.all) }
func (q *queue) Less(i, j int) bool { return q.before(q.all[i], q.all[j]) }

func (q *queue) Swap(i, j int) {
	q.all[i], q.all[j] = q.all[j], q.all[i]
	q.all[i].place, q.all[j].place = int32(i), int32(j)
}

func (q *queue) Push(x any) {
	t := x.(*timer)
	t.place = int32(len(q.all))
	q.all = append(q.all, t)
}

func (q *queue) Pop() any {
	last := len(q.all) - 1
	t := q.all[last]
	q.all[last] = nil
	q.all = q.all[:last]
	if cap(q.all) > 1024 && last < cap(q.all)/4 {
		q.all = append(make([]*timer, 0, cap(q.all)/2), q.all...)
	}
	return t
}
