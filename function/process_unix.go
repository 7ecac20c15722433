//go:build unix && !linux

package function

import "syscall"

// attributes make a process the leader of its group.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// wait waits for the process, and kills what is left of its group. It returns
// how the process ended.
func (p *process) wait() error {
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaped = true
	_ = signalGroup(p.pid, syscall.SIGKILL) // none may be left
	return err
}
