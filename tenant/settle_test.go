package tenant_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/tenant"
)

// TestSettle: what a store that waits has changed counts at once on its node, and
// one that cannot know waits for so long and no longer.
func TestSettle(t *testing.T) {
	on(t, func(t *testing.T, one, _ *node, records *mem.Store) {
		ctx := context.Background()
		e := records.Node()
		defer e.Close(ctx)
		waits := tenant.New(tenant.Config{Records: e, Keys: one.keys, Live: one.live, Settle: time.Second, Log: one.logger})
		expect := func(what, slug, name string) {
			t.Helper()
			a := one.directory.BySlug(slug)
			if name == "" && a != nil || name != "" && (a == nil || a.Name != name) {
				t.Errorf("%s: served under %s is %+v", what, slug, a)
			}
		}
		must := func(_ *tenant.App, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(waits.Create(ctx, operator, lean("shop")))
		expect("created", "shop", "App shop")
		name := "Shop"
		must(waits.Update(ctx, operator, "shop", &tenant.Change{Name: &name}, 0))
		expect("changed", "shop", name)
		must(waits.Rename(ctx, operator, "shop", "moved", nil, 0))
		expect("moved", "shop", "")
		expect("moved", "moved", name)
		must(waits.Rotate(ctx, operator, "moved", tenant.Rotation{Kind: tenant.RotateSecret}, 0))
		if n := len(one.directory.BySlug("moved").Secrets); n != 2 {
			t.Errorf("rotated, it has %d secrets", n)
		}
		must(nil, waits.Delete(ctx, operator, "moved", 0))
		expect("deleted", "moved", "")

		deaf := tenant.New(tenant.Config{
			Records: e, Keys: one.keys, Live: tenant.NewLive(one.directory, one.keys, nil, one.logger), Settle: time.Second, Log: one.logger,
		})
		begun := time.Now()
		must(deaf.Create(ctx, operator, lean("other")))
		if took := time.Since(begun); took != time.Second || !strings.Contains(one.log.String(), "does not count here yet") {
			t.Errorf("it waited %v", took)
		}
	})
}

// TestSeed makes an app once, whatever becomes of it.
func TestSeed(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		ctx := context.Background()
		seed := func(n *node) {
			t.Helper()
			if err := n.store.Seed(ctx, operator, lean("test-app")); err != nil {
				t.Fatal(err)
			}
		}
		seed(one)
		if one.directory.BySlug("test-app") == nil {
			t.Error("it does not count when it is made")
		}
		seed(two)
		if _, err := one.store.Rename(ctx, operator, "test-app", "mine", nil, 0); err != nil {
			t.Fatal(err)
		}
		seed(one)
		if err := one.store.Delete(ctx, operator, "mine", 0); err != nil {
			t.Fatal(err)
		}
		seed(one)
		second()
		if all, err := one.store.All(ctx); err != nil || len(all) != 0 {
			t.Errorf("there are %v, %v", all, err)
		}
		// Somebody has its key.
		thief := lean("thief")
		thief.Key = "key-wanted"
		one.create(t, thief)
		second()
		if err := one.store.Seed(ctx, operator, lean("wanted")); err != nil {
			t.Error(err)
		}
		if _, err := one.store.Get(ctx, "wanted"); earshot.CodeOf(err) != earshot.NotFound {
			t.Errorf("it was made: %v", err)
		}
	})
}
