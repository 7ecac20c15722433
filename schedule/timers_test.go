package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/schedule"
)

// A journal notes what was carried out, and decides what becomes of it.
type journal struct {
	mu   sync.Mutex
	fate func(t schedule.Timer, try int) error
	done []string
	at   []time.Time
	keys map[string]int
}

// carryOut is a schedule.Handler.
func (j *journal) carryOut(_ context.Context, t schedule.Timer) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.keys == nil {
		j.keys = map[string]int{}
	}
	j.keys[t.ID]++
	if j.fate != nil {
		if err := j.fate(t, j.keys[t.ID]); err != nil {
			return err
		}
	}
	j.done = append(j.done, string(t.Data))
	j.at = append(j.at, time.Now())
	return nil
}

func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.done, want) {
		t.Errorf("carried out %s, want %s", brief(j.done), brief(want))
	}
}

// journaled runs a test on nodes that carry out timers of the kind "x".
func journaled(t *testing.T, nodes int, test func(*rig, *journal)) {
	t.Helper()
	run(t, 0, func(r *rig) {
		j := &journal{}
		for range nodes {
			r.start(func(n *node) { n.timers.Handle("x", j.carryOut) })
		}
		test(r, j)
	})
}

// set sets a timer of the kind "x", whose data is its id if it has none.
func (n *node) set(t schedule.Timer) {
	n.Helper()
	if t.Data == nil {
		t.Data = []byte(t.ID)
	}
	t.App, t.Kind = "app", "x"
	if err := n.timers.Set(context.Background(), t); err != nil {
		n.Fatalf("setting %s: %v", t.ID, err)
	}
}

// TestSetReplaces: a timer that is set again is carried out once, at its new
// time, whether that is later or earlier.
func TestSetReplaces(t *testing.T) {
	journaled(t, 2, func(r *rig, j *journal) {
		begin := time.Now()
		r.nodes[0].set(schedule.Timer{ID: "~later", At: begin.Add(time.Minute), Data: []byte("old")})
		r.nodes[0].set(schedule.Timer{ID: "~earlier", At: begin.Add(3 * time.Minute), Data: []byte("old")})
		r.nodes[1].set(schedule.Timer{ID: "~later", At: begin.Add(2 * time.Minute), Data: []byte("later")})
		r.nodes[1].set(schedule.Timer{ID: "~earlier", At: begin.Add(time.Second), Data: []byte("earlier")})
		after(90 * time.Second)
		j.expect(t, "earlier")
		after(5 * time.Minute)
		j.expect(t, "earlier", "later")
		// An id can be used again when it is free.
		r.nodes[0].set(schedule.Timer{ID: "~later", At: time.Now().Add(time.Second), Data: []byte("again")})
		after(2 * time.Second)
		j.expect(t, "earlier", "later", "again")
		r.pending(0)
	})
}

// TestSetWhileItIsCarriedOut: who sets it anew from its own handler, or meanwhile,
// has a timer again.
func TestSetWhileItIsCarriedOut(t *testing.T) {
	journaled(t, 2, func(r *rig, j *journal) {
		j.fate = func(tm schedule.Timer, try int) error {
			if try == 1 {
				j.mu.Unlock()
				defer j.mu.Lock()
				r.nodes[0].set(schedule.Timer{ID: "~a", At: time.Now().Add(time.Minute), Data: []byte("second")})
			}
			return nil
		}
		r.nodes[0].set(schedule.Timer{ID: "~a", At: time.Now().Add(time.Minute), Data: []byte("first")})
		after(61 * time.Second)
		j.expect(t, "first")
		r.pending(1)
		after(61 * time.Second)
		j.expect(t, "first", "second")
		r.pending(0)
	})
}

