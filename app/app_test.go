package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/engine/mem"
)

var update = flag.Bool("update", false, "write the golden files anew")

// memory is an engine that is always ready.
type memory struct{ *mem.Engine }

func (memory) Ready() (bool, string) { return true, "" }

func inMemory(context.Context, *config.Config, *slog.Logger) (app.Engine, error) {
	return memory{mem.New(mem.Config{})}, nil
}

const (
	publishKey = "publish-key"
	secret     = "a secret of more than thirty-two bytes"
)

// settings are those of a small server on a free port.
func settings(t *testing.T) *config.Config {
	t.Helper()
	c := config.Default()
	c.Server = config.Server{Listen: "127.0.0.1:0"}
	c.Engine.Data = t.TempDir()
	c.Apps = []config.App{{
		Slug: "main", PublishKeys: []config.Secret{publishKey},
		SigningKeys: []config.SigningKey{{ID: "k", Alg: "HS256", Key: "YSBzZWNyZXQgb2YgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXM="}},
	}}
	return c
}

// start starts a server and stops it when the test is over.
func start(t *testing.T, c *config.Config, o app.Options) *app.App {
	t.Helper()
	a, err := app.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return a
}

func up(t *testing.T, a *app.App) *app.App {
	t.Helper()
	if err := a.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

func token(t *testing.T) string {
	t.Helper()
	i, err := auth.NewIssuer(earshot.SigningKey{ID: "k", Alg: "HS256", Key: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := i.Issue(fmt.Appendf(nil, `{"scope":"connect","exp":%d,"channels":{"*":{"subscribe":true}}}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get returns status and body.
func get(t *testing.T, a *app.App, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + a.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func publish(t *testing.T, a *app.App, body string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+a.Addr().String()+"/publish", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+publishKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// dial connects, and reads the first message.
func dial(t *testing.T, a *app.App) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws://"+a.Addr().String()+"/v1?token="+token(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	if f := read(t, c); f.Event != "hotsock.connected" {
		t.Fatalf("got %+v", f)
	}
	return c
}

type frame struct {
	Event, Channel string
	Data           any
}

func read(t *testing.T, c *websocket.Conn) (f frame) {
	t.Helper()
	_, text, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestServes(t *testing.T) {
	a := up(t, start(t, settings(t), app.Options{Open: inMemory}))
	c := dial(t, a)
	if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"event":"hotsock.subscribe","channel":"c"}`)); err != nil {
		t.Fatal(err)
	}
	if f := read(t, c); f.Event != "hotsock.subscribed" {
		t.Fatalf("got %+v", f)
	}
	if status := publish(t, a, `{"channel":"c","event":"e","data":"Hello"}`); status != http.StatusAccepted {
		t.Fatalf("publishing was answered %d", status)
	}
	if f := read(t, c); f.Event != "e" || f.Data != "Hello" {
		t.Fatalf("got %+v", f)
	}
	for path, want := range map[string]int{"/": 200, "/readyz": 200, "/v1": 426, "/v1/": 426, "/nothing": 404, "/console/dev.json": 404, "/publish": 405} {
		if status, _ := get(t, a, path); status != want {
			t.Errorf("GET %s: got %d, want %d", path, status, want)
		}
	}
	if _, page := get(t, a, "/"); !strings.Contains(page, "is running") || strings.Contains(page, "script") {
		t.Errorf("the page is %s", page)
	}
}

// TestStarting: the server answers from the start, and serves when the engine does.
func TestStarting(t *testing.T) {
	recovered := make(chan struct{})
	a := start(t, settings(t), app.Options{Open: func(ctx context.Context, c *config.Config, l *slog.Logger) (app.Engine, error) {
		select {
		case <-recovered:
			return inMemory(ctx, c, l)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/": 503} {
		if status, _ := get(t, a, path); status != want {
			t.Errorf("GET %s while it starts: got %d, want %d", path, status, want)
		}
	}
	if _, body := get(t, a, "/readyz"); body != "starting\n" {
		t.Errorf("got %q, want starting", body)
	}
	if status, body := get(t, a, "/socket/longpoll?vsn=2.0.0"); status != http.StatusServiceUnavailable || body != "the server is starting\n" {
		t.Errorf("a long poll is answered %d %q, not by what its clients take for no answer", status, body)
	}
	_, resp, err := websocket.Dial(t.Context(), "ws://"+a.Addr().String()+"/v1?token="+token(t), nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("an upgrade while it starts: %v %v", resp, err)
	}
	if status := publish(t, a, `{"channel":"c","event":"e"}`); status != http.StatusServiceUnavailable {
		t.Errorf("a publish while it starts: got %d", status)
	}
	close(recovered)
	up(t, a)
	if status, _ := get(t, a, "/readyz"); status != http.StatusOK {
		t.Errorf("got %d, want that it is ready", status)
	}
	dial(t, a)
}

func TestStopWhileStarting(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	begun := make(chan struct{})
	a, err := app.New(settings(t), app.Options{Open: func(ctx context.Context, _ *config.Config, _ *slog.Logger) (app.Engine, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestEngineFails(t *testing.T) {
	broken := errors.New("the disk is on fire")
	a := start(t, settings(t), app.Options{Open: func(context.Context, *config.Config, *slog.Logger) (app.Engine, error) { return nil, broken }})
	if err := a.Up(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v, want why", err)
	}
	<-a.Failed()
	if status, _ := get(t, a, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("got %d, want that it is not ready", status)
	}
}

func TestPortInUse(t *testing.T) {
	a := start(t, settings(t), app.Options{Open: inMemory})
	c := settings(t)
	c.Server.Listen = a.Addr().String()
	other, err := app.New(c, app.Options{Open: inMemory})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err == nil || !strings.Contains(err.Error(), "in use by another program") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one clear line", err)
	}
}

func TestDirectoryInUse(t *testing.T) {
	c := settings(t)
	up(t, start(t, c, app.Options{}))
	other := start(t, c, app.Options{})
	if err := other.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one clear line", err)
	}
}

func TestRefusesSettings(t *testing.T) {
	c := config.Default()
	c.Log.Level = "loud"
	c.Protocols = map[string]map[string]any{"hotsok": {}}
	c.Apps = []config.App{{Slug: "publish"}}
	err := app.Check(c)
	var p config.Problems
	if !errors.As(err, &p) || len(p) != 5 {
		t.Fatalf("got %v, want five problems: level, protocol, two kinds of keys, slug", err)
	}
	for _, part := range []string{"log.level", "did you mean protocols.hotsock?", "signing_keys: there is none", "publish_keys: there is none", `slug "publish" is taken`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not said in:\n%v", part, err)
		}
	}
	if _, err := app.New(c, app.Options{}); err == nil {
		t.Error("a server is made of settings that are wrong")
	}
}

func TestProtocolSettings(t *testing.T) {
	c := settings(t)
	c.Protocols = map[string]map[string]any{"hotsock": {"lifetim": "1h"}}
	a := start(t, c, app.Options{Open: inMemory})
	if err := a.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "did you mean protocols.hotsock.lifetime?") {
		t.Errorf("got %v, want the unknown key", err)
	}
}

// TestStopDrains: load balancers are told first, then clients, and nothing is left.
func TestStopDrains(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := settings(t)
	c.Server.DrainWait = config.Duration(time.Minute)
	a, err := app.New(c, app.Options{Open: inMemory})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	up(t, a)
	client := dial(t, a)
	hurry, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop(hurry) }()
	for status := 0; status != http.StatusServiceUnavailable; {
		status, _ = get(t, a, "/readyz")
	}
	if _, body := get(t, a, "/readyz"); body != "stopping\n" {
		t.Errorf("got %q, want stopping", body)
	}
	if status := publish(t, a, `{"channel":"c","event":"e"}`); status != http.StatusServiceUnavailable {
		t.Errorf("a publish while it stops: got %d", status)
	}
	cancel() // waits no longer
	if _, _, err := client.Read(t.Context()); err == nil {
		t.Error("the client is still connected")
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", a.Addr().String()); err == nil {
		t.Error("the server still listens")
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestDrainSaysGoodbye: a client is told that the server stops.
func TestDrainSaysGoodbye(t *testing.T) {
	a := up(t, start(t, settings(t), app.Options{Open: inMemory}))
	client := dial(t, a)
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop(context.Background()) }()
	_, _, err := client.Read(t.Context())
	if code := websocket.CloseStatus(err); code != websocket.StatusGoingAway && code != websocket.StatusServiceRestart {
		t.Errorf("got the close code %d (%v), want one that says so", code, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestMetricNames: the names and labels on /metrics are a promise.
func TestMetricNames(t *testing.T) {
	a := up(t, start(t, settings(t), app.Options{}))
	_, page := get(t, a, "/metrics")
	var names []string
	for lines := bufio.NewScanner(strings.NewReader(page)); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "# TYPE "); ok {
			names = append(names, rest)
		}
		name, _, _ := strings.Cut(lines.Text(), " ")
		if strings.Contains(name, "{") && !strings.HasPrefix(name, "go_info") {
			names = append(names, "  "+name)
		}
	}
	got := strings.Join(names, "\n") + "\n"
	file := filepath.Join("testdata", "metrics.want")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if sorted := slices.Compact(slices.Sorted(slices.Values(names))); len(sorted) != len(names) {
		t.Error("a metric is there twice")
	}
}

func TestDevPage(t *testing.T) {
	dev := &app.Dev{App: "main", Token: "the-token", PublishKey: publishKey}
	a := up(t, start(t, settings(t), app.Options{Open: inMemory, Dev: dev}))
	if status, body := get(t, a, "/console/dev.json"); status != http.StatusOK || !strings.Contains(body, "the-token") {
		t.Errorf("got %d %s", status, body)
	}
	if _, page := get(t, a, "/"); strings.Contains(page, "the-token") || !strings.Contains(page, "/console/app.js") {
		t.Errorf("the page is %s", page)
	}
}
