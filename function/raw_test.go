package function_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/function"
)

// say sends a request to the Runtime API and returns the status and the body.
func say(method, path, body string, header ...string) (int, http.Header, string) {
	address := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API")
	if !strings.HasPrefix(path, "/") {
		path = "/2018-06-01/runtime/" + path
	}
	r, err := http.NewRequestWithContext(context.Background(), method, address+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	for n := 0; n+1 < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return resp.StatusCode, resp.Header, string(b)
}

// raw is a runtime of its own, which does what it should not.
func raw() {
	for {
		status, header, event := say("GET", "invocation/next", "")
		if status != 200 {
			os.Exit(1)
		}
		id := header.Get("Lambda-Runtime-Aws-Request-Id")
		var o order
		if err := json.Unmarshal([]byte(event), &o); err != nil {
			os.Exit(2)
		}
		switch o.Do {
		case "error":
			status, _, text := say("POST", "invocation/"+id+"/error", o.Text, "Lambda-Runtime-Function-Error-Type", "Raw.Type")
			fmt.Println("error", status, text)
		default:
			status, _, text := say(o.Do, strings.ReplaceAll(o.Text, "ID", id), `{"events":[]}`)
			say("POST", "invocation/"+id+"/response", fmt.Sprintf("%d %s", status, text))
		}
	}
}

// unready is a runtime that cannot begin.
func unready() {
	if status, _, _ := say("POST", "init/error", `{"errorMessage":"no database","errorType":"Init.Error"}`); status != 202 {
		os.Exit(9)
	}
	os.Exit(1)
}

func TestRuntimeAPI(t *testing.T) {
	r := start(t, nil, fn(t, "raw"))
	for _, c := range []struct{ method, path, want string }{
		{"GET", "invocation/next", `403 {"errorMessage":"an event is not answered yet, or is waited for already","errorType":"InvalidStateTransition"}`},
		{"POST", "invocation/other/response", `400 {"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`},
		{"POST", "invocation/other/error", `400 {"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`},
		{"POST", "init/error", `403 {"errorMessage":"the function is ready already","errorType":"InvalidStateTransition"}`},
		{"POST", "/2020-01-01/extension/register", `200 {}`},
		{"GET", "restore/next", "404"},
		{"PUT", "invocation/ID/response", "405"},
	} {
		if got := r.must("raw", orderOf(c.method, c.path, 0)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s %s: got %s, want %s", c.method, c.path, got, c.want)
		}
	}
	// An answer that is there counts, whatever is said after it.
	if got := r.must("raw", orderOf("POST", "invocation/ID/response", 0)); got != `{"events":[]}` {
		t.Errorf("got %s", got)
	}
	r.fails("raw", orderOf("error", "no JSON at all", 0), "Raw.Type", "no JSON at all")
	out, err := r.invoke("raw", orderOf("error", `["of another form"]`, 0))
	if out != "" || err == nil || !strings.Contains(err.Error(), "Raw.Type") {
		t.Errorf("got %s, %v", out, err)
	}
}

// TestRuntimeAPIStrangers: who is no process of the function gets no event, even
// if he knows the port.
func TestRuntimeAPIStrangers(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("nobody tells here whose a connection is")
	}
	r := start(t, nil, fn(t, "f"))
	env := r.must("f", orderOf("env", "", 0))
	_, rest, _ := strings.Cut(env, `"AWS_LAMBDA_RUNTIME_API=`)
	address, _, _ := strings.Cut(rest, `"`)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); len(b) > 0 {
		t.Errorf("a stranger got %s, %v", b, err)
	}
	r.must("f", orderOf("", "", 0))
	if !strings.Contains(r.log.String(), "a stranger came") {
		t.Error("nothing is in the log")
	}
}

// host is a server that is about to be killed: it hosts one function and tells
// its number.
func host() {
	binary, err := os.Executable()
	if err != nil {
		panic(err)
	}
	f := earshot.GatewayFunction{Name: "f", Command: []string{binary}, Environment: map[string]string{kind: "f"}}
	h, err := function.New(function.Config{
		Apps: []*earshot.App{{Slug: "one", Gateways: []earshot.Gateway{gateway(f)}}}, Data: os.Getenv("TEST_DATA"), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = h.Start(context.Background())
	}
	if err != nil {
		panic(err)
	}
	out, err := h.Of("one").Invoke(context.Background(), "f", []byte("{}"))
	fmt.Println(string(out), err)
	time.Sleep(time.Hour)
}

// TestShellRuntime: a runtime made of a shell and curl, as AWS's documentation has
// one, whose requests come from processes that it starts.
func TestShellRuntime(t *testing.T) {
	for _, program := range []string{"sh", "curl", "sed"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	const bootstrap = `#!/bin/sh
set -eu
while true; do
	headers="$(mktemp)"
	event="$(curl -sS -LD "$headers" "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/next")"
	id="$(sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p' "$headers" | tr -d '\r')"
	curl -sS -X POST "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/$id/response" -d "{\"heard\":$event}" >/dev/null
done
`
	if err := os.WriteFile(filepath.Join(dir, "bootstrap"), []byte(bootstrap), 0o700); err != nil {
		t.Fatal(err)
	}
	r := start(t, nil, earshot.GatewayFunction{Name: "sh", Command: []string{"./bootstrap"}, Dir: dir, Environment: map[string]string{"TMPDIR": dir}, TimeoutSeconds: 30})
	for _, event := range []string{`{"a":1}`, `"Gr\u00fc\u00dfe"`} {
		if got := r.must("sh", []byte(event)); got != `{"heard":`+event+`}` {
			t.Errorf("got %s", got)
		}
	}
	if strings.Contains(r.log.String(), "stranger") {
		t.Error("what the function starts is a stranger")
	}
}
