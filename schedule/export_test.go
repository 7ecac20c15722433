package schedule

import "time"

// SetClock replaces the clock on the wall, before Start.
func (s *Timers) SetClock(now func() time.Time) { s.now = now }

// Known is how many timers are kept in mind, those that have ended too.
func (s *Timers) Known() (timers, lines int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all), len(s.lines)
}
