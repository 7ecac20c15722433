package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
)

const (
	functionPath = "/2015-03-31/functions/my-fn/invocations"
	hello        = `{"channel":"c","event":"e"}`
)

// A call is an invocation, and how it is signed.
type call struct {
	url, body, kind string
	id, secret      string // by default those of app one
	service         string
	at              time.Duration // from now
	header          http.Header
	remote          string
	unsigned        bool
}

func (w *world) invoke(c call) *httptest.ResponseRecorder {
	w.Helper()
	if c.url == "" {
		c.url = functionPath
	}
	r := httptest.NewRequest(http.MethodPost, c.url, strings.NewReader(c.body))
	r.Header.Set("User-Agent", "test/1")
	if c.remote != "" {
		r.RemoteAddr = c.remote
	}
	if c.kind != "" {
		r.Header.Set("X-Amz-Invocation-Type", c.kind)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	if !c.unsigned {
		w.sign(r, c)
	}
	rec := httptest.NewRecorder()
	w.lambda.ServeHTTP(rec, r)
	return rec
}

func (w *world) sign(r *http.Request, c call) {
	keys := aws.Credentials{AccessKeyID: "AK1", SecretAccessKey: "secret-one"}
	if c.id != "" {
		keys.AccessKeyID, keys.SecretAccessKey = c.id, c.secret
	}
	service := "lambda"
	if c.service != "" {
		service = c.service
	}
	sum := sha256.Sum256([]byte(c.body))
	err := v4.NewSigner().SignHTTP(context.Background(), keys, r, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now().Add(c.at))
	if err != nil {
		w.Fatal(err)
	}
}

// wantsException checks an error as SDKs read it.
func (w *world) wantsException(r *httptest.ResponseRecorder, status int, name, part string) {
	w.Helper()
	var e struct{ Type, Message, LowerMessage string }
	body := strings.Replace(r.Body.String(), `"message"`, `"lowerMessage"`, 1)
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		w.Errorf("%s: %v", r.Body, err)
	}
	if text := e.Message + e.LowerMessage; r.Code != status || r.Header().Get("x-amzn-ErrorType") != name || !strings.Contains(text, part) || text == "" {
		w.Errorf("got %d %s %s, want %d %s %s", r.Code, r.Header().Get("x-amzn-ErrorType"), r.Body, status, name, part)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(r.Header().Get("x-amzn-RequestId")) {
		w.Errorf("the request id is %q", r.Header().Get("x-amzn-RequestId"))
	}
	if strings.Contains(body, "secret-") || strings.Contains(w.log.String(), "secret-") {
		w.Error("a secret is shown")
	}
}

func TestInvoke(t *testing.T) {
	w := newWorld(t)
	for _, url := range []string{
		functionPath,
		"/any/prefix" + functionPath,
		"//2015-03-31/functions/my-fn/invocations",
		"/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A111111111111%3Afunction%3Amy-fn/invocations",
		"/2015-03-31/functions/arn:aws:lambda:us-east-1:111111111111:function:my-fn:prod/invocations?Qualifier=prod",
		"/2015-03-31/functions/111111111111%3Afunction%3Amy-fn/invocations?Qualifier=%24LATEST",
		"/2015-03-31/functions/my-fn%3A7/invocations",
	} {
		n := len(w.hub.all)
		r := w.invoke(call{url: url, body: `{"event":"e","channel":"c","data":{"a":1},"store":100,"eagerIdGeneration":true,"emitPubSubEvent":true,"x":1}`})
		w.wants(r, http.StatusOK, `{"channel":"c","event":"e","id":"`)
		if r.Header().Get("X-Amz-Executed-Version") != "$LATEST" || r.Header().Get("X-Amz-Function-Error") != "" || r.Header().Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: got the headers %v", url, r.Header())
		}
		if len(w.hub.all) != n+1 {
			t.Fatalf("%s: nothing was published", url)
		}
		p := w.hub.all[n]
		o := p.Origin
		if !p.Emit || string(p.Message.Data) != `{"a":1}` || p.Message.Store != 100*time.Second || w.hub.apps[n] != "one" {
			t.Errorf("%s: got %+v for %s", url, p, w.hub.apps[n])
		}
		if o.Trigger != api.ByLambda || o.RequestID != r.Header().Get("X-Amzn-Requestid") || o.UserAgent != "test/1" || o.Remote != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("%s: got the origin %+v", url, o)
		}
	}
	w.wants(w.invoke(call{body: hello, header: http.Header{"X-Amz-Security-Token": {"of/a+role=="}}}), http.StatusOK, "")
	w.wants(w.invoke(call{body: hello, id: "AK3", secret: "secret-two"}), http.StatusOK, "")
	if got := w.hub.apps[len(w.hub.apps)-1]; got != "two" {
		t.Errorf("published for %s, want two", got)
	}
}

