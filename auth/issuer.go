package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	key    *key
	signer jose.Signer // nil for HMAC
	header string      // HMAC only
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
	if kind.family == "HS" {
		i.key.secret = k.Key
		return i, i.useSecret()
	}
	private, err := parsePrivate(k.Key)
	if err != nil {
		return nil, err
	}
	if err := kind.fits(private.Public()); err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if k.ID != "" {
		options = options.WithHeader("kid", k.ID)
	}
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Alg), Key: private}, options)
	return i, err
}

func (i *Issuer) useSecret() error {
	if err := checkSecret(i.key.secret); err != nil {
		return err
	}
	h := map[string]string{"typ": "JWT", "alg": i.key.alg}
	if i.key.id != "" {
		h["kid"] = i.key.id
	}
	b, err := json.Marshal(h, json.Deterministic(true))
	i.header = base64.RawURLEncoding.EncodeToString(b)
	return err
}

// Issue signs claims, a JSON object, as they stand.
func (i *Issuer) Issue(claims []byte) (string, error) {
	if v := jsontext.Value(claims); !v.IsValid() || v.Kind() != '{' {
		return "", errors.New("claims are a JSON object")
	}
	if i.signer == nil {
		signed := i.header + "." + base64.RawURLEncoding.EncodeToString(claims)
		return signed + "." + base64.RawURLEncoding.EncodeToString(i.key.mac(signed)), nil
	}
	o, err := i.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return o.CompactSerialize()
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
