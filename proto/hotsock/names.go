package hotsock

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
)

const (
	// reserved begins the names of the protocol's own events.
	reserved = "hotsock."
	// presence begins the names of presence channels (spec §2.6).
	presence = "presence."
	// maxEvent is how many characters an event's name may have.
	maxEvent = 128
)

// checkChannel checks a channel's name (spec §3.7): 1 to 256 characters without
// *, #, comma and white space, and what no protocol's channels may be.
func checkChannel(name string) error {
	if err := earshot.CheckChannel(name); err != nil {
		return err
	}
	if strings.ContainsAny(name, "*#,") || strings.ContainsFunc(name, unicode.IsSpace) {
		return &earshot.Error{Code: earshot.Invalid, Reason: "CHANNEL_NAME", Text: "a channel name has no *, #, comma or white space"}
	}
	return nil
}

// checkEvent checks the name of an event that a client publishes (spec §3.7).
func checkEvent(name string) error {
	text := ""
	switch {
	case strings.TrimSpace(name) == "":
		text = "the event name is blank"
	case utf8.RuneCountInString(name) > maxEvent:
		text = "the event name is longer than 128 characters"
	case strings.HasPrefix(name, reserved):
		text = "events that begin with hotsock. are reserved"
	case name[0] == '#' || strings.Contains(name, "*"):
		text = "an event name has no * and does not begin with #"
	default:
		return nil
	}
	return &earshot.Error{Code: earshot.Invalid, Reason: "EVENT_NAME", Text: text}
}

// regexPrefix begins a key that is a regular expression.
const regexPrefix = "#regex:"

// pattern reads a key of the claims (spec §3.6): a regular expression after
// #regex:, else a text in which each * stands for any run of characters, an
// empty one too.
func pattern(key string) (earshot.Pattern, error) {
	if expr, ok := strings.CutPrefix(key, regexPrefix); ok {
		return earshot.Regexp(expr)
	}
	return earshot.Glob(key), nil
}
