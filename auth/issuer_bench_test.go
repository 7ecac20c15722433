package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// BenchmarkES256 compares an issuer with the signature alone, the floor.
func BenchmarkES256(b *testing.B) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	claims := []byte(`{"scope":"connect","uid":"jim","exp":1795345507,"channels":{"orders":{"subscribe":true}}}`)
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			digest := sha256.Sum256(claims)
			if _, err := ecdsa.SignASN1(rand.Reader, k, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("issuer", func(b *testing.B) {
		i, err := auth.NewIssuer(earshot.SigningKey{ID: "k", Alg: "ES256", Key: encode(b, k).private})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := i.Issue(claims); err != nil {
				b.Fatal(err)
			}
		}
	})
}
