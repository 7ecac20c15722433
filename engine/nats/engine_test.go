package nats

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/enginetest"
	"github.com/earshot-io/earshot/hub"
)

// quiet is a log for tests; with -v it speaks.
func quiet(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return slog.New(slog.DiscardHandler)
}

// open opens an engine that is closed with the test.
func open(t testing.TB, c Config) *Engine {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e, err := Open(ctx, c, quiet(t))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { closeEngine(t, e) })
	return e
}

func closeEngine(t testing.TB, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestPromisesEmbedded(t *testing.T) {
	enginetest.Run(t, enginetest.Maker{
		Lacks: map[string]string{
			enginetest.TwoNodes: "an embedded log has one node",
			enginetest.Cut:      "an embedded log has no link",
			enginetest.StepDown: "an embedded log has no other leader",
		},
		Open: func(t *testing.T, o enginetest.Options) *enginetest.Cluster {
			c := Config{Dir: t.TempDir(), Cap: o.Cap, ResumeWindow: o.ResumeWindow}
			cluster := &enginetest.Cluster{}
			fill := func() { cluster.Nodes = []enginetest.Node{open(t, c)} }
			shut := func() { closeEngine(t, cluster.Nodes[0].(*Engine)) }
			fill()
			cluster.Reopen = func() { shut(); fill() }
			cluster.NewEpoch = func() {
				shut()
				if err := os.WriteFile(filepath.Join(c.Dir, restoredFile), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				fill()
			}
			return cluster
		},
	})
}

// put appends a message that must be stored.
func put(t testing.TB, e *Engine, channel, data string, o hub.AppendOptions) earshot.ID {
	t.Helper()
	id, err := try(e, channel, data, o)
	if err != nil {
		t.Fatalf("append %q: %v", data, err)
	}
	return id
}

func try(e *Engine, channel, data string, o hub.AppendOptions) (earshot.ID, error) {
	o.WantID = true
	type outcome struct {
		hub.Appended
		err error
	}
	result := make(chan outcome, 1)
	m := &earshot.Message{App: "app", Channel: channel, Kind: earshot.Text, Data: []byte(data), Store: earshot.Forever}
	e.Append(m, o, func(a hub.Appended, err error) { result <- outcome{a, err} })
	r := <-result
	return r.ID, r.err
}

// texts reads a channel's data.
func texts(t testing.TB, e *Engine, channel string, r hub.Range) string {
	t.Helper()
	page, err := e.Read(context.Background(), "app", channel, r)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	var all []string
	for _, m := range page.Messages {
		all = append(all, string(m.Data))
	}
	return strings.Join(all, " ")
}

func TestDoubleStartIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, Config{Dir: dir})
	begin := time.Now()
	_, err := Open(context.Background(), Config{Dir: dir}, quiet(t))
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("the second start: %v", err)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("it was refused after %v", d)
	}
}

func TestDepth(t *testing.T) {
	e := open(t, Config{Dir: t.TempDir(), TrimEvery: 100 * time.Millisecond})
	rule := &earshot.Rule{Depth: 3}
	var ids []earshot.ID
	for i := range 10 {
		ids = append(ids, put(t, e, "d", fmt.Sprint(i), hub.AppendOptions{Rule: rule}))
	}
	if got := texts(t, e, "d", hub.Range{}); got != "7 8 9" {
		t.Errorf("forward: %s", got)
	}
	if got := texts(t, e, "d", hub.Range{Reverse: true, Limit: 2}); got != "9 8" {
		t.Errorf("backward: %s", got)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for e.Stats().Trimmed == 0 {
		<-tick.C
	}
	for i, want := range map[int]bool{2: false, 5: false, 7: true, 9: true} {
		page, err := e.Read(context.Background(), "app", "d", hub.Range{After: ids[i].Position()})
		if err != nil || page.Exact != want {
			t.Errorf("after %d: exact %v, %v", i, page.Exact, err)
		}
	}
}
