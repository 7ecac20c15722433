package gateway

import (
	"errors"
	"net/http"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth/sigv4"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/go-json-experiment/json"
)

// What handshakes and requests are refused for.
var (
	errNoStage    = &earshot.Error{Code: earshot.Forbidden, Reason: "STAGE", Text: "there is no such API or stage"}
	errAPIKey     = &earshot.Error{Code: earshot.Forbidden, Reason: "API_KEY", Text: "the API key is missing or unknown"}
	errDenied     = &earshot.Error{Code: earshot.Forbidden, Reason: "DENIED", Text: "the access key may not do this"}
	errTooMany    = earshot.Errorf(earshot.Limited, "too many requests")
	errStatus     = earshot.Errorf(earshot.Unavailable, "the integration answered a status that is none")
	errRejected   = &earshot.Error{Code: earshot.Forbidden, Reason: "REJECTED", Text: "the $connect integration said no"}
	errPanic      = earshot.Errorf(earshot.Internal, "calling it panicked")
	errStopped    = earshot.Errorf(earshot.Shutdown, "the server is shutting down")
	errNoBackends = &core.Failure{Kind: core.Misconfigured, Err: errors.New("no backends can be called")}
)

// What connections end for.
var (
	errBinary  = &earshot.Error{Code: earshot.Invalid, Reason: binaryFrame, Text: "binary messages are not taken"}
	errIdle    = &earshot.Error{Code: earshot.Timeout, Reason: wentAway, Text: "nothing was said for too long"}
	errAged    = &earshot.Error{Code: earshot.Timeout, Reason: wentAway, Text: "the connection has reached its greatest age"}
	errRemoved = &earshot.Error{Code: earshot.NotFound, Text: "the API or its stage was removed"}
	errGone    = &earshot.Error{Code: earshot.NotFound, Reason: "GONE", Text: "Gone"}
)

const (
	binaryFrame = "BINARY_FRAME"
	// wentAway is an end that is ours, and not the silence of a lost client.
	wentAway = "WENT_AWAY"
)

// Messages of the gateway (4.4, 11.4).
const (
	textForbidden    = "Forbidden"
	textUnauthorized = "Unauthorized"
	textInternal     = "Internal server error"
	textTimedOut     = "Endpoint request timed out"
	textTooMany      = "Too Many Requests"
)

// statusOf is what a handshake is answered for a failure (4.3, 4.4).
func statusOf(k core.FailureKind) int {
	switch k {
	case core.Raised, core.Malformed:
		return http.StatusBadGateway
	case core.TimedOut, core.Unreachable:
		return http.StatusGatewayTimeout
	case core.Overloaded:
		return http.StatusServiceUnavailable
	case core.NoIdentity, core.Unauthorized:
		return http.StatusUnauthorized
	case core.Denied:
		return http.StatusForbidden
	case core.Misconfigured, core.AuthorizerFailed:
	}
	return http.StatusInternalServerError
}

// textOf is what a client is told in a message for a failure (11.4).
func textOf(err error) string {
	var f *core.Failure
	if errors.As(err, &f) && f.Kind == core.TimedOut {
		return textTimedOut
	}
	return textInternal
}

// A notice is what the gateway says in its own name, to a handshake or a request.
type notice struct {
	Message      string `json:"message"`
	ConnectionID string `json:"connectionId,omitzero"`
	RequestID    string `json:"requestId,omitzero"`
}

func (n notice) json() []byte {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err) // three strings, none of which a client wrote
	}
	return b
}

// errorFrame is what the gateway says in its own name on a connection: these very
// bytes, with one space (11.4).
func errorFrame(message, connectionID, requestID string) *hub.Frame {
	return hub.TextFrame([]byte(`{"message": "` + message + `", "connectionId":"` + connectionID + `", "requestId":"` + requestID + `"}`))
}

// refuse answers the handshake by a status, in the words for it.
func (h *handshake) refuse(status int, err error) error {
	return h.refuseAs(status, exceptionOf(status, err), err)
}

func (h *handshake) refuseAs(status int, exception string, err error) error {
	body := notice{Message: messageOf(status, err), RequestID: h.requestID}
	if !h.id.IsZero() {
		body.ConnectionID = h.id.String()
	}
	if errors.Is(err, errNoStage) {
		body.RequestID = ""
	}
	r := &proto.Refusal{Status: status, Header: http.Header{}, Body: body.json(), Err: err}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amzn-Errortype", exception)
	r.Header.Set("X-Amzn-Requestid", h.requestID)
	return r
}

