// Package hub is the middle of Earshot: connections, subscriptions, fan-out,
// joins that lose nothing, and the limits that keep one client from harming
// another. It knows no protocol and no engine; it owns the small interfaces
// that it needs of them (Engine, Transport, Handler).
//
// # Shards
//
// Connections are dealt to a few shards. A shard's lock guards the output of
// its connections, its part of every channel's subscriptions and its timing
// wheel. A publish renders the message once for each encoding in use, puts a
// pointer to it into the inbox of each shard that has a subscriber, and
// settles: a small fan-out is written by the publisher's goroutine if the
// shard is free, a large one by the shard's own.
//
// # Order of locks
//
//	peer → room → app → channel → the app's patterns → pattern → shard → inbox
//
// A peer is another node's part of the roster, a room who is present on a
// channel. The locks of the table of apps, of the nodes, of the roster, of this
// node's own part of it and of questions to other nodes guard memory alone: who
// holds one takes no other. Two locks of one kind are never held together. No lock
// is held for I/O, for a channel or for foreign code, except: rendering happens
// under a channel's lock, and the holder of a shard's lock makes non-blocking
// socket writes (Transport.Push and Flush).
//
// # Limits
//
// What an app may use (earshot.Limits) is bounded here, once for all protocols
// and on each node by itself, and what it uses is counted (Hub.AppUses); limit.go
// has the table.
//
// # Order of messages
//
// A channel's messages reach every subscription of a node in one order: the
// stream's for a logged channel, the order of the calls for a live one. An
// inbox is first in, first out, and a connection's output queue too.
//
// # Members
//
// Who is present on a channel is merged from what every node says of its own
// subscriptions, so that all nodes show the same once they have heard the same.
// A room's lock is held while a change is made and its notice put to whoever
// hears the channel, and while a subscription joins with the list of all: what
// it hears goes on where the list ends. Notices of members are made on every
// node for its own subscribers; they are never stored, and have no id.
//
// A member shows what the newest of its living subscriptions joined with or was
// given, and stands in the list where it came first. Of two subscriptions on two
// nodes, newer is what was done later, or after having heard of the other.
package hub
