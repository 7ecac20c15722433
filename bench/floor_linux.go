package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A floor is the bare loop: it takes the load tool's own messages, knows
// subscribe and publish by their first bytes, and writes what was published to
// every subscriber as it came, unmasked in place, one write each. It keeps no
// order of its own, since one goroutine does everything, and checks nothing.
type floor struct {
	ep     int
	poller syscall.RawConn // of ep, watched by the runtime: a blocked thread would cost 2.6 times as much
	file   *os.File
	buf    []byte
	head   [10]byte

	mu       sync.Mutex // between the loop and who accepts
	clients  map[int32]*floorClient
	channels map[string][]int32
}

// A floorClient is one connection.
type floorClient struct {
	rest     []byte // the start of an incomplete frame
	channels []string
}

// ServeFloor serves the floor to connections of l until ctx is over.
func ServeFloor(ctx context.Context, l net.Listener) error {
	f, err := newFloor()
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	defer f.close()
	wait.Go(func() { f.run() })
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.admit(c); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
		}
	}
}

func newFloor() (*floor, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Before NewFile, or the runtime does not watch it.
	if err := unix.SetNonblock(ep, true); err != nil {
		return nil, err
	}
	f := &floor{
		ep: ep, file: os.NewFile(uintptr(ep), "epoll"), buf: make([]byte, 256<<10),
		clients: map[int32]*floorClient{}, channels: map[string][]int32{},
	}
	if f.poller, err = f.file.SyscallConn(); err != nil {
		return nil, err
	}
	// Fails if the runtime does not watch it after all.
	return f, f.file.SetReadDeadline(time.Time{})
}

// admit answers the handshake and hands the socket to the loop.
func (f *floor) admit(c net.Conn) error {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r, err := http.ReadRequest(bufio.NewReaderSize(c, 4096))
	if err != nil {
		return err
	}
	answer := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n")
	// The client sends nothing before it has seen this, so the reader holds no frames.
	if _, err := c.Write(appendServer(answer, opText, []byte(`{"event":"hotsock.connected","data":{},"meta":{}}`))); err != nil {
		return err
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return err
	}
	if dupErr != nil {
		return os.NewSyscallError("fcntl", dupErr)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients[int32(fd)] = &floorClient{}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.ep, unix.EPOLL_CTL_ADD, fd,
		&unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
}

// run handles what clients send until close.
func (f *floor) run() {
	var events [256]unix.EpollEvent
	for {
		n := 0
		err := f.poller.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events[:], 0)
			return n > 0
		})
		if err != nil {
			return
		}
		f.mu.Lock()
		for _, e := range events[:n] {
			if err := f.read(e.Fd); err != nil {
				f.drop(e.Fd)
			}
		}
		f.mu.Unlock()
	}
}

func (f *floor) read(fd int32) error {
	c := f.clients[fd]
	have := copy(f.buf, c.rest)
	n, err := unix.Read(int(fd), f.buf[have:])
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return io.EOF
	}
	b := f.buf[:have+n]
	for {
		h, n, err := parseHeader(b)
		if err != nil {
			return err
		}
		if n == 0 || len(b) < n+h.size {
			c.rest = append(c.rest[:0], b...)
			return nil
		}
		if err := f.frame(fd, h, b[:n+h.size], n); err != nil {
			return err
		}
		b = b[n+h.size:]
	}
}

// frame handles one frame, whose payload begins at from.
func (f *floor) frame(fd int32, h header, b []byte, from int) error {
	payload := b[from:]
	xor(payload, h.key)
	if h.op != opText {
		return nil
	}
	_, rest, ok := bytes.Cut(payload, []byte(`"channel":"`))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return errors.New("a message without a channel")
	}
	channel := rest[:end]
	if bytes.HasPrefix(payload, []byte(`{"event":"hotsock.subscribe"`)) {
		f.subscribe(fd, string(channel))
		return writeAll(fd, appendServer(nil, opText, fmt.Appendf(nil, `{"event":"hotsock.subscribed","channel":%q,"data":{},"meta":{}}`, channel)))
	}
	// The frame of a server is the frame of a client without its key, which is
	// four bytes that we may overwrite.
	out := b[4:]
	copy(out, appendHeader(f.head[:0], opText, len(payload), 0))
	for _, to := range f.channels[string(channel)] {
		_ = writeAll(to, out)
	}
	return nil
}

func (f *floor) subscribe(fd int32, channel string) {
	c := f.clients[fd]
	c.channels = append(c.channels, channel)
	f.channels[channel] = append(f.channels[channel], fd)
}

// writeAll writes b, and waits where the client does not read.
func writeAll(fd int32, b []byte) error {
	for {
		n, err := unix.Write(int(fd), b)
		if n == len(b) {
			return nil
		}
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
		_, _ = unix.Poll([]unix.PollFd{{Fd: fd, Events: unix.POLLOUT}}, 1000)
	}
}

// drop forgets a client.
func (f *floor) drop(fd int32) {
	for _, name := range f.clients[fd].channels {
		f.channels[name] = slices.DeleteFunc(f.channels[name], func(s int32) bool { return s == fd })
	}
	delete(f.clients, fd)
	_ = unix.Close(int(fd))
}

func (f *floor) close() {
	_ = f.file.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for fd := range f.clients {
		_ = unix.Close(int(fd))
	}
}
