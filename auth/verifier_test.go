package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// whole is a reader that keeps a copy of the claims.
var whole = &auth.Reader{Read: func(_ *auth.Token, claims []byte) (any, error) { return string(claims), nil }}

const secret = "a secret of more than thirty-two bytes"

func directory(t *testing.T, apps ...*earshot.App) *auth.Directory {
	t.Helper()
	d, err := auth.NewDirectory(apps)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func verifier(t *testing.T, keys ...earshot.SigningKey) *auth.Verifier {
	t.Helper()
	return auth.NewVerifier(directory(t, &earshot.App{Slug: "dev", SigningKeys: keys}), nil)
}

func hs256(id string) earshot.SigningKey {
	return earshot.SigningKey{ID: id, Alg: "HS256", Key: []byte(secret)}
}

func issue(t testing.TB, k earshot.SigningKey, claims string) string {
	t.Helper()
	i, err := auth.NewIssuer(k)
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Issue([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func later(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// wants checks that err has the reason; an empty one is no error.
func wants(t *testing.T, err error, reason string) {
	t.Helper()
	got := ""
	if err != nil {
		got = earshot.AsError(err).Reason
	}
	if got != reason {
		t.Errorf("got %v, want %q", err, reason)
	}
	if err != nil && earshot.CodeOf(err) != earshot.Unauthenticated {
		t.Errorf("got the code %v, want unauthenticated", earshot.CodeOf(err))
	}
}

type pair struct{ private, public []byte }

func encode(t testing.TB, private crypto.Signer) pair {
	t.Helper()
	pk, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}),
	}
}

func newPairs(t *testing.T) map[string]pair {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pairs := map[string]pair{"EdDSA": encode(t, ed)}
	rs := encode(t, r)
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		pairs[alg] = rs
	}
	for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		pairs[alg] = encode(t, k)
	}
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		s := []byte(auth.NewSecret() + auth.NewSecret())
		pairs[alg] = pair{s, s}
	}
	return pairs
}

func TestEveryAlgorithm(t *testing.T) {
	claims := fmt.Sprintf(`{"exp":%d,"sub":"x"}`, later(time.Hour))
	pairs := newPairs(t)
	for alg, p := range pairs {
		v := verifier(t, earshot.SigningKey{Alg: alg, Key: p.public})
		token := issue(t, earshot.SigningKey{ID: "any", Alg: alg, Key: p.private}, claims)
		got, err := v.Verify(token, nil, whole)
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if got.Value != claims {
			t.Errorf("%s: got the claims %v, want %s", alg, got.Value, claims)
		}
		// A bit less, and it is nobody's.
		for _, broken := range []string{flip(token, len(token)-10), flip(token, strings.IndexByte(token, '.')+5)} {
			if _, err := v.Verify(broken, nil, whole); err == nil {
				t.Errorf("%s: a changed token is accepted", alg)
			}
		}
		for other, q := range pairs {
			if other == alg {
				continue
			}
			foreign := issue(t, earshot.SigningKey{Alg: other, Key: q.private}, claims)
			_, err := v.Verify(foreign, nil, whole)
			wants(t, err, "TOKEN_ALG")
		}
	}
}

// flip changes one character of a token to another one of the alphabet.
func flip(token string, at int) string {
	c := byte('A')
	if token[at] == 'A' {
		c = 'B'
	}
	return token[:at] + string(c) + token[at+1:]
}

