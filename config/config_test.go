package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func load(t *testing.T, file string, env ...string) *config.Config {
	t.Helper()
	c := config.Default()
	if err := c.Load(file, env); err != nil {
		t.Fatal(err)
	}
	return c
}

const hookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "earshot.toml")
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.WriteFile(filepath.Join(dir, "third.key"), []byte("k3\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	c := load(t, file, "SECOND_KEY=k2", "HOOK_SECRET="+hookSecret, "EARSHOT_LIMITS_CONNECTIONS=7", "EARSHOT_SERVER_TRUSTED_PROXIES=127.0.0.1,::1", "EARSHOT_SOAK=3")
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	if c.Server.Listen != "127.0.0.1:9000" || time.Duration(c.Server.DrainWait) != 90*time.Second || c.Engine.MaxBytes != 10<<30 ||
		c.WebSocket.Queue != 2<<20 || !c.WebSocket.Compression || c.Limits.Connections != 7 || c.Limits.ConnectRate != 5000 {
		t.Errorf("got %+v", c)
	}
	if proxies, err := c.Proxies(); err != nil || len(proxies) != 2 || proxies[0].String() != "127.0.0.1/32" {
		t.Errorf("got the proxies %v, %v: the environment does not win", proxies, err)
	}
	apps, err := c.Tenants()
	if err != nil {
		t.Fatal(err)
	}
	a := apps[0]
	if a.Slug != "main" || !reflect.DeepEqual(a.PublishKeys, []string{"k1", "k2", "k3"}) || !a.ExpiryCloses || a.Audience != "me" {
		t.Errorf("got %+v", a)
	}
	if a.Name != "Main" || a.Key != "main-key" || !reflect.DeepEqual(a.Secrets, []string{"k2"}) || !reflect.DeepEqual(a.Owners, []string{"ann", "bob"}) ||
		!a.RequireTLS || !a.KeySigned || a.Replay != (earshot.Replay{Size: 20, For: 10 * time.Minute}) ||
		a.Limits != (earshot.Limits{Connections: 100, Channels: 20, MessageBytes: 8192, ClientRate: 2.5, ServerRate: 500}) {
		t.Errorf("got %+v", a)
	}
	if string(a.SigningKeys[0].Key) != "secret-secret-secret-secret-secret" {
		t.Error("the key is not decoded")
	}
	key := a.AccessKeys[0]
	if key.ID != "AK1" || key.Secret != "k2" || !key.Allows(earshot.InvokeFunction, "abc") || key.Allows(earshot.InvokeFunction, "bc") ||
		!key.Allows(earshot.ManageConnections, "any") {
		t.Errorf("got the access key %+v", key)
	}
	if len(a.Unsigned) != 2 || a.Unsigned[0].String() != "10.1.0.0/16" || a.Unsigned[1].String() != "::1/128" {
		t.Errorf("got the networks %v", a.Unsigned)
	}
	hook := a.Webhooks[0]
	if !a.RecordEvents || len(a.Webhooks) != 1 || hook.ID != "backend" || !hook.Trusted || len(hook.Secrets) != 2 || hook.Secrets[1] != hookSecret ||
		!hook.Events[0].Match("messagePublished") || !hook.Events[1].Match("memberAdded") {
		t.Errorf("got the webhook %+v", hook)
	}
	live, logged := a.Rule("prices.eu"), a.Rule("orders")
	if !live.Live || live.Open != earshot.Subscribe || logged.Live || logged.Depth != 50 || !logged.BeforeDisk {
		t.Errorf("got the rules %+v, %+v", live, logged)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	err := config.Default().Load("testdata/wrong.toml", config.Environment{
		"EARSHOT_LIMITS_CONECTIONS=1", "EARSHOT_LOG_FORMAT_=x", "EARSHOT_WEBSOCKET_COMPRESSION=maybe", "EARSHOT_SOAK=1",
	})
	var p config.Problems
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want problems", err)
	}
	golden(t, "wrong.want", p.Error()+"\n")
}

func TestUnusable(t *testing.T) {
	c := load(t, "testdata/unusable.toml")
	_, err := c.Tenants()
	golden(t, "unusable.want", c.Check().Error()+"\n"+err.Error()+"\n")
}

func TestNoApp(t *testing.T) {
	if _, err := config.Default().Tenants(); err == nil || !strings.Contains(err.Error(), "publish key and a signing key") {
		t.Errorf("got %v, want why a server without an app does not start", err)
	}
}

func TestClash(t *testing.T) {
	c := load(t, "testdata/full.toml", "SECOND_KEY=k2", "HOOK_SECRET="+hookSecret)
	c.Apps = append(c.Apps, c.Apps[0])
	if _, err := c.Tenants(); err == nil || !strings.Contains(err.Error(), "slug") {
		t.Errorf("got %v, want a clash of slugs", err)
	}
}

func TestSyntaxErrorSaysWhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(file, []byte("[server]\nlisten = \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := config.Default().Load(file, nil)
	if err == nil || !strings.HasPrefix(err.Error(), file+":2:") {
		t.Errorf("got %v, want the line", err)
	}
	if err := config.Default().Load(file+"x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the file is not there", err)
	}
}

func TestHostAndPort(t *testing.T) {
	for _, c := range []struct {
		want string
		env  []string
	}{
		{":8080", nil},
		{":9", []string{"PORT=9"}},
		{"0.0.0.0:8080", []string{"HOST=0.0.0.0"}},
		{"[::1]:9", []string{"HOST=::1", "PORT=9"}},
		{":8080", []string{"HOST=", "PORT="}},
		{":1", []string{"PORT=9", "EARSHOT_SERVER_LISTEN=:1"}},
	} {
		if got := load(t, "", c.env...).Server.Listen; got != c.want {
			t.Errorf("%v: got %s, want %s", c.env, got, c.want)
		}
	}
}

// TestDocument: what is printed can be read, and is the default.
func TestDocument(t *testing.T) {
	var b bytes.Buffer
	if err := config.Document(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if strings.TrimSpace(line) == "#" {
			t.Error("a comment is empty")
		}
	}
	file := filepath.Join(t.TempDir(), "doc.toml")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, want := load(t, file), config.Default()
	if !reflect.DeepEqual(got.Server.Listen, want.Server.Listen) || got.Engine != want.Engine || got.WebSocket != want.WebSocket ||
		got.Limits != want.Limits || got.Log != want.Log || len(got.Apps) != 1 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	golden(t, "doc.want", b.String())
}

// TestPrintHidesSecrets: what is in force is printed, and no secret of it.
func TestPrintHidesSecrets(t *testing.T) {
	c := load(t, "testdata/full.toml", "SECOND_KEY=very-secret", "HOOK_SECRET="+hookSecret)
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "print.want", b.String())
	if s := b.String(); strings.Contains(s, "very-secret") || strings.Contains(s, "c2Vj") || strings.Contains(s, "MfKQ") || strings.Contains(s, hookSecret) || strings.Contains(s, `"k1"`) {
		t.Error("a secret is printed")
	}
}

