// Package notiflux speaks with clients and publishers of notiflux
// (https://github.com/ikornaselur/notiflux, version 0.2.1): topics over a
// WebSocket in text, messages by POST, each permitted by a token. It is the
// smallest of the protocols, and the one to read first.
//
// # The dialogue
//
// Clients connect to GET /ws, without a token, and write commands. What the
// server does is in brackets; it mostly says nothing.
//
//	C: /subscribe news eyJhbGciOiJFUzI1NiJ9…      [hears the topic, if the token permits it]
//	   POST /broadcast {"topic":"news","message":"It rains.","token":"eyJ…"}  → 200, empty
//	S: It rains.
//	C: /unsubscribe news                          [hears it no more]
//	C: /unsubscribe-all                           [hears nothing any more]
//	C: /subscribe news
//	S: Invalid subscribe command, it should be: /subscribe <topic> <token>
//	C: /help
//	S: Unknown command
//	C: hello                                      [is no command: ignored, as binary messages are]
//
// White space around a command does not count; within one it does: single spaces
// separate, and a topic to subscribe to has none. A topic to unsubscribe from is
// all the rest. A subscribe is answered by silence, whether it was refused or
// not, and a message is its text alone: who subscribes to several topics cannot
// tell which one it was sent to.
//
// POST /broadcast takes a JSON object whose members topic, message and token are
// strings, others being ignored, and answers 200 with an empty body even if the
// token permits nothing. It answers 400 to another Content-Type than JSON and to
// what is no such object, and 413 to too much of it. GET /health answers 200.
//
// # Tokens
//
// A token is a JWT signed with ES256 by the private key to one of the app's
// signing keys:
//
//	{"sub": "any text", "exp": 1795345507, "topics": ["news"], "scope": "subscribe"}
//
// All four claims are needed. The scope is subscribe or broadcast, and the topic
// must be one of topics, to the letter. exp may be a minute ago; nbf, iat and iss
// are not looked at, and a token with an aud is refused unless the app asks for
// one. A token is judged when it is shown: that it expires later ends nothing.
//
// The app is that of the token's key (its kid), else the one that host or path
// name, else the default one. The first token that a connection shows settles it;
// after that only tokens of this app are good.
//
// # Topics and channels
//
// A topic is the channel of the same name. Not every name can be both: a channel
// has 1 to 256 characters, 512 bytes at the most, and at most 31 dots; a topic to
// subscribe to has no space and no white space at its ends; and Hotsock's clients
// cannot name channels with *, #, a comma or white space.
//
// A broadcast is a text message without an event's name. Over notiflux a message
// is heard as its text, as the JSON value that it is, or, if it is binary, in a
// binary frame; its event and sender are not told.
//
// # Limits
//
// A message may have 32 KiB (413 beyond), the body of a broadcast 256 KiB, a
// token 8 KiB; a command what websocket.max_message says. Other limits are the
// hub's.
//
// # Choices
//
// Where Earshot is not as the original, or that says nothing:
//
//   - What the original would have done and we cannot is told, since neither side
//     could know otherwise: POST /broadcast answers a permitted message of a topic
//     that can be no channel with 400, one that is too large with 413, and one that
//     the server cannot take now with 503, 504 or 507, all in plain text. A
//     permitted subscribe that cannot be carried out ends the connection with 1013,
//     so that the client comes back; to a topic that can be no channel it is
//     refused in silence.
//   - Where the app requires TLS, a POST /broadcast that did not come over it is
//     answered 403 in plain text, as its token has been told to who listens. That,
//     and from which origin a page comes, is judged of a WebSocket when its app is
//     known: at the handshake, or at a subscribe, which is refused in silence.
//   - Config.Diagnostics adds a header to the 200 that says why nothing was sent.
//   - Channels are what the app's rules say. The app that JWT_PUBLIC_KEY_B64 makes
//     has live channels, as the original has; on a logged channel a broadcast is
//     kept for the resume window, and no history shows it.
//   - A claim that occurs twice counts as it stands last, as everywhere in Earshot.
//   - Where the app's expiry closes (expiry_closes), a token has no minute's leave
//     to subscribe, and a subscription that outlives its token ends the connection:
//     nothing else could tell the client. A newer token for a topic that is
//     subscribed to changes nothing, in the original neither.
//   - A subscribe's sub becomes the connection's user id, the first one that is
//     shown: so administrators can close the connections of a user.
//   - Fragmented messages are taken, and frames larger than 64 KiB up to
//     websocket.max_message; the original ends the connection. A client that is
//     silent is pinged as websocket.ping_every says, and ended after two pings
//     without an answer. JWT_PUBLIC_KEY_B64 makes that 15 seconds, as the original
//     has it.
//   - A GET of /ws that is no upgrade is answered 426, not 400.
//   - An end that we begin has a close code: 1001 when the server stops, 1013 when
//     coming back helps, 1009, 1011, and 1008 for all else.
//
// # What cannot be said
//
// Of the promises in package prototest these cannot be said over notiflux, as
// nothing is confirmed, nothing published over the WebSocket, and nothing resumed:
// confirm first, history then live, resume, pattern, echo rule, acknowledged only
// when stored, refused publish leaks nothing, too large, text and binary, heartbeat
// beside long work, refused before the handshake, subprotocol after a slow backend.
// Those that are about broadcasts are tests of this package.
package notiflux
