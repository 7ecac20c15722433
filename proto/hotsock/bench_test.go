package hotsock_test

import (
	"context"
	"testing"

	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// sink is a client that reads everything and keeps nothing.
type sink struct{ frames, bytes int }

func (s *sink) Push(f *hub.Frame) int { s.frames++; s.bytes += f.Len(); return 0 }
func (s *sink) Flush() int            { return 0 }
func (s *sink) Close(hub.Goodbye)     {}

// dialogue opens a connection that carries nothing anywhere.
func dialogue(b testing.TB, s *server) *hub.Conn {
	a, refused := s.admit(token(b, claims{"scope": "connect", "uid": "publisher", "channels": claims{"*": claims{"subscribe": true, "messages": claims{"*": claims{"publish": true, "echo": true}}}}}))
	if refused != nil {
		b.Fatal(refused)
	}
	c, err := s.hub.Open(s.hub.NextShard(), &sink{}, hub.Opening{App: a.App, Identity: a.Identity, Farewell: s.protocol})
	if err != nil {
		b.Fatal(err)
	}
	session, err := s.protocol.Open(c, c, a)
	if err != nil {
		b.Fatal(err)
	}
	c.Serve(session)
	b.Cleanup(func() { c.Ended(hub.End{}) })
	return c
}

// settled waits until all commands of a connection are carried out.
func settled(c *hub.Conn) {
	for c.Busy() {
		done := make(chan struct{})
		if !c.Do(func(context.Context) { close(done) }) {
			return
		}
		<-done
	}
}

var published = []byte(`{"event":"greeting","channel":"live.room.17","data":{"text":"hello everybody in this room","at":1700000000000,"from":"somebody","more":[1,2,3]}}`)

// BenchmarkPublish is one live publish of a client, from the text frame to the
// frame that its ten subscribers get.
func BenchmarkPublish(b *testing.B) {
	s := newServer(b, hotsock.DefaultConfig())
	for range 10 {
		c := dialogue(b, s)
		c.Receive(hub.Input{Data: []byte(`{"event":"hotsock.subscribe","channel":"live.room.17"}`)})
		settled(c)
	}
	c := dialogue(b, s)
	c.Receive(hub.Input{Data: []byte(`{"event":"hotsock.subscribe","channel":"live.room.17"}`)})
	settled(c)
	b.ReportAllocs()
	before := s.hub.Stats().Delivered
	for b.Loop() {
		c.Receive(hub.Input{Data: append([]byte(nil), published...)})
	}
	if got := s.hub.Stats().Delivered - before; got < 11*uint64(b.N) {
		b.Fatalf("%d publishes were delivered %d times", b.N, got)
	}
}

// BenchmarkPublishBatch is the same with 16 publishes that came in one read.
func BenchmarkPublishBatch(b *testing.B) {
	s := newServer(b, hotsock.DefaultConfig())
	c := dialogue(b, s)
	c.Receive(hub.Input{Data: []byte(`{"event":"hotsock.subscribe","channel":"live.room.17"}`)})
	settled(c)
	in := make([]hub.Input, 16)
	b.ReportAllocs()
	for b.Loop() {
		for i := range in {
			in[i] = hub.Input{Data: append([]byte(nil), published...)}
		}
		c.Receive(in...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(in)), "ns/publish")
}

// BenchmarkSubscribe is one subscribe and unsubscribe.
func BenchmarkSubscribe(b *testing.B) {
	s := newServer(b, hotsock.DefaultConfig())
	c := dialogue(b, s)
	b.ReportAllocs()
	for b.Loop() {
		c.Receive(hub.Input{Data: []byte(`{"event":"hotsock.subscribe","channel":"live.c"}`)}, hub.Input{Data: []byte(`{"event":"hotsock.unsubscribe","channel":"live.c"}`)})
		settled(c)
	}
}

// BenchmarkConnect is the admission and the opening with a token seen before.
func BenchmarkConnect(b *testing.B) {
	s := newServer(b, hotsock.DefaultConfig())
	raw := token(b, claims{"scope": "connect", "channels": everything()})
	b.ReportAllocs()
	for b.Loop() {
		a, refused := s.admit(raw)
		if refused != nil {
			b.Fatal(refused)
		}
		c, err := s.hub.Open(s.hub.NextShard(), &sink{}, hub.Opening{App: a.App, Identity: a.Identity, Farewell: s.protocol})
		if err != nil {
			b.Fatal(err)
		}
		session, err := s.protocol.Open(c, c, a)
		if err != nil {
			b.Fatal(err)
		}
		c.Serve(session)
		c.Ended(hub.End{})
	}
}

// TestPublishAllocates holds a client's live publish to its few allocations:
// the message with its two names and sender, its delivery, one frame for all
// who hear it, and the input itself.
func TestPublishAllocates(t *testing.T) {
	s := newServer(t, hotsock.DefaultConfig())
	c := dialogue(t, s)
	c.Receive(hub.Input{Data: []byte(`{"event":"hotsock.subscribe","channel":"live.room.17"}`)})
	settled(c)
	before := s.hub.Stats().Delivered
	got := testing.AllocsPerRun(200, func() { c.Receive(hub.Input{Data: append([]byte(nil), published...)}) })
	if got > 15 { // the race detector drops some of what is pooled
		t.Errorf("a publish allocates %v times", got)
	}
	if n := s.hub.Stats().Delivered - before; n != 201 {
		t.Errorf("201 publishes were delivered %d times", n)
	}
}
