package earshot

import (
	"slices"
	"time"
)

// An Action is something a client may do on a channel. Actions are bits, so
// that a set of them is one too.
type Action uint32

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
	// Uncounted is to be left out of the channel's number of subscriptions.
	Uncounted
	// UpdateMeta is to replace one's metadata on the channel by a newer proof.
	UpdateMeta
	// Observe is to be told of changes to entries of the channel's storage,
	// ReadEntry to read and WriteEntry to write them.
	Observe
	ReadEntry
	WriteEntry
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
	// Events refine the grant by event name, Entries by key of the channel's storage.
	Events  []EventGrant
	Entries []EntryGrant
}

// An EventGrant is what a grant says of the events that match.
type EventGrant struct {
	Event       Pattern
	Allow, Deny Action
	// Store is how long history shows the messages; see Message.Store.
	Store time.Duration
	// ScheduleBefore is the latest moment that a message may be scheduled for;
	// zero for none.
	ScheduleBefore time.Time
	// React says which reactions to the messages are permitted.
	React Reactions
}

// An EntryGrant is what a grant says of the entries of the channel's storage
// whose keys match.
type EntryGrant struct {
	Key         Pattern
	Allow, Deny Action
	// Store is how long what is written stays; 0 says nothing of it.
	Store time.Duration
	// ScheduleBefore is the latest moment that a write may be scheduled for;
	// zero for none.
	ScheduleBefore time.Time
}

// Reactions are the values that a client may react with. The zero Reactions
// permit none.
type Reactions struct {
	// Any permits every value, Values those listed. Deny forbids all.
	Any    bool
	Deny   bool
	Values []string
}

// Permits reports whether a value is permitted.
func (r Reactions) Permits(value string) bool {
	return !r.Deny && (r.Any || slices.Contains(r.Values, value))
}

// or merges what two grants say.
func (r Reactions) or(more Reactions) Reactions {
	if r.Values == nil {
		r.Values = more.Values
	} else if more.Values != nil {
		r.Values = append(slices.Clone(r.Values), more.Values...)
	}
	r.Any = r.Any || more.Any
	r.Deny = r.Deny || more.Deny
	return r
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
	// ScheduleBefore is the latest that any matching event or entry grant allows.
	ScheduleBefore time.Time
	// React is what all matching event grants permit together.
	React Reactions
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
		t.add(g.Allow, g.Deny, g.Store, g.ScheduleBefore)
		t.React = t.React.or(g.React)
	}
}

// add merges what one event or entry grant says.
func (t *Terms) add(allow, deny Action, store time.Duration, before time.Time) {
	t.Allow |= allow
	t.Deny |= deny
	if longer(store, t.Store) {
		t.Store = store
	}
	if before.After(t.ScheduleBefore) {
		t.ScheduleBefore = before
	}
}

// OnEntry merges the grants that match an entry of the channel's storage. Store
// is Forever where no grant says how long what is written stays.
func (id *Identity) OnEntry(channel, key string) Terms {
	var t Terms
	for i := range id.Grants {
		if g := &id.Grants[i]; len(g.Entries) > 0 && g.Channel.Match(channel) {
			t.addEntries(g.Entries, key)
		}
	}
	if t.Store == 0 {
		t.Store = Forever
	}
	t.Allow &^= t.Deny
	return t
}

func (t *Terms) addEntries(grants []EntryGrant, key string) {
	for i := range grants {
		g := &grants[i]
		if !g.Key.Match(key) {
			continue
		}
		t.add(g.Allow, g.Deny, g.Store, g.ScheduleBefore)
	}
}

// MayObserve reports whether any grant opens entries of the channel's storage.
func (id *Identity) MayObserve(channel string) bool {
	for i := range id.Grants {
		g := &id.Grants[i]
		if !g.Channel.Match(channel) {
			continue
		}
		for j := range g.Entries {
			if g.Entries[j].Allow.Has(Observe) {
				return true
			}
		}
	}
	return false
}

// EntryKeys returns the keys of the channel's storage that grants open for an
// action by their names, in no order and before any Deny. exact is false if
// patterns open others beside them.
func (id *Identity) EntryKeys(channel string, a Action) (keys []string, exact bool) {
	exact = true
	for i := range id.Grants {
		g := &id.Grants[i]
		if len(g.Entries) == 0 || !g.Channel.Match(channel) {
			continue
		}
		for j := range g.Entries {
			if !g.Entries[j].Allow.Has(a) {
				continue
			}
			name, literal := g.Entries[j].Key.Literal()
			if !literal {
				exact = false
				continue
			}
			keys = append(keys, name)
		}
	}
	return keys, exact
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
