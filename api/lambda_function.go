package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/earshot-io/earshot"
)

// Bounds of functions that run here.
const (
	// maxHosted is how many bytes an event may have that is answered; of one that is
	// not it is maxBody. They are Lambda's.
	maxHosted = 6 << 20
	// maxClientContext is how long the header of the client's context may be.
	maxClientContext = 3583
	// answerTime bounds how long the answer of a function is awaited, and sent.
	answerTime = 15*time.Minute + 30*time.Second
)

// Functions are Lambda functions that run on this server. They are called by the
// names of Lambda's API; every other name is that of the function that publishes.
type Functions interface {
	// Has reports whether the app has a function of the name.
	Has(a *earshot.App, name string) bool
	// Call calls it and waits. An error is one of the call, not of the function.
	Call(ctx context.Context, a *earshot.App, name string, c FunctionCall) (FunctionAnswer, error)
	// Later has it called without waiting.
	Later(a *earshot.App, name string, c FunctionCall) error
}

// A FunctionCall is one call of a function.
type FunctionCall struct {
	// Payload is JSON; ClientContext is too, nil for none.
	Payload, ClientContext []byte
	// Tail asks for the end of what the function prints.
	Tail bool
}

// A FunctionAnswer is what a function answered, or, if it Failed, its error.
type FunctionAnswer struct {
	Payload []byte
	Failed  bool
	// Log is the end of what it printed.
	Log []byte
}

// hosted reports whether the function is one that runs here, once the app is known.
func (in *invocation) hosted() bool {
	return in.app != nil && in.api.functions != nil && in.api.functions.Has(in.app, in.name)
}

// mostBytes is how long the body may be.
func (in *invocation) mostBytes() int64 {
	if in.hosted() && in.r.Header.Get("X-Amz-Invocation-Type") != "Event" {
		return maxHosted
	}
	return maxBody
}

// call runs a function that is hosted.
func (in *invocation) call(body []byte, event bool) error {
	c := FunctionCall{Payload: body, Tail: in.r.Header.Get("X-Amz-Log-Type") == "Tail" && !event}
	if !json.Valid(body) {
		return exceptionOf(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
	}
	if encoded := in.r.Header.Get("X-Amz-Client-Context"); encoded != "" {
		text, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || !json.Valid(text) || len(encoded) > maxClientContext {
			return exceptionOf(http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
		}
		c.ClientContext = text
	}
	if event {
		if err := in.api.functions.Later(in.app, in.name, c); err != nil {
			return err
		}
		in.w.WriteHeader(http.StatusAccepted)
		return nil
	}
	// A function may take longer than other requests have for their answer. Where
	// the writer knows no deadlines, there is none.
	_ = http.NewResponseController(in.w).SetWriteDeadline(time.Now().Add(answerTime))
	ctx, cancel := context.WithTimeout(in.r.Context(), answerTime)
	defer cancel()
	answer, err := in.api.functions.Call(ctx, in.app, in.name, c)
	if err != nil {
		return err
	}
	in.answer(answer)
	return nil
}

func (in *invocation) answer(a FunctionAnswer) {
	h := in.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amz-Executed-Version", "$LATEST")
	if a.Failed {
		h.Set("X-Amz-Function-Error", "Unhandled")
	}
	if len(a.Log) > 0 {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(a.Log))
	}
	_, _ = in.w.Write(a.Payload)
}
