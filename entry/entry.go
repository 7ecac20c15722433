package entry

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// An Entry is a value under a key of a channel. It is shared and never changed.
type Entry struct {
	Key string
	// Data is a JSON value; nil if there is no entry.
	Data []byte
	// Sender is the client that changed it last; nil for a server.
	Sender *earshot.Sender
	// Expires is when it ends, zero for never.
	Expires time.Time
	// Written is when it was changed last, and Revision the record's then: it
	// rises with every change of any entry.
	Written  time.Time
	Revision uint64
}

// A Write is a value to be written.
type Write struct {
	Channel, Key string
	// Data is a JSON value; none, null and {} clear the entry.
	Data []byte
	// Store is how long the entry stays, from the write on: earshot.Forever, or a
	// second or more.
	Store time.Duration
	// Sender is the client that writes; nil for a server.
	Sender *earshot.Sender
	// Emit records the change as an event, and the entry's expiry when it comes.
	Emit bool
	// Origin is the request, for the event.
	Origin *hub.Origin
	// Once makes the write idempotent for the entry: of writes with the same
	// within 5 minutes only the first is done, whatever was written in between.
	// An entry remembers the newest thousand. Empty for none.
	Once string
}

// maxKey is how many characters a key may have.
const maxKey = 128

// CheckKey reports why a text cannot be an entry's key: it has 1 to 128
// characters, and no white space, *, # or comma.
func CheckKey(key string) error {
	text := ""
	switch {
	case key == "":
		text = "the storage key is empty"
	case !utf8.ValidString(key):
		text = "the storage key is not valid UTF-8"
	case utf8.RuneCountInString(key) > maxKey:
		text = "the storage key is longer than 128 characters"
	case strings.ContainsAny(key, "*#,") || strings.ContainsFunc(key, unicode.IsSpace):
		text = "a storage key has no *, #, comma or white space"
	default:
		return nil
	}
	return &earshot.Error{Code: earshot.Invalid, Reason: "INVALID_STORAGE_KEY", Text: text}
}

// check reports why a write cannot be carried out.
func (w *Write) check() error {
	if err := earshot.CheckChannel(w.Channel); err != nil {
		return err
	}
	if err := CheckKey(w.Key); err != nil {
		return err
	}
	if w.Store != earshot.Forever && w.Store < time.Second {
		return &earshot.Error{Code: earshot.Invalid, Reason: "INVALID_STORE", Text: "an entry stays for a second at least, or for ever (-1)"}
	}
	return hub.CheckData(earshot.JSON, w.Data)
}

// record names an entry's record.
func record(app, channel, key string) hub.Key { return hub.Key{"entry", app, channel, key} }
