package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
)

// httpStage is the stage of the samples with an HTTP integration.
func httpStage(t testing.TB, n earshot.GatewayIntegration) *Stage {
	t.Helper()
	return sampleStage(t, func(g *earshot.Gateway) {
		withVariable(g)
		if n.ID = "i"; n.Type == "" {
			n.Type = earshot.HTTPProxy
		}
		if n.URI == "" {
			n.URI = "http://backend/"
		}
		g.Integrations[0] = n
	})
}

// TestSources is the table of section 7.3: each source, on every event.
func TestSources(t *testing.T) {
	for _, test := range []struct{ source, connect, message, disconnect string }{ // - is nothing
		{"'static'", "static", "static", "static"},
		{"''", "", "", ""},
		{"route.request.querystring.Auth", "myFakeToken", "-", "-"},
		{"route.request.querystring.auth", "-", "-", "-"},
		{"route.request.multivaluequerystring.many", "1,2", "-", "-"},
		{"route.request.querystring.many", "2", "-", "-"},
		{"route.request.header.ORIGIN", "https://site", "-", "-"},
		{"route.request.multivalueheader.Origin", "https://site", "-", "-"},
		{"route.request.header.X", "-", "-", "-"},
		{"route.request.body.action", "-", "pushtowebsocket", "-"},
		{"route.request.body['message']", "-", "hello Matteo", "-"},
		{"route.request.body.x", "-", "-", "-"},
		{"stageVariables.k", "v", "v", "v"},
		{"stageVariables.x", "-", "-", "-"},
		{"context.connectionId", "TXzPWdnOjoECGjA=", "TXzPWdnOjoECGjA=", "TXzPWdnOjoECGjA="},
		{"context.connectedAt", "1708326702789", "1708326702789", "1708326702789"},
		{"context.domainName", "abc123.example.com", "abc123.example.com", "abc123.example.com"},
		{"context.eventType", "CONNECT", "MESSAGE", "DISCONNECT"},
		{"context.messageId", "-", "R1knPc2ntjMCFIA=", "-"},
		{"context.routeKey", "$connect", "pushtowebsocket", "$disconnect"},
		{"context.requestId", "TXzPWFkkjoEF92g=", "TXzPWFkkjoEF92g=", "TXzPWFkkjoEF92g="},
		{"context.extendedRequestId", "TXzPWFkkjoEF92g=", "TXzPWFkkjoEF92g=", "TXzPWFkkjoEF92g="},
		{"context.apiId", "abc123", "abc123", "abc123"},
		{"context.authorizer.principalId", "me", "me", "me"},
		{"context.authorizer.org", "my-org", "my-org", "my-org"},
		{"context.authorizer.x", "-", "-", "-"},
		{"context.identity.sourceIp", "192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"context.identity.userAgent", "agent/1", "agent/1", "agent/1"},
		{"context.identity.accountId", "123456789012", "123456789012", "123456789012"},
		{"context.identity.accessKey", "AKIDEXAMPLE", "AKIDEXAMPLE", "AKIDEXAMPLE"},
		{"context.identity.caller", "AKIDEXAMPLE", "AKIDEXAMPLE", "AKIDEXAMPLE"},
		{"context.identity.user", "AKIDEXAMPLE", "AKIDEXAMPLE", "AKIDEXAMPLE"},
		{"context.identity.userArn", "arn:aws:iam::123456789012:user/AKIDEXAMPLE", "arn:aws:iam::123456789012:user/AKIDEXAMPLE", "arn:aws:iam::123456789012:user/AKIDEXAMPLE"},
		{"context.identity.apiKey", "k", "k", "k"},
		{"context.identity.apiKeyId", "id", "id", "id"},
		{"context.identity.cognitoIdentityId", "-", "-", "-"},
		{"context.requestTime", "19/Feb/2024:07:11:42 +0000", "19/Feb/2024:07:11:42 +0000", "19/Feb/2024:07:11:42 +0000"},
		{"context.requestTimeEpoch", "1708326702790", "1708326702790", "1708326702790"},
		{"context.stage", "prod", "prod", "prod"},
		{"context.status", "-", "-", "-"},
		{"context.error.messageString", "-", "-", "-"},
		{"context.error.validationErrorString", "-", "-", "-"},
	} {
		from, err := parseSource(test.source)
		if err != nil {
			t.Errorf("%s: %v", test.source, err)
			continue
		}
		for kind, want := range map[string]string{Connect: test.connect, Message: test.message, Disconnect: test.disconnect} {
			e := sampleEvent(sampleStage(t, withVariable), kind)
			e.Conn.APIKey, e.Conn.APIKeyID, e.Conn.AccessKey = "k", "id", "AKIDEXAMPLE"
			if kind == Connect {
				e.Handshake.Query["many"] = []string{"1", "2"}
			}
			got, ok := from.value(e)
			if !ok {
				got = "-"
			}
			if got != want {
				t.Errorf("%s of %s: %q, want %q", test.source, kind, got, want)
			}
		}
	}
	for _, source := range []string{
		"", "'", "static", "context", "context.", "context.nothing", "context.identity.x", "context.authorizer.", "stageVariables.", "route.request.body",
		"route.request.body.*", "route.request.path.x", "request.header.x", "$request.header.x", "integration.response.header.x",
	} {
		if _, err := parseSource(source); err == nil {
			t.Errorf("%q is accepted", source)
		}
	}
}

// TestRequests are what HTTP integrations are sent (7.3).
func TestRequests(t *testing.T) {
	parameters := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m["integration.request."+pairs[i]] = pairs[i+1]
		}
		return m
	}
	for _, test := range []struct {
		name   string
		n      earshot.GatewayIntegration
		kind   string
		change func(*Event)
		url    string // empty for the address as it is
		body   string
		header map[string]string // - for none
		method string            // empty for POST
	}{
		{
			"a message as it is",
			earshot.GatewayIntegration{},
			Message, nil, "",
			`{"message":"hello Matteo",  "action":"pushtowebsocket"}`,
			map[string]string{"Content-Type": "application/json", "X-Connection-Id": "-", "Origin": "-"},
			"",
		},
		{"text", earshot.GatewayIntegration{}, Message, func(e *Event) { e.Body = []byte("hello") }, "", "hello", map[string]string{"Content-Type": "text/plain; charset=utf-8"}, ""},
		{"binary", earshot.GatewayIntegration{}, Message, func(e *Event) { e.Body, e.Binary = []byte("\xff"), true }, "", "\xff", map[string]string{"Content-Type": "application/octet-stream"}, ""},
		{"the method", earshot.GatewayIntegration{Method: "PUT"}, Message, func(e *Event) { e.Body = []byte("1") }, "", "1", nil, "PUT"},
		{"any method", earshot.GatewayIntegration{Method: "ANY"}, Message, func(e *Event) { e.Body = []byte("1") }, "", "1", nil, "POST"},
		{"a method without a body", earshot.GatewayIntegration{Method: "GET"}, Message, nil, "", "", map[string]string{"Content-Type": "-"}, "GET"},
		{
			"a handshake",
			earshot.GatewayIntegration{},
			Connect, nil, "http://backend/?Auth=myFakeToken", "",
			map[string]string{
				"Origin": "https://site", "Cookie": "c=1", "User-Agent": "agent/1", "Sec-Websocket-Protocol": "chat1,myprotocol", "X-Forwarded-For": "192.0.2.1",
				"Sec-Websocket-Key": "-", "Sec-Websocket-Version": "-", "Sec-Websocket-Extensions": "-", "Connection": "-", "Upgrade": "-", "Host": "-", "Content-Type": "-",
			},
			"",
		},
		{
			"a handshake with its upgrade",
			earshot.GatewayIntegration{ForwardUpgrade: true},
			Connect, nil, "http://backend/?Auth=myFakeToken", "",
			map[string]string{"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Version": "13", "Connection": "-", "Upgrade": "-"},
			"",
		},
		{
			"a handshake with another version",
			earshot.GatewayIntegration{ForwardUpgrade: true, RequestParameters: parameters("header.Sec-WebSocket-Version", "'0'")},
			Connect, nil, "http://backend/?Auth=myFakeToken", "",
			map[string]string{"Sec-Websocket-Version": "0"},
			"",
		},
		{"the end", earshot.GatewayIntegration{}, Disconnect, nil, "", "", map[string]string{"Content-Type": "-"}, ""},
		{
			"who it is",
			earshot.GatewayIntegration{RequestParameters: parameters("header.connectionId", "context.connectionId")},
			Disconnect, nil, "", "",
			map[string]string{"Connectionid": "TXzPWdnOjoECGjA="},
			"",
		},
		{
			"headers of the event",
			earshot.GatewayIntegration{EventHeaders: true},
			Connect,
			func(e *Event) {
				e.Handshake.Header = append(e.Handshake.Header, Field{"X-Connection-Id", "forged"}, Field{"x-message-id", "forged"})
			},
			"http://backend/?Auth=myFakeToken", "",
			map[string]string{
				"X-Connection-Id": "TXzPWdnOjoECGjA=", "X-Event-Type": "CONNECT", "X-Route-Key": "$connect", "X-Request-Id": "TXzPWFkkjoEF92g=", "X-Message-Id": "-",
			},
			"",
		},
		{
			"a forged header",
			earshot.GatewayIntegration{RequestParameters: parameters("header.X-User", "context.authorizer.principalId")},
			Connect,
			func(e *Event) {
				e.Conn.Authorizer = nil
				e.Handshake.Header = append(e.Handshake.Header, Field{"x-user", "admin"})
			}, "http://backend/?Auth=myFakeToken", "",
			map[string]string{"X-User": "-"},
			"",
		},
		{
			"the query",
			earshot.GatewayIntegration{URI: "http://backend/a?x=1&y=2", RequestParameters: parameters("querystring.y", "context.stage", "querystring.z", "'a&b'")},
			Message, func(e *Event) { e.Body = []byte("1") }, "http://backend/a?x=1&y=prod&z=a%26b", "1", nil, "",
		},
		{
			"a forged query",
			earshot.GatewayIntegration{URI: "http://backend/a?x=1", RequestParameters: parameters("querystring.user", "context.authorizer.principalId")},
			Connect, func(e *Event) {
				e.Conn.Authorizer = nil
				e.Handshake.Query = url.Values{"x": {"2"}, "user": {"admin"}, "other": {"3"}}
			}, "http://backend/a?x=1&other=3", "", nil, "",
		},
		{
			"the path",
			earshot.GatewayIntegration{URI: "http://backend/{id}/b/{what}", RequestParameters: parameters("path.id", "context.connectionId", "path.what", "route.request.body.action")},
			Message, func(e *Event) { e.Body = []byte(`{"action":"a/../b?c#d"}`) }, "http://backend/TXzPWdnOjoECGjA=/b/a%2F..%2Fb%3Fc%23d", `{"action":"a/../b?c#d"}`, nil, "",
		},
		{"stage variables", earshot.GatewayIntegration{URI: "http://${stageVariables.k}.x/${stageVariables.k}?${stageVariables.k}=1"}, Disconnect, nil, "http://v.x/v?v=1", "", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := httpStage(t, test.n)
			e := sampleEvent(s, test.kind)
			if test.change != nil {
				test.change(e)
			}
			r, err := e.Request()
			if err != nil {
				t.Fatal(err)
			}
			if test.url == "" {
				test.url = "http://backend/"
			}
			if test.method == "" {
				test.method = http.MethodPost
			}
			if r.URL != test.url || r.Method != test.method || string(r.Body) != test.body {
				t.Errorf("%s %s %q", r.Method, r.URL, r.Body)
			}
			for name, want := range test.header {
				got, ok := r.Header[name]
				if want == "-" && ok || want != "-" && (len(got) != 1 || got[0] != want) {
					t.Errorf("%s: %v, want %s", name, got, want)
				}
			}
		})
	}
}

