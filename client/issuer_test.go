package client_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/earshot-io/earshot/client"
)

const secret = "a secret of more than sixty-four bytes, so that it is long enough for every HMAC"

// mislabelled is PKCS #8 that calls itself SEC 1, with a bare \n for each line
// break, as the Ruby library's manual shows one. It was made for this test.
const mislabelled = `-----BEGIN EC PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3iHFUgjXYnGfqbY1\ngreGbRRAgS2jP0JEBpVtHD3rWZmhRANCAAQ0+xVrTEOaGeJBs+JQys3wGtupRyQ5\nuJa2uUAiYboATVPDVdOjDpxQAJPCFKW2HI8aKpeq1slxhuh7nLm/fDna\n-----END EC PRIVATE KEY-----`

// A keyPair is a private key in PEM and what verifies with it.
type keyPair struct {
	private string
	public  any
}

func newKeyPair(t testing.TB, k crypto.Signer) keyPair {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), k.Public()}
}

func newCurveKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// keyPairs are one for each algorithm.
func keyPairs(t testing.TB) map[string]keyPair {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pairs := map[string]keyPair{
		"EdDSA": newKeyPair(t, ed),
		"ES256": newKeyPair(t, newCurveKey(t, elliptic.P256())),
		"ES384": newKeyPair(t, newCurveKey(t, elliptic.P384())),
		"ES512": newKeyPair(t, newCurveKey(t, elliptic.P521())),
	}
	for _, bits := range []string{"256", "384", "512"} {
		pairs["RS"+bits], pairs["PS"+bits] = newKeyPair(t, r), newKeyPair(t, r)
		pairs["HS"+bits] = keyPair{secret, []byte(secret)}
	}
	return pairs
}

// verify checks a token with another library and returns what it says.
func verify(t testing.TB, token, alg string, key any) (header map[string]any, claims jwt.MapClaims) {
	t.Helper()
	parsed, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods([]string{alg}), jwt.WithoutClaimsValidation())
	if err != nil {
		t.Fatalf("%s: %v", alg, err)
	}
	return parsed.Header, parsed.Claims.(jwt.MapClaims)
}

