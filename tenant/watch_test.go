package tenant_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
)

// TestSettingsWin: an app of the settings counts before one of the same slug, or
// host, that was made before; the log says so, and the others are served.
func TestSettingsWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, keys := mem.NewStore(mem.Config{}), keyring(t, tenant.NewMasterKey())
		one := newNode(t, records, keys)
		one.create(t, draft("shop"))
		withHost := draft("blog")
		withHost.Hosts = []string{"blog.example"}
		one.create(t, withHost)
		one.create(t, draft("news"))
		shop := &earshot.App{Slug: "shop", Hosts: []string{"blog.example"}}
		two := newNodeOf(t, records, keys, shop)
		if two.directory.BySlug("shop") != shop || two.directory.ByHost("blog.example") != shop || two.directory.Default() != shop {
			t.Error("the app of the settings does not count")
		}
		if two.directory.BySlug("blog") != nil || two.directory.BySlug("news") == nil {
			t.Error("an app that claims its host is served, or another one is not")
		}
		for _, slug := range []string{"shop", "blog"} {
			if two.live.Problem(slug) == "" || !strings.Contains(two.log.String(), "app="+slug) {
				t.Errorf("nobody says that %s is not served", slug)
			}
		}
	})
}

// An interrupted is records whose watch can be ended.
type interrupted struct {
	hub.Records
	watch chan context.CancelFunc
}

func (i *interrupted) Watch(ctx context.Context, prefix hub.Key, changed func([]hub.Record), synced func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	i.watch <- cancel
	err := i.Records.Watch(ctx, prefix, changed, synced)
	if err == nil {
		err = errors.New("the watch ended")
	}
	return err
}

// TestWatchEnds: what happens while the store cannot be watched counts when it
// can be again, removals too.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		records, keys := mem.NewStore(mem.Config{}), keyring(t, tenant.NewMasterKey())
		one := newNode(t, records, keys)
		one.create(t, draft("goes"))
		one.create(t, draft("stays"))
		e := records.Node()
		defer e.Close(ctx)
		directory, err := auth.NewDirectory(nil)
		if err != nil {
			t.Fatal(err)
		}
		from := &interrupted{Records: e, watch: make(chan context.CancelFunc, 1)}
		live := tenant.NewLive(directory, keys, nil, slog.New(slog.DiscardHandler))
		if err := live.Start(ctx, from, nobody{}); err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		(<-from.watch)()
		synctest.Wait()
		if err := e.Delete(ctx, hub.Key{"app", "goes"}, hub.AnyRevision); err != nil {
			t.Fatal(err)
		}
		one.create(t, draft("comes"))
		second()
		if directory.BySlug("goes") != nil || directory.BySlug("stays") == nil || directory.BySlug("comes") == nil {
			t.Error("after the watch ended, the apps are not as the records are")
		}
	})
}
