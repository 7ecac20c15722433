package reaction

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A Reaction is one of a user's to a message. It is shared and never changed.
type Reaction struct {
	Value string
	UID   string
	// Meta is the user's metadata at that time, a JSON value; nil for none.
	Meta    []byte
	Created time.Time
}

// A Change adds or removes a reaction.
type Change struct {
	Channel string
	Message earshot.ID
	// Value is what the user reacts with: not blank, 100 bytes at the most, no #.
	Value  string
	Remove bool
	// UID is whose reaction it is, not empty, Meta the user's metadata.
	UID  string
	Meta []byte
	// Skip is the connection that does not hear of it, zero for none.
	Skip earshot.ConnID
	// Emit records the change as an event. The removal of a reaction whose
	// addition was one is one in any case.
	Emit bool
	// Origin is the request, for the event.
	Origin *hub.Origin
}

// maxValue is how many bytes a value may have.
const maxValue = 100

func invalid(text string) error {
	return &earshot.Error{Code: earshot.Invalid, Reason: "INVALID_REACTION", Text: text}
}

// check reports why a change cannot be carried out.
func (c *Change) check() error {
	switch {
	case strings.TrimSpace(c.Value) == "":
		return invalid("the reaction is blank")
	case len(c.Value) > maxValue:
		return invalid("a reaction has 100 bytes at the most")
	case !utf8.ValidString(c.Value) || strings.Contains(c.Value, "#"):
		return invalid("a reaction is valid UTF-8 without #")
	case c.UID == "":
		return errNobody
	}
	return earshot.CheckChannel(c.Channel)
}

var (
	errNobody    = &earshot.Error{Code: earshot.Forbidden, Reason: "REACTION_USER_ID_REQUIRED", Text: "a reaction needs a uid"}
	errMayNot    = &earshot.Error{Code: earshot.Forbidden, Reason: "REACTION_PERMISSION_DENIED", Text: "this reaction to the message is not permitted"}
	errOutsider  = &earshot.Error{Code: earshot.Forbidden, Reason: "NOT_SUBSCRIBED", Text: "reacting needs a subscription to the channel"}
	errTooMany   = &earshot.Error{Code: earshot.Limited, Reason: "REACTION_LIMIT_REACHED", Text: "a user may react to a message with 50 values"}
	errFull      = &earshot.Error{Code: earshot.Limited, Reason: "REACTION_LIMIT_REACHED", Text: "the message has as many reactions as can be kept"}
	errContended = &earshot.Error{Code: earshot.Limited, Reason: "REACTION_BUSY", Text: "too many react to this message at once", RetryAfter: time.Second}
)

// ends is when a message ends, zero for never.
func ends(m *earshot.Message) time.Time {
	if m.Store == earshot.Forever {
		return time.Time{}
	}
	return m.Time.Add(m.Store)
}
