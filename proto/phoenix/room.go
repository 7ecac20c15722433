package phoenix

import (
	"strings"

	"golang.org/x/time/rate"

	"github.com/earshot-io/earshot"
)

// roomRate is how many messages in a second a client may push to rooms, where its
// app says nothing of it (A.7.2), and roomBurst how many at once.
const (
	roomRate  = 10
	roomBurst = 10
)

// publicScope is the scope of rooms that are open to everybody.
const publicScope = "public"

// isRoom reports whether a topic is a room of Ex Pusher Lite's: one whose second
// part is its app's slug (A.7). With open public topics, every one of that scope is.
func (p *Protocol) isRoom(topic string, a *earshot.App) bool {
	return slugOf(topic) == a.Slug || p.config.OpenPublic && isPublic(topic)
}

func isPublic(topic string) bool {
	scope, _, ok := strings.Cut(topic, ":")
	return ok && scope == publicScope
}

// opened is what open public topics allow on one of them: everything that a public
// room does.
func opened(topic string) []earshot.Grant {
	return []earshot.Grant{{Channel: earshot.Exact(channelOf(topic)), Allow: earshot.Subscribe | earshot.Publish}, hearsItself()}
}

var errRate = earshot.Errorf(earshot.Limited, rateLimited)

// pace fails if a client pushes to rooms faster than it may. An app's own limit
// takes the place of this one.
func (s *session) pace(room bool) error {
	if !room || s.conn.App().Limits.ClientRate > 0 {
		return nil
	}
	if s.rate == nil {
		s.rate = rate.NewLimiter(roomRate, roomBurst)
	}
	if !s.rate.Allow() {
		return errRate
	}
	return nil
}

// refusedPush is the response of a push that was refused (A.7.2): a room says
// nothing of why its client may not.
func refusedPush(err error, room bool) []byte {
	switch e := earshot.AsError(err); {
	case e.Code == earshot.Limited:
		return because(rateLimited)
	case room && e.Code == earshot.Forbidden:
		return []byte("{}")
	}
	return because(reasonOf(err))
}
