package hub_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// BenchmarkPresence lets a user come and go on a channel where others are
// present, until all of them have been told.
func BenchmarkPresence(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			r := newRig(b, hub.Config{}, mem.NewStore(mem.Config{}))
			w := &counter{all: make(chan struct{}, 1)}
			enc := &hub.Encoding{Name: "members", Notices: true, Render: func(m *earshot.Message) *hub.Frame {
				return hub.TextFrame(append(make([]byte, 0, len(m.Data)+64), m.Data...))
			}}
			comes := func(uid string) (*hub.Conn, *hub.Sub) {
				c, err := r.hub.Open(r.hub.NextShard(), w, hub.Opening{App: r.app, Identity: user(uid, `{"name":"somebody"}`), Farewell: w})
				if err != nil {
					b.Fatal(err)
				}
				sub, _, err := c.Subscribe(context.Background(), hub.Join{Channel: "live", Encoding: enc, Present: true})
				if err != nil {
					b.Fatal(err)
				}
				if err := sub.Start(context.Background()); err != nil {
					b.Fatal(err)
				}
				return c, sub
			}
			for i := range n {
				c, _ := comes(fmt.Sprintf("user-%d", i))
				b.Cleanup(func() {
					c.Close(nil)
					c.Ended(hub.End{})
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				w.want.Store(w.got.Load() + int64(2*n))
				c, sub := comes("another")
				c.Unsubscribe(sub)
				c.Ended(hub.End{})
				<-w.all
			}
		})
	}
}