// payload is the text of the claims.
func payload(t testing.TB, token string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func newIssuer(t testing.TB, c client.Config) *client.Issuer {
	t.Helper()
	i, err := client.NewIssuer(c)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestEveryAlgorithm: another library verifies what each of them signs, and
// refuses it when it was changed.
func TestEveryAlgorithm(t *testing.T) {
	pairs := keyPairs(t)
	if len(pairs) != 13 {
		t.Fatalf("there are %d algorithms, want 13", len(pairs))
	}
	for alg, pair := range pairs {
		t.Run(alg, func(t *testing.T) {
			for form, c := range map[string]client.Config{
				"as it is":       {IssuerPrivateKey: pair.private},
				"base64":         {IssuerPrivateKey: base64.StdEncoding.EncodeToString([]byte(pair.private)), IssuerPrivateKeyBase64: true},
				"base64 in line": {IssuerPrivateKey: base64.StdEncoding.EncodeToString([]byte(pair.private))[:20] + `\n` + base64.StdEncoding.EncodeToString([]byte(pair.private))[20:], IssuerPrivateKeyBase64: true},
			} {
				c.IssuerKeyAlgorithm, c.IssuerKeyID = alg, "95616b70"
				token, err := newIssuer(t, c).Issue(map[string]any{"uid": "jim", "exp": 1})
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				header, claims := verify(t, token, alg, pair.public)
				if header["alg"] != alg || header["typ"] != "JWT" || header["kid"] != "95616b70" || len(header) != 3 {
					t.Errorf("%s: the header is %v", form, header)
				}
				if claims["uid"] != "jim" || claims["exp"] != 1.0 || len(claims) != 2 {
					t.Errorf("%s: the claims are %v", form, claims)
				}
				parts := strings.Split(token, ".")
				parts[1] = base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"bob"}`))
				if _, err := jwt.Parse(strings.Join(parts, "."), func(*jwt.Token) (any, error) { return pair.public, nil }); err == nil {
					t.Error("a changed token is verified")
				}
			}
		})
	}
}

// TestDefaultAlgorithm: it is ES256, and there is no kid that nobody gave.
func TestDefaultAlgorithm(t *testing.T) {
	pair := newKeyPair(t, newCurveKey(t, elliptic.P256()))
	token, err := newIssuer(t, client.Config{IssuerPrivateKey: pair.private}).Issue(nil)
	if err != nil {
		t.Fatal(err)
	}
	header, claims := verify(t, token, "ES256", pair.public)
	if len(header) != 2 || len(claims) != 0 {
		t.Errorf("got %v, %v", header, claims)
	}
}

// TestSecretIsRaw: a secret that looks like base64 is used as it is.
func TestSecretIsRaw(t *testing.T) {
	looks := base64.StdEncoding.EncodeToString([]byte(secret))
	token, err := newIssuer(t, client.Config{IssuerPrivateKey: looks, IssuerKeyAlgorithm: "HS256"}).Issue(nil)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, token, "HS256", []byte(looks))
}

// TestManualsKey: the form in which the Ruby library's manual shows a key.
func TestManualsKey(t *testing.T) {
	key := strings.ReplaceAll(mislabelled, `\n`, "\n")
	block, _ := pem.Decode([]byte(key))
	if block == nil || block.Type != "EC PRIVATE KEY" {
		t.Fatal("the key is not in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		t.Fatal("the key is what it calls itself")
	}
	for _, form := range []string{mislabelled, key, base64.StdEncoding.EncodeToString([]byte(key)), base64.StdEncoding.EncodeToString([]byte(mislabelled))} {
		token, err := newIssuer(t, client.Config{IssuerPrivateKey: form}).Issue(map[string]any{"scope": "connect"})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, token, "ES256", parsed.(crypto.Signer).Public())
	}
}

// TestDefaults: each default is there if it is configured, and only if the
// claims do not say otherwise.
func TestDefaults(t *testing.T) {
	all := client.Config{
		IssuerAudClaim: "hotsock", IssuerIatClaim: true, IssuerIssClaim: "an app", IssuerJtiClaim: true, IssuerTokenTTL: 10*time.Second + time.Millisecond,
	}
	synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01, 946684800
		for name, c := range map[string]struct {
			config client.Config
			claims any
			want   string
		}{
			"none":     {client.Config{}, map[string]any{"uid": "u"}, `{"uid":"u"}`},
			"nothing":  {client.Config{}, nil, `{}`},
			"all":      {all, map[string]any{"uid": "u"}, `{"uid":"u","aud":"hotsock","iat":946684800,"iss":"an app","jti":"UUID","exp":946684810}`},
			"only aud": {client.Config{IssuerAudClaim: "a"}, nil, `{"aud":"a"}`},
			"only iat": {client.Config{IssuerIatClaim: true}, nil, `{"iat":946684800}`},
			"only iss": {client.Config{IssuerIssClaim: "i"}, nil, `{"iss":"i"}`},
			"only jti": {client.Config{IssuerJtiClaim: true}, nil, `{"jti":"UUID"}`},
			"only exp": {client.Config{IssuerTokenTTL: time.Minute}, nil, `{"exp":946684860}`},
			"overridden": {
				all,
				map[string]any{"aud": []string{"x", "y"}, "exp": 5, "iat": 6, "iss": "z", "jti": "j"},
				`{"aud":["x","y"],"exp":5,"iat":6,"iss":"z","jti":"j"}`,
			},
			"taken away": {all, json.RawMessage(`{"aud":null,"exp":null,"iat":null,"iss":null,"jti":null,"umd":null}`), `{"umd":null}`},
			"by Claims": {
				all,
				client.Claims{Audience: []string{"x"}, Expires: time.Unix(5, 9), IssuedAt: time.Unix(6, 0), Issuer: "z", ID: "j"},
				`{"exp":5,"iat":6,"aud":"x","iss":"z","jti":"j"}`,
			},
			"by Extra":   {all, client.Claims{Expires: time.Unix(5, 0), Extra: map[string]any{"exp": nil, "aud": "x", "iat": nil, "iss": nil, "jti": nil}}, `{"aud":"x"}`},
			"by escapes": {client.Config{IssuerAudClaim: "a"}, json.RawMessage("{\"\\u0061ud\":1}"), `{"aud":1}`},
			"a struct": {
				client.Config{IssuerIssClaim: "i"},
				struct {
					UID string `json:"uid"`
					No  string `json:"no,omitempty"`
				}{UID: "<u>"},
				`{"uid":"<u>","iss":"i"}`,
			},
		} {
			c.config.IssuerPrivateKey, c.config.IssuerKeyAlgorithm = secret, "HS256"
			token, err := newIssuer(t, c.config).Issue(c.claims)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			uuid := regexp.MustCompile(`"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`)
			if got := uuid.ReplaceAllString(payload(t, token), `"UUID"`); got != c.want {
				t.Errorf("%s: got %s, want %s", name, got, c.want)
			}
		}
	})
}

// TestJtiIsUnique also signs from many places at once.
func TestJtiIsUnique(t *testing.T) {
	i := newIssuer(t, client.Config{IssuerPrivateKey: secret, IssuerKeyAlgorithm: "HS256", IssuerJtiClaim: true})
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 8 {
		all.Go(func() {
			for range 50 {
				token, err := i.Issue(nil)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[token] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) != 400 {
		t.Errorf("400 tokens are only %d different ones", len(seen))
	}
}

func TestBadClaims(t *testing.T) {
	i := newIssuer(t, client.Config{IssuerPrivateKey: secret, IssuerKeyAlgorithm: "HS256"})
	for name, claims := range map[string]any{
		"a list":           []string{"a"},
		"a string":         "a",
		"bytes":            []byte(`{"a":1}`),
		"a channel":        make(chan int),
		"not JSON":         json.RawMessage(`{`),
		"twice":            json.RawMessage(`{"exp":1,"exp":2}`),
		"twice, in escape": json.RawMessage("{\"exp\":1,\"\\u0065xp\":2}"),
		"twice within":     json.RawMessage(`{"channels":{"a":{},"a":{}}}`),
		"not UTF-8":        json.RawMessage("{\"a\":\"\xff\"}"),
	} {
		if token, err := i.Issue(claims); err == nil {
			t.Errorf("%s: got %s, want an error", name, payload(t, token))
		}
	}
}

// TestIssuerConfig: what is missing or wrong is named.
func TestIssuerConfig(t *testing.T) {
	ec := newKeyPair(t, newCurveKey(t, elliptic.P256())).private
	for name, c := range map[string]struct {
		config      client.Config
		field, want string
	}{
		"no key":         {client.Config{}, "IssuerPrivateKey", "is missing"},
		"another alg":    {client.Config{IssuerPrivateKey: ec, IssuerKeyAlgorithm: "none"}, "IssuerKeyAlgorithm", `"none"`},
		"lower case":     {client.Config{IssuerPrivateKey: ec, IssuerKeyAlgorithm: "es256"}, "IssuerKeyAlgorithm", `"es256"`},
		"no PEM":         {client.Config{IssuerPrivateKey: secret}, "IssuerPrivateKey", "neither PEM nor base64"},
		"another curve":  {client.Config{IssuerPrivateKey: ec, IssuerKeyAlgorithm: "ES384"}, "IssuerPrivateKey", "P-256"},
		"another type":   {client.Config{IssuerPrivateKey: ec, IssuerKeyAlgorithm: "RS256"}, "IssuerPrivateKey", "P-256"},
		"PEM as secret":  {client.Config{IssuerPrivateKey: ec, IssuerKeyAlgorithm: "HS256"}, "IssuerPrivateKey", "PEM"},
		"not base64":     {client.Config{IssuerPrivateKey: "%", IssuerKeyAlgorithm: "HS256", IssuerPrivateKeyBase64: true}, "IssuerPrivateKey", "not base64"},
		"nanoseconds":    {client.Config{IssuerPrivateKey: ec, IssuerTokenTTL: 10}, "IssuerTokenTTL", "10ns"},
		"a negative TTL": {client.Config{IssuerPrivateKey: ec, IssuerTokenTTL: -time.Minute}, "IssuerTokenTTL", "-1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.NewIssuer(c.config)
			var e *client.ConfigError
			if !errors.As(err, &e) || e.Field != c.field || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "Config."+c.field) {
				t.Errorf("got %v, want one of %s with %q", err, c.field, c.want)
			}
		})
	}
}

// BenchmarkIssuer signs typical claims with each algorithm. The floor is the
// signature alone.
func BenchmarkIssuer(b *testing.B) {
	claims := client.Claims{
		Scope: client.ScopeConnect, UID: "jim", Channels: map[string]client.ChannelClaims{"user.7": {Subscribe: client.Allow}},
	}
	for alg, pair := range keyPairs(b) {
		b.Run(alg, func(b *testing.B) {
			i := newIssuer(b, client.Config{
				IssuerPrivateKey: pair.private, IssuerKeyAlgorithm: alg, IssuerTokenTTL: time.Minute, IssuerIatClaim: true, IssuerJtiClaim: true,
			})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := i.Issue(claims); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
	b.Run("floor of ES256", func(b *testing.B) {
		k, digest := newCurveKey(b, elliptic.P256()), make([]byte, 32)
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, k, digest); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	})
}