func TestInvocationTypes(t *testing.T) {
	w := newWorld(t)
	r := w.invoke(call{body: hello, kind: "Event"})
	w.wants(r, http.StatusAccepted, "")
	if r.Body.Len() != 0 || len(w.hub.all) != 1 {
		t.Errorf("got %q, published %d", r.Body, len(w.hub.all))
	}
	r = w.invoke(call{body: `{}`, kind: "DryRun"})
	w.wants(r, http.StatusNoContent, "")
	if r.Body.Len() != 0 || len(w.hub.all) != 1 {
		t.Errorf("got %q, published %d", r.Body, len(w.hub.all))
	}
	w.wantsException(w.invoke(call{body: hello, kind: "DryRun", id: "AK2", secret: "secret-narrow", url: strings.Replace(functionPath, "my-fn", "other", 1)}),
		http.StatusForbidden, "AccessDeniedException", "lambda:InvokeFunction")
	w.wantsException(w.invoke(call{body: hello, kind: "Maybe"}), http.StatusBadRequest, "ValidationException", "invocationType")
	w.wantsException(w.invoke(call{body: `{"channel":"c"}`, kind: "Event"}), http.StatusBadRequest, "InvalidParameterValueException", "channel and event")
	w.hub.answer = func(hub.Publication) (hub.Appended, error) {
		return hub.Appended{}, earshot.Errorf(earshot.Unavailable, "away")
	}
	w.wantsException(w.invoke(call{body: hello, kind: "Event"}), http.StatusServiceUnavailable, "ServiceUnavailableException", "away")
}

func TestInvokeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		call   call
		status int
		name   string
		part   string
	}{
		"unsigned":          {call{unsigned: true, body: hello}, 403, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		"unknown key":       {call{id: "AK9", secret: "s", body: hello}, 403, "UnrecognizedClientException", "security token included in the request is invalid"},
		"wrong secret":      {call{id: "AK1", secret: "secret-other", body: hello}, 403, "InvalidSignatureException", "The request signature we calculated does not match"},
		"old":               {call{at: -time.Hour, body: hello}, 403, "InvalidSignatureException", "Signature expired: "},
		"early":             {call{at: time.Hour, body: hello}, 403, "InvalidSignatureException", "Signature not yet current: "},
		"another service":   {call{service: "execute-api", body: hello}, 403, "InvalidSignatureException", "correct service: 'lambda'"},
		"bearer":            {call{unsigned: true, body: hello, header: http.Header{"Authorization": {"Bearer key-one"}}}, 403, "MissingAuthenticationTokenException", ""},
		"half a signature":  {call{unsigned: true, body: hello, header: http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=x"}}}, 403, "IncompleteSignatureException", "'Signature' parameter"},
		"another function":  {call{id: "AK2", secret: "secret-narrow", body: hello, url: "/2015-03-31/functions/your-fn/invocations"}, 403, "AccessDeniedException", "User: AK2 is not authorized to perform: lambda:InvokeFunction"},
		"another app":       {call{body: hello, url: "http://two.example" + functionPath}, 403, "AccessDeniedException", "host"},
		"large":             {call{body: hello + strings.Repeat(" ", 1<<20)}, 413, "RequestEntityTooLargeException", "Request must be smaller than 1048576 bytes"},
		"no JSON":           {call{body: `{"channel"`}, 400, "InvalidRequestContentException", "Could not parse request body into json"},
		"bad name":          {call{body: hello, url: "/2015-03-31/functions/a%20b/invocations"}, 400, "ValidationException", "functionName"},
		"bad escape of ARN": {call{body: hello, url: "/2015-03-31/functions/arn:aws:s3:::b/invocations"}, 400, "ValidationException", "functionName"},
		"no name":           {call{body: hello, url: "/2015-03-31/functions//invocations"}, 404, "UnknownOperationException", ""},
		"another operation": {call{body: hello, url: "/2015-03-31/functions/my-fn/invoke-async"}, 404, "UnknownOperationException", ""},
		"a stream":          {call{body: hello, url: "/2021-11-15/functions/my-fn/response-streaming-invocations"}, 404, "UnknownOperationException", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.wantsException(w.invoke(c.call), c.status, c.name, c.part)
			if len(w.hub.all) != 0 {
				t.Error("it was published")
			}
		})
	}
	w := newWorld(t)
	w.ready = errors.New("starting")
	w.wantsException(w.invoke(call{body: hello}), 503, "ServiceUnavailableException", "starting")
}

// TestFunctionErrors: what will never succeed is an answer of the function.
func TestFunctionErrors(t *testing.T) {
	for body, code := range map[string]string{
		``:                              "MEMBER_MISSING",
		`{}`:                            "MEMBER_MISSING",
		`[{"channel":"c","event":"e"}]`: "BODY",
		`"text"`:                        "BODY",
		`{"channel":"a b","event":"e"}`: "CHANNEL_NAME",
		`{"channel":"c","event":"hotsock.connected"}`:             "EVENT_RESERVED",
		`{"channel":"c","event":"e","store":-2}`:                  "STORE",
		`{"channel":"c","event":"e","emitPubSubEvent":"yes"}`:     "MEMBER_TYPE",
		`{"channel":"c","event":"hotsock.channelStorageSet"}`:     "MEMBER_MISSING",
		`{"channel":"c","event":"e","data":{"a":1,"a":2}}`:        "DUPLICATE_MEMBER",
		`{"channel":"c","event":"hotsock.messageReaction"}`:       "REACTION",
		`{"channel":"c","event":"e","scheduleExpression":""}`:     "SCHEDULE",
		`{"channel":"full","event":"e"}`:                          "NO_SUCH",
		`{"channel":"c","event":"e","scheduleExpression":["at"]}`: "MEMBER_TYPE",
	} {
		w := newWorld(t)
		w.hub.answer = func(hub.Publication) (hub.Appended, error) {
			return hub.Appended{}, &earshot.Error{Code: earshot.NotFound, Reason: "NO_SUCH", Text: "a text", Err: errors.New("the cause")}
		}
		r := w.invoke(call{body: body})
		var e struct{ ErrorMessage, ErrorType string }
		if err := json.Unmarshal(r.Body.Bytes(), &e); err != nil || r.Code != 200 || e.ErrorType != code || e.ErrorMessage == "" {
			t.Errorf("%s: got %d %s, want %s", body, r.Code, r.Body, code)
		}
		if r.Header().Get("X-Amz-Function-Error") != "Unhandled" || strings.Contains(r.Body.String(), "cause") {
			t.Errorf("%s: got %v %s", body, r.Header(), r.Body)
		}
	}
}

// TestInvokeEveryCode: each code of a publish is either retried by an SDK or an
// answer, and shows no cause.
func TestInvokeEveryCode(t *testing.T) {
	for _, code := range earshot.Codes() {
		w := newWorld(t)
		w.hub.answer = func(hub.Publication) (hub.Appended, error) {
			return hub.Appended{}, &earshot.Error{Code: code, Text: "a text", Err: errors.New("the cause")}
		}
		r := w.invoke(call{body: hello, header: http.Header{"Amz-Sdk-Invocation-Id": {"i"}}})
		again := r.Code == 429 || r.Code == 500 || r.Code == 503
		if want := code.Temporary() || code == earshot.Internal; again != want {
			t.Errorf("%v: got %d, want that an SDK tries again: %v", code, r.Code, want)
		}
		if again {
			w.wantsException(r, r.Code, r.Header().Get("X-Amzn-Errortype"), "")
		} else if r.Header().Get("X-Amz-Function-Error") != "Unhandled" {
			t.Errorf("%v: got %d %v", code, r.Code, r.Header())
		}
		if (r.Header().Get("Retry-After") != "") != code.Temporary() {
			t.Errorf("%v: Retry-After is %q", code, r.Header().Get("Retry-After"))
		}
		if strings.Contains(r.Body.String(), "cause") {
			t.Errorf("%v: the cause is shown", code)
		}
	}
}

// TestInvokeUnknownOutcome: an SDK tries again only if that cannot publish twice.
func TestInvokeUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hub.hold = true
		attempt := http.Header{"Amz-Sdk-Invocation-Id": {"i"}}
		w.wantsException(w.invoke(call{body: `{"channel":"c","event":"e","deduplicationId":"d"}`}), 503, "ServiceUnavailableException", "same deduplicationId is safe")
		w.wantsException(w.invoke(call{body: hello, header: attempt}), 503, "ServiceUnavailableException", "")
		for _, c := range []call{{body: hello}, {body: `{"channel":"live","event":"e"}`, header: attempt}} {
			r := w.invoke(c)
			if r.Code != 200 || r.Header().Get("X-Amz-Function-Error") != "Unhandled" {
				t.Errorf("got %d %v %s", r.Code, r.Header(), r.Body)
			}
			w.wants(r, 200, `"errorType":"UNKNOWN_OUTCOME"`)
		}
		w.wantsException(w.invoke(call{body: hello, kind: "Event"}), 409, "ResourceConflictException", "may publish it twice")
	})
}

