package invoke

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
)

// function invokes the call's function, wherever it is, and returns the JSON that
// it answered. It fails with a *gateway.Failure, which holds a
// *gateway.FunctionError if the function did.
func (c *call) function(ctx context.Context, payload []byte, async bool) ([]byte, error) {
	fn := c.to.Function
	f := c.event.Stage.API.Function(fn.Name)
	if f != nil && (f.Endpoint != "" || f.AccessKey != nil && len(f.Command) == 0 && f.Source == "") {
		return c.invoke(ctx, f, payload, async)
	}
	if c.b.functions == nil {
		return nil, &gateway.Failure{Kind: gateway.Misconfigured, Err: fmt.Errorf("there is no function %s", fn.Name)}
	}
	if async {
		return nil, hostFailure(ctx, c.b.functions.Enqueue(c.app, fn.Name, payload))
	}
	answer, err := c.b.functions.Invoke(ctx, c.app, fn.Name, payload)
	return answer, hostFailure(ctx, err)
}

// hostFailure translates what a host of functions says.
func hostFailure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var failed *gateway.FunctionError
	if errors.As(err, &failed) {
		return &gateway.Failure{Kind: gateway.Raised, Err: failed}
	}
	if ctx.Err() != nil {
		return failure(ctx, err)
	}
	kind := gateway.Unreachable
	switch earshot.CodeOf(err) {
	case earshot.NotFound, earshot.TooLarge, earshot.Invalid:
		kind = gateway.Misconfigured
	case earshot.Limited:
		kind = gateway.Overloaded
	case earshot.Timeout:
		kind = gateway.TimedOut
	}
	return &gateway.Failure{Kind: kind, Err: err}
}

// invoke calls a function by Lambda's Invoke.
func (c *call) invoke(ctx context.Context, f *earshot.GatewayFunction, payload []byte, async bool) ([]byte, error) {
	region := c.region()
	address := functionURL(f, c.to.Function, region)
	client, err := c.client(address)
	if err != nil {
		return nil, err
	}
	kind := "RequestResponse"
	if async {
		kind = "Event"
	}
	req, err := newRequest(ctx, &gateway.Request{
		Method: http.MethodPost, URL: address, Body: payload,
		Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Earshot"}, "X-Amz-Invocation-Type": {kind}},
	})
	if err != nil {
		return nil, err
	}
	if f.AccessKey != nil {
		if err := signLambda(ctx, req, payload, f.AccessKey, region); err != nil {
			return nil, &gateway.Failure{Kind: gateway.Misconfigured, Err: err}
		}
	}
	got, err := c.exchange(client, req, maxFunctionAnswer)
	if err != nil {
		return nil, err
	}
	return readInvocation(got, async)
}

// region is where the function is: what its ARN says, or else the API's.
func (c *call) region() string {
	if r := c.to.Function.Region; r != "" {
		return r
	}
	return c.event.Stage.API.Where()
}

// signLambda signs a request with Signature Version 4, by AWS's own code.
func signLambda(ctx context.Context, req *http.Request, payload []byte, key *earshot.AccessKey, region string) error {
	sum := sha256.Sum256(payload)
	credentials := aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
	return v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "lambda", region, time.Now())
}

// readInvocation says what an answer of Lambda's Invoke means (10.1, 10.2).
func readInvocation(got *answer, async bool) ([]byte, error) {
	fails := func(kind gateway.FailureKind) error {
		return &gateway.Failure{Kind: kind, Err: fmt.Errorf("the service answered %d %s", got.status, errorType(got.header))}
	}
	switch s := got.status; {
	case async && s >= 200 && s <= 299:
		return nil, nil
	case s == http.StatusTooManyRequests:
		return nil, fails(gateway.Overloaded)
	case s >= 500:
		return nil, fails(gateway.Unreachable)
	case s != http.StatusOK:
		return nil, fails(gateway.Misconfigured)
	case got.header.Get("X-Amz-Function-Error") != "" || saysError(got.body):
		return nil, &gateway.Failure{Kind: gateway.Raised, Err: readError(got.body)}
	}
	return got.body, nil
}

// errorType is what x-amzn-ErrorType says, in so far as it is a name.
func errorType(h http.Header) string {
	name := h.Get("x-amzn-ErrorType")
	for i, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') || i > 60 {
			return name[:i]
		}
	}
	return name
}

// errorPayload is what a function that failed answers (10.1).
type errorPayload struct {
	Message string         `json:"errorMessage"`
	Type    string         `json:"errorType"`
	Status  jsontext.Value `json:"statusCode"`
	Policy  jsontext.Value `json:"policyDocument"`
}

func readError(payload []byte) *gateway.FunctionError {
	var p errorPayload
	if json.Unmarshal(payload, &p) != nil {
		p = errorPayload{} // it failed in a form of its own
	}
	return &gateway.FunctionError{Payload: payload, Message: p.Message, Type: p.Type}
}

// saysError reports whether an answer can only be a function's failure: the
// runtime interface emulator does not mark it as one.
func saysError(payload []byte) bool {
	var p errorPayload
	return json.Unmarshal(payload, &p) == nil && p.Message != "" && p.Type != "" && p.Status == nil && p.Policy == nil
}