// raw makes a token of any header and payload, signed with HMAC SHA-256.
func raw(header, payload, secret string) string {
	signed := b64(header) + "." + b64(payload)
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(signed))
	return signed + "." + b64(string(m.Sum(nil)))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestHeaders(t *testing.T) {
	v := verifier(t, hs256(""))
	claims := fmt.Sprintf(`{"exp":%d}`, later(time.Hour))
	for _, c := range []struct{ header, reason string }{
		{`{"alg":"HS256"}`, ""},
		{`{"alg":"HS256","typ":"JWT","kid":"any"}`, ""},
		{`{"typ":"JWT"}`, "TOKEN_ALG"},
		{`{"alg":"none"}`, "TOKEN_ALG"},
		{`{"alg":"None"}`, "TOKEN_ALG"},
		{`{"alg":""}`, "TOKEN_ALG"},
		{`{"alg":"hs256"}`, "TOKEN_ALG"},
		{`{"alg":"HS384"}`, "TOKEN_ALG"},
		{`{"alg":"RS256"}`, "TOKEN_ALG"},
		{`{"ALG":"HS256"}`, "TOKEN_ALG"},
		{`{"alg":["HS256"]}`, "TOKEN_MALFORMED"},
		{`{"alg":"HS256","alg":"HS256"}`, "TOKEN_MALFORMED"},
		{`{"alg":"HS256","kid":7}`, "TOKEN_MALFORMED"},
		{`{"alg":"HS256","kid":"` + strings.Repeat("k", 257) + `"}`, "TOKEN_KEY"},
		{`{"alg":"HS256","crit":["exp"],"exp":1}`, "TOKEN_HEADER"},
		{`{"alg":"HS256","crit":["b64"],"b64":false}`, "TOKEN_HEADER"},
		{`{"alg":"HS256","b64":true}`, "TOKEN_HEADER"},
		{`{"alg":"HS256","zip":"DEF"}`, "TOKEN_HEADER"},
		{`{"alg":"HS256","jku":"https://example.com/keys"}`, "TOKEN_HEADER"},
		{`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, "TOKEN_HEADER"},
		{`{"alg":"HS256","x5u":"https://example.com/x"}`, "TOKEN_HEADER"},
		{`{"alg":"HS256","x5c":[]}`, "TOKEN_HEADER"},
		{`["alg"]`, "TOKEN_MALFORMED"},
		{``, "TOKEN_MALFORMED"},
		{"{\"alg\":\"HS256\",\"x\":\"\xff\"}", "TOKEN_MALFORMED"},
	} {
		t.Run(c.header, func(t *testing.T) {
			_, err := v.Verify(raw(c.header, claims, secret), nil, whole)
			wants(t, err, c.reason)
		})
	}
}

func TestForms(t *testing.T) {
	v := verifier(t, hs256(""))
	good := issue(t, hs256(""), fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct{ token, reason string }{
		"good":               {good, ""},
		"nothing":            {"", "TOKEN_MISSING"},
		"a word":             {"token", "TOKEN_MALFORMED"},
		"two parts":          {parts[0] + "." + parts[1], "TOKEN_MALFORMED"},
		"four parts":         {good + ".x", "TOKEN_MALFORMED"},
		"dots":               {strings.Repeat(".", 5000), "TOKEN_MALFORMED"},
		"no signature":       {parts[0] + "." + parts[1] + ".", "TOKEN_SIGNATURE"},
		"detached payload":   {parts[0] + ".." + parts[2], "TOKEN_SIGNATURE"},
		"padding":            {good + "=", "TOKEN_MALFORMED"},
		"white space before": {" " + good, "TOKEN_MALFORMED"},
		"line break inside":  {good[:20] + "\n" + good[20:], "TOKEN_MALFORMED"},
		"JSON serialization": {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "TOKEN_MALFORMED"},
		"too large":          {parts[0] + "." + strings.Repeat("A", auth.MaxToken) + "." + parts[2], "TOKEN_LARGE"},
		"another secret":     {raw(`{"alg":"HS256"}`, `{}`, secret+"x"), "TOKEN_SIGNATURE"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(c.token, nil, whole)
			wants(t, err, c.reason)
		})
	}
}

func TestClaims(t *testing.T) {
	app := &earshot.App{Slug: "dev", SigningKeys: []earshot.SigningKey{hs256("")}}
	strict := &earshot.App{Slug: "strict", SigningKeys: []earshot.SigningKey{hs256("s")}, Audience: "me", Issuer: "you"}
	v := auth.NewVerifier(directory(t, app, strict), nil)
	exp := fmt.Sprintf(`"exp":%d`, later(time.Hour))
	for _, c := range []struct{ kid, claims, reason string }{
		{"", `{` + exp + `}`, ""},
		{"", `{}`, "TOKEN_EXP"},
		{"", `{"exp":null}`, "TOKEN_EXP"},
		{"", `{"EXP":99999999999}`, "TOKEN_EXP"},
		{"", `{"exp":"99999999999"}`, "TOKEN_CLAIMS"},
		{"", `{"exp":0}`, "TOKEN_EXPIRED"},
		{"", `{"exp":-1e300}`, "TOKEN_EXPIRED"},
		{"", `{"exp":1e300}`, ""},
		{"", `{"exp":99999999999.5}`, ""},
		{"", fmt.Sprintf(`{"exp":%d}`, later(-time.Second)), "TOKEN_EXPIRED"},
		{"", fmt.Sprintf(`{%s,"nbf":%d}`, exp, later(-time.Second)), ""},
		{"", fmt.Sprintf(`{%s,"nbf":%d}`, exp, later(time.Minute)), "TOKEN_NOT_YET"},
		{"", `{` + exp + `,"nbf":"soon"}`, "TOKEN_CLAIMS"},
		{"", `{` + exp + `,"nbf":null}`, ""},
		{"", fmt.Sprintf(`{%s,"iat":%d}`, exp, later(time.Hour)), ""},
		{"", `{` + exp + `,"iat":"yesterday","sub":7,"aud":5,"iss":{},"jti":[]}`, ""},
		{"", `[` + exp + `]`, "TOKEN_CLAIMS"},
		{"", `{` + exp + `} {}`, "TOKEN_CLAIMS"},
		{"", `null`, "TOKEN_CLAIMS"},
		{"", ``, "TOKEN_CLAIMS"},
		{"", "{" + exp + ",\"x\":\"\xff\"}", "TOKEN_CLAIMS"},
		{"", `{` + exp + `,"x":"\ud800"}`, "TOKEN_CLAIMS"},
		{"", `{` + exp + `,"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "TOKEN_CLAIMS"},
		{"s", `{` + exp + `}`, "TOKEN_AUD"},
		{"s", `{` + exp + `,"aud":"me"}`, "TOKEN_ISS"},
		{"s", `{` + exp + `,"aud":"me","iss":"you"}`, ""},
		{"s", `{` + exp + `,"aud":["them","me"],"iss":"you"}`, ""},
		{"s", `{` + exp + `,"aud":["them",7],"iss":"you"}`, "TOKEN_AUD"},
		{"s", `{` + exp + `,"aud":{"me":1},"iss":"you"}`, "TOKEN_AUD"},
		{"s", `{` + exp + `,"aud":"ME","iss":"you"}`, "TOKEN_AUD"},
		{"s", `{` + exp + `,"aud":"me","iss":["you"]}`, "TOKEN_ISS"},
	} {
		t.Run(c.claims, func(t *testing.T) {
			_, err := v.Verify(raw(`{"alg":"HS256","kid":"`+c.kid+`"}`, c.claims, secret), nil, whole)
			wants(t, err, c.reason)
		})
	}
}

// TestLastMemberWins is R24: what an earlier member of the same name says is
// gone, at every level, however the name is spelt.
func TestLastMemberWins(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"exp":1,"exp":2}`, `{"exp":2}`},
		{`{"exp":1,"a":0,"e\u0078p":2}`, `{"exp":2,"a":0}`},
		{`{"c":{"x":1},"c":{"y":2}}`, `{"c":{"y":2}}`},
		{`{"c":{"x":{"s":true,"p":true},"x":{"s":true}}}`, `{"c":{"x":{"s":true}}}`},
		{`{"a":[{"b":1,"b":[2]}]}`, `{"a":[{"b":[2]}]}`},
		{`{"c":{"x":1},"c":null}`, `{"c":null}`},
		{`{"n":1.50e+2}`, `{"n":1.50e+2}`},
		{` { "a" : "\u00e9\n" } `, `{"a":"\u00e9\n"}`},
		{`{"A":1,"a":2,"\u0000":3}`, `{"A":1,"a":2,"\u0000":3}`},
	} {
		got, err := auth.Fold([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("Fold(%s) = %s, %v, want %s", c.in, got, err, c.want)
		}
	}
	v := verifier(t, hs256(""))
	token := raw(`{"alg":"HS256"}`, `{"exp":1,"exp":99999999999}`, secret)
	if _, err := v.Verify(token, nil, whole); err != nil {
		t.Errorf("the second exp does not count: %v", err)
	}
	token = raw(`{"alg":"HS256"}`, `{"exp":99999999999,"exp":1}`, secret)
	_, err := v.Verify(token, nil, whole)
	wants(t, err, "TOKEN_EXPIRED")
}

func TestChoiceOfKey(t *testing.T) {
	key := func(id, alg, secret string) earshot.SigningKey {
		return earshot.SigningKey{ID: id, Alg: alg, Key: []byte(secret + strings.Repeat("-", 64))}
	}
	one := &earshot.App{Slug: "one", SigningKeys: []earshot.SigningKey{key("a", "HS256", "A"), key("", "HS256", "B")}}
	two := &earshot.App{Slug: "two", SigningKeys: []earshot.SigningKey{key("", "HS256", "C"), key("", "HS512", "D"), key("", "HS256", "E")}}
	three := &earshot.App{Slug: "three", SigningKeys: []earshot.SigningKey{key("t", "HS256", "F")}}
	v := auth.NewVerifier(directory(t, one, two, three), nil)
	claims := fmt.Sprintf(`{"exp":%d}`, later(time.Hour))
	for _, c := range []struct {
		name   string
		by     earshot.SigningKey
		hint   *earshot.App
		app    *earshot.App
		reason string
	}{
		{"the id names the key", key("a", "HS256", "A"), nil, one, ""},
		{"and no other is tried", key("a", "HS256", "B"), nil, nil, "TOKEN_SIGNATURE"},
		{"a key without an id takes any id", key("x", "HS256", "B"), nil, one, ""},
		{"and none", key("", "HS256", "B"), nil, one, ""},
		{"an id is asked for where there is one", key("", "HS256", "A"), nil, nil, "TOKEN_SIGNATURE"},
		{"the id names the app, whatever the host says", key("a", "HS256", "A"), three, one, ""},
		{"else the host", key("x", "HS256", "C"), two, two, ""},
		{"of two without an id the one of the algorithm", key("", "HS512", "D"), two, two, ""},
		{"else the first", key("", "HS256", "E"), two, nil, "TOKEN_SIGNATURE"},
		{"no key takes a token without an id", key("", "HS256", "F"), three, nil, "TOKEN_KEY"},
		{"or with another", key("z", "HS256", "F"), three, nil, "TOKEN_KEY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := v.Verify(issue(t, c.by, claims), c.hint, whole)
			wants(t, err, c.reason)
			if err == nil && got.App != c.app {
				t.Errorf("got the app %s, want %s", got.App.Slug, c.app.Slug)
			}
		})
	}
	_, err := v.VerifyIn(three, issue(t, key("a", "HS256", "A"), claims), whole)
	wants(t, err, "TOKEN_KEY")
	if _, err = v.VerifyIn(three, issue(t, key("t", "HS256", "F"), claims), whole); err != nil {
		t.Error(err)
	}
	none := auth.NewVerifier(directory(t), nil)
	_, err = none.Verify(issue(t, key("a", "HS256", "A"), claims), nil, whole)
	wants(t, err, "TOKEN_KEY")
}

func TestShortSecret(t *testing.T) {
	for alg, n := range map[string]int{"HS256": 1, "HS384": 47, "HS512": 32} {
		k := earshot.SigningKey{ID: "k", Alg: alg, Key: []byte(strings.Repeat("s", n))}
		d := directory(t, &earshot.App{Slug: "dev", SigningKeys: []earshot.SigningKey{k}})
		if w := d.Warnings(); len(w) != 1 || strings.Contains(w[0], "sss") {
			t.Errorf("%s: got the warnings %q, want one without the secret", alg, w)
		}
		v := auth.NewVerifier(d, nil)
		token := issue(t, k, fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
		if _, err := v.Verify(token, nil, whole); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		_, err := v.Verify(flip(token, len(token)-5), nil, whole)
		wants(t, err, "TOKEN_SIGNATURE")
		k.Key = []byte(strings.Repeat("t", n))
		_, err = v.Verify(issue(t, k, fmt.Sprintf(`{"exp":%d}`, later(time.Hour))), nil, whole)
		wants(t, err, "TOKEN_SIGNATURE")
	}
	if w := directory(t, &earshot.App{Slug: "dev", SigningKeys: []earshot.SigningKey{hs256("")}}).Warnings(); len(w) != 0 {
		t.Errorf("got the warnings %q, want none", w)
	}
}

func TestCacheSharesValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		r := &auth.Reader{Read: func(*auth.Token, []byte) (any, error) { reads++; return new(int), nil }}
		v := verifier(t, hs256(""))
		token := issue(t, hs256(""), fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
		first, err := v.Verify(token, nil, r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := v.Verify(token, nil, r)
		if err != nil || again.Value != first.Value || reads != 1 {
			t.Errorf("the second use read the claims anew (%d reads, %v)", reads, err)
		}
		if other, err := v.Verify(token, nil, whole); err != nil || other.Value == first.Value {
			t.Errorf("another reader got the first one's value (%v)", err)
		}
		if _, err := v.Verify(flip(token, len(token)-10), nil, r); err == nil {
			t.Error("the same claims under another signature are accepted")
		}
		time.Sleep(5*time.Minute + time.Second)
		if _, err := v.Verify(token, nil, r); err != nil || reads != 2 {
			t.Errorf("after five minutes the token is not verified anew (%d reads, %v)", reads, err)
		}
		time.Sleep(time.Hour)
		_, err = v.Verify(token, nil, r)
		wants(t, err, "TOKEN_EXPIRED")
	})
}

func TestCacheEndsWithToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t, hs256(""))
		token := issue(t, hs256(""), fmt.Sprintf(`{"exp":%d}`, later(10*time.Second)))
		if _, err := v.Verify(token, nil, whole); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		_, err := v.Verify(token, nil, whole)
		wants(t, err, "TOKEN_EXPIRED")
	})
}

func TestFailedReadIsNotCached(t *testing.T) {
	v := verifier(t, hs256(""))
	fail := errors.New("no")
	reads := 0
	r := &auth.Reader{Read: func(*auth.Token, []byte) (any, error) { reads++; return nil, fail }}
	token := issue(t, hs256(""), fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
	for range 2 {
		if got, err := v.Verify(token, nil, r); err != fail || got == nil && reads == 0 {
			t.Errorf("got %v, want the reader's error", err)
		}
	}
	if reads != 2 {
		t.Errorf("got %d reads, want 2", reads)
	}
}

type spent struct {
	seen map[string]time.Time
	err  error
}

func (s *spent) Spend(_ context.Context, app, jti string, until time.Time) (bool, error) {
	if s.err != nil {
		return false, s.err
	}
	_, used := s.seen[app+"/"+jti]
	s.seen[app+"/"+jti] = until
	return !used, nil
}

func TestSpend(t *testing.T) {
	s := &spent{seen: map[string]time.Time{}}
	v := auth.NewVerifier(directory(t, &earshot.App{Slug: "dev", SigningKeys: []earshot.SigningKey{hs256("")}}), s)
	exp := later(time.Hour)
	token, err := v.Verify(issue(t, hs256(""), fmt.Sprintf(`{"exp":%d,"jti":"j1"}`, exp)), nil, whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Spend(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if got := s.seen["dev/j1"]; got.Unix() != exp {
		t.Errorf("it is remembered until %v, want the token's exp", got)
	}
	wants(t, v.Spend(t.Context(), token), "TOKEN_USED")
	bare, err := v.Verify(issue(t, hs256(""), fmt.Sprintf(`{"exp":%d}`, exp)), nil, whole)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, v.Spend(t.Context(), bare), "TOKEN_JTI")
	s.err = errors.New("disk on fire")
	if err := v.Spend(t.Context(), token); earshot.CodeOf(err) != earshot.Unavailable || !errors.Is(err, s.err) {
		t.Errorf("got %v, want unavailable with its cause", err)
	}
	if err := verifier(t, hs256("")).Spend(t.Context(), token); earshot.CodeOf(err) != earshot.Unavailable {
		t.Errorf("got %v, want unavailable without a store", err)
	}
}

func TestErrorsHoldNoToken(t *testing.T) {
	v := verifier(t, hs256("a"))
	token := issue(t, hs256("a"), `{"exp":1,"uid":"very-private"}`)
	for _, bad := range []string{token, token + "x", token[:20], flip(token, 30)} {
		_, err := v.Verify(bad, nil, whole)
		if err == nil || strings.Contains(err.Error(), token[:16]) || strings.Contains(err.Error(), "very-private") {
			t.Errorf("got %v, want an error that shows nothing", err)
		}
	}
}
