package webhook

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

func TestEventsAreTold(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.start()
		defer r.stop()
		begun := time.Now()
		r.publish("a", "1", "2", "3")
		r.publish("b", "1")
		r.sleep(time.Second)
		r.wantTook("a", "1", "2", "3")
		r.wantTook("b", "1")
		if taken, tried := r.receiver.count(); taken != 4 || tried != 4 {
			t.Errorf("%d taken in %d tries", taken, tried)
		}
		if wait := r.receiver.got[0].at.Sub(begun); wait > 200*time.Millisecond {
			t.Errorf("the first was told after %v", wait)
		}
	})
}

// TestOneThatFailsStopsNoOther: its channel waits, the others go on.
func TestOneThatFailsStopsNoOther(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.start()
		defer r.stop()
		r.receiver.answers(func(q *request) (int, error) {
			switch {
			case q.channel == "bad" && q.data == "2":
				return 500, nil
			case q.channel == "hangs":
				return 0, errHang
			}
			return 200, nil
		})
		for i := 1; i <= 300; i++ {
			r.publish("bad", fmt.Sprint(i))
			r.publish("hangs", fmt.Sprint(i))
			r.publish(fmt.Sprint("good", i%7), fmt.Sprint(i))
		}
		r.sleep(5 * time.Second)
		r.wantTook("bad", "1")
		r.wantTook("hangs")
		for c := range 7 {
			var want []string
			for i := 1; i <= 300; i++ {
				if i%7 == c {
					want = append(want, fmt.Sprint(i))
				}
			}
			r.wantTook(fmt.Sprint("good", c), want...)
		}
		r.receiver.answers(nil)
		r.sleep(11 * time.Minute)
		r.wantTook("bad", numbers(1, 300)...)
		r.wantTook("hangs", numbers(1, 300)...)
		if n := r.events.Stats().Waiting; n != 0 {
			t.Errorf("%d lines are left", n)
		}
	})
}

// TestBackoff: the tries become fewer, and when the receiver that was away takes
// something, what waits for it is tried soon.
func TestBackoff(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.start()
		defer r.stop()
		r.receiver.answers(func(*request) (int, error) { return 0, errDown })
		r.publish("a", "1")
		r.sleep(time.Hour)
		_, tried := r.receiver.count()
		if tried < 12 || tried > 40 {
			t.Errorf("%d tries in an hour", tried)
		}
		var last time.Duration
		for i := 1; i < len(r.receiver.all); i++ {
			gap := r.receiver.all[i].at.Sub(r.receiver.all[i-1].at)
			least := firstRetry << (i - 1) / 2
			if i < 10 && (gap < least || gap > 2*least+time.Second) {
				t.Errorf("try %d came after %v", i+1, gap)
			}
			last = gap
		}
		if last > lastRetry+time.Second {
			t.Errorf("the last one after %v", last)
		}
		r.receiver.answers(nil)
		r.publish("b", "1")
		r.sleep(3 * time.Second)
		r.wantTook("a", "1")
	})
}

