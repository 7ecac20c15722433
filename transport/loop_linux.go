package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/earshot-io/earshot/hub"
)

// maxEvents is how many connections one look at a loop's epoll may bring.
const maxEvents = 512

// edges are what a connection is watched for, once and for all. An edge for
// room costs nothing while a socket was never full.
const edges = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// A loop waits for the connections of one shard.
type loop struct {
	transport *Transport
	shard     *hub.Shard
	buffers   *sync.Pool
	counts    counts
	jobs      chan job
	idle      atomic.Int32 // workers that wait for a job

	// The shard's lock guards what follows.

	batch batch
	spare spares

	epoll *os.File
	fd    int
	raw   syscall.RawConn
}

func newLoop(t *Transport, s *hub.Shard) (*loop, error) {
	l := &loop{transport: t, shard: s, buffers: newBuffers(), jobs: make(chan job)}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	// Go's poller watches only what is non-blocking before it becomes a File.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), unix.Close(fd))
	}
	l.fd, l.epoll = fd, os.NewFile(uintptr(fd), "epoll")
	if err := l.epoll.SetReadDeadline(time.Time{}); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll is not in Go's poller: %w", err), l.epoll.Close())
	}
	if l.raw, err = l.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), l.epoll.Close())
	}
	return l, nil
}

// close ends run.
func (l *loop) close() error { return l.epoll.Close() }

// run waits for edges until the loop is closed.
func (l *loop) run() {
	events := make([]unix.EpollEvent, maxEvents)
	full := make([]*Conn, 0, maxEvents)
	buf := newBuffer(readSize)
	for {
		n, err := l.wait(events)
		if err != nil {
			return
		}
		for i := range events[:n] {
			e := &events[i]
			c := l.transport.fds.get(e.Fd)
			if c == nil {
				continue // it ended after the edge
			}
			if e.Events&unix.EPOLLOUT != 0 && c.flags.Load()&blocked != 0 {
				full = append(full, c)
			}
			if e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
				c.flags.Or(hungUp)
			}
			if e.Events&^unix.EPOLLOUT != 0 {
				c.ready(buf)
			}
		}
		if len(full) > 0 {
			l.writeOn(full)
			clear(full)
			full = full[:0]
		}
	}
}

// wait returns edges. It looks without waiting, until there are none; then Go's
// poller wakes it at the next one.
func (l *loop) wait(events []unix.EpollEvent) (n int, err error) {
	err = l.raw.Read(func(fd uintptr) bool {
		r, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if e != 0 {
			r = 0
		}
		n = int(r)
		return n > 0
	})
	return n, err
}

// writeOn goes on writing to those that had been full.
func (l *loop) writeOn(full []*Conn) {
	l.shard.Lock()
	defer l.shard.Unlock()
	for _, c := range full {
		if !c.ended && !c.broken && c.loop == l {
			c.flags.And(^blocked)
			c.write()
		}
	}
}

// take makes nc's descriptor the loop's; -1 if nc cannot give it away. Nc is
// closed then and keeps no place in Go's poller.
func (l *loop) take(nc net.Conn) (fd int32, err error) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok || l.transport.config.Goroutines {
		tune(nc)
		return -1, nil
	}
	tune(nc)
	rc, err := tcp.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dup int
	var failed error
	err = rc.Control(func(fd uintptr) { dup, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return -1, err
	}
	if err := tcp.Close(); err != nil {
		return -1, errors.Join(err, unix.Close(dup))
	}
	return int32(dup), nil
}

// tune sets what every connection's socket has. What a system does not know is
// left out: the connection works without.
func tune(nc net.Conn) {
	tcp, ok := socket(nc).(*net.TCPConn)
	if !ok {
		return
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepIdle/time.Second))
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepInterval/time.Second))
	})
}

// watch registers a descriptor.
func (l *loop) watch(fd int32) error {
	return unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: edges, Fd: fd})
}

// receive reads without waiting: errAgain if there is nothing, io.EOF at the end.
// The raw call spares the scheduler's bookkeeping, since it never blocks.
func (l *loop) receive(fd int32, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == unix.EINTR:
			continue
		case e == unix.EAGAIN:
			return 0, errAgain
		case e != 0:
			return 0, os.NewSyscallError("recv", e)
		case n == 0:
			return 0, io.EOF
		}
		return int(n), nil
	}
}

// send writes without waiting; errAgain if there is no room.
func (l *loop) send(fd int32, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errAgain
		default:
			return 0, os.NewSyscallError("send", e)
		}
	}
}

// shutdown ends a socket both ways, which raises an edge. An error says that it
// has ended already.
func (l *loop) shutdown(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }

// shutdownWrite ends our half of it.
func (l *loop) shutdownWrite(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

// closeFD closes it. Linux closes the descriptor whatever it answers.
func (l *loop) closeFD(fd int32) { _ = unix.Close(int(fd)) }
