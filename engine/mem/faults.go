package mem

import (
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// An Outcome is what becomes of an append. The zero Outcome stores it and says so.
type Outcome struct {
	// Err is what the publisher is told, after Delay. What it is told by an error
	// with the code earshot.Unknown is stored all the same, any other is not.
	Err   error
	Delay time.Duration
}

// A Fate is what becomes of a stored message on its way to one node. The zero
// Fate delivers it once and at once.
type Fate struct {
	// Lost messages arrive with the next audit, if they still exist.
	Lost bool
	// Twice delivers the message again with the one after it.
	Twice bool
	// Late holds the message back; others overtake it.
	Late time.Duration
}

// OnAppend lets f decide what becomes of each append; nil ends it. It is called
// with the store locked.
func (s *Store) OnAppend(f func(node int, m *earshot.Message) Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onAppend = f
}

// OnRepublish lets f decide what becomes of each republished message on its
// way to a node; nil ends it. It is called with the store locked.
func (s *Store) OnRepublish(f func(node int, m *earshot.Message) Fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRepublish = f
}

// OnPut lets f decide what becomes of each write of a record, a Delete
// included; nil ends it. It is called with the store locked.
func (s *Store) OnPut(f func(node int, key hub.Key) Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records.onPut = f
}

// Lag makes reads answer as a replica that is n messages behind, as far as the
// reader allows it.
func (s *Store) Lag(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = n
}

// Slow makes every Read and every Hear take that long.
func (s *Store) Slow(read, hear time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowRead, s.slowHear = read, hear
}

// NewEpoch loses all that is stored, and begins another life of the stream.
func (s *Store) NewEpoch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.seq = 0
	clear(s.logs)
	clear(s.keys)
	s.box = box{fails: s.box.fails}
	for _, e := range s.nodes {
		e.audited = 0
		clear(e.got)
	}
}

// Purge removes all but the newest keep messages of a channel.
func (s *Store) Purge(app, channel string, keep int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[name{app, channel}]; l != nil {
		l.trim(keep)
	}
}

// Cut cuts the node's link: nothing reaches it, and what it asks for fails as
// Unavailable, until Restore.
func (e *Engine) Cut() {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	e.cut = true
}

// Restore mends the link. The node then reads what it missed, and its watches
// are told.
func (e *Engine) Restore() {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	e.cut = false
	e.audit()
	for w := range e.store.records.watches {
		if w.node == e {
			w.signal()
		}
	}
}
