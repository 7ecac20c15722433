// Package stream carries dialogues on plain TCP streams, or TLS ones: what
// STOMP and MQTT clients speak that are no browsers. The protocol must be a
// proto.Cutter; its Cut finds the messages in the client's bytes, and its frames
// go on the wire as they are. It is a Format and a Decoder for package transport,
// and a Server that accepts connections.
//
// # How a dialogue begins and ends
//
// Package transport carries the connection, the protocol's Admit is asked with a
// proto.Request that has no HTTP, and Open begins. Since a stream has no other
// word for no, an Admit that refuses is answered with the last frame of Farewell.
// A goodbye is that last frame and the end of our half of the stream: codes and
// reasons are not sent, but End has them. A client's goodbye is the end of its
// half, without a code; what a protocol says beyond that, it says in messages.
//
// # Limits
//
// A message, or bytes that are none yet, may have Config.MaxMessage bytes: over
// it the dialogue ends as earshot.TooLarge, with the messages before it handled.
// A client that has not sent a first whole message within Config.FirstMessage
// ends as earshot.Timeout; heartbeats do not count. At most Config.Handshakes
// connections are between accept and the end of Open; the rest wait in the
// system's queue.
package stream