// TestCancel: what was cancelled is not carried out, on any node.
func TestCancel(t *testing.T) {
	run(t, 2, func(r *rig) {
		ctx := context.Background()
		id := r.nodes[0].publish(time.Now().Add(time.Minute), "c", "1")
		for i, want := range []bool{true, false} {
			if ok, err := r.nodes[1].timers.Cancel(ctx, "app", id); ok != want || err != nil {
				t.Errorf("cancelling for the %d. time: %v, %v", i+1, ok, err)
			}
		}
		if ok, err := r.nodes[1].timers.Cancel(ctx, "other", id); ok || err != nil {
			t.Errorf("cancelling another app's: %v, %v", ok, err)
		}
		r.pending(0)
		after(2 * time.Minute)
		r.expect("c")
	})
}

// TestCancelWhileItIsCarriedOut: it is too late then, unless it fails.
func TestCancelWhileItIsCarriedOut(t *testing.T) {
	run(t, 0, func(r *rig) {
		hold := make(chan error)
		for range 2 {
			r.start(func(n *node) {
				n.timers.Handle("x", func(context.Context, schedule.Timer) error { return <-hold })
			})
		}
		r.nodes[0].set(schedule.Timer{ID: "~a", At: time.Now().Add(time.Second)})
		after(2 * time.Second)
		for i, n := range r.nodes {
			if ok, err := n.timers.Cancel(context.Background(), "app", "~a"); ok || err != nil {
				t.Errorf("node %d cancelled what is being carried out: %v, %v", i, ok, err)
			}
		}
		hold <- earshot.Errorf(earshot.Full, "no space")
		synctest.Wait()
		cancelled := 0
		for _, n := range r.nodes { // the one that tried may, the other does not know yet
			ok, err := n.timers.Cancel(context.Background(), "app", "~a")
			if err != nil {
				t.Error(err)
			}
			if ok {
				cancelled++
			}
		}
		if cancelled != 1 {
			t.Errorf("cancelled %d times", cancelled)
		}
		after(time.Minute)
		r.pending(0)
	})
}

// TestRetry: what fails for a while is tried again under the same id, and does
// not hold up what comes after it.
func TestRetry(t *testing.T) {
	for _, code := range []earshot.Code{earshot.Unavailable, earshot.Unknown, earshot.Full, earshot.Limited, earshot.Conflict, earshot.Internal} {
		journaled(t, 2, func(r *rig, j *journal) {
			j.fate = func(tm schedule.Timer, try int) error {
				if tm.ID == "~a" && try <= 3 {
					return earshot.Errorf(code, "not yet")
				}
				return nil
			}
			at := time.Now().Add(time.Minute)
			r.nodes[0].set(schedule.Timer{ID: "~a", At: at, Line: "c"})
			r.nodes[0].set(schedule.Timer{ID: "~b", At: at, Line: "c"})
			after(time.Minute)
			j.expect(t, "~b")
			after(10 * time.Second)
			j.expect(t, "~b", "~a")
			r.pending(0)
			var sum schedule.Stats
			for _, n := range r.nodes {
				s := n.timers.Stats()
				sum.Retried += s.Retried
				sum.Failed += s.Failed
				sum.Fired += s.Fired
				sum.Late += s.Late
			}
			if sum.Retried != 3 || sum.Failed != 0 || sum.Fired != 2 || sum.Late != 1 {
				t.Errorf("%v: counted %+v", code, sum)
			}
		})
	}
}

// TestDropped: what cannot succeed is dropped with a line in the log, at once
// where a code says so, and after ten tries where none does.
func TestDropped(t *testing.T) {
	for name, c := range map[string]struct {
		fate  func() error
		tries int
	}{
		"invalid":   {func() error { return earshot.Errorf(earshot.Invalid, "the reason") }, 1},
		"forbidden": {func() error { return earshot.Errorf(earshot.Forbidden, "the reason") }, 1},
		"gone":      {func() error { return earshot.Errorf(earshot.NotFound, "the reason") }, 1},
		"an error":  {func() error { return errors.New("the reason") }, 11},
		"a panic":   {func() error { panic("the reason") }, 11},
	} {
		t.Run(name, func(t *testing.T) {
			journaled(t, 1, func(r *rig, j *journal) {
				j.fate = func(tm schedule.Timer, _ int) error {
					if tm.ID == "~a" {
						return c.fate()
					}
					return nil
				}
				at := time.Now().Add(time.Minute)
				r.nodes[0].set(schedule.Timer{ID: "~a", At: at, Line: "c", Data: []byte("payload")})
				r.nodes[0].set(schedule.Timer{ID: "~b", At: at, Line: "c"})
				after(10 * time.Minute)
				j.expect(t, "~b")
				r.pending(0)
				if got := j.keys["~a"]; got != c.tries {
					t.Errorf("tried %d times, want %d", got, c.tries)
				}
				if s := r.nodes[0].timers.Stats(); s.Failed != 1 || s.Fired != 1 {
					t.Errorf("counted %+v", s)
				}
				if log := r.logged(); !strings.Contains(log, "dropped") || !strings.Contains(log, "the reason") || strings.Contains(log, "payload") {
					t.Errorf("logged %s", log)
				}
			})
		})
	}
}

