package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A loop is a share of the subscribers behind one epoll instance and one
// goroutine, which owns everything but what is below mu.
type loop struct {
	fleet  *fleet
	first  int // the fleet's number of our first subscriber; the next ones follow in steps of the number of loops
	ep     int
	wakeFD int
	conns  []conn
	ids    []byte // the last message's id of each subscriber, nil if not kept
	buf    []byte // for reading, shared by all
	random *rand.Rand
	now    time.Duration // of the last read
	tally  *tally
	late   histogram
	ended  bool

	up       int // live connections
	want     int // how many there should be
	next     int // the first that was not dialled yet
	opening  int // being opened
	parallel int
	opened   chan<- struct{} // is told once when up is want
	again    []retry

	posting atomic.Bool // something was posted and the loop was woken
	mu      sync.Mutex
	posted  []func()
}

// A retry is a connection to be dialled again.
type retry struct {
	c  *conn
	at time.Duration
}

// idLen is the length of a message's id.
const idLen = 26

func newLoop(f *fleet, first, n int, p fleetPlan) (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(ep)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &loop{
		fleet: f, first: first, ep: ep, wakeFD: wake, conns: make([]conn, n), buf: make([]byte, 256<<10),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), tally: newTally(n, p.publishers),
	}
	if p.positions {
		l.ids = make([]byte, n*idLen)
	}
	for i := range l.conns {
		number := first + i*p.readers
		l.conns[i] = conn{loop: l, fd: -1, index: uint32(i), channel: uint32(number % len(p.names))}
	}
	err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1})
	if err != nil {
		l.release()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return l, nil
}

// post has do run by the loop.
func (l *loop) post(do func()) {
	l.mu.Lock()
	l.posted = append(l.posted, do)
	l.mu.Unlock()
	if l.posting.CompareAndSwap(false, true) {
		_, _ = unix.Write(l.wakeFD, binary.NativeEndian.AppendUint64(nil, 1))
	}
}

func (l *loop) runPosted() {
	var count [8]byte
	_, _ = unix.Read(l.wakeFD, count[:])
	l.posting.Store(false)
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, do := range posted {
		do()
	}
}

// run reads until stop. It has a thread of its own: a blocked epoll_wait costs
// the client a wake-up, and the server nothing.
func (l *loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer l.release()
	var events [256]unix.EpollEvent
	for !l.ended {
		n, err := unix.EpollWait(l.ep, events[:], l.patience())
		if err != nil && err != unix.EINTR {
			l.fleet.fail(os.NewSyscallError("epoll_wait", err))
			return
		}
		woken := false
		for _, e := range events[:max(n, 0)] {
			if e.Fd < 0 {
				woken = true // what was posted may close connections: after the events
				continue
			}
			c := &l.conns[e.Fd]
			if err := c.ready(e.Events); err != nil {
				l.lost(c, err)
			}
		}
		if woken {
			l.runPosted()
		}
		l.redial()
	}
}

// patience is how long to wait for events, in milliseconds: until the next retry.
func (l *loop) patience() int {
	if len(l.again) == 0 {
		return -1
	}
	return int(max(l.again[0].at-l.fleet.clock.now(), 0)/time.Millisecond) + 1
}

// open sets how many subscribers there should be, and says so when there are.
func (l *loop) open(want, parallel int, opened chan<- struct{}) {
	l.want, l.parallel, l.opened = min(want, len(l.conns)), parallel, opened
	l.dialMore()
}

func (l *loop) dialMore() {
	for l.opening < l.parallel && l.next < l.want {
		c := &l.conns[l.next]
		l.next++
		l.opening++
		l.dial(c)
	}
	if l.up >= l.want {
		l.tell()
	}
}

// tell ends a call of fleet.open.
func (l *loop) tell() {
	if l.opened != nil {
		l.opened <- struct{}{}
		l.opened = nil
	}
}

func (l *loop) dial(c *conn) {
	if err := l.connect(c); err != nil {
		l.lost(c, err)
	}
}

func (l *loop) connect(c *conn) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	c.fd, c.state, c.in, c.rest, c.out = int32(fd), dialling, inbound{}, nil, nil
	if from, ok := l.fleet.source(l.first + int(c.index)*len(l.fleet.loops)); ok {
		// The port is chosen by the connect, so that each address has all of them.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	to := l.fleet.to.addr
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	if err != nil && err != unix.EINPROGRESS {
		return os.NewSyscallError("connect", err)
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd,
		&unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(c.index)}))
}

