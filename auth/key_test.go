package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

func TestKeyForms(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pair := encode(t, r)
	public := string(pair.public)
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&r.PublicKey)}))
	private1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)}))
	literal := strings.ReplaceAll(public, "\n", `\n`)
	packed := base64.StdEncoding.EncodeToString(pair.public)
	token := issue(t, earshot.SigningKey{Alg: "RS256", Key: []byte(private1)}, fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
	for name, text := range map[string]string{
		"PKIX":                    public,
		"PKCS #1":                 pkcs1,
		"literal \\n":             literal,
		"indented":                "  " + strings.ReplaceAll(public, "\n", "\n\t  ") + "  ",
		"carriage returns":        strings.ReplaceAll(public, "\n", "\r\n"),
		"base64 of PEM":           packed,
		"of PEM with literal \\n": base64.StdEncoding.EncodeToString([]byte(literal)),
		"base64 in lines":         packed[:64] + "\n" + packed[64:128] + `\n` + packed[128:] + `\n`,
		"base64url, no padding":   base64.RawURLEncoding.EncodeToString(pair.public),
	} {
		t.Run(name, func(t *testing.T) {
			k, err := auth.DecodeKey(text)
			if err != nil {
				t.Fatal(err)
			}
			v := verifier(t, earshot.SigningKey{Alg: "RS256", Key: k})
			if _, err := v.Verify(token, nil, whole); err != nil {
				t.Error(err)
			}
		})
	}
	for _, text := range []string{"", "  ", "%%%", "="} {
		if _, err := auth.DecodeKey(text); err == nil {
			t.Errorf("DecodeKey(%q) is accepted", text)
		}
	}
	if k, err := auth.DecodeKey("aGVs bG8\n"); err != nil || string(k) != "hello" {
		t.Errorf("got %q, %v, want hello", k, err)
	}
}

func TestBadKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, ec := encode(t, large), encode(t, p256)
	for name, k := range map[string]earshot.SigningKey{
		"none":                 {Alg: "none", Key: []byte("x")},
		"no algorithm":         {Key: []byte("x")},
		"lower case":           {Alg: "hs256", Key: []byte(secret)},
		"empty secret":         {Alg: "HS256"},
		"a public key as hmac": {Alg: "HS256", Key: rs.public},
		"a small RSA key":      {Alg: "RS256", Key: encode(t, small).public},
		"RSA for ES":           {Alg: "ES256", Key: rs.public},
		"EC for RS":            {Alg: "RS256", Key: ec.public},
		"EC for EdDSA":         {Alg: "EdDSA", Key: ec.public},
		"another curve":        {Alg: "ES384", Key: ec.public},
		"a private key":        {Alg: "ES256", Key: ec.private},
		"no PEM":               {Alg: "ES256", Key: []byte("hello")},
		"PEM of nothing":       {Alg: "ES256", Key: []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := auth.NewDirectory([]*earshot.App{{Slug: "dev", SigningKeys: []earshot.SigningKey{k}}})
			if err == nil {
				t.Error("the key is accepted")
			}
			if err != nil && len(k.Key) > 8 && strings.Contains(err.Error(), string(k.Key[:8])) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	for name, k := range map[string]earshot.SigningKey{
		"a public key":  {Alg: "ES256", Key: ec.public},
		"another type":  {Alg: "RS256", Key: ec.private},
		"empty secret":  {Alg: "HS512"},
		"no algorithm":  {Alg: "XS256", Key: ec.private},
		"a PEM as hmac": {Alg: "HS256", Key: ec.private},
	} {
		if _, err := auth.NewIssuer(k); err == nil {
			t.Errorf("NewIssuer with %s is accepted", name)
		}
	}
}

func TestDirectoryRefusesClashes(t *testing.T) {
	app := func(slug string, change func(*earshot.App)) *earshot.App {
		a := &earshot.App{Slug: slug}
		change(a)
		return a
	}
	for name, change := range map[string]func(*earshot.App){
		"host":              func(a *earshot.App) { a.Hosts = []string{"Example.com"} },
		"key":               func(a *earshot.App) { a.Key = "k" },
		"key with a colon":  func(a *earshot.App) { a.Key = a.Slug + ":k" },
		"key with a slash":  func(a *earshot.App) { a.Key = a.Slug + "/k" },
		"key id":            func(a *earshot.App) { a.SigningKeys = []earshot.SigningKey{hs256("k")} },
		"publish key":       func(a *earshot.App) { a.PublishKeys = []string{"p"} },
		"empty publish key": func(a *earshot.App) { a.PublishKeys = []string{""} },
		"slug":              func(a *earshot.App) { a.Slug = "same" },
	} {
		if _, err := auth.NewDirectory([]*earshot.App{app("a", change), app("b", change)}); err == nil {
			t.Errorf("two apps with the same %s are accepted", name)
		}
	}
	d := directory(t, app("a", func(a *earshot.App) { a.Hosts, a.PublishKeys, a.Key = []string{"Example.com"}, []string{"p"}, "k" }), app("b", func(*earshot.App) {}))
	if d.ByKey("k") != d.BySlug("a") || d.ByKey("") != nil || d.ByKey("K") != nil {
		t.Error("the directory does not find an app by its key")
	}
	if d.ByHost("EXAMPLE.com:8080") == nil || d.ByHost("example.org") != nil || d.ByPublishKey("p") == nil || d.ByPublishKey("") != nil {
		t.Error("the directory does not find what it holds")
	}
}

func TestSEC1PrivateKey(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	token := issue(t, earshot.SigningKey{ID: "e", Alg: "ES256", Key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})}, fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
	v := verifier(t, earshot.SigningKey{ID: "e", Alg: "ES256", Key: encode(t, k).public})
	if _, err := v.Verify(token, nil, whole); err != nil {
		t.Error(err)
	}
}

