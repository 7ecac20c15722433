// Package aws_test publishes with AWS's own SDK for Go, as an application does
// that used AWS Lambda before: over HTTP, to a whole server.
package aws_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/auth"
	settings "github.com/earshot-io/earshot/config"
)

const (
	secret = "a secret of more than thirty-two bytes"
	arn    = "arn:aws:lambda:us-east-1:111111111111:function:Hotsock-PublishFunction-x"
)

// serve starts a server with two access keys, and webhooks, and returns its address.
func serve(t *testing.T, hooks ...settings.Webhook) string {
	t.Helper()
	c := settings.Default()
	c.Server = settings.Server{Listen: "127.0.0.1:0"}
	c.Engine.Data = t.TempDir()
	c.Apps = []settings.App{{
		Slug: "main", SigningKeys: []settings.SigningKey{{ID: "k", Alg: "HS256", Key: "YSBzZWNyZXQgb2YgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXM="}},
		Webhooks: hooks,
		AccessKeys: []settings.AccessKey{
			{ID: "AKWIDE", Secret: "wide"},
			{ID: "AKNARROW", Secret: "narrow", Allow: []string{"lambda:InvokeFunction:only-this"}},
		},
	}}
	a, err := app.New(c, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := a.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return "http://" + a.Addr().String()
}

// wire counts and changes what is sent.
type wire struct {
	sent   int
	change func(*http.Request)
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	w.sent++
	if w.change != nil {
		w.change(r)
	}
	return http.DefaultClient.Do(r)
}

// sdk makes a client that is configured by AWS_ENDPOINT_URL_LAMBDA alone.
func sdk(t *testing.T, endpoint, id, secret, session string, w lambda.HTTPClient) *lambda.Client {
	t.Helper()
	t.Setenv("AWS_ENDPOINT_URL_LAMBDA", endpoint)
	return lambda.NewFromConfig(environment(t, id, secret, session), func(o *lambda.Options) { o.HTTPClient = w })
}

// environment is what the SDK makes of an environment that has nothing else.
func environment(t *testing.T, id, secret, session string) aws.Config {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": session, "AWS_REGION": "us-east-1",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
	c, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listen subscribes to a channel; the function it returns waits for an event's data.
func listen(t *testing.T, address, channel string) func(event string) json.RawMessage {
	t.Helper()
	i, err := auth.NewIssuer(earshot.SigningKey{ID: "k", Alg: "HS256", Key: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Issue(fmt.Appendf(nil, `{"scope":"connect","exp":%d,"channels":{%q:{"autoSubscribe":true}}}`, time.Now().Add(time.Hour).Unix(), channel))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := websocket.Dial(t.Context(), strings.Replace(address, "http", "ws", 1)+"/v1?token="+token, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	wait := func(event string) json.RawMessage {
		t.Helper()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, text, err := c.Read(ctx)
			cancel()
			if err != nil {
				t.Fatalf("waiting for %s: %v", event, err)
			}
			var frame struct {
				Event string
				Data  json.RawMessage
			}
			if err := json.Unmarshal(text, &frame); err != nil {
				t.Fatal(err)
			}
			if frame.Event == event {
				return frame.Data
			}
		}
	}
	wait("hotsock.subscribed")
	return wait
}

func message(event string) []byte {
	return fmt.Appendf(nil, `{"channel":"c","event":%q,"data":{"n":1},"eagerIdGeneration":true}`, event)
}

func TestPublish(t *testing.T) {
	address := serve(t)
	heard := listen(t, address, "c")
	for name, c := range map[string]struct {
		prefix, function, session string
		qualifier                 *string
	}{
		"ARN":           {function: arn},
		"bare":          {function: "my-fn"},
		"qualifier":     {function: "my-fn", qualifier: aws.String("prod")},
		"prefix":        {prefix: "/some/prefix", function: arn},
		"prefix, slash": {prefix: "/some/prefix/", function: arn},
		"slash":         {prefix: "/", function: "my-fn"},
		"session token": {function: arn, session: "IQoJb3JpZ2luX2VjE//of+an/assumed==role"},
	} {
		t.Run(name, func(t *testing.T) {
			client := sdk(t, address+c.prefix, "AKWIDE", "wide", c.session, &wire{})
			event := "e." + strings.ReplaceAll(name, " ", "")
			out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &c.function, Qualifier: c.qualifier, Payload: message(event)})
			if err != nil {
				t.Fatal(err)
			}
			var answer struct{ Channel, Event, ID string }
			if err := json.Unmarshal(out.Payload, &answer); err != nil || answer.Channel != "c" || answer.Event != event || len(answer.ID) != 26 {
				t.Errorf("got %s, %v", out.Payload, err)
			}
			if out.StatusCode != 200 || out.FunctionError != nil || aws.ToString(out.ExecutedVersion) != "$LATEST" {
				t.Errorf("got %+v", out)
			}
			if got := string(heard(event)); got != `{"n":1}` {
				t.Errorf("heard %s", got)
			}
		})
	}
}

func TestEventAndDryRun(t *testing.T) {
	address := serve(t)
	heard := listen(t, address, "c")
	client := sdk(t, address, "AKNARROW", "narrow", "", &wire{})
	for kind, status := range map[types.InvocationType]int32{types.InvocationTypeDryRun: 204, types.InvocationTypeEvent: 202} {
		out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("only-this"), InvocationType: kind, Payload: message(string(kind))})
		if err != nil {
			t.Fatal(err)
		}
		if out.StatusCode != status || len(out.Payload) != 0 {
			t.Errorf("%s: got %d %s", kind, out.StatusCode, out.Payload)
		}
	}
	heard("Event")
	_, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("other"), InvocationType: types.InvocationTypeDryRun})
	wantsAPIError(t, err, "AccessDeniedException", "is not authorized to perform: lambda:InvokeFunction")
}

