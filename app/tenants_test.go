package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/tenant"
)

// administered are settings with an operator and a master key.
func administered(t *testing.T) *config.Config {
	c := settings(t)
	c.Admin = config.Admin{User: "ann", Password: "open sesame", MasterKey: config.Secret(tenant.NewMasterKey())}
	return c
}

// admin makes a request of the operator.
func admin(t *testing.T, a *app.App, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+a.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("ann", "open sesame")
	return answer(t, r)
}

func answer(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// made is an app as the API answers.
type made struct {
	App struct {
		ID          int64
		Revision    uint64
		PublishKeys []struct{ ID, Key string }
		SigningKeys []struct{ ID, Alg, Secret string }
	}
}

func readMade(t *testing.T, text string) *made {
	t.Helper()
	var m made
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return &m
}

func publishAs(t *testing.T, a *app.App, key string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+a.Addr().String()+"/publish", strings.NewReader(`{"channel":"c","event":"e"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	status, _ := answer(t, r)
	return status
}

// connectAs connects with a token by the app's newest signing key.
func connectAs(t *testing.T, a *app.App, m *made) (*websocket.Conn, error) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(m.App.SigningKeys[0].Secret)
	if err != nil {
		t.Fatal(err)
	}
	i, err := auth.NewIssuer(earshot.SigningKey{ID: m.App.SigningKeys[0].ID, Alg: m.App.SigningKeys[0].Alg, Key: raw})
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Issue(fmt.Appendf(nil, `{"scope":"connect","exp":%d}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+a.Addr().String()+"/v1?token="+token, nil)
	return c, err
}

// TestApps makes an app while the server runs, uses it, restarts the server on
// its data, and switches the app off under a client.
func TestApps(t *testing.T) {
	c := administered(t)
	first, err := app.New(c, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	up(t, first)
	status, text := admin(t, first, http.MethodPost, "/admin/apps", `{"slug":"shop","channels":[{"match":"live-*","live":true}]}`)
	if status != http.StatusCreated {
		t.Fatal(status, text)
	}
	m := readMade(t, text)
	eventually(t, "the new key publishes", func() bool { return publishAs(t, first, m.App.PublishKeys[0].Key) == http.StatusAccepted })
	if err := first.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}

	a := up(t, start(t, c, app.Options{}))
	if status := publishAs(t, a, m.App.PublishKeys[0].Key); status != http.StatusAccepted {
		t.Error("after the restart the key publishes with", status)
	}
	conn, err := connectAs(t, a, m)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, _, err := conn.Read(context.Background()); err != nil {
				ended <- err
				return
			}
		}
	}()
	if status, text := admin(t, a, http.MethodPatch, "/admin/apps/shop", `{"active":false}`); status != http.StatusOK || strings.Contains(text, "(hidden)") || strings.Contains(text, m.App.SigningKeys[0].Secret) {
		t.Error(status, text)
	}
	select {
	case err := <-ended:
		var closed websocket.CloseError
		if !errors.As(err, &closed) {
			t.Error("the connection ended without a close:", err)
		}
	case <-time.After(time.Second):
		t.Error("a disabled app's connection lives on after a second")
	}
	if status := publishAs(t, a, m.App.PublishKeys[0].Key); status != http.StatusUnauthorized {
		t.Error("a disabled app publishes:", status)
	}
	if _, err := connectAs(t, a, m); err == nil {
		t.Error("a disabled app's client connects")
	}
	if status := publishAs(t, a, publishKey); status != http.StatusAccepted {
		t.Error("the app of the settings:", status)
	}
}

