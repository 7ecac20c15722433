package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/config"
)

// A screen takes what a command prints, and can be waited for.
type screen struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{} // closed, and made anew, when something was written
}

func newScreen() *screen { return &screen{wrote: make(chan struct{})} }

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.wrote)
	s.wrote = make(chan struct{})
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until a text is there.
func (s *screen) await(t *testing.T, part string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		text, wrote := s.text.String(), s.wrote
		s.mu.Unlock()
		if strings.Contains(text, part) {
			return text
		}
		select {
		case <-wrote:
		case <-timeout:
			t.Fatalf("%q did not come; there is\n%s", part, text)
		}
	}
}

// A command is one that runs, or has run.
type command struct {
	out, err *screen
	stop     context.CancelFunc
	code     chan int
}

// begin runs a command line in this process.
func begin(t *testing.T, in string, env config.Environment, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &command{out: newScreen(), err: newScreen(), stop: cancel, code: make(chan int, 1)}
	w := &world{ctx: ctx, in: strings.NewReader(in), out: c.out, err: c.err, env: env, name: "earshot"}
	go func() { c.code <- w.run(args) }()
	t.Cleanup(cancel)
	return c
}

// end tells it to stop and returns the exit code.
func (c *command) end() int {
	c.stop()
	return <-c.code
}

// run runs a command to its end.
func run(t *testing.T, code int, args ...string) (out, errs string) {
	t.Helper()
	c := begin(t, "", nil, args...)
	if got := <-c.code; got != code {
		t.Errorf("%v: exit code %d, want %d\n%s%s", args, got, code, c.out, c.err)
	}
	return c.out.String(), c.err.String()
}

// dev starts a development server and returns what it writes about itself.
func dev(t *testing.T, data string) (*command, *devFile) {
	t.Helper()
	return devIn(t, data, nil)
}