// TestAttempts: the attempts of one call count once, unless it has a key of its
// own; what is a duplicate of another call has an id that no message has.
func TestAttempts(t *testing.T) {
	w := newWorld(t)
	first := earshot.NewID(time.UnixMilli(1), earshot.Position{Epoch: 1, Seq: 7})
	w.hub.answer = func(hub.Publication) (hub.Appended, error) { return hub.Appended{ID: first, Duplicate: true}, nil }
	attempt := http.Header{"Amz-Sdk-Invocation-Id": {"i-1"}}
	body := `{"channel":"c","event":"e","eagerIdGeneration":true}`
	w.wants(w.invoke(call{body: body, header: attempt}), 200, first.String())
	w.wants(w.invoke(call{body: strings.Replace(body, "{", `{"deduplicationId":"mine",`, 1), header: attempt}), 200, `"id":"`)
	w.wants(w.invoke(call{body: body, header: http.Header{"Amz-Sdk-Invocation-Id": {strings.Repeat("x", 129)}}}), 200, "")
	w.wants(w.invoke(call{body: body}), 200, "")
	w.wants(w.invoke(call{body: strings.Replace(body, `"c"`, `"live"`, 1), header: attempt}), 200, "")
	var keys []string
	for _, p := range w.hub.all {
		keys = append(keys, p.Key)
	}
	if got := strings.Join(keys, "|"); got != "amz-sdk-invocation-id i-1|deduplication-id mine|||" {
		t.Errorf("got the keys %s", got)
	}
	for _, r := range []*httptest.ResponseRecorder{
		w.invoke(call{body: strings.Replace(body, "{", `{"deduplicationId":"mine",`, 1)}),
		w.post("/publish", "key-one", strings.Replace(body, "{", `{"deduplicationId":"mine",`, 1)),
	} {
		var got struct{ ID string }
		if err := json.Unmarshal(r.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		id, err := earshot.ParseID(got.ID)
		if err != nil || id == first || !id.Position().IsZero() || time.Since(id.Time()) > time.Minute {
			t.Errorf("a duplicate got the id %s, %v", got.ID, err)
		}
	}
}

func TestUnsignedNetworks(t *testing.T) {
	w := newWorld(t)
	near, far := "10.1.2.3:4", "10.2.0.1:4"
	two := "http://two.example" + functionPath
	w.wants(w.invoke(call{body: hello, unsigned: true, remote: near, url: two}), 200, "")
	w.wants(w.invoke(call{body: hello, id: "dummy", secret: "dummy", remote: near, url: two}), 200, "")
	w.wants(w.invoke(call{body: hello, kind: "Event", unsigned: true, remote: near, url: two}), 202, "")
	for _, app := range w.hub.apps {
		if app != "two" {
			t.Errorf("published for %s", app)
		}
	}
	// A key that is known is held to its secret.
	w.wantsException(w.invoke(call{body: hello, id: "AK3", secret: "wrong", remote: near, url: two}), 403, "InvalidSignatureException", "")
	w.wantsException(w.invoke(call{body: hello, unsigned: true, remote: far, url: two}), 403, "MissingAuthenticationTokenException", "")
	w.wantsException(w.invoke(call{body: hello, unsigned: true, remote: near}), 403, "MissingAuthenticationTokenException", "")
	if len(w.hub.all) != 3 {
		t.Errorf("published %d", len(w.hub.all))
	}
}

// TestSTS: who sent every service here is told what to set.
func TestSTS(t *testing.T) {
	w := newWorld(t)
	post := func(path, kind, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("Action=AssumeRole&Version=2011-06-15&RoleArn=arn"))
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Authorization", authorization)
		rec := httptest.NewRecorder()
		w.lambda.ServeHTTP(rec, r)
		return rec
	}
	const form, sts = "application/x-www-form-urlencoded; charset=utf-8", "AWS4-HMAC-SHA256 Credential=AK1/20261120/us-east-1/sts/aws4_request, "
	for _, r := range []*httptest.ResponseRecorder{post("/", form, ""), post("/prefix/", form, sts)} {
		var e struct {
			XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
			Code      string   `xml:"Error>Code"`
			Message   string   `xml:"Error>Message"`
			RequestID string   `xml:"RequestId"`
		}
		if err := xml.Unmarshal(r.Body.Bytes(), &e); err != nil || r.Code != 400 || e.Code != "InvalidAction" || e.RequestID == "" || !strings.Contains(e.Message, "AWS_ENDPOINT_URL_LAMBDA") {
			t.Errorf("got %d %s, %v", r.Code, r.Body, err)
		}
	}
	for _, r := range []*httptest.ResponseRecorder{post("/x", form, ""), post("/", "application/json", ""), post("/publish", "", sts)} {
		if strings.Contains(r.Body.String(), "sts.amazonaws.com") {
			t.Errorf("got %d %s for what is not for STS", r.Code, r.Body)
		}
	}
}