func TestEventRequest(t *testing.T) {
	s := httpStage(t, earshot.GatewayIntegration{Type: earshot.HTTPEvent, Method: "GET", URI: "http://backend/?x=1"})
	e := sampleEvent(s, Connect)
	r, err := e.Request()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := e.JSON()
	if r.Method != "POST" || r.URL != "http://backend/?x=1" || string(r.Body) != string(want) || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Origin") != "" {
		t.Errorf("%+v", r)
	}
}

// TestWhatCannotBeSent refuses the event, rather than send another request than
// the one that was meant.
func TestWhatCannotBeSent(t *testing.T) {
	for _, text := range []string{"a\\r\\nX-Admin: 1", "a\\nb", "a\\u0000", "\\u007f", " a", "a\\t", strings.Repeat("x", maxMapped+1)} {
		s := httpStage(t, earshot.GatewayIntegration{RequestParameters: map[string]string{"integration.request.header.X-Text": "route.request.body.action"}})
		e := sampleEvent(s, Message)
		e.Body = []byte(`{"action":"` + text + `"}`)
		_, err := e.Request()
		wantKind(t, err, Misconfigured)
	}
	for _, text := range []string{"", ".", ".."} {
		s := httpStage(t, earshot.GatewayIntegration{URI: "http://backend/a/{x}", RequestParameters: map[string]string{"integration.request.path.x": "route.request.body.action"}})
		e := sampleEvent(s, Message)
		e.Body = []byte(`{"action":"` + text + `"}`)
		_, err := e.Request()
		wantKind(t, err, Misconfigured)
	}
	_, err := sampleEvent(sampleStage(t, nil), Message).Request()
	wantKind(t, err, Misconfigured)
}