// TestRetryAfter: a receiver says when it wants to be asked again.
func TestRetryAfter(t *testing.T) {
	for s, want := range map[string]time.Duration{"": 0, "-1": 0, "x": 0, "7": 7 * time.Second, "99999999999999": time.Hour, "999999": time.Hour} {
		if got := retryAfter(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
	if got := retryAfter(time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)); got < 28*time.Second || got > 30*time.Second {
		t.Errorf("got %v", got)
	}
}

func TestDeadLetters(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		ctx := context.Background()
		r.start()
		defer r.stop()
		r.receiver.answers(func(q *request) (int, error) {
			if q.data == "2" {
				return 500, nil
			}
			if q.data == "gone" {
				return 410, nil
			}
			return 200, nil
		})
		r.publish("a", "1", "2", "3")
		r.publish("b", "gone", "4")
		r.sleep(time.Minute)
		r.wantTook("b", "4")
		r.wantTook("a", "1")
		r.sleep(25 * time.Hour)
		r.wantTook("a", "1", "3")
		dead, more, err := r.events.Dead(ctx, "app", "hook", "", 10)
		if err != nil || more || len(dead) != 2 || dead[0].Reason != "status 500" || dead[1].Reason != "status 410" || dead[1].Tries != 1 ||
			dead[0].Tries < leastTries || dead[0].Type != hub.MessagePublished || !strings.Contains(string(dead[0].Body), `"data":"2"`) || dead[0].Died.Sub(dead[0].Recorded) < 24*time.Hour {
			t.Fatalf("dead: %+v, more %v, %v", dead, more, err)
		}
		states, err := r.events.List(ctx, r.app)
		if err != nil || len(states) != 1 || states[0].Dead != 2 || states[0].Waiting != 0 || states[0].Reason != "status 500" || states[0].Delivered.IsZero() {
			t.Errorf("state %+v, %v", states, err)
		}
		if _, err := r.events.Replay(ctx, "app", "hook", []string{"evt_x"}); earshot.CodeOf(err) != earshot.NotFound {
			t.Errorf("replaying what is not there: %v", err)
		}
		if _, err := r.events.Replay(ctx, "app", "other", nil); earshot.CodeOf(err) != earshot.NotFound {
			t.Errorf("replaying for a webhook that is not there: %v", err)
		}
		r.receiver.answers(nil)
		r.publish("a", "5")
		if n, err := r.events.Replay(ctx, "app", "hook", nil); n != 2 || err != nil {
			t.Errorf("replayed %d, %v", n, err)
		}
		r.sleep(time.Minute)
		r.wantTook("a", "1", "3", "5", "2")
		r.wantTook("b", "4", "gone")
		ids := map[string]int{}
		for _, q := range r.receiver.all {
			if q.data == "2" {
				ids[q.id]++
			}
		}
		if len(ids) != 1 {
			t.Errorf("the event had the ids %v", ids)
		}
		if dead, _, err := r.events.Dead(ctx, "app", "hook", "", 10); err != nil || len(dead) != 0 {
			t.Errorf("still dead: %v, %v", dead, err)
		}
	})
}

// TestARestartGoesOn where the last life stopped, and repeats little.
func TestARestartGoesOn(t *testing.T) {
	for _, kill := range []bool{false, true} {
		bubble(t, mem.Config{}, func(r *rig) {
			r.start()
			r.receiver.answers(func(q *request) (int, error) {
				if q.channel == "bad" {
					return 503, nil
				}
				return 200, nil
			})
			for i := 1; i <= 100; i++ {
				r.publish("a", fmt.Sprint(i))
				r.publish("bad", fmt.Sprint(i))
				r.sleep(50 * time.Millisecond)
			}
			if kill {
				r.crash()
			} else {
				r.stop()
			}
			r.receiver.answers(nil)
			r.start()
			defer r.stop()
			r.publish("a", "101")
			r.sleep(15 * time.Minute)
			r.wantTook("a", numbers(1, 101)...)
			r.wantTook("bad", numbers(1, 100)...)
			taken, _ := r.receiver.count()
			if repeated := taken - 201; repeated < 0 || !kill && repeated != 0 || repeated > 40 {
				t.Errorf("killed %v: %d were told again", kill, repeated)
			}
		})
	}
}

