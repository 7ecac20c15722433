package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/tenant"
)

func first(a, _ string) string { return a }

// TestApp leads an app through its life on a development server, by the command
// line.
func TestApp(t *testing.T) {
	data := t.TempDir()
	server, f := dev(t, data)
	devJSON := filepath.Join(data, "dev.json")
	app := func(code int, args ...string) (out, errs string) {
		t.Helper()
		return run(t, code, append([]string{"app", args[0], "--dev", devJSON}, args[1:]...)...)
	}
	parse := func(text string) *client.App {
		t.Helper()
		var a client.App
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return &a
	}
	out, _ := app(0, "create", "shop", "--name", "The shop", "--live", "live-*")
	made := parse(out)
	key := made.PublishKeys[0].Key
	publishSoon(t, f.URL, key, 0)
	if out, _ := app(0, "list"); !strings.HasPrefix(out, "shop\t2\tThe shop\tactive\t") {
		t.Errorf("listed %q", out)
	}
	if out, _ := app(0, "show", "shop"); strings.Contains(out, key) || strings.Contains(out, made.SigningKeys[0].Secret) || parse(out).Channels[0].Match != "live-*" {
		t.Errorf("shown is %s", out)
	}
	rotated, _ := app(0, "rotate", "shop", "--kind", "signingKey")
	if a := parse(rotated); len(a.SigningKeys) != 2 || a.SigningKeys[0].Secret == "" || a.SigningKeys[1].Secret != "" {
		t.Errorf("rotated to %s", rotated)
	}
	if _, errs := app(1, "update", "shop", "--name", "x", "--revision", "1"); !strings.Contains(errs, "REVISION") {
		t.Errorf("an old revision: %s", errs)
	}
	exported, _ := app(0, "export", "shop")
	file := filepath.Join(data, "shop.json")
	if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	app(0, "delete", "shop")
	app(1, "show", "shop")
	app(0, "import", "--reuse", file)
	publishSoon(t, f.URL, key, 0)
	bounded := parse(first(app(0, "update", "shop", "--owner", "ann", "--require-tls", "--client-rate", "2.5", "--connections", "7", "--replay-size", "5", "--replay-for", "1m")))
	if bounded.Owners[0] != "ann" || !bounded.RequireTLS || *bounded.Limits != (client.AppLimits{ClientRate: 2.5, Connections: 7}) || *bounded.Replay != (client.AppReplay{Size: 5, Seconds: 60}) {
		t.Errorf("bounded is %+v", bounded)
	}
	bounded = parse(first(app(0, "update", "shop", "--no-require-tls", "--connections", "0", "--replay-size", "0")))
	if bounded.RequireTLS || *bounded.Limits != (client.AppLimits{ClientRate: 2.5}) || bounded.Replay != nil || bounded.Owners[0] != "ann" {
		t.Errorf("bounded is %+v", bounded)
	}
	made = parse(first(app(0, "create", "other", "--key", "other-key", "--server-rate", "3", "--key-signed", "--replay-size", "2", "--replay-for", "2m")))
	if made.Key != "other-key" || made.Limits.ServerRate != 3 || !made.KeySigned || made.Replay.Seconds != 120 {
		t.Errorf("made is %+v", made)
	}
	if out, _ := app(0, "update", "shop", "--disable"); parse(out).Active {
		t.Error("it is not disabled")
	}
	publishSoon(t, f.URL, key, 1)
	audit, _ := app(0, "audit")
	for _, action := range []string{"create", "rotate signingKey", "export", "delete", "update"} {
		if !strings.Contains(audit, "\tadmin\t127.0.0.1\t"+action+"\tshop\tdone\n") {
			t.Errorf("%s is not in the audit trail\n%s", action, audit)
		}
	}
	if _, errs := run(t, 1, "app", "list", "--dev", devJSON, "--password", "wrong"); !strings.Contains(errs, "OPERATOR") {
		t.Errorf("a wrong password: %s", errs)
	}
	if code := server.end(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}

// publishSoon publishes with a key until that ends with a code: within a second,
// since a change of the key's app counts then.
func publishSoon(t *testing.T, url, key string, code int) {
	t.Helper()
	for deadline := time.Now().Add(time.Second); ; {
		c := begin(t, "", nil, "publish", "--url", url, "--key", key, "c", "e")
		if <-c.code == code {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a second, publishing does not end with %d: %s%s", code, c.out, c.err)
		}
	}
}

func TestAppKeys(t *testing.T) {
	out, _ := run(t, 0, "app", "master-key")
	if _, err := tenant.NewKeyring(out); err != nil {
		t.Error(err)
	}
	c := begin(t, "open sesame\n", nil, "app", "password")
	if code := <-c.code; code != 0 || !strings.HasPrefix(c.out.String(), "$argon2id$v=19$") {
		t.Errorf("%d, %s", code, c.out)
	}
	run(t, 1, "app", "password")
}
