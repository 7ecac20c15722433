// Package entry is the storage of channels: named JSON values that clients and
// servers write, read and observe.
//
// An entry is a record that all nodes share, {"entry", app, channel, key}. A
// write is in that record, as durable as an acknowledged message, before it is
// told: observers hear of it by a notice in the channel's own log
// (earshot.EntryChanged), so that they miss none that a subscriber to the channel
// would not miss, and never see an older value after a newer one, whichever nodes
// wrote them. If a server dies between the two, who repeats the write within five
// minutes has the notice published.
//
// # What counts as a change
//
// A write of a value that is equal to the one before tells nobody. Equal is meant
// as JSON (Equal): the order of an object's members does not matter, and 1, 1.0
// and 1e0 are one number; numbers are compared exactly, not as floating point.
// Such a write still says how long the entry stays from now on; who wrote it last
// is who last changed it. Null and {} clear an entry.
//
// # Expiry
//
// From the moment that an entry expires, no read shows it. Observers are not told.
// Where its last writer had events emitted, an event with Expired follows; a
// Waker brings it about.
package entry
