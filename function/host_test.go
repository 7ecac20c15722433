package function_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/function"
)

// A rig is a host with functions that are this binary.
type rig struct {
	*testing.T
	host *function.Host
	log  *lockedLog
	data string
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fn is a function that this binary is.
func fn(t testing.TB, name string, more ...string) earshot.GatewayFunction {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{kind: name, "API_GATEWAY_ID": "abc123", "GO_ENV": "prod"}
	for _, m := range more {
		k, v, _ := strings.Cut(m, "=")
		env[k] = v
	}
	return earshot.GatewayFunction{Name: name, Command: []string{binary}, Environment: env, TimeoutSeconds: 30}
}

func gateway(functions ...earshot.GatewayFunction) earshot.Gateway {
	return earshot.Gateway{ID: "abc123", Trusted: true, Functions: functions}
}

// start starts a host for an app "one".
func start(t *testing.T, change func(*function.Config), functions ...earshot.GatewayFunction) *rig {
	t.Helper()
	r := &rig{T: t, log: &lockedLog{}, data: t.TempDir()}
	c := function.Config{
		Apps: []*earshot.App{{Slug: "one", Gateways: []earshot.Gateway{gateway(functions...)}}},
		Keys: map[string]earshot.AccessKey{"one": {ID: "KEYID", Secret: "key-secret"}},
		Data: filepath.Join(r.data, "functions"), Handler: http.NotFoundHandler(),
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&c)
	}
	h, err := function.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.host = h
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) invoke(name string, payload []byte) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := r.host.Of("one").Invoke(ctx, name, payload)
	return string(out), err
}

// must is an invocation that succeeds.
func (r *rig) must(name string, payload []byte) string {
	r.Helper()
	out, err := r.invoke(name, payload)
	if err != nil {
		r.Fatalf("%s: %v\n%s", payload, err, r.log)
	}
	return out
}

// fails is an invocation that the function fails.
func (r *rig) fails(name string, payload []byte, kind, message string) *function.Error {
	r.Helper()
	out, err := r.invoke(name, payload)
	var e *function.Error
	if !errors.As(err, &e) || e.Type != kind || !strings.Contains(e.Message, message) || out != "" {
		r.Fatalf("%s: got %q, %v; want %s with %q\n%s", payload, out, err, kind, message, r.log)
	}
	var f struct{ ErrorMessage, ErrorType string }
	if err := json.Unmarshal(e.Payload, &f); err != nil || f.ErrorMessage != e.Message || f.ErrorType != e.Type {
		r.Errorf("the payload is %s, %v", e.Payload, err)
	}
	return e
}

