package bench

import (
	"math/bits"
	"time"
)

// subBits is the resolution of a histogram: 2^subBits steps within each power
// of two, so a value is off by at most 1.6 %.
const subBits = 6

// A histogram counts durations in steps that grow with them. The zero value is
// empty and ready. It is not for concurrent use.
type histogram struct {
	counts [(64 - subBits + 1) << subBits]uint64
	total  uint64
	max    time.Duration
}

// add counts one duration; a negative one counts as 0.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[step(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// step is the number of the step that holds v. The first 2^(subBits+1) values
// have a step each.
func step(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// top is the largest value in step i.
func top(i int) uint64 {
	if i < 2<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	low := uint64(i) - uint64(shift)<<subBits
	return (low+1)<<shift - 1
}

// merge adds what other has counted.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile returns a duration that at least the share q of those counted does
// not exceed; 0 if nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	want := max(uint64(q*float64(h.total)+0.5), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= want {
			return min(time.Duration(top(i)), h.max)
		}
	}
	return h.max
}
