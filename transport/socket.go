package transport

import (
	"net"
	"time"
)

const (
	// userTimeout is how long written bytes may stay unacknowledged before the
	// system gives the connection up (RFC 5482).
	userTimeout = 30 * time.Second
	// keepIdle and keepInterval are the system's own probes of a silent
	// connection. Where we ping they never start.
	keepIdle     = 60 * time.Second
	keepInterval = 15 * time.Second
)

// socket returns the connection below TLS.
func socket(nc net.Conn) net.Conn {
	for {
		over, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = over.NetConn()
	}
}
