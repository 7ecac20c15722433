package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json"
)

// retrySoon is when to come back if nobody knows better.
const retrySoon = time.Second

// status translates a code; ok is false for one that is not known.
func status(c earshot.Code) (code int, ok bool) {
	switch c {
	case earshot.Internal:
		return http.StatusInternalServerError, true
	case earshot.Invalid:
		return http.StatusBadRequest, true
	case earshot.Unauthenticated, earshot.Expired:
		return http.StatusUnauthorized, true
	case earshot.Forbidden, earshot.Kicked:
		return http.StatusForbidden, true
	case earshot.NotFound:
		return http.StatusNotFound, true
	case earshot.Conflict:
		return http.StatusConflict, true
	case earshot.TooLarge:
		return http.StatusRequestEntityTooLarge, true
	case earshot.Limited:
		return http.StatusTooManyRequests, true
	case earshot.Unavailable, earshot.Shutdown:
		return http.StatusServiceUnavailable, true
	case earshot.Full:
		return http.StatusInsufficientStorage, true
	case earshot.Unknown:
		return http.StatusGatewayTimeout, true
	case earshot.Slow, earshot.Timeout:
		return http.StatusRequestTimeout, true
	}
	return http.StatusInternalServerError, false
}

// A failure is an error as the client sees it.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type failed struct {
	Error failure `json:"error"`
}

// failureOf renders an error: its reason, or its code, and its text.
func failureOf(e *earshot.Error) failure {
	f := failure{Code: e.Reason, Message: e.Text}
	if f.Code == "" {
		f.Code = strings.ToUpper(strings.ReplaceAll(e.Code.String(), " ", "_"))
	}
	if f.Message == "" || e.Code == earshot.Internal {
		f.Message = e.Code.String()
	}
	return f
}

// fail answers an error. What is our own fault is logged, with its cause.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		err = &earshot.Error{Code: earshot.TooLarge, Reason: "BODY_TOO_LARGE", Text: "the body is larger than 10 MB"}
	}
	e := earshot.AsError(err)
	code, _ := status(e.Code)
	if code >= http.StatusInternalServerError && r.Context().Err() == nil { // else the client has gone, and nothing failed
		a.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "status", code, "err", err)
	}
	if e.Code == earshot.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
		if strings.HasPrefix(r.URL.Path, "/admin/") || strings.HasPrefix(r.URL.Path, "/api/admin/") {
			w.Header().Set("WWW-Authenticate", `Basic realm="earshot", charset="UTF-8"`)
		}
	}
	if s := e.RetrySeconds(); s > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(s))
	}
	write(w, code, failed{failureOf(e)})
}

// write answers with JSON. If the client has gone there is nobody to tell.
func write(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"error":{"code":"INTERNAL","message":"internal"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
