package hub_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// callee is a node that serves a few kinds of calls.
func callee(t *testing.T, store *mem.Store) (*rig, *leaky) {
	r, l := newLeaky(t, store)
	r.hub.Serve("echo", func(_ context.Context, c *hub.Conn, data []byte) ([]byte, error) {
		return append([]byte(c.ID().String()+" "), data...), nil
	})
	r.hub.Serve("much", func(_ context.Context, _ *hub.Conn, data []byte) ([]byte, error) {
		return bytes.Repeat(data, hub.MaxAnswer/len(data)), nil
	})
	r.hub.Serve("too much", func(context.Context, *hub.Conn, []byte) ([]byte, error) {
		return make([]byte, hub.MaxAnswer+1), nil
	})
	r.hub.Serve("fail", func(context.Context, *hub.Conn, []byte) ([]byte, error) {
		return nil, &earshot.Error{Code: earshot.Forbidden, Reason: "BECAUSE", Text: "no", RetryAfter: time.Minute, Err: errors.New("secret")}
	})
	r.hub.Serve("panic", func(context.Context, *hub.Conn, []byte) ([]byte, error) { panic("foreign") })
	r.hub.Serve("wait", func(ctx context.Context, _ *hub.Conn, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return []byte("waited"), nil
	})
	r.hub.Serve("ten", func(ctx context.Context, _ *hub.Conn, _ []byte) ([]byte, error) {
		time.Sleep(10 * time.Second)
		return []byte("at last"), ctx.Err()
	})
	return r, l
}

// TestCall: the node of a connection carries a call out, wherever it is asked.
func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := mem.NewStore(mem.Config{})
		one, _ := callee(t, store)
		two, _ := callee(t, store)
		callee(t, store) // has nothing to do with it
		c := two.connect(everything())
		synctest.Wait()
		for where, r := range map[string]*rig{"here": two, "elsewhere": one} {
			got, err := r.hub.Call(ctx, c.conn.ID(), "echo", []byte("x"))
			if err != nil || string(got) != c.conn.ID().String()+" x" {
				t.Errorf("%s: %q, %v", where, got, err)
			}
			got, err = r.hub.Call(ctx, c.conn.ID(), "much", []byte("0123456789abcdef"))
			if err != nil || !bytes.Equal(got, bytes.Repeat([]byte("0123456789abcdef"), hub.MaxAnswer/16)) {
				t.Errorf("%s: %d bytes, %v", where, len(got), err)
			}
			_, err = r.hub.Call(ctx, c.conn.ID(), "fail", nil)
			e := earshot.AsError(err)
			if e.Code != earshot.Forbidden || e.Reason != "BECAUSE" || e.Text != "no" || e.RetryAfter != time.Minute {
				t.Errorf("%s: %#v", where, e)
			}
			if where == "elsewhere" && strings.Contains(err.Error(), "secret") {
				t.Error("the cause travels")
			}
			for kind, want := range map[string]earshot.Code{"panic": earshot.Internal, "too much": earshot.TooLarge, "none": earshot.Invalid} {
				if _, err := r.hub.Call(ctx, c.conn.ID(), kind, nil); earshot.CodeOf(err) != want || err == nil {
					t.Errorf("%s: %s: %v", where, kind, err)
				}
			}
			begun := time.Now()
			if got, err := r.hub.Call(ctx, c.conn.ID(), "ten", nil); err != nil || string(got) != "at last" || time.Since(begun) < 10*time.Second {
				t.Errorf("%s: a slow call: %q, %v after %v", where, got, err, time.Since(begun))
			}
		}
		if _, err := one.hub.Call(ctx, c.conn.ID(), "echo", make([]byte, hub.MaxTell)); earshot.CodeOf(err) != earshot.TooLarge {
			t.Errorf("a call that is too large: %v", err)
		}
	})
}

