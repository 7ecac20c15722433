package nats

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSpans(t *testing.T) {
	var a audits
	a.reset(10)
	for _, seq := range []uint64{11, 13, 17, 14, 5, 16, 20} {
		a.saw(seq)
	}
	if got := a.missing(22); !slices.Equal(got, []span{{12, 12}, {15, 15}, {18, 19}, {21, 22}}) {
		t.Errorf("missing: %v", got)
	}
	a.sawAll(span{12, 19})
	if got := a.missing(20); len(got) != 0 || a.floor != 20 {
		t.Errorf("missing: %v above %d", got, a.floor)
	}
	a.back(15)
	if got := a.missing(20); !slices.Equal(got, []span{{15, 20}}) {
		t.Errorf("after a restart: %v", got)
	}
}

// TestSpansAreASet compares with a plain set.
func TestSpansAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 40
		var a audits
		seen := map[uint64]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			lo := uint64(rapid.IntRange(1, most).Draw(t, "lo"))
			hi := min(lo+uint64(rapid.IntRange(0, 4).Draw(t, "more")), most)
			a.sawAll(span{lo, hi})
			for seq := lo; seq <= hi; seq++ {
				seen[seq] = true
			}
		}
		missed := map[uint64]bool{}
		for _, s := range a.missing(most) {
			for seq := s.lo; seq <= s.hi; seq++ {
				missed[seq] = true
			}
		}
		for seq := uint64(1); seq <= most; seq++ {
			if seen[seq] == missed[seq] {
				t.Fatalf("%d: seen %v, missing %v", seq, seen[seq], missed[seq])
			}
		}
	})
}
