package tenancy

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/engine/nats"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
)

// The promises to who has many apps.
const (
	startWithin = 5 * time.Second
	bytesEach   = 4096
)

// TestManyApps starts a server on the embedded engine with 300 apps that
// were made while it ran, or with ten thousand where EARSHOT_SOAK is set: how long
// that takes, and what an idle app costs with all that the server and its engine
// keep of it, are promises.
func TestManyApps(t *testing.T) {
	apps := 300
	if soaking() {
		apps = 10_000
	}
	c := config.Default()
	c.Server = config.Server{Listen: "127.0.0.1:0"}
	c.Engine.Data = t.TempDir()
	key := tenant.NewMasterKey()
	c.Apps = []config.App{newTenant(t, rand.New(rand.NewPCG(1, 3)), "settings").settings()}
	c.Admin = config.Admin{User: operatorName, Password: operatorPassword, MasterKey: config.Secret(key)}

	publish := fill(t, c, key, 0, 1)
	few, _ := serveMany(t, c, publish, time.Second, 0)
	begun := time.Now()
	publish = fill(t, c, key, 1, apps)
	made := time.Since(begun)
	many, took := serveMany(t, c, publish, 8*time.Second, few+int64(apps)*bytesEach*3/4)
	each := (many - few) / int64(apps)
	t.Logf("%d apps: ready after %v, %d bytes each; made in %v", apps, took.Round(time.Millisecond), each, made.Round(time.Millisecond))
	if took > startWithin {
		t.Errorf("ready after %v, want %v", took, startWithin)
	}
	if each > bytesEach {
		t.Errorf("an idle app costs %d bytes, want %d", each, bytesEach)
	}
}

// fill makes apps on the directory of a server that does not run, and returns the
// last one's publish key.
func fill(t *testing.T, c *config.Config, master string, from, to int) (publishKey string) {
	t.Helper()
	log, ctx := slog.New(slog.DiscardHandler), context.Background()
	engine, err := nats.Open(ctx, nats.Config{Dir: filepath.Join(c.Engine.Data, "log")}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(ctx)
	h := hub.New(hub.Config{}, engine, log)
	if err := h.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	directory, err := auth.NewDirectory(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tenant.NewKeyring(master)
	if err != nil {
		t.Fatal(err)
	}
	store := tenant.New(tenant.Config{Records: engine, Keys: keys, Live: tenant.NewLive(directory, keys, nil, log), Log: log})
	var workers sync.WaitGroup
	next := make(chan int)
	for range 4 {
		workers.Go(func() {
			for i := range next {
				d := &tenant.Draft{App: tenant.App{Slug: fmt.Sprintf("app-%d", i), Name: fmt.Sprintf("The app %d", i), Active: true}}
				d.Hosts, d.Channels = []string{d.Slug + ".example"}, []tenant.Rule{{Match: "live-*", Live: true}}
				made, err := store.Create(ctx, tenant.Actor{Name: operatorName}, d)
				if err != nil {
					t.Error(err)
				} else if i == to-1 {
					publishKey = string(made.PublishKeys[0].Key)
				}
			}
		})
	}
	for i := from; i < to; i++ {
		next <- i
	}
	close(next)
	workers.Wait()
	return publishKey
}

// serveMany starts a server on the directory, sees that it serves the app of a
// key, and returns how many bytes it holds when it idles and how long it took to be
// ready. The engine drops after a moment what it has read, so it looks for the
// least, for so long or until it is within a bound.
func serveMany(t *testing.T, c *config.Config, publishKey string, look time.Duration, bound int64) (bytes int64, took time.Duration) {
	t.Helper()
	before, begun := heap(), time.Now()
	a, err := app.New(c, app.Options{})
	if err == nil {
		err = a.Start()
	}
	if err == nil {
		err = a.Up(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	took = time.Since(begun)
	n := &node{app: a, addr: a.Addr().String()}
	status, body, _ := n.ask(t, ask{path: "/publish", header: map[string]string{"Authorization": "Bearer " + publishKey}, body: `{"channel":"c","event":"e"}`})
	if status != http.StatusAccepted {
		t.Errorf("the last app is not served: %d %s", status, body)
	}
	http.DefaultClient.CloseIdleConnections()
	bytes = heap() - before
	for until := time.Now().Add(look); time.Now().Before(until) && bytes > bound; {
		<-time.After(100 * time.Millisecond)
		bytes = min(bytes, heap()-before)
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	return bytes, took
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
