package epl_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot/tenant"
)

const (
	apps     = "/api/admin/apps"
	notFound = `{"errors":{"detail":"Page not found"}}`
	badly    = `{"errors":{"detail":"Bad Request"}}`
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// TestApps follows the table of calls in A.4.
func TestApps(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		r.want(request{method: "GET", path: apps}, 200, `{"data":[]}`)
		resp := r.do(request{method: "POST", path: apps, kind: form, body: "app[name]=Foo App"})
		if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != apps+"/foo-app" {
			t.Fatalf("created: %d, %v", resp.StatusCode, resp.Header)
		}
		made := r.answered(request{method: "GET", path: resp.Header.Get("Location")}, 200)
		if made.ID != 1 || made.Name != "Foo App" || made.Slug != "foo-app" || !made.Active || !uuid.MatchString(made.Key) || !uuid.MatchString(made.Secret) || made.Key == made.Secret {
			t.Errorf("it is %+v", made)
		}
		if a := r.directory.BySlug("foo-app"); a == nil || a.Key != made.Key || a.Secrets[0] != made.Secret || a.ID != made.ID || len(a.SigningKeys)+len(a.PublishSums) != 0 {
			t.Errorf("served is %+v as soon as it is answered", a)
		}
		other := r.made("Another app")
		if other.ID <= made.ID {
			t.Errorf("the second has the id %d", other.ID)
		}
		shown := func(a app) string {
			return fmt.Sprintf(`{"id":%d,"name":%q,"slug":%q,"key":%q,"secret":%q,"active":%t}`, a.ID, a.Name, a.Slug, a.Key, a.Secret, a.Active)
		}
		r.want(request{method: "GET", path: apps}, 200, `{"data":[`+shown(made)+`,`+shown(other)+`]}`)

		// A rename moves the URLs; id, key and secret stay.
		for _, method := range []string{"PUT", "PATCH"} {
			made.Name, made.Slug = "New "+method+" app", "new-"+strings.ToLower(method)+"-app"
			r.want(request{method: method, path: apps + "/" + "foo-app", kind: form, body: "app[name]=" + made.Name}, 200, `{"data":`+shown(made)+`}`)
			r.want(request{method: "GET", path: apps + "/foo-app"}, 404, notFound)
			if r.directory.BySlug("foo-app") != nil || r.directory.BySlug(made.Slug) == nil {
				t.Error("what is served has another slug")
			}
			made.Name, made.Slug = "Foo App", "foo-app"
			r.want(request{method: method, path: apps + "/new-" + strings.ToLower(method) + "-app", kind: inJSON, body: `{"app":{"name":"Foo App"}}`}, 200, `{"data":`+shown(made)+`}`)
		}
		// The same slug by another name.
		made.Name = "foo app!"
		r.want(request{method: "PUT", path: apps + "/foo-app", kind: inJSON, body: `{"app":{"name":"foo app!"}}`}, 200, `{"data":`+shown(made)+`}`)

		r.want(request{method: "DELETE", path: apps + "/foo-app"}, 204, "")
		if r.directory.BySlug("foo-app") != nil {
			t.Error("a deleted app is served")
		}
		r.want(request{method: "DELETE", path: apps + "/foo-app"}, 404, notFound)
		r.want(request{method: "GET", path: apps}, 200, `{"data":[`+shown(other)+`]}`)
		if again := r.made("Foo App"); again.ID <= other.ID || again.Key == made.Key {
			t.Errorf("made again it is %+v", again)
		}
	})
}

