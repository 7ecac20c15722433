package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// An app is one application's channel space on this node.
type app struct {
	hub  *Hub
	slug string

	mu       sync.RWMutex
	channels map[string]*channel
	// resting are channels that nobody is subscribed to by name, but whose ring
	// may still be of use, or which a pattern matches.
	resting map[string]*channel
	// floor is the newest sequence of the channels that were forgotten.
	floor uint64

	patternMu      sync.RWMutex
	patterns       trie
	byPattern      map[string]*pattern
	patternVersion atomic.Uint64
}

func newApp(h *Hub, slug string) *app {
	return &app{hub: h, slug: slug, channels: map[string]*channel{}, resting: map[string]*channel{}, byPattern: map[string]*pattern{}}
}

// lookup returns the channel if this node knows it, or has reason to: a pattern
// that matches.
func (a *app) lookup(name string) *channel {
	a.mu.RLock()
	c := a.channels[name]
	a.mu.RUnlock()
	if c != nil || a.patternVersion.Load() == 0 {
		return c
	}
	matching := a.match(name)
	if len(matching) == 0 {
		return nil
	}
	base := matching[0].base
	for _, p := range matching[1:] {
		base = min(base, p.base)
	}
	a.mu.RLock()
	base = max(base, a.floor)
	a.mu.RUnlock()
	c = a.channel(name, base)
	a.mu.Lock()
	if !c.dead {
		a.resting[name] = c
	}
	a.mu.Unlock()
	return c
}

// acquire returns the channel, made if need be, and locked. The bus hears it.
func (a *app) acquire(ctx context.Context, name string) (*channel, error) {
	for {
		c := a.channel(name, a.hub.seen.Load())
		c.mu.Lock()
		if c.dead {
			c.mu.Unlock()
			continue
		}
		if c.release != nil {
			return c, nil
		}
		c.mu.Unlock()
		release, stored, err := a.hear(ctx, name)
		if err != nil {
			c.left()
			return nil, err
		}
		c.mu.Lock()
		if c.dead || c.release != nil {
			c.mu.Unlock()
			release()
			continue
		}
		c.release = release
		if len(c.parts) == 0 && c.ring == nil {
			// What was stored before it was heard is not owed live.
			c.order.last = max(c.order.last, a.hub.seen.Load(), stored)
		}
		return c, nil
	}
}

// hear makes the bus hear a channel, and returns the newest sequence that is
// stored of it: what is not heard does not raise hub.seen, and would look like a
// gap when the first message comes.
func (a *app) hear(ctx context.Context, name string) (release func(), stored uint64, err error) {
	if release, err = a.hub.engine.Hear(ctx, a.slug, name); err != nil {
		return nil, 0, err
	}
	page, err := a.hub.engine.Read(ctx, a.slug, name, Range{Reverse: true, Limit: 1, Hidden: true, AtLeast: a.hub.seen.Load()})
	if err != nil {
		release()
		return nil, 0, err
	}
	for _, m := range page.Messages {
		stored = m.ID.Position().Seq
	}
	return release, stored, nil
}

// channel returns the channel, made if need be: nothing up to base is owed live.
func (a *app) channel(name string, base uint64) *channel {
	a.mu.RLock()
	c := a.channels[name]
	a.mu.RUnlock()
	if c != nil {
		return c
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.channels[name]; c != nil {
		return c
	}
	c = &channel{app: a, name: name, order: order{epoch: a.hub.epoch(), last: base}}
	a.channels[name] = c
	return c
}

// sweep forgets channels that rested long enough, and those that only a
// pattern had brought up.
func (a *app) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.resting {
		c.mu.Lock()
		c.sweep(now)
		c.mu.Unlock()
	}
}
