package hub

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
)

// An app's limits (earshot.Limits) are kept here, once for all protocols, and on
// each node by itself. What is over one of them is refused with Limited or
// TooLarge, and a Reason of its own:
//
//	Connections   LIMIT_CONNECTIONS   Open fails, Enter closes
//	Channels      LIMIT_CHANNELS      Subscribe fails
//	MessageBytes  MESSAGE_TOO_LARGE   a publish fails
//	ClientRate    LIMIT_CLIENT_RATE   a publish of a client fails
//	ServerRate    LIMIT_SERVER_RATE   a publish of the app's server fails
//
// A limit that is lowered counts at once for what is asked for from then on, and
// Renew closes what is over it: of the connections the newest, so that those who
// were there first stay; and those that have too many subscriptions, since not
// every protocol has words for a subscription that ends.

// saved is how long what is not published is saved up.
const saved = 10 * time.Second

var errConnections = &earshot.Error{
	Code: earshot.Limited, Reason: "LIMIT_CONNECTIONS", Text: "the application has as many connections as it may have", RetryAfter: saved,
}

func errChannels(limit int) error {
	return &earshot.Error{Code: earshot.Limited, Reason: "LIMIT_CHANNELS", Text: "a connection may have " + plural(limit, "subscription")}
}

// enters counts the connection among those of its app; it fails if the app has
// as many as it may have. The shard is locked.
func (c *Conn) enters(a *earshot.App) error {
	u := &c.hub.app(a.Slug).used
	for {
		n := u.conns.Load()
		if most := int64(a.Limits.Connections); most > 0 && n >= most {
			return errConnections
		}
		if u.conns.CompareAndSwap(n, n+1) {
			c.counted = true
			u.peaked(n + 1)
			return nil
		}
	}
}

// moves counts the connection in the app that it is of now. The shard is locked.
func (c *Conn) moves(was, now *earshot.App) error {
	if was != nil && was.Slug == now.Slug || c.closing.Load() {
		return nil
	}
	if was != nil {
		c.exits(was)
	}
	return c.enters(now)
}

// exits undoes enters. The shard is locked.
func (c *Conn) exits(a *earshot.App) {
	if c.counted {
		c.counted = false
		c.hub.app(a.Slug).used.conns.Add(-1)
	}
}

// trim closes the newest of an app's connections that are more than it may have.
func (h *Hub) trim(a *earshot.App, conns []*Conn) (closed int) {
	limit := a.Limits.Connections
	if limit <= 0 {
		return 0
	}
	conns = slices.DeleteFunc(conns, func(c *Conn) bool { return c.closing.Load() })
	if len(conns) <= limit {
		return 0
	}
	now := h.opened.Load() // serials begin anew after 2³²
	slices.SortFunc(conns, func(x, y *Conn) int { return -cmp.Compare(now-x.serial, now-y.serial) })
	for _, c := range conns[limit:] {
		c.Close(errConnections)
		closed++
	}
	return closed
}

// maxSubscriptions is how many the connection may have; 0 is no limit.
func (c *Conn) maxSubscriptions() int {
	limit := c.hub.config.MaxSubscriptions
	if a := c.App(); a != nil && a.Limits.Channels > 0 && (limit <= 0 || a.Limits.Channels < limit) {
		limit = a.Limits.Channels
	}
	return limit
}

// Spend counts one message that the client publishes in some other way than by
// Publish or Permit, which count theirs. It fails with Limited, and has counted
// nothing, if the client publishes more than its app allows (ClientRate).
//
// What a connection has published lately is remembered in its shard, only for
// apps with such a limit and while it matters: an idle connection takes nothing.
func (c *Conn) Spend() error {
	a := c.App()
	if a == nil || a.Limits.ClientRate <= 0 {
		return nil
	}
	now := c.hub.clock()
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	until, wait := spend(s.spent[c], now, a.Limits.ClientRate)
	if wait > 0 {
		return errRate("LIMIT_CLIENT_RATE", "this connection", a.Limits.ClientRate, wait)
	}
	if s.spent == nil {
		s.spent = map[*Conn]time.Duration{}
	}
	s.spent[c] = until
	return nil
}

// Spend counts one message of the app's own server that is not published now:
// one that is to be published later, or that is no message but makes one. It
// fails with Limited, and has counted nothing, if the server publishes more than
// the app allows on this node (ServerRate). Publish counts its own.
func (h *Hub) Spend(a *earshot.App) error {
	rate := a.Limits.ServerRate
	if rate <= 0 {
		return nil
	}
	u, now := &h.app(a.Slug).used, h.clock()
	for {
		before := u.spent.Load()
		until, wait := spend(time.Duration(before), now, rate)
		if wait > 0 {
			return errRate("LIMIT_SERVER_RATE", "the application's server", rate, wait)
		}
		if u.spent.CompareAndSwap(before, int64(until)) {
			return nil
		}
	}
}

// spend takes one message off a bucket that is full again at until, and returns
// when it would be full then, or how long to wait. Times are those of
// Hub.clock; a bucket that is full is not remembered. It is the generic cell rate
// algorithm: a bucket that holds what ten seconds bring, one message at the least.
func spend(until, now time.Duration, rate float64) (next, wait time.Duration) {
	each := time.Duration(min(float64(time.Second)/rate, math.MaxInt64/4))
	next = max(until, now) + each
	if over := next - now - max(saved, each); over > 0 {
		return until, over
	}
	return next, 0
}

func errRate(reason, who string, rate float64, wait time.Duration) error {
	e := earshot.Errorf(earshot.Limited, "%s may publish %g messages a second", who, rate)
	e.Reason, e.RetryAfter = reason, wait
	return e
}

// clock is the time since the hub was made, whatever happens to the wall clock.
func (h *Hub) clock() time.Duration { return time.Since(h.made) }

// forgetSpent forgets the buckets that are full again.
func (s *Shard) forgetSpent(now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, until := range s.spent {
		if until <= now {
			delete(s.spent, c)
		}
	}
	if len(s.spent) == 0 {
		s.spent = nil
	}
}

// checkSize refuses a message that is larger than its app allows. Notices are
// the server's own.
func checkSize(a *earshot.App, m *earshot.Message) error {
	most := a.Limits.MessageBytes
	if most <= 0 || len(m.Data) <= most || m.Notice != earshot.NoNotice {
		return nil
	}
	return &earshot.Error{Code: earshot.TooLarge, Reason: "MESSAGE_TOO_LARGE", Text: "data may have " + plural(most, "byte") + " at the most"}
}
