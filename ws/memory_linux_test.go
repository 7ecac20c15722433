package ws_test

import (
	"net"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/earshot-io/earshot/ws"
)

// TestMemoryOfAnIdleConnection measures heap and stacks after the upgrade of
// many clients, which are bare descriptors and have none themselves. It counts
// all that a connection has: the hub's part, the transport's and the session.
func TestMemoryOfAnIdleConnection(t *testing.T) {
	const clients, bound = 2000, 800
	s := serve(t, setup{endpoints: []ws.Endpoint{at(&speaker{}, "/v1")}})
	fds := make([]int, 0, clients+200)
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	for range 200 { // what is made once for all is there already
		fds = append(fds, bareClient(t, s))
	}
	before := memory()
	for range clients {
		fds = append(fds, bareClient(t, s))
	}
	eventually(t, "all are served", func() bool { return s.wire.Stats().Open == clients+200 })
	each := (memory() - before) / clients
	t.Logf("%d bytes of heap and stacks for an idle connection", each)
	if each > bound {
		t.Errorf("more than %d", bound)
	}
}

// memory is what live objects and stacks take.
func memory() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// bareClient shakes hands without anything of Go's.
func bareClient(t *testing.T, s *server) (fd int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Listener.Addr().(*net.TCPAddr)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	const request = "GET /v1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := unix.Write(fd, []byte(request)); err != nil {
		t.Fatal(err)
	}
	var answer [256]byte
	n, err := unix.Read(fd, answer[:])
	if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 101 ") {
		t.Fatalf("answered %q, %v", answer[:n], err)
	}
	return fd
}
