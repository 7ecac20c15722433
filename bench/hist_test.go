package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var a, b, sum histogram
	var all []time.Duration
	for i := range 100_000 {
		d := time.Duration(r.ExpFloat64() * float64(300*time.Microsecond))
		all = append(all, d)
		if i%2 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	sum.merge(&a)
	sum.merge(&b)
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 1} {
		got, want := sum.quantile(q), all[int(q*float64(len(all)))-1]
		if got < want || float64(got) > float64(want)*1.016+1 {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
	if sum.max != all[len(all)-1] || sum.total != 100_000 {
		t.Errorf("max %v, total %d", sum.max, sum.total)
	}
}

// TestHistogramSteps checks that steps follow each other without a hole.
func TestHistogramSteps(t *testing.T) {
	next := uint64(0)
	for i := range len(histogram{}.counts) {
		if got := step(next); got != i {
			t.Fatalf("%d is in step %d, not %d", next, got, i)
		}
		if got := step(top(i)); got != i {
			t.Fatalf("%d is in step %d, not %d", top(i), got, i)
		}
		next = top(i) + 1
	}
	if next != 0 {
		t.Errorf("the steps end at %d", next)
	}
}

func TestHistogramEdges(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	h.add(-time.Second)
	h.add(time.Duration(1<<63 - 1))
	if h.quantile(0.5) != 0 || h.quantile(1) != h.max {
		t.Errorf("median %v, maximum %v", h.quantile(0.5), h.quantile(1))
	}
}
