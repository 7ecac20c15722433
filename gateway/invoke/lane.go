package invoke

import (
	"errors"
	"sync"
	"time"
)

// What becomes of an integration that cannot be reached.
const (
	defaultConcurrency = 1000
	tripAfter          = 5
	firstPause         = time.Second
	longestPause       = 30 * time.Second
	// forgetAfter is how long one that failed is remembered when nobody calls it.
	forgetAfter = 10 * time.Minute
	minSweep    = 1024
)

// A laneName tells integrations apart: one of an app's, with where it leads.
type laneName struct {
	app, api, id, target string
	authorizer           bool
}

// lanes are those of a node. What is at rest is forgotten.
type lanes struct {
	mu      sync.Mutex
	all     map[laneName]*lane
	sweepAt int
}

// A lane is an integration's: it bounds the calls under way, and stops them for a
// while after too many failures to reach it. lanes.mu guards it.
type lane struct {
	running  int
	failures int // in a row
	trips    int // pauses since it was last reached
	paused   time.Time
	probing  bool
	used     time.Time
}

// An outcome is what a call showed about whether its backend can be reached.
type outcome uint8

const (
	reached outcome = iota
	unreached
	unsaid
)

var (
	errBusy   = errors.New("too many calls are under way")
	errPaused = errors.New("it could not be reached, and is let alone for a while")
)

// A pass is a call in its lane.
type pass struct {
	of    *lanes
	lane  *lane
	probe bool
}

// enter lets a call into a lane, or says why not. Whoever was let in leaves again.
func (l *lanes) enter(name laneName, limit int, now time.Time) (*pass, error) {
	if limit <= 0 {
		limit = defaultConcurrency
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.all[name]
	if n == nil {
		l.sweep(now)
		n = &lane{}
		l.all[name] = n
	}
	n.used = now
	probe := n.trips > 0
	switch {
	case probe && (n.probing || now.Before(n.paused)):
		return nil, errPaused
	case n.running >= limit:
		return nil, errBusy
	}
	n.running++
	n.probing = probe
	return &pass{l, n, probe}, nil
}

// leave says what became of the call.
func (p *pass) leave(o outcome, now time.Time) {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	n := p.lane
	n.running--
	if p.probe {
		n.probing = false
	}
	switch {
	case o == reached:
		n.failures, n.trips = 0, 0
	case o == unreached && (p.probe || n.trips == 0):
		n.failures++
		if p.probe || n.failures >= tripAfter {
			n.paused = now.Add(min(firstPause<<min(n.trips, 10), longestPause))
			n.trips++
		}
	}
}

// sweep forgets lanes at rest, whenever there are twice as many as were left.
func (l *lanes) sweep(now time.Time) {
	if len(l.all) < l.sweepAt {
		return
	}
	for name, n := range l.all {
		if n.running == 0 && (n.failures == 0 || now.Sub(n.used) > forgetAfter) {
			delete(l.all, name)
		}
	}
	l.sweepAt = max(minSweep, 2*len(l.all))
}

// count returns how many calls are under way, and how many lanes are paused.
func (l *lanes) count() (running, paused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.all {
		running += n.running
		if n.trips > 0 {
			paused++
		}
	}
	return running, paused
}
