package hub_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// A counter is a transport that costs nothing: it counts frames for all its
// connections, and tells when there are as many as were asked for.
type counter struct {
	got, want atomic.Int64
	all       chan struct{}
}

func (c *counter) Push(*hub.Frame) int {
	if c.got.Add(1) == c.want.Load() {
		c.all <- struct{}{}
	}
	return 0
}

func (c *counter) Flush() int { return 0 }

func (c *counter) Close(hub.Goodbye) {}

func (c *counter) Farewell(error) (*hub.Frame, int, string) { return nil, 0, "" }

// crowd opens connections that share a transport, each subscribed to one channel.
func crowd(r *rig, n int, channel func(int) string) (*counter, []*hub.Conn) {
	w := &counter{all: make(chan struct{}, 1)}
	id, enc := everything(), text()
	conns := make([]*hub.Conn, n)
	for i := range conns {
		c, err := r.hub.Open(r.hub.NextShard(), w, hub.Opening{App: r.app, Identity: id, Farewell: w})
		if err != nil {
			r.Fatal(err)
		}
		sub, _, err := c.Subscribe(context.Background(), hub.Join{Channel: channel(i), Encoding: enc})
		if err != nil {
			r.Fatal(err)
		}
		if err := sub.Start(context.Background()); err != nil {
			r.Fatal(err)
		}
		conns[i] = c
	}
	r.Cleanup(func() {
		for _, c := range conns {
			c.Close(nil)
			c.Ended(hub.End{})
		}
	})
	return w, conns
}

// publishTo publishes live messages and waits until n subscribers have them.
func publishTo(r *rig, w *counter, channel string, messages, n int) {
	w.want.Store(w.got.Load() + int64(messages*n))
	for range messages {
		r.hub.PublishAsync(context.Background(), r.app, hub.Publication{
			Message: &earshot.Message{Channel: channel, Kind: earshot.Text, Data: payload},
		}, ignore)
	}
	<-w.all
}

func ignore(hub.Appended, error) {}

var payload = make([]byte, 128)

// TestPublishAllocates a bounded number of times, and nothing per subscriber.
func TestPublishAllocates(t *testing.T) {
	var allocs []float64
	for _, n := range []int{1, 1000} {
		r := newRig(t, hub.Config{}, mem.NewStore(mem.Config{}))
		w, _ := crowd(r, n, func(int) string { return "live" })
		publishTo(r, w, "live", 1, n)
		allocs = append(allocs, testing.AllocsPerRun(100, func() { publishTo(r, w, "live", 1, n) }))
	}
	t.Logf("allocations of a live publish: %v for one subscriber, %v for 1,000", allocs[0], allocs[1])
	if allocs[0] > 8 || allocs[1] > 8 {
		t.Errorf("a publish allocates %v times", allocs)
	}
}

// heap is how many bytes are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A deaf engine keeps nothing for a channel that is heard.
type deaf struct{ *mem.Engine }

func (deaf) Hear(context.Context, string, string) (uint64, func(), error) {
	return 0, func() {}, nil
}

// TestMemoryOfAnIdleConnection measures what the hub keeps for it.
func TestMemoryOfAnIdleConnection(t *testing.T) {
	const n = 10_000
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("live.%d", i)
	}
	for _, c := range []struct {
		what    string
		channel func(int) string
		bound   uint64
	}{
		{"all on one channel", func(int) string { return "live" }, 500},
		{"one channel each", func(i int) string { return names[i] }, 700},
	} {
		before := heap()
		store := mem.NewStore(mem.Config{})
		node := store.Node()
		r := rigOn(t, hub.Config{}, store, node, deaf{node})
		_, conns := crowd(r, n, c.channel)
		each := (heap() - before) / n
		t.Logf("%s: %d bytes each; a Conn has %d, a Sub %d", c.what, each, unsafe.Sizeof(hub.Conn{}), unsafe.Sizeof(hub.Sub{}))
		if each > c.bound {
			t.Errorf("%s: %d bytes each, bound is %d", c.what, each, c.bound)
		}
		runtime.KeepAlive(conns)
	}
}

// BenchmarkPublish publishes live messages and waits for their deliveries: 64
// together on one channel, and one by one on many.
func BenchmarkPublish(b *testing.B) {
	const outstanding = 64
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			r := newRig(b, hub.Config{}, mem.NewStore(mem.Config{}))
			w, _ := crowd(r, n, func(int) string { return "live" })
			b.ReportAllocs()
			for b.Loop() {
				publishTo(r, w, "live", outstanding, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*outstanding*n), "ns/delivery")
		})
	}
	b.Run("channels=10000", func(b *testing.B) {
		r := newRig(b, hub.Config{}, mem.NewStore(mem.Config{}))
		names := make([]string, 10_000)
		for i := range names {
			names[i] = fmt.Sprintf("live.%d", i)
		}
		w, _ := crowd(r, len(names), func(i int) string { return names[i] })
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			publishTo(r, w, names[i%len(names)], 1, 1)
			i++
		}
	})
}
