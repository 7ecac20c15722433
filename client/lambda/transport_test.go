package lambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/earshot-io/earshot/auth/sigv4"
	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/client/lambda"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const arn = "arn:aws:lambda:us-east-1:111111111111:function:Publish"

// A call is one that a fake service got.
type call struct {
	path, key, token, body string
}

// A service is Lambda and STS in one. It checks signatures.
type service struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	secrets map[string]string // of access keys
	calls   []call
	forms   []url.Values // what STS was asked
	answer  http.HandlerFunc
}

func newService(t *testing.T) *service {
	t.Helper()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA", "AWS_REGION"} {
		t.Setenv(name, "")
	}
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, t.TempDir()+"/none")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := &service{t: t, secrets: map[string]string{"AKID": "SECRET"}, answer: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		_, _ = io.WriteString(w, `{"channel":"c","event":"e","id":"X"}`)
	}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", s.URL)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := "lambda"
	if r.URL.Path == "/" {
		name = "sts"
	}
	signature, err := sigv4.Parse(r)
	if err == nil {
		err = signature.Verify(r, body, s.secrets[signature.KeyID], time.Now(), sigv4.Policy{Service: name})
	}
	if err != nil {
		s.t.Errorf("%s: %v", r.URL.Path, err)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if name == "sts" {
		s.lend(w, string(body))
		return
	}
	s.calls = append(s.calls, call{r.URL.EscapedPath(), signature.KeyID, r.Header.Get("X-Amz-Security-Token"), string(body)})
	s.answer(w, r)
}

