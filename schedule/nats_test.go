package schedule_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/nats"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/schedule"
)

// A station is a node on the real engine.
type station struct {
	testing.TB
	engine    *nats.Engine
	hub       *hub.Hub
	timers    *schedule.Timers
	publisher *schedule.Publisher
	app       *earshot.App
}

func newStation(t testing.TB, dir string) *station {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	engine, err := nats.Open(ctx, nats.Config{Dir: dir, MaxStore: 1 << 30, MinFree: -1}, log)
	if err != nil {
		t.Fatal(err)
	}
	s := &station{TB: t, engine: engine, hub: hub.New(hub.Config{}, engine, log), app: &earshot.App{Slug: "app"}}
	if err := s.hub.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s.timers = schedule.New(engine, log)
	s.publisher = schedule.NewPublisher(s.timers, s.hub, engine, func(string) *earshot.App { return s.app })
	s.timers.Start()
	return s
}

func (s *station) stop() {
	s.timers.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.engine.Close(ctx); err != nil {
		s.Error(err)
	}
	s.hub.Close()
}

func (s *station) schedule(at time.Time, channel, data string) {
	_, err := s.publisher.Publish(context.Background(), s.app, at, hub.Publication{Message: &earshot.Message{
		Channel: channel, Event: "e", Kind: earshot.Text, Data: []byte(data), Store: time.Hour,
	}})
	if err != nil {
		s.Errorf("scheduling %s: %v", data, err)
	}
}

// await waits until no timer is left.
func (s *station) await(patience time.Duration) {
	s.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); s.timers.Stats().Pending > 0 || s.left() > 0; <-tick.C {
		if time.Now().After(end) {
			s.Fatalf("%d timers are left", s.left())
		}
	}
}

// left is how many timers the store holds, some at the most.
func (s *station) left() int {
	s.Helper()
	records, _, err := s.engine.List(context.Background(), hub.Key{"timer"}, nil, 10)
	if err != nil {
		s.Fatal(err)
	}
	return len(records)
}

// messages reads a whole channel.
func (s *station) messages(channel string) (all []*earshot.Message) {
	s.Helper()
	var r hub.Range
	for {
		page, err := s.engine.Read(context.Background(), "app", channel, r)
		if err != nil {
			s.Fatal(err)
		}
		all = append(all, page.Messages...)
		if !page.More {
			return all
		}
		r.After = all[len(all)-1].ID.Position()
	}
}

// TestRestartOnDisk stops the real engine while messages are due, and starts it
// again: each is published once, in order, none before its time.
func TestRestartOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := newStation(t, dir)
	const many = 100
	begin := time.Now()
	due := func(i int) time.Time { return begin.Add(time.Second + time.Duration(i)*10*time.Millisecond) }
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for i := c; i < many; i += 4 {
				s.schedule(due(i), fmt.Sprintf("c%d", c), fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	<-time.After(time.Until(due(many / 2)))
	s.stop()
	s = newStation(t, dir)
	defer s.stop()
	s.await(10 * time.Second)
	for c := range 4 {
		next := c
		for _, m := range s.messages(fmt.Sprintf("c%d", c)) {
			if string(m.Data) != fmt.Sprint(next) || m.Time.Before(due(next).Truncate(time.Millisecond)) {
				t.Errorf("%s came at %v, want %d at %v", m.Data, m.Time, next, due(next))
			}
			next += 4
		}
		if next != many+c {
			t.Errorf("c%d ends before %d", c, next)
		}
	}
}

// BenchmarkDueAtOnce says how long it takes until all have been published that
// are due at once, on the real engine.
func BenchmarkDueAtOnce(b *testing.B) {
	for name, channel := range map[string]func(i int) string{
		"channels":   func(i int) string { return fmt.Sprintf("c%d", i) },
		"oneChannel": func(int) string { return "c" },
	} {
		b.Run(name, func(b *testing.B) {
			s := newStation(b, b.TempDir())
			defer s.stop()
			const many = 5_000
			for range b.N {
				b.StopTimer()
				at := time.Now().Add(5 * time.Second).Truncate(time.Second)
				var wg sync.WaitGroup
				for p := range 100 {
					wg.Go(func() {
						for i := p; i < many; i += 100 {
							s.schedule(at, channel(i), "data of a message")
						}
					})
				}
				wg.Wait()
				<-time.After(time.Until(at))
				b.StartTimer()
				begin := time.Now()
				s.await(time.Minute)
				b.ReportMetric(many/time.Since(begin).Seconds(), "timers/s")
			}
		})
	}
}

// herd is a store that tells of many timers and keeps none.
type herd struct {
	schedule.Store
	many int
}

func (*herd) Node() string { return "n" }

func (h *herd) Watch(ctx context.Context, _ hub.Key, changed func([]hub.Record), synced func()) error {
	at := time.Now().Add(time.Hour).UnixMilli()
	for i := range h.many {
		id := fmt.Sprintf("01%024d", i)
		note := fmt.Sprintf(`{"at":%d,"kind":"message","line":"channel.%d"}`, at+int64(i)*7919%1000, i)
		changed([]hub.Record{{Key: hub.Key{"timer", "app", id}, Data: []byte(note + "\n" + id), Revision: uint64(i + 1)}})
	}
	synced()
	<-ctx.Done()
	return ctx.Err()
}

// BenchmarkPending says how many bytes a timer takes that waits.
func BenchmarkPending(b *testing.B) {
	const many = 100_000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range b.N {
		before := heap()
		s := schedule.New(&herd{many: many}, slog.New(slog.DiscardHandler))
		s.Handle(schedule.Message, func(context.Context, schedule.Timer) error { return nil })
		begin := time.Now()
		s.Start()
		tick := time.NewTicker(time.Millisecond)
		for s.Stats().Pending < many {
			<-tick.C
		}
		tick.Stop()
		took := time.Since(begin)
		b.ReportMetric(float64(heap()-before)/many, "B/timer")
		b.ReportMetric(float64(took.Nanoseconds())/many, "ns/timer")
		s.Close()
		runtime.KeepAlive(s)
	}
}
