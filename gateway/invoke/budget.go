package invoke

import "sync"

// shares is how many apps it takes to use up a budget.
const shares = 4

// A budget bounds how many bytes all calls hold together, and those of one app a
// part of it.
type budget struct {
	limit int64

	mu   sync.Mutex
	used int64
	apps map[string]int64 // those that hold something
}

func (b *budget) take(app string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.limit || b.apps[app]+n > b.limit/shares {
		return false
	}
	b.used += n
	b.apps[app] += n
	return true
}

func (b *budget) give(app string, n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.apps[app] -= n; b.apps[app] == 0 {
		delete(b.apps, app)
	}
}

// holds returns how many bytes are held.
func (b *budget) holds() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
