package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
)

// A session is one client's dialogue.
type session struct {
	p    *Protocol
	conn *hub.Conn // nil before it opens
	who  *core.Connection
	// slug, api and stage name where it is; appID is the app's number.
	slug, api, stage string
	appID            int64
	joins            []join
	// kept says that a record is kept of it, for its $disconnect.
	kept  bool
	turns turns
	timer *hub.Timer

	mu     sync.Mutex
	app    *earshot.App // that at is of
	at     *core.Stage  // nil if it was removed
	active time.Time    // when something was said last, by either side
	pushes uint32       // as they were then
	once   once
}

func newSession(h *handshake, answer *core.Answer) *session {
	who := h.conn // of its own, so that the request is not kept with it
	s := &session{
		p: h.p, who: &who, slug: h.app.Slug, appID: h.app.ID, api: h.stage.API.ID, stage: h.stage.Name, app: h.app, at: h.stage, active: h.begun,
	}
	for _, channel := range answer.Join {
		s.joins = append(s.joins, join{channel: channel, envelope: answer.Envelope})
	}
	return s
}

// begin opens the dialogue. It joins what the $connect integration asked for.
func (s *session) begin(c *hub.Conn) {
	s.conn = c
	s.mu.Lock()
	s.active = time.Now()
	s.mu.Unlock()
	s.p.enter(s)
	s.timer = c.Shard().NewTimer(s.tick)
	s.tick()
	if len(s.joins) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c, joinTime)
	defer cancel()
	for _, j := range s.joins {
		sub, err := s.join(ctx, j)
		if err == nil && sub != nil {
			err = sub.Start(ctx)
		}
		if err != nil {
			s.p.deps.Log.Warn("a channel could not be joined", "app", s.slug, "api", s.api, "err", err)
			c.Close(err)
			return
		}
	}
	s.joins = nil
}

// current is the stage as the app has it now, nil if it is not there any more.
func (s *session) current() (*earshot.App, *core.Stage) {
	a := s.conn.App()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a != s.app {
		s.app, s.at = a, nil
		if api := s.p.book.of(a).api(s.api); api != nil {
			s.at = api.Stage(s.stage)
		}
	}
	return s.app, s.at
}

// Handle takes one message.
func (s *session) Handle(ctx context.Context, in hub.Input) error {
	_, stage := s.current()
	binary := in.Op == hub.Binary
	switch {
	case stage == nil:
		return errRemoved
	case binary && !stage.API.Binary:
		return errBinary
	}
	s.touch()
	width := 1
	if stage.API.Concurrent {
		width = parallel
	}
	if err := s.turns.add(ctx, message{in.Data, binary}, width, s.p.endings.spawn, s.answer); err != nil {
		return nil //nolint:nilerr // the connection ends, for a reason of its own
	}
	return nil
}

// touch notes that something was said.
func (s *session) touch() {
	n := s.conn.Pushes()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active, s.pushes = time.Now(), n
}

// lastActive is when something was said last. What channels brought is noticed when
// that is asked for, and at the latest when the timer looks.
func (s *session) lastActive() time.Time {
	n := s.conn.Pushes()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n != s.pushes {
		s.active, s.pushes = time.Now(), n
	}
	return s.active
}

const (
	// idleTime is how long nothing may be said (11.1).
	idleTime = 10 * time.Minute
	// looks is how often in that time is looked for what channels brought.
	looks = 10
)

// tick ends a connection that is idle or old enough, and else sets the timer anew.
func (s *session) tick() {
	_, stage := s.current()
	if stage == nil {
		s.conn.Close(errRemoved)
		return
	}
	idle, life := idleTime, time.Duration(stage.API.LifetimeSeconds)*time.Second
	if stage.API.IdleSeconds != 0 {
		idle = time.Duration(stage.API.IdleSeconds) * time.Second
	}
	now, next := time.Now(), time.Duration(-1)
	if life > 0 {
		if next = s.who.ConnectedAt.Add(life).Sub(now); next <= 0 {
			s.conn.Close(errAged)
			return
		}
	}
	if idle > 0 {
		left := idle - now.Sub(s.lastActive())
		if left <= 0 {
			s.conn.Close(errIdle)
			return
		}
		if left = min(left, max(idle/looks, time.Second)); next < 0 || left < next {
			next = left
		}
	}
	if next > 0 && s.conn.Err() == nil {
		s.timer.Reset(next)
	}
}

// Close is told of the end. $disconnect follows the messages that had come.
func (s *session) Close(end hub.End) {
	s.timer.Stop()
	s.p.leave(s)
	code, reason := ended(end)
	kept := s.turns.kept()
	s.p.endings.linger(s.slug, kept)
	s.turns.end(func() {
		s.p.endings.linger(s.slug, -kept)
		s.p.endings.end(s.ending(code, reason))
	})
}

// lost ends what was let in, but never opened.
func (s *session) lost() { s.p.endings.end(s.ending(closeAbnormal, reasonAbnormal)) }

// say sends the client a frame of the gateway's or the integration's.
func (s *session) say(f *hub.Frame) {
	if s.conn.Send(f) == nil {
		s.touch()
	}
}
