// Package schedule carries out later what is asked for now: messages that are
// published at a time, writes to a channel's storage, the ends of entries.
//
// A timer is a record that all nodes share. It is as durable as an acknowledged
// message when Set or Add has returned. Every node watches all timers and keeps
// a few words of each in memory, in the order of their times; what they carry
// stays in the store until it is needed.
//
// # Whose turn it is
//
// When its time has come by a node's clock, that node claims the timer: it
// writes its name into the record, by revision, so that one node wins. The winner
// carries out and deletes the record. A claim that another node has seen for five
// seconds without an end is taken over, at once where no other node can be alive.
// A node that could not carry out within four seconds leaves off, before that.
//
// # Once
//
// What a timer does is done under an idempotency key of its own, so that it
// happens once although a node died between doing it and deleting the record, or
// was taken for dead. The engine knows keys for five minutes. Where the first
// attempt is longer ago, as after an outage, a message is looked for in its
// channel's log, where it names its timer. What remains: a message whose store
// has ended by then is published again, and so is one of a live channel, of which
// nothing is kept, if its node died in the milliseconds between the two. A
// promise to publish is kept rather twice than never.
//
// # Order
//
// Timers of one line (a message's is its channel) are carried out in the order of
// their times, those of one time in the order in which they were set, whichever
// nodes they were set on. While one is with a node that does not come to an end
// with it, those of its moment wait for it, and those that are due later for half
// a second, so that they are in time. One that has failed and has to be tried
// again leaves its line, and holds nobody up.
//
// # Time
//
// A timer is due when the clock on the wall of some node says so, and no node is
// early by its own clock. A clock that is set forward or back counts within half
// a second. What became due while no server ran is carried out at the start, in
// the order of the times.
package schedule
