package hub

import (
	"context"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
)

// A Replay selects what a new subscription is sent of what was stored before it:
// up to Size messages, the newest that there are, of which none is older than
// Since or stands at After or before it. Messages that history does not show are
// among them.
type Replay struct {
	Size  int
	Since time.Time
	After earshot.Position
}

// MaxReplay is the most messages that are replayed.
const MaxReplay = pageMessages

// replay reads what a subscription is sent first: up to where it joined, since
// what comes then is held for it.
func (c *channel) replay(ctx context.Context, sub *Sub, r *Replay) error {
	h := c.app.hub
	joined := sub.Position()
	page, err := h.read(ctx, c.app.slug, c.name, Range{
		After: r.After, Before: position(joined.Epoch, joined.Seq+1), Since: r.Since, Reverse: true,
		Limit: min(max(r.Size, 1), MaxReplay), Bytes: min(pageBytes, h.config.QueueBytes/2), AtLeast: joined.Seq, Hidden: true,
	})
	if err != nil {
		return err
	}
	cu := &catchUp{after: joined}
	for _, m := range slices.Backward(page.Messages) {
		cu.page = append(cu.page, &delivery{m: m})
	}
	sub.conn.shard.Lock()
	defer sub.conn.shard.Unlock()
	sub.held.catchUp = cu
	return nil
}
