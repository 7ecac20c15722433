package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Error is a refusal of the server.
type Error struct {
	// Status is the HTTP status, 0 where there is none.
	Status int `json:"-"`
	// Code names the error, Message explains it. A code that the server did not
	// give is HTTP_ and the status.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Reason is finer than Code where it is given.
	Reason string `json:"reason"`
	// RetryAfter is when to try again, 0 if that is not known.
	RetryAfter time.Duration `json:"-"`
	// Unsure says that what was asked for may have been done all the same.
	Unsure bool `json:"-"`
	// Err is the cause, if there is one.
	Err error `json:"-"`
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// OutcomeUnknown reports whether a message may have been published although
// publishing it failed with err: the connection broke, the time was over, or the
// server itself does not know. Publishing it again is safe if it has a
// DeduplicationID, which must then be the same.
func OutcomeUnknown(err error) bool {
	var e *Error
	switch {
	case err == nil, errors.Is(err, errNotSent):
		return false
	case errors.As(err, &e):
		return e.Unsure
	}
	var stranger *tls.CertificateVerificationError
	return !notDialed(err) && !errors.As(err, &stranger)
}

// errNotSent is the failure of what never left the program.
var errNotSent = errors.New("client: not sent")

// notDialed reports whether there was no connection, so that nothing was sent.
func notDialed(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// passing reports whether trying the same again soon may help, where the
// failure is known to have left no trace.
func passing(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return !e.Unsure && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable)
	}
	return notDialed(err) && !errors.Is(err, context.Canceled)
}

// passes reports whether another connection may do better, with a newer token
// perhaps: the server may say so with its last words.
func (e *Error) passes() bool {
	name := e.Code
	if e.Reason != "" {
		name = e.Reason
	}
	switch name {
	case "UNAVAILABLE", "INTERNAL_ERROR", "LIMIT_REACHED", "STORAGE_FULL", "OUTCOME_UNKNOWN", "CLIENT_TOO_SLOW",
		"SERVER_SHUTDOWN", "HEARTBEAT_TIMEOUT", "TOKEN_EXPIRED", "LIMIT_CONNECTIONS", "LIMIT_CHANNELS":
		return true
	}
	return false
}

// refusal reads an answer that says no, also one of a proxy that knows nothing
// of our errors.
func refusal(resp *http.Response, body []byte) *Error {
	var said struct{ Error Error }
	known := json.Unmarshal(body, &said) == nil && said.Error.Code != ""
	e := &said.Error
	if !known {
		*e = Error{Code: "HTTP_" + strconv.Itoa(resp.StatusCode), Message: strings.TrimSpace(resp.Status)}
	}
	e.Status, e.Unsure = resp.StatusCode, unsure(resp.StatusCode, known)
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// unsure reports whether an answer of this status leaves open what was done. A
// 503 does not if the server itself says it; a proxy may have lost the answer.
func unsure(status int, known bool) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	case http.StatusServiceUnavailable, http.StatusRequestTimeout:
		return !known
	}
	return false
}
