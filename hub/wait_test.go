package hub_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// TestCallAt: the node that is named carries a call out, and nobody else is asked.
func TestCallAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := mem.NewStore(mem.Config{})
		one, _ := callee(t, store)
		two, link := callee(t, store)
		three, _ := callee(t, store)
		c := two.connect(everything())
		time.Sleep(time.Second)
		for where, r := range map[string]*rig{"here": two, "elsewhere": one} {
			got, err := r.hub.CallAt(ctx, two.hub.Node(), c.conn.ID(), "echo", []byte("x"))
			if err != nil || string(got) != c.conn.ID().String()+" x" {
				t.Errorf("%s: %q, %v", where, got, err)
			}
		}
		for where, node := range map[string]string{"here": one.hub.Node(), "on another": three.hub.Node(), "on none": "nobody"} {
			began := time.Now()
			if _, err := one.hub.CallAt(ctx, node, c.conn.ID(), "echo", nil); earshot.CodeOf(err) != earshot.NotFound || time.Since(began) > 0 {
				t.Errorf("%s: %v after %v", where, err, time.Since(began))
			}
		}
		if _, err := one.hub.CallAt(ctx, two.hub.Node(), c.conn.ID(), "echo", make([]byte, hub.MaxTell)); earshot.CodeOf(err) != earshot.TooLarge {
			t.Errorf("too much: %v", err)
		}
		link.leaks(1) // whatever it says is lost
		if _, err := one.hub.CallAt(ctx, two.hub.Node(), c.conn.ID(), "echo", nil); earshot.CodeOf(err) != earshot.Unavailable {
			t.Errorf("of a node that is silent: %v", err)
		}
		time.Sleep(10 * time.Second)
		began := time.Now()
		if _, err := one.hub.CallAt(ctx, two.hub.Node(), c.conn.ID(), "echo", nil); earshot.CodeOf(err) != earshot.NotFound || time.Since(began) > 0 {
			t.Errorf("of a node that is dead: %v after %v", err, time.Since(began))
		}
	})
}

// TestCallsThatWait: they take no places of others, and end when their callers
// give up.
func TestCallsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, _ := callee(t, store)
		two, _ := callee(t, store)
		c := two.connect(everything())
		ended := make(chan error, 400)
		two.hub.ServeWaiting("poll", func(ctx context.Context, _ *hub.Conn, _ []byte) ([]byte, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, nil
		})
		time.Sleep(time.Second)
		ctx, giveUp := context.WithTimeout(context.Background(), 20*time.Second)
		results := make(chan error, 400)
		for range 400 {
			go func() {
				_, err := one.hub.CallAt(ctx, two.hub.Node(), c.conn.ID(), "poll", nil)
				results <- err
			}()
		}
		synctest.Wait()
		if _, err := one.hub.Call(context.Background(), c.conn.ID(), "echo", nil); err != nil {
			t.Errorf("beside 400 calls that wait: %v", err)
		}
		began := time.Now()
		giveUp()
		for range 400 {
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Errorf("given up with %v", err)
			}
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		}
		if time.Since(began) > time.Second {
			t.Errorf("the calls went on for %v", time.Since(began))
		}
	})
}
