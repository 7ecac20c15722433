package hub

import "github.com/earshot-io/earshot"

var errFull = &earshot.Error{Code: earshot.Limited, Reason: "CLIENT_BEHIND", Text: "the client does not read as fast as it is sent to"}

// Offer is Send of one frame for who can be told no: if so much waits for the
// client that it would be cut, it fails with Limited, and the frame is not sent.
func (c *Conn) Offer(f *Frame) error {
	c.shard.Lock()
	defer c.shard.Unlock()
	switch {
	case c.closing.Load() || c.cutting:
		return errClosing
	case f.Len()+c.wire.Flush() > c.hub.config.QueueBytes:
		return errFull
	}
	c.push(f)
	c.shard.flush()
	return nil
}

// Pushes is how many frames were queued for the client since the connection
// opened; it begins anew after four billion. It tells that something was sent,
// whoever did.
func (c *Conn) Pushes() uint32 {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.pushes
}
