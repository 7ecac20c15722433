// Package ws is the WebSocket edge (RFC 6455, RFC 7692): it answers upgrades,
// finds the protocol that each is for, and cuts frames into messages and
// messages into frames on package transport.
//
// # Routing
//
// One table decides, before any mux: the path, and the subprotocols that the
// client offers, name the entry; the host, or a first path segment that is an
// application's slug, names the application. Nothing is redirected, since
// WebSocket clients do not follow. A request that is no upgrade, or whose path
// is not in the table, is left to the mux.
//
// # The handshake
//
// The protocol's Admit has its say before the answer, however long it takes
// within Config.HandshakeTime, and chooses the subprotocol. A refusal is an HTTP
// answer: a *proto.Refusal as it stands, any other error by its code as
// {"error":{"code":"…","message":"…"}}, with Retry-After where coming back helps.
// What did not come over TLS to an application that requires it is refused with 403,
// and so is an Origin that the application does not list; a client without an
// Origin is no browser and is not.
//
// # Frames
//
// Messages may have Config.MaxMessage bytes, decided at the frame header that
// would cross it (1009), in at most 128 fragments. Text is checked to be UTF-8
// (1007). A client may send ten control frames a second, and a hundred at once
// (1008). Other violations of RFC 6455 are closed with 1002.
//
// With Config.Deflate, clients that can are sent compressed frames. They are
// compressed once and shared, so both sides give up context takeover, and the
// window is 15 bits; other offers are accepted without compression.
package ws
