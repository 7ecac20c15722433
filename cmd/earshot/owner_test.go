package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/client"
)

// TestOwner leads an owner through his life, by the command line: he sees his app
// and no other.
func TestOwner(t *testing.T) {
	data := t.TempDir()
	server, _ := dev(t, data)
	devJSON := filepath.Join(data, "dev.json")
	cmd := func(code int, args ...string) string {
		t.Helper()
		out, errs := run(t, code, append(args, "--dev", devJSON)...)
		return out + errs
	}
	parse := func(text string) (given client.GivenOwner) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &given); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return given
	}
	made := parse(cmd(0, "owner", "create", "eve@example.com"))
	if made.Owner.Name != "eve@example.com" || made.Password == "" || made.Token == "" {
		t.Errorf("made is %+v", made)
	}
	if said := cmd(1, "owner", "create", "eve@example.com"); !strings.Contains(said, "OWNER_TAKEN") {
		t.Errorf("made twice: %s", said)
	}
	if list := cmd(0, "owner", "list"); !strings.HasPrefix(list, "eve@example.com\t20") || strings.Count(list, "\n") != 1 {
		t.Errorf("listed %q", list)
	}
	cmd(0, "app", "create", "hers", "--owner", "eve@example.com")
	cmd(0, "app", "create", "theirs")
	for _, login := range [][]string{{"--token", made.Token}, {"--user", "eve@example.com", "--password", made.Password}} {
		if shown := cmd(0, append([]string{"app", "show", "hers"}, login...)...); !strings.Contains(shown, `"slug": "hers"`) {
			t.Errorf("hers: %s", shown)
		}
		if said := cmd(1, append([]string{"app", "show", "theirs"}, login...)...); !strings.Contains(said, "APP_NOT_FOUND") {
			t.Errorf("theirs: %s", said)
		}
		if said := cmd(1, append([]string{"app", "delete", "hers"}, login...)...); !strings.Contains(said, "OPERATOR_ONLY") {
			t.Errorf("an owner deletes: %s", said)
		}
	}
	out, errs := run(t, 1, "owner", "reset", "eve@example.com", "--bring", "--dev", devJSON)
	if !strings.Contains(out+errs, "standard input has no password") {
		t.Errorf("a reset without a password: %s%s", out, errs)
	}
	c := begin(t, "a password of her own\n", nil, "owner", "reset", "eve@example.com", "--bring", "--dev", devJSON)
	if code := <-c.code; code != 0 {
		t.Fatalf("a reset: %d %s%s", code, c.out, c.err)
	}
	if given := parse(c.out.String()); given.Password != "" || given.Token == "" || given.Token == made.Token {
		t.Errorf("given %+v", given)
	}
	cmd(0, "app", "show", "hers", "--user", "eve@example.com", "--password", "a password of her own")
	if said := cmd(1, "app", "show", "hers", "--token", made.Token); !strings.Contains(said, "OPERATOR") {
		t.Errorf("the old token: %s", said)
	}
	cmd(0, "owner", "delete", "eve@example.com")
	if said := cmd(1, "owner", "delete", "eve@example.com"); !strings.Contains(said, "OWNER_NOT_FOUND") {
		t.Errorf("deleted twice: %s", said)
	}
	if list := cmd(0, "owner", "list"); list != "" {
		t.Errorf("listed %q", list)
	}
	if code := server.end(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}
