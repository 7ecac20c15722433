package hotsock

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/earshot-io/earshot"
)

// A ticket proves that a user was subscribed to a channel before, so that a
// resume may reach back to then. Ids cannot prove that: they can be guessed.
// The client keeps it; the server remembers nothing, and every node of it, also
// after a restart, can judge it.
type ticket struct {
	// at is where the subscription joined the channel's log.
	at earshot.Position
	// since is when the user was first subscribed, of resumes in a row.
	since time.Time
}

// A ticket is 18 bytes and half a SHA-256 of them and of what they are about.
const (
	ticketFields = 2 + 8 + 8
	ticketMAC    = sha256.Size / 2
)

// seal makes a ticket's text for an app's user on a channel; empty if the app
// has no secret, or there is nothing to come back to.
func (t ticket) seal(a *earshot.App, who *earshot.Identity, channel string) string {
	keys := ticketKeys(a)
	if len(keys) == 0 || t.at.IsZero() {
		return ""
	}
	b := make([]byte, 0, ticketFields+sha256.Size)
	b = binary.BigEndian.AppendUint16(b, t.at.Epoch)
	b = binary.BigEndian.AppendUint64(b, t.at.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(t.since.UnixMilli()))
	b = append(b, ticketSum(keys[0], a, who, channel, b)[:ticketMAC]...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// openTicket reads what seal wrote; ok is false for anything else.
func openTicket(text string, a *earshot.App, who *earshot.Identity, channel string) (t ticket, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != ticketFields+ticketMAC {
		return ticket{}, false
	}
	for _, key := range ticketKeys(a) {
		ok = ok || hmac.Equal(b[ticketFields:], ticketSum(key, a, who, channel, b[:ticketFields])[:ticketMAC])
	}
	if !ok {
		return ticket{}, false
	}
	t.at = earshot.Position{Epoch: binary.BigEndian.Uint16(b), Seq: binary.BigEndian.Uint64(b[2:])}
	t.since = time.UnixMilli(int64(binary.BigEndian.Uint64(b[10:])))
	return t, true
}

// ticketKeys are the secrets of the app that all nodes know, the one to sign
// with first. A ticket is good as long as its key is.
func ticketKeys(a *earshot.App) (keys []string) {
	keys = append(keys, a.PublishKeys...)
	for _, k := range a.AccessKeys {
		keys = append(keys, k.Secret)
	}
	return keys
}

// ticketSum authenticates the fields for one app, user and channel. Each text is
// preceded by its length, so that none can pass for a part of another.
func ticketSum(key string, a *earshot.App, who *earshot.Identity, channel string, fields []byte) []byte {
	mac := hmac.New(sha256.New, []byte("earshot resume ticket 1\x00"+key))
	mac.Write(fields)
	user := "-"
	if who.HasUID {
		user = "+" + who.UID
	}
	for _, text := range []string{a.Slug, user, channel} {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		mac.Write([]byte(text))
	}
	return mac.Sum(nil)
}