// TestARandomLife: the receiver fails, hangs and is away, the server stops and is
// killed; in the end each channel has everything in its order, and what was told
// twice had one id.
func TestARandomLife(t *testing.T) {
	for seed := range uint64(8) {
		bubble(t, mem.Config{}, func(r *rig) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			odds := rand.New(rand.NewPCG(seed, 2))
			r.receiver.answers(func(*request) (int, error) {
				switch n := odds.IntN(10); {
				case n == 0:
					return 500, nil
				case n == 1:
					return 0, errHang
				case n == 2:
					return 0, errDown
				}
				return 200, nil
			})
			r.start()
			sent := map[string][]string{}
			for i := range 600 {
				channel := fmt.Sprint("c", rnd.IntN(12))
				if err := r.record(r.published(channel, fmt.Sprint(i))); err == nil {
					sent[channel] = append(sent[channel], fmt.Sprint(i))
				}
				r.sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
				switch rnd.IntN(60) {
				case 0:
					r.crash()
					r.start()
				case 1:
					r.stop()
					r.sleep(time.Second)
					r.start()
				}
			}
			r.receiver.answers(nil)
			r.sleep(time.Hour)
			for channel, want := range sent {
				r.wantTook(channel, want...)
			}
			ids := map[string]string{}
			for _, q := range r.receiver.all {
				if at := q.channel + " " + q.data; ids[at] == "" {
					ids[at] = q.id
				} else if ids[at] != q.id {
					t.Errorf("seed %d: %s was told as %s and %s", seed, at, ids[at], q.id)
				}
			}
			r.stop()
		})
	}
}

// TestMemoryIsBounded while the receiver is away for hours, and nothing is lost.
func TestMemoryIsBounded(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.start()
		r.receiver.answers(func(*request) (int, error) { return 503, nil })
		pad := strings.Repeat("x", 20_000)
		const channels, each = 60, 12
		for i := range each {
			for c := range channels {
				r.publish(fmt.Sprint("c", c), fmt.Sprint(i)+pad)
			}
			r.sleep(time.Minute)
		}
		d := r.events.hooks[0]
		r.stop()
		sum := 0
		for _, l := range d.lines {
			for _, task := range l.queue {
				sum += len(task.Body)
			}
		}
		if sum != d.bytes || sum > maxMemory || len(d.lines) != channels {
			t.Fatalf("%d bytes are in memory, %d counted, of %d channels", sum, d.bytes, len(d.lines))
		}
		r.start()
		r.receiver.answers(nil)
		r.sleep(20 * time.Minute)
		for c := range channels {
			if got := len(r.receiver.took(fmt.Sprint("c", c))); got != each {
				t.Errorf("channel %d took %d", c, got)
			}
		}
		d = r.events.hooks[0]
		r.stop()
		if d.bytes != 0 || d.names != 0 || len(d.due) != 0 {
			t.Errorf("left: %d bytes, %d of names, %d due", d.bytes, d.names, len(d.due))
		}
	})
}

// TestTheHoldSorts what two nodes recorded in the other order, by the messages' ids.
func TestTheHoldSorts(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.config.Hold = time.Second
		r.start()
		defer r.stop()
		first, second, third := r.published("a", "1"), r.published("a", "2"), r.published("a", "3")
		for _, e := range []*hub.Event{second, third, first} {
			if err := r.record(e); err != nil {
				t.Fatal(err)
			}
			r.sleep(400 * time.Millisecond)
		}
		late := r.published("a", "4")
		r.sleep(5 * time.Second)
		r.publish("a", "5")
		r.sleep(5 * time.Second)
		if err := r.record(late); err != nil { // too late to be sorted, and not lost
			t.Fatal(err)
		}
		r.sleep(5 * time.Second)
		r.wantTook("a", "1", "2", "3", "5", "4")
	})
}

// TestARecordedTwiceIsToldOnce: a repeated publish records the same event.
func TestARecordedTwiceIsToldOnce(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.start()
		defer r.stop()
		e := r.published("a", "1")
		for range 3 {
			if err := r.record(e); err != nil {
				t.Fatal(err)
			}
		}
		r.sleep(time.Second)
		if taken, _ := r.receiver.count(); taken != 1 {
			t.Errorf("told %d times", taken)
		}
	})
}

