// Package client is the Go client: a Publisher for an application's backend,
// and a Subscriber that stays connected.
//
// A Subscriber speaks the native protocol over a WebSocket. When the connection
// ends it comes back, at first soon and then less and less often, and resumes
// each channel after the last message that it saw: what it missed follows, and
// then what is live. Where the server cannot promise that nothing was lost in
// between, it is told so (Notice).
package client
