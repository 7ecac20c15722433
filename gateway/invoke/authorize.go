package invoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/earshot-io/earshot/gateway"
)

// maxVerdict is what is read of an authorizer's answer: enough to see that it is
// too long.
const maxVerdict = 8<<10 + 1

// authorize asks a function or an address. Whatever is wrong with the answer, the
// authorizer is at fault; that a server is too busy to ask is another matter.
func (c *call) authorize(ctx context.Context) (*gateway.Verdict, error) {
	payload, err := c.event.AuthorizerJSON()
	if err != nil {
		return nil, &gateway.Failure{Kind: gateway.AuthorizerFailed, Err: err}
	}
	answer, err := c.ask(ctx, payload)
	var failed *gateway.FunctionError
	switch {
	case errors.As(err, &failed):
		return nil, gateway.ReadRefusal(failed.Message, err)
	case err != nil:
		f := gateway.FailureOf(err)
		switch f.Kind {
		case gateway.Overloaded, gateway.Unauthorized, gateway.AuthorizerFailed:
			return nil, f
		case gateway.Unreachable:
			return nil, &gateway.Failure{Kind: gateway.AuthorizerFailed, Err: &downError{f.Err}}
		}
		return nil, &gateway.Failure{Kind: gateway.AuthorizerFailed, Err: f.Err}
	}
	return c.event.ReadVerdict(answer)
}

// A downError is an authorizer that could not be reached.
type downError struct{ error }

// Unwrap returns the cause.
func (e *downError) Unwrap() error { return e.error }

func (c *call) ask(ctx context.Context, payload []byte) ([]byte, error) {
	if c.to.Function != nil {
		return c.function(ctx, payload, false)
	}
	r := &gateway.Request{
		Method: http.MethodPost, URL: c.to.URL, Body: payload,
		Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Earshot"}},
	}
	c.sign(r)
	got, err := c.send(ctx, r, maxVerdict)
	switch {
	case err != nil:
		return nil, err
	case got.status == http.StatusUnauthorized:
		return nil, &gateway.Failure{Kind: gateway.Unauthorized, Err: errors.New("the authorizer answered 401")}
	case got.status < 200 || got.status > 299:
		return nil, &gateway.Failure{Kind: gateway.AuthorizerFailed, Err: fmt.Errorf("the authorizer answered %d", got.status)}
	}
	return got.body, nil
}
