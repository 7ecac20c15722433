package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	service "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"

	"github.com/earshot-io/earshot/client"
)

// A Transport calls a function. It is safe for concurrent use.
type Transport struct {
	function string
	service  *service.Client
	keys     aws.CredentialsProvider
	http     *http.Client // nil if it is the program's
}

var _ client.Transport = (*Transport)(nil)

// NewPublisher makes a publisher that calls the Config's function. The context
// bounds reading the AWS SDK's shared files. It fails with a *client.ConfigError
// that names the field that is missing.
func NewPublisher(ctx context.Context, c client.Config) (*client.Publisher, error) {
	if err := use(ctx, &c); err != nil {
		return nil, err
	}
	return client.NewPublisher(c)
}

// New is client.New with a publisher that calls the Config's function.
func New(ctx context.Context, c client.Config) (*client.Client, error) {
	if err := use(ctx, &c); err != nil {
		return nil, err
	}
	return client.New(c)
}

// Configure is client.Configure with a publisher that calls the Config's
// function.
func Configure(ctx context.Context, c client.Config) error {
	if err := use(ctx, &c); err != nil {
		return err
	}
	return client.Configure(c)
}

func use(ctx context.Context, c *client.Config) error {
	made, err := NewTransport(ctx, *c)
	if err != nil {
		return err
	}
	c.Transport = made
	return nil
}

// NewTransport makes a transport, for a Config's Transport.
func NewTransport(ctx context.Context, c client.Config) (*Transport, error) {
	if err := client.Need("PublishFunctionARN", c.PublishFunctionARN, "publishing over AWS Lambda needs the function"); err != nil {
		return nil, err
	}
	settings, err := load(ctx, c)
	if err != nil {
		return nil, err
	}
	own, ours := newHTTPClient(c, settings)
	settings.HTTPClient = own
	if c.AWSAssumeRoleARN != "" {
		settings.Credentials = assume(settings, c)
	}
	made := service.NewFromConfig(settings, func(o *service.Options) {
		if c.AWSEndpointURL != "" {
			o.BaseEndpoint = &c.AWSEndpointURL
		}
		o.Retryer = aws.NopRetryer{}
	})
	t := &Transport{function: c.PublishFunctionARN, service: made, keys: settings.Credentials}
	if ours {
		t.http = own
	}
	return t, nil
}

// Batches reports that a call carries one message.
func (t *Transport) Batches() bool { return false }

// Close closes the connections that wait for the next call.
func (t *Transport) Close() {
	if t.http != nil {
		t.http.CloseIdleConnections()
	}
}

// Send calls the function with one message. Credentials are asked for first, so
// that it is known that nothing was sent if there are none.
func (t *Transport) Send(ctx context.Context, body []byte) (*client.Answer, error) {
	if _, err := t.keys.Retrieve(ctx); err != nil {
		return nil, &client.Error{Code: "CREDENTIALS", Message: "there are no credentials to call with: " + err.Error(), Err: err}
	}
	out, err := t.service.Invoke(ctx, &service.InvokeInput{FunctionName: &t.function, Payload: body})
	switch {
	case err != nil:
		return nil, refusal(err)
	case out.FunctionError != nil:
		return nil, functionError(*out.FunctionError, int(out.StatusCode), out.Payload)
	}
	return &client.Answer{Status: int(out.StatusCode), Raw: out.Payload, Version: aws.ToString(out.ExecutedVersion)}, nil
}

// refusal translates what the SDK says. What is no answer of the service stays
// as it is, for client.OutcomeUnknown to judge.
func refusal(err error) error {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode() == 0 {
		return err
	}
	e := &client.Error{Status: answer.HTTPStatusCode(), Code: http.StatusText(answer.HTTPStatusCode()), Message: "refused", Err: err}
	var said smithy.APIError
	if errors.As(err, &said) {
		e.Code, e.Message = said.ErrorCode(), said.ErrorMessage()
	}
	if e.Message == "" {
		e.Message = http.StatusText(e.Status)
	}
	e.Unsure = e.Status >= http.StatusInternalServerError
	if wait, ok := retryAfter(answer); ok {
		e.RetryAfter = wait
	}
	return e
}

func retryAfter(answer *awshttp.ResponseError) (time.Duration, bool) {
	if answer.Response == nil || answer.Response.Response == nil {
		return 0, false
	}
	d, err := time.ParseDuration(answer.Response.Header.Get("Retry-After") + "s")
	return d, err == nil && d > 0
}

// functionError is the failure of the function itself.
func functionError(kind string, status int, payload []byte) error {
	var said struct{ ErrorType, ErrorMessage string }
	if json.Unmarshal(payload, &said) != nil {
		said.ErrorType, said.ErrorMessage = "", "" // the payload is the function's own affair
	}
	e := &client.Error{Status: status, Code: said.ErrorType, Reason: kind, Message: said.ErrorMessage, Unsure: broken(said.ErrorType)}
	if e.Code == "" {
		e.Code = functionFailed
	}
	if e.Message == "" {
		e.Message = "the function failed: " + kind
	}
	return e
}

// functionFailed is the code of a failure without a name.
const functionFailed = "FUNCTION_ERROR"

// broken reports whether a function did not end by itself, or says that it does
// not know: a server of ours that cannot tell whether it published, or Lambda
// where a function crashed or ran out of time.
func broken(errorType string) bool {
	return errorType == "" || errorType == "UNKNOWN_OUTCOME" ||
		strings.HasPrefix(errorType, "Sandbox.") || strings.HasPrefix(errorType, "Runtime.")
}
