package function

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what is kept of what a process prints.
const (
	maxLine        = 4 << 10
	maxTail        = 4 << 10
	linesPerSecond = 200
	linesAtOnce    = 1000
)

// An output takes what a process prints, on both of its streams: into the log,
// line by line, and the end of it for who asked for that. What is too much is
// dropped and counted; the process is never held up.
type output struct {
	logger *slog.Logger
	lines  *rate.Limiter // of all copies of the function
	reader *os.File
	writer *os.File

	mu      sync.Mutex
	line    []byte // not complete yet
	cut     bool   // the rest of the line is dropped
	dropped int
	keeping bool
	kept    []byte
	buffer  []byte
}

func newOutput(log *slog.Logger, lines *rate.Limiter) *output {
	return &output{logger: log, lines: lines}
}

// attach gives a command the pipe that is read. Both streams share it, so that
// their lines stay in order.
func (o *output) attach(cmd *exec.Cmd) (err error) {
	o.reader, o.writer, err = os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = o.writer, o.writer
	return nil
}

// attached says that the command has its end, so that ours is not needed.
func (o *output) attached() { _ = o.writer.Close() }

// read reads until nobody can print any more, or close is called.
func (o *output) read() {
	raw, err := o.reader.SyscallConn()
	if err != nil {
		return // cannot be: it is open
	}
	_ = raw.Read(func(fd uintptr) (done bool) { return o.drain(fd) })
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
}

// close ends read, whoever still has the pipe.
func (o *output) close() { _ = o.reader.Close() }

// drain takes what is there; end says that nothing will come any more. What was
// read is taken under the same lock, so that who drains knows that nothing is
// between the pipe and what is kept.
func (o *output) drain(fd uintptr) (end bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buffer == nil {
		o.buffer = make([]byte, 16<<10)
	}
	for {
		n, err := readNow(fd, o.buffer)
		switch {
		case n > 0:
			o.take(o.buffer[:n])
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return false
		default:
			return true
		}
	}
}

func (o *output) take(text []byte) {
	if o.keeping {
		o.kept = append(o.kept, text...)
		if over := len(o.kept) - maxTail; over > 0 {
			o.kept = append(o.kept[:0], o.kept[over:]...)
		}
	}
	for len(text) > 0 {
		part, rest, whole := bytes.Cut(text, []byte("\n"))
		if room := maxLine - len(o.line); len(part) > room {
			part, o.cut = part[:room], true
		}
		o.line = append(o.line, part...)
		if whole {
			o.flush()
		}
		text = rest
	}
}

// flush logs the line.
func (o *output) flush() {
	line, cut := bytes.TrimRight(o.line, "\r"), o.cut
	o.line, o.cut = o.line[:0], false
	if len(line) == 0 {
		return
	}
	if !o.lines.Allow() {
		o.dropped++
		return
	}
	if o.dropped > 0 {
		o.logger.Warn("the function prints too much, lines were dropped", "lines", o.dropped)
		o.dropped = 0
	}
	if cut {
		line = append(line, " ..."...)
	}
	o.logger.Info("printed", "line", string(line))
}

// begin is the beginning of a call: what was printed before is not of it.
func (o *output) begin(keep bool) {
	o.catchUp()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keeping, o.kept = keep, nil
}

// catchUp reads what is in the pipe already.
func (o *output) catchUp() {
	if raw, err := o.reader.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { o.drain(fd) })
	}
}

// log returns the end of what was printed during a call, between the lines that
// Lambda has around it; nil if nobody asked for it.
func (o *output) log(c *call, took time.Duration) []byte {
	if !c.Tail {
		return nil
	}
	o.catchUp()
	o.mu.Lock()
	defer o.mu.Unlock()
	var b bytes.Buffer
	fmt.Fprintf(&b, "START RequestId: %s Version: $LATEST\n", c.id)
	b.Write(o.kept)
	if n := len(o.kept); n > 0 && o.kept[n-1] != '\n' {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "END RequestId: %s\nREPORT RequestId: %[1]s\tDuration: %.2f ms\n", c.id, float64(took)/float64(time.Millisecond))
	return b.Bytes()[max(0, b.Len()-maxTail):]
}
