package hub

import (
	"cmp"
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
)

// A Conn is one client's connection, whatever carries it. All methods may be
// called concurrently.
type Conn struct {
	id      earshot.ConnID
	serial  uint32 // rises with every connection of the hub, and begins anew
	hub     *Hub
	shard   *Shard
	wire    Transport
	host    Farewell
	handler Handler
	remote  netip.Addr

	app      atomic.Pointer[earshot.App]
	identity atomic.Pointer[earshot.Identity]
	closing  atomic.Bool // set with the shard locked
	busy     atomic.Bool // there are tasks; set with the shard locked

	// The shard's lock guards what follows.

	subs    subs
	tasks   *tasks
	done    chan struct{} // closed when the connection closes; nil if nobody asked
	drains  chan struct{} // closed when the output is flushed; nil if nobody waits
	expiry  *Timer
	why     error  // why we close it
	about   *about // for events; nil where nobody wants any
	pushes  uint32 // frames that were queued, and begins anew
	dirty   bool
	cutting bool
	counted bool // among those of its app
}

var errClosing = earshot.Errorf(earshot.Shutdown, "the connection is closing")

// An Opening is what a new connection starts with.
type Opening struct {
	// ID is the connection's, where it was told to somebody before; zero draws one.
	ID earshot.ConnID
	// App and Identity say who it is; nil if its first message will (Conn.Enter).
	App      *earshot.App
	Identity *earshot.Identity
	// Farewell renders the end.
	Farewell Farewell
	// Remote is the client's address, UserAgent what it says that it is: 256 bytes
	// of it are kept, and only where events want them.
	Remote    netip.Addr
	UserAgent string
	// KeepAlive says that the client is kept alive by messages of its protocol.
	KeepAlive bool
}

