package bench

import "testing"

func TestTally(t *testing.T) {
	for name, test := range map[string]struct {
		numbers []uint32
		sent    uint32
		want    Faults
		fresh   int
	}{
		"clean":             {[]uint32{0, 1, 2, 3}, 4, Faults{}, 4},
		"nothing":           {nil, 0, Faults{}, 0},
		"lost in between":   {[]uint32{0, 1, 3}, 4, Faults{Lost: 1}, 3},
		"lost at the start": {[]uint32{2, 3}, 4, Faults{Lost: 2}, 2},
		"lost at the end":   {[]uint32{0, 1}, 4, Faults{Lost: 2}, 2},
		"all lost":          {nil, 4, Faults{Lost: 4}, 0},
		"twice":             {[]uint32{0, 1, 1, 2, 3}, 4, Faults{Duplicated: 1}, 4},
		"twice, later":      {[]uint32{0, 1, 2, 3, 0}, 4, Faults{Duplicated: 1}, 4},
		"swapped":           {[]uint32{0, 2, 1, 3}, 4, Faults{Reordered: 1}, 4},
		"late and twice":    {[]uint32{0, 2, 1, 1, 3}, 4, Faults{Reordered: 1, Duplicated: 1}, 4},
		"all of it":         {[]uint32{1, 0, 2, 2, 4}, 6, Faults{Reordered: 1, Duplicated: 1, Lost: 2}, 4},
	} {
		ta := newTally(3, 2)
		fresh := 0
		for _, n := range test.numbers {
			if ta.add(1, 1, n) {
				fresh++
			}
		}
		got := ta.result()
		got.Lost += ta.tail(1, 1, test.sent)
		if got != test.want || fresh != test.fresh {
			t.Errorf("%s: %+v with %d fresh, not %+v with %d", name, got, fresh, test.want, test.fresh)
		}
		if other := ta.tail(1, 0, 0) + ta.tail(0, 1, 0); other != 0 {
			t.Errorf("%s: others are missing %d", name, other)
		}
	}
}

// TestTallyIsBounded checks that a wild number costs no memory without end.
func TestTallyIsBounded(t *testing.T) {
	ta := newTally(1, 1)
	ta.add(0, 0, 1<<30-1)
	if len(ta.skipped) > maxSkipped {
		t.Errorf("%d skipped numbers are remembered", len(ta.skipped))
	}
	if got := ta.result().Lost; got != 1<<30-1 {
		t.Errorf("%d are lost", got)
	}
}
