package earshot

import "time"

// An Action is something a client may do on a channel. Actions are bits, so
// that a set of them is one too.
type Action uint16

// The actions.
const (
	// Subscribe is to hear the channel.
	Subscribe Action = 1 << iota
	// AutoSubscribe is to be subscribed when the connection opens; it implies Subscribe.
	AutoSubscribe
	// Publish is to publish while subscribed.
	Publish
	// Broadcast is to publish whether or not subscribed.
	Broadcast
	// Echo is to hear one's own messages.
	Echo
	// Emit is that a message is told to the application's own server too.
	Emit
	// Info is to ask for the channel's state.
	Info
)

// Has reports whether all of b are in a.
func (a Action) Has(b Action) bool { return a&b == b }

// A Grant is what an identity may do on the channels that match.
type Grant struct {
	Channel Pattern
	// Allow and Deny hold what is said of the channel; what neither holds is
	// left to other grants. A Deny wins over every Allow.
	Allow, Deny Action
	// Alias is the client's own name for the channel, empty for none.
	Alias string
	// HistoryStart is the oldest moment of history that may be read; nil leaves
	// it to the start of the subscription, the zero Unix time opens everything.
	HistoryStart *time.Time
	// Events refine the grant by event name.
	Events []EventGrant
}

// An EventGrant is what a grant says of the events that match.
type EventGrant struct {
	Event       Pattern
	Allow, Deny Action
	// Store is how long history shows the messages; see Message.Store.
	Store time.Duration
}

// An Identity is who a client is and what it may do, as its proof said. It is
// shared and never changed; new proof makes a new Identity.
type Identity struct {
	// App is the slug of the client's application.
	App string
	// UID is the user id; HasUID tells an anonymous client from an empty name.
	UID    string
	HasUID bool
	// Meta is the user's metadata as a JSON value; nil for none.
	Meta []byte
	// Grants are merged: every one that matches counts.
	Grants []Grant
	// Expires is when the proof ends, zero for never. Whether that ends the
	// connection is the application's choice.
	Expires time.Time
}

// Terms are an identity's merged grants for one channel and event.
type Terms struct {
	// Allow holds what is allowed, after every Deny; Deny what was denied.
	Allow, Deny Action
	// Store is the longest that any matching event grant allows.
	Store time.Duration
	// HistoryStart is the earliest that any matching grant opens, nil for none.
	HistoryStart *time.Time
}

// On merges the grants that match channel; event grants count if event is not
// empty. Directives merge one by one: an explicit denial wins over every
// permission, whatever order or precision the patterns have.
func (id *Identity) On(channel, event string) Terms {
	var t Terms
	for i := range id.Grants {
		g := &id.Grants[i]
		if !g.Channel.Match(channel) {
			continue
		}
		t.Allow |= g.Allow
		t.Deny |= g.Deny
		if g.HistoryStart != nil && (t.HistoryStart == nil || g.HistoryStart.Before(*t.HistoryStart)) {
			t.HistoryStart = g.HistoryStart
		}
		if event != "" {
			t.addEvents(g.Events, event)
		}
	}
	t.Allow &^= t.Deny
	return t
}

func (t *Terms) addEvents(grants []EventGrant, event string) {
	for i := range grants {
		g := &grants[i]
		if !g.Event.Match(event) {
			continue
		}
		t.Allow |= g.Allow
		t.Deny |= g.Deny
		if longer(g.Store, t.Store) {
			t.Store = g.Store
		}
	}
}

// longer compares two Stores, Forever being the longest.
func longer(a, b time.Duration) bool {
	if a == Forever || b == Forever {
		return a == Forever && b != Forever
	}
	return a > b
}

// With returns an identity that has the grants of both; who it is, and when it
// expires, comes from more. Neither is changed.
func (id *Identity) With(more *Identity) *Identity {
	both := *more
	both.Grants = append(append([]Grant(nil), id.Grants...), more.Grants...)
	return &both
}
