package hub_test

import (
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestOffer: a frame that a client has no room for is refused, and the client is
// not cut; what is sent to it all the same cuts it.
func TestOffer(t *testing.T) {
	run(t, hub.Config{QueueBytes: 1000}, func(r *rig) {
		c := r.connect(everything())
		before := c.conn.Pushes()
		offer := func(size int) error { return c.conn.Offer(hub.TextFrame([]byte(strings.Repeat("x", size)))) }
		c.conn.Shard().Lock()
		c.stuck = true
		c.conn.Shard().Unlock()
		if err := offer(600); err != nil {
			r.Fatal(err)
		}
		if err := offer(401); earshot.CodeOf(err) != earshot.Limited {
			r.Errorf("what does not fit: %v", err)
		}
		if err := offer(400); err != nil {
			r.Errorf("what does: %v", err)
		}
		if c.conn.Err() != nil || c.conn.Pushes()-before != 2 {
			r.Errorf("the client has ended: %v, %d frames were queued", c.conn.Err(), c.conn.Pushes()-before)
		}
		c.conn.Close(nil)
		if err := offer(1); earshot.CodeOf(err) != earshot.Shutdown {
			r.Errorf("after the end: %v", err)
		}
	})
}

// TestOpeningWithAnID: a connection has the id that it was to have, and others
// have drawn ones.
func TestOpeningWithAnID(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		id := earshot.NewConnID()
		c := &client{rig: r}
		conn, err := r.hub.Open(r.hub.NextShard(), wire{c}, hub.Opening{ID: id, App: r.app, Farewell: c})
		if err != nil {
			r.Fatal(err)
		}
		c.conn = conn
		conn.Serve(c)
		if conn.ID() != id || r.hub.Conn(id) != conn {
			r.Errorf("it is called %v, not %v", conn.ID(), id)
		}
		other := r.connect(everything())
		if other.conn.ID().IsZero() || other.conn.ID() == id {
			r.Errorf("another one is called %v", other.conn.ID())
		}
		conn.Ended(hub.End{})
	})
}
