package hub

import (
	"context"

	"github.com/earshot-io/earshot"
)

// maxReads is how many clients read from the log at once. When a server comes up
// again and everybody comes back, the others wait here: a log that is asked by
// all of them at once answers nobody in time.
const maxReads = 64

// read reads from the log when it is our turn.
func (h *Hub) read(ctx context.Context, app, channel string, r Range) (Page, error) {
	select {
	case h.reads <- struct{}{}:
	case <-ctx.Done():
		return Page{}, context.Cause(ctx)
	}
	defer func() { <-h.reads }()
	return h.engine.Read(ctx, app, channel, r)
}

// readFor tells the first who wants to read what comes after a position, and
// gives it what to call when it has. To the others it gives a wait for that;
// what was read is in the ring then, if it fits there.
func (c *channel) readFor(after earshot.Position) (read func(), first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if done := c.reading[after]; done != nil {
		return func() { <-done }, false
	}
	if c.reading == nil {
		c.reading = map[earshot.Position]chan struct{}{}
	}
	done := make(chan struct{})
	c.reading[after] = done
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.reading, after)
		if len(c.reading) == 0 {
			c.reading = nil
		}
		close(done)
	}, true
}
