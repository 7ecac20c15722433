package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/tenant"
)

// TestAdmin reads who may administer from the file, from files that it names
// and from the environment, and shows none of it.
func TestAdmin(t *testing.T) {
	dir := t.TempDir()
	file, master := filepath.Join(dir, "earshot.toml"), tenant.NewMasterKey()
	for path, text := range map[string]string{
		file: "[admin]\nuser = \"ann\"\npassword = \"env:PASS\"\nmaster_key = \"file:master\"\n", filepath.Join(dir, "master"): master + "\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := config.Default()
	if err := c.Load(file, config.Environment{"PASS=open sesame", "EARSHOT_ADMIN_TOKEN=tok"}); err != nil {
		t.Fatal(err)
	}
	if c.Admin.User != "ann" || string(c.Admin.Password) != "open sesame" || string(c.Admin.Token) != "tok" || string(c.Admin.MasterKey) != master {
		t.Error("a secret is not what was set")
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	var out strings.Builder
	if err := c.Print(&out); err != nil || strings.Contains(out.String(), master) || strings.Contains(out.String(), "sesame") {
		t.Errorf("%v, or a secret is printed", err)
	}

	other := config.Default()
	err := other.Load("", config.Environment{"EARSHOT_MASTER_KEY=short", "EARSHOT_ADMIN_USER=ann"})
	if err != nil {
		t.Fatal(err)
	}
	err = other.Check()
	if err == nil || !strings.Contains(err.Error(), "admin.master_key") || !strings.Contains(err.Error(), "admin: ") || strings.Contains(err.Error(), "short") {
		t.Errorf("%v: want two problems", err)
	}
}
