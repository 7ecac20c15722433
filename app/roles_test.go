package app_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/usage"
)

// as makes a request with an Authorization.
func as(t *testing.T, a *app.App, authorization, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+a.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	var from [4]byte
	_, _ = rand.Read(from[:])
	r.Header.Set("X-Forwarded-For", netip.AddrFrom4(from).String()) // where it is believed, each is another address
	return answer(t, r)
}

// owner makes an owner, and returns his Authorization.
func owner(t *testing.T, a *app.App, name string) string {
	t.Helper()
	status, text := admin(t, a, http.MethodPost, "/admin/owners", fmt.Sprintf(`{"name":%q}`, name))
	var given struct{ Token, Password string }
	if err := json.Unmarshal([]byte(text), &given); err != nil || status != http.StatusCreated || given.Token == "" || given.Password == "" {
		t.Fatalf("%d %s", status, text)
	}
	return "Bearer " + given.Token
}

// A cell is what one role is answered.
type cell struct {
	status int
	// want must be in the answer, not must not.
	want, not string
}

// rights is who may what: the table of package api's comment. The slug %s of a path
// is of an app that names the owner eve, or of one that names bob. What is done
// with %s is done in this order, to an app that the operator made for the test.
var rights = []struct {
	pattern, path, body string
	// operator is of either app; own is eve and her app, foreign eve and bob's.
	// Where the path has no app, foreign is not looked at.
	operator, own, foreign cell
}{
	{"GET /admin/me", "/admin/me", "", cell{200, `"role":"operator"`, ""}, cell{200, `{"name":"eve","role":"owner"}`, ""}, cell{}},
	{"GET /admin/apps", "/admin/apps", "", cell{200, `"slug":"bobs"`, ""}, cell{200, `"slug":"eves"`, "bobs"}, cell{}},
	{"POST /admin/apps", "/admin/apps", `{"slug":"fresh-%d"}`, cell{201, `"slug":"fresh-0"`, ""}, forbidden, cell{}},
	{"GET /admin/owners", "/admin/owners", "", cell{200, `"name":"eve"`, `$argon2`}, forbidden, cell{}},
	{"POST /admin/owners", "/admin/owners", `{"name":"new-%d"}`, cell{201, `"token":"eow_`, `$argon2`}, forbidden, cell{}},
	{"POST /admin/owners/{name}/reset", "/admin/owners/new-0/reset", "", cell{200, `"token":"eow_`, `$argon2`}, forbidden, cell{}},
	{"DELETE /admin/owners/{name}", "/admin/owners/new-0", "", cell{204, "", ""}, forbidden, cell{}},
	{"GET /admin/apps/{slug}", "/admin/apps/%s", "", cell{200, `"slug":"%s"`, ""}, cell{200, `"slug":"%s"`, ""}, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"name":"Another name"}`, cell{200, "Another name", ""}, cell{200, "Another name", ""}, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"origins":["https://a.example"],"audience":"a","issuer":"i","expiryCloses":true}`, cell{200, "a.example", ""}, cell{200, "a.example", ""}, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"channels":[{"match":"*","live":true}],"requireTls":false,"keySigned":false,"replay":{}}`, cell{200, `"live":true`, ""}, cell{200, `"live":true`, ""}, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"addAccessKeys":[{"id":"AK%[1]s","secret":"0123456789012345678901234567890123456789"}]}`, cell{200, "AK%s", "0123456789"}, cell{200, "AK%s", "0123456789"}, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"addAccessKeys":[{"id":"AKthird","secret":"0123456789012345678901234567890123456789"}]}`, cell{409, "third", ""}, cell{409, "TAKEN", "third"}, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"removeKeys":["AK%[1]s"]}`, cell{200, "%s", "AK%s"}, cell{200, "%s", "AK%s"}, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"active":true}`, cell{200, "%s", ""}, forbidden, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"hosts":["%[1]s.example"]}`, cell{200, "%s.example", ""}, forbidden, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"limits":{"connections":5}}`, cell{200, `"connections":5`, ""}, forbidden, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"owners":["eve","bob"]}`, cell{200, `"owners"`, ""}, forbidden, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"name":"x","limits":{}}`, cell{200, "%s", ""}, forbidden, none},
	{"PATCH /admin/apps/{slug}", "/admin/apps/%s", `{"slug":"other"}`, cell{400, "MEMBER_UNKNOWN", ""}, cell{400, "MEMBER_UNKNOWN", ""}, none},
	{"POST /admin/apps/{slug}/rotate", "/admin/apps/%s/rotate", `{"kind":"publishKey"}`, cell{200, `"key":"`, ""}, cell{200, `"key":"`, ""}, none},
	{"POST /admin/apps/{slug}/rotate", "/admin/apps/%s/rotate", `{"kind":"secret","finish":true}`, cell{200, "%s", ""}, cell{200, "%s", ""}, none},
	{"POST /admin/apps/{slug}/export", "/admin/apps/%s/export", "", cell{200, `"secret":"`, ""}, cell{200, `"secret":"`, ""}, none},
	{"GET /admin/apps/{slug}/usage", "/admin/apps/%s/usage?granularity=day", "", cell{200, `"app":"%s"`, ""}, cell{200, `"app":"%s"`, ""}, none},
	{"GET /admin/apps/{slug}/usage.csv", "/admin/apps/%s/usage.csv", "", cell{200, "start,messagesIn", ""}, cell{200, "start,messagesIn", ""}, none},
	{"GET /admin/apps/{slug}/figures", "/admin/apps/%s/figures", "", cell{200, `"connections":0`, ""}, cell{200, `"connections":0`, ""}, none},
	{"GET /admin/apps/{slug}/channels", "/admin/apps/%s/channels", "", cell{200, `"channels":[]`, ""}, cell{200, `"channels":[]`, ""}, none},
	{"GET /api/admin/apps/{slug}/usage", "/api/admin/apps/%s/usage", "", cell{200, `"app":"%s"`, ""}, forbidden, forbidden},
	{"GET /api/admin/apps/{slug}/usage.csv", "/api/admin/apps/%s/usage.csv", "", cell{200, "start,messagesIn", ""}, forbidden, forbidden},
	{"GET /admin/audit", "/admin/audit", "", cell{200, `"app":"bobs"`, ""}, cell{200, `"app":"eves"`, "bobs"}, cell{}},
	{"GET /admin/audit", "/admin/audit?app=%s", "", cell{200, `"app":"%s"`, ""}, cell{200, `"app":"%s"`, ""}, none},
	{"GET /admin/audit.csv", "/admin/audit.csv?app=%s", "", cell{200, ",%s,", ""}, cell{200, ",%s,", ""}, none},
	{"DELETE /admin/apps/{slug}", "/admin/apps/%s", "", cell{}, forbidden, forbidden},
}

var (
	forbidden = cell{403, "OPERATOR_ONLY", ""}
	none      = cell{404, "APP_NOT_FOUND", ""}
)

// TestRights: every role, deed, and own and foreign app.
func TestRights(t *testing.T) {
	settings := administered(t)
	settings.Server.TrustedProxies = []string{"127.0.0.1"}
	a := up(t, start(t, settings, app.Options{Open: inMemory}))
	eve := owner(t, a, "eve")
	owner(t, a, "bob")
	for _, slug := range []string{"eves", "bobs"} {
		body := fmt.Sprintf(`{"slug":%q,"owners":[%q]}`, slug, strings.TrimSuffix(slug, "s"))
		if status, text := admin(t, a, http.MethodPost, "/admin/apps", body); status != http.StatusCreated {
			t.Fatal(status, text)
		}
	}
	if status, text := admin(t, a, http.MethodPost, "/admin/apps", `{"slug":"third","accessKeys":[{"id":"AKthird","secret":"0123456789012345678901234567890123456789"}]}`); status != http.StatusCreated {
		t.Fatal(status, text)
	}
	soon(t, "eve's app is hers", func() bool {
		_, text := as(t, a, eve, http.MethodGet, "/admin/apps", "")
		return strings.Contains(text, "eves")
	})
	covered := map[string]bool{}
	for i, c := range rights {
		covered[c.pattern] = true
		method, _, _ := strings.Cut(c.pattern, " ")
		fill := func(text, slug string) string {
			switch {
			case strings.Contains(text, "%d"):
				return fmt.Sprintf(text, 0)
			case strings.Contains(text, "%"):
				return fmt.Sprintf(text, slug)
			}
			return text
		}
		expect := func(who, authorization, slug string, want cell) {
			t.Helper()
			if want.status == 0 {
				return
			}
			status, text := as(t, a, authorization, method, fill(c.path, slug), fill(c.body, slug))
			if status != want.status || !strings.Contains(text, fill(want.want, slug)) || want.not != "" && strings.Contains(text, fill(want.not, slug)) {
				t.Errorf("%d: %s: %s %s %s: %d %.300s, want %+v", i, who, method, fill(c.path, slug), c.body, status, text, want)
			}
		}
		expect("eve, her own", eve, "eves", c.own)
		if strings.Contains(c.path, "%s") {
			expect("eve, bob's", eve, "bobs", c.foreign)
			expect("eve, nobody's", eve, "nobodys", c.foreign)
			if strings.Contains(c.body, "owners") {
				continue // both are hers from then on
			}
			expect("the operator, bob's", basicOf("ann", "open sesame"), "bobs", c.operator)
			if !strings.Contains(c.body, "AK") { // that key eve has dealt with
				expect("the operator, eve's", basicOf("ann", "open sesame"), "eves", c.operator)
			}
		} else {
			expect("the operator", basicOf("ann", "open sesame"), "", c.operator)
		}
		for who, authorization := range map[string]string{"nobody": "", "a stranger": "Bearer eow_ZXZl.wrong", "a publisher": "Bearer " + publishKey} {
			expect(who, authorization, "eves", cell{status: 401})
		}
	}
	for _, slug := range []string{"eves", "bobs"} {
		if status, text := admin(t, a, http.MethodDelete, "/admin/apps/"+slug, ""); status != http.StatusNoContent {
			t.Errorf("the operator deletes %s: %d %s", slug, status, text)
		}
	}
	for _, pattern := range patterns() {
		if !covered[pattern] {
			t.Errorf("%s is not in the table", pattern)
		}
	}
}

// patterns are all routes that somebody administers by.
func patterns() (all []string) {
	served := api.New(api.Deps{Usage: usage.NewStore(nil), Live: &usage.Live{}})
	served.Routes(func(pattern string, _ http.Handler) {
		if strings.Contains(pattern, "/admin/") {
			all = append(all, pattern)
		}
	})
	return all
}

func basicOf(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// TestOwnerOfSettings: an app of the settings may have owners too, who see how it
// is used.
func TestOwnerOfSettings(t *testing.T) {
	c := administered(t)
	c.Apps[0].Owners = []string{"eve"}
	a := up(t, start(t, c, app.Options{Open: inMemory}))
	eve, bob := owner(t, a, "eve"), owner(t, a, "bob")
	for path, want := range map[string]int{"/admin/apps/main/usage": 200, "/admin/apps/main/figures": 200, "/admin/apps/main/channels": 200, "/admin/apps/main": 404} {
		if status, text := as(t, a, eve, http.MethodGet, path, ""); status != want {
			t.Errorf("eve, %s: %d %s", path, status, text)
		}
		if status, _ := as(t, a, bob, http.MethodGet, path, ""); status != http.StatusNotFound {
			t.Errorf("bob, %s: %d", path, status)
		}
	}
	if status, text := as(t, a, eve, http.MethodPatch, "/admin/apps/main", `{"name":"x"}`); status != http.StatusNotFound {
		t.Errorf("%d %s", status, text)
	}
	if status, text := as(t, a, eve, http.MethodGet, "/admin/audit?app=main", ""); status != 200 || !strings.Contains(text, `"entries":[]`) {
		t.Errorf("%d %s", status, text)
	}
	if status, text := admin(t, a, http.MethodGet, "/admin/apps/nobodys/figures", ""); status != http.StatusNotFound {
		t.Errorf("%d %s", status, text)
	}
	for _, name := range []string{"ann", "token"} {
		if status, text := admin(t, a, http.MethodPost, "/admin/owners", fmt.Sprintf(`{"name":%q}`, name)); status != http.StatusConflict {
			t.Errorf("an owner with the operator's name %q: %d %s", name, status, text)
		}
	}
}

// TestAuditOfOwner: what an owner did stands under his name and role, and another
// owner of the app sees it.
func TestAuditOfOwner(t *testing.T) {
	a := up(t, start(t, administered(t), app.Options{Open: inMemory}))
	eve, bob := owner(t, a, "eve"), owner(t, a, "bob")
	if status, text := admin(t, a, http.MethodPost, "/admin/apps", `{"slug":"shop","owners":["eve","bob"],"name":"=HYPERLINK(1)"}`); status != http.StatusCreated {
		t.Fatal(status, text)
	}
	if status, text := as(t, a, eve, http.MethodPatch, "/admin/apps/shop", `{"name":"Eve's shop"}`); status != http.StatusOK {
		t.Fatal(status, text)
	}
	type entry struct {
		By            struct{ Name, Role string }
		Action        string
		Before, After struct{ Name string }
	}
	var got struct{ Entries []entry }
	soon(t, "the app is bob's", func() bool {
		_, text := as(t, a, bob, http.MethodGet, "/admin/audit", "")
		return json.Unmarshal([]byte(text), &got) == nil && len(got.Entries) > 0
	})
	var told []string
	for _, e := range got.Entries {
		told = append(told, fmt.Sprintf("%s %s %s: %s, %s", e.By.Role, e.By.Name, e.Action, e.Before.Name, e.After.Name))
	}
	want := []string{"owner eve update: =HYPERLINK(1), Eve's shop", "operator ann create: , =HYPERLINK(1)"}
	if !slices.Equal(told, want) {
		t.Errorf("%q\nwant %q", told, want)
	}
	for query, want := range map[string][]string{"actor=eve": want[:1], "actor=ann": want[1:], "to=2020-01-01": nil, "from=2020-01-01T00:00:00Z": want} {
		_, text := as(t, a, bob, http.MethodGet, "/admin/audit?"+query, "")
		if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Entries) != len(want) {
			t.Errorf("%s: %s, want %q", query, text, want)
		}
	}
	for query, reason := range map[string]string{"from=yesterday": "TIMES", "from=2026-01-02&to=2026-01-01": "TIMES", "format=xml": "FORMAT"} {
		if status, text := as(t, a, bob, http.MethodGet, "/admin/audit?"+query, ""); status != 400 || !strings.Contains(text, reason) {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
	_, text := admin(t, a, http.MethodGet, "/admin/audit?format=csv", "")
	if lines := strings.Split(strings.TrimSpace(text), "\r\n"); len(lines) != 5 || !strings.HasPrefix(lines[0], "id,at,name,role,") || !strings.Contains(lines[3], "create owner,,bob,done") {
		t.Errorf("%q", lines)
	}
}

// soon waits until something is so, where how long that takes is not the question.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