// wantsAPIError checks what the SDK made of an answer.
func wantsAPIError(t *testing.T, err error, code, part string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), part) {
		t.Errorf("got %v, want %s: %s", err, code, part)
	}
}

func TestRefused(t *testing.T) {
	address := serve(t)
	body := func(r *http.Request) {
		text := strings.Replace(string(message("e")), `"n":1`, `"n":2`, 1)
		r.Body = io.NopCloser(strings.NewReader(text))
	}
	for name, c := range map[string]struct {
		id, secret, function string
		change               func(*http.Request)
		code, part           string
	}{
		"wrong secret":  {"AKWIDE", "narrow", arn, nil, "InvalidSignatureException", "The request signature we calculated does not match"},
		"unknown key":   {"AKNONE", "wide", arn, nil, "UnrecognizedClientException", "security token included in the request is invalid"},
		"not allowed":   {"AKNARROW", "narrow", arn, nil, "AccessDeniedException", "AKNARROW"},
		"tampered body": {"AKWIDE", "wide", arn, body, "InvalidSignatureException", ""},
		"tampered type": {"AKWIDE", "wide", arn, func(r *http.Request) { r.Header.Set("X-Amz-Invocation-Type", "DryRun") }, "InvalidSignatureException", ""},
		"another host":  {"AKWIDE", "wide", arn, func(r *http.Request) { r.Host = "other.example" }, "InvalidSignatureException", ""},
		"no signature":  {"AKWIDE", "wide", arn, func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException", ""},
		"torn":          {"AKWIDE", "wide", arn, func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKWIDE") }, "IncompleteSignatureException", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{change: c.change}
			client := sdk(t, address, c.id, c.secret, "", w)
			_, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &c.function, Payload: message("e")})
			wantsAPIError(t, err, c.code, c.part)
			if w.sent != 1 {
				t.Errorf("the SDK sent it %d times", w.sent)
			}
		})
	}
	client := sdk(t, address, "AKWIDE", "wide", "", &wire{})
	large := &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)}
	_, err := client.Invoke(t.Context(), large)
	wantsAPIError(t, err, "RequestEntityTooLargeException", "must be smaller")
	_, err = client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"channel"`)})
	wantsAPIError(t, err, "InvalidRequestContentException", "Could not parse request body into json")
	var content *types.InvalidRequestContentException
	if !errors.As(err, &content) {
		t.Errorf("%T is not the SDK's own type", err)
	}
	out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"channel":"a b","event":"e"}`)})
	if err != nil || aws.ToString(out.FunctionError) != "Unhandled" || !strings.Contains(string(out.Payload), `"errorType":"CHANNEL_NAME"`) {
		t.Errorf("got %+v, %v", out, err)
	}
	_, err = client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	wantsAPIError(t, err, "UnknownOperationException", "Invoke")
}

