package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	core "github.com/earshot-io/earshot/gateway"
)

// managed is a node whose app has keys of all kinds.
func managed(t *testing.T) *node {
	t.Helper()
	a := app(api())
	allow := func(all ...string) (patterns []earshot.Pattern) {
		for _, one := range all {
			patterns = append(patterns, earshot.Glob(one))
		}
		return patterns
	}
	a.AccessKeys = append(a.AccessKeys,
		earshot.AccessKey{ID: "AKALL", Secret: "s", Allow: allow(earshot.ManageConnections)},
		earshot.AccessKey{ID: "AKAPI", Secret: "s", Allow: allow("execute-api:ManageConnections:abc123")},
		earshot.AccessKey{ID: "AKSTAGE", Secret: "s", Allow: allow("execute-api:ManageConnections:abc123/dev")},
		earshot.AccessKey{ID: "AKPOST", Secret: "s", Allow: allow("execute-api:ManageConnections:abc123/prod/POST/@connections/*")},
		earshot.AccessKey{ID: "AKLAMBDA", Secret: "s", Allow: allow(earshot.InvokeFunction)})
	return serve(t, a, &earshot.App{Slug: "other", AccessKeys: []earshot.AccessKey{{ID: "AKOTHER", Secret: "s"}}})
}

// TestManagementPaths: how SDKs and people write the path (9.1).
func TestManagementPaths(t *testing.T) {
	n := managed(t)
	c := n.dial("/prod")
	escaped := c.id[:15] + "%3D"
	for _, test := range []struct{ host, path string }{
		{"", "/prod/@connections/" + escaped},
		{"", "/prod/@connections/" + c.id},
		{"", "/prod/%40connections/" + escaped},
		{"", "/prod//@connections/" + escaped},
		{"", "//prod///@connections//" + escaped},
		{"", "/prod/@connections/" + escaped + "/"},
		{"", "/@connections/" + escaped},
		{"", "/main/prod/@connections/" + escaped},
		{"", "/abc123/prod/@connections/" + escaped},
		{"", "/main/abc123/prod/@connections/" + escaped},
		{"abc123.execute-api.us-east-1.amazonaws.com", "/prod/@connections/" + escaped},
		{"abc123.execute-api.us-east-1.amazonaws.com", "/@connections/" + escaped},
	} {
		status, header, body := n.ask(call{method: "POST", host: test.host, path: test.path, body: []byte(test.path)})
		if status != 200 || body != "" || header.Get("x-amzn-RequestId") == "" {
			t.Fatalf("%s%s: %d %q %v", test.host, test.path, status, body, header)
		}
		c.hears(test.path)
	}
}

