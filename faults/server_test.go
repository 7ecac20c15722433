package faults

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the server under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "earshot-faults-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "earshot")
	build := exec.Command("go", "build", "-o", binary, "../cmd/earshot")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the server:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// A server is a running `earshot dev`.
type server struct {
	cmd *exec.Cmd
	dev struct {
		URL       string `json:"url"`
		WS        string `json:"ws_url"`
		Key       string `json:"publish_key"`
		SigningID string `json:"signing_key_id"`
		Signing   string `json:"signing_key"`
	}
	ready time.Duration // from start to /readyz
	once  sync.Once     // kill
}

// start runs a server on a data directory and waits until it is ready.
func start(t *testing.T, data string) *server {
	t.Helper()
	begun := time.Now()
	s := &server{cmd: exec.Command(binary, "dev", "--listen", "127.0.0.1:0", "--data", data)}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "http://") {
	}
	go func() {
		for lines.Scan() { //nolint:revive // what else it prints is not asked for
		}
	}()
	raw, err := os.ReadFile(filepath.Join(data, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &s.dev); err != nil {
		t.Fatal(err)
	}
	s.awaitReady(t)
	s.ready = time.Since(begun)
	return s
}

// awaitReady asks /readyz until it says yes.
func (s *server) awaitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.dev.URL, "/")+"/readyz", nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatal("the server was not ready within 30 s")
}

// kill ends the server as a crash does, and returns when it is gone. It may be
// called more than once, and at once.
func (s *server) kill() {
	s.once.Do(func() {
		_ = s.cmd.Process.Signal(syscall.SIGKILL)
		_ = s.cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
}

// token signs claims as the app's own server would.
func (s *server) token(claims map[string]any) string {
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(map[string]any{"alg": "HS256", "typ": "JWT", "kid": s.dev.SigningID}) + "." + part(claims)
	mac := hmac.New(sha256.New, []byte(s.dev.Signing))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
