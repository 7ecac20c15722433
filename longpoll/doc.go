// Package longpoll carries dialogues on HTTP long-polls: one session is a
// hub.Transport whose queue is taken by the client's waiting request.
//
// It is a library for adapters. It knows no URL, no token and no JSON: the
// adapter's HTTP handlers open a session (Server.Open, which asks the
// protocol's Admit and Open as every edge does), find it again by the id that
// they put into their own signed token (Server.Session), hand over what a
// client posted (Session.Receive), and answer its polls (Session.Poll).
//
// # Promises
//
// Frames are taken in the order they were queued, and each by one poll. One
// poll waits at a time: a second one takes over, and the first is answered at
// once, with nothing. What nobody has taken counts as waiting, so the hub cuts a
// client that polls too seldom like one that does not read. A request that was
// given up takes nothing; frames whose answer is lost on the wire are lost, since
// no client of this kind acknowledges them: it resumes, if its protocol can.
//
// A session that is not polled for the window ends as earshot.Timeout, and sooner
// where a new one needs its place: of those that nobody polls now, for a second at
// least, the one that has rested longest. The farewell of a session that we end waits for the next poll, for as long.
//
// # Limits
//
// A session lives on the node that opened it, and the server's table of
// sessions is that node's: behind several nodes, a client must be routed to its
// own one, or the adapter carries its requests there (hub.CallAt). One poll takes
// a megabyte, what is more waits for the next. The body of a request is bounded by
// the adapter.
package longpoll
