package config_test

import (
	"strings"
	"testing"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
)

// TestPusher: the variables of an Ex Pusher Lite say who the operator is, but for
// Earshot's own, and its own password is nobody's outside of a developer's machine.
func TestPusher(t *testing.T) {
	c := load(t, "", "PUSHER_ADMIN_USERNAME=14e86e5f", "PUSHER_ADMIN_PASSWORD=2b94ff0f")
	if c.Admin.User != "14e86e5f" || c.Admin.Password != "2b94ff0f" {
		t.Errorf("got %s", c.Admin.User)
	}
	c = load(t, "", "PUSHER_ADMIN_USERNAME=a", "EARSHOT_ADMIN_USER=b", "PUSHER_ADMIN_PASSWORD=c", "EARSHOT_ADMIN_PASSWORD=d")
	if c.Admin.User != "b" || c.Admin.Password != "d" {
		t.Error("Earshot's own variables do not win")
	}
	for password, known := range map[string]bool{
		"pusher_admin_password": true, auth.HashPassword("pusher_admin_password"): true, "2b94ff0f": false, "": false, auth.HashPassword("other"): false,
	} {
		var env config.Environment
		if password != "" {
			env = config.Environment{"PUSHER_ADMIN_USERNAME=ann", "PUSHER_ADMIN_PASSWORD=" + password}
		}
		err := load(t, "", env...).CheckPublic()
		if (err != nil) != known || known && !strings.Contains(err.Error(), "admin.password: everybody knows it") {
			t.Errorf("%q: %v", password, err)
		}
	}
}
