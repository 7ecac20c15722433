//go:build linux

package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot/bench"
)

// TestBench runs the load tool as users do, for a moment each: it starts the
// server and the bare loop as processes, and nothing may be lost.
func TestBench(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "earshot")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Run("live, beside the floor", func(t *testing.T) {
		r := runBench(t, binary, "--floor", "-n", "50", "--outstanding", "8")
		if r.Floor == nil || r.Floor.Server == nil || r.Floor.Server.PerMillion <= 0 {
			t.Errorf("floor %+v", r.Floor)
		}
	})
	t.Run("many channels over HTTP", func(t *testing.T) {
		runBench(t, binary, "--http", "-n", "60", "--channels", "20", "--rate", "300", "--batch", "3")
	})
	t.Run("logged", func(t *testing.T) {
		runBench(t, binary, "-n", "20", "--channels", "20", "--rate", "200", "--prefix", "logged.")
	})
	t.Run("storm", func(t *testing.T) {
		s, err := bench.NewServer([]string{binary, "serve", "--config"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Remove()
		r, err := bench.Storm(t.Context(), s.Start, bench.Storming{Connections: 200, Channels: 10, Rest: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if want := uint64(200 * (r.Storming.Before + r.Storming.Missed)); !r.OK() || r.Delivered != want || r.Peak == 0 {
			t.Errorf("%d of %d delivered: %+v", r.Delivered, want, r)
		}
	})
}

// runBench runs the tool, which must find no fault, and returns its report.
func runBench(t *testing.T, binary string, args ...string) *bench.Report {
	t.Helper()
	args = append([]string{"bench", "--json", "--warmup", "100ms", "--duration", "300ms"}, args...)
	out, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	var r bench.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Run == nil || r.Run.Delivered == 0 || r.Run.Server == nil || r.Run.Server.PerMillion <= 0 || !r.OK() {
		t.Fatalf("%s", out)
	}
	return &r
}
