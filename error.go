package earshot

import (
	"errors"
	"fmt"
	"time"
)

// A Code says what kind of failure an Error is. Every edge translates every
// code into its own protocol's terms once.
type Code uint8

// The codes. Temporary reports which of them may pass when tried again.
const (
	// Internal is a fault of the server. Its text is never shown.
	Internal Code = iota
	// Invalid is input that is not of the form asked for.
	Invalid
	// Unauthenticated is missing or wrong proof of who the client is.
	Unauthenticated
	// Forbidden is known, and may not.
	Forbidden
	// NotFound is a thing that is not there.
	NotFound
	// Conflict is a thing that is there already, or changed meanwhile.
	Conflict
	// TooLarge is more bytes than a limit allows.
	TooLarge
	// Limited is more requests, connections or things than a limit allows.
	Limited
	// Unavailable is a part of the server that cannot answer now.
	Unavailable
	// Full is storage without room.
	Full
	// Unknown is a publish whose outcome is not known: it may have been stored.
	// Repeating it with the same idempotency key is safe.
	Unknown
	// Slow is a client that did not read what was sent to it.
	Slow
	// Expired is permission that has ended.
	Expired
	// Kicked is a connection that an administrator ended.
	Kicked
	// Shutdown is a server that is stopping; another one, or a later try, will do.
	Shutdown
	// Timeout is a client that was not heard from for too long.
	Timeout
	// codes counts them.
	codes
)

var codeNames = [codes]string{
	"internal", "invalid", "unauthenticated", "forbidden", "not found", "conflict", "too large", "limited",
	"unavailable", "full", "unknown", "slow", "expired", "kicked", "shutdown", "timeout",
}

// String returns the code in words.
func (c Code) String() string {
	if c < codes {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Temporary reports whether the same thing may succeed when tried again later.
func (c Code) Temporary() bool {
	switch c {
	case Limited, Unavailable, Full, Unknown, Slow, Shutdown, Timeout:
		return true
	}
	return false
}

// Codes returns all codes, for tests that check that an edge translates each.
func Codes() []Code {
	all := make([]Code, codes)
	for i := range all {
		all[i] = Code(i)
	}
	return all
}

// An Error is a failure as the edges show it. The zero Reason is the code itself.
type Error struct {
	Code Code
	// Reason is a finer name within the code, in SCREAMING_SNAKE, stable and
	// free of protocol words: "NAME", "ALREADY_SUBSCRIBED".
	Reason string
	// Text is for the client's developer and safe to show.
	Text string
	// RetryAfter is how long to wait before trying again, zero if not known.
	RetryAfter time.Duration
	// Err is the cause. It is logged, never shown.
	Err error
}

// Errorf makes an Error whose text is safe to show.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Text: fmt.Sprintf(format, args...)}
}

// Error returns code, text and cause.
func (e *Error) Error() string {
	s := e.Code.String()
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetrySeconds is when to try again, in whole seconds and rounded up, as
// Retry-After has it (RFC 9110 §10.2.3): 1 where the code is temporary and nobody
// knows better, 0 where there is nothing to say.
func (e *Error) RetrySeconds() int {
	switch {
	case e.RetryAfter > 0:
		return int((e.RetryAfter + time.Second - 1) / time.Second)
	case e.Code.Temporary():
		return 1
	}
	return 0
}

// AsError finds the Error in err; any other error is Internal with err as its
// cause. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: Internal, Text: "internal error", Err: err}
}

// CodeOf returns the code of err; Internal if it holds no Error.
func CodeOf(err error) Code {
	if e := AsError(err); e != nil {
		return e.Code
	}
	return Internal
}