// lend answers AssumeRole.
func (s *service) lend(w http.ResponseWriter, body string) {
	form, err := url.ParseQuery(body)
	if err != nil {
		s.t.Error(err)
	}
	s.forms = append(s.forms, form)
	s.secrets["ASIA"] = "LENT"
	fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>LENT</SecretAccessKey><SessionToken>TOKEN</SessionToken><Expiration>%s</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

func (s *service) config() client.Config {
	return client.Config{
		PublishFunctionARN: arn, AWSRegion: "us-east-1", AWSEndpointURL: s.URL, AWSAccessKeyID: "AKID", AWSSecretAccessKey: "SECRET",
	}
}

func publisher(t *testing.T, c client.Config) *client.Publisher {
	t.Helper()
	p, err := lambda.NewPublisher(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

var hello = client.Message{Channel: "c", Event: "e", Data: "hello", Extra: map[string]any{"x": 1}}

// TestCall: the function is called as the Ruby library calls it, signed.
func TestCall(t *testing.T) {
	s := newService(t)
	answer, err := publisher(t, s.config()).Publish(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	want := call{"/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A111111111111%3Afunction%3APublish/invocations", "AKID", "", `{"event":"e","channel":"c","data":"hello","x":1}`}
	if len(s.calls) != 1 || s.calls[0] != want {
		t.Errorf("got the calls %+v, want %+v", s.calls, want)
	}
	if answer.Status != 200 || answer.Version != "$LATEST" {
		t.Errorf("got %+v", answer)
	}
	if p, err := answer.Decode(); err != nil || p.ID != "X" {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestCredentials: static keys, those of the environment, and a role's.
func TestCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *client.Config)
		call   call
		form   url.Values
	}{
		"static": {func(*testing.T, *client.Config) {}, call{key: "AKID"}, nil},
		"default chain": {func(t *testing.T, c *client.Config) {
			t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
			t.Setenv("AWS_SESSION_TOKEN", "SESSION")
			c.AWSAccessKeyID, c.AWSSecretAccessKey = "", ""
		}, call{key: "AKID", token: "SESSION"}, nil},
		"static wins": {func(t *testing.T, _ *client.Config) {
			t.Setenv("AWS_ACCESS_KEY_ID", "OTHER")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "OTHER")
		}, call{key: "AKID"}, nil},
		"role": {
			func(_ *testing.T, c *client.Config) {
				c.AWSAssumeRoleARN, c.AWSAssumeRoleSessionName, c.AWSAssumeRoleExternalID = "arn:aws:iam::1:role/R", "my-app", "6f4c10321f"
			},
			call{key: "ASIA", token: "TOKEN"},
			url.Values{"RoleArn": {"arn:aws:iam::1:role/R"}, "RoleSessionName": {"my-app"}, "ExternalId": {"6f4c10321f"}},
		},
		"role of the chain": {func(t *testing.T, c *client.Config) {
			t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
			c.AWSAccessKeyID, c.AWSSecretAccessKey, c.AWSAssumeRoleARN = "", "", "arn:aws:iam::1:role/R"
		}, call{key: "ASIA", token: "TOKEN"}, url.Values{"RoleArn": {"arn:aws:iam::1:role/R"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			settings := s.config()
			c.change(t, &settings)
			p := publisher(t, settings)
			for range 2 {
				if _, err := p.Publish(t.Context(), hello); err != nil {
					t.Fatal(err)
				}
			}
			for _, got := range s.calls {
				if got.key != c.call.key || got.token != c.call.token {
					t.Errorf("called by %+v, want %+v", got, c.call)
				}
			}
			if c.form == nil && len(s.forms) > 0 || c.form != nil && len(s.forms) != 1 {
				t.Fatalf("STS was asked %v, want once at the most", s.forms)
			}
			for name, want := range c.form {
				if got := s.forms[0][name]; got[0] != want[0] {
					t.Errorf("STS was asked with the %s %v, want %v", name, got, want)
				}
			}
			if c.form != nil && c.form["RoleSessionName"] == nil && !regexp.MustCompile(`^earshot-go-[\w+=,.@-]{1,53}$`).MatchString(s.forms[0].Get("RoleSessionName")) {
				t.Errorf("the session is called %q", s.forms[0].Get("RoleSessionName"))
			}
		})
	}
}

// TestEndpointOfEnvironment: the variable that a Ruby application sets, with a
// path.
func TestEndpointOfEnvironment(t *testing.T) {
	s := newService(t)
	t.Setenv("AWS_ENDPOINT_URL_LAMBDA", s.URL+"/prefix/")
	c := s.config()
	c.AWSEndpointURL, c.PublishFunctionARN = "", "Publish"
	if _, err := publisher(t, c).Publish(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if want := "/prefix/2015-03-31/functions/Publish/invocations"; s.calls[0].path != want {
		t.Errorf("called %s, want %s", s.calls[0].path, want)
	}
}

// TestFailures: what the service and the function say becomes an error, and what
// is safe is tried again.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		status         int
		header         map[string]string
		body           string
		code, message  string
		unsure         bool
		calls, keyed   int
		retryAfter     time.Duration
		reasonIsHeader bool
	}{
		"denied":       {status: 403, header: map[string]string{"X-Amzn-ErrorType": "AccessDeniedException"}, body: `{"Message":"no"}`, code: "AccessDeniedException", message: "no", calls: 1, keyed: 1},
		"bare 403":     {status: 403, code: "UnknownError", calls: 1, keyed: 1},
		"limited":      {status: 429, header: map[string]string{"X-Amzn-ErrorType": "TooManyRequestsException", "Retry-After": "0"}, body: `{"message":"slow down"}`, code: "TooManyRequestsException", message: "slow down", calls: 3, keyed: 3},
		"server error": {status: 500, header: map[string]string{"X-Amzn-ErrorType": "ServiceException"}, body: `{"Message":"oh"}`, code: "ServiceException", message: "oh", unsure: true, calls: 1, keyed: 3},
		"unavailable":  {status: 503, header: map[string]string{"X-Amzn-ErrorType": "ServiceUnavailableException"}, body: `{"Message":"oh"}`, code: "ServiceUnavailableException", unsure: true, calls: 1, keyed: 3},
		"a function's refusal": {
			status: 200, header: map[string]string{"X-Amz-Function-Error": "Unhandled"}, body: `{"errorType":"CHANNEL_NAME","errorMessage":"bad"}`,
			code: "CHANNEL_NAME", message: "bad", calls: 1, keyed: 1, reasonIsHeader: true,
		},
		"a function that does not know": {
			status: 200, header: map[string]string{"X-Amz-Function-Error": "Unhandled"}, body: `{"errorType":"UNKNOWN_OUTCOME","errorMessage":"perhaps"}`,
			code: "UNKNOWN_OUTCOME", unsure: true, calls: 1, keyed: 3, reasonIsHeader: true,
		},
		"a function that ran out of time": {
			status: 200, header: map[string]string{"X-Amz-Function-Error": "Unhandled"}, body: `{"errorMessage":"Task timed out after 3.00 seconds"}`,
			code: "FUNCTION_ERROR", message: "Task timed out after 3.00 seconds", unsure: true, calls: 1, keyed: 3, reasonIsHeader: true,
		},
		"a function that says nothing": {
			status: 200, header: map[string]string{"X-Amz-Function-Error": "Unhandled"}, body: `nonsense`,
			code: "FUNCTION_ERROR", unsure: true, calls: 1, keyed: 3, reasonIsHeader: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.answer = func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range c.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}
			p := publisher(t, s.config())
			_, err := p.Publish(t.Context(), hello)
			var e *client.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if e.Code != c.code || e.Status != c.status || c.message != "" && e.Message != c.message || e.Message == "" || client.OutcomeUnknown(err) != c.unsure {
				t.Errorf("got %#v, want %s: %s, unsure %v", e, c.code, c.message, c.unsure)
			}
			if (e.Reason == "Unhandled") != c.reasonIsHeader {
				t.Errorf("the reason is %q", e.Reason)
			}
			if len(s.calls) != c.calls {
				t.Errorf("called %d times, want %d", len(s.calls), c.calls)
			}
			s.calls = nil
			keyed := hello
			keyed.DeduplicationID = "d"
			if _, err := p.Publish(t.Context(), keyed); err == nil || len(s.calls) != c.keyed {
				t.Errorf("with a deduplication id: %v, called %d times, want %d", err, len(s.calls), c.keyed)
			}
		})
	}
}