// TestTargets are the forms of a function's name (2, 10.1).
func TestTargets(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-1:123456789012:function:fn"
	for uri, want := range map[string]Function{
		"fn":                            {"fn", "fn", "", ""},
		"fn:live":                       {"fn:live", "fn", "live", ""},
		"fn:$LATEST":                    {"fn:$LATEST", "fn", "$LATEST", ""},
		arn:                             {arn, "fn", "", "eu-west-1"},
		arn + ":7":                      {arn + ":7", "fn", "7", "eu-west-1"},
		"123456789012:function:fn":      {"123456789012:function:fn", "fn", "", ""},
		"123456789012:function:fn:live": {"123456789012:function:fn:live", "fn", "live", ""},
		"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/" + arn + "/invocations":           {arn, "fn", "", "eu-west-1"},
		"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/" + arn + ":live" + "/invocations": {arn + ":live", "fn", "live", "eu-west-1"},
	} {
		got, err := functionTarget(uri)
		if err != nil || *got.Function != want {
			t.Errorf("%s: %+v, %v", uri, got, err)
		}
	}
	for _, uri := range []string{
		"", "a b", "a/b", "fn:", ":fn", "a:b:c:d:e", "arn:aws:sqs:eu-west-1:123456789012:q", "arn:aws:lambda:eu-west-1:123456789012:layer:x",
		"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/" + arn, "http://backend/", "fn\r\nx", strings.Repeat("x", 141), arn + ":1:2",
		"arn:aws:lambda:example.com/:123456789012:function:fn", "arn:aws:lambda:a b:123456789012:function:fn",
	} {
		if got, err := functionTarget(uri); err == nil {
			t.Errorf("%q is taken for %+v", uri, got.Function)
		}
	}
}

