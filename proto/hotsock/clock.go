package hotsock

import (
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A clock is what a session does in time. The zero clock does nothing and costs
// nothing; a session whose token asks for nothing has none.
type clock struct {
	mu sync.Mutex

	within    time.Duration // for a heartbeat, grace included
	heartbeat *hub.Timer    // nil if none is asked for
	keepAlive *hub.Timer    // nil if none is asked for
	lifetime  *hub.Timer    // nil if there is none
}

// keepAliveEvery is how often keepAlive is sent (spec §2.4).
const keepAliveEvery = 570 * time.Second

// lifetimeOver is the reason of a connection that lived as long as it may.
const lifetimeOver = "LIFETIME"

var (
	errHeartbeat = &earshot.Error{Code: earshot.Timeout, Text: "no heartbeat came in time"}
	errLifetime  = &earshot.Error{Code: earshot.Shutdown, Reason: lifetimeOver, Text: "the connection has reached its lifetime"}
)

// setClock starts what a token asks for, and ends what it does not.
func (s *session) setClock(who *proof) {
	c := s.clock.Load()
	if c == nil {
		if who.heartbeat == 0 && !who.keepAlive {
			return
		}
		c = &clock{}
		s.clock.Store(c)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.setHeartbeat(c, who.heartbeat)
	s.setKeepAlive(c, who.keepAlive)
}

// setHeartbeat enforces heartbeats from now on (R18). The clock is locked.
func (s *session) setHeartbeat(c *clock, timeout time.Duration) {
	stop(&c.heartbeat)
	if timeout == 0 {
		return
	}
	c.within = timeout + time.Duration(s.p.config.HeartbeatGrace)
	c.heartbeat = s.conn.Shard().NewTimer(func() { s.conn.Close(errHeartbeat) })
	c.heartbeat.Reset(c.within)
}

// setKeepAlive begins or ends keepAlive; the clock is locked.
func (s *session) setKeepAlive(c *clock, on bool) {
	if on == (c.keepAlive != nil) {
		return
	}
	stop(&c.keepAlive)
	if on {
		c.keepAlive = s.conn.Shard().NewTimer(s.sendAlive)
		c.keepAlive.Reset(keepAliveEvery)
	}
}

func (s *session) sendAlive() {
	if s.conn.Send(s.p.alive) != nil {
		return
	}
	c := s.clock.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keepAlive != nil {
		c.keepAlive.Reset(keepAliveEvery)
	}
}

// setLifetime ends the connection after a while.
func (s *session) setLifetime(d time.Duration) {
	if d == 0 {
		return
	}
	c := &clock{lifetime: s.conn.Shard().NewTimer(func() { s.conn.Close(errLifetime) })}
	c.lifetime.Reset(d)
	s.clock.Store(c)
}

// beat is a heartbeat of the client.
func (s *session) beat() {
	c := s.clock.Load()
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heartbeat != nil {
		c.heartbeat.Reset(c.within)
	}
}

func (s *session) stopClock() {
	c := s.clock.Load()
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	stop(&c.heartbeat)
	stop(&c.keepAlive)
	stop(&c.lifetime)
}

func stop(t **hub.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}
