package phoenix

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of what a token says of its user.
const (
	maxUID = 128     // characters
	maxUMD = 1 << 10 // bytes
)

// A proof is what a token says (A.7.3). It is shared by all who showed the same
// token, and never changed.
type proof struct {
	identity earshot.Identity
	// binding is s_csrf: an HMAC of the opaque token beside it; empty for none.
	binding string
}

// claims is a token's payload. A null is as good as absent.
type claims struct {
	Listen  *[]string      `json:"listen"`
	Publish *[]string      `json:"publish"`
	Echo    *[]string      `json:"echo"`
	UID     *string        `json:"uid"`
	UMD     jsontext.Value `json:"umd"`
	Sub     jsontext.Value `json:"sub"`
	Binding *string        `json:"s_csrf"`
}

func badClaims(text string) error {
	return &earshot.Error{Code: earshot.Unauthenticated, Reason: "TOKEN_CLAIMS", Text: text}
}

// readClaims makes a proof of a token's claims.
func readClaims(t *auth.Token, raw []byte) (any, error) {
	var c claims
	if json.Unmarshal(raw, &c) != nil {
		return nil, badClaims("listen, publish and echo are lists of strings, uid and s_csrf are strings")
	}
	p := &proof{identity: earshot.Identity{App: t.App.Slug, Expires: t.Expires}}
	if c.Binding != nil {
		p.binding = *c.Binding
	}
	if p.identity.UID, p.identity.HasUID = c.user(); utf8.RuneCountInString(p.identity.UID) > maxUID {
		return nil, badClaims("the user id is longer than 128 characters")
	}
	if kind := c.UMD.Kind(); kind != 0 && kind != 'n' {
		if len(c.UMD) > maxUMD {
			return nil, badClaims("umd has more than 1 KiB")
		}
		p.identity.Meta = c.UMD.Clone()
	}
	p.identity.Grants = append(grants(c.Listen, earshot.Subscribe), grants(c.Publish, earshot.Publish)...)
	if c.Echo == nil {
		p.identity.Grants = append(p.identity.Grants, hearsItself())
	} else {
		p.identity.Grants = append(p.identity.Grants, grants(c.Echo, earshot.Echo)...)
	}
	return p, nil
}

// user is the user's id: uid, else sub, else the id of a sub that is an object,
// as the article's demo has it. A visitor has none.
func (c *claims) user() (uid string, ok bool) {
	if c.UID != nil {
		return *c.UID, true
	}
	switch c.Sub.Kind() {
	case '"':
		return scalar(c.Sub)
	case '{':
		var who struct {
			ID jsontext.Value `json:"id"`
		}
		if json.Unmarshal(c.Sub, &who) == nil {
			return scalar(who.ID)
		}
	}
	return "", false
}

// scalar is a string, or the text of a number.
func scalar(v jsontext.Value) (string, bool) {
	switch v.Kind() {
	case '0':
		return string(v), true
	case '"':
		b, err := jsontext.AppendUnquote(nil, v)
		return string(b), err == nil && len(b) > 0
	}
	return "", false
}

func grants(patterns *[]string, a earshot.Action) []earshot.Grant {
	if patterns == nil {
		return nil
	}
	all := make([]earshot.Grant, 0, len(*patterns)+1)
	for _, p := range *patterns {
		all = append(all, earshot.Grant{Channel: pattern(p), Allow: a})
	}
	return all
}

// hearsItself says that what a client publishes comes back to it, as broadcasts
// of this protocol do (A.7.2). It allows nothing else.
func hearsItself() earshot.Grant {
	return earshot.Grant{Channel: earshot.Glob("*"), Allow: earshot.Echo}
}

// pattern reads a pattern of topics: a text in which each ":*" stands for a colon
// and anything, also nothing; "*" alone is everything (A.7.3).
func pattern(text string) earshot.Pattern {
	if text == "*" || !strings.Contains(strings.ReplaceAll(text, ":*", ""), "*") {
		return earshot.Glob(text)
	}
	// A star that is none stands for itself, which a glob cannot say.
	parts := strings.Split(text, ":*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	p, err := earshot.Regexp("(?s)^" + strings.Join(parts, ":.*") + "$")
	if err != nil {
		return earshot.Exact(text) // cannot be: every part is quoted, and of a token's size
	}
	return p
}

// A shown is what a client shows to prove who it is: tokens of which one may be
// a JWT, and one an opaque text that the JWT is bound to.
type shown struct{ jwt, opaque string }

// take adds a token, unless one of its kind was shown before.
func (s *shown) take(token string) {
	switch {
	case token == "":
	case strings.Count(token, ".") == 2:
		if s.jwt == "" {
			s.jwt = token
		}
	case s.opaque == "":
		s.opaque = token
	}
}

// or completes what was shown by what was shown elsewhere.
func (s shown) or(other shown) shown {
	s.take(other.jwt)
	s.take(other.opaque)
	return s
}

// over reports why a token within the leeway does not count all the same: its app
// ends what it opens, and would do so at once.
func over(t *auth.Token) error {
	if t.App.ExpiryCloses && !time.Now().Before(t.Expires.Add(earshot.ExpiryGrace)) {
		return &earshot.Error{Code: earshot.Unauthenticated, Reason: "TOKEN_EXPIRED", Text: "the token has expired"}
	}
	return nil
}

var errBinding = &earshot.Error{Code: earshot.Unauthenticated, Reason: "TOKEN_BINDING", Text: "the token is bound to another one"}

// bound checks that a proof belongs to the opaque token beside it, if it is bound
// to one and one was shown (A.7.3 step 5).
func (p *proof) bound(a *earshot.App, opaque string) error {
	if p.binding == "" || opaque == "" {
		return nil
	}
	want, err := decode64(p.binding)
	if err != nil {
		return errBinding
	}
	for _, key := range secretsOf(a) {
		if hmac.Equal(want, binding(key, opaque)) {
			return nil
		}
	}
	return errBinding
}

// secretsOf are the keys by which an app's tokens may be signed with HMAC.
func secretsOf(a *earshot.App) [][]byte {
	var all [][]byte
	for i := range a.SigningKeys {
		if k := &a.SigningKeys[i]; strings.HasPrefix(k.Alg, "HS") {
			all = append(all, k.Key)
		}
	}
	for _, s := range a.Secrets {
		all = append(all, []byte(s))
	}
	if a.KeySigned && a.Key != "" {
		all = append(all, []byte(a.Key))
	}
	return all
}

// binding is the HMAC that s_csrf holds.
func binding(key []byte, opaque string) []byte {
	m := hmac.New(sha256.New, key)
	_, _ = m.Write([]byte(opaque)) // a hash takes everything
	return m.Sum(nil)
}

// decode64 reads base64 of either alphabet, padded or not.
func decode64(text string) ([]byte, error) {
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("not base64")
	}
	return b, nil
}
