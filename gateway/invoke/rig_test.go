package invoke

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is an API with one integration and one authorizer.
type rig struct {
	t     testing.TB
	b     *Backend
	app   *earshot.App
	stage *gateway.Stage
}

// setup is what a test asks of a rig.
type setup struct {
	integration earshot.GatewayIntegration
	authorizer  string
	functions   []earshot.GatewayFunction
	app         earshot.App
	untrusted   bool
}

func newRig(t *testing.T, c Config, s setup) *rig {
	t.Helper()
	b := New(c)
	t.Cleanup(b.Close)
	return b.rig(t, s)
}

// rig is an API of an app on the backend.
func (b *Backend) rig(t testing.TB, s setup) *rig {
	t.Helper()
	if s.integration.Type == "" {
		s.integration.Type = earshot.Mock
	}
	if s.authorizer == "" {
		s.authorizer = "authorize"
	}
	if s.app.Slug == "" {
		s.app.Slug = "app"
	}
	s.integration.ID = "i"
	const to = "integrations/i"
	g := &earshot.Gateway{
		ID: "abc123", RouteSelection: "$request.body.action", Stages: []earshot.GatewayStage{{Name: "prod"}}, Trusted: !s.untrusted,
		Routes: []earshot.GatewayRoute{
			{Key: "$connect", Target: to, AuthorizationType: "CUSTOM", AuthorizerID: "a"},
			{Key: "$disconnect", Target: to},
			{Key: "$default", Target: to},
			{Key: "twoway", Target: to, RouteResponse: "$default"},
		},
		Integrations: []earshot.GatewayIntegration{s.integration},
		Authorizers:  []earshot.GatewayAuthorizer{{ID: "a", URI: s.authorizer, IdentitySource: []string{"route.request.querystring.Auth"}}},
		Functions:    s.functions,
	}
	api, err := gateway.Compile(g)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, b, &s.app, api.Stage("prod")}
}

func (r *rig) event(key string) *gateway.Event {
	e := &gateway.Event{
		Type: gateway.Message, Stage: r.stage, Route: r.stage.Route(key), RequestID: "req=", MessageID: "msg=", Time: time.Now(),
		Conn: &gateway.Connection{ID: "conn=", ConnectedAt: time.Now(), Domain: "example.com", SourceIP: "192.0.2.1"},
		Body: []byte(`{"action":"x"}`),
	}
	switch key {
	case "$connect":
		e.Type, e.Body, e.MessageID = gateway.Connect, nil, ""
		e.Handshake = &gateway.Handshake{Query: url.Values{"Auth": {"token"}}}
	case "$disconnect":
		e.Type, e.Body, e.MessageID, e.Code = gateway.Disconnect, nil, "", 1000
	}
	return e
}

func (r *rig) integrate(key string) (*gateway.Answer, error) {
	return r.b.Integrate(r.t.Context(), r.app, r.event(key))
}

func (r *rig) authorize() (*gateway.Verdict, error) {
	return r.b.Authorize(r.t.Context(), r.app, r.event("$connect"))
}

// wantKind fails unless the error is a Failure of the kind; 0 is no error.
func wantKind(t *testing.T, err error, kind gateway.FailureKind) {
	t.Helper()
	var f *gateway.Failure
	switch {
	case kind == 0 && err != nil:
		t.Errorf("failed: %v", err)
	case kind != 0 && (!errors.As(err, &f) || f.Kind != kind):
		t.Errorf("%v, want %v", err, kind)
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// hosted are functions of a test.
type hosted struct {
	invoke  func(ctx context.Context, a *earshot.App, name string, payload []byte) ([]byte, error)
	enqueue func(a *earshot.App, name string, payload []byte) error
}

func (h hosted) Invoke(ctx context.Context, a *earshot.App, name string, payload []byte) ([]byte, error) {
	return h.invoke(ctx, a, name, payload)
}

func (h hosted) Enqueue(a *earshot.App, name string, payload []byte) error {
	return h.enqueue(a, name, payload)
}

const letIn = `{"principalId":"me","policyDocument":{"Statement":[{"Action":"execute-api:Invoke","Effect":"Allow","Resource":"*"}]}}`