// TestManagementErrors is table 9.4.
func TestManagementErrors(t *testing.T) {
	n := managed(t)
	c := n.dial("/prod")
	gone := n.dial("/prod")
	dev := n.dial("/dev")
	_ = gone.Close(websocket.StatusNormalClosure, "")
	n.wait(t, core.Disconnect, 1)
	at := func(id string) string { return "/prod/@connections/" + url.PathEscape(id) }
	large := bytes.Repeat([]byte("x"), 128<<10+1)
	for _, test := range []struct {
		name   string
		call   call
		status int
		kind   string
		body   string // as a pattern
	}{
		{"largest", call{method: "POST", path: at(c.id), body: large[1:]}, 200, "", ``},
		{
			"too large",
			call{method: "POST", path: at(c.id), body: large},
			413, "PayloadTooLargeException",
			`\{"message":"Message too long","connectionId":"` + c.id + `","requestId":"[0-9a-f-]{36}"\}`,
		},
		{"much too large", call{method: "POST", path: at(c.id), body: bytes.Repeat(large, 20)}, 413, "PayloadTooLargeException", `.*Message too long.*`},
		{"closed", call{method: "POST", path: at(gone.id)}, 410, "GoneException", `\{"message":"Gone"\}`},
		{"closed, get", call{method: "GET", path: at(gone.id)}, 410, "GoneException", `\{"message":"Gone"\}`},
		{"closed, delete", call{method: "DELETE", path: at(gone.id)}, 410, "GoneException", `\{"message":"Gone"\}`},
		{"never existed", call{method: "POST", path: at("L0SM9cOFvHcCIhw=")}, 410, "GoneException", `\{"message":"Gone"\}`},
		{"of another stage", call{method: "POST", path: at(dev.id)}, 410, "GoneException", `\{"message":"Gone"\}`},
		{"no id", call{method: "POST", path: "/prod/@connections/a%2Fb%2Bc%3D"}, 400, "BadRequestException", `\{"message":"Invalid connectionId: a/b\+c="\}`},
		{"no stage", call{method: "POST", path: "/nope/@connections/" + c.id}, 403, "ForbiddenException", `\{"message":"Forbidden"\}`},
		{"another's stage", call{method: "POST", path: "/other/prod/@connections/" + c.id}, 403, "ForbiddenException", `\{"message":"Forbidden"\}`},
		{"no operation", call{method: "PATCH", path: at(c.id)}, 403, "ForbiddenException", `\{"message":"Forbidden"\}`},
		{"no such path", call{method: "POST", path: at(c.id) + "/more"}, 403, "ForbiddenException", `\{"message":"Forbidden"\}`},
		{"unsigned", call{method: "POST", path: at(c.id), key: "none"}, 403, "MissingAuthenticationTokenException", `.*`},
		{"wrong secret", call{method: "POST", path: at(c.id), key: accessKey, secret: "wrong"}, 403, "InvalidSignatureException", `.*`},
		{"unknown key", call{method: "POST", path: at(c.id), key: "AKNOBODY", secret: "s"}, 403, "UnrecognizedClientException", `.*`},
		{
			"a key of an app",
			call{method: "POST", path: at(c.id), key: "AKOTHER", secret: "s"},
			403, "AccessDeniedException",
			`\{"message":"User: AKOTHER is not authorized to perform: execute-api:ManageConnections on resource: arn:aws:execute-api:us-east-1:000000000000:abc123/prod/POST/@connections/` + c.id + `"\}`,
		},
		{"a key for Lambda", call{method: "POST", path: at(c.id), key: "AKLAMBDA", secret: "s"}, 403, "AccessDeniedException", `.*`},
		{"a key of a stage", call{method: "POST", path: at(c.id), key: "AKSTAGE", secret: "s"}, 403, "AccessDeniedException", `.*`},
		{"a key to post", call{method: "DELETE", path: at(c.id), key: "AKPOST", secret: "s"}, 403, "AccessDeniedException", `.*`},
		{"a key to post, posting", call{method: "POST", path: at(c.id), key: "AKPOST", secret: "s"}, 200, "", ``},
		{"a key of the API", call{method: "POST", path: at(c.id), key: "AKAPI", secret: "s"}, 200, "", ``},
		{"a key for all", call{method: "POST", path: at(c.id), key: "AKALL", secret: "s"}, 200, "", ``},
		{"a code", call{method: "DELETE", path: at(c.id) + "?code=999"}, 400, "BadRequestException", `.*`},
		{"a code too", call{method: "DELETE", path: at(c.id) + "?code=1005"}, 400, "BadRequestException", `.*`},
		{"a long reason", call{method: "DELETE", path: at(c.id) + "?reason=" + strings.Repeat("x", 124)}, 400, "BadRequestException", `.*`},
		{"no text", call{method: "POST", path: at(c.id), body: []byte{0xff}, header: http.Header{"X-Frame-Type": {"text"}}}, 400, "BadRequestException", `.*`},
		{"no kind", call{method: "POST", path: at(c.id), header: http.Header{"X-Frame-Type": {"image"}}}, 400, "BadRequestException", `.*`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, header, body := n.ask(test.call)
			if status != test.status || header.Get("x-amzn-ErrorType") != test.kind || !regexp.MustCompile("^"+test.body+"$").MatchString(body) {
				t.Errorf("%d %s %q", status, header.Get("x-amzn-ErrorType"), body)
			}
			if header.Get("x-amzn-RequestId") == "" || header.Get("Content-Type") != "application/json" {
				t.Errorf("the headers are %v", header)
			}
		})
	}
}

// TestPost is 9.5: one message of the bytes, text if they are a text.
func TestPost(t *testing.T) {
	n := serve(t)
	c := n.dial("/prod")
	for _, test := range []struct {
		body, frame string
		binary      bool
	}{
		{`{"hello":"wörld"}`, "", false}, {"", "", false}, {"\xff\x00", "", true}, {"plain", "binary", true}, {"plain", "Text", false},
	} {
		h := http.Header{}
		if test.frame != "" {
			h.Set("X-Frame-Type", test.frame)
		}
		if status, _, body := n.ask(call{method: "POST", path: "/prod/@connections/" + c.id, body: []byte(test.body), header: h}); status != 200 {
			t.Fatalf("%d %q", status, body)
		}
		kind, got, err := c.next()
		if err != nil || got != test.body || (kind == websocket.MessageBinary) != test.binary {
			t.Errorf("%q as %q: heard %v %q %v", test.body, test.frame, kind, got, err)
		}
	}
	for i := range 100 {
		n.ask(call{method: "POST", path: "/prod/@connections/" + c.id, body: fmt.Append(nil, i)})
	}
	for i := range 100 {
		c.hears(fmt.Sprint(i))
	}
}

