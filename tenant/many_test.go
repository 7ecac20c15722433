package tenant_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
)

// TestRotationUnderLoad rotates an app's key every two seconds for a minute,
// while tokens of its newest key, of the one before and of one that is gone are
// verified on both nodes: no wrong accept, no wrong reject.
func TestRotationUnderLoad(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		ctx := context.Background()
		a := one.create(t, draft("shop"))
		keys := []string{tokenOf(t, a.SigningKeys[0])}
		second()
		for range 30 {
			b, err := one.store.Rotate(ctx, operator, "shop", tenant.Rotation{Kind: tenant.RotateSigningKey}, 0)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, tokenOf(t, b.SigningKeys[0]))
			second()
			for range 10 {
				for _, n := range []*node{one, two} {
					for i, token := range keys {
						_, err := n.tokens.Verify(token, n.directory.BySlug("shop"), nil)
						if live := i >= len(keys)-2; (err == nil) != live {
							t.Fatalf("after %d rotations, key %d: %v, want live %v", len(keys)-1, i, err, live)
						}
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
}

// TestSameNames: channels and users of one name in two apps have nothing to do
// with each other, while the apps change too.
func TestSameNames(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		one.create(t, draft("a"))
		one.create(t, draft("b"))
		second()
		counts := map[string]*counted{}
		for _, slug := range []string{"a", "b", "fixed"} {
			counts[slug] = &counted{}
			c := two.connect(t, slug)
			counts[slug].hear(t, c, "room")
		}
		publish := func(slug string) {
			t.Helper()
			m := &earshot.Message{Channel: "room", Event: "e", Kind: earshot.Text, Data: []byte(slug)}
			if _, err := one.hub.Publish(context.Background(), one.directory.BySlug(slug), hub.Publication{Message: m}); err != nil {
				t.Fatal(err)
			}
			second()
		}
		publish("a")
		publish("fixed")
		name := "renamed"
		if _, err := two.store.Update(context.Background(), operator, "a", &tenant.Change{Name: &name}, 0); err != nil {
			t.Fatal(err)
		}
		second()
		publish("a")
		for slug, want := range map[string]int{"a": 2, "b": 0, "fixed": 1} {
			if got := counts[slug].of(slug); got != want || counts[slug].others(slug) != 0 {
				t.Errorf("%s heard %d of its own and %d of others, want %d", slug, got, counts[slug].others(slug), want)
			}
		}
	})
}

// TestManyApps starts a node on 1,000 apps, or on 10,000 where EARSHOT_SOAK is set:
// how long it takes, and what an idle app costs, are promises.
func TestManyApps(t *testing.T) {
	apps := 1000
	if os.Getenv("EARSHOT_SOAK") != "" {
		apps = 10_000
	}
	records, keys := mem.NewStore(mem.Config{}), keyring(t, tenant.NewMasterKey())
	func() {
		n := newNode(t, records, keys)
		for i := range apps {
			d := draft(fmt.Sprintf("app-%d", i))
			d.Channels = []tenant.Rule{{Match: "live-*", Live: true}}
			n.create(t, d)
		}
	}()
	e := records.Node()
	defer e.Close(context.Background())
	directory, err := auth.NewDirectory(nil)
	if err != nil {
		t.Fatal(err)
	}
	live := tenant.NewLive(directory, keys, nil, slog.New(slog.DiscardHandler))
	before, begun := heap(), time.Now()
	if err := live.Start(context.Background(), e, nobody{}); err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	took := time.Since(begun)
	each := (int64(heap()) - int64(before)) / int64(apps)
	t.Logf("%d apps: ready after %v, %d bytes each", apps, took, each)
	if n := len(directory.Apps()); n != apps {
		t.Errorf("%d apps are served", n)
	}
	if took > 5*time.Second || each > 4096 {
		t.Errorf("ready after %v with %d bytes each, want 5s and 4096", took, each)
	}
}

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// nobody is connected.
type nobody struct{}

func (nobody) Renew(*earshot.App) int { return 0 }
func (nobody) Expel(string) int       { return 0 }

// TestKeyring refuses what is no master key, and keeps secrets with their app.
func TestKeyring(t *testing.T) {
	for _, bad := range []string{"x", "c2hvcnQ=", base64.StdEncoding.EncodeToString(make([]byte, 31)), tenant.NewMasterKey() + ",x"} {
		if k, err := tenant.NewKeyring(bad); err == nil || k != nil {
			t.Errorf("%q is a master key", bad)
		}
	}
	if k, err := tenant.NewKeyring(" \n"); k != nil || err != nil {
		t.Error(k, err)
	}
}

// A counted counts what a subscription is sent, by its text.
type counted struct{ got map[string]int }

func (c *counted) hear(t *testing.T, on *client, channel string) {
	t.Helper()
	c.got = map[string]int{}
	enc := &hub.Encoding{Name: "counted", Render: func(m *earshot.Message) *hub.Frame {
		c.got[string(m.Data)]++
		return hub.TextFrame(m.Data)
	}}
	sub, _, err := on.conn.Subscribe(context.Background(), hub.Join{Channel: channel, Encoding: enc})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (c *counted) of(slug string) int { return c.got[slug] }

func (c *counted) others(slug string) (n int) {
	for text, count := range c.got {
		if text != slug {
			n += count
		}
	}
	return n
}
