package gateway

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/earshot-io/earshot"
)

// The samples of sections 6.1 to 6.3 and 8.2, member by member.
const (
	sampleConnect = `{
  "headers": {
    "Host": "abc123.example.com",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "chat1,myprotocol",
    "User-Agent": "agent/1", "Origin": "https://site", "Cookie": "c=1",
    "X-Amzn-Trace-Id": "Root=1-65d2ff2e-718990494fd688f062bf1571",
    "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"
  },
  "multiValueHeaders": {
    "Host": ["abc123.example.com"],
    "Sec-WebSocket-Extensions": ["permessage-deflate; client_max_window_bits"],
    "Sec-WebSocket-Key": ["dGhlIHNhbXBsZSBub25jZQ=="], "Sec-WebSocket-Version": ["13"],
    "Sec-WebSocket-Protocol": ["chat1,myprotocol"],
    "User-Agent": ["agent/1"], "Origin": ["https://site"], "Cookie": ["c=1"],
    "X-Amzn-Trace-Id": ["Root=1-65d2ff2e-718990494fd688f062bf1571"],
    "X-Forwarded-For": ["192.0.2.1"], "X-Forwarded-Port": ["443"], "X-Forwarded-Proto": ["https"]
  },
  "queryStringParameters": { "Auth": "myFakeToken" },
  "multiValueQueryStringParameters": { "Auth": ["myFakeToken"] },
  "stageVariables": { "k": "v" },
  "requestContext": {
    "routeKey": "$connect",
    "authorizer": { "principalId": "me", "integrationLatency": 250, "org": "my-org" },
    "eventType": "CONNECT",
    "extendedRequestId": "TXzPWFkkjoEF92g=",
    "requestTime": "19/Feb/2024:07:11:42 +0000",
    "messageDirection": "IN",
    "stage": "prod",
    "connectedAt": 1708326702789,
    "requestTimeEpoch": 1708326702790,
    "identity": { "userAgent": "agent/1", "sourceIp": "192.0.2.1" },
    "requestId": "TXzPWFkkjoEF92g=",
    "domainName": "abc123.example.com",
    "connectionId": "TXzPWdnOjoECGjA=",
    "apiId": "abc123"
  },
  "isBase64Encoded": false
}`
	sampleMessage = `{
  "stageVariables": { "k": "v" },
  "requestContext": {
    "routeKey": "pushtowebsocket",
    "authorizer": { "principalId": "me", "org": "my-org" },
    "messageId": "R1knPc2ntjMCFIA=",
    "eventType": "MESSAGE",
    "extendedRequestId": "TXzPWFkkjoEF92g=",
    "requestTime": "19/Feb/2024:07:11:42 +0000",
    "messageDirection": "IN",
    "stage": "prod",
    "connectedAt": 1708326702789,
    "requestTimeEpoch": 1708326702790,
    "identity": { "userAgent": "agent/1", "sourceIp": "192.0.2.1" },
    "requestId": "TXzPWFkkjoEF92g=",
    "domainName": "abc123.example.com",
    "connectionId": "TXzPWdnOjoECGjA=",
    "apiId": "abc123"
  },
  "body": "{\"message\":\"hello Matteo\",  \"action\":\"pushtowebsocket\"}",
  "isBase64Encoded": false
}`
	sampleDisconnect = `{
  "headers": { "Host": "abc123.example.com", "x-api-key": "", "X-Forwarded-For": "", "x-restapi": "" },
  "multiValueHeaders": { "Host": ["abc123.example.com"], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""] },
  "stageVariables": { "k": "v" },
  "requestContext": {
    "routeKey": "$disconnect",
    "disconnectStatusCode": 1005,
    "authorizer": { "principalId": "me", "org": "my-org" },
    "eventType": "DISCONNECT",
    "extendedRequestId": "TXzPWFkkjoEF92g=",
    "requestTime": "19/Feb/2024:07:11:42 +0000",
    "messageDirection": "IN",
    "disconnectReason": "Client-side close frame status not set",
    "stage": "prod",
    "connectedAt": 1708326702789,
    "requestTimeEpoch": 1708326702790,
    "identity": { "userAgent": "agent/1", "sourceIp": "192.0.2.1" },
    "requestId": "TXzPWFkkjoEF92g=",
    "domainName": "abc123.example.com",
    "connectionId": "TXzPWdnOjoECGjA=",
    "apiId": "abc123"
  },
  "isBase64Encoded": false
}`
	sampleAuthorizer = `{
  "type": "REQUEST",
  "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abc123/prod/$connect",
  "headers": {
    "Connection": "upgrade", "content-length": "0", "Host": "abc123.example.com", "Upgrade": "websocket",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "chat1,myprotocol",
    "User-Agent": "agent/1", "Origin": "https://site", "Cookie": "c=1",
    "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https",
    "X-Amzn-Trace-Id": "Root=1-65d2ff2e-718990494fd688f062bf1571"
  },
  "multiValueHeaders": {
    "Connection": ["upgrade"], "content-length": ["0"], "Host": ["abc123.example.com"], "Upgrade": ["websocket"],
    "Sec-WebSocket-Extensions": ["permessage-deflate; client_max_window_bits"],
    "Sec-WebSocket-Key": ["dGhlIHNhbXBsZSBub25jZQ=="], "Sec-WebSocket-Version": ["13"], "Sec-WebSocket-Protocol": ["chat1,myprotocol"],
    "User-Agent": ["agent/1"], "Origin": ["https://site"], "Cookie": ["c=1"],
    "X-Forwarded-For": ["192.0.2.1"], "X-Forwarded-Port": ["443"], "X-Forwarded-Proto": ["https"],
    "X-Amzn-Trace-Id": ["Root=1-65d2ff2e-718990494fd688f062bf1571"]
  },
  "queryStringParameters": { "Auth": "myFakeToken" },
  "multiValueQueryStringParameters": { "Auth": ["myFakeToken"] },
  "stageVariables": {},
  "requestContext": {
    "routeKey": "$connect", "eventType": "CONNECT", "extendedRequestId": "TXzPWFkkjoEF92g=", "requestTime": "19/Feb/2024:07:11:42 +0000",
    "messageDirection": "IN", "stage": "prod", "connectedAt": 1708326702789, "requestTimeEpoch": 1708326702790,
    "identity": { "userAgent": "agent/1", "sourceIp": "192.0.2.1" }, "requestId": "TXzPWFkkjoEF92g=", "domainName": "abc123.example.com",
    "connectionId": "TXzPWdnOjoECGjA=", "apiId": "abc123"
  }
}`
)

