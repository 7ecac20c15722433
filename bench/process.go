package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Process is a server that the load tool started and will end. Its methods
// are called by one goroutine.
type Process struct {
	Target
	cmd    *exec.Cmd
	stdin  io.Closer // the floor ends when it is closed, even if we are killed
	output tail
	ended  chan struct{}
	err    error  // of the process, once ended is closed
	after  func() // once it has ended, nil for nothing
}

// startWithin is how long a server may take to be ready, stopWithin to end
// when it is asked to, before it is killed.
const (
	startWithin = 30 * time.Second
	stopWithin  = 10 * time.Second
)

// start runs a command whose output is kept for error messages.
func start(command []string, stdout io.Writer) (*Process, error) {
	p := &Process{cmd: exec.Command(command[0], command[1:]...), ended: make(chan struct{})}
	p.cmd.Stderr = &p.output
	p.cmd.Stdout = stdout
	if stdout == nil {
		p.cmd.Stdout = &p.output
	}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.PID = p.cmd.Process.Pid
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// StartFloor starts a floor by a command, which prints the address that it
// listens on as its first line and ends when its input does.
func StartFloor(ctx context.Context, command []string) (*Process, error) {
	out, in := io.Pipe()
	p, err := start(command, in)
	if err != nil {
		return nil, err
	}
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- strings.TrimSpace(s)
		_, _ = io.Copy(io.Discard, out)
	}()
	go func() {
		<-p.ended
		_ = in.Close()
	}()
	select {
	case addr := <-line:
		if addr != "" {
			p.WSURL = "ws://" + addr + "/v1"
			return p, nil
		}
		err = errors.New("it ended")
	case <-time.After(startWithin):
		err = errors.New("it says no address")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.Kill()
	return nil, fmt.Errorf("starting the floor: %w: %s", err, p.output.String())
}

// Running stands for a server that was started by somebody else and is left
// alone: Stop does nothing.
func Running(t Target) *Process { return &Process{Target: t} }

// Stop asks the process to end, and kills it if it does not.
func (p *Process) Stop() error {
	if p.cmd == nil {
		return nil
	}
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		p.Kill() // has nothing left to kill
		return nil
	case <-time.After(stopWithin):
		p.Kill()
		return fmt.Errorf("the server did not end within %v and was killed", stopWithin)
	}
}

// Kill ends the process at once, as a crash would, and waits for it.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.stdin.Close()
	if p.after != nil {
		p.after()
		p.after = nil
	}
}

// awaitReady waits until /readyz answers 200.
func (p *Process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("the server is not ready after %v", startWithin))
	defer cancel()
	for {
		r, err := get(ctx, p.URL+"/readyz")
		if err == nil {
			r.Body.Close()
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("the server ended (%v): %s", p.err, p.output.String())
		default:
		}
		if pauseErr := pause(ctx, 10*time.Millisecond); pauseErr != nil {
			return fmt.Errorf("%w: %w: %s", pauseErr, err, p.output.String())
		}
	}
}

// A tail keeps the last of what is written to it. The zero value is ready.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// maxTail is how much a tail keeps.
const maxTail = 4 << 10

// Write keeps the end of p.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > maxTail {
		t.text = append([]byte(nil), t.text[len(t.text)-maxTail:]...)
	}
	return len(p), nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// Self is the command that runs this program again with other arguments.
func Self(args ...string) ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return append([]string{exe}, args...), nil
}