// TestOnlyWhatIsWanted is told, to each webhook its own.
func TestOnlyWhatIsWanted(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.app.Webhooks[0].Events = []earshot.Pattern{earshot.Glob("member*"), earshot.Glob("channelUpdated")}
		r.start()
		defer r.stop()
		for _, kind := range Types() {
			if want := strings.HasPrefix(string(kind), "member") || kind == hub.ChannelUpdated; r.events.Wants(r.app, kind) != want {
				t.Errorf("%s: wanted %v", kind, !want)
			}
		}
		if r.events.Wants(&earshot.App{Slug: "other"}, hub.MemberAdded) {
			t.Error("another app's are wanted")
		}
		r.publish("a", "1") // the hub would not have asked
		r.events.Record(&hub.Event{Type: hub.ChannelUpdated, App: "app", Channel: "a", Count: 3}, nil)
		r.sleep(time.Second)
		if taken, _ := r.receiver.count(); taken != 1 || r.receiver.got[0].typ != "hotsock.channelUpdated" {
			t.Errorf("took %+v", r.receiver.got)
		}
	})
}

// TestANewWebhookBeginsNow, and not with what is kept.
func TestANewWebhookBeginsNow(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		hooks := r.app.Webhooks
		r.app.Webhooks, r.app.RecordEvents = nil, true
		r.start()
		r.publish("a", "1")
		r.stop()
		r.app.Webhooks = hooks
		r.start()
		defer r.stop()
		r.publish("a", "2")
		r.sleep(time.Second)
		r.wantTook("a", "2")
	})
}

// TestLinesThatAreLongAreReadAgain in the order in which they were recorded.
func TestLinesThatAreLongAreReadAgain(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.start()
		defer r.stop()
		r.receiver.answers(func(*request) (int, error) { return 500, nil })
		r.publish("a", numbers(1, 1000)...)
		r.sleep(time.Minute)
		r.receiver.answers(nil)
		r.sleep(11 * time.Minute)
		r.wantTook("a", numbers(1, 1000)...)
		if _, peak := r.receiver.flying, r.receiver.peak; peak > 1 {
			t.Errorf("%d of one channel were under way at once", peak)
		}
	})
}

func TestNoMoreThanThatAtOnce(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.receiver.slow = time.Second
		r.start()
		defer r.stop()
		for i := range 500 {
			r.publish(fmt.Sprint("c", i), "1")
		}
		r.sleep(time.Minute)
		if taken, _ := r.receiver.count(); taken != 500 || r.receiver.peak != perHost {
			t.Errorf("%d taken, %d at once", taken, r.receiver.peak)
		}
	})
}

// TestAnEngineThatIsAwayForAWhile costs nothing but time.
func TestAnEngineThatIsAwayForAWhile(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.start()
		defer r.stop()
		r.publish("a", "1")
		r.sleep(time.Second)
		r.node.Cut()
		if err := r.record(r.published("a", "lost")); earshot.CodeOf(err) != earshot.Unavailable {
			t.Errorf("recorded without an engine: %v", err)
		}
		for i := range 3 {
			r.events.Record(&hub.Event{Type: hub.ChannelUpdated, App: "app", Channel: "a", Count: i}, nil)
		}
		r.sleep(10 * time.Second)
		if err := r.record(r.published("a", "lost")); earshot.CodeOf(err) != earshot.Unavailable {
			t.Errorf("recorded without an engine: %v", err)
		}
		r.node.Restore()
		r.sleep(time.Second)
		r.publish("a", "2")
		r.sleep(10 * time.Second)
		var order []string
		for _, q := range r.receiver.got {
			order = append(order, q.typ+" "+q.data)
		}
		want := []string{"hotsock.messagePublished 1", "hotsock.channelUpdated <nil>", "hotsock.channelUpdated <nil>", "hotsock.channelUpdated <nil>", "hotsock.messagePublished 2"}
		if !slices.Equal(order, want) {
			t.Errorf("got %q", order)
		}
		if s := r.events.Stats(); s.Lost != 0 || s.Refused != 2 || s.Recorded != 5 || s.Delivered != 5 {
			t.Errorf("stats %+v", s)
		}
	})
}