// TestGet is 9.3.
func TestGet(t *testing.T) {
	n := serve(t)
	c := n.dial("/prod", header("User-Agent", "test/1"))
	get := func() (string, *regexp.Regexp) {
		_, _, body := n.ask(call{method: "GET", path: "/prod/@connections/" + c.id})
		return body, regexp.MustCompile(`^\{"connectedAt":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)","identity":\{"sourceIp":"127\.0\.0\.1","userAgent":"test/1"\},"lastActiveAt":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"\}$`)
	}
	before, form := get()
	if !form.MatchString(before) {
		t.Fatalf("answered %s", before)
	}
	c.say(`{"action":"echo"}`)
	c.hears(`{"action":"echo"}`)
	after, _ := get()
	if a, b := form.FindStringSubmatch(before), form.FindStringSubmatch(after); a[1] != b[1] || a[2] > b[2] {
		t.Errorf("first %s, then %s", before, after)
	}
}

// TestDelete is 9.5 and 4.5: the client is told 1000, or what the request says, and
// so is $disconnect; a second one is too late.
func TestDelete(t *testing.T) {
	n := serve(t)
	for i, test := range []struct {
		query  string
		code   int
		reason string
	}{
		{"", 1000, "Connection Closed Normally"},
		{"?code=4401&reason=log%20in", 4401, "log in"},
		{"?code=4402", 4402, ""},
		{"?reason=done", 1000, "done"},
	} {
		c := n.dial("/prod")
		if status, _, body := n.ask(call{method: "DELETE", path: "/prod/@connections/" + c.id + test.query}); status != 204 || body != "" {
			t.Fatalf("answered %d %q", status, body)
		}
		if status, header, _ := n.ask(call{method: "DELETE", path: "/prod/@connections/" + c.id}); status != 410 || header.Get("x-amzn-ErrorType") != "GoneException" {
			t.Errorf("a second one was answered %d", status)
		}
		c.ends(test.code, test.reason)
		if e := n.wait(t, core.Disconnect, i+1); e.Code != test.code || e.Reason != test.reason {
			t.Errorf("$disconnect was told %d %q", e.Code, e.Reason)
		}
	}
}

// TestNotYetOpen: in its $connect a connection is not there yet (4.1).
func TestNotYetOpen(t *testing.T) {
	n := serve(t)
	n.answers(func(_ context.Context, e *core.Event) (*core.Answer, error) {
		if e.Type == core.Connect {
			for _, method := range []string{"GET", "POST", "DELETE"} {
				if status, _, _ := n.ask(call{method: method, path: "/prod/@connections/" + e.Conn.ID}); status != 410 {
					t.Errorf("%s was answered %d before the connection opened", method, status)
				}
			}
		}
		return nil, nil
	})
	c := n.dial("/prod")
	if status, _, _ := n.ask(call{method: "GET", path: "/prod/@connections/" + c.id}); status != 200 {
		t.Errorf("answered %d when it was open", status)
	}
}

// TestOnce: the attempts of one call of an SDK count once, those of another again.
func TestOnce(t *testing.T) {
	n := serve(t)
	c := n.dial("/prod")
	for _, id := range []string{"a", "a", "b", "a"} {
		h := http.Header{"Amz-Sdk-Invocation-Id": {id}, "Amz-Sdk-Request": {"attempt=1; max=3"}}
		if status, _, body := n.ask(call{method: "POST", path: "/prod/@connections/" + c.id, body: []byte(id), header: h}); status != 200 {
			t.Fatalf("%d %q", status, body)
		}
	}
	n.ask(call{method: "POST", path: "/prod/@connections/" + c.id, body: []byte("last")})
	c.hears("a")
	c.hears("b")
	c.hears("last")
}

