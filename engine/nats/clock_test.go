package nats

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A crooked clock is the machine's, and steps when it is told to. What it
// stamped before keeps its stamp, as in the server's files.
type crooked struct {
	mu     sync.Mutex
	offset time.Duration
	stamps map[uint64]time.Duration
}

func (c *crooked) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *crooked) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

func (c *crooked) stamped(seq uint64, at time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.stamps[seq]; !ok {
		c.stamps[seq] = c.offset
	}
	return at.Add(c.stamps[seq])
}

func TestIDsRiseWhenTheClockStepsBack(t *testing.T) {
	for _, back := range []time.Duration{time.Millisecond, time.Second, time.Hour} {
		t.Run(back.String(), func(t *testing.T) { stepBack(t, back) })
	}
}

func stepBack(t *testing.T, back time.Duration) {
	clock := &crooked{stamps: map[uint64]time.Duration{}}
	c := Config{Dir: t.TempDir(), Now: clock.now, stamped: clock.stamped}
	e := open(t, c)
	var ids []earshot.ID
	more := func(n int) {
		for range n {
			ids = append(ids, put(t, e, "c", fmt.Sprint(len(ids)), hub.AppendOptions{}))
		}
	}
	more(5)
	clock.step(-back)
	begin := time.Now()
	more(5)
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("publishes were held for %v", d)
	}
	if steps := e.Stats().ClockSteps; back > 2*time.Second && steps == 0 || back < 10*time.Millisecond && steps > 0 {
		t.Errorf("%d steps were recorded", steps)
	}
	closeEngine(t, e)
	e = open(t, c)
	more(5)
	clock.step(back + time.Second) // and it is set right
	more(5)
	check := func(what string, all []earshot.ID) {
		for i := 1; i < len(all); i++ {
			if slices.Compare(all[i-1][:], all[i][:]) >= 0 {
				t.Errorf("%s: id %d is %v, after %v", what, i, all[i], all[i-1])
			}
		}
	}
	check("as answered", ids)
	var read []earshot.ID
	page, err := e.Read(t.Context(), "app", "c", hub.Range{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Messages {
		read = append(read, m.ID)
	}
	if !slices.Equal(read, ids) {
		t.Errorf("read as %v, answered were %v", read, ids)
	}
	if lead := e.timeline.lead.Load(); lead != 0 {
		t.Errorf("ids still run %d ms ahead of a clock that is right", lead)
	}
}

func TestTimelineIsWhatWasRecorded(t *testing.T) {
	var tl timeline
	at := time.UnixMilli(1_000_000)
	tl.saw(1, at)
	back := at.Add(-time.Hour)
	s, ok := tl.needs(2, back)
	if !ok || s != (step{2, 3_600_000}) {
		t.Fatalf("an hour back: %+v %v", s, ok)
	}
	tl.set([]step{s})
	if got := tl.saw(2, back); !got.Equal(at) {
		t.Errorf("message 2 is of %v, want %v", got, at)
	}
	if got := tl.at(1, at); !got.Equal(at) {
		t.Errorf("message 1 is of %v now", got)
	}
	if s, ok := tl.needs(3, back.Add(time.Second)); ok {
		t.Errorf("the clock goes on, but needs %+v", s)
	}
	if s, ok := tl.needs(3, at.Add(time.Second)); !ok || s != (step{3, 0}) {
		t.Errorf("the clock was set right: %+v %v", s, ok)
	}
	if tl.behind(back.Add(-time.Minute)) != true || tl.behind(back.Add(time.Minute)) {
		t.Error("behind does not count the lead")
	}
}

func TestEpochsNeverAreZero(t *testing.T) {
	if got := nextEpoch(65535); got != 1 {
		t.Errorf("after the last epoch comes %d", got)
	}
	for range 1000 {
		if firstEpoch() == 0 {
			t.Fatal("the first epoch is 0")
		}
	}
}
