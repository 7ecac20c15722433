package config_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot/config"
)

// publicKey is the public half of a key that was thrown away.
const publicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExc5wZ2GCC2ZV53+GtfLVDq1B+7+u
CzZateur/ZGGd+R4xeNrCvrQByzfO3qBZSxs+Kq/o9XsR4iadqX7gQcbSg==
-----END PUBLIC KEY-----
`

func packed(breaks bool) string { return packedKey(publicKey, breaks) }

// TestNotiflux: with nothing but its variables set, a server is a notiflux.
func TestNotiflux(t *testing.T) {
	for _, breaks := range []bool{false, true} {
		c := config.Default()
		env := config.Environment{"JWT_PUBLIC_KEY_B64=" + packed(breaks), "HOST=0.0.0.0", "PORT=9000", "RUST_LOG=debug", "WORKER_COUNT=4"}
		if err := c.Load("", env); err != nil {
			t.Fatal(err)
		}
		if c.Server.Listen != "0.0.0.0:9000" || time.Duration(c.WebSocket.PingEvery) != 15*time.Second || !c.IsNotiflux() {
			t.Errorf("got %+v, %+v", c.Server, c.WebSocket)
		}
		apps, err := c.Tenants()
		if err != nil {
			t.Fatal(err)
		}
		a := apps[0]
		if len(apps) != 1 || len(a.SigningKeys) != 1 || a.SigningKeys[0].Alg != "ES256" || a.SigningKeys[0].ID != "" || string(a.SigningKeys[0].Key) != publicKey {
			t.Errorf("got %+v", a)
		}
		if !a.Rule("any topic").Live || len(a.PublishKeys) != 0 {
			t.Errorf("its channels are not live: %+v", a)
		}
	}
}

// TestNotifluxDefaults: it listens as the original does, unless that is told.
func TestNotifluxDefaults(t *testing.T) {
	key := "JWT_PUBLIC_KEY_B64=" + packed(false)
	for want, env := range map[string]config.Environment{
		"127.0.0.1:8080": {key}, "127.0.0.1:7": {key, "PORT=7"}, "h:8080": {key, "HOST=h"}, ":99": {key, "EARSHOT_SERVER_LISTEN=:99"},
		":8080": {}, ":8": {"PORT=8"},
	} {
		c := config.Default()
		if err := c.Load("", env); err != nil || c.Server.Listen != want {
			t.Errorf("%v listens at %s (%v), want %s", env, c.Server.Listen, err, want)
		}
	}
}

// TestNotifluxBesideApps: an app of a file gets the key, and keeps its rules and
// what it needs.
func TestNotifluxBesideApps(t *testing.T) {
	c := config.Default()
	file := filepath.Join(t.TempDir(), "a.toml")
	if err := os.WriteFile(file, []byte("[[apps]]\nslug = \"main\"\n[[apps]]\nslug = \"other\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(file, config.Environment{"JWT_PUBLIC_KEY_B64=" + packed(false)}); err != nil {
		t.Fatal(err)
	}
	if c.IsNotiflux() || len(c.Apps[0].SigningKeys) != 1 || len(c.Apps[1].SigningKeys) != 0 || len(c.Apps[0].Channels) != 0 {
		t.Errorf("got %+v", c.Apps)
	}
	if _, err := c.Tenants(); err == nil || !strings.Contains(err.Error(), "apps[0] (main).publish_keys: there is none") {
		t.Errorf("an app of a file needs a publish key all the same: %v", err)
	}
}

// TestNotifluxKey: a key that is none is told, and does not show itself.
func TestNotifluxKey(t *testing.T) {
	for _, bad := range []string{"!", "aGVsbG8=", packedKey(strings.Replace(publicKey, "MFkw", "MFkx", 1), false)} {
		c := config.Default()
		if err := c.Load("", config.Environment{"JWT_PUBLIC_KEY_B64=" + bad}); err != nil {
			t.Fatal(err)
		}
		_, err := c.Tenants()
		var p config.Problems
		if !errors.As(err, &p) || len(p) != 1 || !strings.HasPrefix(p[0], "apps[0] (notiflux).signing_keys[0]") || strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// packedKey is a key in base64, in lines as base64(1) makes them if breaks.
func packedKey(key string, breaks bool) string {
	b := base64.StdEncoding.EncodeToString([]byte(key))
	if !breaks {
		return b
	}
	var lines strings.Builder
	for line := range slices.Chunk([]byte(b), 76) {
		lines.Write(append(line, '\n'))
	}
	return lines.String()
}
