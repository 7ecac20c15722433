package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// reads opens the stream behind a place and reads what there is.
func (r *rig) reads(after earshot.ID) (st *Stream, whole bool, got []Told) {
	r.Helper()
	st, whole, err := r.events.Stream(context.Background(), r.app, after)
	if err != nil {
		r.Fatal(err)
	}
	if got, err = st.Read(context.Background()); err != nil {
		r.Fatal(err)
	}
	return st, whole, got
}

func texts(told []Told) (all []string) {
	for _, e := range told {
		_, rest, _ := strings.Cut(string(e.Body), `"data":"`)
		text, _, _ := strings.Cut(rest, `"`)
		all = append(all, text)
	}
	return all
}

func TestAStreamGoesOn(t *testing.T) {
	bubble(t, mem.Config{EventsKeep: time.Hour}, func(r *rig) {
		r.app.Webhooks, r.app.RecordEvents = nil, true
		r.start()
		defer r.stop()
		r.publish("a", "1", "2", "3")
		_, whole, got := r.reads(Oldest())
		if !whole || !slices.Equal(texts(got), []string{"1", "2", "3"}) {
			t.Fatalf("got %q, whole %v", texts(got), whole)
		}
		if _, whole, rest := r.reads(got[0].At); !whole || !slices.Equal(texts(rest), []string{"2", "3"}) || rest[0].ID != got[1].ID {
			t.Errorf("got %q, whole %v", texts(rest), whole)
		}
		now, whole, none := r.reads(earshot.ID{})
		if !whole || len(none) != 0 {
			t.Errorf("got %q, whole %v", texts(none), whole)
		}
		begun := now.Place()
		woken := make(chan time.Duration)
		go func() {
			at := time.Now()
			now.Wait(context.Background(), time.Minute)
			woken <- time.Since(at)
		}()
		r.sleep(time.Second)
		r.publish("a", "4")
		if after := <-woken; after != time.Second {
			t.Errorf("woken after %v", after)
		}
		if more, err := now.Read(context.Background()); err != nil || !slices.Equal(texts(more), []string{"4"}) {
			t.Errorf("got %q, %v", texts(more), err)
		}
		if _, whole, rest := r.reads(begun); !whole || !slices.Equal(texts(rest), []string{"4"}) {
			t.Errorf("from where it began: %q, whole %v", texts(rest), whole)
		}
		r.sleep(2 * time.Hour)
		r.publish("a", "5")
		if _, whole, rest := r.reads(got[2].At); whole || !slices.Equal(texts(rest), []string{"5"}) {
			t.Errorf("after what was not kept: %q, whole %v", texts(rest), whole)
		}
		r.store.NewEpoch()
		r.publish("a", "6")
		if _, whole, rest := r.reads(got[2].At); whole || !slices.Equal(texts(rest), []string{"6"}) {
			t.Errorf("of another outbox: %q, whole %v", texts(rest), whole)
		}
		if _, _, err := r.events.Stream(context.Background(), &earshot.App{Slug: "other"}, earshot.ID{}); earshot.CodeOf(err) != earshot.NotFound {
			t.Errorf("of an app without events: %v", err)
		}
	})
}

// TestRoomIsMade by dropping what was told, and only that.
func TestRoomIsMade(t *testing.T) {
	pad := strings.Repeat("x", 1000)
	bubble(t, mem.Config{EventsBytes: 400_000}, func(r *rig) {
		r.start()
		defer r.stop()
		for i := range 1000 {
			r.publish("a", fmt.Sprint(i, pad))
			r.sleep(200 * time.Millisecond)
		}
		if got := len(r.receiver.took("a")); got != 1000 {
			t.Fatalf("%d were told", got)
		}
		first, whole, kept := r.reads(Oldest())
		if !whole || len(kept) == 0 || len(kept) > 400 || first == nil {
			t.Errorf("%d are kept, whole %v", len(kept), whole)
		}
		gone := earshot.NewID(time.Now(), earshot.Position{Epoch: 1, Seq: 1})
		if _, whole, _ := r.reads(gone); whole {
			t.Error("what was dropped is not missed")
		}
		r.receiver.answers(func(*request) (int, error) { return 500, nil })
		var full error
		count := 0
		for ; full == nil && count < 1000; count++ {
			full = r.record(r.published("b", fmt.Sprint(count, pad)))
			r.sleep(200 * time.Millisecond)
		}
		if earshot.CodeOf(full) != earshot.Full {
			t.Fatalf("%d were recorded, and then %v", count, full)
		}
		r.receiver.answers(nil)
		r.sleep(30 * time.Minute)
		if got := r.receiver.took("b"); len(got) != count-1 {
			t.Errorf("%d of %d that were recorded were told", len(got), count-1)
		}
		if err := r.record(r.published("b", "again")); err != nil {
			t.Errorf("there is no room again: %v", err)
		}
	})
}

// TestUnwaitedEventsAreBounded: what cannot be recorded for long is lost, loudly.
func TestUnwaitedEventsAreBounded(t *testing.T) {
	bubble(t, mem.Config{}, func(r *rig) {
		r.start()
		defer r.stop()
		r.events.queue.mu.Lock()
		r.events.queue.most = 1 << 20
		r.events.queue.mu.Unlock()
		r.node.Cut()
		big := &earshot.Message{App: "app", Kind: earshot.Text, Data: []byte(strings.Repeat("x", 30_000))}
		for i := range 100 {
			r.events.Record(&hub.Event{Type: hub.MessagePublished, App: "app", Channel: fmt.Sprint(i), Message: big}, nil)
		}
		r.sleep(time.Second)
		lost := r.events.Stats().Lost
		if lost < 30 || lost > 70 {
			t.Errorf("%d are lost", lost)
		}
		r.node.Restore()
		r.sleep(time.Minute)
		if taken, _ := r.receiver.count(); uint64(taken)+lost != 100 {
			t.Errorf("%d were told, %d lost", taken, lost)
		}
	})
}
