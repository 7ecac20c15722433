// Package transport carries the bytes of many connections at little cost: it
// waits for clients without a goroutine each, queues and writes frames, pings,
// and says goodbye. It knows bytes, not protocols: a Format writes frames and a
// Decoder cuts input, and packages ws and stream have one each. A Conn is the
// hub.Transport of one client.
//
// # How a connection begins
//
//	c := t.NewConn(shard, kind, decoder, greeting)
//	conn, err := hub.Open(shard, c, opening)   // refused: forget c
//	session, err := protocol.Open(conn, conn, admission)
//	conn.Serve(session)                        // or conn.Close(err)
//	err = c.Adopt(conn, nc, buffered)          // nc is the transport's from here
//
// Until Adopt everything is queued and nothing is sent; then the greeting (the
// answer to a handshake), and what Open sent, go out in one write. Adopt is
// called in any case once hub.Open succeeded, also if the connection was closed
// meanwhile, so that the farewell reaches the client.
//
// # Two ways to wait
//
// On Linux a *net.TCPConn gives its descriptor to one of a few loops, one for
// each of the hub's shards. A loop is one epoll instance, which sits in Go's
// own poller so that no thread blocks in it, and one goroutine; its connections
// share one write buffer and one read buffer. Registration is edge-triggered
// and done once, so a message costs no epoll_ctl.
//
// Everything else (TLS, other systems, Config.Goroutines) has a goroutine per
// connection that reads, and one that writes while there is something to write.
// That costs about 8 KB per plain connection and 15 KB with TLS, heap and stacks.
//
// # Who may touch what
//
// The shard's lock guards output: the queue, the timer, the goodbye, the
// descriptor for writing. The input side has one owner at a time, who claimed
// it (Conn.flags): the loop's goroutine for one read, or the worker that it
// hired, which hands the messages to hub.Conn.Receive, reads on, and is free
// when there is nothing more; a few free workers wait for the next job, the
// others end. Nothing is read while Receive runs. Only the input's owner ends a
// connection, with the shard locked, so a descriptor is never closed under a
// reader or a writer; everybody else asks for the end by shutting the socket
// down, which wakes the loop.
//
// # Memory
//
// An idle connection is a Conn and its decoder, about 240 bytes, without a
// buffer. What a burst of connections or messages left behind is given back to
// the system within a few seconds after it (Transport.calm), since Go's own pace
// would keep it for minutes; that costs one full collection, and is not done
// while the transport is busy.
package transport