// stored is what commands were carried out.
type stored struct {
	entries   []api.Entry
	reactions []api.Reaction
	later     []string
	err       error
}

func (s *stored) Set(_ context.Context, _ *earshot.App, e api.Entry) error {
	s.entries = append(s.entries, e)
	return s.err
}

func (s *stored) React(_ context.Context, _ *earshot.App, r api.Reaction) error {
	s.reactions = append(s.reactions, r)
	return s.err
}

// planned is a schedule that knows one time.
type planned struct{ *stored }

func (s planned) Parse(expression, zone string) (time.Time, error) {
	if expression != "at(2030-01-01T00:00:00)" {
		return time.Time{}, &earshot.Error{Code: earshot.Invalid, Reason: "SCHEDULE", Text: "no"}
	}
	s.later = append(s.later, "in "+zone)
	return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), nil
}

func (s planned) Publish(_ context.Context, a *earshot.App, at time.Time, p hub.Publication) (string, error) {
	s.later = append(s.later, a.Slug+" "+p.Message.Event+" "+p.Key+at.Format(" 2006"))
	return "arn:aws:scheduler:ID1", s.err
}

func (s planned) Set(_ context.Context, a *earshot.App, at time.Time, e api.Entry) (string, error) {
	s.later = append(s.later, a.Slug+" "+e.Key+at.Format(" 2006"))
	return "arn:aws:scheduler:ID2", s.err
}

func TestCommands(t *testing.T) {
	w := newWorld(t)
	id := earshot.NewID(time.Now(), earshot.Position{Epoch: 1, Seq: 3})
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"hotsock.channelStorageSet","key":"k","data":{"a":1},"store":60,"emitPubSubEvent":true,"deduplicationId":"d"}`),
		202, `{"channel":"c","event":"hotsock.channelStorageSet"}`)
	w.wants(w.invoke(call{body: `{"channel":"c","event":"hotsock.channelStorageSet","key":"k"}`}), 200, `{"channel":"c","event":"hotsock.channelStorageSet"}`)
	e := w.stored.entries
	if len(e) != 2 || e[0].Channel != "c" || e[0].Key != "k" || string(e[0].Data) != `{"a":1}` || e[0].Store != time.Minute || !e[0].Emit || e[0].Once != "d" ||
		e[0].Origin.Trigger != hub.ByServerHTTP {
		t.Errorf("got the entries %+v", e)
	}
	if string(e[1].Data) != "null" || e[1].Store != earshot.Forever || e[1].Emit || e[1].Origin.Trigger != api.ByLambda {
		t.Errorf("got the entry %+v", e[1])
	}
	reaction := `{"channel":"c","event":"hotsock.messageReaction","data":{"messageId":"` + id.String() + `","reaction":"x","action":"ACTION","uid":"jim"}}`
	w.wants(w.post("/publish", "key-one", strings.Replace(reaction, "ACTION", "add", 1)), 202, `{"channel":"c","event":"hotsock.messageReaction"}`)
	w.wants(w.post("/publish", "key-one", strings.Replace(reaction, "ACTION", "remove", 1)), 202, "")
	w.wants(w.post("/publish", "key-one", reaction), 400, "REACTION")
	w.wants(w.post("/publish", "key-one", strings.NewReplacer("ACTION", "add", "jim", "").Replace(reaction)), 400, "REACTION")
	w.wants(w.post("/publish", "key-one", strings.NewReplacer("ACTION", "add", `}}`, `},"scheduleExpression":"at(2030-01-01T00:00:00)"}`).Replace(reaction)), 400, "SCHEDULE")
	x := w.stored.reactions
	if len(x) != 2 || x[0].MessageID != id || x[0].Value != "x" || x[0].Remove || x[0].UID != "jim" || !x[1].Remove {
		t.Errorf("got the reactions %+v", x)
	}
	w.stored.err = &earshot.Error{Code: earshot.Invalid, Reason: "ENTRY_KEY", Text: "not so"}
	w.wants(w.post("/publish", "key-one", `[{"channel":"c","event":"e"},{"channel":"c","event":"hotsock.channelStorageSet","key":"k k"}]`), 207, `"error":{"code":"ENTRY_KEY"`)
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"hotsock.channelStorageSet","key":7}`), 400, "MEMBER_TYPE")
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"hotsock.channelStorageSet","key":"k","store":0}`), 400, "STORE")
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"e","key":7}`), 202, "")
	if n := len(w.hub.all); n != 2 {
		t.Errorf("%d messages were published", n)
	}
}