// watch sets what c waits for.
func (l *loop) watch(c *conn, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.ep, unix.EPOLL_CTL_MOD, int(c.fd),
		&unix.EpollEvent{Events: events, Fd: int32(c.index)}))
}

// subscribed notes that c is live.
func (l *loop) subscribed(c *conn) {
	c.tries = 0
	l.opening--
	l.up++
	l.dialMore()
}

// lost ends a connection: a live one is a fault, one being opened is tried again.
func (l *loop) lost(c *conn, why error) {
	was := c.state
	c.hangUp()
	if was == live {
		c.state = ended
		l.up--
		if l.fleet.crashing.Load() {
			return
		}
		l.tally.faults.Dropped++
		l.fleet.fail(why)
		return
	}
	c.tries++
	if c.tries >= maxTries || !l.passing(why) {
		c.state = ended
		l.fleet.fail(why)
		l.tell()
		return
	}
	after := retryEvery
	var r *refusal
	if errors.As(why, &r) && r.after > 0 {
		after = r.after
	}
	l.again = append(l.again, retry{c, l.fleet.clock.now() + after})
}

// passing reports whether another attempt may succeed.
func (l *loop) passing(why error) bool {
	var r *refusal
	if errors.As(why, &r) {
		return r.status[:1] == "5" || r.status[:3] == "429"
	}
	var e unix.Errno
	return errors.As(why, &e) && (e == unix.ECONNRESET || e == unix.ECONNREFUSED || e == unix.ETIMEDOUT || e == unix.EPIPE)
}

// redial tries again what is due.
func (l *loop) redial() {
	if len(l.again) == 0 {
		return
	}
	now, waiting := l.fleet.clock.now(), l.again
	l.again = nil
	for _, r := range waiting {
		if r.at <= now {
			l.dial(r.c)
		} else {
			l.again = append(l.again, r)
		}
	}
}

// delivered takes one published message.
func (l *loop) delivered(c *conn, s stamp, p []byte) {
	if s.channel != c.channel || int(s.publisher) >= l.tally.publishers {
		l.tally.faults.Misdirected++
		return
	}
	if !l.tally.add(c.index, s.publisher, s.number) {
		return
	}
	l.fleet.received.Add(1)
	if l.fleet.measured.Load() {
		l.late.add(l.now - s.sent)
	}
	if l.ids != nil {
		l.remember(c, p)
	}
	if s.slot != noSlot {
		l.fleet.desk.arrived(s.slot)
	}
}

// faults adds up the tally; sent is what each publisher sent to each channel.
func (l *loop) faults(sent [][]uint32) Faults {
	f := l.tally.result()
	for i := range l.conns[:l.want] {
		for p, channels := range sent {
			f.Lost += l.tally.tail(uint32(i), p, channels[l.conns[i].channel])
		}
	}
	return f
}

// reset closes all connections, to be opened again.
func (l *loop) reset() {
	for i := range l.conns {
		c := &l.conns[i]
		c.hangUp()
		c.state, c.tries = idle, 0
	}
	l.up, l.next, l.opening, l.again = 0, 0, 0, nil
}

// stop ends run.
func (l *loop) stop() {
	l.reset()
	l.ended = true
}

func (l *loop) release() {
	_ = unix.Close(l.ep)
	_ = unix.Close(l.wakeFD)
}

// hangUp closes the socket, which also takes it out of the poller.
func (c *conn) hangUp() {
	if c.fd >= 0 {
		_ = unix.Close(int(c.fd))
		c.fd = -1
	}
	c.in, c.rest, c.out = inbound{}, nil, nil
}

// remember keeps the id of c's last message, to resume after it.
func (l *loop) remember(c *conn, p []byte) {
	_, id, ok := bytes.Cut(p, []byte(`"id":"`))
	if ok && len(id) > idLen && id[idLen] == '"' {
		copy(l.ids[int(c.index)*idLen:], id[:idLen])
	}
}

// position is the id of c's last message, empty if there is none.
func (l *loop) position(c *conn) string {
	if l.ids == nil {
		return ""
	}
	id := l.ids[int(c.index)*idLen:][:idLen]
	if id[0] == 0 {
		return ""
	}
	return string(id)
}
