package tenancy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A listener is a client of one app on one node. Whatever it reads is looked
// through for marks: one of another app, or of a channel that it has nothing to do
// with, fails the test.
type listener struct {
	testing.TB
	app    *tenantApp
	node   *node
	tongue *tongue
	// header is what its own HTTP requests say.
	header map[string]string
	// about says who it is, for failures.
	about string

	mu       sync.Mutex
	channels map[string]bool
	heard    map[mark]int
	frames   []string
	ended    error
	changed  chan struct{} // closed and replaced when something came

	write func(text string) error
	shut  func()
	next  int // of references
}

func newListener(t testing.TB, n *node, a *tenantApp, about string) *listener {
	return &listener{
		TB: t, app: a, node: n, about: about + " of " + a.slug,
		channels: map[string]bool{}, heard: map[mark]int{}, changed: make(chan struct{}),
	}
}

// A door is where a client knocks: the path, the Host, and how it says that it
// came over TLS or from an origin.
type door struct {
	path, host   string
	header       map[string]string
	subprotocols []string
}

// dial connects a WebSocket, and reads it until it ends.
func (l *listener) dial(d door) error {
	options := &websocket.DialOptions{Host: d.host, Subprotocols: d.subprotocols, HTTPHeader: map[string][]string{}}
	for name, value := range d.header {
		options.HTTPHeader.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+l.node.addr+d.path, options)
	if err != nil {
		return err
	}
	c.SetReadLimit(1 << 20)
	l.write = func(text string) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			l.end(err)
		}
		return nil
	}
	over := make(chan struct{})
	l.shut = func() { _ = c.CloseNow(); <-over }
	l.Cleanup(l.shut)
	go func() {
		defer close(over)
		for {
			_, raw, err := c.Read(context.Background())
			if err != nil {
				l.end(err)
				return
			}
			l.take(string(raw))
		}
	}()
	return nil
}

// take notes a frame.
func (l *listener) take(frame string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range marks(frame) {
		if m.app != l.app.slug || !l.channels[m.channel] {
			l.Errorf("%s (in %d channels) heard %+v: %.300s", l.about, len(l.channels), m, frame)
		}
		l.heard[m]++
	}
	if len(l.frames) > 10_000 {
		l.frames = slices.Clone(l.frames[5_000:])
	}
	l.frames = append(l.frames, frame)
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *listener) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = err
	close(l.changed)
	l.changed = make(chan struct{})
}

// expects lets the listener hear a channel.
func (l *listener) expects(channel string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.channels[channel] = true
}

// await waits until something is so, told under the lock at every change; false if
// the client ends, or it takes too long.
func (l *listener) await(is func() bool) bool {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		l.mu.Lock()
		done, over, changed := is(), l.ended != nil, l.changed
		l.mu.Unlock()
		if done || over {
			return done
		}
		select {
		case <-changed:
		case <-timeout.C:
			return false
		}
	}
}

// answered waits for a frame that holds all the words, after those that were
// there before, and returns it; empty if none came.
func (l *listener) answered(since int, words ...string) string {
	found := ""
	l.await(func() bool {
		for _, f := range l.frames[min(since, len(l.frames)):] {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(f, w) }) {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

// count is how many frames came.
func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.frames)
}

// say sends a frame, and returns how many had come before. Where the connection is
// over by then, nothing more comes.
func (l *listener) say(text string) int {
	l.Helper()
	before := l.count()
	if err := l.write(text); err != nil {
		l.Fatalf("%s: %v", l.about, err)
	}
	return before
}

// over waits for the end of the connection.
func (l *listener) over() error {
	if !l.await(func() bool { return l.ended != nil }) {
		return fmt.Errorf("%s is still connected", l.about)
	}
	return nil
}

// hears waits for a mark.
func (l *listener) hears(m mark) error {
	if l.await(func() bool { return l.heard[m] > 0 }) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Errorf("%s did not hear %+v (end: %v)", l.about, m, l.ended)
}
