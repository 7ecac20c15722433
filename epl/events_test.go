package epl_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/epl"
	"github.com/earshot-io/earshot/tenant"
)

const events = "/api/apps/fixed/events"

// TestPublish follows A.5: each row is what the demo could say, and what is heard.
func TestPublish(t *testing.T) {
	long := strings.Repeat("x", 250)
	for name, c := range map[string]struct {
		request
		event, channel, payload string
	}{
		"the demo's":          {request{kind: form, body: `topic=public:prod_chat_channel&event=msg&scope=public&payload={"name":"Ann","message":"hi"}`}, "public:prod_chat_channel:msg", "public:fixed", `{"name":"Ann","message":"hi"}`},
		"to all":              {request{kind: form, body: `topic=%23general&event=msg&scope=public&payload={"a":1}`}, "msg", "public:fixed", `{"a":1}`},
		"#General is another": {request{kind: form, body: `topic=%23General&event=msg&scope=public`}, "#General:msg", "public:fixed", `{}`},
		"another scope":       {request{kind: form, body: `topic=t&event=e&scope=private`}, "t:e", "private:fixed", `{}`},
		"any scope":           {request{kind: form, body: `topic=t&event=e&scope=a:b+c`}, "t:e", "a:b c:fixed", `{}`},
		"Unicode":             {request{kind: form, body: `topic=żółć&event=день&scope=public&payload={"ключ":"值"}`}, "żółć:день", "public:fixed", `{"ключ":"值"}`},
		"no payload":          {request{kind: form, body: `topic=t&event=e&scope=public`}, "t:e", "public:fixed", `{}`},
		"an empty payload":    {request{kind: form, body: `topic=t&event=e&scope=public&payload=`}, "t:e", "public:fixed", `{}`},
		"a blank payload":     {request{kind: form, body: `topic=t&event=e&scope=public&payload=++`}, "t:e", "public:fixed", `{}`},
		"as it is":            {request{kind: inJSON, body: `{"topic":"t","event":"e","scope":"public","payload":"{ \"a\": 1.50, \"b\": 12345678901234567890 }"}`}, "t:e", "public:fixed", `{ "a": 1.50, "b": 12345678901234567890 }`},
		"an object":           {request{kind: inJSON, body: `{"topic":"t","event":"e","scope":"public","payload":{"a":[1,null]}}`}, "t:e", "public:fixed", `{"a":[1,null]}`},
		"null for none":       {request{kind: inJSON, body: `{"topic":"t","event":"e","scope":"public","payload":null}`}, "t:e", "public:fixed", `{}`},
		"multipart":           {request{kind: "multipart/form-data; boundary=b", body: "--b\r\nContent-Disposition: form-data; name=\"topic\"\r\n\r\nt\r\n--b\r\nContent-Disposition: form-data; name=\"payload\"\r\n\r\n{\"a\":1}\r\n--b--\r\n", path: "?event=e&scope=public"}, "t:e", "public:fixed", `{"a":1}`},
		"the query":           {request{path: "?topic=t&event=e&scope=public&payload=%7B%7D"}, "t:e", "public:fixed", `{}`},
		"the path wins":       {request{path: "?app_slug=other&slug=other&topic=t&event=e&scope=public"}, "t:e", "public:fixed", `{}`},
		"255 bytes of event":  {request{kind: form, body: "topic=" + long + "&event=1234&scope=public"}, long + ":1234", "public:fixed", `{}`},
		"phx_ behind a topic": {request{kind: form, body: `topic=t&event=phx_reply&scope=public`}, "t:phx_reply", "public:fixed", `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(t *testing.T, r *rig) {
				c.method, c.path, c.as = "POST", events+c.path, "fixed-key:s1"
				r.want(c.request, 200, `{}`)
				m := r.hub.last()
				if m == nil || m.Channel != c.channel || m.Event != c.event || string(m.Data) != c.payload || m.Kind != earshot.JSON || m.App != "fixed" || m.Store != 0 {
					t.Errorf("published is %+v", m)
				}
				if r.hub.calls != 1 || r.hub.wrongs != 0 {
					t.Errorf("%d calls and %d refusals were counted", r.hub.calls, r.hub.wrongs)
				}
			})
		})
	}
}

// TestPublishRefused follows A.5 and A.9: what is wrong is told in this order, and
// nobody hears anything.
func TestPublishRefused(t *testing.T) {
	const good = `topic=t&event=e&scope=public`
	long := strings.Repeat("x", 252)
	wrong := func(field, text string) string { return `{"errors":{"` + field + `":["` + text + `"]}}` }
	notObject := wrong("payload", "must be an object")
	for name, c := range map[string]struct {
		request
		status int
		want   string
	}{
		"another app":               {request{path: "/api/apps/none/events", body: good, as: nobody}, 404, notFound},
		"406 before 404":            {request{path: "/api/apps/none/events", body: good, as: nobody, headers: []string{"Accept: image/png"}}, 406, `{"errors":{"detail":"Not Acceptable"}}`},
		"404 before 400":            {request{path: "/api/apps/none/events", kind: inJSON, body: "{"}, 404, notFound},
		"401 before 400":            {request{kind: inJSON, body: "{", as: "fixed-key:wrong"}, 401, ""},
		"no credentials":            {request{body: good, as: nobody}, 401, ""},
		"a wrong secret":            {request{body: good, as: "fixed-key:s3"}, 401, ""},
		"a wrong key":               {request{body: good, as: "fixed:s1"}, 401, ""},
		"an empty secret":           {request{body: good, as: "fixed-key:"}, 401, ""},
		"the operator's":            {request{body: good}, 401, ""},
		"another scheme":            {request{body: good, as: nobody, headers: []string{"Authorization: Digest Zml4ZWQta2V5OnMx"}}, 401, ""},
		"not base64":                {request{body: good, as: nobody, headers: []string{"Authorization: Basic ="}}, 401, ""},
		"another app's publish key": {request{body: good, as: nobody, headers: []string{"Authorization: Bearer other"}}, 401, ""},
		"an empty Bearer":           {request{body: good, as: nobody, headers: []string{"Authorization: Bearer "}}, 401, ""},
		"no topic":                  {request{body: "event=e&scope=public"}, 400, badly},
		"no event":                  {request{body: "topic=t&scope=public"}, 400, badly},
		"no scope":                  {request{body: "topic=t&event=e"}, 400, badly},
		"an empty scope":            {request{body: "topic=t&event=e&scope="}, 400, badly},
		"a topic that is a list":    {request{body: "topic[]=t&event=e&scope=public"}, 400, badly},
		"an event that is a number": {request{kind: inJSON, body: `{"topic":"t","event":1,"scope":"public"}`}, 400, badly},
		"400 before the payload":    {request{body: "topic=t&event=e&payload=nonsense"}, 400, badly},
		"no body":                   {request{}, 400, badly},
		"another type":              {request{kind: "text/plain", body: good}, 415, `{"errors":{"detail":"Unsupported Media Type"}}`},
		"payload is no JSON":        {request{body: good + "&payload={a:1}"}, 400, wrong("payload", "is invalid")},
		"payload is half":           {request{body: good + `&payload={"a":`}, 400, wrong("payload", "is invalid")},
		"payload says a name twice": {request{body: good + `&payload={"a":1,"a":2}`}, 400, wrong("payload", "is invalid")},
		"payload is a list":         {request{body: good + "&payload=[1]"}, 422, notObject},
		"payload is null":           {request{body: good + "&payload=null"}, 422, notObject},
		"payload is a text":         {request{body: good + `&payload="x"`}, 422, notObject},
		"payload is a list in JSON": {request{kind: inJSON, body: `{"topic":"t","event":"e","scope":"public","payload":[1]}`}, 422, notObject},
		"payload is false in JSON":  {request{kind: inJSON, body: `{"topic":"t","event":"e","scope":"public","payload":false}`}, 422, notObject},
		"payload is too large":      {request{body: good + `&payload={"a":"` + strings.Repeat("x", 32<<10) + `"}`}, 413, `{"errors":{"detail":"data may have 32 KiB at the most"}}`},
		"payload is too deep":       {request{body: good + `&payload={"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`}, 422, wrong("payload", "is invalid")},
		"the body is too large":     {request{body: good + "&x=" + strings.Repeat("x", 1<<20)}, 413, `{"errors":{"detail":"Request Entity Too Large"}}`},
		"a long event":              {request{body: "topic=" + long + "&event=123&scope=public"}, 422, wrong("event", "should be at most 255 byte(s) with the topic")},
		"a protocol's event":        {request{body: "topic=%23general&event=phx_reply&scope=public"}, 422, wrong("event", "is reserved")},
		"a protocol's topic":        {request{body: "topic=phx_close&event=x&scope=public"}, 422, wrong("event", "is reserved")},
		"a long scope":              {request{body: "topic=t&event=e&scope=" + strings.Repeat("x", 300)}, 422, wrong("scope", "is invalid")},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(t *testing.T, r *rig) {
				q := c.request
				q.method = "POST"
				if q.path == "" {
					q.path = events
				}
				if q.kind == "" && q.body != "" {
					q.kind = form
				}
				if q.as == "" && c.status != 401 && c.status != 404 {
					q.as = "fixed-key:s2"
				}
				r.want(q, c.status, c.want)
				if m := r.hub.last(); m != nil {
					t.Errorf("published is %+v", m)
				}
				if refused := r.hub.wrongs == 1; refused != (c.status == 401) {
					t.Errorf("%d refusals were counted", r.hub.wrongs)
				}
			})
		})
	}
	on(t, func(t *testing.T, r *rig) {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
			r.want(request{method: method, path: events, as: "fixed-key:s1"}, 404, notFound)
		}
	})
}

