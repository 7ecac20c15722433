package auth

import "time"

// Entrants is how many owners are remembered.
func Entrants(o *Operator) int {
	o.entrants.mu.Lock()
	defer o.entrants.mu.Unlock()
	return len(o.entrants.young) + len(o.entrants.old)
}

// Cheapen makes what is hashed for nobody cost as little as the hashes of tests.
func Cheapen(o *Operator) { CostNobody(o, 1, 64) }

// CostNobody sets what is hashed for nobody.
func CostNobody(o *Operator, passes, memory uint32) {
	o.nobody.time, o.nobody.memory, o.nobody.threads = passes, memory, 1
}

// Rest ends the rest behind the last hash.
func Rest(o *Operator) { o.rested = time.Time{} }

// HoldHashing lets nobody hash until what it returns is called.
func HoldHashing(o *Operator) (release func()) {
	o.turn <- struct{}{}
	return func() { <-o.turn }
}
