package earshot

import (
	"strings"
	"unicode/utf8"
)

// Limits of a channel's name.
const (
	MaxChannelRunes  = 256
	MaxChannelBytes  = 512
	MaxChannelLevels = 32
)

// CheckChannel reports why name cannot be a channel's name in any protocol:
// it is empty, not UTF-8, longer than 256 characters or 512 bytes, or has more
// than 32 levels. Levels are separated by dots; a level may be empty. Protocols
// have further rules of their own.
func CheckChannel(name string) error {
	switch {
	case name == "":
		return &Error{Code: Invalid, Reason: "CHANNEL_NAME", Text: "the channel name is empty"}
	case len(name) > MaxChannelBytes || utf8.RuneCountInString(name) > MaxChannelRunes:
		return &Error{Code: Invalid, Reason: "CHANNEL_NAME", Text: "the channel name is longer than 256 characters or 512 bytes"}
	case !utf8.ValidString(name):
		return &Error{Code: Invalid, Reason: "CHANNEL_NAME", Text: "the channel name is not valid UTF-8"}
	case strings.Count(name, ".") >= MaxChannelLevels:
		return &Error{Code: Invalid, Reason: "CHANNEL_NAME", Text: "the channel name has more than 32 levels"}
	}
	return nil
}

// IsTopic reports whether a channel's name has the form of a topic, as Phoenix
// Channels and Ex Pusher Lite have them: a scope, a colon and more, as in
// "room:lobby". A colon behind a dot, as in "presence.room:1", makes none.
func IsTopic(channel string) bool {
	i := strings.IndexAny(channel, ".:")
	return i >= 0 && channel[i] == ':'
}
