package hub

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// ServeWaiting is Serve for calls that wait for something to happen. They do not
// take the places of others, and their context ends at once when the caller gives
// up, on whatever node. There may be one for each connection: 16384 in all, above
// which a call fails with Limited.
func (h *Hub) ServeWaiting(kind string, f Callee) {
	h.Serve(kind, f)
	h.asks.mu.Lock()
	defer h.asks.mu.Unlock()
	if h.asks.waits == nil {
		h.asks.waits = map[string]bool{}
	}
	h.asks.waits[kind] = true
}

// CallAt is Call for who knows which node holds the connection, so that no other
// is asked. It fails with NotFound also if that node is none of those that live.
func (h *Hub) CallAt(ctx context.Context, node string, id earshot.ConnID, kind string, data []byte) ([]byte, error) {
	if node == h.nodes.name {
		if c := h.Conn(id); c != nil {
			return h.carryOut(ctx, c, kind, data)
		}
		return nil, errNoConn
	}
	switch {
	case len(data) > MaxTell-1024:
		return nil, earshot.Errorf(earshot.TooLarge, "a call of %d bytes", len(data))
	case h.nodes.met() && !h.nodes.lives(node):
		return nil, errNoConn
	}
	q := h.asks.begin([]string{node})
	defer h.asks.end(q)
	left := callTime
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	c := control{Question: &question{Number: q.number, Conn: id, Kind: kind, Data: data, Left: left.Milliseconds()}}
	if err := h.tell(node, &c); err != nil {
		return nil, err
	}
	answer, err := h.await(ctx, q)
	if ctx.Err() != nil {
		_ = h.tell(node, &control{Question: &question{Number: q.number, Conn: id, Over: true}})
	}
	return answer, err
}

// lives reports whether a node is one of those that live.
func (n *nodes) lives(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[name]
	return p != nil && !p.over
}

// A caller is who waits for a call: a node, and its number of it.
type caller struct {
	node   string
	number uint64
}

// places are what calls of a kind take one of; waits says that they wait.
func (a *asks) places(kind string) (places chan struct{}, waits bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waits[kind] {
		return a.waiting, true
	}
	return a.served, false
}

// run makes a note of how a call is ended early. It returns how it is ended.
func (a *asks) run(c caller, cancel context.CancelFunc) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.runs == nil {
		a.runs = map[caller]context.CancelFunc{}
	}
	a.runs[c] = cancel
	return func() {
		a.mu.Lock()
		delete(a.runs, c)
		a.mu.Unlock()
		cancel()
	}
}

// giveUp ends a call whose caller waits no more.
func (a *asks) giveUp(c caller) {
	a.mu.Lock()
	cancel := a.runs[c]
	a.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}
