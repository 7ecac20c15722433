package tenancy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/tenant"
)

// A tenantApp is an application as its own servers and clients know it.
type tenantApp struct {
	slug, host string
	publishKey string
	// hmac signs tokens of Hotsock and Phoenix, pair those of notiflux.
	hmac   earshot.SigningKey
	pair   *ecdsa.PrivateKey
	pairID string
	access earshot.AccessKey
	// key and secret are those that Ex Pusher Lite publishes with.
	key, secret string
	rules       []tenant.Rule
	made        bool   // while the server ran
	gateway     string // the id of its WebSocket API, if that is not made of its slug
}

// newTenant draws an app. What its names have in common with those of others is
// the point.
func newTenant(t testing.TB, r *rand.Rand, slug string) *tenantApp {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	drawn := func() string { return fmt.Sprintf("%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64()) }
	a := &tenantApp{
		slug: slug, host: slug + ".example", publishKey: drawn(), pair: pair, pairID: "p-" + slug,
		hmac:   earshot.SigningKey{ID: "h-" + slug, Alg: "HS256", Key: []byte(drawn())},
		access: earshot.AccessKey{ID: "AK" + strings.ToUpper(drawn()[:16]), Secret: drawn()},
		key:    "key-" + slug, secret: drawn(),
	}
	if r.IntN(2) == 0 {
		a.rules = []tenant.Rule{{Match: pick(r, []string{"live*", "*:*", "*"}), Live: true}}
	}
	return a
}

// public is the app's public key for notiflux, in PEM.
func (a *tenantApp) public() string {
	der, err := x509.MarshalPKIXPublicKey(a.pair.Public())
	if err != nil {
		panic(err) // a P-256 key
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// settings is the app as the settings have it.
func (a *tenantApp) settings() config.App {
	c := config.App{
		Slug: a.slug, Hosts: []string{a.host}, PublishKeys: []config.Secret{config.Secret(a.publishKey)}, RecordEvents: true,
		SigningKeys: []config.SigningKey{
			{ID: a.hmac.ID, Alg: a.hmac.Alg, Key: config.Secret(base64.StdEncoding.EncodeToString(a.hmac.Key))},
			{ID: a.pairID, Alg: "ES256", Key: config.Secret(a.public())},
		},
		AccessKeys: []config.AccessKey{{ID: a.access.ID, Secret: config.Secret(a.access.Secret)}},
		Key:        config.Secret(a.key), Secrets: []config.Secret{config.Secret(a.secret)},
		Gateways: []config.Gateway{{ID: a.gatewayID(), RouteSelection: "$request.body.action", Stages: []config.GatewayStage{{Name: "prod"}}}},
	}
	for _, rule := range a.rules {
		c.Channels = append(c.Channels, config.Channel{Match: rule.Match, Live: rule.Live})
	}
	return c
}

// draft is the app as the admin API takes it.
func (a *tenantApp) draft() *tenant.Draft {
	return &tenant.Draft{App: tenant.App{
		Slug: a.slug, Key: a.key, Active: true, Hosts: []string{a.host}, Channels: a.rules,
		PublishKeys: []tenant.PublishKey{{Key: tenant.Secret(a.publishKey)}},
		SigningKeys: []tenant.SigningKey{
			{ID: a.hmac.ID, Alg: a.hmac.Alg, Secret: tenant.Secret(base64.StdEncoding.EncodeToString(a.hmac.Key))},
			{ID: a.pairID, Alg: "ES256", PublicKey: a.public()},
		},
		AccessKeys: []tenant.AccessKey{{ID: a.access.ID, Secret: tenant.Secret(a.access.Secret)}},
		Secrets:    []tenant.AppSecret{{ID: "s-" + a.slug, Secret: tenant.Secret(a.secret)}},
		Gateways: []tenant.Gateway{{Gateway: earshot.Gateway{
			ID: a.gatewayID(), RouteSelection: "$request.body.action", Stages: []earshot.GatewayStage{{Name: "prod"}},
		}}},
	}}
}

// live reports whether a channel is, by the app's rules.
func (a *tenantApp) live(channel string) bool {
	snapshot := earshot.App{Slug: a.slug}
	for _, r := range a.rules {
		snapshot.Rules = append(snapshot.Rules, earshot.Rule{Channel: earshot.Glob(r.Match), Live: r.Live})
	}
	return snapshot.Rule(channel).Live
}

// secrets are all that nobody else may ever see.
func (a *tenantApp) secrets() []string {
	return []string{a.publishKey, string(a.hmac.Key), base64.StdEncoding.EncodeToString(a.hmac.Key), a.access.Secret, a.secret}
}

// bearer shows the app's publish key.
func (a *tenantApp) bearer() map[string]string {
	return map[string]string{"Authorization": "Bearer " + a.publishKey}
}

// gatewayID is that of the app's WebSocket API.
func (a *tenantApp) gatewayID() string {
	if a.gateway != "" {
		return a.gateway
	}
	return "g" + strings.ReplaceAll(a.slug, "-", "0")
}

// signAWS signs a request for a service as AWS's SDKs do.
func (a *tenantApp) signAWS(t testing.TB, service, body string) func(*http.Request) {
	return func(r *http.Request) {
		sum := sha256.Sum256([]byte(body))
		credentials := aws.Credentials{AccessKeyID: a.access.ID, SecretAccessKey: a.access.Secret}
		if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}

// claims is a token's payload.
type claims map[string]any

// token signs claims with the secret of Hotsock and Phoenix.
func (a *tenantApp) token(t testing.TB, c claims) string { return issue(t, a.hmac, c) }

// pairToken signs claims with the key of notiflux.
func (a *tenantApp) pairToken(t testing.TB, c claims) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.pair)
	if err != nil {
		t.Fatal(err)
	}
	return issue(t, earshot.SigningKey{ID: a.pairID, Alg: "ES256", Key: der}, c)
}

func issue(t testing.TB, k earshot.SigningKey, c claims) string {
	t.Helper()
	i, err := auth.NewIssuer(k)
	if err != nil {
		t.Fatal(err)
	}
	if c["exp"] == nil {
		c["exp"] = time.Now().Add(time.Hour).Unix()
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Issue(b)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