// TestChanges follows the table of rules in A.4, and of A.9: what is answered to
// each name, in each kind of body.
func TestChanges(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		taken := r.made("Taken name")
		wrong := func(field, text string) string { return `{"errors":{"` + field + `":["` + text + `"]}}` }
		long := strings.Repeat("é", 255)
		for _, c := range []struct {
			name   string // as JSON
			status int
			want   string
		}{
			{`""`, 422, wrong("name", "can't be blank")},
			{`"    "`, 422, wrong("name", "can't be blank")},
			{`"\t\n"`, 422, wrong("name", "can't be blank")},
			{`null`, 422, wrong("name", "can't be blank")},
			{`"1234"`, 422, wrong("name", "should be at least 5 character(s)")},
			{`"👨‍👩‍👧‍👦👨‍👩‍👧‍👦éé"`, 422, wrong("name", "should be at least 5 character(s)")},
			{`"12345"`, 201, ""},
			{`"` + long + `"`, 201, ""},
			{`"` + long + `x"`, 422, wrong("name", "should be at most 255 character(s)")},
			{`"` + strings.Repeat("\u0301", 3000) + `"`, 422, wrong("name", "should be at most 255 character(s)")},
			{`12345678`, 422, wrong("name", "is invalid")},
			{`true`, 422, wrong("name", "is invalid")},
			{`"two\nlines"`, 422, wrong("name", "is invalid")},
			{`"in \u001b[31mred"`, 422, wrong("name", "is invalid")},
			{`"ends\u0000here"`, 422, wrong("name", "is invalid")},
			{`["Some name"]`, 422, wrong("name", "is invalid")},
			{`{"a":"Some name"}`, 422, wrong("name", "is invalid")},
			{`"Taken name"`, 422, wrong("name", "has already been taken")},
			{`"Fixed one"`, 422, wrong("name", "has already been taken")},
			{`"taken NAME!"`, 422, wrong("slug", "has already been taken")},
			{`"Fixed"`, 422, wrong("slug", "has already been taken")},
			{`"Publish here"`, 422, wrong("slug", "has already been taken")},
			{`"!!!!!"`, 422, wrong("slug", "can't be blank")},
			{`"北京上海天"`, 422, wrong("slug", "can't be blank")},
		} {
			q := request{method: "POST", path: apps, kind: inJSON, body: `{"app":{"name":` + c.name + `}}`}
			if c.status == 201 {
				a := r.answered(q, 201)
				r.want(request{method: "DELETE", path: apps + "/" + a.Slug}, 204, "")
				continue
			}
			r.want(q, c.status, c.want)
			// A change of a name follows the same rules, but that an absent one stays.
			other := r.made("Some other app")
			q.method, q.path = "PUT", apps+"/some-other-app"
			if strings.Contains(c.want, `name":["can't be blank`) && c.name != `"\t\n"` {
				r.answered(q, 200)
			} else {
				r.want(q, c.status, c.want)
			}
			if now := r.answered(request{method: "GET", path: apps + "/some-other-app"}, 200); now != other {
				t.Errorf("%s: it is now %+v", c.name, now)
			}
			r.want(request{method: "DELETE", path: apps + "/some-other-app"}, 204, "")
		}
		if now := r.answered(request{method: "PUT", path: apps + "/taken-name", kind: inJSON, body: `{"app":{"name":"Taken name"}}`}, 200); now != taken {
			t.Errorf("its own name makes of it %+v", now)
		}
	})
}

