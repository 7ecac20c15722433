package nats

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// remembering is a sink that keeps what it hears of each channel.
type remembering struct {
	mu  sync.Mutex
	got map[string]map[string]bool
}

func (r *remembering) Deliver(ds []hub.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range ds {
		c := r.got[d.Message.Channel]
		if c == nil {
			c = map[string]bool{}
			r.got[d.Message.Channel] = c
		}
		c[string(d.Message.Data)] = true
	}
}

func (r *remembering) Told([]byte) {}

func (r *remembering) lacks(channel string, texts []string) (lacking int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range texts {
		if !r.got[channel][text] {
			lacking++
		}
	}
	return lacking
}

// TestRestartInPlace restarts the embedded server under publishers, as a fatal
// error in it does: what was acknowledged is stored and heard.
func TestRestartInPlace(t *testing.T) {
	e := open(t, Config{Dir: t.TempDir()})
	sink := &remembering{got: map[string]map[string]bool{}}
	if _, err := e.Start(t.Context(), sink); err != nil {
		t.Fatal(err)
	}
	epoch := e.epoch.Load()
	const publishers, restarts = 8, 3
	acked := make([][]string, publishers)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				text := fmt.Sprint(i)
				switch _, err := try(e, fmt.Sprintf("c.%d", p), text, hub.AppendOptions{Key: text}); {
				case err == nil:
					acked[p] = append(acked[p], text)
				case !earshot.CodeOf(err).Temporary():
					t.Errorf("append: %v", err)
					return
				default:
					// Trying without a break would leave the restart no time.
					e.pause(5 * time.Millisecond)
				}
			}
		})
	}
	log := &bridge{log: quiet(t), broken: func(reason string) { e.breaks(e.links.Load(), reason) }}
	for i := range restarts {
		before := e.stats.appended.Load()
		poll(t, 10*time.Second, "messages are stored", func() bool { return e.stats.appended.Load() > before+50 })
		log.Fatalf("an end of the world, number %d", i)
		poll(t, 10*time.Second, "the log is back", func() bool {
			if e.Stats().Restarts < uint64(i+1) {
				return false // it was ready, but has not noticed
			}
			ok, _ := e.Ready()
			return ok
		})
	}
	close(stop)
	all.Wait()
	if e.epoch.Load() != epoch {
		t.Error("the epoch changed")
	}
	for p, texts := range acked {
		channel := fmt.Sprintf("c.%d", p)
		poll(t, 15*time.Second, "what was acknowledged is heard", func() bool { return sink.lacks(channel, texts) == 0 })
		stored := &remembering{got: map[string]map[string]bool{}}
		r := hub.Range{}
		for {
			page, err := e.Read(t.Context(), "app", channel, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page.Messages {
				stored.Deliver([]hub.Delivery{{Message: m}})
			}
			if r.After = e.position(page.Upto); !page.More {
				break
			}
		}
		if n := stored.lacks(channel, texts); n > 0 {
			t.Errorf("%s: %d acknowledged messages are lost", channel, n)
		}
	}
}

// TestOneBreakageIsOneRestart tells of one breakage many times, as a frozen
// stream does, and of another one of the next life among them.
func TestOneBreakageIsOneRestart(t *testing.T) {
	e := open(t, Config{Dir: t.TempDir()})
	back := func(restarts uint64) uint64 {
		poll(t, 20*time.Second, "the log is back", func() bool {
			if e.Stats().Restarts < restarts {
				return false // it was ready, but has not noticed
			}
			ok, _ := e.Ready()
			return ok
		})
		if n := e.Stats().Restarts; n != restarts {
			t.Fatalf("%d restarts after %d breakages", n, restarts)
		}
		return e.link.Load().n
	}
	first := back(0)
	stop := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				e.breaks(first, "the first")
				e.pause(time.Millisecond)
			}
		}
	})
	second := back(1)
	for range 50 {
		e.breaks(first, "the first, again")
	}
	put(t, e, "c", "1", hub.AppendOptions{})
	back(1)
	e.breaks(second, "the second")
	back(2)
	close(stop)
	telling.Wait()
	e.breaks(second, "the second, again")
	put(t, e, "c", "2", hub.AppendOptions{})
	back(2)
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	e, err := Open(t.Context(), Config{Dir: t.TempDir()}, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Start(t.Context(), deaf{}); err != nil {
		t.Fatal(err)
	}
	put(t, e, "c", "1", hub.AppendOptions{})
	closeEngine(t, e)
	if err := e.Close(context.Background()); err != nil {
		t.Errorf("closed again: %v", err)
	}
	goleak.VerifyNone(t, before)
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{{}, {Dir: "a", URLs: []string{"b"}}} {
		if _, err := Open(t.Context(), c, quiet(t)); err == nil || !strings.Contains(err.Error(), "needed") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	// One that is not there is waited for as long as the context lasts.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Config{URLs: []string{"nats://127.0.0.1:1"}}, quiet(t)); err == nil {
		t.Error("a cluster that is not there was opened")
	}
}
