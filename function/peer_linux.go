package function

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// owned is a listener that lets in the connections of one group of processes.
type owned struct {
	net.Listener
	group int
	log   *slog.Logger
}

// own lets in only connections of the group that a process leads.
func own(l net.Listener, leader int, log *slog.Logger) net.Listener { return &owned{l, leader, log} }

// Accept waits for a connection of the group, and closes others.
func (o *owned) Accept() (net.Conn, error) {
	for {
		c, err := o.Listener.Accept()
		if err != nil {
			return nil, err
		}
		err = o.judge(c)
		if err == nil {
			return c, nil
		}
		o.log.Warn("a stranger came to the function's Runtime API", "err", err)
		_ = c.Close()
	}
}

var errStranger = errors.New("the connection is not of the function's process")

// judge reports why a connection is not let in. The kernel says which socket is
// at its other end, and the processes of the group which sockets are theirs.
func (o *owned) judge(c net.Conn) error {
	local, errLocal := netip.ParseAddrPort(c.LocalAddr().String())
	remote, errRemote := netip.ParseAddrPort(c.RemoteAddr().String())
	if err := errors.Join(errLocal, errRemote); err != nil {
		return err
	}
	inode, err := socketOf(remote, local)
	if err != nil {
		return fmt.Errorf("the kernel does not tell whose the connection is: %w", err)
	}
	if holds(o.group, inode) {
		return nil
	}
	for _, pid := range processes() {
		if group, err := unix.Getpgid(pid); err == nil && group == o.group && holds(pid, inode) {
			return nil
		}
	}
	return errStranger
}

// processes are all that /proc shows.
func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// holds reports whether a process has a socket open.
func holds(pid int, inode uint32) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	want := "socket:[" + strconv.FormatUint(uint64(inode), 10) + "]"
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && link == want {
			return true
		}
	}
	return false
}

// socketOf returns the inode of a connected TCP socket of this machine, by its
// own address and the one that it is connected to.
func socketOf(own, to netip.AddrPort) (uint32, error) {
	inode, err := askKernel(own, to)
	if err != nil {
		return readTable(own, to) // where netlink is not to be had
	}
	return inode, nil
}

// The layout of sock_diag(7).
const (
	diagRequest  = 16 + 56
	diagInode    = 16 + 68
	diagByFamily = 20
	diagProtocol = 4
)

// askKernel asks by netlink for one socket; the time it takes does not depend on
// how many there are.
func askKernel(own, to netip.AddrPort) (uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, diagProtocol)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, diagQuery(own, to), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return 0, err
	}
	answer := make([]byte, 1024)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, err
	}
	if n < diagInode+4 || binary.NativeEndian.Uint16(answer[4:]) != diagByFamily {
		return 0, errors.New("there is no such socket")
	}
	return binary.NativeEndian.Uint32(answer[diagInode:]), nil
}

// diagQuery is an nlmsghdr and an inet_diag_req_v2 for one IPv4 socket.
func diagQuery(own, to netip.AddrPort) []byte {
	q := make([]byte, diagRequest)
	binary.NativeEndian.PutUint32(q[0:], diagRequest)
	binary.NativeEndian.PutUint16(q[4:], diagByFamily)
	binary.NativeEndian.PutUint16(q[6:], unix.NLM_F_REQUEST)
	r := q[16:]
	r[0], r[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(r[4:], ^uint32(0)) // whatever its state
	binary.BigEndian.PutUint16(r[8:], own.Port())
	binary.BigEndian.PutUint16(r[10:], to.Port())
	from, dest := own.Addr().Unmap().As4(), to.Addr().Unmap().As4()
	copy(r[12:], from[:])
	copy(r[28:], dest[:])
	binary.NativeEndian.PutUint64(r[48:], ^uint64(0)) // no cookie
	return q
}

// readTable looks for the socket in the kernel's table of all.
func readTable(own, to netip.AddrPort) (uint32, error) {
	text, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) > 9 && f[1] == tableForm(own) && f[2] == tableForm(to) {
			inode, err := strconv.ParseUint(f[9], 10, 32)
			return uint32(inode), err
		}
	}
	return 0, errors.New("there is no such socket")
}

// tableForm is an address as the table has it.
func tableForm(a netip.AddrPort) string {
	ip := a.Addr().Unmap().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), a.Port())
}
