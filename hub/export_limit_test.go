package hub

// Spent is of how many connections it is remembered what they have published.
func Spent(h *Hub) (n int) {
	for _, s := range h.shards {
		s.mu.Lock()
		n += len(s.spent)
		s.mu.Unlock()
	}
	return n
}
