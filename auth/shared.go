package auth

import (
	"crypto/hmac"
	"encoding/base64"
	"strings"

	"github.com/earshot-io/earshot"
)

// sharedKeys are what an app shares with its own servers, as keys of tokens: its
// secrets, the newest first, and its key where it accepts tokens that are signed
// with that. Each verifies with HMAC, by the hash that a token names.
func sharedKeys(a *earshot.App) []*key {
	var all []*key
	for _, s := range a.Secrets {
		if s != "" {
			all = append(all, &key{kind: algorithm{family: "HS"}, secret: []byte(s)})
		}
	}
	if a.KeySigned && a.Key != "" {
		all = append(all, &key{kind: algorithm{family: "HS"}, secret: []byte(a.Key)})
	}
	return all
}

// anyHash is the shared key for one token: of the hash that its header names. It
// fails for every algorithm but HS256, HS384 and HS512.
func (k *key) anyHash(h header) (*key, error) {
	kind, ok := algorithmOf(h.alg)
	if !ok || kind.family != "HS" {
		return nil, refused("TOKEN_ALG", "the token's alg is not one of HMAC")
	}
	return &key{alg: h.alg, kind: kind, secret: k.secret}, nil
}

// verifyMAC checks an HMAC over the bytes as they came, whatever the length of the
// secret, and returns the payload.
func (k *key) verifyMAC(token string, h header) ([]byte, error) {
	signature, err := base64.RawURLEncoding.DecodeString(token[h.signed+1:])
	if err != nil || !hmac.Equal(signature, k.mac(token[:h.signed])) {
		return nil, errSignature()
	}
	first := strings.IndexByte(token, '.')
	payload, err := base64.RawURLEncoding.DecodeString(token[first+1 : h.signed])
	if err != nil {
		return nil, errMalformed()
	}
	return payload, nil
}
