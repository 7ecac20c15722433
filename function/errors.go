package function

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/earshot-io/earshot"
)

// The reasons of this package's errors.
const (
	// Unknown is a function that is not hosted; code NotFound.
	Unknown = "FUNCTION_UNKNOWN"
	// Busy is a function whose copies all work, with as many waiting as may; code
	// Limited.
	Busy = "FUNCTION_BUSY"
	// Payload is an event of more than MaxPayload bytes; code TooLarge.
	Payload = "FUNCTION_PAYLOAD"
	// Stopped is a host that is closed; code Shutdown.
	Stopped = "FUNCTION_STOPPED"
)

// The types of the failures that the host finds, as Lambda names them.
const (
	TypeTimeout      = "Sandbox.Timedout"
	TypeExit         = "Runtime.ExitError"
	TypeStart        = "Runtime.InvalidEntrypoint"
	TypeResponseSize = "Function.ResponseSizeTooLarge"
	typeUnknown      = "Runtime.Unknown"
)

// An Error is a function that was called and failed: it said so, ran out of
// time, or its process ended.
type Error struct {
	// Type and Message are those of the payload, empty if it has none.
	Type, Message string
	// Payload is JSON as Lambda answers it: errorMessage, errorType and perhaps
	// stackTrace. What the function itself sent is passed on as it is.
	Payload []byte
}

// Error returns type and message.
func (e *Error) Error() string { return "the function failed: " + e.Type + ": " + e.Message }

// Timeout reports whether the function ran out of time.
func (e *Error) Timeout() bool { return e.Type == TypeTimeout }

// FunctionError returns what Lambda answers of the failure.
func (e *Error) FunctionError() []byte { return e.Payload }

// A failure is the payload of an error.
type failure struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

// failed makes the error of something that the host found.
func failed(kind, format string, args ...any) *Error {
	f := failure{Message: fmt.Sprintf(format, args...), Type: kind}
	payload, err := json.Marshal(f)
	if err != nil {
		payload = []byte(`{}`) // cannot be: these are strings
	}
	return &Error{Type: f.Type, Message: f.Message, Payload: payload}
}

// told makes the error of a payload that a function sent, kind being the type in
// the header beside it. One that is not JSON is put into some.
func told(payload []byte, kind string) *Error {
	var f failure
	if !json.Valid(payload) {
		if kind == "" {
			kind = typeUnknown
		}
		return failed(kind, "%s", payload)
	}
	if json.Unmarshal(payload, &f) != nil || f.Type == "" {
		f.Type = kind // JSON, but of another form: the payload is passed on, and has no names
	}
	return &Error{Type: f.Type, Message: f.Message, Payload: payload}
}

// timedOut is what Lambda answers for a function that took too long.
func timedOut(id string, after time.Duration) *Error {
	return failed(TypeTimeout, "RequestId: %s Error: Task timed out after %.2f seconds", id, after.Seconds())
}

func exited(id string, why error) *Error {
	return failed(TypeExit, "RequestId: %s Error: Runtime exited%s", id, reasonOf(why))
}

// reasonOf says how a process ended, in Lambda's words.
func reasonOf(why error) string {
	if why == nil {
		return " without providing a reason"
	}
	return " with error: " + why.Error()
}

func errUnknown(name string) error {
	return &earshot.Error{Code: earshot.NotFound, Reason: Unknown, Text: fmt.Sprintf("there is no function %q", name)}
}

func errBusy(name string) error {
	return &earshot.Error{
		Code: earshot.Limited, Reason: Busy, RetryAfter: time.Second,
		Text: fmt.Sprintf("the function %q has too many calls at once", name),
	}
}

func errPayload() error {
	return &earshot.Error{Code: earshot.TooLarge, Reason: Payload, Text: fmt.Sprintf("an event may have %d bytes", MaxPayload)}
}

func errStopped() error {
	return &earshot.Error{Code: earshot.Shutdown, Reason: Stopped, Text: "functions are not run any more"}
}

// gaveUp is a caller that did not wait for the end of a call; it holds the
// context's error.
func gaveUp(name string, cause error) error {
	return &earshot.Error{Code: earshot.Timeout, Reason: "FUNCTION_NOT_AWAITED", Text: fmt.Sprintf("the function %q has not answered in time", name), Err: cause}
}