func (r *rig) pid(name string) int {
	r.Helper()
	var a struct{ PID int }
	if err := json.Unmarshal([]byte(r.must(name, orderOf("", "x", 0))), &a); err != nil || a.PID == 0 {
		r.Fatal(err)
	}
	return a.PID
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestEcho(t *testing.T) {
	r := start(t, nil, fn(t, "echo"))
	first := r.pid("echo")
	if got := r.must("echo", orderOf("", "Grüße", 0)); !strings.Contains(got, `"echo":"Grüße"`) {
		t.Errorf("got %s", got)
	}
	if r.pid("echo") != first {
		t.Error("the process is not kept")
	}
	if got := r.must("echo", orderOf("nothing", "", 0)); got != "null" {
		t.Errorf("got %q for nothing", got)
	}
	if got := r.must("echo", orderOf("garbage", "}{", 0)); got != "}{" {
		t.Errorf("got %q for garbage", got)
	}
	if err := r.host.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if alive(first) {
		t.Error("the process outlives the host")
	}
	_, err := r.invoke("echo", []byte("{}"))
	if e := earshot.AsError(err); e.Reason != function.Stopped {
		t.Errorf("got %v after the end", err)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	r := start(t, nil, fn(t, "f"))
	before := r.pid("f")
	r.fails("f", orderOf("error", "boom", 0), "errorString", "boom")
	if r.pid("f") != before {
		t.Error("an error ends the process")
	}
	e := r.fails("f", orderOf("panic", "ouch", 0), "string", "ouch")
	if !bytes.Contains(e.Payload, []byte(`"stackTrace"`)) {
		t.Errorf("there is no stack in %s", e.Payload)
	}
	after := r.pid("f")
	if after == before || alive(before) {
		t.Error("a process that panicked lives on")
	}
	r.fails("f", orderOf("exit", "", 7), function.TypeExit, "Runtime exited with error: exit status 7")
	r.fails("f", orderOf("exit", "", 0), function.TypeExit, "Runtime exited without providing a reason")
	r.fails("f", orderOf("break", "the beginning", 0), "errorString", "broken off")
	r.fails("f", orderOf("large", "", 6<<20+200), function.TypeResponseSize, "Response payload size exceeded maximum allowed payload size (6291556 bytes).")
	if got := r.must("f", orderOf("large", "", 6<<20-2)); len(got) != 6<<20 {
		t.Errorf("got %d bytes", len(got))
	}
	if s := r.host.Stats(); s.Processes < 1 || s.Waiting != 0 || s.Started < 5 || s.Calls != 10 || s.Failed != 6 || s.Timeouts != 0 || s.Refused != 0 {
		t.Errorf("the figures are %+v", s)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := start(t, nil, fn(t, "f"))
	for reason, err := range map[string]error{
		function.Unknown: func() error { _, err := r.invoke("other", nil); return err }(),
		function.Payload: func() error { _, err := r.invoke("f", make([]byte, function.MaxPayload+1)); return err }(),
	} {
		if e := earshot.AsError(err); e == nil || e.Reason != reason {
			t.Errorf("got %v, want %s", err, reason)
		}
	}
	if _, err := r.host.Of("two").Invoke(t.Context(), "f", nil); earshot.AsError(err).Reason != function.Unknown {
		t.Errorf("another app may call it: %v", err)
	}
	large, _ := json.Marshal(order{Do: "", Text: strings.Repeat("x", function.MaxPayload-100)})
	if got := r.must("f", large); len(got) < function.MaxPayload-100 {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	f := fn(t, "child")
	f.TimeoutSeconds = 1
	r := start(t, nil, f)
	note := filepath.Join(r.data, "pid")
	// hang returns the number of the process that was killed. One that did not get
	// around to writing it down on a busy machine was killed too.
	hang := func(other int) int {
		for range 10 {
			e := r.fails("child", orderOf("hang", note, 0), function.TypeTimeout, "Error: Task timed out after 1.00 seconds")
			if !e.Timeout() {
				t.Error("it is not told as a timeout")
			}
			text, err := os.ReadFile(note)
			if pid, errPID := strconv.Atoi(string(text)); err == nil && errPID == nil && pid != other {
				return pid
			}
		}
		t.Fatal("the process was asked again, or never")
		return 0
	}
	first := hang(0)
	hang(first)
	if err := r.host.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, p := range groupOf(t, first) {
		if stateOf(p) != "Z" {
			t.Errorf("%d lives on, %s", p, stateOf(p))
		}
	}
	if s := r.host.Stats(); s.Timeouts < 2 || s.Processes != 0 || s.Started < 2 {
		t.Errorf("the figures are %+v", s)
	}
}

// TestGroup: what a function started ends with it.
func TestGroup(t *testing.T) {
	r := start(t, nil, fn(t, "child"))
	group := groupOf(t, r.pid("child"))
	if len(group) < 2 {
		t.Fatalf("the function had no child: %v", group)
	}
	r.fails("child", orderOf("exit", "", 1), function.TypeExit, "exit status 1")
	if err := r.host.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, p := range group {
		if stateOf(p) != "Z" {
			t.Errorf("%d lives on, %s", p, stateOf(p))
		}
	}
}

// groupOf are the processes of a group.
func groupOf(t *testing.T, leader int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("there is no /proc here that tells of processes")
	}
	var all []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if group, err := syscall.Getpgid(pid); err == nil && group == leader {
			all = append(all, pid)
		}
	}
	return all
}

// stateOf is the letter of a process's state, Z for one that is dead and was not
// fetched by whom it belongs to.
func stateOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "Z"
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func TestStarts(t *testing.T) {
	t.Parallel()
	r := start(t, nil, fn(t, "exit"), fn(t, "slow"), fn(t, "unready"))
	r.fails("exit", nil, function.TypeExit, "exit status 3")
	r.must("slow", orderOf("", "", 0))
	// While it is not tried again, the answer is there at once, and the same.
	r.fails("exit", nil, function.TypeExit, "exit status 3")
	if err := r.host.Of("one").Enqueue("exit", function.Call{Payload: []byte("{}")}); err != nil {
		t.Errorf("an event without an answer is refused: %v", err)
	}
	if !strings.Contains(r.log.String(), "cannot begin") {
		t.Error("what it printed is not in the log")
	}
	r.fails("unready", nil, "Init.Error", "no database")
	ok := fn(t, "f")
	ok.Command = []string{filepath.Join(r.data, "gone")}
	if err := os.Symlink(fn(t, "f").Command[0], ok.Command[0]); err != nil {
		t.Fatal(err)
	}
	q := start(t, nil, ok)
	q.must("f", orderOf("", "", 0))
	if err := os.Remove(ok.Command[0]); err != nil {
		t.Fatal(err)
	}
	q.fails("f", orderOf("exit", "", 1), function.TypeExit, "")
	q.fails("f", nil, function.TypeStart, "could not be started")
}

func TestInitTimeout(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *function.Config) { c.Init = time.Second }, fn(t, "stuck"))
	r.fails("stuck", nil, function.TypeTimeout, "Init timed out after 1.00 seconds")
}

