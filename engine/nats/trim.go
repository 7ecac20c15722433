package nats

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// depths are the depths of channels' rules, as their newest messages say: a
// reader does not know the rule.
type depths struct {
	mu    sync.Mutex
	known map[channelName]int
}

// maxDepths is how many channels' depths are remembered.
const maxDepths = 64 << 10

func (d *depths) set(app, channel string, depth int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= maxDepths {
		d.known = map[channelName]int{}
	}
	d.known[channelName{app, channel}] = depth
}

func (d *depths) get(app, channel string) (depth int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	depth, ok = d.known[channelName{app, channel}]
	return depth, ok
}

func (d *depths) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = nil
}

// depth is how many of the channel's newest messages are shown.
func (e *Engine) depth(ctx context.Context, l *link, app, channel, subject string) (uint64, error) {
	depth, ok := e.depths.get(app, channel)
	if !ok {
		var err error
		var found bool
		if depth, found, err = e.readDepth(ctx, l, subject); err != nil {
			return 0, err
		}
		if found && e.config.Buckets == 1 {
			e.depths.set(app, channel, depth)
		}
	}
	if depth <= 0 {
		return math.MaxUint64, nil
	}
	return uint64(depth), nil
}

// readDepth asks the channel's newest message.
func (e *Engine) readDepth(ctx context.Context, l *link, subject string) (depth int, found bool, err error) {
	m, err := l.log.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	if _, v, err := e.codec.open(m.Data); err == nil {
		return v.Depth, true, nil
	}
	return 0, false, nil
}

// trims are the channels with a depth that this node has appended to.
type trims struct {
	mu    sync.Mutex
	dirty map[channelName]*trim
}

type trim struct {
	depth int
	more  bool      // appended to since
	last  time.Time // when it was trimmed; zero for never
}

func (t *trims) init() { t.dirty = map[channelName]*trim{} }

func (t *trims) mark(app, channel string, depth int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := channelName{app, channel}
	c := t.dirty[name]
	if c == nil {
		c = &trim{last: time.Now()}
		t.dirty[name] = c
	}
	c.depth, c.more = depth, true
}

// due returns what is to be trimmed now, and forgets what rests.
func (t *trims) due(now time.Time, every time.Duration) map[channelName]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[channelName]int{}
	for name, c := range t.dirty {
		switch {
		case now.Sub(c.last) < every:
		case c.more:
			all[name] = c.depth
			c.more, c.last = false, now
		default:
			delete(t.dirty, name)
		}
	}
	return all
}

// runTrims cuts channels to their depth, each once in TrimEvery at the most.
func (e *Engine) runTrims() {
	ticker := time.NewTicker(max(e.config.TrimEvery/10, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-ticker.C:
			for name, depth := range e.trims.due(now, e.config.TrimEvery) {
				if err := e.trim(name, depth); err != nil && e.ctx.Err() == nil {
					e.log.Warn("trimming a channel", "err", err)
					e.trims.mark(name.app, name.channel, depth)
				}
			}
		}
	}
}

// trim removes all but the newest messages of a channel. What will be removed
// is recorded first.
func (e *Engine) trim(name channelName, depth int) error {
	l, err := e.linked()
	if err != nil {
		return err
	}
	ctx, cancel := contextFor(e.ctx, readTime)
	defer cancel()
	g := &reading{e: e, l: l, subject: subject(spaceStored, name.app, name.channel, e.config.Buckets)}
	first, ok, err := g.locate(ctx, 1)
	if err != nil || !ok || first.count <= uint64(depth) {
		return err
	}
	from, err := g.start(ctx, first, place{maxSeq, 0}, uint64(depth))
	if err != nil {
		return err
	}
	ms, err := g.between(ctx, from, maxSeq)
	if err != nil || len(ms) < depth {
		return err
	}
	keep := ms[len(ms)-depth].seq
	if err := e.recordRemoval(ctx, l, name.app, name.channel, keep-1); err != nil {
		return err
	}
	e.stats.trimmed.Add(1)
	return l.log.Purge(ctx, jetstream.WithPurgeSubject(g.subject), jetstream.WithPurgeSequence(keep))
}
