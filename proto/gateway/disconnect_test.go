package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
)

// records lists what is kept of connections, and of which nodes.
func (n *node) records(kind string) []hub.Record {
	n.Helper()
	all, _, err := n.engine.List(context.Background(), hub.Key{kind}, nil, 1000)
	if err != nil {
		n.Fatal(err)
	}
	return all
}

// TestRecordOfAConnection: it is there before the handshake is answered, holds no
// API key, and is gone when the integration has been told of the end.
func TestRecordOfAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bare(t, newStore(), newBackend(), app(api(func(g *earshot.Gateway) {
			route(g, "$connect").APIKeyRequired = true
			g.APIKeys = []earshot.GatewayKey{{ID: "k", Value: "the-value"}}
		})))
		r := newRequest("/prod")
		r.Header.Set("X-Api-Key", "the-value")
		w, err := n.openBy(r)
		if err != nil {
			t.Fatal(err)
		}
		all := n.records("disconnect")
		if len(all) != 1 || len(n.records("disconnect-node")) != 1 {
			t.Fatalf("the records are %v", all)
		}
		if text := string(all[0].Data); strings.Contains(text, "the-value") || !strings.Contains(text, w.conn.ID().String()) {
			t.Errorf("the record is %s", text)
		}
		w.conn.Close(nil)
		e := n.wait(t, core.Disconnect, 1)
		if e.Conn.APIKey != "the-value" || e.Conn.APIKeyID != "k" {
			t.Errorf("the event has the key %q %q", e.Conn.APIKey, e.Conn.APIKeyID)
		}
		synctest.Wait()
		n.noRecords()
	})
}

// TestNoRecord: an API without a $disconnect route writes nothing, and neither does
// a handshake that was rejected.
func TestNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bare(t, newStore(), newBackend(), app(api(without("$disconnect"))))
		w := n.connect("/prod")
		if len(n.records("disconnect")) != 0 || len(n.records("disconnect-node")) != 0 {
			t.Error("something is kept")
		}
		w.conn.Close(nil)
		synctest.Wait()
		if n.count(core.Disconnect) != 0 {
			t.Error("somebody was told")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		n.answers(func(context.Context, *core.Event) (*core.Answer, error) { return &core.Answer{Status: 401}, nil })
		if _, err := n.open("/prod"); err == nil {
			t.Error("the client was let in")
		}
		synctest.Wait()
		if n.count(core.Disconnect) != 0 {
			t.Error("somebody was told of the end of what was rejected")
		}
		n.noRecords()
	})
}

// TestNoRecordNoEntry: what could not be kept is not let in, and the backend, which
// had said yes, is told.
func TestNoRecordNoEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		n.engine.Cut()
		if _, err := n.open("/prod"); err == nil || !strings.Contains(err.Error(), "Service Unavailable") {
			t.Errorf("the client was let in: %v", err)
		}
		if e := n.wait(t, core.Disconnect, 1); e.Code != 1006 {
			t.Errorf("$disconnect was told %d", e.Code)
		}
		n.engine.Restore()
	})
}

// TestRetries: a backend that cannot be reached is tried again, more and more
// seldom; the event stays the same.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		w := n.connect("/prod")
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if n.count(core.Disconnect) < 5 {
				return nil, fails(core.Unreachable)
			}
			return nil, nil
		})
		began := time.Now()
		w.conn.Ended(hub.End{Peer: true, Bye: true, Code: 4000, Reason: "r"})
		last := n.wait(t, core.Disconnect, 5)
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("five tries took %v", took)
		}
		if last.Code != 4000 || last.Reason != "r" {
			t.Errorf("the last try was told %d %q", last.Code, last.Reason)
		}
		time.Sleep(time.Hour)
		if got := n.count(core.Disconnect); got != 5 {
			t.Errorf("%d tries", got)
		}
		n.noRecords()
	})
}

// TestTriesAreBounded, by what went wrong.
func TestTriesAreBounded(t *testing.T) {
	for kind, want := range map[core.FailureKind]int{
		core.Malformed: 1, core.Raised: 3, core.Unreachable: 12, core.TimedOut: 12, core.Overloaded: 12, core.Misconfigured: 12,
	} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := bareNode(t)
				w := n.connect("/prod")
				n.answers(func(context.Context, *core.Event) (*core.Answer, error) { return nil, fails(kind) })
				w.conn.Ended(hub.End{Peer: true})
				time.Sleep(time.Hour)
				if got := n.count(core.Disconnect); got != want {
					t.Errorf("%d tries, want %d", got, want)
				}
				if s := n.protocol.Stats(); s.GivenUp != 1 || s.Told != 0 || s.Waiting != 0 || s.Connections != 0 {
					t.Errorf("the figures are %+v", s)
				}
				n.noRecords()
			})
		})
	}
}

