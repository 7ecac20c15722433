package nats

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// deaf is a sink that counts nothing.
type deaf struct{}

func (deaf) Deliver([]hub.Delivery) {}
func (deaf) Told([]byte)            {}

// fsyncFloor is what one write of 4 KB and its fsync take here.
func fsyncFloor(b *testing.B, dir string) time.Duration {
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	const n = 200
	page := make([]byte, 4096)
	begin := time.Now()
	for range n {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begin) / n
}

// BenchmarkStored has 64 publishers, each with one message under way: 200
// bytes, kept for an hour, republished, delivered, acknowledged when on disk.
func BenchmarkStored(b *testing.B) {
	dir := b.TempDir()
	floor := fsyncFloor(b, dir)
	e := open(b, Config{Dir: filepath.Join(dir, "data")})
	if _, err := e.Start(context.Background(), deaf{}); err != nil {
		b.Fatal(err)
	}
	const publishers = 64
	rule := &earshot.Rule{}
	data := make([]byte, 200)
	times := make([][]time.Duration, publishers)
	var all sync.WaitGroup
	b.ResetTimer()
	for p := range publishers {
		all.Go(func() {
			result := make(chan error, 1)
			for i := p; i < b.N; i += publishers {
				begin := time.Now()
				m := &earshot.Message{App: "app", Channel: fmt.Sprintf("c.%d", p), Event: "e", Kind: earshot.Binary, Data: data, Store: time.Hour}
				e.Append(m, hub.AppendOptions{Rule: rule}, func(_ hub.Appended, err error) { result <- err })
				if err := <-result; err != nil {
					b.Errorf("append: %v", err)
					return
				}
				times[p] = append(times[p], time.Since(begin))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	sorted := slices.Sorted(slices.Values(slices.Concat(times...)))
	if len(sorted) == 0 {
		return
	}
	at := func(part float64) float64 {
		return sorted[int(part*float64(len(sorted)-1))].Seconds() * 1000
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(floor.Seconds()*1000, "fsync-ms")
	b.ReportMetric(float64(b.N)/float64(max(e.Stats().Barriers, 1)), "msg/sync")
}

// BenchmarkReadNewest reads the newest 100 of 10,000 messages.
func BenchmarkReadNewest(b *testing.B) {
	e := open(b, Config{Dir: b.TempDir()})
	var all sync.WaitGroup
	for i := range 20_000 {
		all.Add(1)
		m := &earshot.Message{App: "app", Channel: fmt.Sprintf("c.%d", i%2), Kind: earshot.Text, Data: []byte(fmt.Sprint(i)), Store: time.Hour}
		e.Append(m, hub.AppendOptions{}, func(_ hub.Appended, err error) {
			if err != nil {
				b.Errorf("append: %v", err)
			}
			all.Done()
		})
	}
	all.Wait()
	b.ResetTimer()
	for range b.N {
		page, err := e.Read(context.Background(), "app", "c.1", hub.Range{Reverse: true, Limit: 100})
		if err != nil || len(page.Messages) != 100 || string(page.Messages[0].Data) != "19999" {
			b.Fatalf("read: %d messages, %v", len(page.Messages), err)
		}
	}
}

// BenchmarkRecordPut has one writer and then 64, each with one record under way:
// 200 bytes, on disk when it is acknowledged.
func BenchmarkRecordPut(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			dir := b.TempDir()
			floor := fsyncFloor(b, dir)
			e := open(b, Config{Dir: filepath.Join(dir, "data")})
			data := make([]byte, 200)
			times := make([][]time.Duration, writers)
			before := e.Stats().Barriers
			var all sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				all.Go(func() {
					for i := w; i < b.N; i += writers {
						begin := time.Now()
						if _, err := e.Put(context.Background(), hub.Key{"bench", fmt.Sprint(w), fmt.Sprint(i % 1000)}, data, hub.AnyRevision, 0); err != nil {
							b.Errorf("put: %v", err)
							return
						}
						times[w] = append(times[w], time.Since(begin))
					}
				})
			}
			all.Wait()
			b.StopTimer()
			reportTimes(b, slices.Concat(times...))
			b.ReportMetric(floor.Seconds()*1000, "fsync-ms")
			b.ReportMetric(float64(b.N)/float64(max(e.Stats().Barriers-before, 1)), "puts/sync")
		})
	}
}

func reportTimes(b *testing.B, times []time.Duration) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	at := func(part float64) float64 { return times[int(part*float64(len(times)-1))].Seconds() * 1000 }
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "/s")
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
}

// manyKept makes n records.
func manyKept(b *testing.B, e *Engine, n int) {
	b.Helper()
	var all sync.WaitGroup
	for w := range 64 {
		all.Go(func() {
			for i := w; i < n; i += 64 {
				if _, err := e.Put(context.Background(), hub.Key{"bench", fmt.Sprintf("%06d", i)}, make([]byte, 200), 0, 0); err != nil {
					b.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkRecordGet reads one of 10,000 records.
func BenchmarkRecordGet(b *testing.B) {
	e := open(b, Config{Dir: b.TempDir()})
	manyKept(b, e, 10_000)
	times := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		begin := time.Now()
		r, err := e.Get(context.Background(), hub.Key{"bench", fmt.Sprintf("%06d", i%10_000)})
		if err != nil || r.Revision == 0 {
			b.Fatalf("get: %+v, %v", r, err)
		}
		times = append(times, time.Since(begin))
	}
	b.StopTimer()
	reportTimes(b, times)
}

// BenchmarkRecordList reads the first 1,000 of 10,000 records.
func BenchmarkRecordList(b *testing.B) {
	e := open(b, Config{Dir: b.TempDir()})
	manyKept(b, e, 10_000)
	b.ResetTimer()
	for range b.N {
		rs, more, err := e.List(context.Background(), hub.Key{"bench"}, nil, 1000)
		if err != nil || len(rs) != 1000 || !more {
			b.Fatalf("list: %d, %v, %v", len(rs), more, err)
		}
	}
}
