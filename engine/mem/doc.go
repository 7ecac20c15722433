// Package mem is an engine in memory, for tests: it keeps every promise of
// hub.Engine on one machine's memory, and can be told to break what a network
// and a disk break.
//
// A Store is one stream; each Engine on it is a node. What a node appends is
// stored at once and republished to every node that hears the channel, by one
// goroutine a node. Time is the time package's, so that a synctest bubble that
// contains the store controls expiry, delays and the tail audit.
//
// A Store imitates: the loss, doubling and delay of republished messages
// (OnRepublish), appends that fail, take long or whose outcome stays unknown
// (OnAppend), replicas that lag behind (Lag), a slow network (Slow), a stream
// that was lost and made anew (NewEpoch), and nodes that lose their link
// (Engine.Cut, Engine.Restore).
package mem
