// Package bench is the load tool behind "earshot bench". It opens many
// connections to a server, publishes, and reports how much arrived, how late,
// and whether anything was lost, sent twice or out of order.
//
// # The client
//
// Subscribers are raw non-blocking sockets behind one epoll instance, a
// hundred bytes each and no goroutine, from several loopback addresses. They
// speak RFC 6455 and the few messages of the native protocol that a subscriber
// needs. Every message carries when it was sent, by which publisher, to which
// channel and as which number in 23 characters of its data; so each connection
// can tell a lost message from a late one, and latency needs no second clock.
//
// # What is measured
//
// A run connects everybody, warms up, and then counts for a fixed time:
// deliveries, latency (a message that was sent late because the one before it
// blocked counts from when it was due), the CPU time of the server's process
// and of its own. After it, publishing stops and everything on its way is
// awaited; what does not come is lost.
//
// # The floor
//
// FloorServer is a bare loop that is sent the same publishes over one
// connection by the same client and writes the frame to each subscriber with
// one write each: no protocol, no identity, no limits, no coalescing. It says
// what the machine and its kernel cost, so that a figure of a server has its
// limit beside it.
//
// The package works on Linux only; elsewhere everything fails with ErrSystem.
package bench
