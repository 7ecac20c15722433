package function

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// pipeGrace bounds the wait for the pipes of a process that has ended.
const pipeGrace = time.Second

// A process leads a group of its own, which is killed as one: what it started
// ends with it.
type process struct {
	cmd *exec.Cmd
	pid int

	mu     sync.Mutex
	reaped bool // its number may be another's now
}

// kill ends the group at once.
func (p *process) kill() { p.signal(syscall.SIGKILL) }

// terminate asks the group to end.
func (p *process) terminate() { p.signal(syscall.SIGTERM) }

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = signalGroup(p.pid, s) // it may be gone
	}
}

// A starter starts processes from a thread that stays: Linux ends a child when
// the thread that started it does (prctl(2), PR_SET_PDEATHSIG).
type starter struct {
	orders chan func()
	done   chan struct{}
}

func newStarter() *starter {
	s := &starter{orders: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for order := range s.orders {
			order()
		}
	}()
	return s
}

// start starts a command. It must not be called after stop.
func (s *starter) start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = pipeGrace
	started := make(chan error)
	s.orders <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	return &process{cmd: cmd, pid: cmd.Process.Pid}, nil
}

// stop ends the thread. No process may live.
func (s *starter) stop() {
	close(s.orders)
	<-s.done
}
