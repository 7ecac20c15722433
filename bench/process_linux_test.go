package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the floor's process.
func TestMain(m *testing.M) {
	if os.Getenv("EARSHOT_BENCH_FLOOR") != "" {
		serveFloorOnly()
		return
	}
	goleak.VerifyTestMain(m)
}

func serveFloorOnly() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	fmt.Println(l.Addr())
	if err := ServeFloor(ctx, l); err != nil {
		panic(err)
	}
}

func floorProcess(t *testing.T) Starter {
	t.Setenv("EARSHOT_BENCH_FLOOR", "1")
	return func(ctx context.Context) (*Process, error) {
		self, err := Self()
		if err != nil {
			return nil, err
		}
		return StartFloor(ctx, self)
	}
}

// TestComparison compares the floor with itself, which must come out even, and
// prints it.
func TestComparison(t *testing.T) {
	floor := floorProcess(t)
	cases := Cases()[:2]
	for i := range cases {
		cases[i].Scenario.Connections = 20
	}
	told := 0
	c := Comparison{
		Floor: floor, Server: floor, Cases: cases, Rounds: 2, Progress: func(string) { told++ },
		Adjust: func(s *Scenario) {
			*s = quick(*s)
			s.Publishing.HTTP = false // the floor has none
		},
	}
	standings, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(standings) != 8 || told != 16 {
		t.Fatalf("%d rows, told %d times", len(standings), told)
	}
	for _, s := range standings {
		if s.Faults.Any() || s.PerMillion <= 0 || s.Ratio < 0.2 || s.Ratio > 5 || len(s.Runs) != 2 {
			t.Errorf("%s %s: %+v", s.Case, s.Row, s)
		}
	}
	var text bytes.Buffer
	r := Report{Machine: ThisMachine(), Comparison: standings}
	if err := r.WriteText(&text); err != nil || !r.OK() {
		t.Errorf("%v, %v", err, r.OK())
	}
	for _, want := range []string{"a50", "live, POST /publish", "0.5", "1.4", "logged", "none"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

func TestIdleOnTheFloor(t *testing.T) {
	p, err := floorProcess(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for _, own := range []bool{false, true} {
		r, err := Idle(t.Context(), &p.Target, Idling{Few: 20, Many: 120, OwnChannels: own, Rest: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK() || r.RSSFew <= 0 || r.RSSMany <= 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestProcessThatFails(t *testing.T) {
	if p, err := StartFloor(t.Context(), []string{"/bin/sh", "-c", "echo broken >&2; exit 3"}); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := Fresh([]string{"/bin/sh", "-c", "echo broken >&2; exit 3"})(t.Context()); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Error(err)
	}
}

// TestReport writes every part, as text and as JSON.
func TestReport(t *testing.T) {
	s, err := Scenario{Publishing: Publishing{Rate: 10}}.complete()
	if err != nil {
		t.Fatal(err)
	}
	run := &Result{Scenario: s, Seconds: 1, Delivered: 10, Server: &Cost{PerMillion: 2}}
	floor := &Result{Scenario: s, Seconds: 1, Delivered: 10, Server: &Cost{PerMillion: 1}}
	r := Report{
		Run: run, Floor: floor, Idle: []*IdleResult{{PerConnection: 1234}},
		Storm: &StormResult{Peak: 3 << 20, Steady: 2 << 20, Delivered: 1},
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2.00 times the floor", "1234 bytes per connection", "peak 3.0 MB", "lost 0"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	if !r.OK() {
		t.Error("a clean report is not OK")
	}
	if b, err := json.Marshal(&r); err != nil || !bytes.Contains(b, []byte(`"cpu_seconds_per_million_deliveries":2`)) {
		t.Errorf("%s, %v", b, err)
	}
	run.Faults.Lost = 1
	text.Reset()
	if _ = r.WriteText(&text); r.OK() || !strings.Contains(text.String(), "FAULTS") {
		t.Errorf("a lost message is OK:\n%s", &text)
	}
}

func TestMetricsAreRead(t *testing.T) {
	u, err := readMetrics(strings.NewReader("# HELP x\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 2.5e+07\n"))
	if err != nil || u.CPU != 1500*time.Millisecond || u.RSS != 25_000_000 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := readMetrics(strings.NewReader("other 1\n")); err == nil {
		t.Error("metrics without a process are taken")
	}
}
