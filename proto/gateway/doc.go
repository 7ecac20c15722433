// Package gateway speaks with the clients and backends of WebSocket APIs as Amazon
// API Gateway has them: what a client sends becomes an event for an integration, a
// Lambda function or an HTTP server, and these reach clients by the @connections
// API, with AWS's own SDKs. What events and answers mean is package gateway's at
// the root of the project, how backends are called is gateway/invoke's. Section
// numbers are those of the specification of API Gateway in this project.
//
// # The dialogue
//
// What the backends see is in brackets.
//
//	C: GET /dev?Auth=myFakeToken                              Upgrade: websocket
//	   [the authorizer is asked, and then $connect: {"statusCode":200}]
//	S: 101
//	C: {"message":"hello Matteo","action":"push"}             [route push; nothing is said]
//	   POST /dev/@connections/L0SM9cOFvHcCIhw%3D {"status":"done"}  → 200
//	S: {"status":"done"}
//	C: {"action":"nope"}                                      [no such route, and no $default]
//	S: {"message": "Forbidden", "connectionId":"L0SM9cOFvHcCIhw=", "requestId":"Qyi3UG41tjMFlUg="}
//	C: closes, without a code                                 [$disconnect: 1005]
//	   POST /dev/@connections/L0SM9cOFvHcCIhw%3D              → 410, x-amzn-ErrorType: GoneException
//
// # Which API and stage
//
// A host of an API's own, or {apiId}.execute-api.{region}.amazonaws.com, names the
// API, and all paths of it are the API's: /{stage}, or nothing for the default
// stage, which is $default if there is one and else the first. Otherwise the host or
// the first segment of the path names the app, or it is the default one, and then
// come /{stage}, of the first API of the app that has one of that name, or
// /{apiId}/{stage}. Other protocols' paths go first there. What names no stage of an
// app that has APIs is answered 403, a GET of a stage without an upgrade 426.
//
// # The management API
//
// Behind the stage, or without one at the default stage, signed with an access key
// of the app for the service execute-api:
//
//	POST   @connections/{id}   the body as one message; X-Frame-Type: text or binary
//	GET    @connections/{id}   connectedAt, identity, lastActiveAt
//	DELETE @connections/{id}   ends it; ?code=4401&reason=… is Earshot's own
//
// A key may do what its Allow says: execute-api:ManageConnections, with a pattern
// behind a colon of the API's id, of {apiId}/{stage}, or of
// {apiId}/{stage}/{METHOD}/@connections/{id}. Every node answers for connections of
// every other. A post that would be more than may wait for the client is answered
// 429 and harms nobody; the attempts of one call of an SDK
// (amz-sdk-invocation-id) post once, as far as they are among the last 256 of their
// connection. Posts that one caller makes one after another arrive in their order.
//
// # Channels
//
// What API Gateway lacks: connections hear channels of their app. An answer of
// $connect or of a message says so in members of its own,
//
//	{"statusCode": 200, "join": ["news"], "leave": ["weather"], "envelope": true}
//
// and so does the management API, where {name} is percent-encoded:
//
//	PUT    @connections/{id}/@channels/{name}   joins; ?envelope=true
//	DELETE @connections/{id}/@channels/{name}   leaves
//	POST   @channels/{name}                     publishes the body; ?event=…
//
// A message is heard as its data alone, as a POST of it would be: a text, the JSON
// value as it was written, or bytes in a binary message. With envelope, event and
// channel come with it, in {"channel":…,"event":…,"data":…}: a text is a string
// then, and bytes are a string in base64 beside "isBase64Encoded":true; event is
// left out where there is none. Joining again in the other form changes it.
//
// A published body is what Content-Type (application/json, text/…) or X-Frame-Type
// say; where they do not, it is JSON if it is a JSON value, else text if it is
// UTF-8, else binary. It may have 32 KiB, as every message of a channel. Channels
// are of the connection's own app, whoever asks, and what is joined is so until it
// is left or the connection ends.
//
// # $disconnect
//
// It is delivered at least once for each connection whose handshake was answered: a
// record of it is written before, and removed when the integration has answered. It follows the messages that had
// come before, which are worked on for a minute at the most. Where the integration
// cannot be reached, is too slow or not there, it is tried 12 times in six
// minutes, and 3 times where the function fails; what is malformed counts as an
// answer. When a node dies, another one delivers for it, and after the only one was
// started again it does so itself: within some fifteen seconds, with code 1006. A
// server that stops delivers for five seconds and leaves the rest to the next. 32
// are delivered at once for each API. While 65,536 of an app wait on a node
// (Config.Ends), since its backend is slower than its clients come and go, it takes
// no more clients there: they are answered 429. So they are while 64 MiB of messages
// wait whose connections have ended.
//
// # Limits
//
// Messages of either side have 128 KiB at the most, of clients also what
// websocket.max_message says; frames may be as large. 256 messages of a connection,
// or 256 KiB of them, wait for their turn; then no more is read from it until there
// is room. They are worked on one after another, or up to 16 at once where the API
// is Concurrent. 4096 handshakes wait for backends at once on a node
// (Config.Handshakes), and a quarter of that of one app; more are answered 429. Throttles count on each node for
// itself, those of an API key for handshakes alone.
//
// # Choices
//
// Where AWS does it differently, or nobody knows (section 17):
//
//   - The throttle comes before the API key, which comes before the authorizer (2).
//   - An id that is not of our form is 400, one that never was, or is of another API
//     or stage, 410; an unknown stage is 403 with {"message":"Forbidden"} (1, 3).
//   - A $connect that answers less than 200 or more than 599 is 502 (4). Refused
//     handshakes have the status's own text, the ids and x-amzn-ErrorType, and never
//     the integration's body (5).
//   - 1003 has the reason "Binary messages are not supported", 1009 what package ws
//     says, 1006 "Connection closed abnormally": for a connection whose bytes just
//     ended, which answered no ping, or whose node died (6).
//   - A rejected handshake has no $disconnect; one that was accepted, and whose
//     client had gone meanwhile, has one with 1006 (7).
//   - A throttled message, by the stage, the route or the app's own client rate, is
//     answered with the message "Too Many Requests" (8), one
//     that selects $connect or $disconnect goes to $default (9), and a route without
//     an integration fails.
//   - The status of a message's answer means nothing (11). A body that is no UTF-8,
//     or is binary, goes as a binary message (14). One of more than 128 KiB fails.
//   - lastActiveAt, and the idle timer, know messages of either side (18), no
//     control frames (21). What channels bring is noticed at the next look, a tenth
//     of the idle time later at the most, so that such a connection may stay that
//     much longer.
//   - A signature of the path as it stands in the request, not encoded once more,
//     is accepted too: curl --aws-sigv4 signs so (9.2).
//   - A POST without a body sends an empty text; one that is no UTF-8 a binary
//     message (19). KB is 1024, and frames are as large as their message (20).
//   - A subprotocol that the client did not offer is left out of the answer, since a
//     client must fail then (RFC 6455 §4.1).
//   - principalId is the connection's user id to the rest of the server, and so is
//     the access key that signed the handshake: limits for each user count for it,
//     and administrators can close the connections of one.
//   - The origin is judged before any backend is asked, as is TLS where it is
//     required. An API or stage that is removed ends its connections with 1001.
//   - Names of headers reach events as the client spells them, with and without TLS
//     here; a proxy in front may have changed them.
//
// # What cannot be said
//
// Of the promises in package prototest these cannot be said, as clients publish by
// the application's functions only, hear no history, and have no proof that ends:
// history then live, resume, pattern, echo rule, acknowledged only when stored,
// refused publish leaks nothing, too large, text and binary, expiry ends it,
// heartbeat beside long work. Those that are about the management API are tests of
// this package.
package gateway
