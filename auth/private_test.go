package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// A private key as people have it.
type privateKey struct {
	name, alg string
	key       crypto.Signer
	label     string
	der       []byte
}

func privateKeys(t *testing.T) []privateKey {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(e)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(k crypto.Signer) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	return []privateKey{
		{"PKCS #8 of RSA", "RS256", r, "PRIVATE KEY", pkcs8(r)},
		{"PKCS #8 of RSA labelled RSA", "PS384", r, "RSA PRIVATE KEY", pkcs8(r)},
		{"PKCS #1", "RS512", r, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)},
		{"PKCS #1 labelled PRIVATE KEY", "PS256", r, "PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)},
		{"PKCS #8 of EC", "ES256", e, "PRIVATE KEY", pkcs8(e)},
		{"PKCS #8 of EC labelled EC", "ES256", e, "EC PRIVATE KEY", pkcs8(e)},
		{"SEC 1", "ES256", e, "EC PRIVATE KEY", sec1},
		{"SEC 1 labelled PRIVATE KEY", "ES256", e, "PRIVATE KEY", sec1},
		{"PKCS #8 of Ed25519", "EdDSA", d, "PRIVATE KEY", pkcs8(d)},
		{"PKCS #8 of Ed25519 labelled EC", "EdDSA", d, "EC PRIVATE KEY", pkcs8(d)},
	}
}

// TestPrivateKeyForms: every form of every key signs.
func TestPrivateKeyForms(t *testing.T) {
	for _, k := range privateKeys(t) {
		v := verifier(t, earshot.SigningKey{Alg: k.alg, Key: encode(t, k.key).public})
		text := string(pem.EncodeToMemory(&pem.Block{Type: k.label, Bytes: k.der}))
		packed := base64.StdEncoding.EncodeToString
		for form, given := range map[string]string{
			"PEM":                       text,
			"with CRLF":                 strings.ReplaceAll(text, "\n", "\r\n"),
			"with literal \\n":          strings.ReplaceAll(text, "\n", `\n`),
			"with literal \\r\\n":       strings.ReplaceAll(text, "\n", `\r\n`),
			"without line breaks":       strings.ReplaceAll(text, "\n", ""),
			"spaces for line breaks":    strings.ReplaceAll(text, "\n", " "),
			"without the last break":    strings.TrimSpace(text),
			"quoted and indented":       `"` + strings.ReplaceAll(text, "\n", "\n\t  ") + `"`,
			"after another block":       "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + text,
			"base64 of PEM":             packed([]byte(text)),
			"base64 of PEM in lines":    packed([]byte(text))[:40] + "\n" + packed([]byte(text))[40:] + `\n`,
			"base64url without padding": base64.RawURLEncoding.EncodeToString([]byte(text)),
			"base64 of one line":        packed([]byte(strings.ReplaceAll(text, "\n", ""))),
			"base64 of PEM with \\n":    packed([]byte(strings.ReplaceAll(text, "\n", `\n`))),
			"base64 of DER":             packed(k.der),
			"DER":                       string(k.der),
		} {
			t.Run(k.name+", "+form, func(t *testing.T) {
				token := issue(t, earshot.SigningKey{Alg: k.alg, Key: []byte(given)}, fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
				if _, err := v.Verify(token, nil, whole); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestBadPrivateKeys: what cannot be read is refused by a reason that shows
// nothing of the key.
func TestBadPrivateKeys(t *testing.T) {
	k := privateKeys(t)[5]
	text := string(pem.EncodeToMemory(&pem.Block{Type: k.label, Bytes: k.der}))
	lines := strings.Split(text, "\n")
	for name, c := range map[string]struct{ key, want string }{
		"nothing":           {"", "neither PEM nor base64"},
		"words":             {"not a key!", "neither PEM nor base64"},
		"base64 of words":   {"bm90IGEga2V5IGF0IGFsbA==", "damaged"},
		"encrypted PKCS #8": {strings.ReplaceAll(text, "EC PRIVATE", "ENCRYPTED PRIVATE"), "encrypted"},
		"encrypted as of old": {
			lines[0] + "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + strings.Join(lines[1:], "\n"), "encrypted",
		},
		"base64 of encrypted": {
			base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(text, "EC PRIVATE", "ENCRYPTED PRIVATE"))), "encrypted",
		},
		"OpenSSH":     {strings.ReplaceAll(text, "EC PRIVATE", "OPENSSH PRIVATE"), "OpenSSH"},
		"cut off":     {text[:len(text)/2], "cut off"},
		"a line less": {lines[0] + "\n" + lines[2] + "\n" + strings.Join(lines[3:], "\n"), "damaged"},
		"no base64":   {lines[0] + "\n%%%%\n" + lines[len(lines)-2], "damaged"},
		"public":      {string(encode(t, k.key).public), "not a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := auth.NewIssuer(earshot.SigningKey{Alg: "ES256", Key: []byte(c.key)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			if strings.Contains(err.Error(), lines[1][:16]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// FuzzPrivateKey: whatever is given, it is refused or signs.
func FuzzPrivateKey(f *testing.F) {
	for _, k := range []string{
		"", "-----BEGIN -----", "-----BEGIN EC PRIVATE KEY-----\\nMIGH\\n-----END EC PRIVATE KEY-----", "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----", "LS0tLS1CRUdJTiA=",
	} {
		f.Add(k, "ES256")
		f.Add(k, "RS256")
		f.Add(k, "EdDSA")
	}
	f.Fuzz(func(t *testing.T, key, alg string) {
		i, err := auth.NewIssuer(earshot.SigningKey{Alg: alg, Key: []byte(key)})
		if err != nil {
			return
		}
		if _, err := i.Issue([]byte(`{}`)); err != nil {
			t.Errorf("the key is accepted and does not sign: %v", err)
		}
	})
}
