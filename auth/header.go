package auth

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A header is what the choice of the key needs of a token's header. Nothing in
// it is trusted before the signature is verified.
type header struct {
	alg, kid string
	// signed is how many bytes of the token the signature covers.
	signed int
}

// maxKeyID is how many bytes a kid may have.
const maxKeyID = 256

// parseHeader reads the header of a compact token (RFC 7515 §3.1). Members that
// would bring a key along or change how the token is read are refused
// (RFC 8725 §3.10): keys come from the configuration alone.
func parseHeader(token string) (header, error) {
	if token == "" {
		return header{}, refused("TOKEN_MISSING", "a token is needed")
	}
	if len(token) > MaxToken {
		return header{}, refused("TOKEN_LARGE", "the token is larger than 8 KiB")
	}
	first, last := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	if first == last || strings.Count(token, ".") != 2 || !urlSafe(token) {
		return header{}, errMalformed()
	}
	if !canonical(token[:first]) || !canonical(token[first+1:last]) || !canonical(token[last+1:]) {
		return header{}, errMalformed()
	}
	raw, err := base64.RawURLEncoding.DecodeString(token[:first])
	if err != nil {
		return header{}, errMalformed()
	}
	var h struct {
		Alg  string         `json:"alg"`
		Kid  *string        `json:"kid"`
		Crit jsontext.Value `json:"crit"`
		B64  jsontext.Value `json:"b64"`
		Zip  jsontext.Value `json:"zip"`
		Jku  jsontext.Value `json:"jku"`
		Jwk  jsontext.Value `json:"jwk"`
		X5u  jsontext.Value `json:"x5u"`
		X5c  jsontext.Value `json:"x5c"`
	}
	if json.Unmarshal(raw, &h) != nil {
		return header{}, errMalformed()
	}
	for _, v := range []jsontext.Value{h.Crit, h.B64, h.Zip, h.Jku, h.Jwk, h.X5u, h.X5c} {
		if v != nil {
			return header{}, refused("TOKEN_HEADER", "the token's header has a member that is not accepted: crit, b64, zip, jku, jwk, x5u or x5c")
		}
	}
	parsed := header{alg: h.Alg, signed: last}
	if h.Kid != nil {
		parsed.kid = *h.Kid
	}
	if len(parsed.kid) > maxKeyID {
		return header{}, refused("TOKEN_KEY", "the token's kid is too long")
	}
	return parsed, nil
}

func errMalformed() error {
	return refused("TOKEN_MALFORMED", "the token is not a signed JWT in compact form")
}

// urlSafe reports whether s has only characters of base64url and dots; the
// decoders would skip line breaks.
func urlSafe(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// canonical reports whether the base64url text s is the one way to write its
// bytes: the bits that its last letter has to spare are zero (RFC 4648 §3.5).
// Otherwise one token had several texts, all with a right signature.
func canonical(s string) bool {
	var spare byte
	switch len(s) % 4 {
	case 0:
		return true
	case 1:
		return false
	case 2:
		spare = 0b1111
	case 3:
		spare = 0b11
	}
	return sextet(s[len(s)-1])&spare == 0
}

// sextet is the value of a letter of base64url.
func sextet(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A'
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26
	case '0' <= c && c <= '9':
		return c - '0' + 52
	case c == '-':
		return 62
	}
	return 63
}
