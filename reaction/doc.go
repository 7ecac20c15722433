// Package reaction keeps the reactions of users to stored messages: for each
// message, user and value at most one.
//
// A change is in a record that all nodes share, as durable as an acknowledged
// message, before it is told; subscribers hear of it by a notice in the
// channel's own log (earshot.ReactionAdded, ReactionRemoved). If a server dies
// between the two, who repeats the change within five minutes has the notice
// published. To add what is there, and to remove what is not, changes nothing
// and tells nobody.
//
// # Records
//
// The first reactions to a message share one record, {"reaction", app, channel,
// message, "-"}, so that a page of messages costs about one record each, read by
// one listing. When that holds enough, further ones are dealt by user to 64
// buckets, {…, message, "00"} to "3f", so that many who react at once to one
// message do not wait for each other and no record grows large. All of them end
// with the message.
package reaction
