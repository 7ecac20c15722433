package function

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes make a process the leader of its group, and end it with this one
// even if this one is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// wait waits for the process, and kills what is left of its group before its
// number can be another's. It returns how the process ended.
func (p *process) wait() error {
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.kill()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaped = true
	return p.cmd.Wait()
}