// eventually waits for what another goroutine does within a second.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("not within a second: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestAdmin is the table of the admin API.
func TestAdmin(t *testing.T) {
	a := up(t, start(t, administered(t), app.Options{Open: inMemory}))
	_, text := admin(t, a, http.MethodPost, "/admin/apps", `{"slug":"shop","name":"Shop"}`)
	m := readMade(t, text)
	for _, c := range []struct {
		method, path, body string
		status             int
		want, not          string
	}{
		{"GET", "/admin/apps", "", 200, `"slug":"shop"`, m.App.SigningKeys[0].Secret},
		{"GET", "/admin/apps/shop", "", 200, `"name":"Shop"`, m.App.SigningKeys[0].Secret},
		{"GET", "/admin/apps/none", "", 404, "APP_NOT_FOUND", ""},
		{"GET", "/admin/apps/main", "", 404, "APP_NOT_FOUND", ""},
		{"POST", "/admin/apps", `{"slug":"shop"}`, 409, "SLUG_TAKEN", ""},
		{"POST", "/admin/apps", `{"slug":"main"}`, 409, "SLUG_TAKEN", ""},
		{"POST", "/admin/apps", `{"slug":"publish"}`, 409, "SLUG_TAKEN", ""},
		{"POST", "/admin/apps", `{"slug":"No"}`, 400, "SLUG", ""},
		{"POST", "/admin/apps", `{"slug":"x","hots":["a"]}`, 400, "MEMBER_UNKNOWN", ""},
		{"POST", "/admin/apps", `{"slug":1}`, 400, "MEMBER_TYPE", ""},
		{"POST", "/admin/apps", `{"slug":"x"`, 400, "JSON", ""},
		{"POST", "/admin/apps", `[]`, 400, "MEMBER_TYPE", ""},
		{"POST", "/admin/apps", `{"slug":"x","channels":[{"match":"a","open":["all"]}]}`, 400, "CHANNEL_RULE", ""},
		{"POST", "/admin/apps", `{"slug":"x","signingKeys":[{"id":"k","alg":"HS256","secret":"(hidden)"}]}`, 400, "SECRET_HIDDEN", ""},
		{"POST", "/admin/apps", `{"slug":"x","signingKeys":[{"id":"k","alg":"none","publicKey":"x"}]}`, 400, "unknown algorithm", ""},
		{"POST", "/admin/apps", `{"slug":"x","publishKeys":[{"key":"short"}]}`, 400, "PUBLISH_KEY", "short"},
		{"POST", "/admin/apps", `{"name":"` + strings.Repeat("x", 140<<10) + `"}`, 413, "BODY_TOO_LARGE", ""},
		{"PATCH", "/admin/apps/shop?revision=1", `{"name":"Other"}`, 409, "REVISION", ""},
		{"PATCH", "/admin/apps/shop?revision=x", `{"name":"Other"}`, 400, "REVISION", ""},
		{"PATCH", "/admin/apps/shop", `{"removeKeys":["nope"]}`, 400, "KEY_NOT_FOUND", ""},
		{"PATCH", "/admin/apps/shop", `{"name":"Other"}`, 200, `"name":"Other"`, m.App.SigningKeys[0].Secret},
		{"POST", "/admin/apps/shop/rotate", `{"kind":"nope"}`, 400, "KIND", ""},
		{"POST", "/admin/apps/shop/rotate", `{"kind":"signingKey"}`, 200, `"secret":"`, m.App.SigningKeys[0].Secret},
		{"POST", "/admin/apps/shop/export", "", 200, m.App.SigningKeys[0].Secret, ""},
		{"GET", "/admin/audit", "", 200, `"action":"rotate signingKey"`, m.App.SigningKeys[0].Secret},
		{"DELETE", "/admin/apps/shop?revision=1", "", 409, "REVISION", ""},
		{"DELETE", "/admin/apps/shop", "", 204, "", ""},
		{"POST", "/admin/apps", `{"slug":"shop"}`, 409, "SLUG_USED", ""},
		{"POST", "/admin/apps", `{"slug":"shop","reuse":true}`, 201, `"slug":"shop"`, ""},
	} {
		status, text := admin(t, a, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(text, c.want) || c.not != "" && strings.Contains(text, c.not) {
			t.Errorf("%s %s %.60s: %d %s, want %d %s", c.method, c.path, c.body, status, text, c.status, c.want)
		}
	}
	if status, text := get(t, a, "/admin/apps"); status != http.StatusUnauthorized || !strings.Contains(text, "OPERATOR") {
		t.Errorf("without a password: %d %s", status, text)
	}
	off := up(t, start(t, settings(t), app.Options{Open: inMemory}))
	if status, text := admin(t, off, http.MethodGet, "/admin/apps", ""); status != http.StatusNotFound || !strings.Contains(text, "ADMIN_OFF") {
		t.Errorf("without an operator: %d %s", status, text)
	}
}
