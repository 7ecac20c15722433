package auth_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// TestSharedKeys is which secrets of an app sign tokens, with which algorithms, for
// a reader that wants them.
func TestSharedKeys(t *testing.T) {
	a := &earshot.App{Slug: "a", Key: "the-key", Secrets: []string{"newest", "older"}, SigningKeys: []earshot.SigningKey{hs256("")}}
	open := &earshot.App{Slug: "open", Key: "open-key", KeySigned: true}
	v := auth.NewVerifier(directory(t, a, open), nil)
	reader := &auth.Reader{Shared: true, Issued: true, Leeway: time.Minute, Read: whole.Read}
	claims := fmt.Sprintf(`{"exp":%d,"sub":{}}`, later(time.Hour))
	by := func(alg, key string) string { return issue(t, earshot.SigningKey{Alg: alg, Key: []byte(key)}, claims) }
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + by("HS256", "newest")[strings.IndexByte(by("HS256", "newest"), '.'):]
	for name, c := range map[string]struct {
		app    *earshot.App
		token  string
		reason string
	}{
		"the newest secret":           {a, by("HS256", "newest"), ""},
		"the other one":               {a, by("HS256", "older"), ""},
		"HS384":                       {a, by("HS384", "newest"), ""},
		"HS512":                       {a, by("HS512", "older"), ""},
		"the signing key":             {a, by("HS256", secret), ""},
		"a kid that nobody has":       {a, issue(t, earshot.SigningKey{ID: "x", Alg: "HS256", Key: []byte("newest")}, claims), ""},
		"another secret":              {a, by("HS256", "another"), "TOKEN_SIGNATURE"},
		"the key, not accepted":       {a, by("HS256", "the-key"), "TOKEN_SIGNATURE"},
		"the key, accepted":           {open, by("HS256", "open-key"), ""},
		"another app's secret":        {open, by("HS256", "newest"), "TOKEN_SIGNATURE"},
		"no algorithm":                {a, none, "TOKEN_ALG"},
		"an app that is not (or was)": {&earshot.App{Slug: "gone", Secrets: []string{"newest"}}, by("HS256", "newest"), "TOKEN_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second one is remembered
				got, err := v.VerifyIn(c.app, c.token, reader)
				wants(t, err, c.reason)
				if err == nil && got.App != c.app {
					t.Errorf("it is of %v", got.App)
				}
			}
		})
	}
	_, err := v.VerifyIn(a, by("HS256", "newest"), whole)
	wants(t, err, "TOKEN_SIGNATURE")
	rsa := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + by("HS256", "newest")[strings.IndexByte(by("HS256", "newest"), '.'):]
	if _, err := v.VerifyIn(open, rsa, reader); err == nil {
		t.Error("RS256 with a secret is accepted")
	}
}

// TestSharedRotation takes the older secret away.
func TestSharedRotation(t *testing.T) {
	a := &earshot.App{Slug: "a", Secrets: []string{"old"}}
	d := directory(t, a)
	v := auth.NewVerifier(d, nil)
	reader := &auth.Reader{Shared: true, Read: whole.Read}
	token := issue(t, earshot.SigningKey{Alg: "HS256", Key: []byte("old")}, fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
	for i, c := range []struct {
		secrets []string
		reason  string
	}{{[]string{"old"}, ""}, {[]string{"new", "old"}, ""}, {[]string{"newer", "new"}, "TOKEN_SIGNATURE"}} {
		if i > 0 {
			d.Replace([]*earshot.App{{Slug: "a", Secrets: c.secrets}})
		}
		_, err := v.VerifyIn(a, token, reader)
		wants(t, err, c.reason)
	}
}

// TestLeeway is by how much the clock may be wrong.
func TestLeeway(t *testing.T) {
	v := verifier(t, hs256(""))
	reader := &auth.Reader{Issued: true, Leeway: time.Minute, Read: whole.Read}
	for claims, reason := range map[string]string{
		fmt.Sprintf(`{"exp":%d}`, later(-50*time.Second)):                                  "",
		fmt.Sprintf(`{"exp":%d}`, later(-70*time.Second)):                                  "TOKEN_EXPIRED",
		fmt.Sprintf(`{"exp":%d,"nbf":%d}`, later(time.Hour), later(50*time.Second)):        "",
		fmt.Sprintf(`{"exp":%d,"nbf":%d}`, later(time.Hour), later(70*time.Second)):        "TOKEN_NOT_YET",
		fmt.Sprintf(`{"exp":%d,"iat":%d}`, later(time.Hour), later(50*time.Second)):        "",
		fmt.Sprintf(`{"exp":%d,"iat":%d}`, later(time.Hour), later(70*time.Second)):        "TOKEN_NOT_YET",
		fmt.Sprintf(`{"exp":%d,"iat":"soon"}`, later(time.Hour)):                           "",
		fmt.Sprintf(`{"exp":%d,"iat":%d,"nbf":null}`, later(time.Hour), later(-time.Hour)): "",
	} {
		_, err := v.VerifyIn(&earshot.App{Slug: "dev"}, issue(t, hs256(""), claims), reader)
		wants(t, err, reason)
	}
	_, err := v.VerifyIn(&earshot.App{Slug: "dev"}, issue(t, hs256(""), fmt.Sprintf(`{"exp":%d,"iat":%d}`, later(time.Hour), later(time.Hour))), whole)
	wants(t, err, "")
}
