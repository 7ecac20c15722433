package function_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKilledServer: a server that is killed leaves no function behind.
func TestKilledServer(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(binary)
	server.Env = append(os.Environ(), kind+"=orphan", "TEST_DATA="+filepath.Join(t.TempDir(), "d"))
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() {
		if err := server.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = server.Wait() // it was killed
	}
	b := make([]byte, 1000)
	n, err := out.Read(b)
	_, rest, _ := bytes.Cut(b[:n], []byte(`"pid":`))
	digits, _, _ := bytes.Cut(rest, []byte("}"))
	pid, errPID := strconv.Atoi(string(digits))
	if err != nil || errPID != nil {
		end()
		t.Fatalf("the server said %q, %v", b[:n], err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	end()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const patience = 60_000 // ms
	n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, patience)
	for err == unix.EINTR {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, patience)
	}
	if n != 1 {
		t.Errorf("the function lives on: %v", err)
	}
}
