package invoke

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
)

// TestBreaker lets an integration alone that cannot be reached, and tries it
// again, once, after a while that grows; another app's is not concerned.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, calls := true, 0
		functions := hosted{invoke: func(_ context.Context, a *earshot.App, _ string, _ []byte) ([]byte, error) {
			if a.Slug == "other" {
				return []byte(`{"statusCode":200}`), nil
			}
			calls++
			if down {
				return nil, &earshot.Error{Code: earshot.Unavailable}
			}
			return []byte(`{"statusCode":200}`), nil
		}}
		ask := setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "fn"}}
		r := newRig(t, Config{Functions: functions}, ask)
		ask.app.Slug = "other"
		other := r.b.rig(t, ask)
		try := func(want gateway.FailureKind, made int) {
			t.Helper()
			calls = 0
			_, err := r.integrate("$default")
			wantKind(t, err, want)
			if calls != made {
				t.Errorf("%d calls were made, want %d", calls, made)
			}
			_, err = other.integrate("$default")
			wantKind(t, err, 0)
		}
		for range tripAfter {
			try(gateway.Unreachable, 1)
		}
		for pause := firstPause; pause <= 2*longestPause; pause *= 2 {
			try(gateway.Overloaded, 0)
			if s := r.b.Stats(); s.Paused != 1 {
				t.Errorf("%d are paused", s.Paused)
			}
			time.Sleep(min(pause, longestPause) - time.Millisecond)
			try(gateway.Overloaded, 0)
			time.Sleep(time.Millisecond)
			try(gateway.Unreachable, 1)
		}
		time.Sleep(longestPause)
		down = false
		try(0, 1)
		try(0, 1)
		down = true
		for range tripAfter {
			try(gateway.Unreachable, 1)
		}
		try(gateway.Overloaded, 0)
	})
}

// TestBreakerCountsNoAnswers: whoever fails, is late or talks nonsense is there.
func TestBreakerCountsNoAnswers(t *testing.T) {
	for name, invoke := range map[string]func() ([]byte, error){
		"raises":  func() ([]byte, error) { return nil, &gateway.FunctionError{} },
		"garbage": func() ([]byte, error) { return []byte("x"), nil },
		"late":    func() ([]byte, error) { return nil, &earshot.Error{Code: earshot.Timeout} },
		"busy":    func() ([]byte, error) { return nil, &earshot.Error{Code: earshot.Limited} },
	} {
		functions := hosted{invoke: func(context.Context, *earshot.App, string, []byte) ([]byte, error) { return invoke() }}
		r := newRig(t, Config{Functions: functions}, setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "fn"}})
		for range 3 * tripAfter {
			_, err := r.integrate("twoway")
			if f := gateway.FailureOf(err); name != "busy" && f.Kind == gateway.Overloaded {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s := r.b.Stats(); s.Paused != 0 {
			t.Errorf("%s: paused", name)
		}
	}
}

// TestBreakerOfAuthorizers is one of their own.
func TestBreakerOfAuthorizers(t *testing.T) {
	functions := hosted{invoke: func(context.Context, *earshot.App, string, []byte) ([]byte, error) {
		return nil, &earshot.Error{Code: earshot.Unavailable}
	}}
	r := newRig(t, Config{Functions: functions}, setup{})
	for range tripAfter {
		_, err := r.authorize()
		wantKind(t, err, gateway.AuthorizerFailed)
	}
	_, err := r.authorize()
	wantKind(t, err, gateway.Overloaded)
	_, err = r.integrate("$connect")
	wantKind(t, err, 0)
}

// TestConcurrency refuses at once what is too much.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		functions := hosted{invoke: func(context.Context, *earshot.App, string, []byte) ([]byte, error) {
			<-release
			return []byte(`{"statusCode":200}`), nil
		}}
		r := newRig(t, Config{Functions: functions}, setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "fn", Concurrency: 2}})
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				_, err := r.integrate("$default")
				wantKind(t, err, 0)
			})
		}
		synctest.Wait()
		if s := r.b.Stats(); s.Running != 2 {
			t.Errorf("%d are running", s.Running)
		}
		_, err := r.integrate("$default")
		wantKind(t, err, gateway.Overloaded)
		close(release)
		calls.Wait()
		_, err = r.integrate("$default")
		wantKind(t, err, 0)
	})
}