// TestCredentials: an app is published to with its own key and secrets, and with
// nothing of another app (A.9).
func TestCredentials(t *testing.T) {
	const good = `topic=t&event=e&scope=public`
	on(t, func(t *testing.T, r *rig) {
		one, two := r.made("One app"), r.made("Two app")
		at := func(slug, credentials string) request {
			return request{method: "POST", path: "/api/apps/" + slug + "/events", kind: form, body: good, as: nobody, headers: []string{"Authorization: " + credentials}}
		}
		basic := func(scheme, key, secret string) string {
			return scheme + " " + base64.StdEncoding.EncodeToString([]byte(key+":"+secret))
		}
		r.want(at("one-app", basic("Basic", one.Key, one.Secret)), 200, "{}")
		r.want(at("one-app", basic("bAsIc", one.Key, one.Secret)), 200, "{}")
		r.want(at("one-app", basic("Basic", two.Key, two.Secret)), 401, "")
		r.want(at("one-app", basic("Basic", one.Key, two.Secret)), 401, "")
		r.want(at("one-app", basic("Basic", "", "")), 401, "")
		r.want(at("one-app", "Bearer pk"), 401, "")
		r.want(at("fixed", "Bearer pk"), 200, "{}")

		// Two secrets are live while one is replaced.
		by := tenant.Actor{Name: "x"}
		rotated, err := r.store.Rotate(t.Context(), by, "one-app", tenant.Rotation{Kind: tenant.RotateSecret}, 0)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		fresh := string(rotated.Secrets[0].Secret)
		r.want(at("one-app", basic("Basic", one.Key, one.Secret)), 200, "{}")
		r.want(at("one-app", basic("Basic", one.Key, fresh)), 200, "{}")
		if _, err = r.store.Rotate(t.Context(), by, "one-app", tenant.Rotation{Kind: tenant.RotateSecret, Finish: true}, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.want(at("one-app", basic("Basic", one.Key, one.Secret)), 401, "")
		r.want(at("one-app", basic("Basic", one.Key, fresh)), 200, "{}")

		// A rename moves the path, and nothing of the credentials.
		r.answered(request{method: "PUT", path: apps + "/one-app", kind: form, body: "app[name]=Moved app"}, 200)
		r.want(at("one-app", basic("Basic", one.Key, fresh)), 404, notFound)
		r.hub.last()
		r.want(at("moved-app", basic("Basic", one.Key, fresh)), 200, "{}")
		if m := r.hub.last(); m.Channel != "public:moved-app" || m.App != "moved-app" {
			t.Errorf("published is %+v", m)
		}
		r.want(request{method: "DELETE", path: apps + "/moved-app"}, 204, "")
		r.want(at("moved-app", basic("Basic", one.Key, fresh)), 404, notFound)
		r.answered(request{method: "PUT", path: apps + "/two-app", kind: form, body: "app[active]=false"}, 200)
		r.want(at("two-app", basic("Basic", two.Key, two.Secret)), 404, notFound)
	})
}

// A renewing directory has another version of an app each time.
type renewing struct{ *auth.Directory }

func (d renewing) ByPublishKey(key string) *earshot.App {
	a := d.Directory.ByPublishKey(key)
	if a == nil {
		return nil
	}
	renewed := *a
	return &renewed
}

// TestAppIsRenewed while a key is looked at: it is the same app's.
func TestAppIsRenewed(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		r.made("One app")
		r.serve(epl.Deps{
			Hub: r.hub, Apps: renewing{r.directory}, Store: r.store, Log: slog.New(slog.DiscardHandler), Ready: func() error { return nil },
			Gate: auth.NewGate(auth.GateConfig{}),
		})
		at := func(slug string) request {
			return request{method: "POST", path: "/api/apps/" + slug + "/events", kind: form, body: `topic=t&event=e&scope=public`, as: nobody, headers: []string{"Authorization: Bearer pk"}}
		}
		r.want(at("fixed"), 200, "{}")
		r.want(at("one-app"), 401, "")
	})
}