// devIn is dev in an environment.
func devIn(t *testing.T, data string, env config.Environment) (*command, *devFile) {
	t.Helper()
	c := begin(t, "", env, "dev", "--listen", "127.0.0.1:0", "--data", data)
	c.out.await(t, "Ctrl-C stops.")
	path := filepath.Join(data, "dev.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &devFile{}
	if err := json.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dev.json", devKeys} {
		if info, err := os.Stat(filepath.Join(data, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
	return c, f
}

// TestFirstMinute is what a new user does.
func TestFirstMinute(t *testing.T) {
	data := t.TempDir()
	server, f := dev(t, data)
	said := server.out.String()
	for _, part := range []string{f.URL, f.WSURL, f.Token, "curl ", "subscribe --dev " + data} {
		if !strings.Contains(said, part) {
			t.Errorf("%q is not said in\n%s", part, said)
		}
	}
	if f.App != "dev" || f.PID != os.Getpid() || f.SigningAlg != "HS256" || f.SigningKeyID == "" || !regexp.MustCompile(`^[\w-]{43}$`).MatchString(f.SigningKey) {
		t.Errorf("got %+v", f)
	}
	devJSON := filepath.Join(data, "dev.json")
	listener := begin(t, "", nil, "subscribe", "--dev", devJSON, "-n", "3", "hello")
	listener.err.await(t, "listening to hello")

	curl := regexp.MustCompile(`curl (\S+) -H '(\S+): ([^']+)' -d '([^']+)'`).FindStringSubmatch(said)
	if curl == nil {
		t.Fatalf("no curl line in\n%s", said)
	}
	r, err := http.NewRequest(http.MethodPost, curl[1], strings.NewReader(curl[4]))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(curl[2], curl[3])
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("the curl line is answered %s", resp.Status)
	}
	out, _ := run(t, 0, "publish", "--dev", devJSON, "hello", "greeting", `{"a":1}`, "--store", "60")
	if !regexp.MustCompile(`^[0-9A-Z]{26}\n$`).MatchString(out) {
		t.Errorf("publish prints %q, want an id", out)
	}
	run(t, 0, "publish", "--dev", devJSON, "hello", "greeting", "no JSON")
	if code := <-listener.code; code != 0 {
		t.Errorf("subscribe ended with %d: %s", code, listener.err)
	}
	lines := strings.Split(listener.out.String(), "\n")
	if len(lines) != 4 || !strings.HasSuffix(lines[0], `hello  greeting  "Hello"`) || !strings.HasSuffix(lines[1], `{"a":1}`) || !strings.HasSuffix(lines[2], `"no JSON"`) {
		t.Errorf("heard %q", lines)
	}

	if code := server.end(); code != 0 || server.err.String() != "" {
		t.Errorf("exit code %d, and it says %s", code, server.err)
	}
	server, again := dev(t, data)
	if again.SigningKey != f.SigningKey || again.PublishKey != f.PublishKey || again.Token == f.Token && again.URL == f.URL {
		t.Error("the keys are not kept")
	}
	out, _ = run(t, 0, "subscribe", "--dev", devJSON, "-n", "1", "--json", "--after", "0", "hello")
	var first client.Received
	if err := json.Unmarshal([]byte(out), &first); err != nil || first.ID == "" {
		t.Errorf("after a restart it hears %q, %v", out, err)
	}
	if code := server.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestDevFailsClearly(t *testing.T) {
	data := t.TempDir()
	server, f := dev(t, data)
	busy := strings.TrimSuffix(strings.TrimPrefix(f.URL, "http://"), "/")
	for _, args := range [][]string{
		{"dev", "--listen", busy, "--data", t.TempDir()},
		{"dev", "--listen", "127.0.0.1:0", "--data", data},
		{"dev", "--listen", "nowhere", "--data", t.TempDir()},
		{"dev", "--listen", "127.0.0.1:0", "--data", "/dev/null/x"},
	} {
		out, errs := run(t, 1, args...)
		if out != "" || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "earshot: ") {
			t.Errorf("%v: got %q and %q, want one line", args, out, errs)
		}
	}
	if text, err := os.ReadFile(filepath.Join(data, "dev.json")); err != nil || !strings.Contains(string(text), f.Token) {
		t.Error("the failed server has overwritten the other's dev.json")
	}
	server.end()
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "earshot.toml")
	_, errs := run(t, 1, "serve", "--config", file)
	if !strings.Contains(errs, "does not exist") {
		t.Errorf("without a file: %s", errs)
	}
	if err := os.WriteFile(file, []byte("[[apps]]\nslug = \"main\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs = run(t, 1, "serve", "--config", file)
	if !strings.Contains(errs, "signing_keys: there is none") || !strings.Contains(errs, "publish_keys: there is none") {
		t.Errorf("without keys: %s", errs)
	}
	keys, _ := run(t, 0, "token", "key", "main")
	if err := os.WriteFile(file, []byte("[server]\ndrain_wait = \"0s\"\ndrain_spread = \"0s\"\n"+keys), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := run(t, 0, "config", "check", file); out != file+" is in order\n" {
		t.Errorf("config check says %q", out)
	}
	c := begin(t, "", config.Environment{"HOST=127.0.0.1", "PORT=0"}, "serve", "--config", file, "--data", filepath.Join(dir, "data"))
	said := c.err.await(t, "msg=ready")
	address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(said)[1]
	resp, err := http.Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err != nil || !strings.Contains(string(page), "Earshot is running") {
		t.Errorf("got %s, %v", page, err)
	}
	if code := c.end(); code != 0 {
		t.Errorf("exit code %d: %s", code, c.err)
	}
}

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "earshot.toml")
	if err := os.WriteFile(file, []byte("[server]\nlisen = 1\n[log]\nlevl = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs := run(t, 1, "config", "check", file)
	if !strings.Contains(errs, "3 problems") || !strings.Contains(errs, "apps: there is none") || !strings.Contains(errs, "did you mean server.listen?") || !strings.Contains(errs, "did you mean log.level?") {
		t.Errorf("got %s", errs)
	}
	doc, _ := run(t, 0, "config", "doc")
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := run(t, 0, "config", "print", file); !strings.Contains(out, "drain_spread = \"30s\"") || strings.Contains(out, "#") {
		t.Errorf("got %s", out)
	}
}

func TestToken(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("a secret of more than thirty-two bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := run(t, 0, "token", "issue", "--key-file", key, "--key-id", "k", "--uid", "u", "--subscribe", "a.*", "--publish", "a.*", "--publish", "b",
		"--store", "5", "--claims", `{"scope":"connect subscribe"}`)
	shown, validity := run(t, 0, "token", "inspect", strings.TrimSpace(out))
	var header, claims map[string]any
	d := json.NewDecoder(strings.NewReader(shown))
	if err := d.Decode(&header); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	exp, _ := claims["exp"].(float64)
	delete(claims, "exp")
	got, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"channels":{"a.*":{"messages":{"*":{"publish":true,"store":5}},"subscribe":true},"b":{"messages":{"*":{"publish":true,"store":5}}}},"scope":"connect subscribe","uid":"u"}`
	if string(got) != want || header["kid"] != "k" || !strings.Contains(validity, "expires at") {
		t.Errorf("got %s, want %s; header %v; %s", got, want, header, validity)
	}
	if left := time.Until(time.Unix(int64(exp), 0)); left < 59*time.Minute || left > time.Hour {
		t.Errorf("it is valid for %v, want an hour", left)
	}
	c := begin(t, out, nil, "token", "inspect")
	if code := <-c.code; code != 0 || c.out.String() != shown {
		t.Errorf("reading the token: %d, %s", code, c.err)
	}
	run(t, 1, "token", "inspect", "a.b")
	run(t, 1, "token", "issue", "--dev", filepath.Join(t.TempDir(), "dev.json"))
	run(t, 1, "token", "issue", "--key-file", key, "--claims", "[")
	run(t, 1, "token", "issue", "--key-file", key, "--alg", "none")
}

func TestValidity(t *testing.T) {
	now := time.Unix(1000, 0)
	for claims, want := range map[string]string{
		`{}`: "the token has no exp, so no server takes it", `{"exp":1001}`: "the token expires at 1970-01-01T00:16:41Z",
		`{"exp":1000}`: "the token expired at 1970-01-01T00:16:40Z", `{"exp":"x"}`: "the token has no exp, so no server takes it",
	} {
		if got := validity([]byte(claims), now); got != want {
			t.Errorf("%s: got %q, want %q", claims, got, want)
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{{"srve"}, {"dev", "--lisen", "x"}, {"publish"}, {"token"}} {
		if _, errs := run(t, 2, args...); !strings.HasPrefix(errs, "earshot: ") {
			t.Errorf("%v: got %q", args, errs)
		}
	}
	if out, _ := run(t, 0); !strings.Contains(out, "Usage: earshot") {
		t.Errorf("without arguments: %q", out)
	}
	if out, _ := run(t, 0, "dev", "--help"); !strings.Contains(out, "--data") {
		t.Errorf("dev --help: %q", out)
	}
	if out, _ := run(t, 0, "version"); !strings.HasPrefix(out, "earshot ") {
		t.Errorf("version: %q", out)
	}
}

func TestNobodyListens(t *testing.T) {
	_, errs := run(t, 1, "publish", "--url", "http://127.0.0.1:1", "--key", "k", "c", "e")
	if !strings.Contains(errs, "nobody listens at http://127.0.0.1:1") {
		t.Errorf("got %s", errs)
	}
	_, errs = run(t, 1, "publish", "--url", "http://127.0.0.1:1", "c", "e")
	if !strings.Contains(errs, "--key is needed") {
		t.Errorf("got %s", errs)
	}
	_, errs = run(t, 1, "subscribe", "--url", "127.0.0.1:1", "c")
	if !strings.Contains(errs, "does not begin with http") {
		t.Errorf("got %s", errs)
	}
	_, errs = run(t, 1, "subscribe", "--dev", filepath.Join(t.TempDir(), "dev.json"), "c")
	if !strings.Contains(errs, "start `earshot dev` here") {
		t.Errorf("got %s", errs)
	}
}

func TestQuoting(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a/b.json": "a/b.json", "a b": "'a b'", "it's": `'it'\''s'`} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	if got := calledAs("/tmp/go-build123/b001/exe/earshot"); got != "go run ./cmd/earshot" {
		t.Errorf("got %q", got)
	}
}
