package hotsock

import (
	"context"
	"sync"

	"github.com/earshot-io/earshot"
)

// maxTurns is how many requests of one connection are answered at once. An
// answer may have a megabyte, and is in memory until the client has taken it.
const maxTurns = 2

// A turnOf is whose turns they are: who knows a connection's secret.
type turnOf struct {
	id     earshot.ConnID
	secret string
}

// turns let requests of one connection wait for each other. The zero turns are
// ready. They are safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	taken map[turnOf]*turn
}

// A turn is what the requests of one connection share, while there are any.
type turn struct {
	slots    chan struct{}
	requests int
}

// take waits for a turn. Leave gives it back, and is to be called whatever
// becomes of the request; ok is false if the context ended before.
func (t *turns) take(ctx context.Context, of turnOf) (leave func(), ok bool) {
	own := t.enter(of)
	select {
	case own.slots <- struct{}{}:
		return func() { <-own.slots; t.leave(of, own) }, true
	case <-ctx.Done():
		return func() { t.leave(of, own) }, false
	}
}

func (t *turns) enter(of turnOf) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.taken[of]
	if own == nil {
		if t.taken == nil {
			t.taken = map[turnOf]*turn{}
		}
		own = &turn{slots: make(chan struct{}, maxTurns)}
		t.taken[of] = own
	}
	own.requests++
	return own
}

func (t *turns) leave(of turnOf, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.requests--; own.requests == 0 {
		delete(t.taken, of)
	}
}
