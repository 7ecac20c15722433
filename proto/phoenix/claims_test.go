package phoenix

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// The vector of A.7.3.
const (
	vectorKey    = "secret-key-1234567890"
	vectorOpaque = "dG9rZW4tMTIzNDU2Nzg5MA"
	vectorCSRF   = "1l2I_3tA602CUpSE7WlpGxa0rTJvYvoN4i44UbKgseQ"
	vectorJWT    = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJjc3JmIiwic3ViIjp7fSwiaXNzIjoicGwtd2ViLXRlc3QiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6NDEwMjQ0NDgwMCwic19jc3JmIjoiMWwySV8zdEE2MDJDVXBTRTdXbHBHeGEwclRKdll2b040aTQ0VWJLZ3NlUSIsImxpc3RlbiI6WyJwdWJsaWM6KiIsInByaXZhdGU6KiJdLCJwdWJsaXNoIjpbInB1YmxpYzoqIl19.h5ACeyxoTznwoEkwfRyZBvYfIj0uFXq_53BDkIUmhUk"
)

func TestJWTVector(t *testing.T) {
	if got := base64.RawURLEncoding.EncodeToString(binding([]byte(vectorKey), vectorOpaque)); got != vectorCSRF {
		t.Errorf("s_csrf is %s", got)
	}
	a := &earshot.App{Slug: "test-app", SigningKeys: []earshot.SigningKey{{Alg: "HS256", Key: []byte(vectorKey)}}}
	apps, err := auth.NewDirectory([]*earshot.App{a})
	if err != nil {
		t.Fatal(err)
	}
	r := newReader()
	v := auth.NewVerifier(apps, nil)
	token, err := v.VerifyIn(a, vectorJWT, r)
	if err != nil {
		t.Fatal(err)
	}
	p := token.Value.(*proof)
	if p.identity.HasUID {
		t.Errorf("a visitor has the user id %q", p.identity.UID)
	}
	for topic, want := range map[string]earshot.Action{
		"public:x": earshot.Subscribe | earshot.Publish, "private:a:b": earshot.Subscribe, "other:x": 0, "public": 0, "private:": earshot.Subscribe,
	} {
		if got := p.identity.On(topic, "e").Allow &^ earshot.Echo; got != want {
			t.Errorf("on %q it may %b, not %b", topic, got, want)
		}
	}
	for _, c := range []struct {
		opaque string
		ok     bool
	}{{vectorOpaque, true}, {"", true}, {"another", false}} {
		if err := p.bound(a, c.opaque); (err == nil) != c.ok {
			t.Errorf("beside %q: %v", c.opaque, err)
		}
	}
	padded := *p
	padded.binding = strings.NewReplacer("-", "+", "_", "/").Replace(vectorCSRF) + "="
	if err := padded.bound(a, vectorOpaque); err != nil {
		t.Errorf("in the other alphabet: %v", err)
	}
	last := byte('A')
	if vectorJWT[len(vectorJWT)-2] == last {
		last = 'B'
	}
	for name, bad := range map[string]string{
		"another signature": vectorJWT[:len(vectorJWT)-2] + string(last) + vectorJWT[len(vectorJWT)-1:],
		"alg none":          base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + vectorJWT[strings.IndexByte(vectorJWT, '.'):],
	} {
		if _, err := v.VerifyIn(a, bad, r); earshot.CodeOf(err) != earshot.Unauthenticated || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := &earshot.App{Slug: "other", SigningKeys: []earshot.SigningKey{{Alg: "HS256", Key: []byte("another key of enough bytes, 32 of them")}}}
	if both, err := auth.NewDirectory([]*earshot.App{a, other}); err != nil {
		t.Error(err)
	} else if _, err := auth.NewVerifier(both, nil).VerifyIn(other, vectorJWT, r); err == nil {
		t.Errorf("a token of one app opens another")
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"deploys:web", "deploys:web", true},
		{"deploys:web", "deploys:web2", false},
		{"public:*", "public:", true},
		{"public:*", "public:a:b", true},
		{"public:*", "public", false},
		{"public:*", "xpublic:a", false},
		{"a:*:z", "a:b:c:z", true},
		{"a:*:z", "a:z", false},
		{"*", "anything at all", true},
		{"a.c:*", "abc:x", false},
		{"a*", "ab", false},
		{"a*", "a*", true},
		{"a*:*", "a*:b\nc", true},
		{"a*:*", "ab:b", false},
		{"", "a", false},
	} {
		if got := pattern(c.pattern).Match(c.topic); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.topic, got)
		}
	}
}

