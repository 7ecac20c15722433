package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/gateway"
)

// TestIdleConnectionForgetsItsHandshake: an open connection keeps what events say of
// it, and not the request that it came by, whose headers may have 16 KB.
func TestIdleConnectionForgetsItsHandshake(t *testing.T) {
	n := bareNode(t)
	r := newRequest("/prod")
	came := weak.Make(r)
	w, err := n.openBy(r)
	if err != nil {
		t.Fatal(err)
	}
	n.forget()
	runtime.GC()
	runtime.GC()
	if came.Value() != nil {
		t.Error("the request is kept for as long as the connection is open")
	}
	runtime.KeepAlive(w)
}

// forget forgets the events that came.
func (b *backend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = nil
}

// TestPanics: what panics for one client is a failure of its own.
func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		bad, good := n.connect("/prod"), n.connect("/prod")
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Conn.ID == bad.conn.ID().String() {
				panic("so says the test")
			}
			return nil, nil
		})
		bad.say(`{"action":"echo"}`)
		synctest.Wait()
		bad.mu.Lock()
		text := strings.Join(bad.frames, "")
		bad.mu.Unlock()
		if !strings.HasPrefix(text, `{"message": "Internal server error"`) {
			t.Errorf("the client heard %q", text)
		}
		good.say(`{"action":"echo"}`)
		good.hears(`{"action":"echo"}`)
		bad.conn.Ended(hub.End{Peer: true})
		time.Sleep(time.Hour)
		if s := n.protocol.Stats(); s.GivenUp != 1 || s.Waiting != 0 {
			t.Errorf("the figures are %+v", s)
		}
	})
}

// TestEndsAreBounded: while too many ends of an app's connections wait to be told,
// its clients wait too, and nobody else's.
func TestEndsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := &earshot.App{Slug: "other", Gateways: []earshot.Gateway{api(func(g *earshot.Gateway) { g.ID = "def456" })}}
		n := bareAs(t, newStore(), newBackend(), func(c *gateway.Config, _ *proto.Deps) { c.Ends = 3 }, app(api()), other)
		hangs := make(chan struct{})
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Disconnect {
				<-hangs
			}
			return nil, nil
		})
		for range 3 {
			n.connect("/prod").conn.Ended(hub.End{Peer: true})
		}
		var refused *proto.Refusal
		if _, err := n.open("/prod"); !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests {
			t.Errorf("one more was answered %v", err)
		}
		n.connect("/other/prod")
		close(hangs)
		synctest.Wait()
		n.connect("/prod")
	})
}

// slowRecords writes no connection's record before it may.
type slowRecords struct {
	hub.Records
	may chan struct{}
}

func (r *slowRecords) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	if key[0] == "disconnect" {
		<-r.may
	}
	return r.Records.Put(ctx, key, data, revision, ttl)
}

// TestStopDuringHandshake: a record that is written while the server stops is found
// by the next.
func TestStopDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, may := newStore(), make(chan struct{})
		n := bareAs(t, store, newBackend(), func(_ *gateway.Config, d *proto.Deps) { d.Records = &slowRecords{d.Records, may} })
		over := make(chan struct{})
		go func() {
			defer close(over)
			if yes, err := n.protocol.Admit(context.Background(), &proto.Request{HTTP: newRequest("/prod")}); err == nil {
				yes.Lost()
			}
		}()
		synctest.Wait()
		n.stop()
		close(may)
		<-over
		if err := n.engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
		next := bare(t, store, newBackend())
		next.waitFor(t, core.Disconnect, 1, time.Minute)
		synctest.Wait()
		next.noRecords()
	})
}

