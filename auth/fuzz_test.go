package auth_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// FuzzFold compares with the standard library, whose map of raw values keeps
// the last member of a name.
func FuzzFold(f *testing.F) {
	for _, s := range []string{
		`{"exp":1,"exp":2}`, `{"a":{"b":1,"b":{"c":[{"d":1,"d":2}]}}}`, `{"\u0061":1,"a":2}`, `[]`, `{"a":"\ud800"}`, `{"a":1}x`, "{\"\xff\":1}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := auth.Fold(data)
		if err != nil {
			return
		}
		if !utf8.Valid(out) {
			t.Fatalf("%q folds to invalid UTF-8", data)
		}
		var want, got map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("accepted what is not JSON: %q: %v", data, err)
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q folds to %q: %v", data, out, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%q folds to %q: other members", data, out)
		}
		again, err := auth.Fold(out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("folding %q again gives %q, %v", out, again, err)
		}
		for name, v := range want {
			folded, err := auth.Fold([]byte(`{"x":` + string(v) + `}`))
			if err != nil || string(folded) != `{"x":`+string(got[name])+`}` {
				t.Fatalf("member %q of %q: got %s, want %s (%v)", name, data, got[name], folded, err)
			}
		}
	})
}

// FuzzVerify: nothing but the one token that was signed is ever accepted.
func FuzzVerify(f *testing.F) {
	good := raw(`{"alg":"HS256"}`, `{"exp":99999999999}`, secret)
	for _, s := range []string{good, good + ".", strings.ToUpper(good), "a.b.c", "..", raw(`{"alg":"none"}`, `{}`, "x")} {
		f.Add(s)
	}
	d, err := auth.NewDirectory(nil)
	if err != nil {
		f.Fatal(err)
	}
	empty := auth.NewVerifier(d, nil)
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := empty.Verify(token, nil, whole); err == nil {
			t.Fatal("a token is accepted without a key")
		}
		v := verifier(t, hs256(""))
		got, err := v.Verify(token, nil, whole)
		if err == nil && token != good {
			t.Fatalf("accepted %q: %v", token, got)
		}
	})
}

// BenchmarkVerify measures a token that was seen before.
func BenchmarkVerify(b *testing.B) {
	d, err := auth.NewDirectory([]*earshot.App{{Slug: "dev", SigningKeys: []earshot.SigningKey{hs256("")}}})
	if err != nil {
		b.Fatal(err)
	}
	v := auth.NewVerifier(d, nil)
	token := raw(`{"alg":"HS256"}`, `{"exp":99999999999,"scope":"connect"}`, secret)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(token, nil, whole); err != nil {
			b.Fatal(err)
		}
	}
}
