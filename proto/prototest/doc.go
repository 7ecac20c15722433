// Package prototest holds the promises that every protocol keeps, as tests. An
// adapter describes how its clients speak (a Dialect) and calls
//
//	prototest.Run(t, dialect)
//
// which runs each promise over each carrier that the protocol stands on, against
// a real hub on engine/mem. Memory, a carrier without a wire, is always among
// them: there time is virtual (testing/synctest), so that expiry and work of 29
// seconds take no time.
//
// What a protocol cannot say is declared in Dialect.Cannot by the promise's
// name, with the reason. Run fails for a name that is no promise, and for one
// that the adapter's doc.go does not mention; it never skips in silence.
//
// # The promises
//
//	confirm first                    the confirmation of a subscribe comes before its messages
//	own channel only                 a client hears the channels it subscribed to, no others
//	own app only                     nor those of the same name in another application
//	order                            1,000 messages arrive in the order they were published
//	history then live                what was stored, then what is live, while a publisher runs: no gap, no double
//	resume                           a client that comes back hears what it missed, once, or is told that it cannot
//	pattern                          a pattern hears what matches, nothing else
//	unsubscribe then silence         after the confirmation nothing of the channel comes
//	echo rule                        one's own messages come back where the grant says so, and only there
//	acknowledged only when stored    no yes before the log has said yes; its no is told
//	refused subscribe leaks nothing  who may not subscribe is told, and hears nothing
//	refused publish leaks nothing    who may not publish is told, and nobody hears
//	too large                        is answered or fatal, as the protocol says, and nobody hears
//	slow is cut                      a client that does not read is ended, and others go on
//	expiry ends it                   where the application wants it, a client ends with its proof
//	kick                             an administrator's kick ends the client that is meant
//	shutdown says so                 a drain says goodbye to all, and admits nobody
//	garbage                          no input panics, or harms another client
//	text and binary                  each message goes as text or as binary, both ways
//	heartbeat beside long work       is answered while another request of the client takes 29 s
//	the peer's goodbye               its code and reason reach Session.Close
//	our goodbye                      is Farewell's last frame, code and reason, to the client and to Session.Close
//	refused before the handshake     status, headers and body are the protocol's
//	subprotocol after a slow backend the handshake waits for Admit, and answers with its choice
//
// Silence is never waited for: after what must not be heard, a marker is
// published that must be, and nothing may have come before it.
package prototest
