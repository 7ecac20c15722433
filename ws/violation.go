package ws

import (
	"errors"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

// Close codes (RFC 6455 §7.4.1).
const (
	codeNormal    = 1000
	codeProtocol  = 1002
	codeNoStatus  = 1005
	codeAbnormal  = 1006
	codeInvalid   = 1007
	codePolicy    = 1008
	codeTooBig    = 1009
	codeInternal  = 1011
	codeHandshake = 1015
)

// A violation is how a client broke RFC 6455 or a bound of ours. It is the
// cause of the earshot.Error that ends the connection.
type violation struct {
	code int
	text string
}

func (v *violation) Error() string { return v.text }

// violated returns the error for a violation.
func violated(code int, text string) error {
	as := earshot.Invalid
	switch code {
	case codeTooBig:
		as = earshot.TooLarge
	case codePolicy:
		as = earshot.Limited
	}
	return &earshot.Error{Code: as, Reason: "WEBSOCKET", Text: text, Err: &violation{code, text}}
}

// farewell says goodbye to those who broke the wire's rules in the wire's own
// terms, and to all others in the protocol's.
type farewell struct{ protocol proto.Protocol }

// Farewell renders the reason a connection ends; see proto.Protocol.
func (f *farewell) Farewell(err error) (last *hub.Frame, code int, reason string) {
	var v *violation
	if errors.As(err, &v) {
		return nil, v.code, v.text
	}
	return f.protocol.Farewell(err)
}

// received reports whether a client may say a close code (RFC 6455 §7.4). Those
// up to 1014 are registered by now.
func received(code int) bool {
	switch code {
	case 1004, codeNoStatus, codeAbnormal:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}
