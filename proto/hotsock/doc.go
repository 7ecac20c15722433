// Package hotsock speaks the protocol of Hotsock: a WebSocket with text frames
// of JSON, whose token says what the client may do. Unmodified clients of
// Hotsock connect to it; it is also the native protocol of Earshot.
// Section numbers are those of the protocol's specification in this project.
//
// # The dialogue
//
//	GET /v1?token=JWT, Upgrade (at /, /v1 and /v1/)          §2.1, R1
//	< {"event":"hotsock.connected","data":{…},"meta":{…}}    §2.4, R2
//	< {"event":"hotsock.subscribed","channel":"a","data":{"autoSubscribed":true},…}
//	> {"event":"hotsock.subscribe","channel":"c"}            §2.3
//	< {"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":null,"umd":null}}
//	> {"event":"greeting","channel":"c","data":{"any":"JSON"}}
//	< {"id":"01J…","event":"greeting","channel":"c","data":…,"meta":{"uid":…,"umd":…}}
//	> {"event":"hotsock.unsubscribe","channel":"c"}
//	< {"event":"hotsock.unsubscribed","channel":"c","data":{}}
//	> {"event":"hotsock.umdUpdate","channel":"c","data":{"token":"JWT"}}
//	< {"event":"hotsock.umdUpdated","channel":"c","data":{},"meta":{…}}
//	> {"event":"hotsock.ping"}       < {"event":"hotsock.pong","data":"{}"}
//	> {"event":"hotsock.heartbeat"}  (no answer)
//	< {"event":"hotsock.error","channel":"c","error":{"code":"…","message":"…"}}
//
// A publish is answered only if it fails. A bad token is refused at the upgrade,
// by 401 or 403 and {"error":{"code":"…","message":"…"}}; a token for one use
// whose store is down by 503. Commands of one client are carried out in their
// order; ping, pong and heartbeat do not wait for them.
//
// On a presence channel, one whose name begins with "presence.", the
// confirmation has data.members, and hotsock.memberAdded, memberUpdated and
// memberRemoved follow (§2.6). README.md of this package has a table of all
// features, each with the test that shows it.
//
// # The client's HTTP API
//
// POST /connection/NAME?connectionId=…&connectionSecret=…, with a body of JSON
// whatever its Content-Type (§5, R22), for the NAMEs of Protocol.endpoints. A
// request may arrive at any node: the one that holds the connection carries it
// out, and it alone can judge the secret, which it derives from the id. What the
// client may do is what its connect token says, and on a channel that it is
// subscribed to what that subscription's own token added.
//
// # Two extensions
//
// Resume. A subscribe may have data.after: the id of the last message seen, or
// "0" for the beginning of what is stored. The confirmation's data then holds
// "recovered", everything missed follows it, and then what is live. Recovered is
// false if something after that place may be lost, for example because it was
// evicted, because the id is of a live channel, or because the client may not
// have it. What there is follows in any case. It includes messages that were not
// stored for history, within the resume window (5 minutes).
//
// A resume reaches back to historyStart. Without that claim, ids open nothing,
// since they can be made up: the client shows that it was there before. With
// data.resume "" it asks for a ticket, which comes as data.resume of the
// confirmation. Shown at a later subscribe of the same user to the channel,
// {"after":ID,"resume":TICKET}, it opens what was published since the first
// one, over the resume window; without after, it goes on where the earlier
// subscription began. The ticket is signed with the app's publish key; nothing
// is remembered, and it is good on every node and after a restart. A live
// channel has none.
//
// Refresh. {"event":"hotsock.refresh","data":{"token":"JWT"}} replaces the
// connection's token by another one with scope connect and the same uid:
//
//	< {"event":"hotsock.refreshed","data":{"tokenExpiresAt":"…"},"meta":{…}}
//	< {"event":"hotsock.unsubscribed","channel":"c",…}   for each that ended
//
// Every subscription is judged anew, with the permissions that its own token
// added. A refused refresh is a hotsock.error without a channel, and changes
// nothing. Heartbeat and keepAlive become those of the new token; its
// autoSubscribe does nothing.
//
// # What a message becomes
//
// JSON is data as it is, none is null. Text is a JSON string. Binary is a string
// of base64, and a member "encoding":"base64" stands beside data. A message
// without an event, of a protocol that has none, has the event "message". One
// whose event begins with "hotsock." is not delivered: it would pass for the
// server's word. A client's data is always JSON, and all frames are text.
//
// What this protocol cannot say, by the names of proto/prototest: "pattern", as
// clients subscribe to channels only; "text and binary", as all frames are text;
// "acknowledged only when stored", as a client's publish is answered only if it
// fails (POST /publish is acknowledged, and is not part of this package);
// "subprotocol after a slow backend", as there is none (§2.1).
//
// # Limits
//
// Data 32 KiB (MESSAGE_TOO_LARGE; the connection stays); uid 128 characters, umd
// 1 KiB, the members of a channel 100 KiB, a token 8 KiB, the body of a request
// 64 KiB, a channel's name 256 characters, 512 bytes and 32 levels
// between dots, an event's name 128 characters; 100 messages or 1 MiB a page, and
// two pages of one connection at once: further requests wait.
//
// # Choices where the specification says UNKNOWN
//
// Envelope (§2.2). Strict: one JSON object in UTF-8; a name that occurs twice,
// at any level, and a known member of another type are an error (INVALID_MESSAGE)
// that leaves the connection open. A null is as good as absent. What is not known
// is ignored; that goes for deduplicationId, eagerIdGeneration, store and
// emitPubSubEvent of a message over the socket too. An event that begins with
// "hotsock." and is none is UNKNOWN_EVENT.
//
// Errors (§2.5). hotsock-js knows four codes and leaves a subscription pending
// for any other, so a subscribe fails with one of those (R14); error.reason then
// says more. While the log does not answer, a subscribe waits for it, half a
// minute at most: the client would take a refusal for final. error.message is
// for people. An error about an alias names the
// channel, and the alias in meta.channelAlias.
//
// The answers of the HTTP API are {"error":{"code","message"}} with the status of
// the code: 400, 401 (the id and the secret are not those of an open connection),
// 403, 404, 409, 413, 429, 503, 504 (it may have been carried out), 507. A
// connection that is not there and a wrong secret look the same.
//
// Presence (§2.6). Members are listed in the order in which they came. A user with
// several connections is shown with what the newest of those that are there said.
// KB are 1,024 bytes, and a user counts once; who does not make it more may always
// change. Notices are not history, and a resume does not bring them. A token for
// one use is used up before the others see its user.
//
// Metadata (§2.6). An update is confirmed by hotsock.umdUpdated, without a channel
// for the connection's; between it and memberUpdated there is no order. A token of
// scope umd may be for one use; what it does not permit does not use it up. One
// without umd takes the metadata away. Without a subscription the answer is NOT_SUBSCRIBED, and
// without the claim UMD_UPDATE_PERMISSION_DENIED. An update that propagates and
// finds one presence channel too full changes nothing. A connection that comes and
// goes on a large presence channel without end, or changes its metadata so, waits
// up to ten seconds for each answer; over HTTP, PRESENCE_BUSY says so.
//
// The state of a channel (§5). Without getInfo: INFO_PERMISSION_DENIED. The number
// is that of all nodes; one that does not answer within half a second is left out.
//
// Reactions (§2.7). To add what is there and to remove what is not is no error and
// tells nobody. Whether the sender hears its own is up to echo of the event
// hotsock.messageReaction; that it may, to react of the message's event, for
// removing too. It reads the message as history would show it: what it may not
// read is MESSAGE_NOT_FOUND. Others are REACTION_PERMISSION_DENIED,
// REACTION_USER_ID_REQUIRED, INVALID_REACTION and REACTION_LIMIT_REACHED (a user
// has 50 values on a message). Success is not answered over the socket. A reaction
// is not scheduled, and the answer to publishMessage has no id of it. In history
// values are listed in the order in which they came first. A server reacts in the
// name of data.uid.
//
// Channel storage (§2.8, §3.5). Values are equal as JSON: the order of members does
// not matter, and numbers are compared by their exact value, so 1 is 1.0. A write
// of an equal value tells nobody and leaves who wrote; the entry stays from then on
// for as long as that write's store says. Clearing is told as null. Entries are
// listed, and sent to a new subscription, in the order of their keys' bytes, a
// hundred a page of channelStorageList, where "more":true says that there are
// others behind the last. meta of a server's write is {"uid":null,"umd":null}; an
// entry that is not there has null for data and meta. An empty list of keys asks
// for none. Success of channelStorageSet is not answered over the socket. Refused:
// STORAGE_PERMISSION_DENIED, INVALID_STORAGE_KEY (white space counts as a space),
// MESSAGE_TOO_LARGE, TOO_MANY_KEYS, STORAGE_BUSY (too many write one entry). What a
// refreshed or further token lets observe besides is not sent again until the next
// subscribe. A subscribe that resumes is sent the entries too; changes that they
// hold already are left out of what it missed.
//
// Keys (§3.1). Package auth says which key is tried, and that there is no leeway.
//
// Claims (§3.2 to §3.6). A wrong type, a value out of range and a bad regular
// expression refuse the token. An alias or autoSubscribe on a pattern, an alias
// that is no channel name or is taken in the token, are ignored. A * matches an
// empty run too; a regular expression is not anchored. Of several store the
// longest counts, of several historyStart the earliest. A false in one token of a
// subscription vetoes a true in the other; autoSubscribe with subscribe:false is
// refused. A subscribe token without uid or umd leaves the connection's.
//
// Schedules (§4.1, §8.8, §8.12). On a socket, one is not answered unless it fails;
// by HTTP the answer has scheduleArn, and no id: a message gets that when it is
// published. A time that has passed by more than a minute is SCHEDULE_PAST, one
// that passed since is at once. A time that the zone's clocks skip is as much
// later as they do, of one that comes twice the first counts; what is no
// at(…) or no zone is INVALID_SCHEDULE. Later than scheduleBefore, or without it:
// SCHEDULE_PERMISSION_DENIED; of several the latest counts. What may be published
// is asked when it is scheduled, and not again: the sender may be gone by then.
// Without echo, the connection that scheduled does not hear the message if it is
// still there. Of two messages with one deduplicationId that are due within five
// minutes the first is published. A schedule is cancelled by DELETE /schedules/{id}.
//
// Lifetime (§2.10). Connections last until they end; connectionExpiresAt says
// two hours, or less if the app closes expired ones, or the configured lifetime,
// which is kept. A heartbeat that is late by more than the grace closes with
// 1008; only hotsock.heartbeat counts as one.
//
// HTTP (§5). An alias names its channel there too. An empty after or before is
// none.
package hotsock
