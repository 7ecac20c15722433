package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	key     *key
	private crypto.Signer // nil for HMAC
	header  string        // in base64, as every token begins
}

// NewIssuer makes an issuer. The key's Key is the secret of an HMAC algorithm as
// it stands, else the private key: PKCS #8, PKCS #1 or SEC 1 under any label, in
// PEM, DER or base64 of either. Line breaks of a PEM text may be written as \n
// or be missing. An encrypted key is refused. The key's ID becomes the kid of
// the tokens, if it has one.
func NewIssuer(k earshot.SigningKey) (*Issuer, error) {
	kind, ok := algorithmOf(k.Alg)
	if !ok {
		return nil, fmt.Errorf("unknown algorithm %q", k.Alg)
	}
	i := &Issuer{key: &key{id: k.ID, alg: k.Alg, kind: kind}}
	if err := i.use(k.Key); err != nil {
		return nil, err
	}
	h := map[string]string{"typ": "JWT", "alg": k.Alg}
	if k.ID != "" {
		h["kid"] = k.ID
	}
	b, err := json.Marshal(h, json.Deterministic(true))
	i.header = base64.RawURLEncoding.EncodeToString(b)
	return i, err
}

// use takes the key that signs.
func (i *Issuer) use(material []byte) (err error) {
	if i.key.kind.family == "HS" {
		i.key.secret = material
		return checkSecret(material)
	}
	if i.private, err = parsePrivate(material); err != nil {
		return err
	}
	return i.key.kind.fits(i.private.Public())
}

// Issue signs claims, a JSON object, as they stand.
func (i *Issuer) Issue(claims []byte) (string, error) {
	if v := jsontext.Value(claims); !v.IsValid() || v.Kind() != '{' {
		return "", errors.New("claims are a JSON object")
	}
	signed := i.header + "." + base64.RawURLEncoding.EncodeToString(claims)
	signature, err := i.sign(signed)
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// sign makes the signature over the bytes of header and claims (RFC 7518 §3.2
// to §3.5, RFC 8037 §3.1).
func (i *Issuer) sign(signed string) ([]byte, error) {
	kind := i.key.kind
	switch p := i.private.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(p, []byte(signed)), nil
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, p, kind.digest(signed))
		if err != nil {
			return nil, err
		}
		size := (p.Params().BitSize + 7) / 8
		signature := make([]byte, 2*size)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
		return signature, nil
	case *rsa.PrivateKey:
		if kind.family == "PS" {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return rsa.SignPSS(rand.Reader, p, kind.hash, kind.digest(signed), options)
		}
		return rsa.SignPKCS1v15(rand.Reader, p, kind.hash, kind.digest(signed))
	}
	return i.key.mac(signed), nil
}

func (a algorithm) digest(signed string) []byte {
	h := a.hash.New()
	h.Write([]byte(signed))
	return h.Sum(nil)
}

// Inspect returns the header and the claims of a token as they stand, without
// verifying anything: for people, never for a decision.
func Inspect(token string) (header, claims []byte, err error) {
	if _, err := parseHeader(token); err != nil {
		return nil, nil, err
	}
	parts := strings.Split(token, ".")
	if header, err = base64.RawURLEncoding.DecodeString(parts[0]); err != nil {
		return nil, nil, errMalformed()
	}
	if claims, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil {
		return nil, nil, errMalformed()
	}
	return header, claims, nil
}

// NewSecret draws a secret for HS256: 43 printable characters, 256 bits.
func NewSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, by its contract
	return base64.RawURLEncoding.EncodeToString(b)
}

// NewPublishKey draws a bearer key: 40 letters and digits, 238 bits.
func NewPublishKey() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, 40)
	var draw [64]byte
	for {
		_, _ = rand.Read(draw[:]) // never fails, by its contract
		for _, b := range draw {
			// Bytes beyond the last multiple of 62 would favour some letters.
			if b < 4*62 {
				out = append(out, letters[b%62])
			}
			if len(out) == cap(out) {
				return string(out)
			}
		}
	}
}
