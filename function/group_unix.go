//go:build unix

package function

import "syscall"

// hosting says that functions can be run on this system.
const hosting = true

// signalGroup signals a group of processes.
func signalGroup(leader int, s syscall.Signal) error { return syscall.Kill(-leader, s) }

// readNow reads what is there; it fails with syscall.EAGAIN if nothing is.
func readNow(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