// TestSlowOnes: handlers that hang until their time is over hold up nobody else,
// and are called again.
func TestSlowOnes(t *testing.T) {
	run(t, 0, func(r *rig) {
		j := &journal{}
		n := r.start(func(n *node) {
			n.timers.Handle("x", j.carryOut)
			n.timers.Handle("slow", func(ctx context.Context, t schedule.Timer) error {
				if t.First.IsZero() {
					<-ctx.Done()
				}
				return j.carryOut(ctx, t)
			})
		})
		at := time.Now().Add(time.Minute)
		for i := range 10 {
			err := n.timers.Set(context.Background(), schedule.Timer{App: "app", ID: fmt.Sprint("~", i), At: at, Kind: "slow", Line: fmt.Sprint(i), Data: []byte("slow")})
			if err != nil {
				t.Fatal(err)
			}
		}
		n.set(schedule.Timer{ID: "~x", At: at, Line: "c"})
		after(time.Minute + time.Second)
		j.expect(t, "~x")
		after(10 * time.Second)
		r.pending(0)
		for _, calls := range j.keys {
			if calls > 2 { // the first call came to an end, late, and does not count
				t.Errorf("called %d times", calls)
			}
		}
	})
}

// TestUnknownKind: a node leaves timers of kinds that it does not know to others.
func TestUnknownKind(t *testing.T) {
	run(t, 1, func(r *rig) {
		r.nodes[0].set(schedule.Timer{ID: "~a", At: time.Now().Add(time.Second)})
		after(time.Minute)
		r.pending(1)
		j := &journal{}
		r.start(func(n *node) { n.timers.Handle("x", j.carryOut) })
		after(time.Second)
		j.expect(t, "~a")
		r.pending(0)
	})
}

