package notiflux

import (
	"errors"
	"net/http"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// errScope is a token that is not for what it was shown for.
var errScope = &earshot.Error{Code: earshot.Forbidden, Reason: "TOKEN_SCOPE", Text: "the token's scope is another one"}

// errTopic is a topic that the token does not name.
var errTopic = &earshot.Error{Code: earshot.Forbidden, Reason: "TOPIC", Text: "the topic is not one of the token's"}

// errPlain is a broadcast that did not come over the TLS that its app requires.
var errPlain = errors.New("not over TLS")

// errAlgorithm is a token that is not signed with ES256.
var errAlgorithm = &earshot.Error{Code: earshot.Unauthenticated, Reason: "TOKEN_ALG", Text: "the token's alg is not ES256"}

func errClaims(text string) error {
	return &earshot.Error{Code: earshot.Unauthenticated, Reason: "TOKEN_CLAIMS", Text: text}
}

// errBody begins as the original's error does.
func errBody(text string) error {
	return earshot.Errorf(earshot.Invalid, "Json deserialize error: %s", text)
}

// A translation is what one earshot.Code is in this protocol's terms.
type translation struct {
	// silent says that a command is refused without a word, and a broadcast with
	// 200 (spec B1, B2). What is not is no refusal but a failure, which is told.
	silent bool
	// status is for a broadcast, close for a WebSocket (RFC 6455 §7.4).
	status, close int
}

// Close codes.
const (
	closeNormal    = 1000
	closeGoingAway = 1001
	closePolicy    = 1008
	closeTooLarge  = 1009
	closeInternal  = 1011
	closeTryLater  = 1013
)

func translate(c earshot.Code) translation {
	switch c {
	case earshot.Unauthenticated, earshot.Forbidden, earshot.Expired, earshot.Conflict, earshot.Kicked:
		return translation{silent: true, status: http.StatusOK, close: closePolicy}
	case earshot.Invalid, earshot.NotFound:
		return translation{status: http.StatusBadRequest, close: closePolicy}
	case earshot.TooLarge:
		return translation{status: http.StatusRequestEntityTooLarge, close: closeTooLarge}
	case earshot.Slow, earshot.Timeout:
		return translation{status: http.StatusRequestTimeout, close: closePolicy}
	case earshot.Limited:
		return translation{status: http.StatusTooManyRequests, close: closeTryLater}
	case earshot.Unavailable:
		return translation{status: http.StatusServiceUnavailable, close: closeTryLater}
	case earshot.Unknown:
		return translation{status: http.StatusGatewayTimeout, close: closeTryLater}
	case earshot.Full:
		return translation{status: http.StatusInsufficientStorage, close: closeTryLater}
	case earshot.Shutdown:
		return translation{status: http.StatusServiceUnavailable, close: closeGoingAway}
	}
	return translation{status: http.StatusInternalServerError, close: closeInternal}
}

// textOf is an error as a client may see it.
func textOf(err error) string {
	e := earshot.AsError(err)
	switch {
	case e.Code == earshot.Internal:
		return "internal error"
	case e.Text == "":
		return e.Code.String()
	}
	return e.Text
}

// reasonOf is an error in one word of capitals.
func reasonOf(err error) string {
	e := earshot.AsError(err)
	if e.Reason != "" {
		return e.Reason
	}
	return e.Code.String()
}

// Farewell says why a connection ends, in its close code and reason.
func (p *Protocol) Farewell(err error) (last *hub.Frame, code int, reason string) {
	if err == nil {
		return nil, closeNormal, ""
	}
	c := earshot.CodeOf(err)
	return nil, translate(c).close, c.String()
}
