package gateway

import "sync"

// waiting are the handshakes that wait for backends: so many on a node, and a
// quarter of that of one app, so that no app's slow backend keeps the clients of
// others out.
type waiting struct {
	most int

	mu  sync.Mutex
	all int
	by  map[string]int // by app
}

func newWaiting(most int) *waiting { return &waiting{most: most, by: map[string]int{}} }

// enter takes a place for a handshake of an app, and reports whether there was one.
func (w *waiting) enter(slug string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= w.most || w.by[slug] >= max(w.most/4, 1) {
		return false
	}
	w.all++
	w.by[slug]++
	return true
}

func (w *waiting) leave(slug string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.by[slug]--; w.by[slug] == 0 {
		delete(w.by, slug)
	}
}

func (w *waiting) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all
}
