package auth

import (
	"time"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// registered reads the claims that RFC 7519 §4.1 registers, as far as they are
// judged for every protocol. A null is as good as absent.
func registered(app *earshot.App, claims []byte) (*Token, error) {
	var c struct {
		Exp *NumericDate   `json:"exp"`
		Nbf *NumericDate   `json:"nbf"`
		Iat jsontext.Value `json:"iat"`
		Jti jsontext.Value `json:"jti"`
		Aud jsontext.Value `json:"aud"`
		Iss jsontext.Value `json:"iss"`
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		return nil, refused("TOKEN_CLAIMS", "exp and nbf must be numbers")
	}
	if c.Exp == nil {
		return nil, refused("TOKEN_EXP", "the token has no exp")
	}
	if app.Audience != "" && !names(c.Aud, app.Audience) {
		return nil, refused("TOKEN_AUD", "the token's aud does not name this server")
	}
	if app.Issuer != "" && text(c.Iss) != app.Issuer {
		return nil, refused("TOKEN_ISS", "the token's iss is not the one expected")
	}
	t := &Token{App: app, ID: text(c.Jti), Expires: c.Exp.Time()}
	if c.Nbf != nil {
		t.NotBefore = c.Nbf.Time()
	}
	var issued NumericDate
	if c.Iat.Kind() == '0' && json.Unmarshal(c.Iat, &issued) == nil {
		t.Issued = issued.Time() // what is no number was never looked at
	}
	return t, nil
}

// text is the string that v is, empty if it is none.
func text(v jsontext.Value) string {
	var s string
	if v.Kind() != '"' || json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// names reports whether aud is the audience, or an array that contains it.
func names(aud jsontext.Value, audience string) bool {
	if aud.Kind() != '[' {
		return text(aud) == audience
	}
	var all []jsontext.Value
	if json.Unmarshal(aud, &all) != nil {
		return false
	}
	for _, v := range all {
		if text(v) == audience {
			return true
		}
	}
	return false
}

// A NumericDate is a claim that is a time: seconds since 1970, perhaps with a
// fraction (RFC 7519 §2).
type NumericDate float64

// maxDate is the last second of the year 9999; later dates count as it.
const maxDate = 253402300799

// Time returns the moment, between the years 1970 and 9999.
func (n NumericDate) Time() time.Time {
	f := min(max(float64(n), 0), maxDate)
	return time.UnixMilli(int64(f * 1000))
}
