package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/earshot-io/earshot"
)

// wantKind fails unless the error is a Failure of the kind; 0 is no error.
func wantKind(t *testing.T, err error, kind FailureKind) {
	t.Helper()
	var f *Failure
	switch {
	case kind == 0 && err != nil:
		t.Errorf("failed: %v", err)
	case kind != 0 && (!errors.As(err, &f) || f.Kind != kind):
		t.Errorf("%v, want %v", err, kind)
	}
}

func eventOf(t *testing.T, s *Stage, key string) *Event {
	t.Helper()
	kind := Message
	switch key {
	case ConnectRoute:
		kind = Connect
	case DisconnectRoute:
		kind = Disconnect
	}
	e := sampleEvent(s, kind)
	e.Route = s.Route(key)
	return e
}

// TestProxyAnswers is the table of section 7.2, with 4.3, 7.6 and what they leave
// open. Status 0 is a malformed answer.
func TestProxyAnswers(t *testing.T) {
	goZero, err := json.Marshal(events.APIGatewayProxyResponse{})
	if err != nil {
		t.Fatal(err)
	}
	goOK, err := json.Marshal(events.APIGatewayProxyResponse{StatusCode: 200, Body: "hi"})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", MaxReply)
	for _, test := range []struct {
		name, route, payload string
		want                 Answer
	}{
		{"ok", "$connect", `{"statusCode":200}`, Answer{Status: 200}},
		{"201", "$connect", `{"statusCode":201}`, Answer{Status: 201}},
		{"204", "$connect", `{"statusCode":204}`, Answer{Status: 204}},
		{"301", "$connect", `{"statusCode":301}`, Answer{Status: 301}},
		{"401", "$connect", `{"statusCode":401}`, Answer{Status: 401}},
		{"501", "$connect", `{"statusCode":501}`, Answer{Status: 501}},
		{"Go's zero", "$connect", string(goZero), Answer{}},
		{"Go's zero for a message", "$default", string(goZero), Answer{}},
		{"Go's own form", "twoway", string(goOK), Answer{Status: 200, Body: []byte("hi")}},
		{"0", "$connect", `{"statusCode":0}`, Answer{}},
		{"100", "$connect", `{"statusCode":100}`, Answer{}},
		{"600", "$connect", `{"statusCode":600}`, Answer{}},
		{"negative", "$connect", `{"statusCode":-200}`, Answer{}},
		{"no status", "$connect", `{"body":"x"}`, Answer{}},
		{"null status", "$connect", `{"statusCode":null}`, Answer{}},
		{"text status", "$connect", `{"statusCode":"200"}`, Answer{}},
		{"broken status", "$connect", `{"statusCode":200.5}`, Answer{}},
		{"other spelling", "$connect", `{"statuscode":200}`, Answer{}},
		{"null", "$connect", `null`, Answer{}},
		{"nothing", "$connect", ``, Answer{}},
		{"a string", "$connect", `"ok"`, Answer{}},
		{"an array", "$connect", `[{"statusCode":200}]`, Answer{}},
		{"no JSON", "$connect", `{"statusCode":200`, Answer{}},
		{"more behind it", "$connect", `{"statusCode":200} x`, Answer{}},
		{"null members", "$connect", `{"statusCode":200,"headers":null,"multiValueHeaders":null,"body":null,"isBase64Encoded":null,"join":null,"leave":null}`, Answer{Status: 200}},
		{"unknown members", "$connect", `{"statusCode":200,"cookies":["a"],"x":{}}`, Answer{Status: 200}},

		{"null on a one-way route", "$default", ` null `, Answer{Status: 200}},
		{"nothing on a one-way route", "$default", ``, Answer{Status: 200}},
		{"null on a two-way route", "twoway", `null`, Answer{}},
		{"nothing on a two-way route", "twoway", ``, Answer{}},
		{"a string on a one-way route", "$default", `"ok"`, Answer{}},
		{"anything after the end", "$disconnect", `"whatever`, Answer{Status: 200}},
		{"null after the end", "$disconnect", `null`, Answer{Status: 200}},
		{"a status after the end", "$disconnect", `{"statusCode":500,"join":["x"]}`, Answer{Status: 200}},

		{"subprotocol", "$connect", `{"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"chat1"}}`, Answer{Status: 200, Subprotocol: "chat1"}},
		{"subprotocol in other letters", "$connect", `{"statusCode":200,"headers":{"sec-websocket-PROTOCOL":" chat1 "}}`, Answer{Status: 200, Subprotocol: "chat1"}},
		{"subprotocol among many", "$connect", `{"statusCode":200,"multiValueHeaders":{"Sec-WebSocket-Protocol":["chat1"]}}`, Answer{Status: 200, Subprotocol: "chat1"}},
		{"two subprotocols", "$connect", `{"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"a, b"}}`, Answer{}},
		{"a subprotocol with an end of line", "$connect", `{"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"a\r\nSet-Cookie: x"}}`, Answer{}},
		{"headers that are none", "$connect", `{"statusCode":200,"headers":[]}`, Answer{}},
		{"a header that is none", "$connect", `{"statusCode":200,"headers":{"a":{}}}`, Answer{}},
		{"headers of numbers", "$connect", `{"statusCode":200,"headers":{"a":1,"b":true}}`, Answer{Status: 200}},
		{"many that are none", "$connect", `{"statusCode":200,"multiValueHeaders":{"a":"b"}}`, Answer{}},

		{"body of a two-way route", "twoway", `{"statusCode":200,"body":"hello"}`, Answer{Status: 200, Body: []byte("hello")}},
		{"body with any status", "twoway", `{"statusCode":500,"body":"hello"}`, Answer{Status: 500, Body: []byte("hello")}},
		{"body of a one-way route", "$default", `{"statusCode":200,"body":"hello"}`, Answer{Status: 200}},
		{"body of a handshake", "$connect", `{"statusCode":200,"body":"hello"}`, Answer{Status: 200}},
		{"an empty body", "twoway", `{"statusCode":200,"body":""}`, Answer{Status: 200}},
		{"no body", "twoway", `{"statusCode":200}`, Answer{Status: 200}},
		{"an object as body", "twoway", `{"statusCode":200,"body":{"a":1}}`, Answer{}},
		{"an object as body of a one-way route", "$default", `{"statusCode":200,"body":{"a":1}}`, Answer{}},
		{"base64", "twoway", `{"statusCode":200,"body":"AP8=","isBase64Encoded":true}`, Answer{Status: 200, Body: []byte{0, 0xff}, Binary: true}},
		{"no base64", "twoway", `{"statusCode":200,"body":"***","isBase64Encoded":true}`, Answer{}},
		{"not said to be base64", "twoway", `{"statusCode":200,"body":"AP8=","isBase64Encoded":false}`, Answer{Status: 200, Body: []byte("AP8=")}},
		{"base64 by a string", "twoway", `{"statusCode":200,"body":"AP8=","isBase64Encoded":"true"}`, Answer{}},
		{"the longest body", "twoway", `{"statusCode":200,"body":"` + long + `"}`, Answer{Status: 200, Body: []byte(long)}},
		{"too long a body", "twoway", `{"statusCode":200,"body":"` + long + `x"}`, Answer{}},
		{"too long a body for nobody", "$default", `{"statusCode":200,"body":"` + long + `x"}`, Answer{Status: 200}},

		{"join", "$connect", `{"statusCode":200,"join":["room.1","news"],"leave":["old"]}`, Answer{Status: 200, Join: []string{"room.1", "news"}, Leave: []string{"old"}}},
		{"join of a message", "$default", `{"statusCode":200,"join":[]}`, Answer{Status: 200, Join: []string{}}},
		{"join of one name", "$connect", `{"statusCode":200,"join":"room"}`, Answer{}},
		{"join of an empty name", "$connect", `{"statusCode":200,"join":[""]}`, Answer{}},
		{"join of too much", "$connect", `{"statusCode":200,"join":[` + strings.Repeat(`"a",`, maxChannels) + `"a"]}`, Answer{}},
		{"envelope", "$connect", `{"statusCode":200,"envelope":true}`, Answer{Status: 200, Envelope: true}},
		{"envelope of text", "$connect", `{"statusCode":200,"envelope":"true"}`, Answer{}},
		{"leave of a number", "$connect", `{"statusCode":200,"leave":[1]}`, Answer{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := eventOf(t, sampleStage(t, nil), test.route)
			got, err := e.ReadProxy([]byte(test.payload))
			if test.want.Status == 0 {
				wantKind(t, err, Malformed)
				return
			}
			if err != nil || !reflect.DeepEqual(*got, test.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestHTTPAnswers are those of HTTP and HTTP_PROXY (7.3), and of MOCK (7.5).
func TestHTTPAnswers(t *testing.T) {
	fixed := "fixed"
	responses := []earshot.GatewayResponse{
		{Key: `/2\d\d/`}, {Key: "/404|410/", Status: 200, Body: &fixed}, {Key: "/5/", Body: &fixed}, {Key: "$default", Status: 418},
	}
	for _, test := range []struct {
		name, kind, route string
		responses         []earshot.GatewayResponse
		status            int
		header            http.Header
		body              string
		want              Answer
	}{
		{"proxy lets in", "HTTP_PROXY", "$connect", nil, 204, nil, "", Answer{Status: 204}},
		{"proxy refuses", "HTTP_PROXY", "$connect", nil, 403, nil, "no", Answer{Status: 403}},
		{"proxy redirects", "HTTP_PROXY", "$connect", nil, 302, nil, "", Answer{Status: 302}},
		{"proxy switches protocols", "HTTP_PROXY", "$connect", nil, 101, nil, "", Answer{}},
		{"proxy chooses", "HTTP_PROXY", "$connect", nil, 200, http.Header{"Sec-Websocket-Protocol": {"chat1"}}, "", Answer{Status: 200, Subprotocol: "chat1"}},
		{"proxy chooses two", "HTTP_PROXY", "$connect", nil, 200, http.Header{"Sec-Websocket-Protocol": {"a,b"}}, "", Answer{}},
		{"proxy replies", "HTTP_PROXY", "twoway", nil, 200, nil, "hello", Answer{Status: 200, Body: []byte("hello")}},
		{"proxy replies with any status", "HTTP_PROXY", "twoway", nil, 500, nil, "oh", Answer{Status: 500, Body: []byte("oh")}},
		{"proxy replies with what is no text", "HTTP_PROXY", "twoway", nil, 200, nil, "\xff", Answer{Status: 200, Body: []byte("\xff"), Binary: true}},
		{"proxy says too much", "HTTP_PROXY", "twoway", nil, 200, nil, strings.Repeat("x", MaxReply+1), Answer{}},
		{"proxy one-way", "HTTP_PROXY", "$default", nil, 200, nil, "hello", Answer{Status: 200}},
		{"proxy after the end", "HTTP_PROXY", "$disconnect", nil, 500, nil, "hello", Answer{Status: 200}},
		{"HTTP as it is", "HTTP", "twoway", responses, 201, nil, "hello", Answer{Status: 201, Body: []byte("hello")}},
		{"HTTP fixed", "HTTP", "twoway", responses, 404, nil, "hello", Answer{Status: 200, Body: []byte("fixed")}},
		{"HTTP other", "HTTP", "twoway", responses, 301, nil, "hello", Answer{Status: 418, Body: []byte("hello")}},
		{"HTTP fits whole", "HTTP", "twoway", responses, 500, nil, "hello", Answer{Status: 418, Body: []byte("hello")}},
		{"HTTP without a response", "HTTP", "twoway", responses[:1], 404, nil, "hello", Answer{}},
		{"HTTP without any", "HTTP", "$connect", nil, 200, nil, "", Answer{}},
		{"HTTP decides", "HTTP", "$connect", responses, 410, nil, "", Answer{Status: 200}},
		{"MOCK", "MOCK", "$connect", nil, 0, nil, "", Answer{Status: 200}},
		{"MOCK refuses", "MOCK", "$connect", responses[3:], 0, nil, "", Answer{Status: 418}},
		{"MOCK replies", "MOCK", "twoway", []earshot.GatewayResponse{{Key: "/200/", Body: &fixed}}, 0, nil, "", Answer{Status: 200, Body: []byte("fixed")}},
		{"MOCK one-way", "MOCK", "$default", []earshot.GatewayResponse{{Key: "/200/", Body: &fixed}}, 0, nil, "", Answer{Status: 200}},
		{"MOCK after the end", "MOCK", "$disconnect", responses[3:], 0, nil, "", Answer{Status: 200}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sampleStage(t, func(g *earshot.Gateway) {
				g.Integrations[0] = earshot.GatewayIntegration{ID: "i", Type: test.kind, URI: "http://backend/", Responses: test.responses}
			})
			e := eventOf(t, s, test.route)
			got, err := e.Mock()
			if test.kind != earshot.Mock {
				got, err = e.ReadHTTP(test.status, test.header, []byte(test.body))
			}
			if test.want.Status == 0 {
				wantKind(t, err, Malformed)
				return
			}
			if err != nil || !reflect.DeepEqual(*got, test.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	if FailureOf(nil) != nil {
		t.Error("nil is a failure")
	}
	cause := errors.New("x")
	if f := FailureOf(cause); f.Kind != Unreachable || !errors.Is(f, cause) {
		t.Errorf("%+v", f)
	}
	if f := FailureOf(&Failure{Denied, cause}); f.Kind != Denied || f.Error() != "x" {
		t.Errorf("%+v", f)
	}
	names := map[string]bool{}
	for _, k := range FailureKinds() {
		names[k.String()] = true
	}
	if len(names) != 10 || names["unknown"] {
		t.Errorf("%v", names)
	}
}
