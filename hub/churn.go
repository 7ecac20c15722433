package hub

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// A client makes much of little: a few bytes join and leave a channel, and each
// time every member is sent the list of all. What one connection causes so is
// counted, and when it is much the connection's next change waits. Who joins,
// stays and leaves does not notice; who comes and goes without end does, and not
// those who have to listen.
const (
	// churnRate is how many bytes of notices a second one connection may cause
	// for good, and churnCredit how many at once.
	churnRate   = 8 << 20
	churnCredit = 16 << 20
	// churnRest is the longest that a change waits.
	churnRest = 10 * time.Second
)

const creditTime = churnCredit * time.Second / churnRate

// churned counts a notice of this size that the connection has caused, and that
// so many are sent.
func (c *Conn) churned(size, to int) {
	cost := time.Duration(float64(size) * float64(to) / churnRate * float64(time.Second))
	if cost < time.Millisecond {
		return // whoever does that without end harms nobody
	}
	now := time.Now()
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.closing.Load() {
		return
	}
	if c.shard.churn == nil {
		c.shard.churn = map[*Conn]time.Time{}
	}
	until := c.shard.churn[c]
	if until.Before(now) {
		until = now
	}
	c.shard.churn[c] = until.Add(cost)
}

// calm waits until the connection may change members again. It does not wait
// where a client's message is being handled: others on its shard would too. It
// fails with Limited if the context ends before.
func (c *Conn) calm(ctx context.Context) error {
	if _, ok := ctx.(*handling); ok {
		return nil
	}
	c.shard.mu.Lock()
	until, often := c.shard.churn[c]
	c.shard.mu.Unlock()
	wait := time.Until(until.Add(-creditTime))
	if !often || wait <= 0 {
		return nil
	}
	rest(ctx, min(wait, churnRest))
	if ctx.Err() != nil {
		return &earshot.Error{
			Code: earshot.Limited, Reason: "PRESENCE_BUSY", Text: "this connection changes members too often", RetryAfter: churnRest, Err: context.Cause(ctx),
		}
	}
	return nil
}