// messageOf is what a status says to a handshake. What is wrong with a signature
// is said as AWS does.
func messageOf(status int, err error) string {
	switch {
	case sigv4.Exception(earshot.AsError(err).Reason) != "":
		return earshot.AsError(err).Text
	case status == http.StatusGatewayTimeout:
		return textTimedOut
	case status >= http.StatusInternalServerError:
		return textInternal
	case status == http.StatusTooManyRequests:
		return textTooMany
	case status == http.StatusUnauthorized:
		return textUnauthorized
	case status == http.StatusForbidden:
		return textForbidden
	case http.StatusText(status) == "":
		return textForbidden
	}
	return http.StatusText(status)
}

// exceptionOf is the x-amzn-ErrorType of a refused handshake.
func exceptionOf(status int, err error) string {
	if name := sigv4.Exception(earshot.AsError(err).Reason); name != "" {
		return name
	}
	switch {
	case errors.Is(err, errDenied):
		return "AccessDeniedException"
	case status == http.StatusUnauthorized:
		return "UnauthorizedException"
	case status == http.StatusTooManyRequests:
		return "TooManyRequestsException"
	case status == http.StatusBadGateway:
		return "BadGatewayException"
	case status == http.StatusServiceUnavailable:
		return "ServiceUnavailableException"
	case status == http.StatusGatewayTimeout:
		return "GatewayTimeoutException"
	case status >= http.StatusInternalServerError:
		return "InternalServerErrorException"
	}
	return "ForbiddenException"
}

// Close codes (11.5).
const (
	closeNormal      = 1000
	closeGoingAway   = 1001
	closeUnsupported = 1003
	closeNoStatus    = 1005
	closeAbnormal    = 1006
	closePolicy      = 1008
	closeTooLarge    = 1009
	closeInternal    = 1011
	closeTryLater    = 1013
)

// The reasons beside them.
const (
	reasonNormal   = "Connection Closed Normally"
	reasonGoing    = "Going away"
	reasonBinary   = "Binary messages are not supported"
	reasonLarge    = "Message too long"
	reasonPolicy   = "Policy violation"
	reasonInternal = "Internal server error"
	reasonLater    = "Try again later"
	reasonNoStatus = "Client-side close frame status not set"
	reasonAbnormal = "Connection closed abnormally"
)

// A goodbye is an end with a code and a reason that somebody chose (9.5).
type goodbye struct {
	code   int
	reason string
}

// Error returns the reason.
func (g *goodbye) Error() string { return "closed by a request: " + g.reason }

// closing translates every code into a WebSocket's end.
func closing(c earshot.Code) (code int, reason string) {
	switch c {
	case earshot.Shutdown, earshot.Timeout, earshot.NotFound:
		return closeGoingAway, reasonGoing
	case earshot.TooLarge:
		return closeTooLarge, reasonLarge
	case earshot.Invalid, earshot.Unauthenticated, earshot.Forbidden, earshot.Conflict, earshot.Expired, earshot.Kicked, earshot.Slow:
		return closePolicy, reasonPolicy
	case earshot.Limited, earshot.Unavailable, earshot.Full, earshot.Unknown:
		return closeTryLater, reasonLater
	}
	return closeInternal, reasonInternal
}

// Farewell says why a connection ends, in its close code and reason.
func (p *Protocol) Farewell(err error) (last *hub.Frame, code int, reason string) {
	var g *goodbye
	switch e := earshot.AsError(err); {
	case err == nil:
		return nil, closeNormal, reasonNormal
	case errors.As(err, &g):
		return nil, g.code, g.reason
	case e.Reason == binaryFrame:
		return nil, closeUnsupported, reasonBinary
	default:
		code, reason = closing(e.Code)
		return nil, code, reason
	}
}

// ended is what $disconnect is told of an end (4.5).
func ended(end hub.End) (code int, reason string) {
	e := earshot.AsError(end.Err)
	switch {
	case !end.Peer && e != nil && e.Code == earshot.Timeout && e.Reason != wentAway:
		return closeAbnormal, reasonAbnormal // it was not heard of any more
	case end.Code != 0:
		return end.Code, end.Reason
	case end.Peer && end.Bye:
		return closeNoStatus, reasonNoStatus
	}
	return closeAbnormal, reasonAbnormal
}