// TestRequests are requests that cannot be carried out, in the order in which
// that is found (A.3, A.4, A.9).
func TestRequests(t *testing.T) {
	const one = apps + "/some-app"
	multi := func(fields string) string {
		return "--b\r\nContent-Disposition: form-data; " + fields + "\r\n--b--\r\n"
	}
	for name, c := range map[string]struct {
		request
		status int
		want   string
	}{
		"no app":                     {request{method: "POST", path: apps, kind: form, body: "name=Shiny"}, 400, badly},
		"app is a text":              {request{method: "POST", path: apps, kind: form, body: "app=Shiny"}, 400, badly},
		"app is null":                {request{method: "POST", path: apps, kind: inJSON, body: `{"app":null}`}, 400, badly},
		"app is a list":              {request{method: "POST", path: apps, kind: inJSON, body: `{"app":[]}`}, 400, badly},
		"no app in a change":         {request{method: "PUT", path: one, kind: form, body: "x=1"}, 400, badly},
		"no app, no such app":        {request{method: "PUT", path: apps + "/none", kind: form, body: "x=1"}, 400, badly},
		"no body":                    {request{method: "POST", path: apps}, 400, badly},
		"no body of a type":          {request{method: "POST", path: apps, kind: inJSON}, 400, badly},
		"JSON that is none":          {request{method: "POST", path: apps, kind: inJSON, body: `{"app":`}, 400, badly},
		"JSON with a name twice":     {request{method: "POST", path: apps, kind: inJSON, body: `{"app":{"name":"aaaaa","name":"bbbbb"}}`}, 400, badly},
		"JSON that is no object":     {request{method: "POST", path: apps, kind: inJSON, body: `["app"]`}, 400, badly},
		"JSON that is not UTF-8":     {request{method: "POST", path: apps, kind: inJSON, body: "{\"app\":{\"name\":\"abcde\xff\"}}"}, 400, badly},
		"a form that is none":        {request{method: "POST", path: apps, kind: form, body: "app[name]=%zz"}, 400, badly},
		"a form that is not UTF-8":   {request{method: "POST", path: apps, kind: form, body: "app[name]=abcde%ff"}, 400, badly},
		"a query that is none":       {request{method: "POST", path: apps + "?a=%zz", kind: form, body: "app[name]=Good+name"}, 400, badly},
		"a form that clashes":        {request{method: "POST", path: apps, kind: form, body: "app=1&app[name]=Good+name"}, 400, badly},
		"a form too deep":            {request{method: "POST", path: apps, kind: form, body: "app[a][b][c][d][e][f][g][h][i]=1"}, 400, badly},
		"a form of many fields":      {request{method: "POST", path: apps, kind: form, body: "app[name]=Good+name&" + strings.Repeat("x[]=1&", 1000)}, 400, badly},
		"multipart without its end":  {request{method: "POST", path: apps, kind: "multipart/form-data; boundary=b", body: "--b\r\nContent-Dis"}, 400, badly},
		"multipart without boundary": {request{method: "POST", path: apps, kind: "multipart/form-data", body: "x"}, 400, badly},
		"a file for a name":          {request{method: "POST", path: apps, kind: "multipart/form-data; boundary=b", body: multi("name=\"app[name]\"; filename=\"f\"\r\n\r\nabcdef")}, 422, `{"errors":{"name":["is invalid"]}}`},
		"nested name":                {request{method: "POST", path: apps, kind: form, body: "app[name][x]=abcdef"}, 422, `{"errors":{"name":["is invalid"]}}`},
		"two wrong fields":           {request{method: "POST", path: apps, kind: inJSON, body: `{"app":{"name":"abc","active":"maybe","hosts":["a b"]}}`}, 422, `{"errors":{"name":["should be at least 5 character(s)"],"active":["is invalid"],"hosts":["is invalid"]}}`},
		"a host that is a number":    {request{method: "POST", path: apps, kind: inJSON, body: `{"app":{"name":"abcde","host":1}}`}, 422, `{"errors":{"host":["is invalid"]}}`},
		"hosts that are a number":    {request{method: "POST", path: apps, kind: inJSON, body: `{"app":{"name":"abcde","hosts":1}}`}, 422, `{"errors":{"hosts":["is invalid"]}}`},
		"too large":                  {request{method: "POST", path: apps, kind: form, body: "app[name]=" + strings.Repeat("x", 1<<20)}, 413, `{"errors":{"detail":"Request Entity Too Large"}}`},
		"too large in JSON":          {request{method: "POST", path: apps, kind: inJSON, body: `{"x":"` + strings.Repeat("x", 1<<20)}, 413, `{"errors":{"detail":"Request Entity Too Large"}}`},
		"another type":               {request{method: "POST", path: apps, kind: "text/plain", body: "app[name]=Good name"}, 415, `{"errors":{"detail":"Unsupported Media Type"}}`},
		"no type":                    {request{method: "POST", path: apps, body: "app[name]=Good name"}, 415, `{"errors":{"detail":"Unsupported Media Type"}}`},
		"another charset":            {request{method: "POST", path: apps, kind: form + "; charset=latin1", body: "app[name]=Good name"}, 415, `{"errors":{"detail":"Unsupported Media Type"}}`},
		"a type that is none":        {request{method: "POST", path: apps, kind: "a/b/c", body: "x"}, 415, `{"errors":{"detail":"Unsupported Media Type"}}`},
		"another app":                {request{method: "GET", path: apps + "/none"}, 404, notFound},
		"an app of the settings":     {request{method: "GET", path: apps + "/fixed"}, 404, notFound},
		"what is no slug":            {request{method: "GET", path: apps + "/Some%2Fapp%00"}, 404, notFound},
		"another app to change":      {request{method: "PUT", path: apps + "/none", kind: form, body: "app[name]=Good+name"}, 404, notFound},
		"another app to delete":      {request{method: "DELETE", path: apps + "/none"}, 404, notFound},
		"another method":             {request{method: "PATCH", path: apps}, 404, notFound},
		"another method of one":      {request{method: "POST", path: one}, 404, notFound},
		"text/html":                  {request{method: "GET", path: apps, headers: []string{"Accept: text/html"}}, 406, `{"errors":{"detail":"Not Acceptable"}}`},
		"406 before 401":             {request{method: "GET", path: apps, as: nobody, headers: []string{"Accept: text/html"}}, 406, `{"errors":{"detail":"Not Acceptable"}}`},
		"401 before 404":             {request{method: "GET", path: apps + "/none", as: nobody}, 401, ""},
		"401 before 400":             {request{method: "POST", path: apps, kind: form, body: "x=1", as: "ann:wrong"}, 401, ""},
		"401 before 415":             {request{method: "POST", path: apps, kind: "text/plain", body: "x=1", as: "ann:wrong"}, 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(t *testing.T, r *rig) {
				before := r.made("Some app")
				r.want(c.request, c.status, c.want)
				r.want(request{method: "GET", path: apps}, 200, fmt.Sprintf(`{"data":[{"id":1,"name":"Some app","slug":"some-app","key":%q,"secret":%q,"active":true}]}`, before.Key, before.Secret))
			})
		})
	}
}

