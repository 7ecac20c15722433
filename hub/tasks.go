package hub

import (
	"context"
	"sync"

	"github.com/earshot-io/earshot"
)

// maxTasks is how many tasks may wait for one connection, and maxTaskBytes how
// much of its client's messages they may keep, but for the last one.
const (
	maxTasks     = 256
	maxTaskBytes = 256 << 10
)

// tasks are what one connection has to do, one after another, beside Handle.
// It exists while there is something to do. The shard's lock guards it.
type tasks struct {
	waiting []func(context.Context)
	bytes   int        // of the messages that were handled while any waited
	room    *sync.Cond // somebody waits for room; nil if nobody does
}

// Do runs f on a goroutine after everything given to Do before, while Handle
// goes on with further messages. The context ends when the connection closes.
// What waits is bounded: Do waits for room, and so holds up its caller's Handle
// and the client's next messages. What has not begun when the connection closes
// is dropped; Do then reports false.
func (c *Conn) Do(f func(context.Context)) bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.await(func(t *tasks) bool { return len(t.waiting) < maxTasks })
	if c.closing.Load() {
		return false
	}
	if c.tasks != nil {
		c.tasks.waiting = append(c.tasks.waiting, f)
		return true
	}
	if !c.hub.spawn(func() { c.work(f) }) {
		return false
	}
	c.tasks = &tasks{}
	c.busy.Store(true)
	return true
}

// await waits until the tasks have room, there are none, or the connection
// closes. The shard is locked.
func (c *Conn) await(room func(*tasks) bool) {
	for !c.closing.Load() && c.tasks != nil && !room(c.tasks) {
		if c.tasks.room == nil {
			c.tasks.room = sync.NewCond(&c.shard.mu)
		}
		// What this goroutine has published must not wait too.
		c.hub.signalAll()
		c.tasks.room.Wait()
	}
}

// keeps counts a message that was just handled, since a task that waits may keep
// it. When they keep too much the client's next message is not handled before
// all of them have begun: many small messages cost little, but a client that
// does not read its history could make us remember 256 of the largest.
func (c *Conn) keeps(size int) {
	if !c.busy.Load() {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.tasks == nil || len(c.tasks.waiting) == 0 {
		return
	}
	c.tasks.bytes += size
	c.await(func(t *tasks) bool { return t.bytes < maxTaskBytes })
}

// Busy reports whether tasks run or wait: what must keep their order then goes
// to Do too.
func (c *Conn) Busy() bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.tasks != nil
}

// work runs f and what waits behind it, and ends when there is no more.
func (c *Conn) work(f func(context.Context)) {
	for f != nil {
		c.task(f)
		f = c.nextTask()
	}
}

// task runs f; a panic ends the connection, not the server.
func (c *Conn) task(f func(context.Context)) {
	defer c.Survive("a task")
	f(c)
}

// Survive is deferred around foreign code of one client, also by a protocol on a
// goroutine of its own: a panic ends the connection, and not the server. doing says
// what was done, for the log.
func (c *Conn) Survive(doing string) {
	if p := recover(); p != nil {
		c.hub.panicked(doing, p)
		c.Close(earshot.Errorf(earshot.Internal, "internal error"))
	}
}

func (c *Conn) nextTask() func(context.Context) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	t := c.tasks
	if t.room != nil {
		t.room.Broadcast()
	}
	if c.closing.Load() || len(t.waiting) == 0 {
		c.tasks = nil
		c.busy.Store(false)
		return nil
	}
	f := t.waiting[0]
	t.waiting[0] = nil
	if t.waiting = t.waiting[1:]; len(t.waiting) == 0 {
		t.bytes = 0
	}
	return f
}
