package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/config"
)

// An eplApp is one as Ex Pusher Lite answers.
type eplApp struct {
	ID                      int64
	Name, Slug, Key, Secret string
	Active                  bool
}

// ask makes a request with credentials; form is the body.
func ask(t *testing.T, method, at, user, password, form string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, at, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// listed are the apps of a development server.
func listed(t *testing.T, f *devFile) map[string]eplApp {
	t.Helper()
	code, text := ask(t, "GET", f.URL+"api/admin/apps", f.AdminUser, f.AdminPassword, "")
	var got struct{ Data []eplApp }
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	all := map[string]eplApp{}
	for _, a := range got.Data {
		all[a.Slug] = a
	}
	return all
}

// TestDevTestApp: a development server has the app of Ex Pusher Lite's own
// documentation, the operator of its environment, and keeps what is made of both.
func TestDevTestApp(t *testing.T) {
	data := t.TempDir()
	env := config.Environment{"PUSHER_ADMIN_USERNAME=pusher_admin_username", "PUSHER_ADMIN_PASSWORD=pusher_admin_password"}
	server, f := devIn(t, data, env)
	if f.AdminUser != "pusher_admin_username" || f.AdminPassword != "pusher_admin_password" {
		t.Errorf("the operator is %s", f.AdminUser)
	}
	want := eplApp{1, "Test App", "test-app", "test-app-fake-key", "test-app-fake-secret", true}
	if got := listed(t, f); len(got) != 1 || got["test-app"] != want {
		t.Errorf("there is %+v", got)
	}
	event := url.Values{"topic": {"t"}, "event": {"e"}, "scope": {"public"}}.Encode()
	if code, text := ask(t, "POST", f.URL+"api/apps/test-app/events", "test-app-fake-key", "test-app-fake-secret", event); code != 200 || text != "{}" {
		t.Errorf("an event is answered with %d %s", code, text)
	}
	code, _ := ask(t, "POST", f.URL+"api/admin/apps", f.AdminUser, f.AdminPassword, "app[name]=foo-app")
	if code != 201 {
		t.Errorf("foo-app: %d", code)
	}
	made := listed(t, f)
	server.end()

	// Without the variables the operator is the server's own again; the apps stay.
	server, f = dev(t, data)
	if f.AdminUser != "admin" || f.AdminPassword == "pusher_admin_password" {
		t.Errorf("the operator is %s", f.AdminUser)
	}
	if got := listed(t, f); len(got) != 2 || got["test-app"] != want || got["foo-app"] != made["foo-app"] {
		t.Errorf("after a restart there is %+v", got)
	}
	if info, err := os.Stat(filepath.Join(data, devAdmin)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the master key: %v, %v", info, err)
	}
	if code, _ := ask(t, "PUT", f.URL+"api/admin/apps/test-app", f.AdminUser, f.AdminPassword, "app[name]=My own app"); code != 200 {
		t.Errorf("renaming: %d", code)
	}
	server.end()

	// What was renamed or deleted does not come back.
	server, f = dev(t, data)
	if got := listed(t, f); len(got) != 2 || got["my-own-app"].Key != want.Key {
		t.Errorf("after a rename there is %+v", got)
	}
	if code, _ := ask(t, "DELETE", f.URL+"api/admin/apps/my-own-app", f.AdminUser, f.AdminPassword, ""); code != 204 {
		t.Errorf("deleting: %d", code)
	}
	server.end()
	if _, f = dev(t, data); len(listed(t, f)) != 1 {
		t.Errorf("after it was deleted there is %+v", listed(t, f))
	}
}

// TestServeKnownPassword: a server does not start with the password that everybody
// knows.
func TestServeKnownPassword(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, settingsFile)
	if err := os.WriteFile(file, []byte(appSettings("main")), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func(password string) *command {
		return begin(t, "", config.Environment{"PORT=0", "HOST=127.0.0.1", "EARSHOT_SERVER_DRAIN_WAIT=0s", "PUSHER_ADMIN_USERNAME=pusher_admin_username", "PUSHER_ADMIN_PASSWORD=" + password},
			"serve", "--config", file, "--data", filepath.Join(dir, "data"))
	}
	c := serve("pusher_admin_password")
	if code := <-c.code; code != 1 || !strings.Contains(c.err.String(), "admin.password: everybody knows it") {
		t.Errorf("exit code %d\n%s", code, c.err)
	}
	c = serve("another one")
	c.err.await(t, "msg=ready")
	if code := c.end(); code != 0 {
		t.Errorf("exit code %d\n%s", code, c.err)
	}
}