// TestBodies are the forms in which the same can be said (A.3).
func TestBodies(t *testing.T) {
	multipart := "--b\r\nContent-Disposition: form-data; name=\"app[name]\"\r\n\r\nShiny New App\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n"
	for name, q := range map[string]request{
		"form":                      {kind: form, body: "app[name]=Shiny New App"},
		"form, escaped":             {kind: form + "; charset=UTF-8", body: "app%5Bname%5D=Shiny+New%20App"},
		"form, the last one counts": {kind: form, body: "app[name]=Other&app[name]=Shiny New App"},
		"multipart":                 {kind: "multipart/form-data; boundary=b", body: multipart},
		"JSON":                      {kind: inJSON + "; charset=utf-8", body: `{"app":{"name":"Shiny New App"}}`},
		"JSON, other members":       {kind: inJSON, body: `{"app":{"name":"Shiny New App","id":77,"slug":"other","key":"k","secret":"s","x":[{}]}}`},
		"JSON of a kind":            {kind: "application/vnd.api+json", body: `{"app":{"name":"Shiny New App"}}`},
		"the query":                 {path: "?app[name]=Shiny+New+App"},
		"the body over the query":   {path: "?app[name]=Other+name", kind: form, body: "app[name]=Shiny New App"},
		"a slash behind the path":   {path: "/", kind: form, body: "app[name]=Shiny New App"},
		"a name in the path's":      {path: "?slug=x", kind: form, body: "slug=y&app[name]=Shiny New App"},
		"Accept anything":           {kind: form, body: "app[name]=Shiny New App", headers: []string{"Accept: text/html, */*;q=0.1"}},
		"Accept application":        {kind: form, body: "app[name]=Shiny New App", headers: []string{"Accept: application/*"}},
		"Accept in two headers":     {kind: form, body: "app[name]=Shiny New App", headers: []string{"Accept: text/html", "Accept: Application/JSON; q=0.5"}},
		"an empty Accept":           {kind: form, body: "app[name]=Shiny New App", headers: []string{"Accept: "}},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(t *testing.T, r *rig) {
				q.method, q.path = "POST", apps+q.path
				if a := r.answered(q, 201); a.ID != 1 || a.Name != "Shiny New App" || a.Slug != "shiny-new-app" || !uuid.MatchString(a.Key) || !uuid.MatchString(a.Secret) {
					t.Errorf("it is %+v", a)
				}
			})
		})
	}
	on(t, func(t *testing.T, r *rig) {
		for _, accept := range []string{"application/json;q=0", "text/html", "application/xml, text/*", "nonsense/"} {
			r.want(request{method: "GET", path: apps, headers: []string{"Accept: " + accept}}, 406, `{"errors":{"detail":"Not Acceptable"}}`)
		}
	})
}