func TestClaims(t *testing.T) {
	token := &auth.Token{App: &earshot.App{Slug: "a"}}
	for _, c := range []struct {
		claims, uid string
		ok          bool
	}{
		{`{}`, "", true},
		{`{"listen":null,"sub":"ann"}`, "ann", true},
		{`{"uid":"bob","sub":"ann"}`, "bob", true},
		{`{"sub":{"id":7,"name":"Ann"}}`, "7", true},
		{`{"sub":{"id":"x"}}`, "x", true},
		{`{"sub":{}}`, "", true},
		{`{"listen":"public:*"}`, "", false},
		{`{"publish":[1]}`, "", false},
		{`{"uid":7}`, "", false},
		{`{"uid":"` + strings.Repeat("u", 129) + `"}`, "", false},
		{`{"umd":"` + strings.Repeat("u", 1<<10) + `"}`, "", false},
	} {
		got, err := readClaims(token, []byte(c.claims))
		if (err == nil) != c.ok {
			t.Errorf("%.60s: %v", c.claims, err)
		} else if c.ok && got.(*proof).identity.UID != c.uid {
			t.Errorf("%s: the user is %q", c.claims, got.(*proof).identity.UID)
		}
	}
}

// TestOver: the leeway is for tokens that their app does not end.
func TestOver(t *testing.T) {
	for _, c := range []struct {
		closes bool
		ago    time.Duration
		over   bool
	}{{false, 50 * time.Second, false}, {true, -time.Second, false}, {true, 20 * time.Second, false}, {true, 40 * time.Second, true}} {
		token := &auth.Token{App: &earshot.App{ExpiryCloses: c.closes}, Expires: time.Now().Add(-c.ago)}
		if err := over(token); (err != nil) != c.over || c.over && tokenReason(err) != "token_expired" {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestVersions is the negotiation of B.2.
func TestVersions(t *testing.T) {
	for query, want := range map[string]version{
		"": v1, "vsn=1.0.0": v1, "vsn=1.0.7": v1, "vsn=2.0.0": v2, "vsn=2.0.10": v2,
		"vsn=": 0, "vsn=2": 0, "vsn=2.0": 0, "vsn=2.1.0": 0, "vsn=3.0.0": 0, "vsn=2.0.x": 0, "vsn=2.0.0-rc": 0, "vsn=1.1.0": 0,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := versionOf(q); got != want {
			t.Errorf("%q is version %d, not %d", query, got, want)
		}
	}
}

// TestOffered reads the token of the subprotocol: standard base64 without padding,
// as phoenix.js sends it, and the other alphabet.
func TestOffered(t *testing.T) {
	for packed, want := range map[string]string{"dG9rPz5+": "tok?>~", "dG9rPz5-": "tok?>~", "dG8=": "to", "dG8": "to", "": ""} {
		if got, ok := offered([]string{"phoenix", bearer + packed}); got != want || !ok {
			t.Errorf("%q is %q, %v", packed, got, ok)
		}
	}
	if _, ok := offered([]string{"phoenix", bearer + "*"}); ok {
		t.Errorf("what is no base64 is taken")
	}
}

// TestShown is the order of A.7.3 step 1.
func TestShown(t *testing.T) {
	join := optionsOf(&frame{payload: []byte(`{"token":"a.b.c","guardian_token":"opaque","guardian_csrf":"d.e.f","presence":true}`)})
	if join.shown != (shown{jwt: "d.e.f", opaque: "opaque"}) || !join.presence {
		t.Errorf("the join shows %+v", join)
	}
	params := paramTokens(url.Values{"token": {"x.y.z"}, "guardian_token": {"g.h.i"}, "csrf_token": {"text"}})
	if params != (shown{jwt: "g.h.i", opaque: "text"}) {
		t.Errorf("the URL shows %+v", params)
	}
	if got := (shown{opaque: "mine"}).or(params); got != (shown{jwt: "g.h.i", opaque: "mine"}) {
		t.Errorf("together they show %+v", got)
	}
	for _, payload := range []string{`[]`, `null`, `{"token":7,"presence":"yes"}`, `"x"`} {
		if got := optionsOf(&frame{payload: []byte(payload)}); got != (options{}) {
			t.Errorf("%s says %+v", payload, got)
		}
	}
}
