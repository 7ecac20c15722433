package hub

import (
	"context"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

// Info is the state of a channel over all nodes.
type Info struct {
	// Subscriptions counts those to the channel's name, without the ones whose
	// terms hold earshot.Uncounted.
	Subscriptions int
	// Members are who is present, in the order in which they came.
	Members []Member
}

const (
	// countTime bounds how long the other nodes are waited for, and countKept
	// how long their answer is used again.
	countTime = 500 * time.Millisecond
	countKept = 100 * time.Millisecond
	maxCounts = 1000
)

// Info returns the state of a channel, of one that nobody knows too. What is on
// this node is as of now; what is on others is asked for: their answer may be a
// tenth of a second old, and one that does not answer within half a second is
// left out. It fails when the context ends.
func (h *Hub) Info(ctx context.Context, a *earshot.App, channel string) (Info, error) {
	k := roomKey{a.Slug, channel}
	n, ok := h.elsewhere.get(k)
	if !ok {
		var err error
		if n, err = h.countElsewhere(ctx, k); err != nil {
			return Info{}, err
		}
	}
	info := Info{Subscriptions: n + h.countHere(k)}
	if r := h.roster.known(k); r != nil {
		info.Members = r.list()
		r.unlock()
	}
	return info, nil
}

// countHere counts this node's subscriptions to a channel.
func (h *Hub) countHere(k roomKey) int {
	h.appsMu.RLock()
	a := h.apps[k.app]
	h.appsMu.RUnlock()
	if a == nil {
		return 0
	}
	a.mu.RLock()
	c := a.channels[k.channel]
	a.mu.RUnlock()
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.parts {
		n += int(p.count.Load() - p.hidden.Load())
	}
	return n
}

// elsewhere remembers for a moment what other nodes have counted.
type elsewhere struct {
	mu     sync.Mutex
	counts map[roomKey]counted
}

type counted struct {
	n  int
	at time.Time
}

func (e *elsewhere) get(k roomKey) (int, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.counts[k]
	return c.n, ok && time.Since(c.at) < countKept
}

func (e *elsewhere) set(k roomKey, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.counts == nil || len(e.counts) >= maxCounts {
		e.counts = map[roomKey]counted{}
	}
	e.counts[k] = counted{n, time.Now()}
}

// countElsewhere asks the other nodes. It leaves out those that do not answer in
// time, and fails when the context ends.
func (h *Hub) countElsewhere(ctx context.Context, k roomKey) (int, error) {
	others := h.nodes.others()
	if len(others) == 0 {
		return 0, ctx.Err()
	}
	q := h.asks.begin(others)
	defer h.asks.end(q)
	if h.tell("", &control{Question: &question{Number: q.number, App: k.app, Channel: k.channel}}) != nil {
		return 0, ctx.Err()
	}
	timer := time.NewTimer(countTime)
	defer timer.Stop()
	n := 0
	for len(q.left) > 0 {
		select {
		case r := <-q.in:
			if q.left[r.node] {
				delete(q.left, r.node)
				n += r.Count
			}
		case <-timer.C:
			return n, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-h.ctx.Done():
			return n, nil
		}
	}
	h.elsewhere.set(k, n)
	return n, nil
}