// FuzzMapping looks for mappings and messages of which a request is made that is
// not the one that was meant: elsewhere, or with a header that was not mapped.
func FuzzMapping(f *testing.F) {
	f.Add("route.request.body.a", `{"a":"b\r\nX-Admin: 1"}`)
	f.Add("'static'", `{}`)
	f.Add("context.authorizer.org", `..`)
	f.Fuzz(func(t *testing.T, text, message string) {
		g := &earshot.Gateway{
			ID: "x", RouteSelection: "a", Stages: []earshot.GatewayStage{{Name: "s"}}, Routes: []earshot.GatewayRoute{{Key: "a", Target: "integrations/i"}},
			Integrations: []earshot.GatewayIntegration{{ID: "i", Type: earshot.HTTPProxy, URI: "http://backend:81/a/{p}/b?c=d", RequestParameters: map[string]string{
				"integration.request.header.X-Text": text, "integration.request.querystring.q": text, "integration.request.path.p": text,
			}}},
		}
		a, err := Compile(g)
		if err != nil {
			return
		}
		s := a.Stage("s")
		e := sampleEvent(s, Message)
		e.Route, e.Body = s.Route("a"), []byte(message)
		r, err := e.Request()
		if err != nil {
			return
		}
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatalf("%q: %v", r.URL, err)
		}
		parts := strings.Split(u.EscapedPath(), "/")
		if u.Host != "backend:81" || u.Scheme != "http" || u.User != nil || u.Fragment != "" || len(parts) != 4 || parts[1] != "a" || parts[3] != "b" || parts[2] == ".." {
			t.Errorf("%q leads elsewhere", r.URL)
		}
		q, err := url.ParseQuery(u.RawQuery)
		if err != nil || q.Get("c") != "d" || len(q) > 2 {
			t.Errorf("query %q: %v", u.RawQuery, err)
		}
		for name, values := range r.Header {
			if name != "X-Text" && name != "User-Agent" && name != "Content-Type" || len(values) != 1 || strings.ContainsAny(values[0], "\r\n\x00") {
				t.Errorf("header %q: %q", name, values)
			}
		}
		if string(r.Body) != message {
			t.Errorf("body %q", r.Body)
		}
	})
}