// TestReplayed: where an app replays what was said before, it is stored so long,
// and not on a live channel.
func TestReplayed(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		a := r.made("Some app")
		size, age, rules := 20, 60, []tenant.Rule{{Match: "logged:*"}}
		if _, err := r.store.Update(t.Context(), tenant.Actor{Name: "x"}, "some-app", &tenant.Change{
			Channels: &rules, Replay: &tenant.ReplayChange{Size: &size, Seconds: &age},
		}, 0); err != nil {
			t.Fatal(err)
		}
		for scope, want := range map[string]time.Duration{"logged": time.Minute, "public": 0} {
			r.want(request{
				method: "POST", path: "/api/apps/some-app/events", kind: form, body: "topic=t&event=e&scope=" + scope, as: a.Key + ":" + a.Secret,
			}, 200, "{}")
			if m := r.hub.last(); m.Store != want {
				t.Errorf("%s: it is stored for %v, want %v", scope, m.Store, want)
			}
		}
	})
}

// TestPublishFails: what the hub cannot take is told.
func TestPublishFails(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		q := request{method: "POST", path: events, kind: form, body: "topic=t&event=e&scope=public", as: "fixed-key:s1"}
		for _, c := range []struct {
			err    error
			status int
			retry  string
			want   string
		}{
			{&earshot.Error{Code: earshot.Limited, Text: "slower", RetryAfter: 1500 * time.Millisecond}, 429, "2", `{"errors":{"detail":"slower"}}`},
			{&earshot.Error{Code: earshot.Unavailable}, 503, "1", `{"errors":{"detail":"Service Unavailable"}}`},
			{&earshot.Error{Code: earshot.Full, Text: "the disk is full"}, 507, "", `{"errors":{"detail":"the disk is full"}}`},
			{context.DeadlineExceeded, 500, "", `{"errors":{"detail":"Internal Server Error"}}`},
			{&earshot.Error{Code: earshot.Unknown}, 504, "", `{"errors":{"detail":"the event may have been published"}}`},
			{fmt.Errorf("some secret of ours"), 500, "", `{"errors":{"detail":"Internal Server Error"}}`},
		} {
			r.hub.fails = c.err
			if resp := r.want(q, c.status, c.want); c.retry != "" && resp.Header.Get("Retry-After") != c.retry {
				t.Errorf("%v: Retry-After is %q", c.err, resp.Header.Get("Retry-After"))
			}
		}
		r.hub.fails, r.stopping = nil, fmt.Errorf("stopping")
		r.want(q, 503, `{"errors":{"detail":"the server is stopping"}}`)
		r.want(request{method: "GET", path: apps}, 503, `{"errors":{"detail":"the server is stopping"}}`)
	})
}

