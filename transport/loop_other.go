//go:build !linux

package transport

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/earshot-io/earshot/hub"
)

// A loop is what the connections of one shard share. This system has no epoll,
// so every connection is pumped, and nothing here is ever given a descriptor.
type loop struct {
	transport *Transport
	shard     *hub.Shard
	buffers   *sync.Pool
	counts    counts
	jobs      chan job
	idle      atomic.Int32

	// The shard's lock guards what follows.

	batch batch
	spare spares
}

func newLoop(t *Transport, s *hub.Shard) (*loop, error) {
	return &loop{transport: t, shard: s, buffers: newBuffers(), jobs: make(chan job)}, nil
}

func (l *loop) close() error { return nil }
func (l *loop) run()         {}

func (l *loop) take(nc net.Conn) (fd int32, err error) {
	tune(nc)
	return -1, nil
}

// tune sets what every connection's socket has.
func tune(nc net.Conn) {
	if tcp, ok := socket(nc).(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true) // it works without
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepInterval})
	}
}

func (l *loop) watch(int32) error                  { return net.ErrClosed }
func (l *loop) receive(int32, []byte) (int, error) { return 0, net.ErrClosed }
func (l *loop) send(int32, []byte) (int, error)    { return 0, net.ErrClosed }
func (l *loop) shutdown(int32)                     {}
func (l *loop) shutdownWrite(int32)                {}
func (l *loop) closeFD(int32)                      {}
