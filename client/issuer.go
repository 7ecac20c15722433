package client

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// An Issuer signs tokens. It is safe for concurrent use, has parsed its key when
// it is made, and is meant to be made once.
type Issuer struct {
	signer *auth.Issuer
	// aud and iss are JSON strings, nil for no default.
	aud, iss []byte
	iat, jti bool
	ttl      int64 // seconds, 0 for no default
}

// defaultAlgorithm is the one of the Ruby library.
const defaultAlgorithm = "ES256"

// NewIssuer makes an issuer. It fails with a *ConfigError.
func NewIssuer(c Config) (*Issuer, error) {
	if err := Need("IssuerPrivateKey", c.IssuerPrivateKey, "issuing tokens needs a key"); err != nil {
		return nil, err
	}
	if ttl := c.IssuerTokenTTL; ttl != 0 && ttl < time.Second {
		return nil, &ConfigError{Field: "IssuerTokenTTL", Text: "is " + ttl.String() + ", less than a second: 10*time.Second is ten of them"}
	}
	key := []byte(c.IssuerPrivateKey)
	if c.IssuerPrivateKeyBase64 {
		var err error
		if key, err = auth.DecodeKey(c.IssuerPrivateKey); err != nil {
			return nil, &ConfigError{Field: "IssuerPrivateKey", Text: "is not base64, though IssuerPrivateKeyBase64 says so"}
		}
	}
	alg := cmp.Or(c.IssuerKeyAlgorithm, defaultAlgorithm)
	if !auth.Algorithm(alg) {
		return nil, &ConfigError{Field: "IssuerKeyAlgorithm", Text: "is " + strconv.Quote(alg) + ", and not HS, RS, PS or ES with 256, 384 or 512, nor EdDSA"}
	}
	signer, err := auth.NewIssuer(earshot.SigningKey{ID: c.IssuerKeyID, Alg: alg, Key: key})
	if err != nil {
		return nil, &ConfigError{Field: "IssuerPrivateKey", Text: "cannot sign with " + alg, Err: err}
	}
	i := &Issuer{signer: signer, iat: c.IssuerIatClaim, jti: c.IssuerJtiClaim, ttl: int64(c.IssuerTokenTTL / time.Second)}
	if i.aud, err = claim("IssuerAudClaim", c.IssuerAudClaim); err != nil {
		return nil, err
	}
	if i.iss, err = claim("IssuerIssClaim", c.IssuerIssClaim); err != nil {
		return nil, err
	}
	return i, nil
}

// claim is a default as JSON, nil for none.
func claim(field, value string) ([]byte, error) {
	if value == "" {
		return nil, nil
	}
	text, err := encode(value)
	if err != nil {
		return nil, &ConfigError{Field: field, Text: "cannot be a claim", Err: err}
	}
	return text, nil
}

// Issue signs claims: a Claims, a map, a json.RawMessage or a struct of the
// program's own, of which encoding/json makes an object; nil is the empty one.
//
// The defaults of the Config are added, each unless the claims have a member of
// that name: then theirs counts. A null for one of aud, exp, iat, iss and jti
// takes the default away, and is not in the token. Other members are signed as
// they are. No member is in a token twice; claims that have one twice are
// refused.
func (i *Issuer) Issue(claims any) (string, error) {
	text := []byte("{}")
	if claims != nil {
		var err error
		if text, err = encode(claims); err != nil {
			return "", fmt.Errorf("client: claims: %w", err)
		}
	}
	text, err := i.complete(text, time.Now().Unix())
	if err != nil {
		return "", fmt.Errorf("client: claims: %w", err)
	}
	return i.signer.Issue(text)
}

// The claims that have a default.
const (
	claimAud = 1 << iota
	claimExp
	claimIat
	claimIss
	claimJti
)

// defaulted returns the bit of a claim that has a default, 0 for another.
func defaulted(name string) int {
	switch name {
	case "aud":
		return claimAud
	case "exp":
		return claimExp
	case "iat":
		return claimIat
	case "iss":
		return claimIss
	case "jti":
		return claimJti
	}
	return 0
}

// complete adds the defaults.
func (i *Issuer) complete(claims []byte, now int64) ([]byte, error) {
	w, said := objectWriter{text: make([]byte, 0, len(claims)+256)}, 0
	err := members(claims, func(name string, value []byte) error {
		bit := defaulted(name)
		said |= bit
		if bit != 0 && string(value) == "null" {
			return nil
		}
		return w.member(name, value)
	})
	if err != nil {
		return nil, err
	}
	add := func(bit int, wanted bool, name string, value func() []byte) {
		if wanted && said&bit == 0 {
			err = errors.Join(err, w.member(name, value()))
		}
	}
	add(claimAud, i.aud != nil, "aud", func() []byte { return i.aud })
	add(claimIat, i.iat, "iat", func() []byte { return strconv.AppendInt(nil, now, 10) })
	add(claimIss, i.iss != nil, "iss", func() []byte { return i.iss })
	add(claimJti, i.jti, "jti", newUUID)
	add(claimExp, i.ttl > 0, "exp", func() []byte { return strconv.AppendInt(nil, now+i.ttl, 10) })
	return w.end(), err
}

// newUUID draws a random UUID (RFC 9562 §5.4), as a JSON string.
func newUUID() []byte {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := append(make([]byte, 0, 38), '"')
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return append(text, '"')
}