// differences lists the members in which two JSON values differ, by their paths.
func differences(path string, got, want any) []string {
	g, gok := got.(map[string]any)
	w, wok := want.(map[string]any)
	if !gok || !wok {
		if reflect.DeepEqual(got, want) {
			return nil
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		return []string{path + ": got " + string(a) + ", want " + string(b)}
	}
	var all []string
	for k := range w {
		if _, ok := g[k]; !ok {
			all = append(all, path+"."+k+" is missing")
			continue
		}
		all = append(all, differences(path+"."+k, g[k], w[k])...)
	}
	for k := range g {
		if _, ok := w[k]; !ok {
			all = append(all, path+"."+k+" should not be there")
		}
	}
	return all
}

func decode(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func same(t *testing.T, got []byte, want string) {
	t.Helper()
	for _, d := range differences("event", decode(t, got), decode(t, []byte(want))) {
		t.Error(d)
	}
}

func withVariable(g *earshot.Gateway) {
	g.Stages[0].Variables = map[string]string{"k": "v"}
}

func TestEventsOfTheSamples(t *testing.T) {
	s := sampleStage(t, withVariable)
	for kind, want := range map[string]string{Connect: sampleConnect, Message: sampleMessage, Disconnect: sampleDisconnect} {
		t.Run(kind, func(t *testing.T) {
			got, err := sampleEvent(s, kind).JSON()
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		})
	}
	t.Run("authorizer", func(t *testing.T) {
		got, err := sampleEvent(sampleStage(t, nil), Connect).AuthorizerJSON()
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, sampleAuthorizer)
	})
}

// TestEventsAreWhatGoDecodes reads the events with AWS's own types (6.5), and
// asks for every field.
func TestEventsAreWhatGoDecodes(t *testing.T) {
	s := sampleStage(t, withVariable)
	for _, kind := range []string{Connect, Message, Disconnect} {
		text, _ := sampleEvent(s, kind).JSON()
		var got events.APIGatewayWebsocketProxyRequest
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		c := got.RequestContext
		if c.ConnectionID != "TXzPWdnOjoECGjA=" || c.ConnectedAt != 1708326702789 || c.RequestTimeEpoch != 1708326702790 || c.EventType != kind ||
			c.Stage != "prod" || c.APIID != "abc123" || c.DomainName != "abc123.example.com" || c.RequestID != c.ExtendedRequestID || c.MessageDirection != "IN" ||
			c.Identity.SourceIP != "192.0.2.1" || c.Identity.UserAgent != "agent/1" || got.StageVariables["k"] != "v" || got.IsBase64Encoded {
			t.Errorf("%s: %+v", kind, got)
		}
		if a, ok := c.Authorizer.(map[string]any); !ok || a["principalId"] != "me" || a["org"] != "my-org" {
			t.Errorf("%s: authorizer %v", kind, c.Authorizer)
		}
		switch kind {
		case Connect:
			if got.QueryStringParameters["Auth"] != "myFakeToken" || got.MultiValueHeaders["Origin"][0] != "https://site" {
				t.Errorf("%+v", got)
			}
		case Message:
			if got.Body != `{"message":"hello Matteo",  "action":"pushtowebsocket"}` || c.MessageID != "R1knPc2ntjMCFIA=" {
				t.Errorf("%+v", got)
			}
		case Disconnect:
			if c.DisconnectStatusCode != 1005 || c.DisconnectReason == nil || *c.DisconnectReason != "Client-side close frame status not set" {
				t.Errorf("%+v", got)
			}
		}
	}
	text, _ := sampleEvent(s, Connect).AuthorizerJSON()
	var got events.APIGatewayCustomAuthorizerRequestTypeRequest
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "REQUEST" || !strings.HasSuffix(got.MethodArn, "abc123/prod/$connect") || got.QueryStringParameters["Auth"] != "myFakeToken" ||
		got.RequestContext.APIID != "abc123" || got.Headers["Upgrade"] != "websocket" {
		t.Errorf("%+v", got)
	}
}

// TestEventMembers are the rules of section 6 that the samples do not show.
func TestEventMembers(t *testing.T) {
	for _, test := range []struct {
		name   string
		kind   string
		change func(*Event)
		want   map[string]any // by path; nil for none
	}{
		{"no query", Connect, func(e *Event) { e.Handshake.Query = nil }, map[string]any{"queryStringParameters": nil, "multiValueQueryStringParameters": nil}},
		{"the last value counts", Connect, func(e *Event) { e.Handshake.Query["Auth"] = []string{"1", "2"} }, map[string]any{
			"queryStringParameters.Auth": "2", "multiValueQueryStringParameters.Auth": []any{"1", "2"},
		}},
		{"a header twice", Connect, func(e *Event) { e.Handshake.Header = append(e.Handshake.Header, Field{"x-A", "1"}, Field{"X-a", "2"}) }, map[string]any{
			"headers.x-A": "2", "multiValueHeaders.x-A": []any{"1", "2"}, "headers.X-a": nil,
		}},
		{"no body", Connect, nil, map[string]any{"body": nil}},
		{"no variables", Connect, nil, map[string]any{"stageVariables": nil}},
		{"no authorizer", Connect, func(e *Event) { e.Conn.Authorizer = nil }, map[string]any{"requestContext.authorizer": nil}},
		{"no user agent", Message, func(e *Event) { e.Conn.UserAgent = "" }, map[string]any{"requestContext.identity.userAgent": nil}},
		{"an API key", Message, func(e *Event) { e.Conn.APIKey, e.Conn.APIKeyID = "k", "id" }, map[string]any{
			"requestContext.identity.apiKey": "k", "requestContext.identity.apiKeyId": "id",
		}},
		{"signed", Connect, func(e *Event) { e.Conn.AccessKey = "AKIDEXAMPLE" }, map[string]any{
			"requestContext.identity.accessKey": "AKIDEXAMPLE", "requestContext.identity.accountId": "123456789012", "requestContext.identity.caller": "AKIDEXAMPLE",
			"requestContext.identity.user": "AKIDEXAMPLE", "requestContext.identity.userArn": "arn:aws:iam::123456789012:user/AKIDEXAMPLE",
		}},
		{"no message id", Disconnect, nil, map[string]any{"requestContext.messageId": nil, "body": nil}},
		{"an empty reason", Disconnect, func(e *Event) { e.Code, e.Reason = 1001, "" }, map[string]any{
			"requestContext.disconnectReason": "", "requestContext.disconnectStatusCode": json.Number("1001"),
		}},
		{"a message says nothing of the handshake", Message, nil, map[string]any{"headers": nil, "multiValueHeaders": nil, "queryStringParameters": nil}},
		{"an empty message", Message, func(e *Event) { e.Body = nil }, map[string]any{"body": ""}},
		{"the text as it came", Message, func(e *Event) { e.Body = []byte("{ \"a\" :1e3,\"é\\u0041</x>\":\u2028\"\x01\"}") }, map[string]any{"body": "{ \"a\" :1e3,\"é\\u0041</x>\":\u2028\"\x01\"}"}},
		{"binary", Message, func(e *Event) { e.Body, e.Binary = []byte{0, 0xff}, true }, map[string]any{
			"body": base64.StdEncoding.EncodeToString([]byte{0, 0xff}), "isBase64Encoded": true,
		}},
		{"the time is UTC", Message, func(e *Event) { e.Time = time.Date(2024, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 3600)) }, map[string]any{
			"requestContext.requestTime": "02/Jan/2024:02:04:05 +0000", "requestContext.requestTimeEpoch": json.Number("1704161045006"),
		}},
		{"a host by itself", Connect, func(e *Event) { e.Handshake.Header = nil }, map[string]any{"headers.Host": "abc123.example.com"}},
		{"a trace of the connection", Connect, func(e *Event) { e.Handshake.Header = nil }, map[string]any{
			"headers.X-Amzn-Trace-Id": traceID(sampleConnection()),
		}},
		{"no route", Disconnect, func(e *Event) { e.Route = nil }, map[string]any{"requestContext.routeKey": ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := sampleEvent(sampleStage(t, nil), test.kind)
			if test.change != nil {
				test.change(e)
			}
			text, err := e.JSON()
			if err != nil {
				t.Fatal(err)
			}
			v := decode(t, text)
			for path, want := range test.want {
				if got := member(v, path); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %#v, want %#v", path, got, want)
				}
			}
		})
	}
	if id := traceID(sampleConnection()); len(id) != len("Root=1-65d2ff2e-718990494fd688f062bf1571") || !strings.HasPrefix(id, "Root=1-65d2ff2e-") {
		t.Errorf("trace %s", id)
	}
}

// TestAuthorizerEventWithoutQuery has empty objects, so that a function may look
// into them.
func TestAuthorizerEventWithoutQuery(t *testing.T) {
	e := sampleEvent(sampleStage(t, nil), Connect)
	e.Handshake.Query = nil
	text, _ := e.AuthorizerJSON()
	v := decode(t, text)
	for _, path := range []string{"queryStringParameters", "multiValueQueryStringParameters", "stageVariables"} {
		if got := member(v, path); !reflect.DeepEqual(got, map[string]any{}) {
			t.Errorf("%s: %v", path, got)
		}
	}
	if member(v, "requestContext.authorizer") != nil {
		t.Error("it tells what an authorizer said")
	}
}

// member follows a path, in which a dot separates names. It returns nil for what
// is not there, and fails to tell that from null: no event has a null.
func member(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func BenchmarkEvent(b *testing.B) {
	s := sampleStage(b, nil)
	for _, kind := range []string{Connect, Message} {
		b.Run(kind, func(b *testing.B) {
			e := sampleEvent(s, kind)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.JSON(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
