package hotsock

import (
	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// The codes that hotsock-js acts on (spec §2.5).
const (
	notSubscribed         = "NOT_SUBSCRIBED"
	alreadySubscribed     = "ALREADY_SUBSCRIBED"
	subscribeDenied       = "SUBSCRIBE_PERMISSION_DENIED"
	invalidSubscribeToken = "INVALID_SUBSCRIBE_TOKEN"
	// The client leaves these pending, but they are the documented answers.
	presenceNeedsUID = "PRESENCE_CHANNEL_USER_ID_REQUIRED"
	presenceIsFull   = "PRESENCE_CHANNEL_CAPACITY_REACHED"
)

// What else a client can be refused for, in this package. The codes are those of
// the hub, the claims and package auth too (doc.go).
var (
	errNoSubscription = &earshot.Error{Code: earshot.Forbidden, Reason: notSubscribed, Text: "there is no subscription to this channel"}
	errMayNotUpdate   = &earshot.Error{Code: earshot.Forbidden, Reason: "UMD_UPDATE_PERMISSION_DENIED", Text: "the token does not permit to update this metadata"}
	errMayNotInform   = &earshot.Error{Code: earshot.Forbidden, Reason: "INFO_PERMISSION_DENIED", Text: "asking for the state of this channel is not permitted"}
)

// errScope refuses a token that is not for what it was shown for.
func errScope(name string) error {
	return &earshot.Error{Code: earshot.Forbidden, Reason: "TOKEN_SCOPE", Text: "the token's scope does not hold " + name}
}

var (
	errBound     = &earshot.Error{Code: earshot.Forbidden, Reason: "TOKEN_CONNECTION", Text: "the token is bound to another connection"}
	errOtherUser = &earshot.Error{Code: earshot.Forbidden, Reason: "TOKEN_UID", Text: "the token's uid is not the connection's"}
)

// A translation is what one earshot.Code is in this protocol's terms.
type translation struct {
	// code is in hotsock.error and in the errors of the HTTP API.
	code string
	// status is for HTTP, close for a WebSocket (RFC 6455 §7.4).
	status, close int
}

// Close codes. Clients treat all alike (spec §2.10), so the registered ones do.
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
	case earshot.Invalid:
		return translation{"INVALID_MESSAGE", 400, closePolicy}
	case earshot.Unauthenticated:
		return translation{"INVALID_TOKEN", 401, closePolicy}
	case earshot.Forbidden:
		return translation{"PERMISSION_DENIED", 403, closePolicy}
	case earshot.NotFound:
		return translation{"NOT_FOUND", 404, closePolicy}
	case earshot.Conflict:
		return translation{"CONFLICT", 409, closePolicy}
	case earshot.TooLarge:
		return translation{"MESSAGE_TOO_LARGE", 413, closeTooLarge}
	case earshot.Limited:
		return translation{"LIMIT_REACHED", 429, closeTryLater}
	case earshot.Unavailable:
		return translation{"UNAVAILABLE", 503, closeTryLater}
	case earshot.Full:
		return translation{"STORAGE_FULL", 507, closeTryLater}
	case earshot.Unknown:
		return translation{"OUTCOME_UNKNOWN", 504, closeTryLater}
	case earshot.Slow:
		return translation{"CLIENT_TOO_SLOW", 408, closePolicy}
	case earshot.Expired:
		return translation{"TOKEN_EXPIRED", 401, closePolicy}
	case earshot.Kicked:
		return translation{"CONNECTION_KICKED", 403, closePolicy}
	case earshot.Shutdown:
		return translation{"SERVER_SHUTDOWN", 503, closeGoingAway}
	case earshot.Timeout:
		return translation{"HEARTBEAT_TIMEOUT", 408, closePolicy}
	}
	return translation{"INTERNAL_ERROR", 500, closeInternal}
}

// rename translates the reasons of the hub whose names would mislead here.
func rename(reason string) string {
	switch reason {
	case "PUBLISH":
		return "PUBLISH_PERMISSION_DENIED"
	case "CHANNEL_NAME":
		return "INVALID_CHANNEL_NAME"
	case "EVENT_NAME":
		return "INVALID_EVENT_NAME"
	}
	return reason
}

// A fault is an error as a client sees it.
type fault struct {
	code string
	// reason is a finer name, where code is one that hotsock-js must see.
	reason string
	text   string
}

// faultOf translates an error. A reason is finer than the code and replaces it.
func faultOf(err error) fault {
	e := earshot.AsError(err)
	f := fault{code: translate(e.Code).code, text: e.Text}
	switch {
	case e.Code == earshot.Internal:
		f.text = "internal error"
	case e.Reason != "":
		f.code = rename(e.Reason)
	}
	if f.text == "" {
		f.text = e.Code.String()
	}
	return f
}

// subscribeFault translates why a subscribe failed. hotsock-js leaves a
// subscription pending for ever unless the code is one that it knows (R14), so
// it gets one of these; the reason says more.
func subscribeFault(err error) fault {
	f := faultOf(err)
	switch {
	case f.code == alreadySubscribed || f.code == presenceNeedsUID || f.code == presenceIsFull:
		return f
	case f.code != translate(earshot.Forbidden).code:
		f.reason = f.code
	}
	f.code = subscribeDenied
	if earshot.CodeOf(err) == earshot.Unauthenticated {
		f.code = invalidSubscribeToken
	}
	return f
}

// Farewell says why a connection ends: in a last frame, unless it ends as it
// should, the server stops, or the client does not read anyway.
func (p *Protocol) Farewell(err error) (last *hub.Frame, code int, reason string) {
	if err == nil {
		return nil, closeNormal, ""
	}
	e := earshot.AsError(err)
	if e.Reason == lifetimeOver {
		return nil, closeGoingAway, "Going away"
	}
	t := translate(e.Code)
	switch e.Code {
	case earshot.Shutdown:
		return nil, t.close, "Going away"
	case earshot.Slow:
		return nil, t.close, t.code
	}
	f := faultOf(err)
	return failure("", "", f), t.close, f.code
}