// TestDeadNodeWithDeadBackend: of a node that died, the ends that no backend wants to
// hear hold up nobody else's.
func TestDeadNodeWithDeadBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := &earshot.App{Slug: "other", Gateways: []earshot.Gateway{api(func(g *earshot.Gateway) { g.ID = "def456" })}}
		store := newStore()
		first := bare(t, store, newBackend(), app(api()), other)
		const dead, alive = 1000, 20 // in four pages, without an order
		for range dead {
			first.connect("/prod")
		}
		for range alive {
			first.connect("/other/prod")
		}
		first.engine.Cut()
		b := newBackend()
		told := make(chan struct{}, alive)
		b.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Stage.API.ID == "abc123" {
				return nil, fails(core.Unreachable)
			}
			told <- struct{}{}
			return nil, nil
		})
		second := bare(t, store, b, app(api()), other)
		soon := time.After(time.Minute)
		for i := range alive {
			select {
			case <-told:
			case <-soon:
				t.Fatalf("%d of %d were told of", i, alive)
			}
		}
		time.Sleep(time.Hour)
		second.noRecords()
		first.engine.Restore()
	})
}

// TestEndOfAnotherApp: an app that has got the slug and the API's id of one that was
// deleted is told nothing of that one's connections; one that was renamed is.
func TestEndOfAnotherApp(t *testing.T) {
	for _, test := range []struct {
		name string
		next *earshot.App
		want int // tries after the change
	}{
		{"made again", &earshot.App{Slug: "main", ID: 2, Gateways: []earshot.Gateway{api()}}, 0},
		{"renamed", &earshot.App{Slug: "renamed", ID: 1, Gateways: []earshot.Gateway{api()}}, 1},
		{"another's API", &earshot.App{Slug: "renamed", ID: 3, Gateways: []earshot.Gateway{api()}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := app(api())
				first.ID = 1
				n := bare(t, newStore(), newBackend(), first)
				n.answers(func(context.Context, *core.Event) (*core.Answer, error) {
					if n.count(core.Disconnect) == 1 {
						return nil, fails(core.Unreachable)
					}
					return nil, nil
				})
				n.connect("/prod").conn.Ended(hub.End{Peer: true})
				synctest.Wait()
				if refused := n.apps.Replace([]*earshot.App{test.next}); len(refused) > 0 {
					t.Fatal(refused[0].Err)
				}
				time.Sleep(time.Hour)
				if got := n.count(core.Disconnect) - 1; got != test.want {
					t.Errorf("told %d times, want %d", got, test.want)
				}
				n.noRecords()
			})
		})
	}
}

// TestLateMessagesAreBounded: who sends much, leaves and comes again cannot have more
// kept than connections could; what was sent is worked on all the same.
func TestLateMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		hangs := make(chan struct{})
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Message {
				<-hangs
			}
			return nil, nil
		})
		data := []byte(`{"action":"push","pad":"` + strings.Repeat("x", 120<<10) + `"}`)
		came := 0
		for ; came < 1000; came++ {
			w, err := n.open("/prod")
			if err != nil {
				break
			}
			for range 3 { // one is worked on, and two wait
				w.conn.Receive(hub.Input{Data: data})
			}
			synctest.Wait()
			w.conn.Ended(hub.End{Peer: true})
		}
		if most := 64<<20/(2*len(data)) + 1; came != most {
			t.Errorf("%d came, want %d", came, most)
		}
		close(hangs)
		synctest.Wait()
		if got := n.count(core.Message); got != 3*came {
			t.Errorf("%d messages of %d were worked on", got, 3*came)
		}
		n.connect("/prod")
	})
}

// TestThoughtDead: a node that was cut off, and told of by another, is alive again: of
// who connects to it then is told too when it dies.
func TestThoughtDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, b := newStore(), newBackend()
		first, _ := bare(t, store, newBackend()), bare(t, store, b)
		first.connect("/prod")
		first.engine.Cut()
		b.waitFor(t, core.Disconnect, 1, time.Minute)
		time.Sleep(time.Minute)
		first.engine.Restore()
		time.Sleep(time.Minute)
		late := first.connect("/prod").conn.ID().String()
		first.engine.Cut()
		for e, n := b.waitFor(t, core.Disconnect, 2, time.Minute), 3; e.Conn.ID != late; n++ {
			e = b.waitFor(t, core.Disconnect, n, time.Minute)
		}
		first.engine.Restore()
	})
}