// TestRequireTLS: an app may want TLS; an operator's requests are of no app.
func TestRequireTLS(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		a := r.made("Some app")
		yes := true
		if _, err := r.store.Update(t.Context(), tenant.Actor{Name: "x"}, "some-app", &tenant.Change{RequireTLS: &yes}, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		q := request{method: "POST", path: "/api/apps/some-app/events", kind: form, body: "topic=t&event=e&scope=public", as: a.Key + ":" + a.Secret}
		r.want(q, 403, `{"errors":{"detail":"this app is reached over TLS only: use https:// or wss://"}}`)
		q.headers = []string{"Secure: yes"}
		r.want(q, 200, "{}")
	})
}

// TestNoMasterKey: where secrets cannot be kept, no app can be made, and that is
// not the client's fault.
func TestNoMasterKey(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		store := tenant.New(tenant.Config{Records: r.records, Live: r.live, Log: slog.New(slog.DiscardHandler)})
		r.serve(epl.Deps{Hub: r.hub, Apps: r.directory, Store: store, Operator: r.operator, Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler)})
		resp := r.do(request{method: "POST", path: apps, kind: form, body: "app[name]=Some app"})
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "it has no master key") {
			t.Errorf("%d %s, %v", resp.StatusCode, text, err)
		}
	})
}

// TestNoOperator: where nobody administers the server, nobody is let in.
func TestNoOperator(t *testing.T) {
	on(t, func(t *testing.T, r *rig) {
		r.serve(epl.Deps{Hub: r.hub, Apps: r.directory, Store: r.store, Ready: func() error { return nil }})
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r.want(request{method: method, path: apps}, 401, "")
		}
	})
}