// TestCallerGivesUp says nothing about the backend.
func TestCallerGivesUp(t *testing.T) {
	functions := hosted{invoke: func(ctx context.Context, _ *earshot.App, _ string, _ []byte) ([]byte, error) {
		return nil, &earshot.Error{Code: earshot.Unavailable, Err: ctx.Err()}
	}}
	r := newRig(t, Config{Functions: functions}, setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "fn"}})
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the client is gone"))
	for range 2 * tripAfter {
		_, err := r.b.Integrate(gone, r.app, r.event("$default"))
		wantKind(t, err, gateway.TimedOut)
	}
}

// TestOneProbe at a time is let through, and calls from before the pause do not
// make it longer.
func TestOneProbe(t *testing.T) {
	l := lanes{all: map[laneName]*lane{}, sweepAt: minSweep}
	now, name := time.Unix(1e9, 0), laneName{id: "i"}
	enter := func(at time.Time) *pass {
		p, err := l.enter(name, 0, at)
		if err != nil {
			return nil
		}
		return p
	}
	var old []*pass
	for range 20 {
		old = append(old, enter(now))
	}
	for _, p := range old[:19] {
		p.leave(unreached, now)
	}
	if enter(now.Add(firstPause-1)) != nil {
		t.Fatal("it is not paused")
	}
	probe := enter(now.Add(firstPause))
	if probe == nil {
		t.Fatal("there is no probe, or the pause was made longer")
	}
	if enter(now.Add(firstPause)) != nil {
		t.Error("there are two probes")
	}
	probe.leave(unsaid, now.Add(firstPause))
	if probe = enter(now.Add(firstPause)); probe == nil {
		t.Fatal("a probe that says nothing is not made up for")
	}
	old[19].leave(reached, now.Add(firstPause))
	if enter(now.Add(firstPause)) == nil {
		t.Error("it was reached, and is still paused")
	}
	probe.leave(reached, now.Add(firstPause))
}

// TestLanesAreForgotten, but for those in use and those that have just failed.
func TestLanesAreForgotten(t *testing.T) {
	l := lanes{all: map[laneName]*lane{}, sweepAt: minSweep}
	now := time.Unix(1e9, 0)
	use := func(i int, o outcome, at time.Time) {
		p, err := l.enter(laneName{id: strconv.Itoa(i)}, 1, at)
		if err != nil {
			t.Fatal(err)
		}
		p.leave(o, at)
	}
	busy, err := l.enter(laneName{id: "busy"}, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	use(-1, unreached, now)
	for i := range 10 * minSweep {
		use(i, reached, now)
	}
	if n := len(l.all); n > minSweep+2 {
		t.Errorf("there are %d", n)
	}
	if l.all[laneName{id: "busy"}] == nil || l.all[laneName{id: "-1"}] == nil {
		t.Error("what matters was forgotten")
	}
	busy.leave(reached, now)
	for i := range 2 * minSweep {
		use(i, reached, now.Add(forgetAfter+time.Second))
	}
	if l.all[laneName{id: "-1"}] != nil {
		t.Error("what failed long ago is remembered")
	}
}

// TestPanicLeavesItsLane: a call that panics makes room for the next.
func TestPanicLeavesItsLane(t *testing.T) {
	calls := 0
	r := newRig(t, Config{Functions: hosted{invoke: func(context.Context, *earshot.App, string, []byte) ([]byte, error) {
		if calls++; calls == 1 {
			panic("so says the test")
		}
		return []byte(`{"statusCode":200}`), nil
	}}}, setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "f", Concurrency: 1}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		_, _ = r.integrate("$default")
	}()
	_, err := r.integrate("$default")
	wantKind(t, err, 0)
}
