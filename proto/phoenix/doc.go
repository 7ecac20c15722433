// Package phoenix speaks Phoenix Channels: a WebSocket on which a client joins
// topics, pushes events to them and hears what others push. Unmodified clients of
// phoenix.js of any age connect to it, in V1 (objects, vsn 1.0.0 or none) and in
// V2 (arrays and binary frames, vsn 2.0.0). Section numbers are those of the
// protocol's specification in this project.
//
// # The dialogue
//
// In V2; "1" is the reference of the join, which everything of it carries.
//
//	GET /socket/websocket?vsn=2.0.0, Upgrade, or /socket/SLUG/websocket       B.2
//	> ["1","1","room:lobby","phx_join",{}]                                    B.4
//	< ["1","1","room:lobby","phx_reply",{"status":"ok","response":{}}]
//	> ["1","2","room:lobby","shout",{"x":1}]
//	< [null,null,"room:lobby","shout",{"x":1}]                                to all, the sender too
//	< ["1","2","room:lobby","phx_reply",{"status":"ok","response":{}}]
//	> [null,"3","phoenix","heartbeat",{}]
//	< [null,"3","phoenix","phx_reply",{"status":"ok","response":{}}]
//	> ["1","4","room:lobby","phx_leave",{}]
//	< ["1","4","room:lobby","phx_reply",{"status":"ok","response":{}}]
//	< ["1","1","room:lobby","phx_close",{}]
//
// In V1 each is {"topic":…,"event":…,"payload":…,"ref":…}; join_ref may come, and
// is not sent. A heartbeat is answered before anything that takes long.
//
// # Topics, apps and permissions
//
// A topic is the channel of that very name. Its app is the one that its second
// part names ("public:SLUG:rest"), if there is such an app; else what the URL, the
// host or the connection's token says; else the default app. A socket is of one
// app at a time: it goes over to another one when nothing is joined, and not at
// all if its own token has said which app it is.
//
// What a client may do is what the channel's rule opens to all, and what a JWT
// says (A.7.3): listen and publish are lists of topics, in which ":*" stands for a
// colon and anything, and "*" alone for everything. The JWT is signed with one of
// the app's keys. It is the first of guardian_csrf, csrf_token, guardian_token and
// token in the join's payload, then csrf_token, guardian_token and token of the
// URL, that has three parts; an s_csrf in it binds it to the opaque text beside
// it. Or it comes as phoenix.js's authToken: then it is the connection's, and a
// bad one is refused at the handshake. uid, sub or sub.id is the user's id.
//
// A join that a token permits is answered with {"message":"Joined"}, one that the
// rule opens with {}; a refused one with "authentication_required", or with
// {"error":"invalid_token"} and the like if a token was shown that does not hold.
//
// # Presence
//
// A user is present on a topic if the join's payload has "presence":true, or the
// topic begins with "presence:" or, as Hotsock's, "presence."; it needs a user id.
// The join is followed by presence_state, and then by presence_diff. Those who
// joined otherwise hear nothing of it.
//
// # Limits
//
// 100 topics on a socket (the setting channels); 255 bytes of an event or a
// reference, and of a topic in a binary frame; 32 KiB of data in a message, above
// which a push is answered with an error.
//
// # Choices
//
//   - A push is answered with ok once the message is as safe as its channel
//     promises, so that push().receive("ok") works. A.7.2's rooms do not answer;
//     clients that do not wait ignore it. A refused push is answered with a reason.
//   - A broadcast goes to its sender too, unless the token has a claim echo, a list
//     like publish of the topics where it does.
//   - What is pushed is not kept for history, on a logged channel either: a join
//     hears what is live, and the push does not wait for the disk. Whether a channel
//     is live is its rule, the same for all protocols: `live = true` for "room:*"
//     makes of a topic what it is in Phoenix.
//   - A key in presence is a user, with one meta: the newest metadata of all its
//     connections, whose members stand beside phx_ref (any other value as "umd").
//     phx_ref follows from user and metadata, so that all nodes say the same. Newer
//     metadata is told by presence_state again, out of which clients find the
//     difference; the notices of the hub do not know what was before.
//   - Binary messages are dropped for V1, and counted (B.3.3).
//   - A message without an event is heard as "message"; JSON null as {}, since
//     clients read members of every payload (B.10).
//   - Events that begin with phx_ are nobody's; presence_state and presence_diff are
//     the application's server's, and not its clients'.
//   - A frame that cannot be read ends the connection: 1007, binary in V1 1003, a
//     missing field 1008. No connection is closed with 1000, as clients from 1.6.3
//     to 1.8.12 would not come back (B.8); a drain says 1012.
//   - An s_csrf is compared under each HMAC key of the app.
//   - A join whose own token expires, where the app ends it, gets phx_error: the
//     client joins again, perhaps with a newer one.
//   - Who shows a token by the URL or a join is known by its user id on that topic
//     alone: a kick by user id finds connections with an authToken.
//   - The idle timeout is the WebSocket's: clients are pinged, and the connection of
//     one that does not answer ends with 1001 (B.5).
//   - The body of a refused handshake says why; no client can see it (B.2).
//   - Long polling (B.6) is not served.
//
// Of the promises of package prototest, it cannot say these: pattern (clients join
// topics only), history then live and resume (messages have no id).
package phoenix