func TestScheduled(t *testing.T) {
	w := newWorld(t)
	const at = `,"scheduleExpression":"at(2030-01-01T00:00:00)"`
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"e","eagerIdGeneration":true,"deduplicationId":"d"`+at+`,"scheduleExpressionTimezone":"Europe/Berlin"}`),
		202, `{"channel":"c","event":"e","scheduleArn":"arn:aws:scheduler:ID1"}`)
	w.wants(w.invoke(call{body: `{"channel":"c","event":"hotsock.channelStorageSet","key":"k"` + at + `}`}), 200, `arn:aws:scheduler:ID2"`)
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"e","scheduleExpression":"rate(1 minute)"}`), 400, "SCHEDULE")
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"e"`+at+`,"scheduleExpressionTimezone":7}`), 400, "MEMBER_TYPE")
	w.wants(w.post("/publish", "key-one", `{"channel":"c","event":"e","scheduleExpressionTimezone":7}`), 202, `{"channel":"c","event":"e"}`)
	if got := strings.Join(w.stored.later, "|"); got != "in Europe/Berlin|one e deduplication-id d 2030|in |one k 2030" {
		t.Errorf("got %s", got)
	}
	if len(w.hub.all) != 1 {
		t.Errorf("%d messages were published now", len(w.hub.all))
	}
	w.stored.err = earshot.Errorf(earshot.Unavailable, "away")
	w.wantsException(w.invoke(call{body: `{"channel":"c","event":"e"` + at + `}`}), 503, "ServiceUnavailableException", "away")
}

// TestUnserved: what a server has no part for is refused, not forgotten.
func TestUnserved(t *testing.T) {
	apps, err := auth.NewDirectory([]*earshot.App{{Slug: "one", PublishKeys: []string{"key-one"}}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, hub: &published{}, mux: http.NewServeMux()}
	api.New(api.Deps{Hub: w.hub, Apps: apps, Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler)}).Routes(w.mux.Handle)
	id := earshot.NewID(time.Now(), earshot.Position{Epoch: 1, Seq: 3})
	for body, code := range map[string]string{
		`{"channel":"c","event":"hotsock.channelStorageSet","key":"k"}`:                                                                        "STORAGE_UNSUPPORTED",
		`{"channel":"c","event":"hotsock.messageReaction","data":{"messageId":"` + id.String() + `","reaction":"x","action":"add","uid":"u"}}`: "REACTION_UNSUPPORTED",
		`{"channel":"c","event":"e","scheduleExpression":"at(2030-01-01T00:00:00)"}`:                                                           "SCHEDULE_UNSUPPORTED",
	} {
		w.wants(w.post("/publish", "key-one", body), 400, code)
	}
	if len(w.hub.all) != 0 {
		t.Error("something was published")
	}
}

// TestPassesOn: what is not for AWS's APIs is somebody else's.
func TestPassesOn(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/publish", "/2015-03-31/function/x/invocations", "/functions/x/invocations"} {
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(nil))
		rec := httptest.NewRecorder()
		w.lambda.ServeHTTP(rec, r)
		if rec.Header().Get("X-Amzn-Requestid") != "" {
			t.Errorf("%s is taken for Lambda's", path)
		}
	}
}
