package gateway

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/earshot-io/earshot"
)

// the resource of the samples.
const connectARN = "arn:aws:execute-api:us-east-1:123456789012:abc123/prod/$connect"

// answerOf is an authorizer's answer with statements.
func answerOf(statements string) string {
	return `{"principalId":"me","policyDocument":{"Version":"2012-10-17","Statement":` + statements + `}}`
}

func allowing(resource string) string {
	return `[{"Action":"execute-api:Invoke","Effect":"Allow","Resource":"` + resource + `"}]`
}

// TestPolicies is the table of section 8.4, from an address 192.0.2.1. 0 lets in.
func TestPolicies(t *testing.T) {
	goAnswer, err := json.Marshal(events.APIGatewayCustomAuthorizerResponse{
		PrincipalID: "me", PolicyDocument: events.APIGatewayCustomAuthorizerPolicy{
			Version: "2012-10-17", Statement: []events.IAMPolicyStatement{{Action: []string{"execute-api:Invoke"}, Effect: "Allow", Resource: []string{connectARN}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	statement := func(members string) string { return answerOf("[{" + members + "}]") }
	const allow = `"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"`
	const deny = `{"Effect":"Deny","Action":"execute-api:Invoke","Resource":"*"}`
	for _, test := range []struct {
		name, answer string
		want         FailureKind
	}{
		{"allow", answerOf(allowing(connectARN)), 0},
		{"Go's own form", string(goAnswer), 0},
		{"one statement by itself", answerOf(`{` + allow + `}`), 0},
		{"lists", statement(`"Effect":"Allow","Action":["x:y","execute-api:Invoke"],"Resource":["a","*"]`), 0},
		{"no statement", answerOf(`[]`), Denied},
		{"deny", answerOf(`[` + deny + `]`), Denied},
		{"deny before allow", answerOf(`[` + deny + `,{` + allow + `}]`), Denied},
		{"deny behind allow", answerOf(`[{` + allow + `},` + deny + `]`), Denied},
		{"deny of something else", answerOf(`[{` + allow + `},{"Effect":"Deny","Action":"*","Resource":"arn:other"}]`), 0},
		{"deny of another action", answerOf(`[{` + allow + `},{"Effect":"Deny","Action":"execute-api:ManageConnections","Resource":"*"}]`), 0},

		{"action in other letters", statement(`"Effect":"Allow","Action":"EXECUTE-API:invoke","Resource":"*"`), 0},
		{"any action", statement(`"Effect":"Allow","Action":"*","Resource":"*"`), 0},
		{"any action of the service", statement(`"Effect":"Allow","Action":"execute-api:*","Resource":"*"`), 0},
		{"a globbed action", statement(`"Effect":"Allow","Action":"execute-api:In?ok*","Resource":"*"`), 0},
		{"another action", statement(`"Effect":"Allow","Action":"execute-api:ManageConnections","Resource":"*"`), Denied},
		{"any action of another service", statement(`"Effect":"Allow","Action":"lambda:*","Resource":"*"`), Denied},

		{"a star over slashes", answerOf(allowing("arn:aws:execute-api:*")), 0},
		{"a stage", answerOf(allowing("arn:aws:execute-api:us-east-1:123456789012:abc123/prod/*")), 0},
		{"one segment too many", answerOf(allowing("arn:aws:execute-api:us-east-1:123456789012:abc123/prod/*/*")), Denied},
		{"a question mark", answerOf(allowing("arn:aws:execute-api:us-east-1:123456789012:abc123/pro?/$connect")), 0},
		{"too many of them", answerOf(allowing("arn:aws:execute-api:us-east-1:123456789012:abc123/prod?/$connect")), Denied},
		{"another stage", answerOf(allowing("arn:aws:execute-api:us-east-1:123456789012:abc123/dev/*")), Denied},
		{"resource in other letters", answerOf(allowing("arn:aws:execute-api:us-east-1:123456789012:ABC123/prod/*")), Denied},
		{"a part of it", answerOf(allowing("arn:aws:execute-api:us-east-1:123456789012:abc123/prod/")), Denied},
		{"another route", answerOf(allowing("arn:aws:execute-api:us-east-1:123456789012:abc123/prod/pushtowebsocket")), Denied},

		{"from here", statement(allow + `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`), 0},
		{"from one of these", statement(allow + `,"Condition":{"IpAddress":{"aws:sourceip":["10.0.0.0/8","192.0.2.1"]}}`), 0},
		{"from elsewhere", statement(allow + `,"Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8"]}}`), Denied},
		{"not from elsewhere", statement(allow + `,"Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), 0},
		{"not from here", statement(allow + `,"Condition":{"NotIpAddress":{"aws:SourceIp":["192.0.2.1/32"]}}`), Denied},
		{"both", statement(allow + `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.0.0/8"},"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`), Denied},
		{"IPv6", statement(allow + `,"Condition":{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}`), Denied},
		{"no condition", statement(allow + `,"Condition":{}`), 0},
		{"deny from here", answerOf(`[{` + allow + `},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.1"}}}]`), Denied},
		{"deny from elsewhere", answerOf(`[{` + allow + `},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]`), 0},
		{"another operator", statement(allow + `,"Condition":{"StringEquals":{"aws:SourceIp":"192.0.2.1"}}`), Denied},
		{"another key", statement(allow + `,"Condition":{"IpAddress":{"aws:VpcSourceIp":"192.0.2.1"}}`), Denied},
		{"an operator more", statement(allow + `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.1"},"Bool":{"aws:SecureTransport":"true"}}`), Denied},
		{"no network", statement(allow + `,"Condition":{"IpAddress":{"aws:SourceIp":"here"}}`), Denied},
		{"no networks", statement(allow + `,"Condition":{"IpAddress":{"aws:SourceIp":[]}}`), Denied},
		{"a condition of another form", statement(allow + `,"Condition":"never"`), Denied},
		{"deny by another operator", answerOf(`[{` + allow + `},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"x":"y"}}}]`), Denied},

		{"a Sid", statement(allow + `,"Sid":"x"`), 0},
		{"NotAction", statement(`"Effect":"Allow","NotAction":"x:y","Resource":"*"`), Denied},
		{"NotResource", statement(`"Effect":"Allow","Action":"*","NotResource":"x"`), Denied},
		{"deny by NotResource", answerOf(`[{` + allow + `},{"Effect":"Deny","Action":"*","NotResource":"` + connectARN + `"}]`), Denied},
		{"Action and NotAction", statement(allow + `,"NotAction":"x:y"`), Denied},
		{"a member that is not known", statement(allow + `,"Principal":"*"`), Denied},
		{"no Effect", statement(`"Action":"*","Resource":"*"`), AuthorizerFailed},
		{"another Effect", statement(`"Effect":"allow","Action":"*","Resource":"*"`), AuthorizerFailed},
		{"no Action", statement(`"Effect":"Allow","Resource":"*"`), AuthorizerFailed},
		{"no Resource", statement(`"Effect":"Allow","Action":"*"`), AuthorizerFailed},
		{"a number as Action", statement(`"Effect":"Allow","Action":1,"Resource":"*"`), AuthorizerFailed},
		{"null in a list", statement(`"Effect":"Allow","Action":["*"],"Resource":[{}]`), AuthorizerFailed},
		{"a statement of another form", answerOf(`["Allow"]`), AuthorizerFailed},
		{"statements of another form", answerOf(`"Allow"`), AuthorizerFailed},
		{"no statements", `{"principalId":"me","policyDocument":{"Version":"2012-10-17"}}`, AuthorizerFailed},
		{"no policy", `{"principalId":"me"}`, AuthorizerFailed},
		{"a null policy", `{"principalId":"me","policyDocument":null}`, AuthorizerFailed},
		{"a policy as text", `{"principalId":"me","policyDocument":"{}"}`, AuthorizerFailed},
		{"no principal", `{"policyDocument":{"Statement":{` + allow + `}}}`, AuthorizerFailed},
		{"an empty principal", `{"principalId":"","policyDocument":{"Statement":{` + allow + `}}}`, AuthorizerFailed},
		{"a number as principal", `{"principalId":1,"policyDocument":{"Statement":{` + allow + `}}}`, AuthorizerFailed},
		{"a status code", `{"statusCode":401}`, AuthorizerFailed},
		{"null", `null`, AuthorizerFailed},
		{"nothing", ``, AuthorizerFailed},
		{"no JSON", `{"principalId":"me",`, AuthorizerFailed},
		{"a name twice", `{"principalId":"me","principalId":"you","policyDocument":{"Statement":{` + allow + `}}}`, AuthorizerFailed},
		{"a name twice, inside", statement(`"Effect":"Deny",` + allow), AuthorizerFailed},
		{"Unauthorized as text", `"Unauthorized"`, Unauthorized},
		{"another text", `"unauthorized"`, AuthorizerFailed},
		{"too long", answerOf(`[{` + allow + `,"Sid":"` + strings.Repeat("x", maxVerdict) + `"}]`), AuthorizerFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := sampleEvent(sampleStage(t, nil), Connect)
			v, err := e.ReadVerdict([]byte(test.answer))
			wantKind(t, err, test.want)
			if (v != nil) != (err == nil) {
				t.Errorf("verdict %v with %v", v, err)
			}
		})
	}
}

// TestPolicyWithoutAddress denies what depends on one.
func TestPolicyWithoutAddress(t *testing.T) {
	e := sampleEvent(sampleStage(t, nil), Connect)
	e.Conn.SourceIP = ""
	for _, operator := range []string{"IpAddress", "NotIpAddress"} {
		condition := `"Action":"*","Resource":"*","Condition":{"` + operator + `":{"aws:SourceIp":"10.0.0.0/8"}}}`
		_, err := e.ReadVerdict([]byte(answerOf(`[{"Effect":"Allow",` + condition + `]`)))
		wantKind(t, err, Denied)
		_, err = e.ReadVerdict([]byte(answerOf(`[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny",` + condition + `]`)))
		wantKind(t, err, Denied)
	}
}

// TestContext is section 8.5: values become texts, as 8.4 lets them.
func TestContext(t *testing.T) {
	for _, test := range []struct {
		name, context string
		want          map[string]string // nil fails
	}{
		{"none", ``, map[string]string{"principalId": "me"}},
		{"null", `,"context":null`, map[string]string{"principalId": "me"}},
		{"a string", `,"context":{"org":"my-org"}`, map[string]string{"principalId": "me", "org": "my-org"}},
		{"a number", `,"context":{"n":1}`, map[string]string{"principalId": "me", "n": "1"}},
		{"as it was written", `,"context":{"n":1.50e3}`, map[string]string{"principalId": "me", "n": "1.50e3"}},
		{"a boolean", `,"context":{"b":true,"c":false}`, map[string]string{"principalId": "me", "b": "true", "c": "false"}},
		{"the principal stays", `,"context":{"principalId":"you"}`, map[string]string{"principalId": "me"}},
		{"the server's figure", `,"context":{"integrationLatency":"x"}`, map[string]string{"principalId": "me"}},
		{"an array", `,"context":{"a":[]}`, nil},
		{"an object", `,"context":{"a":{}}`, nil},
		{"null inside", `,"context":{"a":null}`, nil},
		{"no object", `,"context":[]`, nil},
		{"text", `,"context":"x"`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := sampleEvent(sampleStage(t, nil), Connect)
			answer := `{"principalId":"me","policyDocument":{"Statement":` + allowing("*") + `,"context":{"inner":"ignored"}}` + test.context + `}`
			v, err := e.ReadVerdict([]byte(answer))
			if test.want == nil {
				wantKind(t, err, AuthorizerFailed)
				return
			}
			if err != nil || len(v.Context) != len(test.want) {
				t.Fatalf("%+v, %v", v, err)
			}
			for k, want := range test.want {
				if v.Context[k] != want {
					t.Errorf("%s: %q, want %q", k, v.Context[k], want)
				}
			}
		})
	}
}

func TestUsageKeyAndLatency(t *testing.T) {
	e := sampleEvent(sampleStage(t, nil), Connect)
	v, err := e.ReadVerdict([]byte(`{"principalId":"me","usageIdentifierKey":"key","policyDocument":{"Statement":` + allowing("*") + `}}`))
	if err != nil || v.UsageKey != "key" {
		t.Fatalf("%+v, %v", v, err)
	}
	v.SetLatency(250)
	e.Conn.Authorizer = v.Context
	text, _ := e.JSON()
	if got := member(decode(t, text), "requestContext.authorizer.integrationLatency"); got != json.Number("250") {
		t.Errorf("latency %v", got)
	}
}

func TestRefusals(t *testing.T) {
	cause := errors.New("x")
	for message, want := range map[string]FailureKind{
		"Unauthorized": Unauthorized, "unauthorized": AuthorizerFailed, "Unauthorized: no": AuthorizerFailed, "": AuthorizerFailed,
	} {
		if f := ReadRefusal(message, cause); f.Kind != want || f.Err != cause {
			t.Errorf("%q: %+v", message, f)
		}
	}
}

// TestIdentitySources is section 8.3.
func TestIdentitySources(t *testing.T) {
	for _, test := range []struct {
		name    string
		sources []string
		want    FailureKind
	}{
		{"none", nil, 0},
		{"query", []string{"route.request.querystring.Auth"}, 0},
		{"query in other letters", []string{"route.request.querystring.auth"}, NoIdentity},
		{"header", []string{"route.request.header.Origin"}, 0},
		{"header in other letters", []string{"route.request.header.oRIGIN"}, 0},
		{"no header", []string{"route.request.header.X"}, NoIdentity},
		{"HTTP APIs' spelling", []string{"$request.querystring.Auth", "$request.header.Origin", "$context.identity.sourceIp", "$stageVariables.k"}, 0},
		{"stage variable", []string{"stageVariables.k"}, 0},
		{"no stage variable", []string{"stageVariables.x"}, NoIdentity},
		{"context", []string{"context.connectionId"}, 0},
		{"all are needed", []string{"route.request.querystring.Auth", "route.request.header.X"}, NoIdentity},
		{"an empty one", []string{"route.request.querystring.empty"}, NoIdentity},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sampleStage(t, func(g *earshot.Gateway) {
				withVariable(g)
				g.Authorizers[0].IdentitySource = test.sources
			})
			e := sampleEvent(s, Connect)
			e.Handshake.Query["empty"] = []string{""}
			wantKind(t, e.Identify(), test.want)
		})
	}
	for _, source := range []string{"", "Auth", "route.request.body.x", "'static'", "route.request.header.", "context.nothing", "$Auth", "method.request.header.Auth"} {
		if _, err := parseIdentity(source); err == nil {
			t.Errorf("%q is accepted", source)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"?", "", false},
		{"a*c", "abbbc", true},
		{"a*c", "abbbd", false},
		{"*a*b*", "xaxbx", true},
		{"a**b", "ab", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*/b", "a/a/b", true},
		{"abc", "ab", false},
		{"*?", "", false},
		{"*?", "a", true},
	} {
		if got := globs(test.pattern, test.text); got != test.want {
			t.Errorf("%q on %q: %v", test.pattern, test.text, got)
		}
	}
}

// TestGlobsAreQuick with what takes those that go back at every star ages.
func TestGlobsAreQuick(t *testing.T) {
	done := make(chan bool, 1)
	go func() { done <- globs(strings.Repeat("*a", 2000)+"b", strings.Repeat("a", 8000)) }()
	select {
	case got := <-done:
		if got {
			t.Error("it matches")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it is not through")
	}
}

// FuzzVerdict looks for answers of authorizers that let in what they must not:
// only a policy with an Allow that fits does.
func FuzzVerdict(f *testing.F) {
	f.Add(answerOf(allowing(connectARN)), "192.0.2.1")
	f.Add(answerOf(`[{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8"]}}}]`), "10.0.0.1")
	f.Add(`"Unauthorized"`, "")
	s := sampleStage(f, nil)
	f.Fuzz(func(t *testing.T, answer, from string) {
		e := sampleEvent(s, Connect)
		e.Conn.SourceIP = from
		v, err := e.ReadVerdict([]byte(answer))
		if err != nil {
			if f := FailureOf(err); f.Kind != Unauthorized && f.Kind != Denied && f.Kind != AuthorizerFailed {
				t.Errorf("kind %v", f.Kind)
			}
			return
		}
		if v.Context["principalId"] == "" || !strings.Contains(answer, "Effect") || len(answer) > maxVerdict {
			t.Errorf("%s lets in %+v", answer, v)
		}
		// What a deny of everything is added to lets nobody in.
		var document map[string]any
		if json.Unmarshal([]byte(answer), &document) != nil {
			return // Go's older reader is stricter with names
		}
		policy, _ := document["policyDocument"].(map[string]any)
		all, ok := policy["Statement"].([]any)
		if !ok {
			return
		}
		policy["Statement"] = append(all, map[string]any{"Effect": "Deny", "Action": "*", "Resource": "*"})
		denied, _ := json.Marshal(document)
		if v, err := e.ReadVerdict(denied); err == nil {
			t.Errorf("%s lets in %+v", denied, v)
		}
	})
}