// TestClientBehind: who does not read is not cut by posts; they are answered 429,
// and an SDK tries them again.
func TestClientBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNode(t)
		w := n.connect("/prod")
		w.waiting = 256<<10 - 10
		post := func(body string) (int, string) {
			h := http.Header{"Amz-Sdk-Invocation-Id": {"a"}}
			status, header, _ := n.in(call{method: "POST", path: "/prod/@connections/" + w.conn.ID().String(), body: []byte(body), header: h})
			return status, header.Get("x-amzn-ErrorType")
		}
		if status, kind := post("more than ten bytes"); status != 429 || kind != "LimitExceededException" {
			t.Errorf("answered %d %s", status, kind)
		}
		w.waiting = 0
		if status, _ := post("more than ten bytes"); status != 200 || w.ended() != nil {
			t.Errorf("when there was room: answered %d, ended %v", status, w.ended())
		}
		w.hears("more than ten bytes")
		if s := n.protocol.Stats(); s.Posted != 1 || s.Behind != 1 || s.Connections != 1 {
			t.Errorf("the figures are %+v", s)
		}
	})
}

// TestManagementOverNodes: whichever node a request arrives at.
func TestManagementOverNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		one, two := bare(t, store, newBackend()), bare(t, store, newBackend())
		time.Sleep(time.Second)
		w := one.connect("/prod")
		at := "/prod/@connections/" + w.conn.ID().String()
		if status, _, _ := two.in(call{method: "POST", path: at, body: []byte("hi")}); status != 200 {
			t.Errorf("a post was answered %d", status)
		}
		w.hears("hi")
		if status, _, body := two.in(call{method: "GET", path: at}); status != 200 || !strings.Contains(body, `"connectedAt":"`) {
			t.Errorf("a get was answered %d %s", status, body)
		}
		if status, _, _ := two.in(call{method: "PUT", path: at + "/@channels/news?envelope=true"}); status != 204 {
			t.Errorf("a join was answered %d", status)
		}
		two.publish("news", "x")
		w.hears(`{"channel":"news","data":"x"}`)
		for range 2 {
			h := http.Header{"Amz-Sdk-Invocation-Id": {"one call"}}
			two.in(call{method: "POST", path: at, body: []byte("once"), header: h})
		}
		w.hears("once")
		if status, _, _ := two.in(call{method: "POST", path: strings.Replace(at, "/prod/", "/dev/", 1)}); status != 410 {
			t.Errorf("of another stage: %d", status)
		}
		if status, _, _ := two.in(call{method: "DELETE", path: at + "?code=4000"}); status != 204 {
			t.Errorf("a delete was answered %d", status)
		}
		synctest.Wait()
		if g := w.ended(); g == nil || g.Code != 4000 {
			t.Errorf("the client was told %+v", g)
		}
		if status, header, _ := two.in(call{method: "POST", path: at}); status != 410 || header.Get("x-amzn-ErrorType") != "GoneException" {
			t.Errorf("after the end: %d", status)
		}
	})
}

// TestUnreachableNode: that nobody can say where a connection is, is no 410.
func TestUnreachableNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		one, two := bare(t, store, newBackend()), bare(t, store, newBackend())
		time.Sleep(time.Second)
		w := one.connect("/prod")
		one.engine.Cut()
		status, header, body := two.in(call{method: "POST", path: "/prod/@connections/" + w.conn.ID().String()})
		if status != 503 || header.Get("x-amzn-ErrorType") != "InternalServerErrorException" || body != `{"message":"Internal server error"}` {
			t.Errorf("answered %d %s", status, body)
		}
		one.engine.Restore()
	})
}

