package function

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// TestSocketOf: both ways of asking the kernel agree, and know nothing of what is
// not there.
func TestSocketOf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	own, to := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())
	inode, err := socketOf(own, to)
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(_, _ netip.AddrPort) (uint32, error){"netlink": askKernel, "table": readTable} {
		got, err := ask(own, to)
		if err != nil {
			t.Logf("%s is not to be had here: %v", name, err)
		} else if got != inode {
			t.Errorf("%s: got %d, want %d", name, got, inode)
		}
		if got, err := ask(netip.AddrPortFrom(own.Addr(), 1), to); err == nil {
			t.Errorf("%s: found %d, which is not there", name, got)
		}
	}
	if !holds(os.Getpid(), inode) || holds(os.Getppid(), inode) {
		t.Error("the socket is another's")
	}
}

// TestStranger: a connection of another process does not get to the Runtime API.
func TestStranger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	o := own(l, os.Getppid()+1<<20, slog.New(slog.NewTextHandler(&log, nil)))
	ended := make(chan error)
	go func() { _, err := o.Accept(); ended <- err }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %d, %v, want that it is closed", n, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a stranger was let in")
	}
	if !strings.Contains(log.String(), "stranger") {
		t.Error("nothing was logged")
	}
}