// TestNotSent: without credentials or a server nothing was published.
func TestNotSent(t *testing.T) {
	s := newService(t)
	c := s.config()
	c.AWSAccessKeyID, c.AWSSecretAccessKey = "", ""
	_, err := publisher(t, c).Publish(t.Context(), hello)
	if err == nil || client.OutcomeUnknown(err) || len(s.calls) > 0 {
		t.Errorf("without credentials: %v", err)
	}
	c = s.config()
	c.AWSEndpointURL, c.Tries = "http://127.0.0.1:1", 1
	if _, err := publisher(t, c).Publish(t.Context(), hello); err == nil || client.OutcomeUnknown(err) {
		t.Errorf("without a server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := publisher(t, s.config()).Publish(ctx, hello); !errors.Is(err, context.Canceled) || client.OutcomeUnknown(err) {
		t.Errorf("too late: %v", err)
	}
	s.answer = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	if _, err := publisher(t, s.config()).Publish(t.Context(), hello); !client.OutcomeUnknown(err) {
		t.Errorf("a connection that breaks: %v, want that nobody knows", err)
	}
}

// TestMissingFields: each that is needed is named, and those of Ruby's options
// that are not, are not.
func TestMissingFields(t *testing.T) {
	s := newService(t)
	for field, change := range map[string]func(*client.Config){
		"PublishFunctionARN": func(c *client.Config) { c.PublishFunctionARN = "" },
		"AWSRegion":          func(c *client.Config) { c.AWSRegion = "" },
		"AWSAccessKeyID":     func(c *client.Config) { c.AWSAccessKeyID = "" },
		"AWSSecretAccessKey": func(c *client.Config) { c.AWSSecretAccessKey = "" },
	} {
		c := s.config()
		change(&c)
		_, err := lambda.NewPublisher(t.Context(), c)
		var e *client.ConfigError
		if !errors.As(err, &e) || e.Field != field || !strings.Contains(err.Error(), "Config."+field+" is missing") {
			t.Errorf("got %v, want that %s is missing", err, field)
		}
		if _, err := lambda.New(t.Context(), c); !errors.As(err, &e) || e.Field != field {
			t.Errorf("New: got %v, want that %s is missing", err, field)
		}
		if err := lambda.Configure(t.Context(), c); !errors.As(err, &e) || e.Field != field || client.Default() != nil {
			t.Errorf("Configure: got %v, want that %s is missing", err, field)
		}
	}
	var e *client.ConfigError
	if _, err := client.NewPublisher(s.config()); !errors.As(err, &e) || !strings.Contains(err.Error(), "lambda.NewPublisher") {
		t.Errorf("over HTTP: %v", err)
	}
}

// TestTwoInstallations are two configurations in one process.
func TestTwoInstallations(t *testing.T) {
	s := newService(t)
	s.secrets["WEST"] = "WESTERN"
	east, west := s.config(), s.config()
	west.AWSRegion, west.PublishFunctionARN, west.AWSAccessKeyID, west.AWSSecretAccessKey = "us-west-2", "West", "WEST", "WESTERN"
	for _, c := range []client.Config{east, west, east} {
		made, err := lambda.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer made.Close()
		if _, err := made.PublishAll(t.Context(), []client.Message{hello, hello}); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for _, c := range s.calls {
		keys = append(keys, c.key)
	}
	if got := fmt.Sprint(keys); got != "[AKID AKID WEST WEST AKID AKID]" {
		t.Errorf("called by %s", got)
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(s.calls[1].body), &sent); err != nil || sent["channel"] != "c" {
		t.Errorf("a message of a batch was sent as %s", s.calls[1].body)
	}
}