func TestSection(t *testing.T) {
	var section struct {
		Lifetime config.Duration `toml:"lifetime"`
		Name     string          `toml:"name"`
	}
	c := load(t, "testdata/full.toml", "SECOND_KEY=x", "HOOK_SECRET="+hookSecret, "EARSHOT_PROTOCOLS_HOTSOCK_NAME=n")
	if err := c.Section("hotsock")(&section); err != nil || time.Duration(section.Lifetime) != 2*time.Hour || section.Name != "n" {
		t.Errorf("got %+v, %v", section, err)
	}
	var other struct {
		Life config.Duration `toml:"life"`
	}
	if err := c.Section("hotsock")(&other); err == nil || !strings.Contains(err.Error(), "did you mean protocols.hotsock.life?") {
		t.Errorf("got %v, want the unknown key", err)
	}
	if err := c.CheckProtocols([]string{"hotsocket"}); err == nil || !strings.Contains(err.Error(), "did you mean protocols.hotsocket?") {
		t.Errorf("got %v, want the unknown protocol", err)
	}
	if err := c.Section("hotsock")(3); err == nil {
		t.Error("settings that are no struct are accepted")
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]config.Bytes{"0": 0, "17": 17, "1KiB": 1024, "2 MB": 2e6, "3GiB": 3 << 30, "9B": 9} {
		var b config.Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: got %d, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5MB", "99999999999GiB", "1TiB", "KiB"} {
		var b config.Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d, want an error", text, b)
		}
	}
	for text, want := range map[string]string{"90s": "1m30s", "60m": "1h", "0s": "0s", "2m": "2m", "10s": "10s", "1h30m": "1h30m"} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%q: got %s, %v, want %s", text, d, err, want)
		}
	}
}