// TestDeadNode: when a node dies, another one tells of its connections, each once,
// and keeps nothing of it.
func TestDeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		first, b := bare(t, store, newBackend()), newBackend()
		others := []*node{bare(t, store, b), bare(t, store, b)}
		const conns = 600 // more than a page
		ids := map[string]bool{}
		for range conns {
			ids[first.connect("/prod").conn.ID().String()] = true
		}
		time.Sleep(time.Minute)
		if got := b.count(core.Disconnect); got != 0 {
			t.Fatalf("%d connections of a node that lives were told of", got)
		}
		died := time.Now()
		first.engine.Cut() // nobody hears of it any more, and it can write nothing
		b.waitFor(t, core.Disconnect, conns, time.Minute)
		t.Logf("told of after %v", time.Since(died))
		for i := range conns {
			e := b.find(core.Disconnect, i+1)
			if e.Code != 1006 || e.Reason != "Connection closed abnormally" || !ids[e.Conn.ID] {
				t.Fatalf("told of %+v, with %d", e.Conn, e.Code)
			}
			delete(ids, e.Conn.ID)
		}
		time.Sleep(time.Minute)
		if got := b.count(core.Disconnect); got != conns {
			t.Errorf("%d were told of %d connections", got, conns)
		}
		others[0].noRecords()
		if all := others[0].records("disconnect-node"); len(all) != 0 {
			t.Errorf("the dead node is still marked: %v", all)
		}
		first.engine.Restore()
	})
}

// TestRestart: after a single node was killed, the next start tells of its
// connections, and with the code that was known where it was.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		first := bare(t, store, newBackend())
		first.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Disconnect {
				return nil, fails(core.Unreachable)
			}
			return nil, nil
		})
		open, closed := first.connect("/prod"), first.connect("/prod")
		closed.conn.Ended(hub.End{Peer: true, Bye: true, Code: 4000, Reason: "mine"})
		first.wait(t, core.Disconnect, 1)
		synctest.Wait()
		first.engine.Cut()
		second := bare(t, store, newBackend())
		second.waitFor(t, core.Disconnect, 2, time.Minute)
		got := map[string]string{}
		for i := range 2 {
			e := second.find(core.Disconnect, i+1)
			got[e.Conn.ID] = fmt.Sprint(e.Code, " ", e.Reason)
		}
		if got[open.conn.ID().String()] != "1006 Connection closed abnormally" || got[closed.conn.ID().String()] != "4000 mine" {
			t.Errorf("told of %v", got)
		}
		first.engine.Restore()
	})
}

// TestStop: a server that stops tells of its connections; what it could not tell it
// leaves to the next, with how they ended.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		first := bare(t, store, newBackend())
		w := first.connect("/prod")
		w.conn.Close(earshot.Errorf(earshot.Shutdown, "the server is shutting down"))
		first.stop()
		if e := first.find(core.Disconnect, 1); e == nil || e.Code != 1001 || e.Reason != "Going away" {
			t.Errorf("$disconnect was told %+v", e)
		}
		first.noRecords()
		if all := first.records("disconnect-node"); len(all) != 0 {
			t.Errorf("the node is still marked: %v", all)
		}

		second := bare(t, store, newBackend())
		second.answers(func(ctx context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Disconnect {
				<-ctx.Done()
				return nil, fails(core.TimedOut)
			}
			return nil, nil
		})
		hung, open := second.connect("/prod"), second.connect("/prod")
		hung.conn.Ended(hub.End{Peer: true, Bye: true, Code: 4001, Reason: "hung"})
		began := time.Now()
		second.stop()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("stopping took %v", took)
		}
		if err := second.engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
		third := bare(t, store, newBackend())
		third.waitFor(t, core.Disconnect, 2, time.Minute)
		got := map[string]int{}
		for i := range 2 {
			e := third.find(core.Disconnect, i+1)
			got[e.Conn.ID] = e.Code
		}
		if got[hung.conn.ID().String()] != 4001 || got[open.conn.ID().String()] != 1006 {
			t.Errorf("told of %v", got)
		}
	})
}

// TestOneSlowAPI: the ends of one API wait for their turn and hold up no other's.
func TestOneSlowAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bare(t, newStore(), newBackend(), app(api(), api(func(g *earshot.Gateway) {
			g.ID, g.Stages[0].Name, g.Stages[1].Name = "def456", "prod2", "dev2"
		})))
		n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
			if e.Type == core.Disconnect && e.Stage.API.ID == "abc123" {
				time.Sleep(29 * time.Second)
			}
			return nil, nil
		})
		for range 100 {
			n.connect("/prod").conn.Ended(hub.End{Peer: true})
		}
		synctest.Wait()
		if got := n.count(core.Disconnect); got != 32 {
			t.Errorf("%d are told of at once", got)
		}
		n.connect("/prod2").conn.Ended(hub.End{Peer: true})
		synctest.Wait()
		if got := n.count(core.Disconnect); got != 33 {
			t.Errorf("the other API's end waits, %d are told of", got)
		}
		time.Sleep(5 * time.Minute)
		if got := n.count(core.Disconnect); got != 101 {
			t.Errorf("%d were told of", got)
		}
		n.noRecords()
	})
}

// TestRemovedBeforeTold: nothing is left of connections whose API was removed.
func TestRemovedBeforeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		w := n.connect("/prod")
		n.replace(api(without("$disconnect")))
		w.conn.Close(nil)
		synctest.Wait()
		if n.count(core.Disconnect) != 0 {
			t.Error("somebody was told")
		}
		n.noRecords()
	})
}