// TestCallOfNobody: a connection that is nowhere is not found, and at once.
func TestCallOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := mem.NewStore(mem.Config{})
		one, _ := callee(t, store)
		time.Sleep(time.Second)
		begun := time.Now()
		expect := func(when string, code earshot.Code, after time.Duration) {
			t.Helper()
			begun = time.Now()
			_, err := one.hub.Call(ctx, earshot.NewConnID(), "echo", nil)
			if earshot.CodeOf(err) != code || err == nil || time.Since(begun) != after {
				t.Errorf("%s: %v after %v", when, err, time.Since(begun))
			}
		}
		expect("alone", earshot.NotFound, 0)
		two, _ := callee(t, store)
		three, deaf := callee(t, store)
		synctest.Wait()
		expect("among three", earshot.NotFound, 0)
		deaf.leaks(1) // says nothing any more
		expect("with one that is silent", earshot.Unavailable, 2*time.Second)
		three.kill()
		time.Sleep(10 * time.Second)
		expect("when it is dead", earshot.NotFound, 0)
		one.engine.Cut()
		expect("without a link", earshot.Unavailable, 0)
		one.engine.Restore()
		two.hub.Close()
		expect("alone again", earshot.NotFound, 0)

		four, _ := callee(t, store)
		c := one.connect(everything())
		// A node that has just begun does not know the others yet.
		if _, err := four.hub.Call(ctx, c.conn.ID(), "echo", nil); err != nil {
			t.Errorf("from a new node: %v", err)
		}
	})
}

// TestCallThatIsLost: whose answer does not come may have been carried out.
func TestCallThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, _ := callee(t, store)
		two, _ := callee(t, store)
		c := two.connect(everything())
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := one.hub.Call(ctx, c.conn.ID(), "wait", nil)
		if earshot.CodeOf(err) != earshot.Unknown && err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		synctest.Wait() // the callee's context has ended too

		lost := make(chan error, 1)
		go func() {
			_, err := one.hub.Call(context.Background(), c.conn.ID(), "ten", nil)
			lost <- err
		}()
		time.Sleep(time.Second)
		two.engine.Cut()
		begun = time.Now()
		if err := <-lost; earshot.CodeOf(err) != earshot.Unknown || time.Since(begun) > 9*time.Second {
			t.Errorf("of a node that died: %v after %v", err, time.Since(begun))
		}
	})
}

// TestInfo counts subscriptions over all nodes, without those that are not to be.
func TestInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := mem.NewStore(mem.Config{})
		one, two := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
		synctest.Wait()
		expect := func(n int) {
			t.Helper()
			time.Sleep(time.Second)
			for i, r := range []*rig{one, two} {
				if info, err := r.hub.Info(ctx, r.app, "c"); err != nil || info.Subscriptions != n || info.Members != nil {
					t.Errorf("node %d: %+v, %v, want %d", i, info, err, n)
				}
			}
		}
		expect(0)
		uncounted := everything()
		uncounted.Grants[0].Allow |= earshot.Uncounted
		a, b, c := one.connect(everything()), two.connect(everything()), two.connect(uncounted)
		for _, who := range []*client{a, b, c} {
			who.subscribe(hub.Join{Channel: "c"})
		}
		expect(2)
		c.conn.Enter(two.app, everything())
		expect(3)
		b.conn.Enter(two.app, uncounted)
		expect(2)
		b.conn.Unsubscribe(b.conn.Sub("c"))
		expect(2)
		c.conn.Close(nil)
		expect(1)
		d := two.connect(everything())
		d.subscribe(hub.Join{Channel: "c", As: uncounted})
		expect(1)

		two.kill()
		time.Sleep(time.Second) // what it said before is not used any more
		begun := time.Now()
		if info, err := one.hub.Info(ctx, one.app, "c"); err != nil || info.Subscriptions != 1 || time.Since(begun) != 500*time.Millisecond {
			t.Errorf("with a node that does not answer: %+v, %v after %v", info, err, time.Since(begun))
		}
		time.Sleep(10 * time.Second)
		begun = time.Now()
		if info, err := one.hub.Info(ctx, one.app, "c"); err != nil || info.Subscriptions != 1 || time.Since(begun) != 0 {
			t.Errorf("with a node that is dead: %+v, %v after %v", info, err, time.Since(begun))
		}
	})
}
