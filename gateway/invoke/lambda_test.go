package invoke

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth/sigv4"
	"github.com/earshot-io/earshot/gateway"
)

var _ gateway.Functions = hosted{}

const (
	keyID     = "AKIDEXAMPLE"
	keySecret = "SECRETKEYEXAMPLE"
)

// lambda is a service with Lambda's API as section 10.1 has it. Functions are
// named for what they do. With a secret it verifies signatures.
type lambda struct {
	t      *testing.T
	secret string
	seen   atomic.Pointer[http.Request]
	body   atomic.Pointer[string]
}

func (l *lambda) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	text := string(body)
	l.seen.Store(r)
	l.body.Store(&text)
	refuse := func(status int, kind string) {
		w.Header().Set("x-amzn-ErrorType", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"Type":"User","Message":"no"}`)
	}
	if l.secret != "" {
		s, err := sigv4.Parse(r)
		if err == nil {
			err = s.Verify(r, body, l.secret, time.Now(), sigv4.Policy{Service: "lambda"})
		}
		if err != nil {
			l.t.Logf("signature: %v", err)
			refuse(403, "InvalidSignatureException")
			return
		}
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/")
	name, ends := strings.CutSuffix(name, "/invocations")
	if !ok || !ends || r.Method != http.MethodPost {
		refuse(404, "ResourceNotFoundException")
		return
	}
	if r.Header.Get("X-Amz-Invocation-Type") == "Event" {
		w.WriteHeader(202)
		return
	}
	l.answer(w, name, refuse)
}

func (l *lambda) answer(w http.ResponseWriter, name string, refuse func(int, string)) {
	fails := func(payload string) {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		_, _ = io.WriteString(w, payload)
	}
	switch name[strings.LastIndexByte(name, ':')+1:] {
	case "ok":
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		_, _ = io.WriteString(w, `{"statusCode":200,"headers":null,"multiValueHeaders":null,"body":"hello"}`)
	case "null":
		_, _ = io.WriteString(w, "null")
	case "garbage":
		_, _ = io.WriteString(w, "<html>")
	case "long":
		_, _ = w.Write(make([]byte, maxFunctionAnswer+1))
	case "raises":
		fails(`{"errorMessage":"boom","errorType":"errorString"}`)
	case "unmarked":
		_, _ = io.WriteString(w, `{"errorMessage":"Unauthorized","errorType":"errorString","stackTrace":[]}`)
	case "refuses":
		fails(`{"errorMessage":"Unauthorized","errorType":"errorString"}`)
	case "refuseslong":
		fails(`{"errorMessage":"Unauthorized: no token","errorType":"errorString"}`)
	case "fails":
		fails("not even JSON")
	case "letsin":
		_, _ = io.WriteString(w, letIn)
	case "denies":
		_, _ = io.WriteString(w, strings.Replace(letIn, "Allow", "Deny", 1))
	case "longverdict":
		_, _ = io.WriteString(w, strings.Replace(letIn, "{", `{"x":"`+strings.Repeat("x", 8<<10)+`",`, 1))
	case "throttled":
		refuse(429, "TooManyRequestsException")
	case "denied":
		refuse(403, "AccessDeniedException")
	case "broken":
		refuse(500, "ServiceException")
	case "odd":
		refuse(302, "x\r\n")
	case "crashes":
		panic(http.ErrAbortHandler)
	default:
		refuse(404, "ResourceNotFoundException")
	}
}

// TestInvoke is section 10.2, signed and not.
func TestInvoke(t *testing.T) {
	for _, test := range []struct {
		function, route string
		body            string
		want            gateway.FailureKind
	}{
		{"ok", "twoway", "hello", 0},
		{"ok", "$connect", "", 0},
		{"ok", "$disconnect", "", 0},
		{"null", "$default", "", 0},
		{"null", "twoway", "", gateway.Malformed},
		{"garbage", "twoway", "", gateway.Malformed},
		{"long", "twoway", "", gateway.Malformed},
		{"raises", "$connect", "", gateway.Raised},
		{"unmarked", "$connect", "", gateway.Raised},
		{"fails", "$connect", "", gateway.Raised},
		{"throttled", "$connect", "", gateway.Overloaded},
		{"denied", "$connect", "", gateway.Misconfigured},
		{"missing", "$connect", "", gateway.Misconfigured},
		{"broken", "$connect", "", gateway.Unreachable},
		{"odd", "$connect", "", gateway.Misconfigured},
		{"crashes", "$connect", "", gateway.Unreachable},
	} {
		for _, secret := range []string{"", keySecret} {
			l := &lambda{t: t, secret: secret}
			f := earshot.GatewayFunction{Name: test.function, Endpoint: serve(t, l.ServeHTTP)}
			if secret != "" {
				f.AccessKey = &earshot.AccessKey{ID: keyID, Secret: secret}
			}
			r := newRig(t, Config{}, setup{functions: []earshot.GatewayFunction{f}, integration: earshot.GatewayIntegration{
				Type: earshot.AWSProxy, URI: "arn:aws:lambda:eu-west-1:123456789012:function:" + test.function + ":live",
			}})
			e := r.event(test.route)
			got, err := r.b.Integrate(t.Context(), r.app, e)
			wantKind(t, err, test.want)
			if err == nil && string(got.Body) != test.body {
				t.Errorf("%s: %+v", test.function, got)
			}
			want, _ := e.JSON()
			seen := l.seen.Load()
			if *l.body.Load() != string(want) || seen.Header.Get("X-Amz-Invocation-Type") != "RequestResponse" || seen.URL.Query().Get("Qualifier") != "live" {
				t.Errorf("%s: %v %v %s", test.function, seen.URL, seen.Header, *l.body.Load())
			}
			if signed := seen.Header.Get("Authorization"); strings.Contains(signed, "/eu-west-1/lambda/aws4_request") != (secret != "") {
				t.Errorf("%s: signed %q", test.function, signed)
			}
		}
	}
}

// TestWrongKey is a misconfiguration.
func TestWrongKey(t *testing.T) {
	l := &lambda{t: t, secret: keySecret}
	f := earshot.GatewayFunction{Name: "ok", Endpoint: serve(t, l.ServeHTTP), AccessKey: &earshot.AccessKey{ID: keyID, Secret: "other"}}
	r := newRig(t, Config{}, setup{functions: []earshot.GatewayFunction{f}, integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "ok"}})
	_, err := r.integrate("$default")
	wantKind(t, err, gateway.Misconfigured)
}

func TestInvokeLater(t *testing.T) {
	l := &lambda{t: t, secret: keySecret}
	f := earshot.GatewayFunction{Name: "raises", Endpoint: serve(t, l.ServeHTTP), AccessKey: &earshot.AccessKey{ID: keyID, Secret: keySecret}}
	r := newRig(t, Config{}, setup{functions: []earshot.GatewayFunction{f}, integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "raises", Asynchronous: true}})
	for _, key := range []string{"$connect", "twoway", "$disconnect"} {
		got, err := r.integrate(key)
		if err != nil || got.Status != 200 || got.Body != nil || l.seen.Load().Header.Get("X-Amz-Invocation-Type") != "Event" {
			t.Errorf("%s: %+v, %v", key, got, err)
		}
	}
}

func TestFunctionURLs(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-1:123456789012:function:fn"
	for _, test := range []struct{ endpoint, uri, want string }{
		{"http://localhost:4566", "fn", "http://localhost:4566/2015-03-31/functions/fn/invocations"},
		{"http://localhost:4566/", arn, "http://localhost:4566/2015-03-31/functions/fn/invocations"},
		{"http://localhost:4566", arn + ":live", "http://localhost:4566/2015-03-31/functions/fn/invocations?Qualifier=live"},
		{"http://localhost:4566/base", "fn:$LATEST", "http://localhost:4566/base/2015-03-31/functions/fn/invocations?Qualifier=%24LATEST"},
		{"http://localhost:9000/2015-03-31/functions/function/invocations", arn, "http://localhost:9000/2015-03-31/functions/function/invocations"},
		{"", "arn:aws-cn:lambda:cn-north-1:1:function:fn", "https://lambda.cn-north-1.amazonaws.com.cn/2015-03-31/functions/arn%3Aaws-cn%3Alambda%3Acn-north-1%3A1%3Afunction%3Afn/invocations"},
		{"", "fn", "https://lambda.us-east-1.amazonaws.com/2015-03-31/functions/fn/invocations"},
		{"", arn + ":live", "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Afn/invocations?Qualifier=live"},
	} {
		r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: test.uri}})
		c := call{event: r.event("$default"), to: r.stage.Route("$default").Calls}
		if got := functionURL(&earshot.GatewayFunction{Endpoint: test.endpoint}, c.to.Function, c.region()); got != test.want {
			t.Errorf("%s at %q: %s, want %s", test.uri, test.endpoint, got, test.want)
		}
	}
}

// TestARNsAreSigned as the service sees them: colons are escaped once on the
// wire, and twice in what is signed (10.1).
func TestARNsAreSigned(t *testing.T) {
	l := &lambda{t: t, secret: keySecret}
	base := serve(t, l.ServeHTTP)
	f := earshot.GatewayFunction{
		Name: "ok", AccessKey: &earshot.AccessKey{ID: keyID, Secret: keySecret},
		Endpoint: base + "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aok/invocations",
	}
	r := newRig(t, Config{}, setup{functions: []earshot.GatewayFunction{f}, integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "ok"}})
	if got, err := r.integrate("twoway"); err != nil || string(got.Body) != "hello" {
		t.Errorf("%+v, %v", got, err)
	}
	if seen := l.seen.Load(); !strings.Contains(seen.RequestURI, "/arn%3Aaws%3Alambda%3A") {
		t.Errorf("asked for %s", seen.RequestURI)
	}
}

// TestHosted are functions that the server runs.
func TestHosted(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want gateway.FailureKind
	}{
		{"ok", nil, 0},
		{"raises", &gateway.FunctionError{Message: "boom"}, gateway.Raised},
		{"missing", &earshot.Error{Code: earshot.NotFound}, gateway.Misconfigured},
		{"late", &earshot.Error{Code: earshot.Timeout}, gateway.TimedOut},
		{"busy", &earshot.Error{Code: earshot.Limited}, gateway.Overloaded},
		{"down", &earshot.Error{Code: earshot.Unavailable}, gateway.Unreachable},
		{"stopped", &earshot.Error{Code: earshot.Shutdown}, gateway.Unreachable},
		{"too long", &earshot.Error{Code: earshot.TooLarge}, gateway.Misconfigured},
		{"anything", errors.New("x"), gateway.Unreachable},
	} {
		for _, async := range []bool{false, true} {
			functions := hosted{
				func(_ context.Context, a *earshot.App, name string, payload []byte) ([]byte, error) {
					if a.Slug != "app" || name != "fn" || len(payload) == 0 || async {
						t.Errorf("called %s of %s", name, a.Slug)
					}
					return []byte(`{"statusCode":200}`), test.err
				},
				func(_ *earshot.App, name string, _ []byte) error {
					if name != "fn" || !async {
						t.Errorf("enqueued %s", name)
					}
					return test.err
				},
			}
			r := newRig(t, Config{Functions: functions}, setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "fn", Asynchronous: async}})
			_, err := r.integrate("$default")
			wantKind(t, err, test.want)
		}
	}
	r := newRig(t, Config{}, setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "fn"}})
	_, err := r.integrate("$default")
	wantKind(t, err, gateway.Misconfigured)
}

// TestHostedTimeout is the integration's own, whatever the host says.
func TestHostedTimeout(t *testing.T) {
	functions := hosted{invoke: func(ctx context.Context, _ *earshot.App, _ string, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	r := newRig(t, Config{Functions: functions}, setup{integration: earshot.GatewayIntegration{Type: earshot.AWSProxy, URI: "fn", TimeoutMillis: 50}})
	_, err := r.integrate("$default")
	wantKind(t, err, gateway.TimedOut)
}

// TestAuthorize is sections 8.3 and 8.4, by function and by address.
func TestAuthorize(t *testing.T) {
	for function, want := range map[string]gateway.FailureKind{
		"letsin": 0, "denies": gateway.Denied, "refuses": gateway.Unauthorized, "refuseslong": gateway.AuthorizerFailed, "unmarked": gateway.Unauthorized,
		"raises": gateway.AuthorizerFailed, "fails": gateway.AuthorizerFailed, "garbage": gateway.AuthorizerFailed, "null": gateway.AuthorizerFailed,
		"ok": gateway.AuthorizerFailed, "longverdict": gateway.AuthorizerFailed, "missing": gateway.AuthorizerFailed, "broken": gateway.AuthorizerFailed,
		"crashes": gateway.AuthorizerFailed, "throttled": gateway.Overloaded, "denied": gateway.AuthorizerFailed,
	} {
		l := &lambda{t: t}
		f := earshot.GatewayFunction{Name: function, Endpoint: serve(t, l.ServeHTTP)}
		r := newRig(t, Config{}, setup{functions: []earshot.GatewayFunction{f}, authorizer: function})
		e := r.event("$connect")
		v, err := r.b.Authorize(t.Context(), r.app, e)
		wantKind(t, err, want)
		if err == nil && (v.Context["principalId"] != "me" || v.Context["integrationLatency"] == "") {
			t.Errorf("%s: %+v", function, v)
		}
		if payload, _ := e.AuthorizerJSON(); *l.body.Load() != string(payload) {
			t.Errorf("%s: was told %s", function, *l.body.Load())
		}
		if s := r.b.Stats(); s.Calls["AUTHORIZER"] != 1 || want != 0 && s.Failures[want] != 1 {
			t.Errorf("%s: %+v", function, s)
		}
	}
}

func TestAuthorizeByHTTP(t *testing.T) {
	for _, test := range []struct {
		name, body string
		status     int
		want       gateway.FailureKind
	}{
		{"lets in", letIn, 200, 0},
		{"denies", strings.Replace(letIn, "Allow", "Deny", 1), 200, gateway.Denied},
		{"says Unauthorized", `"Unauthorized"`, 200, gateway.Unauthorized},
		{"401", letIn, 401, gateway.Unauthorized},
		{"403", letIn, 403, gateway.AuthorizerFailed},
		{"500", letIn, 500, gateway.AuthorizerFailed},
		{"floods", strings.Repeat("x", 1<<20), 200, gateway.AuthorizerFailed},
	} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.Header.Get("webhook-signature") == "" {
				t.Errorf("%s %v", r.Method, r.Header)
			}
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		r := newRig(t, Config{}, setup{authorizer: url, app: earshot.App{Secrets: []string{"secret"}}})
		_, err := r.authorize()
		wantKind(t, err, test.want)
	}
}

// TestNobodyIsAskedWithoutIdentity (8.3).
func TestNobodyIsAskedWithoutIdentity(t *testing.T) {
	r := newRig(t, Config{}, setup{authorizer: serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })})
	e := r.event("$connect")
	e.Handshake.Query.Del("Auth")
	_, err := r.b.Authorize(t.Context(), r.app, e)
	wantKind(t, err, gateway.NoIdentity)
	if s := r.b.Stats(); s.Failures[gateway.NoIdentity] != 1 || s.Calls["AUTHORIZER"] != 0 {
		t.Errorf("%+v", s)
	}
}
