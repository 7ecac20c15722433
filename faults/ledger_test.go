package faults

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A ledger knows what was published and what was acknowledged, and judges what
// was read back.
type ledger struct {
	mu        sync.Mutex
	attempted map[string]bool
	acked     map[string]bool
}

func newLedger() *ledger {
	return &ledger{attempted: map[string]bool{}, acked: map[string]bool{}}
}

func (l *ledger) attempt(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempted[key] = true
}

func (l *ledger) ack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[key] = true
}

// stored is one message that was read back.
type stored struct {
	id        string
	round     int
	publisher int
	n         int
}

func (s stored) key() string { return fmt.Sprintf("%d-%d-%d", s.round, s.publisher, s.n) }

// judge returns what is wrong with one channel's messages, in the order read,
// given which keys belong to it.
func (l *ledger) judge(read []stored, belongs func(key string) bool) (faults []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	last := map[int]int{}
	lastID := ""
	for _, s := range read {
		switch {
		case seen[s.key()]:
			faults = append(faults, "duplicate "+s.key())
		case !l.attempted[s.key()] || !belongs(s.key()):
			faults = append(faults, "phantom "+s.key())
		case s.n <= last[s.publisher]:
			faults = append(faults, "out of order "+s.key())
		}
		if s.id <= lastID {
			faults = append(faults, "id does not rise at "+s.key())
		}
		seen[s.key()], last[s.publisher], lastID = true, s.n, s.id
	}
	for key := range l.acked {
		if belongs(key) && !seen[key] {
			faults = append(faults, "lost "+key)
		}
	}
	return faults
}

// TestLedgerFindsFaults is the ledger's own test: each kind of harm is found.
func TestLedgerFindsFaults(t *testing.T) {
	l := newLedger()
	for n := 1; n <= 3; n++ {
		l.attempt(fmt.Sprintf("0-0-%d", n))
		l.ack(fmt.Sprintf("0-0-%d", n))
	}
	all := func(string) bool { return true }
	good := []stored{{"A", 0, 0, 1}, {"B", 0, 0, 2}, {"C", 0, 0, 3}}
	if faults := l.judge(good, all); len(faults) != 0 {
		t.Errorf("faults found where there are none: %v", faults)
	}
	for want, read := range map[string][]stored{
		"lost":         {good[0], good[2]},
		"duplicate":    {good[0], good[1], good[1], good[2]},
		"phantom":      append(append([]stored(nil), good...), stored{"D", 0, 7, 1}),
		"out of order": {good[0], good[2], good[1]},
	} {
		if faults := strings.Join(l.judge(read, all), "; "); !strings.Contains(faults, want) {
			t.Errorf("%s was not found: %q", want, faults)
		}
	}
}
