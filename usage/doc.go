// Package usage tells what applications use: how much, in each minute, hour and
// day, and how fast just now.
//
// # What is counted
//
// Messages in are those that clients and servers published, and bytes in their
// data; messages out are those that were queued for a client, and bytes out what
// they have in its protocol, without any header of a transport. What is said
// beside messages, as confirmations and heartbeats, is not counted. Calls are
// requests of the app's own servers, auth failures proofs of clients and servers
// that were shown to the app and refused. A message that is taken and then cannot
// be stored is counted; one that breaks a limit is not.
//
// # Buckets
//
// Each node counts by itself, in a Recorder, and writes buckets of its own: for
// every app that did something a minute, the hour and the day that it is in. Nobody
// else ever writes them, and a node that starts again writes others. Reading
// merges what all nodes wrote (Store.Read).
//
// They are kept on pages, minutes by the hour, hours by the day and days by the
// month, so that an app which is used all the time has some thirty records, not a
// thousand. An open page is in memory: that is up to 10 KB for an app in use, and
// nothing for one that is not.
//
// Pages are written when a minute is over, and when a node stops. What is read
// is up to a minute old, and a node that crashes loses what it has counted since
// its last whole minute was written, no more. While the engine cannot be reached,
// pages wait; if it cannot be for long, minutes are given up and counted
// (Stats.Lost), hours and days are not.
//
// Minutes are kept for two hours, hours for two weeks, days for 400 days. All
// times are in UTC.
//
// # Peaks
//
// A peak is how many connections there were at once, at the most. Nodes that run
// at the same time have their peaks added up, though they may have been at
// different moments, so that of several nodes it is a bound from above. A node that
// starts again within a bucket does not count twice: of what did not run at the
// same time, the highest counts.
//
// # Rates
//
// Rates are messages a second over the last 1, 5 and 15 minutes, as a system's
// load is averaged: each five seconds the newest counts by 5/60, 5/300 and 5/900,
// about. A node that starts has averages that begin at 0.
//
// # Choices
//
//   - Usage is kept under the app's number: an app that is given another slug keeps
//     it, and one that takes the slug of another that went has none of that one's.
//     What is counted in the five seconds in which a slug changes hands is the first
//     one's.
//   - A period in which nothing was used has no row.
//   - If a node's clock is set back, it goes on in buckets that add up with the old
//     ones.
package usage
