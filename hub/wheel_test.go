package hub_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/hub"
)

const tick = 50 * time.Millisecond

// TestTimers has thousands of them fire never early and at most one tick late.
func TestTimers(t *testing.T) {
	run(t, hub.Config{Shards: 1}, func(r *rig) {
		dice := rand.New(rand.NewPCG(1, 2))
		s := r.hub.Shards()[0]
		type alarm struct {
			*hub.Timer
			due   time.Time
			fired atomic.Int32
		}
		var alarms []*alarm
		set := func(a *alarm, d time.Duration) {
			a.due = time.Now().Add(d)
			a.Reset(d)
		}
		for range 3000 {
			a := &alarm{}
			a.Timer = s.NewTimer(func() {
				a.fired.Add(1)
				if late := time.Since(a.due); late < 0 || late > tick {
					r.Errorf("a timer fired %v late", late)
				}
			})
			alarms = append(alarms, a)
			set(a, time.Duration(dice.Int64N(int64(5*time.Minute))))
			if dice.IntN(3) == 0 {
				time.Sleep(time.Duration(dice.IntN(20)) * time.Millisecond)
			}
		}
		synctest.Wait()
		stopped := 0
		for _, a := range alarms {
			switch {
			case a.fired.Load() == 1:
			case dice.IntN(4) == 0:
				a.Stop()
				a.fired.Store(1)
				stopped++
			case dice.IntN(4) == 0:
				set(a, time.Duration(dice.Int64N(int64(3*time.Hour))))
			}
		}
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		for _, a := range alarms {
			if n := a.fired.Load(); n != 1 {
				r.Errorf("a timer due at %v fired %d times", a.due, n)
			}
		}
		if stopped == 0 {
			r.Error("none was stopped")
		}
	})
}

func TestTimerEdges(t *testing.T) {
	run(t, hub.Config{Shards: 1}, func(r *rig) {
		s := r.hub.Shards()[0]
		for _, d := range []time.Duration{-time.Hour, 0, 1, tick - 1, tick, tick + 1, 1023 * tick, 1024 * tick, 1025 * tick, 2048*tick + 7, 48 * time.Hour} {
			start := time.Now()
			var at time.Time
			s.NewTimer(func() { at = time.Now() }).Reset(d)
			time.Sleep(max(d, 0) + 2*tick)
			synctest.Wait()
			if late := at.Sub(start.Add(max(d, 0))); at.IsZero() || late < 0 || late > tick {
				r.Errorf("%v: fired %v late", d, late)
			}
		}
	})
}

// TestTimerSetsItself again from its own function, as a heartbeat does.
func TestTimerSetsItself(t *testing.T) {
	run(t, hub.Config{Shards: 1}, func(r *rig) {
		n := 0
		var timer *hub.Timer
		timer = r.hub.Shards()[0].NewTimer(func() {
			if n++; n < 100 {
				timer.Reset(30 * time.Second)
			}
		})
		timer.Reset(30 * time.Second)
		time.Sleep(100*30*time.Second + 101*tick)
		synctest.Wait()
		if n != 100 {
			r.Errorf("fired %d times", n)
		}
	})
}
