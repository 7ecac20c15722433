package hub_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// renewable is a rig whose app can be replaced.
func renewable(t *testing.T) (*rig, *atomic.Pointer[earshot.App]) {
	store := mem.NewStore(mem.Config{})
	e := store.Node()
	r := &rig{TB: t, engine: e, store: store, hub: hub.New(hub.Config{}, e, slog.New(slog.DiscardHandler)), app: &earshot.App{
		Slug: "app", Rules: []earshot.Rule{{Channel: earshot.Glob("open*"), Open: earshot.Subscribe}},
	}}
	now := &atomic.Pointer[earshot.App]{}
	now.Store(r.app)
	r.hub.SetApps(func(slug string) *earshot.App {
		if a := now.Load(); a != nil && a.Slug == slug {
			return a
		}
		return nil
	})
	if err := r.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.Close(context.Background())
		r.hub.Close()
	})
	return r, now
}

// TestRenew gives connections the new version of their app, and closes only
// those that have what it does not allow any more.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, now := renewable(t)
		nobody := &earshot.Identity{App: "app"}
		byRule, byGrant, idle := r.connect(nobody), r.connect(everything()), r.connect(nobody)
		byRule.subscribe(hub.Join{Channel: "open-1"})
		byGrant.subscribe(hub.Join{Channel: "open-1"})
		closed := &earshot.App{Slug: "app", ExpiryCloses: true}
		now.Store(closed)
		if n := r.hub.Renew(closed); n != 1 {
			t.Errorf("%d connections closed, want one", n)
		}
		byRule.expectClosed(earshot.Kicked)
		if byGrant.closed() != nil || idle.closed() != nil || byGrant.conn.App() != closed || idle.conn.App() != closed {
			t.Error("a connection that may stay was closed, or has the old app")
		}
		if _, _, err := idle.conn.Subscribe(context.Background(), hub.Join{Channel: "open-1", Encoding: text()}); earshot.CodeOf(err) != earshot.Forbidden {
			t.Errorf("subscribing by a rule that is gone: %v", err)
		}
	})
}

// TestRenewExpiry ends what has expired once the app wants that.
func TestRenewExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, now := renewable(t)
		id := everything()
		id.Expires = time.Now().Add(time.Minute)
		c := r.connect(id)
		time.Sleep(10 * time.Minute)
		if c.closed() != nil {
			t.Fatal("closed although its app does not want that")
		}
		strict := &earshot.App{Slug: "app", ExpiryCloses: true}
		now.Store(strict)
		r.hub.Renew(strict)
		time.Sleep(time.Second)
		c.expectClosed(earshot.Expired)
	})
}

// TestExpel closes the connections of an app that is gone, and admits no other:
// not even one that had found the app before.
func TestExpel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, now := renewable(t)
		in := r.connect(everything())
		later := r.connect(nil)
		now.Store(nil)
		if n := r.hub.Expel("app"); n != 2 {
			t.Errorf("%d connections closed, want two", n)
		}
		in.expectClosed(earshot.Kicked)
		later.expectClosed(earshot.Kicked)
		c := &client{rig: r}
		if _, err := r.hub.Open(r.hub.NextShard(), wire{c}, hub.Opening{App: r.app, Identity: everything(), Farewell: c}); earshot.CodeOf(err) != earshot.Kicked {
			t.Errorf("a connection that was about to open: %v", err)
		}
		conn, err := r.hub.Open(r.hub.NextShard(), wire{c}, hub.Opening{Farewell: c})
		if err != nil {
			t.Fatal(err)
		}
		c.conn = conn
		conn.Serve(c)
		conn.Enter(r.app, everything())
		c.expectClosed(earshot.Kicked)
		conn.Ended(hub.End{})
	})
}

// TestAppReborn: an app that was deleted, and made again under the same slug, is
// another one. Who has shown something to the first, and is slow, gets nowhere in
// the second: no handshake, no proof and no publish that began before.
func TestAppReborn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, now := renewable(t)
		ctx, old := context.Background(), r.app
		unsaid := &client{rig: r} // has not said yet which app it is of
		conn, err := r.hub.Open(r.hub.NextShard(), wire{unsaid}, hub.Opening{Farewell: unsaid})
		if err != nil {
			t.Fatal(err)
		}
		unsaid.conn = conn
		conn.Serve(unsaid)
		reborn := &earshot.App{Slug: "app", ID: 7, Rules: old.Rules}
		now.Store(reborn)
		r.hub.Expel("app")
		r.app = reborn
		heard := r.connect(everything())
		heard.subscribe(hub.Join{Channel: "open-1"})
		heard.take()
		late := &client{rig: r}
		if _, err := r.hub.Open(r.hub.NextShard(), wire{late}, hub.Opening{App: old, Identity: everything(), Farewell: late}); earshot.CodeOf(err) != earshot.Kicked {
			t.Errorf("a handshake with the old app's token: %v", err)
		}
		m := &earshot.Message{Channel: "open-1", Event: "e", Data: []byte(`"from the old app"`)}
		if _, err := r.hub.Publish(ctx, old, hub.Publication{Message: m}); earshot.CodeOf(err) != earshot.Kicked {
			t.Errorf("a publish with the old app's key: %v", err)
		}
		if _, err := r.hub.Publish(ctx, &earshot.App{Slug: "none"}, hub.Publication{Message: &earshot.Message{Channel: "c"}}); earshot.CodeOf(err) != earshot.Kicked {
			t.Errorf("a publish to an app that is gone: %v", err)
		}
		synctest.Wait()
		if frames := heard.take(); len(frames) != 0 {
			t.Errorf("the new app's client hears %q", frames)
		}
		if _, err := r.hub.Publish(ctx, reborn, hub.Publication{Message: &earshot.Message{Channel: "open-1", Event: "e", Data: []byte(`"from the new app"`)}}); err != nil {
			t.Error(err)
		}
		conn.Enter(old, everything())
		unsaid.expectClosed(earshot.Kicked)
		conn.Ended(hub.End{})
	})
}