// TestUnreadableRecord: it is left as it is, with a line in the log, and harms
// nobody.
func TestUnreadableRecord(t *testing.T) {
	journaled(t, 1, func(r *rig, j *journal) {
		for i, data := range []string{"", "x", "{}", "[]\n", `{"at":"x"}` + "\n"} {
			if _, err := r.nodes[0].Engine.Put(context.Background(), hub.Key{"timer", "app", fmt.Sprint("~", i)}, []byte(data), 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		r.nodes[0].set(schedule.Timer{ID: "~x", At: time.Now()})
		after(time.Minute)
		j.expect(t, "~x")
		if log := r.logged(); strings.Count(log, "cannot be read") < 5 {
			t.Errorf("logged %s", log)
		}
	})
}

// TestList lists in the order of making, in pages, and not the server's own.
func TestList(t *testing.T) {
	run(t, 2, func(r *rig) {
		ctx := context.Background()
		var want []string
		for i := range 25 {
			want = append(want, r.nodes[i%2].publish(time.Now().Add(time.Hour-time.Duration(i)*time.Minute), "c", fmt.Sprint(i)))
			if i%5 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if err := r.nodes[0].timers.Set(ctx, schedule.Timer{App: "app", ID: "~own", At: time.Now().Add(time.Hour), Kind: "x"}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for last, more := "", true; more; {
			page, next, err := r.nodes[1].timers.List(ctx, "app", last, 10)
			if err != nil || len(page) > 10 {
				t.Fatalf("%d, %v", len(page), err)
			}
			for _, one := range page {
				p, err := schedule.Open(&one)
				if err != nil || one.Kind != schedule.Message || one.Line != "c" || p.Message.Channel != "c" || p.Message.Event != "e" {
					t.Errorf("listed %+v, %v", one, err)
				}
				got = append(got, one.ID)
			}
			last, more = got[len(got)-1], next
		}
		slices.Sort(want) // of one millisecond, those of two nodes stand as they like
		if !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		if other, _, err := r.nodes[0].timers.List(ctx, "other", "", 10); len(other) != 0 || err != nil {
			t.Errorf("another app's: %v, %v", other, err)
		}
	})
}

// TestPast: a time that has just passed is now, one that passed before is refused.
func TestPast(t *testing.T) {
	run(t, 1, func(r *rig) {
		n := r.nodes[0]
		n.publish(time.Now().Add(-59*time.Second), "c", "1")
		after(time.Millisecond)
		r.expect("c", "1")
		_, err := n.publisher.Publish(context.Background(), r.app, time.Now().Add(-61*time.Second), hub.Publication{Message: &earshot.Message{Channel: "c"}})
		if e := earshot.AsError(err); err == nil || e.Code != earshot.Invalid || e.Reason != "SCHEDULE_PAST" {
			t.Errorf("a past time is answered by %v", err)
		}
	})
}

// TestPublishRefuses what could not be published either.
func TestPublishRefuses(t *testing.T) {
	run(t, 1, func(r *rig) {
		at := time.Now().Add(time.Minute)
		for name, m := range map[string]*earshot.Message{
			"no channel": {}, "too large": {Channel: "c", Data: make([]byte, hub.MaxData+1)},
			"too deep": {Channel: "c", Data: []byte(strings.Repeat("[", 200) + strings.Repeat("]", 200))},
			"stored":   {Channel: "live", Store: time.Hour}, "a notice": {Channel: "c", Notice: earshot.EntryChanged},
		} {
			if _, err := r.nodes[0].publisher.Publish(context.Background(), r.app, at, hub.Publication{Message: m}); earshot.CodeOf(err) != earshot.Invalid && earshot.CodeOf(err) != earshot.TooLarge {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := r.nodes[0].timers.Set(context.Background(), schedule.Timer{App: "app", ID: "~a", Data: make([]byte, schedule.MaxData+1)}); earshot.CodeOf(err) != earshot.TooLarge {
			t.Errorf("too much data: %v", err)
		}
		r.pending(0)
	})
}

// TestWhatHasChanged: a message whose app is gone, or whose channel has become
// live, is dropped with a line in the log.
func TestWhatHasChanged(t *testing.T) {
	for name, change := range map[string]func(*rig){
		"the app is gone":     func(r *rig) { r.gone.Store(true) },
		"the channel is live": func(r *rig) { r.app.Rules = []earshot.Rule{{Channel: earshot.Glob("*"), Live: true}} },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, 1, func(r *rig) {
				r.nodes[0].publish(time.Now().Add(time.Minute), "c", "1")
				r.nodes[0].stop()
				change(r)
				n := r.start()
				after(2 * time.Minute)
				r.pending(0)
				if s := n.timers.Stats(); s.Failed != 1 || !strings.Contains(r.logged(), "dropped") {
					t.Errorf("counted %+v, logged %s", s, r.logged())
				}
				r.expect("c")
			})
		})
	}
}

// TestDeduplication: of two messages with one key that are due together the first
// is published, and of two far apart both.
func TestDeduplication(t *testing.T) {
	run(t, 1, func(r *rig) {
		begin := time.Now()
		for i, at := range []time.Duration{time.Minute, 2 * time.Minute, 10 * time.Minute} {
			r.nodes[0].publication(begin.Add(at), hub.Publication{Key: "k", Message: &earshot.Message{
				Channel: "c", Kind: earshot.Text, Data: []byte(fmt.Sprint(i)), Store: earshot.Forever,
			}})
		}
		after(20 * time.Minute)
		r.expect("c", "0", "2")
		r.pending(0)
	})
}

// TestTravels: everything of a message comes through.
func TestTravels(t *testing.T) {
	run(t, 1, func(r *rig) {
		want := &earshot.Message{
			Channel: "c\u00e4/\"<>\n", Event: "e\u2028", Kind: earshot.Binary, Data: []byte("\x00\n{}\xff"),
			Headers: map[string]string{"a": "b"}, Sender: &earshot.Sender{UID: "", HasUID: true, Meta: []byte(` {"a":1}`)},
			Store: 90 * time.Minute, Skip: earshot.NewConnID(),
		}
		sent := *want
		r.nodes[0].publication(time.Now().Add(time.Minute), hub.Publication{Message: &sent})
		after(2 * time.Minute)
		all := r.messages(want.Channel)
		if len(all) != 1 {
			t.Fatalf("%d messages came", len(all))
		}
		m := all[0]
		if m.Event != want.Event || m.Kind != want.Kind || string(m.Data) != string(want.Data) || m.Headers["a"] != "b" || m.Store != want.Store || m.Skip != want.Skip ||
			m.Sender.UID != "" || !m.Sender.HasUID || string(m.Sender.Meta) != string(want.Sender.Meta) {
			t.Errorf("came as %+v, %+v", m, m.Sender)
		}
		if id := m.Headers[schedule.Header]; !schedule.Scheduled(id) {
			t.Errorf("it does not name its timer: %v", m.Headers)
		}
	})
}

// TestClockSteps: timers follow the clock on the wall.
func TestClockSteps(t *testing.T) {
	run(t, 0, func(r *rig) {
		var mu sync.Mutex
		var step time.Duration
		wall := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(step)
		}
		set := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			step = d
		}
		n := r.start(func(n *node) { n.timers.SetClock(wall) })
		begin := time.Now()
		n.publish(begin.Add(time.Hour), "c", "1")
		n.publish(begin.Add(2*time.Hour), "c", "2")
		after(time.Minute)
		set(59 * time.Minute) // it is due at once
		after(500 * time.Millisecond)
		r.expect("c", "1")
		set(-2 * time.Hour)
		after(3*time.Hour + 50*time.Minute)
		r.expect("c", "1")
		after(11 * time.Minute)
		r.expect("c", "1", "2")
		r.pending(0)
	})
}

// TestClocksDiffer: the node whose clock is ahead comes first, and nothing comes
// twice when the other's gets there.
func TestClocksDiffer(t *testing.T) {
	run(t, 0, func(r *rig) {
		r.start(func(n *node) { n.timers.SetClock(func() time.Time { return time.Now().Add(10 * time.Second) }) })
		r.start(func(n *node) { n.timers.SetClock(func() time.Time { return time.Now().Add(-10 * time.Second) }) })
		at := time.Now().Add(time.Minute)
		for i := range 100 {
			r.nodes[i%2].publish(at, "c", fmt.Sprint(i))
		}
		after(49 * time.Second)
		r.expect("c")
		after(2 * time.Second)
		r.expect("c", numbers(100)...)
		after(time.Minute)
		r.expect("c", numbers(100)...)
		r.pending(0)
	})
}

// TestFullStore: while the store takes nothing, timers wait, and do not ask all
// the time.
func TestFullStore(t *testing.T) {
	run(t, 1, func(r *rig) {
		for i := range 1000 {
			r.nodes[0].publish(time.Now().Add(time.Minute), fmt.Sprintf("c%d", i), "x")
		}
		asked := 0
		r.store.OnPut(func(int, hub.Key) mem.Outcome {
			asked++
			return mem.Outcome{Err: earshot.Errorf(earshot.Full, "no space")}
		})
		after(2 * time.Minute)
		if asked == 0 || asked > 100*4*60 {
			t.Errorf("asked %d times in a minute", asked)
		}
		r.store.OnPut(nil)
		after(2 * time.Second)
		r.pending(0)
		for i := range 1000 {
			r.expect(fmt.Sprintf("c%d", i), "x")
		}
	})
}
