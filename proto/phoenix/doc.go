// Package phoenix speaks Phoenix Channels: a WebSocket, or long polls, on which a
// client joins topics, pushes events to them and hears what others push. Unmodified
// clients of phoenix.js of any age connect to it, in V1 (objects, vsn 1.0.0 or none)
// and in V2 (arrays and binary frames, vsn 2.0.0), and those of Ex Pusher Lite with
// them. Section numbers are those of the protocol's specification in this project.
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
// Topics are live where no rule of the app says that they are logged: a name with a
// colon before any dot is a topic, for all protocols (earshot.IsTopic). A topic
// "public:SLUG", with anything behind it, is open to everybody where no rule of the
// app says otherwise (App.Rule): the rule that matches takes the place of both, so
// that `match = "public:*"`, `live = true` and `open = ["subscribe"]` leave
// publishing to the servers and to tokens, and without open, listening too. A public
// topic that names no app is refused with "unknown app", unless the setting
// open_public opens them all.
//
// What else a client may do is what the channel's rule opens to all, and what a JWT
// says (A.7.3): listen and publish are lists of topics, in which ":*" stands for a
// colon and anything, and "*" alone for everything. The JWT is signed with a signing
// key of the app, or by HS256, HS384 or HS512 with one of its secrets, the newest
// first; with its key only where the app says so (KeySigned), since that is no
// secret. exp, nbf and iat have a minute of leeway. It is the first of guardian_csrf,
// csrf_token, guardian_token and token in the join's payload, then csrf_token,
// guardian_token and token of the URL, that has three parts; an s_csrf in it binds
// it to the opaque text beside it. Or it comes as phoenix.js's authToken: then it is
// the connection's, and a bad one is refused at the handshake. uid, sub or sub.id is
// the user's id.
//
// A join that a token permits is answered with {"message":"Joined"}, one that is
// open to all with {}; a refused one with "authentication_required", or with
// {"error":"invalid_token"} and the like if a token was shown that does not hold.
//
// # Rooms
//
// A topic whose second part is its app's slug is a room of Ex Pusher Lite's (A.7).
// What is pushed to it goes to everybody in it, the sender too, and is not answered;
// a push that its client may not make is answered with an error and {}, and one over
// ten in a second with {"reason":"rate limited"}. An app's client rate takes the
// place of the ten. Other topics are answered with ok.
//
// # Long polls
//
//	GET  /socket/longpoll?vsn=2.0.0, or /socket/SLUG/longpoll                 B.6
//	< {"status":410,"token":"T","messages":[]}                                a new session
//	POST …&token=T                     ["1","1","room:lobby","phx_join",{}]
//	< {"status":200}
//	GET  …&token=T                                                            waits 10 s
//	< {"status":200,"token":"T","messages":["[\"1\",\"1\",\"room:lobby\",…]"]}
//
// HTTP's status is 200, the body's is the protocol's: 204 where nothing came or a
// second poll took over, 410 for a new session, also to who had one that is gone,
// 403 for who may not connect, 408 for a post that is not handled within ten
// seconds (or does not get its turn, as a node takes 32 large ones at a time), and
// 500 for what may pass. A post of application/x-ndjson holds up to a
// hundred lines, text or binary in base64; any other is one message. A body has
// 8 MiB and a message 128 KiB, above which 413 is answered; 400 is for what cannot
// be read. Nothing of a post is carried out that is refused by either. The messages
// of an answer are texts in V2 and objects in V1. A session that nobody polls for
// 15 seconds ends.
//
// A token says which node has the session. It is signed with a key that all nodes
// share and that restarts do not change: a record of the engine, {"phoenix",
// "longpoll"}, which the first node makes that needs it. A request that comes to
// another node is carried to that one (hub.CallAt); when that is dead, the session
// is gone. Authentication by X-Phoenix-AuthToken is authToken's, raw.
//
// # Presence
//
// A user is present on a topic if the join's payload has "presence":true, or the
// topic begins with "presence:" or, as Hotsock's, "presence."; it needs a user id.
// The join is followed by presence_state, and then by presence_diff. Those who
// joined otherwise hear nothing of it. Each connection of a user is a meta of its
// key, with the metadata of its token (B.7); but on "presence." channels, where
// Hotsock's users are present too, a user has one, the newest of all. Newer metadata
// is one presence_diff: the new meta, with phx_ref_prev, among the joins, and the
// one before among the leaves. The metas of a node that dies leave within ten
// seconds.
//
// # History
//
// A join with {"history":true} hears what was said before, on a logged topic: after
// the answer, as normal events, the 20 newest messages of the last five minutes. With
// {"since":…}, up to 256 of them that came later than that: since is a message's id,
// as the HTTP API and Hotsock tell it, or milliseconds since 1970. An app with a
// replay setting has its own number and time, and replays to all who do not say
// {"history":false}; what is pushed is stored so long. A live topic has no history.
//
// # Limits
//
// 100 topics on a socket (the setting channels, or the app's own); 10,000 sessions of
// long polls on a node (polls); 255 bytes of an event or a reference, and of a topic
// in a binary frame; 32 KiB of data in a message, above which a push is answered with
// an error.
//
// # Choices
//
//   - A push to what is no room is answered with ok once the message is as safe as
//     its channel promises, so that push().receive("ok") works. A refused one is
//     answered with a reason.
//   - A broadcast goes to its sender too, unless the token has a claim echo, a list
//     like publish of the topics where it does.
//   - The flag of client publishing (A.7.2) is the app's rule for the topic.
//   - Rooms have ten pushes at once and ten a second; an app's own rate may have saved
//     up ten seconds (hub).
//   - Who may join a logged topic may ask for its short history: what a client hears
//     so is bounded to five minutes where the app has not said more.
//   - What is pushed is not kept for history that other protocols show, on a logged
//     channel either, unless the app replays; the push does not wait for the disk.
//   - A key in presence is a user's id. Metadata's members stand beside phx_ref (any
//     other value as "umd"). phx_ref follows from user, connection and metadata, so
//     that all nodes say the same.
//   - Binary messages are dropped for V1 and for long polls, and counted (B.3.3, B.6).
//   - A client of 1.3 or newer that asks for V1 over long polls gets objects, as all
//     of V1 do; nobody has seen one.
//   - A message without an event is heard as "message"; JSON null as {}, since
//     clients read members of every payload (B.10).
//   - Events that begin with phx_ are nobody's; presence_state and presence_diff are
//     the application's server's, and not its clients'.
//   - A frame that cannot be read ends the connection: 1007, binary in V1 1003, a
//     missing field 1008. No connection is closed with 1000, as clients from 1.6.3
//     to 1.8.12 would not come back (B.8); a drain says 1012. A session of long polls
//     has no code: its next poll is answered 410.
//   - An s_csrf is compared under each HMAC key of the app.
//   - A join whose own token expires, where the app ends it, gets phx_error: the
//     client joins again, perhaps with a newer one.
//   - Who shows a token by the URL or a join is known by its user id on that topic
//     alone: a kick by user id finds connections with an authToken.
//   - An origin is judged at the handshake by the app that host or path name, else at
//     the join: {"reason":"origin not allowed"} (A.10), and {"reason":"tls required"}
//     for who came without where the app requires it. Browsers may poll from any page
//     (Access-Control-Allow-Origin is *), since nothing but the token says who they are.
//   - A join of a topic that is joined already is answered, and then the old one is
//     closed, before anything else of the new one (B.4).
//   - The idle timeout is the WebSocket's: clients are pinged, and the connection of
//     one that does not answer ends with 1001 (B.5).
//   - The body of a refused handshake says why; no client can see it (B.2).
//
// Of the promises of package prototest, it cannot say these: pattern (clients join
// topics only), history then live and resume (messages have no id).
package phoenix
