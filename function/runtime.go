package function

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of the Runtime API.
const (
	headerID       = "Lambda-Runtime-Aws-Request-Id"
	headerDeadline = "Lambda-Runtime-Deadline-Ms"
	headerARN      = "Lambda-Runtime-Invoked-Function-Arn"
	headerTrace    = "Lambda-Runtime-Trace-Id"
	headerContext  = "Lambda-Runtime-Client-Context"
	// headerErrorType stands beside errors, and as a trailer, with headerErrorBody,
	// behind an answer that broke off.
	headerErrorType = "Lambda-Runtime-Function-Error-Type"
	headerErrorBody = "Lambda-Runtime-Function-Error-Body"
)

const (
	runtimePath   = "/2018-06-01/runtime/"
	extensionPath = "/2020-01-01/extension/"
	maxFailure    = 256 << 10
)

// quiet is a log for what a server has to say of a client that is a process of
// ours: that it hung up.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// routes is the Runtime API as this process sees it.
func (i *instance) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtimePath+"invocation/next", i.next)
	mux.HandleFunc("POST "+runtimePath+"invocation/{id}/response", i.response)
	mux.HandleFunc("POST "+runtimePath+"invocation/{id}/error", i.fail)
	mux.HandleFunc("POST "+runtimePath+"init/error", i.initError)
	mux.HandleFunc("POST "+extensionPath+"register", i.register)
	mux.HandleFunc("GET "+extensionPath+"event/next", i.nothing)
	return mux
}

// next gives the process its next event, as soon as there is one.
func (i *instance) next(w http.ResponseWriter, r *http.Request) {
	if !i.pool.ask(i) {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "an event is not answered yet, or is waited for already")
		return
	}
	idle := time.NewTimer(i.pool.host.config.Idle)
	defer idle.Stop()
	select {
	case c := <-i.deliver:
		if r.Context().Err() != nil {
			i.pool.takeBack(i, c)
			return
		}
		i.send(w, c)
	case <-r.Context().Done():
		i.pool.leave(i)
	case <-idle.C:
		i.pool.retire(i)
	}
}

// register takes a runtime for an extension of itself, which is how it asks for
// SIGTERM at its end; all get that here. Extensions with events are not served.
func (i *instance) register(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Events []string }
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFailure))
	if err != nil || json.Unmarshal(body, &asked) != nil || len(asked.Events) > 0 {
		refuse(w, http.StatusForbidden, "Extension.Unsupported", "events of extensions are not served")
		return
	}
	w.Header().Set("Lambda-Extension-Identifier", i.id)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

// nothing is the next event of an extension that asked for none.
func (i *instance) nothing(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// send writes an event.
func (i *instance) send(w http.ResponseWriter, c *call) {
	i.out.begin(c.Tail)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(c.Payload)))
	h.Set(headerID, c.id)
	h.Set(headerDeadline, strconv.FormatInt(c.begun.Add(i.pool.time).UnixMilli(), 10))
	h.Set(headerARN, i.pool.arn)
	h.Set(headerTrace, trace(c))
	if len(c.ClientContext) > 0 {
		h.Set(headerContext, strings.NewReplacer("\r", " ", "\n", " ").Replace(string(c.ClientContext)))
	}
	_, _ = w.Write(c.Payload)
}

// trace is a trace's id in the form of X-Ray's, made of the call's.
func trace(c *call) string {
	digits := strings.ReplaceAll(c.id, "-", "")
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", c.begun.Unix(), digits[:24], digits[16:])
}

// response is what the function answers.
func (i *instance) response(w http.ResponseWriter, r *http.Request) {
	c := i.pool.currentOf(i, r.PathValue("id"))
	if c == nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		i.finish(c, nil, failed(TypeResponseSize, "Response payload size exceeded maximum allowed payload size (%d bytes).", maxAnswer))
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Exceeded maximum allowed payload size")
		return
	case err != nil:
		return // the process is gone, or has given up: it will be seen to
	}
	i.finish(c, body, brokenOff(r.Trailer))
	accepted(w)
}

// brokenOff is the failure that a function told of after it had begun to answer.
func brokenOff(trailer http.Header) *Error {
	kind, encoded := trailer.Get(headerErrorType), trailer.Get(headerErrorBody)
	if kind == "" && encoded == "" {
		return nil
	}
	body, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(body) == 0 {
		return failed(or(kind, typeUnknown), "the function failed while it answered")
	}
	return told(body, kind)
}

// fail is a function that failed.
func (i *instance) fail(w http.ResponseWriter, r *http.Request) {
	c := i.pool.currentOf(i, r.PathValue("id"))
	if c == nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	failure, err := readFailure(w, r)
	if err != nil {
		return
	}
	i.finish(c, nil, failure)
	accepted(w)
}

// initError is a process that could not get ready.
func (i *instance) initError(w http.ResponseWriter, r *http.Request) {
	failure, err := readFailure(w, r)
	if err != nil {
		return
	}
	i.pool.mu.Lock()
	asked := i.asked
	if !asked {
		i.failure = failure
	}
	i.pool.mu.Unlock()
	if asked {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the function is ready already")
		return
	}
	accepted(w)
}

// readFailure reads the error that a function sent; of one that is too long its
// beginning counts.
func readFailure(w http.ResponseWriter, r *http.Request) (*Error, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFailure))
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		return nil, err
	}
	return told(body, r.Header.Get(headerErrorType)), nil
}

// finish ends a call that the function has ended, with what it printed.
func (i *instance) finish(c *call, payload []byte, failure *Error) {
	a := Answer{Payload: payload, Log: i.out.log(c, time.Since(c.begun))}
	if failure != nil {
		a.Payload = nil
	}
	i.pool.end(c, a, failure)
}

func accepted(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n")
}

func refuse(w http.ResponseWriter, status int, kind, text string) {
	body, err := json.Marshal(failure{Message: text, Type: kind})
	if err != nil {
		body = nil // cannot be: these are strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
