package function

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"time"
)

// How long a process has for its farewell.
const (
	termGrace  = 500 * time.Millisecond
	drainGrace = time.Second
)

// An instance is one process of a function, and the listener that is its alone.
type instance struct {
	pool    *pool
	id      string
	key     string // its password at the proxy
	deliver chan *call
	over    chan struct{} // closed when the process has ended
	out     *output

	// Guarded by the pool's lock.
	asked   bool
	current *call  // not nil from when it is given until the process asks for another
	failure *Error // what the process said of a start that failed, or what is known of it

	mu      sync.Mutex
	proc    *process
	killed  bool
	stopped sync.Once
}

func newInstance(p *pool) *instance {
	i := &instance{pool: p, id: newID(), key: rand.Text(), deliver: make(chan *call, 1), over: make(chan struct{})}
	i.out = newOutput(p.log, p.lines)
	return i
}

// run starts the process and stays until it has ended and nothing of it is left.
func (i *instance) run() {
	why := i.live()
	close(i.over)
	i.pool.gone(i, why)
}

// live returns how the process ended, nil if without an error.
func (i *instance) live() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return i.unstarted(err)
	}
	defer listener.Close()
	proxy := i.pool.host.proxy
	proxy.admit(i)
	defer proxy.dismiss(i)
	if err := i.launch(listener.Addr().String()); err != nil {
		return i.unstarted(err)
	}
	var reading, serving sync.WaitGroup
	reading.Go(i.out.read)
	server := &http.Server{Handler: i.routes(), ErrorLog: quiet(), ReadHeaderTimeout: 10 * time.Second}
	serving.Go(func() { _ = server.Serve(own(listener, i.proc.pid, i.pool.log)) })

	slow := time.AfterFunc(i.pool.host.config.Init, i.slow)
	why := i.proc.wait()
	slow.Stop()
	// The process is dead and its connections with it; what it had sent is read.
	ctx, cancel := context.WithTimeout(context.Background(), drainGrace)
	if server.Shutdown(ctx) != nil {
		_ = server.Close()
	}
	cancel()
	serving.Wait()
	i.out.close()
	reading.Wait()
	return why
}

// launch starts the process.
func (i *instance) launch(api string) error {
	command := i.pool.binary
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = i.pool.dir
	cmd.Env = i.environment(api)
	if err := i.out.attach(cmd); err != nil {
		return err
	}
	proc, err := i.pool.host.starter.start(cmd)
	i.out.attached()
	if err != nil {
		i.out.close()
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.proc = proc
	if i.killed {
		proc.kill()
	}
	return nil
}

// unstarted notes why a process could not be started.
func (i *instance) unstarted(err error) error {
	i.pool.mu.Lock()
	defer i.pool.mu.Unlock()
	i.failure = failed(TypeStart, "RequestId: %s Error: the function could not be started", i.id)
	return err
}

// slow kills a process that does not ask for an event.
func (i *instance) slow() {
	i.pool.mu.Lock()
	asked, after := i.asked, i.pool.host.config.Init
	if !asked && i.failure == nil {
		i.failure = failed(TypeTimeout, "RequestId: %s Error: Init timed out after %.2f seconds", i.id, after.Seconds())
	}
	i.pool.mu.Unlock()
	if !asked {
		i.kill()
	}
}

// kill ends the process, and what it started, now.
func (i *instance) kill() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.killed = true
	if i.proc != nil {
		i.proc.kill()
	}
}

func (i *instance) wasKilled() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.killed
}

// stop asks the process to end, waits a little, and kills it.
func (i *instance) stop() {
	i.stopped.Do(func() {
		i.mu.Lock()
		if i.proc != nil {
			i.proc.terminate()
		}
		i.mu.Unlock()
		grace := time.NewTimer(termGrace)
		defer grace.Stop()
		select {
		case <-i.over:
			return
		case <-grace.C:
			i.kill()
		}
		<-i.over
	})
}