// Open makes a connection that the transport w carries, on shard s. It hears
// nothing and reads nothing until the caller has given it a Handler by Serve.
// It fails with Shutdown while the hub drains, with Kicked if its app is not
// served any more, and with Limited if that has as many connections as it may.
func (h *Hub) Open(s *Shard, w Transport, o Opening) (*Conn, error) {
	c := &Conn{
		id: o.ID, serial: h.opened.Add(1), hub: h, shard: s, wire: w, host: o.Farewell, remote: o.Remote,
	}
	if c.id.IsZero() {
		c.id = earshot.NewConnID()
	}
	c.app.Store(o.App)
	c.identity.Store(o.Identity)
	c.keepAbout(&o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.draining.Load() {
		return nil, earshot.Errorf(earshot.Shutdown, "the server is shutting down")
	}
	newest := h.newest(o.App)
	if newest == nil && o.App != nil {
		return nil, errAppGone
	}
	c.app.Store(newest)
	if newest != nil {
		if err := c.enters(newest); err != nil {
			return nil, err
		}
	}
	s.conns[c.id] = c
	s.stats.Opened++
	c.watchExpiry()
	c.entered(nil, nil)
	return c, nil
}

// Serve gives the connection its handler, before the transport's first Receive.
func (c *Conn) Serve(h Handler) { c.handler = h }

// ID names the connection.
func (c *Conn) ID() earshot.ConnID { return c.id }

// Shard is where the connection lives.
func (c *Conn) Shard() *Shard { return c.shard }

// Remote is the client's address.
func (c *Conn) Remote() netip.Addr { return c.remote }

// App is the client's application, nil before Enter.
func (c *Conn) App() *earshot.App { return c.app.Load() }

// Identity is who the client is, nil before Enter.
func (c *Conn) Identity() *earshot.Identity { return c.identity.Load() }

// Enter says who a client is that was admitted without saying so, or replaces
// its identity by a newer proof. Every subscription that the new identity does
// not permit ends, but for those that Join.Allowed let in; they are returned, so
// that the client can be told. What it may do, and when it expires, is the new
// identity's from then on; so are user and metadata of the subscriptions without
// a proof of their own, and members are told. A member needs a user id. In
// another app no subscription is kept. In one that is not served any more the
// connection is closed, as Kicked, and as Limited in one that has as many
// connections as it may.
func (c *Conn) Enter(a *earshot.App, id *earshot.Identity) (ended []*Sub) {
	c.shard.mu.Lock()
	newest := c.hub.newest(a)
	if newest == nil {
		defer c.Close(errAppGone)
		newest = a
	}
	was := c.app.Swap(newest)
	moved := was
	if moved != nil && moved.Slug == a.Slug {
		moved = nil
	}
	if err := c.moves(was, newest); err != nil {
		defer c.Close(err)
	}
	before := c.identity.Swap(id)
	c.unpin()
	c.watchExpiry()
	c.entered(was, before)
	all := c.subs.all()
	c.shard.mu.Unlock()
	for _, sub := range all {
		kept := moved == nil && c.judges(sub)
		if !kept && c.unsubscribe(sub, cmp.Or(was, a)) {
			ended = append(ended, sub)
		}
	}
	return ended
}

// watchExpiry arms the end of the connection at its identity's expiry, if its
// app wants that. The shard is locked.
func (c *Conn) watchExpiry() {
	a, id := c.App(), c.Identity()
	if a == nil || !a.ExpiryCloses || id == nil || id.Expires.IsZero() || c.closing.Load() {
		if c.expiry != nil {
			c.expiry.stop()
		}
		return
	}
	if c.expiry == nil {
		c.expiry = &Timer{shard: c.shard, fire: c.expire}
	}
	c.expiry.reset(time.Until(id.Expires.Add(earshot.ExpiryGrace)))
}

// watchExpiry arms the end of the subscription at its own proof's expiry, if the
// app wants that.
func (s *Sub) watchExpiry() {
	c := s.conn
	if a := c.App(); a == nil || !a.ExpiryCloses || s.as() == nil || s.as().Expires.IsZero() {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if s.gone {
		return
	}
	if s.expiry == nil {
		s.expiry = &Timer{shard: c.shard, fire: s.expire}
	}
	s.expiry.reset(time.Until(s.as().Expires.Add(earshot.ExpiryGrace)))
}

// expire ends the subscription, unless its app does not want that any more.
func (s *Sub) expire() {
	if !s.conn.App().ExpiryCloses {
		return
	}
	if u, ok := s.conn.handler.(Unsubscriber); s.conn.Unsubscribe(s) && ok {
		u.Unsubscribed(s)
	}
}

// expire ends the connection, unless a newer proof came at the last moment.
func (c *Conn) expire() {
	a, id := c.App(), c.Identity()
	if a.ExpiryCloses && !id.Expires.IsZero() && time.Until(id.Expires.Add(earshot.ExpiryGrace)) <= 0 {
		c.Close(&earshot.Error{Code: earshot.Expired, Text: "the token has expired"})
	}
}

// Send queues frames for the client and writes them as far as it takes them
// now. They go out in the order of the calls, between whole deliveries. It
// fails if the connection is closing.
func (c *Conn) Send(frames ...*Frame) error {
	c.shard.Lock()
	defer c.shard.Unlock()
	if c.closing.Load() {
		return errClosing
	}
	for _, f := range frames {
		c.push(f)
	}
	c.shard.flush()
	return nil
}

// push queues a frame; the shard is locked, and whoever locked it flushes.
func (c *Conn) push(f *Frame) {
	if c.closing.Load() || c.cutting {
		return
	}
	c.pushes++
	waiting := c.wire.Push(f)
	if waiting > min(flushAbove, c.hub.config.QueueBytes) {
		waiting = c.wire.Flush()
	}
	if waiting > c.hub.config.QueueBytes {
		c.cutting = true
		c.shard.stats.Slow++
		c.shard.cut = append(c.shard.cut, c)
	}
	if !c.dirty {
		c.dirty = true
		c.shard.dirty = append(c.shard.dirty, c)
	}
}

// Flushed is called by the transport, with the shard locked, when everything
// that was queued has been written.
func (c *Conn) Flushed() {
	if c.drains != nil {
		close(c.drains)
		c.drains = nil
	}
}

// Drained waits until everything that was queued has been written: for who has
// much to send, and may wait. It fails when the connection closes.
func (c *Conn) Drained(ctx context.Context) error {
	c.shard.mu.Lock()
	if c.closing.Load() {
		c.shard.mu.Unlock()
		return errClosing
	}
	if c.wire.Flush() == 0 {
		c.shard.mu.Unlock()
		return nil
	}
	if c.drains == nil {
		c.drains = make(chan struct{})
	}
	drains := c.drains
	c.shard.mu.Unlock()
	select {
	case <-drains:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Receive is called by the transport, on a goroutine of its own and one call at
// a time, with messages in the order they came. It returns when all have been
// handled, or the connection is to read no more.
func (c *Conn) Receive(in ...Input) {
	ctx := &handling{conn: c}
	defer ctx.settle(c.hub)
	defer c.Survive("handling a message")
	for _, m := range in {
		if c.Err() != nil {
			break
		}
		if err := c.handler.Handle(ctx, m); err != nil {
			c.Close(err)
			break
		}
		c.keeps(len(m.Data))
	}
}

// handling is the context of one Receive. What is published under it is settled
// together.
type handling struct {
	conn *Conn
	batch
}

// Deadline, Done, Err and Value are the connection's.
func (h *handling) Deadline() (time.Time, bool) { return time.Time{}, false }
func (h *handling) Done() <-chan struct{}       { return h.conn.Done() }
func (h *handling) Err() error                  { return h.conn.Err() }
func (h *handling) Value(any) any               { return nil }

// A Conn is a context that ends when the connection closes.
var _ context.Context = (*Conn)(nil)

// Deadline returns that there is none.
func (c *Conn) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done returns a channel that is closed when the connection begins to close.
func (c *Conn) Done() <-chan struct{} {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.closing.Load() {
			close(c.done)
		}
	}
	return c.done
}

// Err returns context.Canceled once the connection closes.
func (c *Conn) Err() error {
	if c.closing.Load() {
		return context.Canceled
	}
	return nil
}

// Value returns nil.
func (c *Conn) Value(any) any { return nil }

// Close ends the connection: with the protocol's farewell for err, or regularly
// for nil. No message is delivered to it any more when Close has returned; what
// was queued before still goes out, unless the client is Slow. Only the first
// call counts.
func (c *Conn) Close(err error) {
	last, code, reason := c.host.Farewell(err)
	c.shard.mu.Lock()
	if !c.stop(err) {
		c.shard.mu.Unlock()
		return
	}
	c.wire.Close(Goodbye{Last: last, Code: code, Reason: reason, Drop: earshot.CodeOf(err) == earshot.Slow && err != nil})
	all := c.subs.all()
	c.shard.Unlock()
	for _, sub := range all {
		c.Unsubscribe(sub)
	}
}

// stop lets nothing more be sent or begun; it reports false if that was so
// before. The shard is locked.
func (c *Conn) stop(why error) bool {
	if c.closing.Load() {
		return false
	}
	c.closing.Store(true)
	c.why = why
	if a := c.App(); a != nil {
		c.exits(a)
	}
	if c.done != nil {
		close(c.done)
	}
	if c.expiry != nil {
		c.expiry.stop()
	}
	if c.tasks != nil && c.tasks.room != nil {
		c.tasks.room.Broadcast()
	}
	c.shard.stats.closed(why)
	return true
}

// Ended is called by the transport once, when the connection is over and no
// Receive runs: by the client, by a failure, or after Close.
func (c *Conn) Ended(end End) {
	why := end.Err
	if end.Peer {
		why = nil // a wire that failed is not an end of ours, and not counted as one
	}
	c.shard.mu.Lock()
	c.stop(why)
	if end.Err == nil {
		end.Err = c.why
	}
	all := c.subs.all()
	if c.shard.conns[c.id] == c {
		delete(c.shard.conns, c.id)
		delete(c.shard.churn, c)
		delete(c.shard.spent, c)
		c.shard.stats.Ended++
	}
	c.Flushed()
	c.shard.mu.Unlock()
	for _, sub := range all {
		c.Unsubscribe(sub)
	}
	c.shard.mu.Lock()
	c.leaves()
	c.shard.mu.Unlock()
	if c.handler != nil {
		defer c.Survive("ending a dialogue")
		c.handler.Close(end)
	}
}
