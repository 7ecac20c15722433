package enginetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func hubPromises() []promise {
	return []promise{
		{name: "two hubs deliver once and in order over a cut", needs: []string{TwoNodes, Cut}, test: twoHubs},
		{name: "of two hubs one holds a lease", needs: []string{TwoNodes, Cut}, test: leases},
	}
}

// numbers is how many messages twoHubs publishes.
const numbers = 10_000

// twoHubs publishes numbered messages on both nodes, while a subscriber on the
// other one listens, another joins from the start of history in the middle,
// and a node's link is cut and restored.
func twoHubs(s *suite) {
	hubs := []*hub.Hub{s.hub(0), s.hub(1)}
	tenant := &earshot.App{Slug: app}
	live := s.listen(hubs[1], tenant, nil)
	own := s.listen(hubs[0], tenant, nil)
	var late *listener
	for i := 1; i <= numbers; i++ {
		s.publish(hubs[0], tenant, i)
		switch i {
		case numbers / 4:
			s.Cut(1)
		case numbers / 2:
			s.Restore(1)
			late = s.listen(hubs[1], tenant, &earshot.Position{})
		}
	}
	for who, l := range map[string]*listener{"live on the node that was cut": live, "live on the other": own, "from the start": late} {
		s.until(who+" has heard all", func() bool { return l.count() >= numbers })
		if err := l.check(); err != nil {
			s.Errorf("%s: %v", who, err)
		}
	}
}

// leases lets two hubs compete. The one that holds the lease is stopped, and the
// other takes over at once; that one is cut, and the first has it back.
func leases(s *suite) {
	hubs := []*hub.Hub{s.hub(0), s.hub(1)}
	var working, who atomic.Int32
	compete := func(node int) (stop func()) {
		ctx, cancel := context.WithCancel(s.ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = hubs[node].Lease(ctx, "l", func(ctx context.Context) {
				if working.Add(1) != 1 {
					s.Error("two work at once")
				}
				who.Store(int32(node) + 1)
				<-ctx.Done()
				who.Store(0)
				working.Add(-1)
			})
		}()
		stop = func() { cancel(); <-done }
		s.Cleanup(stop)
		return stop
	}
	stop := compete(0)
	s.until("the first works", func() bool { return who.Load() == 1 })
	compete(1)
	stop()
	begin := time.Now()
	s.until("the second works", func() bool { return who.Load() == 2 })
	if d := time.Since(begin); d > 2*time.Second {
		s.Errorf("what was given back was taken after %v", d)
	}
	compete(0)
	s.Cut(1)
	begin = time.Now()
	s.until("the first works again", func() bool { return who.Load() == 1 })
	if d := time.Since(begin); d < 2*time.Second || d > 20*time.Second {
		s.Errorf("a node that was cut lost its lease after %v", d)
	}
	s.Restore(1)
}

// hub starts a hub on a node, until the test ends.
func (s *suite) hub(node int) *hub.Hub {
	s.Helper()
	h := hub.New(hub.Config{QueueBytes: 64 << 20}, s.Nodes[node], slog.New(slog.DiscardHandler))
	if err := h.Start(s.ctx); err != nil {
		s.Fatalf("start: %v", err)
	}
	s.Cleanup(func() {
		_ = s.Nodes[node].Close(context.Background())
		h.Close()
	})
	return h
}

// publish publishes number i until it is stored; the key makes repeating safe.
func (s *suite) publish(h *hub.Hub, tenant *earshot.App, i int) {
	s.Helper()
	for {
		m := &earshot.Message{Channel: "numbers", Kind: earshot.Text, Data: []byte(strconv.Itoa(i)), Store: earshot.Forever}
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		_, err := h.Publish(ctx, tenant, hub.Publication{Message: m, Key: strconv.Itoa(i)})
		cancel()
		if err == nil {
			return
		}
		if s.ctx.Err() != nil || !earshot.CodeOf(err).Temporary() {
			s.Fatalf("publish %d: %v", i, err)
		}
	}
}

// A listener is a client that reads all it is sent.
type listener struct {
	conn *hub.Conn

	mu   sync.Mutex
	got  []string
	gone bool
}

var _ hub.Transport = (*listener)(nil)

// listen connects a client that is subscribed to the numbers, from a position
// if one is given.
func (s *suite) listen(h *hub.Hub, tenant *earshot.App, after *earshot.Position) *listener {
	s.Helper()
	l := &listener{}
	id := &earshot.Identity{App: tenant.Slug, Grants: []earshot.Grant{{Channel: earshot.Glob("*"), Allow: earshot.Subscribe, HistoryStart: &time.Time{}}}}
	c, err := h.Open(h.NextShard(), l, hub.Opening{App: tenant, Identity: id, Farewell: l})
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	c.Serve(silent{})
	l.conn = c
	s.Cleanup(func() {
		c.Close(nil)
		c.Ended(hub.End{})
	})
	s.subscribe(l, after)
	return l
}

// subscribe joins as an adapter does; a node without a link is asked again.
func (s *suite) subscribe(l *listener, after *earshot.Position) {
	s.Helper()
	text := &hub.Encoding{Name: "text", Render: func(m *earshot.Message) *hub.Frame { return hub.TextFrame(m.Data) }}
	joined := make(chan error, 1)
	join := func(ctx context.Context) {
		sub, exact, err := l.conn.Subscribe(ctx, hub.Join{Channel: "numbers", Encoding: text, After: after})
		if err == nil && !exact {
			err = errors.New("the join is not exact")
		}
		if err == nil {
			err = sub.Start(ctx)
		}
		joined <- err
	}
	for {
		l.conn.Do(join)
		err := <-joined
		if err == nil {
			return
		}
		if s.ctx.Err() != nil || !earshot.CodeOf(err).Temporary() {
			s.Fatalf("subscribe: %v", err)
		}
	}
}

// Push takes a frame.
func (l *listener) Push(f *hub.Frame) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, string(f.Body))
	return 0
}

// Flush has nothing to write.
func (l *listener) Flush() int { return 0 }

// Close is the end.
func (l *listener) Close(hub.Goodbye) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
}

// A silent handler hears nothing from its client.
type silent struct{}

// Handle is never called.
func (silent) Handle(context.Context, hub.Input) error { return nil }

// Close has nothing to end.
func (silent) Close(hub.End) {}

// Farewell says nothing.
func (l *listener) Farewell(error) (*hub.Frame, int, string) { return nil, 0, "" }

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got)
}

// check reports what is lost, doubled or out of order.
func (l *listener) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return fmt.Errorf("was cut after %d", len(l.got))
	}
	for i, text := range l.got {
		if text != strconv.Itoa(i+1) {
			return fmt.Errorf("number %s came in place %d", text, i+1)
		}
	}
	return nil
}
