package epl

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json"
)

// A refusal is an answer that is not what was asked for.
type refusal struct {
	status int
	// detail is the text of one that is about no field.
	detail string
	// fields are what is wrong with each, in the original's words.
	fields map[string][]string
	// empty has no body.
	empty bool
}

// Error returns the detail.
func (r *refusal) Error() string { return r.detail }

// refused is an error of a status, with the text that goes with it.
func refused(status int, detail string) error { return &refusal{status: status, detail: detail} }

// The answers that are always the same (A.3, A.4).
var (
	errNotFound      = refused(http.StatusNotFound, "Page not found")
	errBadRequest    = refused(http.StatusBadRequest, "Bad Request")
	errNotAcceptable = refused(http.StatusNotAcceptable, "Not Acceptable")
	errMediaType     = refused(http.StatusUnsupportedMediaType, "Unsupported Media Type")
	errTooLarge      = refused(http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	// errUnauthorized tells nothing, and asks for nothing (A.3.1).
	errUnauthorized error = &refusal{status: http.StatusUnauthorized, detail: "Unauthorized", empty: true}
)

// wrong is what is wrong with one field.
func wrong(status int, field, text string) error {
	return &refusal{status: status, detail: field + " " + text, fields: map[string][]string{field: {text}}}
}

// fail answers an error. What is our own fault is logged, with its cause.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	var answer *refusal
	if !errors.As(err, &answer) {
		answer = a.translate(w, r, err)
	}
	if answer.empty {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(answer.status)
		return
	}
	var said any = answer.fields
	if answer.fields == nil {
		said = map[string]string{"detail": answer.detail}
	}
	write(w, answer.status, map[string]any{"errors": said})
}

// translate makes an answer of an error of the server's other parts.
func (a *API) translate(w http.ResponseWriter, r *http.Request, err error) *refusal {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &refusal{status: http.StatusRequestEntityTooLarge, detail: "Request Entity Too Large"}
	}
	e := earshot.AsError(err)
	status, ours := statusOf(e.Code)
	if ours {
		a.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "status", status, "err", err)
	}
	if s := e.RetrySeconds(); s > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(s))
	}
	text := e.Text
	if text == "" || e.Code == earshot.Internal {
		text = http.StatusText(status)
	}
	return &refusal{status: status, detail: text, empty: e.Code == earshot.Unauthenticated}
}

// statusOf translates a code; ours says that it is for the log.
func statusOf(c earshot.Code) (status int, ours bool) {
	switch c {
	case earshot.Invalid:
		return http.StatusUnprocessableEntity, false
	case earshot.Unauthenticated, earshot.Expired:
		return http.StatusUnauthorized, false
	case earshot.Forbidden, earshot.Kicked:
		return http.StatusForbidden, false
	case earshot.NotFound:
		return http.StatusNotFound, false
	case earshot.Conflict:
		return http.StatusConflict, false
	case earshot.TooLarge:
		return http.StatusRequestEntityTooLarge, false
	case earshot.Limited:
		return http.StatusTooManyRequests, false
	case earshot.Unavailable, earshot.Shutdown:
		return http.StatusServiceUnavailable, true
	case earshot.Full:
		return http.StatusInsufficientStorage, true
	case earshot.Unknown:
		return http.StatusGatewayTimeout, true
	}
	return http.StatusInternalServerError, true
}

// write answers with JSON. If the client has gone there is nobody to tell.
func write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"errors":{"detail":"Internal Server Error"}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// acceptsJSON reports whether the Accept headers admit JSON (A.3).
func acceptsJSON(accept []string) bool {
	said := false
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			if strings.TrimSpace(part) == "" {
				continue
			}
			said = true
			kind, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q <= 0 {
				continue
			}
			switch kind {
			case "*/*", "application/*", "application/json":
				return true
			}
		}
	}
	return !said
}

// timely bounds what a request may wait for.
func timely(r *http.Request, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), most)
}
