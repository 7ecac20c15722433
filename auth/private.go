package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

var errEncrypted = errors.New("the private key is encrypted; decrypt it first, as with `openssl pkey`")

// parsePrivate reads a private key: PKCS #8, PKCS #1 or SEC 1, whatever its
// label says, in PEM or DER, or either of them in base64 as an environment
// variable may hold it.
func parsePrivate(text []byte) (crypto.Signer, error) {
	if bytes.Contains(text, []byte(pemBegin)) {
		return privatePEM(text)
	}
	if private, err := privateDER(text); err == nil {
		return private, nil
	}
	unpacked, err := DecodeKey(string(text))
	switch {
	case err != nil:
		return nil, errors.New("the private key is neither PEM nor base64 of it")
	case bytes.Contains(unpacked, []byte(pemBegin)):
		return privatePEM(unpacked)
	}
	return privateDER(unpacked)
}

// privatePEM reads the first private key of a PEM text. Others may stand before
// it, such as the parameters of its curve.
func privatePEM(text []byte) (crypto.Signer, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	for _, b := range blocks {
		switch {
		case b.encrypted:
			return nil, errEncrypted
		case b.label == "OPENSSH PRIVATE KEY":
			return nil, errors.New("the private key is in the form of OpenSSH; `ssh-keygen -p -m pkcs8` changes it")
		case strings.HasSuffix(b.label, "PRIVATE KEY"):
			return privateDER(b.der)
		}
	}
	return nil, fmt.Errorf("the PEM block is a %q, not a private key", strings.ToLower(blocks[0].label))
}

// privateDER reads a key by its content: labels are often wrong.
func privateDER(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		switch p := key.(type) {
		case *rsa.PrivateKey:
			return p, nil
		case *ecdsa.PrivateKey:
			return p, nil
		case ed25519.PrivateKey:
			return p, nil
		}
		return nil, errors.New("a private key of an unknown type")
	}
	if p, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return p, nil
	}
	if p, err := x509.ParseECPrivateKey(der); err == nil {
		return p, nil
	}
	return nil, errors.New("the private key is none of PKCS #8, PKCS #1 and SEC 1, or it is damaged")
}

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemDash  = "-----"
)

// A pemBlock is one block of a PEM text.
type pemBlock struct {
	label     string
	der       []byte
	encrypted bool
}

// pemBlocks reads a PEM text as it arrives through environments and files of
// settings: a line break may be written as \n or be missing, and there may be
// other white space, quotes or words around and between. There is at least one.
func pemBlocks(text []byte) (blocks []pemBlock, err error) {
	s := strings.NewReplacer(`\r`, "", `\n`, "\n").Replace(string(text))
	for {
		_, rest, found := strings.Cut(s, pemBegin)
		if !found {
			break
		}
		label, rest, found := strings.Cut(rest, pemDash)
		body, after, ended := strings.Cut(rest, pemEnd+label+pemDash)
		if !found || !ended {
			return nil, errors.New("the key in PEM is cut off")
		}
		b := pemBlock{label: label, encrypted: label == "ENCRYPTED PRIVATE KEY" || strings.Contains(body, ": 4,ENCRYPTED")}
		if b.der, err = pemBody(body); err != nil && !b.encrypted {
			return nil, err
		}
		blocks, s = append(blocks, b), after
	}
	if len(blocks) == 0 {
		return nil, errors.New("the key is not in PEM")
	}
	return blocks, nil
}

// pemBody decodes what is between the dashes. Headers (RFC 1421 §4.4) are
// skipped: all that they say of a key is how it is encrypted.
func pemBody(body string) ([]byte, error) {
	packed := &strings.Builder{}
	for line := range strings.Lines(body) {
		if !strings.Contains(line, ":") {
			packed.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(packed.String(), "="))
	if err != nil || len(der) == 0 {
		return nil, errors.New("the key in PEM is damaged")
	}
	return der, nil
}
