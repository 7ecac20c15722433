package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
)

// health asks a notiflux whether it lives.
func health(t *testing.T, address string) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/health")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("GET /health is answered %s", answer.Status)
	}
}

// notifluxEnv is the environment of a notiflux's container.
func notifluxEnv(t *testing.T) config.Environment {
	t.Helper()
	private, err := newNotiflux()
	if err != nil {
		t.Fatal(err)
	}
	public, err := publicOf(private)
	if err != nil {
		t.Fatal(err)
	}
	return config.Environment{"JWT_PUBLIC_KEY_B64=" + base64.StdEncoding.EncodeToString(public), "HOST=127.0.0.1", "PORT=0", "RUST_LOG=debug", "WORKER_COUNT=4"}
}

var readyAt = regexp.MustCompile(`msg=ready address=(\S+)`)

// TestServeNotiflux: without a file of settings, and without a place to write to,
// the variables of a notiflux are enough.
func TestServeNotiflux(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("earshot-data", []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	c := begin(t, "", notifluxEnv(t), "serve")
	c.err.await(t, "msg=ready")
	said := c.err.String()
	if !strings.Contains(said, "temporary="+temp) {
		t.Errorf("where it stores is not said in\n%s", said)
	}
	health(t, readyAt.FindStringSubmatch(said)[1])
	if code := c.end(); code != 0 {
		t.Errorf("exit code %d\n%s", code, c.err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("the temporary directory is not gone: %v, %v", left, err)
	}
}

// TestServeNotifluxData: a directory that can be written is used.
func TestServeNotifluxData(t *testing.T) {
	t.Chdir(t.TempDir())
	c := begin(t, "", notifluxEnv(t), "serve")
	c.err.await(t, "msg=ready")
	if said := c.err.String(); strings.Contains(said, "temporary") {
		t.Errorf("it said\n%s", said)
	}
	c.end()
	if _, err := os.Stat(filepath.Join("earshot-data", "log")); err != nil {
		t.Error(err)
	}
}

// TestServeWithoutAnything: nothing makes it a notiflux but the key, and a file
// that was asked for must be there.
func TestServeWithoutAnything(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []*command{
		begin(t, "", config.Environment{"PORT=0", "RUST_LOG=debug"}, "serve"),
		begin(t, "", notifluxEnv(t), "serve", "--config", "other.toml"),
	} {
		if code := <-c.code; code != 1 || !strings.Contains(c.err.String(), "does not exist") {
			t.Errorf("exit code %d\n%s", code, c.err)
		}
	}
	c := begin(t, "", config.Environment{"JWT_PUBLIC_KEY_B64=!", "PORT=0"}, "serve")
	if code := <-c.code; code != 1 || !strings.Contains(c.err.String(), "signing_keys[0]") {
		t.Errorf("a key that is none: exit code %d\n%s", code, c.err)
	}
}

// TestTempDir: the first place that lets it.
func TestTempDir(t *testing.T) {
	good := t.TempDir()
	dir, err := tempDir(filepath.Join(good, "none"), good)
	if err != nil || filepath.Dir(dir) != good {
		t.Errorf("got %s, %v", dir, err)
	}
	if _, err := tempDir(filepath.Join(good, "none")); err == nil {
		t.Error("there is no place, and no error")
	}
}

// TestDevNotiflux: the private key of dev.json signs tokens that the server
// takes, and is kept.
func TestDevNotiflux(t *testing.T) {
	data := t.TempDir()
	server, f := dev(t, data)
	issuer, err := auth.NewIssuer(earshot.SigningKey{Alg: "ES256", Key: []byte(f.NotifluxPrivateKey)})
	if err != nil {
		t.Fatal(err)
	}
	body := func(topics string) string {
		claims, err := json.Marshal(map[string]any{"sub": "u", "exp": time.Now().Add(time.Hour).Unix(), "topics": []string{topics}, "scope": "broadcast"})
		if err != nil {
			t.Fatal(err)
		}
		token, err := issuer.Issue(claims)
		if err != nil {
			t.Fatal(err)
		}
		return `{"topic":"hello","message":"` + strings.Repeat("x", 33<<10) + `","token":"` + token + `"}`
	}
	// Only what a token permits is looked at, so the size tells whether it does.
	for topic, want := range map[string]int{"hello": http.StatusRequestEntityTooLarge, "other": http.StatusOK} {
		answer, err := http.Post(f.URL+"broadcast", "application/json", strings.NewReader(body(topic)))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("a token for %s is answered %s", topic, answer.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	server.end()
	if info, err := os.Stat(filepath.Join(data, devNotiflux)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, again := dev(t, data); again.NotifluxPrivateKey != f.NotifluxPrivateKey {
		t.Error("the key is another one after a restart")
	}
}