// TestAuth follows A.3.1.
func TestAuth(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		for _, authorization := range []string{"", "Basic", "Basic !", "Bearer wrong", "Basic YW5uOndyb25n", "Digest YW5uOm9wZW4gc2VzYW1l", "YW5uOm9wZW4gc2VzYW1l", "Basic YW5u"} {
			r.want(request{method: "GET", path: apps, as: nobody, headers: []string{"Authorization: " + authorization}}, 401, "")
		}
		for _, authorization := range []string{"Basic YW5uOm9wZW4gc2VzYW1l", "basic YW5uOm9wZW4gc2VzYW1l", "BASIC YW5uOm9wZW4gc2VzYW1l", "Bearer tok"} {
			r.want(request{method: "GET", path: apps, as: nobody, headers: []string{"Authorization: " + authorization}}, 200, `{"data":[]}`)
		}
		// A limiter stands before the password; who was right once is let in on.
		limited := 0
		for range 20 {
			if resp := r.do(request{method: "GET", path: apps, as: "ann:wrong"}); resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "6" {
				limited++
			}
		}
		if limited < 10 {
			t.Errorf("%d of 20 wrong logins were limited", limited)
		}
		r.want(request{method: "GET", path: apps}, 200, `{"data":[]}`)
	})
}

// TestActive: what goes beyond the original (A.2, A.10).
func TestActive(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		q := request{method: "POST", path: apps, kind: form, body: "app[name]=Sleepy app&app[active]=false&app[hosts][]=a.example&app[hosts][]=https://b.example"}
		if a := r.answered(q, 201); a.Active || r.directory.BySlug("sleepy-app") != nil {
			t.Errorf("made asleep it is %+v", a)
		}
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			r.want(request{method: method, path: apps + "/sleepy-app", kind: inJSON, body: `{"app":{}}`}, 404, notFound)
		}
		r.want(request{method: "POST", path: apps, kind: form, body: "app[name]=Sleepy app"}, 422, `{"errors":{"name":["has already been taken"]}}`)
		if a := r.answered(request{method: "PATCH", path: apps + "/sleepy-app", kind: inJSON, body: `{"app":{"active":true}}`}, 200); !a.Active {
			t.Errorf("woken it is %+v", a)
		}
		served := r.directory.BySlug("sleepy-app")
		if served == nil || !served.AllowsOrigin("http://a.example:3000", "rt.example") || !served.AllowsOrigin("https://b.example", "rt.example") || served.AllowsOrigin("http://b.example", "rt.example") || served.AllowsOrigin("https://c.example", "rt.example") {
			t.Errorf("served is %+v", served)
		}
		for body, want := range map[string][]string{
			`{"app":{"host":"one.example"}}`:            {"//one.example"},
			`{"app":{"hosts":"*.two.example:8080"}}`:    {"//*.two.example:8080"},
			`{"app":{"hosts":null,"host":null}}`:        {"//*.two.example:8080"},
			`{"app":{"hosts":["https://x.example"]}}`:   {"https://x.example"},
			`{"app":{"hosts":[]}}`:                      nil,
			`{"app":{"host":"a.example","hosts":[""]}}`: nil,
		} {
			now := r.directory.BySlug("sleepy-app").Origins
			if want != nil && strings.Contains(body, "null") {
				want = now
			}
			r.answered(request{method: "PUT", path: apps + "/sleepy-app", kind: inJSON, body: body}, 200)
			if got := r.directory.BySlug("sleepy-app").Origins; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v", body, got)
			}
		}
		r.answered(request{method: "PUT", path: apps + "/sleepy-app", kind: form, body: "app[active]=0&app[name]=Sleepier app"}, 200)
		if r.directory.BySlug("sleepy-app") != nil || r.directory.BySlug("sleepier-app") != nil {
			t.Error("it is served while it is switched off")
		}
		r.answered(request{method: "PUT", path: apps + "/sleepier-app", kind: form, body: "app[active]=1&app[name]=Sleepy app"}, 200)
		if r.directory.BySlug("sleepy-app") == nil {
			t.Error("it is not served")
		}
	})
}

