package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/go-jose/go-jose/v4"
)

// An algorithm is one that tokens may be signed with.
type algorithm struct {
	family string
	hash   crypto.Hash
	curve  string // ES*
}

// algorithms are those of RFC 7518 §3.1 and RFC 8037 §3.1, without none.
func algorithmOf(alg string) (a algorithm, ok bool) {
	switch alg {
	case "EdDSA":
		return algorithm{family: alg}, true
	case "HS256", "RS256", "PS256":
		return algorithm{family: alg[:2], hash: crypto.SHA256}, true
	case "HS384", "RS384", "PS384":
		return algorithm{family: alg[:2], hash: crypto.SHA384}, true
	case "HS512", "RS512", "PS512":
		return algorithm{family: alg[:2], hash: crypto.SHA512}, true
	case "ES256":
		return algorithm{family: "ES", hash: crypto.SHA256, curve: "P-256"}, true
	case "ES384":
		return algorithm{family: "ES", hash: crypto.SHA384, curve: "P-384"}, true
	case "ES512":
		return algorithm{family: "ES", hash: crypto.SHA512, curve: "P-521"}, true
	}
	return algorithm{}, false
}

// Algorithm reports whether tokens may be signed with an algorithm of this name.
func Algorithm(name string) bool {
	_, ok := algorithmOf(name)
	return ok
}

// A key is a signing key of an app, ready to verify with its one algorithm.
type key struct {
	id   string
	alg  string
	kind algorithm
	// secret is for HMAC, public for the others.
	secret []byte
	public crypto.PublicKey
}

func newKey(k earshot.SigningKey) (*key, error) {
	kind, ok := algorithmOf(k.Alg)
	if !ok {
		return nil, fmt.Errorf("unknown algorithm %q", k.Alg)
	}
	made := &key{id: k.ID, alg: k.Alg, kind: kind}
	if kind.family == "HS" {
		made.secret = k.Key
		return made, checkSecret(k.Key)
	}
	var err error
	if made.public, err = parsePublic(k.Key); err != nil {
		return nil, err
	}
	return made, kind.fits(made.public)
}

// checkSecret refuses what cannot be meant as a secret. A public key used as
// one is the classic confusion of algorithms (RFC 8725 §2.1).
func checkSecret(secret []byte) error {
	switch {
	case len(secret) == 0:
		return errors.New("the secret is empty")
	case bytes.Contains(secret, []byte(pemBegin)):
		return errors.New("the secret of an HMAC algorithm is a PEM key")
	}
	return nil
}

// weak says why a key is weaker than it should be, empty if it is not.
func (k *key) weak() string {
	if k.kind.family == "HS" && len(k.secret) < k.kind.hash.Size() {
		return fmt.Sprintf("the secret of %d bytes is shorter than the %d that %s asks for (RFC 7518 §3.2): it may be guessed", len(k.secret), k.kind.hash.Size(), k.alg)
	}
	return ""
}

// fits checks that a public key is of the algorithm's type.
func (a algorithm) fits(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if a.family != "RS" && a.family != "PS" {
			return errors.New("an RSA key is for the RS and PS algorithms")
		}
		if p.N.BitLen() < 2048 {
			return errors.New("an RSA key needs 2048 bits (RFC 7518 §3.3)")
		}
	case *ecdsa.PublicKey:
		if a.family != "ES" || p.Curve.Params().Name != a.curve {
			return fmt.Errorf("a key on the curve %s is not for this algorithm", p.Curve.Params().Name)
		}
	case ed25519.PublicKey:
		if a.family != "EdDSA" {
			return errors.New("an Ed25519 key is for EdDSA")
		}
	default:
		return errors.New("a key of an unknown type")
	}
	return nil
}

// verify checks the signature over the bytes as they came, and returns the payload.
func (k *key) verify(token string, h header) ([]byte, error) {
	if h.alg != k.alg {
		return nil, refused("TOKEN_ALG", "the token's alg is not the one of its key")
	}
	o, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.alg)})
	if err != nil {
		return nil, errMalformed()
	}
	if k.kind.family == "HS" && len(k.secret) < k.kind.hash.Size() {
		return k.verifyMAC(token, h) // the library thinks it too short
	}
	var with any = k.public
	if k.secret != nil {
		with = k.secret
	}
	payload, err := o.Verify(with)
	if err != nil {
		return nil, errSignature()
	}
	return payload, nil
}

func (k *key) mac(signed string) []byte {
	m := hmac.New(k.kind.hash.New, k.secret)
	m.Write([]byte(signed))
	return m.Sum(nil)
}

func errSignature() error {
	return refused("TOKEN_SIGNATURE", "the token's signature is not valid")
}

// parsePublic reads a public key in PEM: PKIX or PKCS #1.
func parsePublic(text []byte) (crypto.PublicKey, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	switch b := blocks[0]; b.label {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(b.der)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(b.der)
	}
	return nil, fmt.Errorf("the PEM block is a %q, not a public key", strings.ToLower(blocks[0].label))
}

// DecodeKey reads key material as users of Hotsock have it: PEM as it stands,
// or base64 of either alphabet, padded or not, of the PEM or of the raw secret.
// White space and a literal \n within base64 are dropped.
func DecodeKey(text string) ([]byte, error) {
	if strings.Contains(text, pemBegin) {
		return []byte(text), nil
	}
	packed := strings.ReplaceAll(strings.Join(strings.Fields(text), ""), `\n`, "")
	packed = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(packed), "=")
	b, err := base64.RawStdEncoding.DecodeString(packed)
	if err != nil || len(b) == 0 {
		return nil, errors.New("the key is neither PEM nor base64")
	}
	return b, nil
}
