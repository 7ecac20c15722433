package bench

// Faults are what must not happen. The zero value is a clean run.
type Faults struct {
	// Lost messages never came to one of their subscribers; one that should
	// have gone to three and came to none counts three times.
	Lost uint64 `json:"lost"`
	// Duplicated messages came to a subscriber that had them.
	Duplicated uint64 `json:"duplicated"`
	// Reordered messages came after one that the same publisher sent later.
	Reordered uint64 `json:"reordered"`
	// Misdirected messages came to a subscriber of another channel.
	Misdirected uint64 `json:"misdirected"`
	// Broken resumes were told that something may be missing.
	Broken uint64 `json:"broken"`
	// Dropped connections ended before we ended them.
	Dropped uint64 `json:"dropped"`
}

// Any reports whether there is a fault.
func (f Faults) Any() bool { return f != Faults{} }

func (f *Faults) add(g Faults) {
	f.Lost += g.Lost
	f.Duplicated += g.Duplicated
	f.Reordered += g.Reordered
	f.Misdirected += g.Misdirected
	f.Broken += g.Broken
	f.Dropped += g.Dropped
}

// maxSkipped bounds what a tally remembers of skipped messages.
const maxSkipped = 1 << 20

// A tally knows of each subscriber which number it expects next from each
// publisher. It is not for concurrent use.
type tally struct {
	publishers int
	next       []uint32 // [subscriber*publishers+publisher]
	// skipped are numbers that were passed over and have not come since, by
	// place in next; beyond maxSkipped they are only counted.
	skipped  map[skip]struct{}
	overflow uint64
	faults   Faults
}

type skip struct{ place, number uint32 }

func newTally(subscribers, publishers int) *tally {
	return &tally{publishers: publishers, next: make([]uint32, subscribers*publishers), skipped: map[skip]struct{}{}}
}

// add notes that subscriber was sent number of publisher. It reports whether
// that is the first time.
func (t *tally) add(subscriber, publisher, number uint32) bool {
	place := subscriber*uint32(t.publishers) + publisher
	next := &t.next[place]
	switch {
	case number == *next:
		*next++
		return true
	case number > *next:
		t.pass(place, *next, number)
		*next = number + 1
		return true
	}
	if _, late := t.skipped[skip{place, number}]; late {
		delete(t.skipped, skip{place, number})
		t.faults.Reordered++
		return true
	}
	t.faults.Duplicated++
	return false
}

// pass remembers that the numbers [from, to) did not come yet.
func (t *tally) pass(place, from, to uint32) {
	for n := from; n < to; n++ {
		if len(t.skipped) >= maxSkipped {
			t.overflow += uint64(to - n)
			return
		}
		t.skipped[skip{place, n}] = struct{}{}
	}
}

// tail returns how many of a publisher's last messages, sent being how many it
// sent in all, did not come to a subscriber.
func (t *tally) tail(subscriber uint32, publisher int, sent uint32) uint64 {
	next := t.next[int(subscriber)*t.publishers+publisher]
	return uint64(sent - min(next, sent))
}

// result returns the faults found, the messages passed over as lost ones.
func (t *tally) result() Faults {
	f := t.faults
	f.Lost += uint64(len(t.skipped)) + t.overflow
	return f
}