// TestIdle: a copy that has nothing to do is ended, and another starts when it is
// wanted.
func TestIdle(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *function.Config) { c.Idle = time.Millisecond }, fn(t, "f"))
	seen := map[int]bool{}
	for len(seen) < 3 {
		seen[r.pid("f")] = true
	}
}

func TestCopies(t *testing.T) {
	f := fn(t, "f")
	f.Copies = 3
	r := start(t, func(c *function.Config) { c.Waiting = 4 }, f)
	stay := filepath.Join(r.data, "stay")
	if err := os.WriteFile(stay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	results := make(chan error, 20)
	for range 20 {
		all.Go(func() {
			_, err := r.invoke("f", orderOf("wait", stay, 0))
			results <- err
		})
	}
	for range 20 - 3 - 4 { // three are at work, four wait
		if err := <-results; earshot.AsError(err) == nil || earshot.AsError(err).Reason != function.Busy {
			t.Fatalf("got %v", err)
		}
	}
	if err := os.Remove(stay); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	for range 7 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestWithdrawn: who gives up leaves nothing behind, and a function at work goes on.
func TestWithdrawn(t *testing.T) {
	f := fn(t, "f")
	f.Copies = 1
	r := start(t, func(c *function.Config) { c.Waiting = 1 }, f)
	pid := r.pid("f")
	stay := filepath.Join(r.data, "stay")
	if err := os.WriteFile(stay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for range 3 { // one is at work, the others wait one after the other
		if _, err := r.host.Of("one").Invoke(ctx, "f", orderOf("wait", stay, 0)); !errors.Is(err, context.DeadlineExceeded) || earshot.CodeOf(err) != earshot.Timeout {
			t.Errorf("got %v", err)
		}
	}
	if err := os.Remove(stay); err != nil {
		t.Fatal(err)
	}
	if r.pid("f") != pid {
		t.Error("the process was killed though it had time")
	}
}

func TestEnqueue(t *testing.T) {
	r := start(t, func(c *function.Config) { c.Grace = time.Minute }, fn(t, "f"))
	dir := t.TempDir()
	for n := range 5 {
		stay := filepath.Join(dir, strconv.Itoa(n))
		if err := r.host.Of("one").Enqueue("f", function.Call{Payload: orderOf("wait", stay, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.host.Of("one").Enqueue("f", function.Call{Payload: orderOf("error", "nobody hears", 0)}); err != nil {
		t.Fatal(err)
	}
	if err := r.host.Of("one").Enqueue("g", function.Call{}); earshot.AsError(err).Reason != function.Unknown {
		t.Errorf("got %v", err)
	}
	if err := r.host.Close(context.Background()); err != nil { // lets what was taken end
		t.Fatal(err)
	}
	if !strings.Contains(r.log.String(), "an event was not handled") || strings.Contains(r.log.String(), "events are lost") {
		t.Errorf("the log is %s", r.log)
	}
}

func TestOutput(t *testing.T) {
	r := start(t, nil, fn(t, "f"))
	answer, err := r.host.Of("one").Run(t.Context(), "f", function.Call{Payload: orderOf("print", "a line", 0), Tail: true})
	if log := string(answer.Log); err != nil || !strings.HasPrefix(log, "START RequestId: ") || !strings.Contains(log, "\na line\nand an end without a line\nEND RequestId: ") ||
		!strings.Contains(log, "REPORT RequestId: ") {
		t.Errorf("got %q, %v", log, err)
	}
	answer, err = r.host.Of("one").Run(t.Context(), "f", function.Call{Payload: orderOf("flood", "", 20_000), Tail: true})
	if err != nil || len(answer.Log) != 4096 || !bytes.Contains(answer.Log, []byte("xxxx\nEND RequestId")) {
		t.Errorf("got %d bytes, %v", len(answer.Log), err)
	}
	if err := r.host.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	log := r.log.String()
	if !strings.Contains(log, `function=f line="a line"`) {
		t.Error("what was printed is not in the log")
	}
	if n := strings.Count(log, "line=xxxx"); n == 0 || n > 2500 {
		t.Errorf("%d lines of a flood are in the log", n)
	}
	if strings.Contains(log, "key-secret") {
		t.Error("a secret is in the log")
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("EARSHOT_SECRET_OF_THE_SERVER", "x")
	f := fn(t, "f", "AWS_REGION=eu-west-1", "AWS_LAMBDA_RUNTIME_API=elsewhere:1", "OWN=1")
	f.Handler, f.MemoryMB, f.TimeoutSeconds = "main", 512, 20
	g := fn(t, "g", "AWS_ACCESS_KEY_ID=MINE", "AWS_SECRET_ACCESS_KEY=mine")
	r := start(t, nil, f, g)
	env := r.must("f", orderOf("env", "", 0))
	for _, want := range []string{
		`"AWS_REGION=eu-west-1"`, `"AWS_DEFAULT_REGION=us-east-1"`, `"OWN=1"`, `"_HANDLER=main"`, `"AWS_LAMBDA_FUNCTION_NAME=f"`,
		`"AWS_LAMBDA_FUNCTION_VERSION=$LATEST"`, `"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512"`, `"AWS_ACCESS_KEY_ID=KEYID"`,
		`"AWS_SECRET_ACCESS_KEY=key-secret"`, `"AWS_LAMBDA_RUNTIME_API=127.0.0.1:`, `"LAMBDA_TASK_ROOT=/`, `"HTTPS_PROXY=http://`,
	} {
		if !strings.Contains(env, want) {
			t.Errorf("%s is not in %s", want, env)
		}
	}
	if strings.Contains(env, "EARSHOT_SECRET") {
		t.Error("the server's variables are shown to functions")
	}
	if env := r.must("g", orderOf("env", "", 0)); !strings.Contains(env, `"AWS_ACCESS_KEY_ID=MINE"`) || strings.Contains(env, "key-secret") {
		t.Errorf("the function's own key does not count: %s", env)
	}
	var c struct {
		ID, ARN, Name, Trace string
		Client               map[string]string
		Left                 float64
		Deadline             bool
		Memory               int
	}
	answer, err := r.host.Of("one").Run(t.Context(), "f", function.Call{Payload: orderOf("context", "", 0), ClientContext: []byte(`{"custom":{"a":"b"}}`)})
	if err != nil || json.Unmarshal(answer.Payload, &c) != nil {
		t.Fatal(err)
	}
	if c.ARN != "arn:aws:lambda:us-east-1:000000000000:function:f" || len(c.ID) != 36 || c.Name != "f" || c.Memory != 512 || c.Client["a"] != "b" ||
		!c.Deadline || c.Left < 10 || c.Left > 20 || !strings.HasPrefix(c.Trace, "Root=1-") {
		t.Errorf("got %+v", c)
	}
}