// TestEmit: the application's own server is told of a message that asks for it,
// with the request that published it.
func TestEmit(t *testing.T) {
	told := make(chan []byte, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		told <- body
	}))
	t.Cleanup(hook.Close)
	address := serve(t, settings.Webhook{
		ID: "w", URL: hook.URL, Events: []string{"messagePublished"}, Secrets: []settings.Secret{"whsec_" + settings.Secret(base64.StdEncoding.EncodeToString([]byte(secret)))},
	})
	client := sdk(t, address, "AKWIDE", "wide", "", &wire{})
	invoke := func(payload string) *lambda.InvokeOutput {
		out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(payload)})
		if err != nil || out.FunctionError != nil {
			t.Fatal(err, out)
		}
		return out
	}
	invoke(`{"channel":"c","event":"silent"}`)
	out := invoke(`{"channel":"c","event":"told","data":7,"emitPubSubEvent":true}`)
	var e struct {
		Type     string
		Metadata map[string]string
		Data     struct{ Data int }
	}
	select {
	case body := <-told:
		if err := json.Unmarshal(body, &e); err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the webhook was not told")
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	m := e.Metadata
	if e.Type != "hotsock.messagePublished" || e.Data.Data != 7 || m["event"] != "told" || m["trigger"] != "server.lambda" || m["requestId"] != id || id == "" {
		t.Errorf("got %+v, want the request %s", e, id)
	}
	if m["sourceIp"] != "127.0.0.1" || !strings.Contains(m["userAgent"], "aws-sdk-go-v2") {
		t.Errorf("got the origin %v", m)
	}
}

// TestOldDate signs with a clock that is wrong, which the SDK would notice and
// correct by itself.
func TestOldDate(t *testing.T) {
	address := serve(t)
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/2015-03-31/functions/f/invocations", nil)
		if err != nil {
			t.Fatal(err)
		}
		keys := aws.Credentials{AccessKeyID: "AKWIDE", SecretAccessKey: "wide"}
		const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		if err := v4.NewSigner().SignHTTP(t.Context(), keys, r, empty, "lambda", "us-east-1", time.Now().Add(off)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 403 || resp.Header.Get("X-Amzn-Errortype") != "InvalidSignatureException" || resp.Header.Get("Date") == "" {
			t.Errorf("%v: got %d %s %v, %v", off, resp.StatusCode, text, resp.Header, err)
		}
	}
}

// TestAttemptsCountOnce: the answer of a publish is lost, the SDK tries again,
// and the message is there once.
func TestAttemptsCountOnce(t *testing.T) {
	address := serve(t)
	heard := listen(t, address, "c")
	w := &losing{}
	client := sdk(t, address, "AKWIDE", "wide", "", w)
	invoke := func(payload string) string {
		out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(payload)})
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ ID string }
		if err := json.Unmarshal(out.Payload, &answer); err != nil {
			t.Fatal(err)
		}
		return answer.ID
	}
	w.lose = true
	id := invoke(`{"channel":"c","event":"twice","data":1,"eagerIdGeneration":true}`)
	if w.sent != 2 {
		t.Fatalf("sent %d times, want 2", w.sent)
	}
	next := invoke(`{"channel":"c","event":"twice","data":2,"eagerIdGeneration":true}`)
	if next <= id {
		t.Errorf("the ids %s and %s do not rise", id, next)
	}
	if a, b := string(heard("twice")), string(heard("twice")); a != "1" || b != "2" {
		t.Errorf("heard %s and %s, want each once", a, b)
	}
}

// losing loses the answer to one request.
type losing struct {
	lose bool
	sent int
}

func (l *losing) Do(r *http.Request) (*http.Response, error) {
	l.sent++
	resp, err := http.DefaultClient.Do(r)
	if err == nil && l.lose {
		l.lose = false
		_ = resp.Body.Close()
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: io.ErrUnexpectedEOF}
	}
	return resp, err
}

// TestAssumeRole: AWS_ENDPOINT_URL sends STS here too, which says what to set.
func TestAssumeRole(t *testing.T) {
	address := serve(t)
	t.Setenv("AWS_ENDPOINT_URL", address)
	c := environment(t, "AKWIDE", "wide", "")
	_, err := sts.NewFromConfig(c).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::111111111111:role/publisher"), RoleSessionName: aws.String("s"),
	})
	wantsAPIError(t, err, "InvalidAction", "Set AWS_ENDPOINT_URL_LAMBDA")
}
