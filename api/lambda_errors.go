package api

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth/sigv4"
)

// An exception is an error as AWS's SDKs know it: its name goes into
// x-amzn-ErrorType.
type exception struct {
	status     int
	name, text string
}

// Error returns name and text.
func (e *exception) Error() string { return e.name + ": " + e.text }

func exceptionOf(status int, name, text string) error {
	return &exception{status: status, name: name, text: text}
}

// An exceptionBody is the body of an error. Which of the members of two cases an
// exception has is up to the exception (lambda/2015-03-31/service-2).
type exceptionBody struct {
	Type   string `json:"Type,omitzero"`
	Upper  string `json:"Message,omitzero"`
	Lower  string `json:"message,omitzero"`
	Reason string `json:"Reason,omitzero"`
}

func (e *exception) body() exceptionBody {
	b := exceptionBody{Lower: e.text}
	if e.status != http.StatusForbidden {
		b.Type = "User"
	}
	if e.status >= http.StatusInternalServerError {
		b.Type = "Service"
	}
	switch e.name {
	case "ServiceException", "ServiceUnavailableException", "AccessDeniedException":
		b.Upper, b.Lower = e.text, ""
	case "TooManyRequestsException":
		b.Reason = "CallerRateLimitExceeded"
	}
	return b
}

// A functionError is what a function answers that has failed: SDKs return it as
// an answer, and do not try again.
type functionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

// fault makes an error of what became of an order, such that an SDK tries again
// where that may help, and only where it cannot publish twice:
//
//   - what may pass, and is known to have failed, is 429 or 5xx;
//   - an unknown outcome is 503 if a key makes the next attempt safe. Otherwise it
//     is an error of the function, as one is that ran out of time;
//   - what will never succeed is an error of the function. Who asked for no answer
//     (Event) would not hear of it, and gets a 400.
func (in *invocation) fault(out outcome, event bool) error {
	e := earshot.AsError(out.err)
	final := !e.Code.Temporary() && e.Code != earshot.Internal
	if e.Code == earshot.Unknown {
		final = out.order == nil || !out.order.repeatable
	}
	switch {
	case e.Reason == "JSON":
		return exceptionOf(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: "+e.Text)
	case final && event && e.Code == earshot.Unknown:
		return exceptionOf(http.StatusConflict, "ResourceConflictException", e.Text)
	case final && event:
		return exceptionOf(http.StatusBadRequest, "InvalidParameterValueException", e.Text)
	case final:
		f := failureOf(e)
		in.w.Header().Set("X-Amz-Function-Error", "Unhandled")
		in.w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		write(in.w, http.StatusOK, functionError{Message: f.Message, Type: f.Code})
		return nil
	}
	return out.err
}

// refuse answers an error that is not the function's. What is our own fault is
// logged, with its cause.
func (in *invocation) refuse(err error) {
	var x *exception
	if !errors.As(err, &x) {
		e := earshot.AsError(err)
		x = translate(e)
		if s := e.RetrySeconds(); s > 0 {
			in.w.Header().Set("Retry-After", strconv.Itoa(s))
		}
		if x.status >= http.StatusInternalServerError {
			in.api.log.Error("request failed", "method", in.r.Method, "path", in.r.URL.Path, "status", x.status, "err", err)
		}
	}
	in.w.Header().Set("X-Amzn-Errortype", x.name)
	write(in.w, x.status, x.body())
}

// translate finds the exception of an error. Those of signatures all have 403.
func translate(e *earshot.Error) *exception {
	if name := sigv4.Exception(e.Reason); name != "" {
		return &exception{http.StatusForbidden, name, e.Text}
	}
	text := failureOf(e).Message
	switch e.Code {
	case earshot.Limited, earshot.Slow:
		return &exception{http.StatusTooManyRequests, "TooManyRequestsException", text}
	case earshot.Unavailable, earshot.Shutdown, earshot.Full, earshot.Unknown, earshot.Timeout:
		return &exception{http.StatusServiceUnavailable, "ServiceUnavailableException", text}
	case earshot.TooLarge:
		return &exception{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", text}
	case earshot.Internal:
		return &exception{http.StatusInternalServerError, "ServiceException", text}
	case earshot.Unauthenticated, earshot.Forbidden, earshot.Expired, earshot.Kicked:
		return &exception{http.StatusForbidden, "AccessDeniedException", text}
	}
	return &exception{http.StatusBadRequest, "InvalidParameterValueException", text}
}

func errMayNotInvoke(s *sigv4.Signature, function, why string) error {
	return exceptionOf(http.StatusForbidden, "AccessDeniedException", "User: "+s.KeyID+" is not authorized to perform: "+
		earshot.InvokeFunction+" on resource: arn:aws:lambda:"+s.Region+":000000000000:function:"+function+" because "+why)
}

func errFunctionName() error {
	return exceptionOf(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value at 'functionName' failed to satisfy "+
		"constraint: Member must be the name or ARN of a function")
}

func errUnknownOperation() error {
	return exceptionOf(http.StatusNotFound, "UnknownOperationException", "Of Lambda's API, Invoke is served: POST /2015-03-31/functions/NAME/invocations")
}

// body reads the body.
func (in *invocation) body() ([]byte, error) {
	most := in.mostBytes()
	body, err := io.ReadAll(http.MaxBytesReader(in.w, in.r.Body, most))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, exceptionOf(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", most))
	case err != nil:
		return nil, exceptionOf(http.StatusBadRequest, "InvalidRequestContentException", "The request body could not be read")
	}
	return body, nil
}

// forSTS reports whether a request is one for STS, AWS's service that lends
// credentials. It arrives here where AWS_ENDPOINT_URL sends every service.
func forSTS(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return false
	}
	return r.URL.Path == "/" || strings.Contains(r.Header.Get("Authorization"), "/sts/aws4_request")
}

// An stsError is an error in the words of AWS's query protocol.
type stsError struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// refuseSTS says what to set instead.
func refuseSTS(w http.ResponseWriter) {
	e := stsError{
		Type: "Sender", Code: "InvalidAction", RequestID: newRequestID(),
		Message: "This is not AWS STS but an Earshot server, which lends no credentials. Set AWS_ENDPOINT_URL_LAMBDA to its address, " +
			"and not AWS_ENDPOINT_URL, which sends the requests of every service here; or use an access key of the server without a role.",
	}
	text, err := xml.Marshal(e)
	if err != nil {
		text = nil // cannot be: these are strings
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", e.RequestID)
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(text)
}
