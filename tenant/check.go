package tenant

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/rivo/uniseg"
)

// Limits of one app.
const (
	maxName = 255 // characters, as people count them
	maxList = 100
	// MaxName is how many bytes an app's name may have.
	MaxName = 4096
	// maxKeys is how many keys of a kind there may be: two while one is replaced,
	// for each of some parties.
	maxKeys = 16
	// leastKey is how long a publish key must be that is brought along: its digest
	// could be guessed otherwise.
	leastKey = 32
	// maxReplay and maxReplayFor bound what a new subscriber is sent first.
	maxReplay    = 1000
	maxReplayFor = 7 * 24 * 60 * 60
	// MaxSize is how many bytes an app may have as it is stored.
	MaxSize = 64 << 10
)

func invalid(reason, format string, args ...any) error {
	return &earshot.Error{Code: earshot.Invalid, Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// CheckSlug reports why an app cannot be called so.
func CheckSlug(s string) error {
	if s == "" || len(s) > 64 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return invalid("SLUG", "a slug is 1 to 64 of a-z, 0-9 and -")
	}
	return nil
}

// check reports what is wrong with an app by itself.
func (a *App) check() error {
	if err := CheckSlug(a.Slug); err != nil {
		return err
	}
	switch {
	case !ValidName(a.Name):
		return invalid("NAME", "a name has 1 to 255 characters, all in one line")
	case !ValidKey(a.Key):
		return invalid("KEY", "a key has 1 to 64 letters, digits, - and _")
	case max(len(a.Hosts), len(a.Origins), len(a.Channels), len(a.Owners)) > maxList:
		return invalid("TOO_MANY", "an app may have 100 hosts, origins, owners and channel rules each")
	case max(len(a.PublishKeys), len(a.SigningKeys), len(a.AccessKeys), len(a.Secrets)) > maxKeys:
		return invalid("TOO_MANY", "an app may have 16 keys of each kind")
	}
	for _, h := range a.Hosts {
		if h == "" || strings.ContainsAny(h, "/:@ ") || strings.ToLower(h) != h {
			return invalid("HOST", "%q is not a host name in lower case, without a port", h)
		}
	}
	for _, o := range a.Origins {
		if !earshot.ValidOrigin(o) {
			return invalid("ORIGIN", `%q is not an origin such as "https://example.com"`, o)
		}
	}
	for i := range a.Channels {
		if err := a.Channels[i].check(); err != nil {
			return err
		}
	}
	if err := a.checkUse(); err != nil {
		return err
	}
	if err := a.checkGateways(); err != nil {
		return err
	}
	return a.checkKeys()
}

// checkUse checks who may use the app, and how much.
func (a *App) checkUse() error {
	for _, o := range a.Owners {
		if o == "" || len(o) > maxName || strings.Contains(o, ":") || !utf8.ValidString(o) {
			return invalid("OWNER", "the name of an owner has 1 to 255 bytes and no colon")
		}
	}
	if l := a.Limits; l != nil && (min(l.Connections, l.Channels, l.MessageBytes) < 0 || min(l.ClientRate, l.ServerRate) < 0) {
		return invalid("LIMITS", "limits are numbers from 0, which is no limit")
	}
	if r := a.Replay; r != nil && (r.Size < 1 || r.Size > maxReplay || r.Seconds < 1 || r.Seconds > maxReplayFor) {
		return invalid("REPLAY", "replay has a size from 1 to 1000 and seconds from 1 to 604800, which is a week")
	}
	return nil
}

// ValidName reports whether an app can be called so: 1 to 255 characters, none of
// which ends a line or controls what shows it. An owner chooses the name, and the
// operator has it on his terminal.
func ValidName(s string) bool {
	if strings.TrimSpace(s) == "" || len(s) > MaxName || uniseg.GraphemeClusterCount(s) > maxName || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) })
}

// ValidKey reports whether an app's key can be so: 1 to 64 letters, digits, - and
// _, which need no escaping in addresses, and hold no colon.
func ValidKey(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return s != "" && len(s) <= 64 && strings.Trim(s, letters) == ""
}

func (r *Rule) check() error {
	switch {
	case r.Match == "":
		return invalid("CHANNEL_RULE", `a channel rule needs match; "*" matches every channel`)
	case r.Live && (r.Depth != 0 || r.BeforeDisk):
		return invalid("CHANNEL_RULE", "the rule of %q: a live channel is never stored, so depth and beforeDisk mean nothing", r.Match)
	case r.Depth < 0:
		return invalid("CHANNEL_RULE", "the rule of %q: depth is a number from 0", r.Match)
	}
	for _, s := range r.Open {
		if s != "subscribe" && s != "publish" {
			return invalid("CHANNEL_RULE", `the rule of %q: open is of "subscribe" and "publish"`, r.Match)
		}
	}
	return nil
}

// checkKeys checks what auth.Directory does not.
func (a *App) checkKeys() error {
	seen := map[string]bool{}
	for _, k := range a.SigningKeys {
		if k.ID != "" && !ValidKey(k.ID) {
			return invalid("SIGNING_KEY", "the id of a signing key has up to 64 letters, digits, - and _")
		}
		if (k.Secret == "") == (k.PublicKey == "") || strings.HasPrefix(k.Alg, "HS") != (k.Secret != "") {
			return invalid("SIGNING_KEY", "the signing key %q needs a secret for HS256, HS384 and HS512, and a publicKey for others", k.ID)
		}
		if k.Secret == hidden {
			return errHidden
		}
	}
	for _, k := range a.AccessKeys {
		if k.Secret == hidden {
			return errHidden
		}
		for _, allowed := range k.Allow {
			if !validAllow(allowed) {
				return invalid("ACCESS_KEY", `allow of the access key %q is of %q, %q and %q, perhaps with ":" and a name behind it`,
					k.ID, earshot.InvokeFunction, earshot.ManageConnections, earshot.InvokeAPI)
			}
		}
	}
	for _, k := range a.Secrets {
		if k.Secret == hidden {
			return errHidden
		}
		if k.ID == "" || k.Secret == "" || seen[k.ID] {
			return invalid("SECRET", "a secret needs an id of its own and a value")
		}
		seen[k.ID] = true
	}
	return nil
}

var errHidden = &earshot.Error{Code: earshot.Invalid, Reason: "SECRET_HIDDEN", Text: "a secret is hidden here: take what export gives"}

// validAllow asks for one of the actions, so that a typing error does not
// take away what was meant to be allowed.
func validAllow(s string) bool {
	for _, action := range []string{earshot.InvokeFunction, earshot.ManageConnections, earshot.InvokeAPI} {
		rest, ok := strings.CutPrefix(s, action)
		if name, named := strings.CutPrefix(rest, ":"); ok && (rest == "" || named && name != "") {
			return true
		}
	}
	return false
}
