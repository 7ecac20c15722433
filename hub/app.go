package hub

import (
	"context"
	"maps"
	"slices"
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
	// floor is the newest sequence that was delivered on a channel that is
	// forgotten now.
	floor uint64

	patternMu      sync.RWMutex
	patterns       trie
	byPattern      map[string]*pattern
	patternVersion atomic.Uint64

	notices notices

	used used
}

func newApp(h *Hub, slug string) *app {
	a := &app{hub: h, slug: slug, channels: map[string]*channel{}, byPattern: map[string]*pattern{}}
	a.used.out = make([]sent, len(h.shards))
	return a
}

// known returns the channel, locked, if this node knows it, or has reason to: a
// pattern that matches. Else it returns nil.
func (a *app) known(name string) *channel {
	for {
		a.mu.RLock()
		c := a.channels[name]
		a.mu.RUnlock()
		if c == nil {
			base, ok := a.patternBase(name)
			if !ok {
				return nil
			}
			c = a.channel(name, base)
		}
		c.mu.Lock()
		if !c.dead {
			return c
		}
		c.mu.Unlock()
	}
}

// patternBase returns the sequence up to which nothing of a channel that is new
// here is owed to the patterns that match it; ok is false if none does.
func (a *app) patternBase(name string) (base uint64, ok bool) {
	if a.patternVersion.Load() == 0 {
		return 0, false
	}
	for i, p := range a.match(name) {
		if i == 0 || p.base < base {
			base, ok = p.base, true
		}
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return max(base, a.floor), ok
}

// acquire returns the channel, made if need be, and locked. The bus hears it.
func (a *app) acquire(ctx context.Context, name string) (*channel, error) {
	for {
		base, ok := a.patternBase(name)
		if !ok {
			base = a.hub.seen.Load()
		}
		c := a.channel(name, base)
		c.mu.Lock()
		if c.dead {
			c.mu.Unlock()
			continue
		}
		if c.release != nil {
			return c, nil
		}
		if others := c.hearing; others != nil {
			c.mu.Unlock()
			select {
			case <-others:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		c.hearing = make(chan struct{})
		c.mu.Unlock()
		from, release, err := a.hub.engine.Hear(ctx, a.slug, name)
		c.mu.Lock()
		close(c.hearing)
		c.hearing = nil
		if err != nil {
			c.mu.Unlock()
			c.left()
			return nil, err
		}
		c.release = release
		if len(c.parts) == 0 && c.ring == nil && len(c.matching()) == 0 {
			// What was stored before it was heard is not owed live.
			c.order.last = max(c.order.last, a.hub.seen.Load(), from)
		}
		return c, nil
	}
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

// sweep ages the rings of all channels, and forgets the channels that are of no
// more use.
func (a *app) sweep(now time.Time) {
	a.notices.age(now)
	a.mu.RLock()
	all := slices.Collect(maps.Values(a.channels))
	a.mu.RUnlock()
	for _, c := range all {
		c.mu.Lock()
		c.age(now)
		idle := c.idle()
		c.mu.Unlock()
		if idle {
			c.left()
		}
	}
}
