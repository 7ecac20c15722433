package phoenix

import (
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Reasons of messages that cannot be read.
const (
	notText   = "PHOENIX_FRAME"
	notBinary = "PHOENIX_BINARY"
)

// Close codes (B.8). 1000 is none of them: clients from 1.6.3 to 1.8.12 take it
// for final and do not come back.
const (
	closeGoingAway = 1001
	closeKind      = 1003
	closeMalformed = 1007
	closePolicy    = 1008
	closeTooLarge  = 1009
	closeInternal  = 1011
	closeRestart   = 1012
	closeTryLater  = 1013
)

// closeCode translates every code into one that a WebSocket is closed with.
func closeCode(c earshot.Code) int {
	switch c {
	case earshot.Invalid, earshot.Unauthenticated, earshot.Forbidden, earshot.NotFound, earshot.Conflict, earshot.Slow, earshot.Expired:
		return closePolicy
	case earshot.TooLarge:
		return closeTooLarge
	case earshot.Limited, earshot.Unavailable, earshot.Full, earshot.Unknown:
		return closeTryLater
	case earshot.Kicked, earshot.Timeout:
		return closeGoingAway
	case earshot.Shutdown:
		return closeRestart
	}
	return closeInternal
}

// Farewell says why a connection ends by the close code alone: a socket as such
// has no messages of its own.
func (p *Protocol) Farewell(err error) (last *hub.Frame, code int, reason string) {
	if err == nil {
		return nil, closeGoingAway, ""
	}
	e := earshot.AsError(err)
	switch e.Reason {
	case notText:
		return nil, closeMalformed, "malformed"
	case notBinary:
		return nil, closeKind, "binary"
	}
	return nil, closeCode(e.Code), strings.ReplaceAll(e.Code.String(), " ", "_")
}

// reasonOf says in words why something was refused.
func reasonOf(err error) string {
	e := earshot.AsError(err)
	if e.Code == earshot.Internal || e.Text == "" {
		return e.Code.String()
	}
	return e.Text
}

// tokenReason is what a client is told of a token that does not hold (A.7.1).
func tokenReason(err error) string {
	switch earshot.AsError(err).Reason {
	case "TOKEN_EXPIRED":
		return "token_expired"
	case "TOKEN_NOT_YET":
		return "token_not_yet_valid"
	case "TOKEN_ISS":
		return "invalid_issuer"
	}
	return "invalid_token"
}

// refusedJoin is the response of a join that was refused (A.7.1): without any
// token that one is needed, with a broken one what is wrong with it.
func refusedJoin(err, token error) []byte {
	switch code := earshot.CodeOf(err); {
	case code == earshot.Internal:
		return because("join crashed")
	case earshot.AsError(err).Reason == "CHANNEL_NAME":
		return because(unmatched)
	case earshot.AsError(err).Reason == "LIMIT_CHANNELS":
		return because(errTooMany.Text) // the app's own limit
	case code != earshot.Forbidden || earshot.AsError(err).Reason != "":
		return because(reasonOf(err))
	case token != nil:
		return append(quote([]byte(`{"error":`), tokenReason(token)), '}')
	}
	return []byte(`"authentication_required"`)
}