func TestInspect(t *testing.T) {
	token := issue(t, hs256("k"), `{"exp":1}`)
	header, claims, err := auth.Inspect(token)
	if err != nil || string(header) != `{"alg":"HS256","kid":"k","typ":"JWT"}` || string(claims) != `{"exp":1}` {
		t.Errorf("got %s, %s, %v", header, claims, err)
	}
	if _, _, err := auth.Inspect("x.y"); err == nil {
		t.Error("half a token is accepted")
	}
}

func TestIssueWantsObject(t *testing.T) {
	i, err := auth.NewIssuer(hs256(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, claims := range []string{``, `[]`, `{`, `"x"`, `{"a":1,}`} {
		if _, err := i.Issue([]byte(claims)); err == nil {
			t.Errorf("Issue(%s) is accepted", claims)
		}
	}
}

func TestFreshKeys(t *testing.T) {
	a, b := auth.NewSecret(), auth.NewSecret()
	if a == b || !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(a) {
		t.Errorf("got the secrets %q and %q", a, b)
	}
	a, b = auth.NewPublishKey(), auth.NewPublishKey()
	if a == b || !regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(a) {
		t.Errorf("got the publish keys %q and %q", a, b)
	}
}

func TestNewAccessKey(t *testing.T) {
	a, b := auth.NewAccessKey(), auth.NewAccessKey()
	if len(a.ID) != 20 || len(a.Secret) != 40 || a.ID == b.ID || a.Secret == b.Secret {
		t.Errorf("got %+v and %+v", a, b)
	}
	if _, err := auth.NewDirectory([]*earshot.App{{Slug: "one", AccessKeys: []earshot.AccessKey{a, b}}}); err != nil {
		t.Error(err)
	}
}

func TestAccessKeys(t *testing.T) {
	one := &earshot.App{Slug: "one", AccessKeys: []earshot.AccessKey{
		{ID: "AK1", Secret: "s1"},
		{ID: "AK2", Secret: "s2", Allow: []earshot.Pattern{earshot.Glob("lambda:InvokeFunction:my-*"), earshot.Exact("execute-api:ManageConnections")}},
	}}
	two := &earshot.App{Slug: "two", AccessKeys: []earshot.AccessKey{{ID: "AK3", Secret: "s3"}}}
	d, err := auth.NewDirectory([]*earshot.App{one, two})
	if err != nil {
		t.Fatal(err)
	}
	a, k := d.ByAccessKey("AK3")
	if a != two || k.Secret != "s3" || !k.Allows(earshot.InvokeFunction, "x") {
		t.Errorf("got %v %+v", a, k)
	}
	if a, k := d.ByAccessKey("AK4"); a != nil || k != nil {
		t.Errorf("got %v %+v for a key that there is not", a, k)
	}
	_, k = d.ByAccessKey("AK2")
	for name, want := range map[string]bool{"my-fn": true, "my-": true, "your-fn": false, "": false} {
		if k.Allows(earshot.InvokeFunction, name) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
	if !k.Allows(earshot.ManageConnections, "api") || k.Allows("lambda:GetFunction", "my-fn") {
		t.Error("the actions are mixed up")
	}
	for _, bad := range []earshot.AccessKey{{}, {ID: "AK"}, {Secret: "s"}, {ID: "A/K", Secret: "s"}, {ID: "A K", Secret: "s"}, {ID: "AK3", Secret: "again"}} {
		if _, err := auth.NewDirectory([]*earshot.App{two, {Slug: "three", AccessKeys: []earshot.AccessKey{bad}}}); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