// TestThousandConnections: a post to each of 1,000 connections on two nodes, half of
// them by way of the other node, and nothing is lost. The figures are what a post
// costs, beside a publish that one connection hears, by a request and by the hub's
// own call, and beside one publish that all hear.
func TestThousandConnections(t *testing.T) {
	store, b := newStore(), newBackend()
	nodes := []*node{bare(t, store, b), bare(t, store, b)}
	for len(nodes[0].hub.Nodes()) < 2 || len(nodes[1].hub.Nodes()) < 2 {
		time.Sleep(time.Millisecond)
	}
	const conns = 1000
	wires := make([]*wire, conns)
	for i := range wires {
		wires[i] = nodes[i%2].connect("/prod")
		at := "/prod/@connections/" + wires[i].conn.ID().String() + "/@channels/live."
		for _, channel := range []string{"all", fmt.Sprint(i)} {
			if status, _, _ := nodes[i%2].in(call{method: "PUT", path: at + channel}); status != 204 {
				t.Fatalf("a join was answered %d", status)
			}
		}
	}
	ask := func(of func(i int) *node, path func(i int) string) func(i int) {
		return func(i int) {
			if status, _, body := of(i).in(call{method: "POST", path: path(i), body: fmt.Append(nil, i)}); status != 200 {
				t.Errorf("request %d was answered %d %s", i, status, body)
			}
		}
	}
	own := func(i int) *node { return nodes[i%2] }
	post := func(i int) string { return "/prod/@connections/" + wires[i].conn.ID().String() }
	for _, way := range []struct {
		name string
		send func(i int)
	}{
		{"a post, on the connection's node", ask(own, post)},
		{"a post, by way of the other", ask(func(i int) *node { return nodes[(i+1)%2] }, post)},
		{"a publish by a request", ask(own, func(i int) string { return fmt.Sprint("/prod/@channels/live.", i) })},
		{"a publish by the hub", func(i int) { own(i).publish(fmt.Sprint("live.", i), fmt.Sprint(i)) }},
	} {
		began := time.Now()
		var sending sync.WaitGroup
		for worker := range 8 {
			sending.Go(func() {
				for i := worker; i < conns; i += 8 {
					way.send(i)
				}
			})
		}
		sending.Wait()
		for i, w := range wires {
			w.hears(fmt.Sprint(i))
		}
		t.Logf("%s: %v", way.name, time.Since(began)/conns)
	}
	began := time.Now()
	const publishes = 20
	for i := range publishes {
		ask(func(int) *node { return nodes[0] }, func(int) string { return "/prod/@channels/live.all" })(i)
	}
	for _, w := range wires {
		for i := range publishes {
			w.hears(fmt.Sprint(i))
		}
	}
	t.Logf("one publish that all hear, for each of them: %v", time.Since(began)/(publishes*conns))
}

// TestNotManaged: without APIs nothing of the paths is ours.
func TestNotManaged(t *testing.T) {
	n := bare(t, newStore(), newBackend(), &earshot.App{Slug: "main"})
	for _, path := range []string{"/prod/@connections/x", "/@channels/x", "/prod", "/"} {
		if status, _, body := n.in(call{method: "GET", path: path}); status != 404 || body != "404 page not found\n" {
			t.Errorf("%s was answered %d %q", path, status, body)
		}
		if n.protocol.Find(newRequest(path)) || n.protocol.Owns(newRequest(path)) {
			t.Errorf("%s is taken", path)
		}
	}
}

// TestStageOfATakenName: a stage may be called as a page of the server, which stays
// where it was; on the API's own host the path is the stage's.
func TestStageOfATakenName(t *testing.T) {
	n := bare(t, newStore(), newBackend(), app(api(func(g *earshot.Gateway) { g.Stages[0].Name = "console" })))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /console", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the console")) })
	for host, want := range map[string]int{"server.example": 200, "abc123.execute-api.us-east-1.amazonaws.com": 426} {
		r := newRequest("/console")
		r.Host = host
		w := httptest.NewRecorder()
		n.protocol.Wrap(mux).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("on %s it was answered %d", host, w.Code)
		}
	}
}

// TestTranslations: every code has an answer of the management API, and only what
// cannot be known of a connection is Gone.
func TestTranslations(t *testing.T) {
	n := bareNode(t)
	want := map[earshot.Code]string{
		earshot.Internal: "500 InternalServerErrorException", earshot.Invalid: "400 BadRequestException",
		earshot.Unauthenticated: "403 ForbiddenException", earshot.Forbidden: "403 ForbiddenException",
		earshot.NotFound: "410 GoneException", earshot.Kicked: "410 GoneException", earshot.Expired: "410 GoneException",
		earshot.Conflict: "409 ConflictException", earshot.TooLarge: "413 PayloadTooLargeException",
		earshot.Limited: "429 LimitExceededException", earshot.Slow: "429 LimitExceededException",
		earshot.Unavailable: "503 InternalServerErrorException", earshot.Full: "503 InternalServerErrorException",
		earshot.Unknown: "503 InternalServerErrorException", earshot.Shutdown: "503 InternalServerErrorException",
		earshot.Timeout: "503 InternalServerErrorException",
	}
	for _, c := range earshot.Codes() {
		n.engine.Store().OnAppend(func(int, *earshot.Message) mem.Outcome { return mem.Outcome{Err: &earshot.Error{Code: c, Text: "t"}} })
		status, header, body := n.in(call{method: "POST", path: "/prod/@channels/logged", body: []byte("x")})
		if got := fmt.Sprint(status, " ", header.Get("x-amzn-ErrorType")); got != want[c] || !strings.HasPrefix(body, `{"message":"`) {
			t.Errorf("%v: %s %s, want %s", c, got, body, want[c])
		}
	}
}
