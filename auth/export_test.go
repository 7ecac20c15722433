package auth

// Entrants is how many owners are remembered.
func Entrants(o *Operator) int {
	o.entrants.mu.Lock()
	defer o.entrants.mu.Unlock()
	return len(o.entrants.young) + len(o.entrants.old)
}

// Cheapen makes what is hashed for nobody cost as little as the hashes of tests.
func Cheapen(o *Operator) { o.nobody.time, o.nobody.memory, o.nobody.threads = 1, 64, 1 }

// HoldHashing lets nobody hash until what it returns is called.
func HoldHashing(o *Operator) (release func()) {
	o.turn <- struct{}{}
	return func() { <-o.turn }
}