// TestOtherApps: apps that were made otherwise are there too.
func TestOtherApps(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		made, err := r.store.Create(t.Context(), tenant.Actor{Name: "x"}, &tenant.Draft{App: tenant.App{Slug: "shop", Name: "The shop", Active: true}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a := r.answered(request{method: "GET", path: apps + "/shop"}, 200)
		if a.Key != made.Key || a.Secret != string(made.Secrets[0].Secret) || a.Name != "The shop" {
			t.Errorf("it is %+v", a)
		}
		if _, err := r.store.Rotate(t.Context(), tenant.Actor{Name: "x"}, "shop", tenant.Rotation{Kind: tenant.RotateSecret}, 0); err != nil {
			t.Fatal(err)
		}
		if b := r.answered(request{method: "PUT", path: apps + "/shop", kind: inJSON, body: `{"app":{"name":"The shop"}}`}, 200); b.Slug != "shop" || b.Secret == a.Secret {
			t.Errorf("it is %+v", b)
		}
		if b := r.answered(request{method: "PUT", path: apps + "/shop", kind: inJSON, body: `{"app":{"name":"The other shop"}}`}, 200); b.Slug != "the-other-shop" || b.Key != a.Key {
			t.Errorf("it is %+v", b)
		}
		// Its messages may be stored, so that its slug is nobody else's.
		r.want(request{method: "POST", path: apps, kind: form, body: "app[name]=Shop!"}, 422, `{"errors":{"slug":["has already been taken"]}}`)
		r.want(request{method: "DELETE", path: apps + "/the-other-shop"}, 204, "")
		r.want(request{method: "POST", path: apps, kind: form, body: "app[name]=The other shop"}, 422, `{"errors":{"slug":["has already been taken"]}}`)
	})
}

// TestAudit: what an operator changes is in the audit trail, and no secret of it.
func TestAudit(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		a := r.made("Some app")
		time.Sleep(time.Millisecond) // entries are in the order of their time
		r.answered(request{method: "PUT", path: apps + "/some-app", kind: form, body: "app[name]=Other app"}, 200)
		time.Sleep(time.Millisecond)
		r.answered(request{method: "PUT", path: apps + "/other-app", kind: form, body: "app[host]=x.example"}, 200)
		time.Sleep(time.Millisecond)
		r.want(request{method: "DELETE", path: apps + "/other-app"}, 204, "")
		all, _, err := r.store.Audit(t.Context(), "", 100)
		if err != nil {
			t.Fatal(err)
		}
		trail := ""
		for i := range all {
			e := &all[i]
			trail = e.By.Name + " " + e.By.Address + " " + e.Action + " " + e.App + " " + e.Outcome + "\n" + trail
		}
		const want = "ann 192.0.2.7 create some-app done\nann 192.0.2.7 rename some-app done\nann 192.0.2.7 update other-app done\nann 192.0.2.7 delete other-app done\n"
		if trail != want {
			t.Errorf("the audit trail is\n%s", trail)
		}
		text, err := tenant.Reveal(all)
		if err != nil || strings.Contains(string(text)+r.log.String(), a.Secret) {
			t.Errorf("%v, or the secret is in the trail or the log", err)
		}
	})
}
