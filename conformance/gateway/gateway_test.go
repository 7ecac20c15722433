// Package gateway_test speaks with a whole server as the backends and clients of an
// API Gateway WebSocket API do: by AWS's own SDKs for Go, of both generations.
package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	management "github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi/types"
	"github.com/aws/smithy-go"
	"github.com/coder/websocket"

	"github.com/earshot-io/earshot/app"
	settings "github.com/earshot-io/earshot/config"
)

const (
	keyID  = "AKIDEXAMPLE"
	secret = "SECRETKEYEXAMPLE"
	region = "us-east-1"
)

// A server is a whole one, with an API whose backend is the test.
type server struct {
	*testing.T
	base string // http://host:port

	mu     sync.Mutex
	events []event
	news   chan struct{}
}

// An event is what the backend is told.
type event struct {
	RequestContext struct {
		EventType, RouteKey, ConnectionID, Stage, DomainName, DisconnectReason string
		DisconnectStatusCode                                                   int
		Identity                                                               struct{ AccessKey string }
	}
	Headers               map[string]string
	QueryStringParameters map[string]string
	Body                  string
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{T: t, news: make(chan struct{}, 1)}
	backend := httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(backend.Close)
	all := []settings.GatewayRoute{
		{Key: "$connect", Target: "integrations/b"},
		{Key: "$disconnect", Target: "integrations/b"},
		{Key: "$default", Target: "integrations/b", RouteResponse: "$default"},
	}
	signed := append([]settings.GatewayRoute{{Key: "$connect", Target: "integrations/b", AuthorizationType: "AWS_IAM"}}, all[1:]...)
	integrations := []settings.GatewayIntegration{{ID: "b", Type: "HTTP_EVENT", URI: backend.URL}}
	c := settings.Default()
	c.Server = settings.Server{Listen: "127.0.0.1:0"}
	c.Engine.Data = t.TempDir()
	c.Apps = []settings.App{{
		Slug: "main", SigningKeys: []settings.SigningKey{{ID: "k", Alg: "HS256", Key: "YSBzZWNyZXQgb2YgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXM="}},
		AccessKeys: []settings.AccessKey{{ID: keyID, Secret: secret}, {ID: "AKLAMBDA", Secret: "s", Allow: []string{"lambda:InvokeFunction"}}},
		Gateways: []settings.Gateway{
			{
				ID: "abc123", RouteSelection: "$request.body.action", Stages: []settings.GatewayStage{{Name: "prod"}},
				Routes: all, Integrations: integrations,
			},
			{
				ID: "def456", RouteSelection: "$request.body.action", Stages: []settings.GatewayStage{{Name: "signed"}},
				Routes: signed, Integrations: integrations,
			},
		},
	}}
	a, err := app.New(c, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := a.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.base = "http://" + a.Addr().String()
	return s
}

// answer is the backend: it echoes messages.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	var e event
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		s.Error(err)
	}
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"statusCode": 200, "body": e.Body}) // who waits for it is alive
}

// wait waits for an event of a connection; of any for no id.
func (s *server) wait(kind, id string) event {
	s.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		for i := len(s.events) - 1; i >= 0; i-- {
			if c := s.events[i].RequestContext; c.EventType == kind && (id == "" || c.ConnectionID == id) {
				defer s.mu.Unlock()
				return s.events[i]
			}
		}
		s.mu.Unlock()
		select {
		case <-s.news:
		case <-timeout:
			s.Fatalf("there was no %s of %s", kind, id)
		}
	}
}

// A client is a connection and its id.
type client struct {
	*server
	ws *websocket.Conn
	id string
}

func (s *server) connect(path string) *client {
	s.Helper()
	ws, _, err := websocket.Dial(s.Context(), strings.Replace(s.base, "http", "ws", 1)+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	return &client{s, ws, s.wait("CONNECT", "").RequestContext.ConnectionID}
}

func (c *client) hears(kind websocket.MessageType, want string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	defer cancel()
	got, b, err := c.ws.Read(ctx)
	if err != nil || got != kind || string(b) != want {
		c.Fatalf("heard %v %.80q %v, want %.80q", got, b, err, want)
	}
}

// A sender counts the attempts of an SDK.
type sender struct{ sent int }

func (s *sender) Do(r *http.Request) (*http.Response, error) {
	s.sent++
	return http.DefaultClient.Do(r)
}

// sdk is the SDK of the second generation, with nothing but what an application
// must set.
func (s *server) sdk(path, id, secret string, by *sender) *management.Client {
	return management.New(management.Options{
		Region: region, BaseEndpoint: aws.String(s.base + path), HTTPClient: by,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
	})
}

// TestPostGetDelete is the whole of the API, by the SDK.
func TestPostGetDelete(t *testing.T) {
	s := serve(t)
	c := s.connect("/prod")
	by := &sender{}
	for _, base := range []string{"/prod", "/prod/", "", "/main/prod", "/abc123/prod"} {
		api := s.sdk(base, keyID, secret, by)
		text := `{"hello":"wörld"}`
		if _, err := api.PostToConnection(t.Context(), &management.PostToConnectionInput{ConnectionId: &c.id, Data: []byte(text)}); err != nil {
			t.Fatalf("%s: %v", base, err)
		}
		c.hears(websocket.MessageText, text)
	}
	api := s.sdk("/prod", keyID, secret, by)
	for data, kind := range map[string]websocket.MessageType{
		"": websocket.MessageText, "\xff\x00": websocket.MessageBinary, strings.Repeat("x", 128<<10): websocket.MessageText,
	} {
		if _, err := api.PostToConnection(t.Context(), &management.PostToConnectionInput{ConnectionId: &c.id, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
		c.hears(kind, data)
	}
	before := time.Now().Add(-time.Minute)
	got, err := api.GetConnection(t.Context(), &management.GetConnectionInput{ConnectionId: &c.id})
	if err != nil {
		t.Fatal(err)
	}
	if got.ConnectedAt.Before(before) || got.LastActiveAt.Before(*got.ConnectedAt) || *got.Identity.SourceIp != "127.0.0.1" || *got.Identity.UserAgent == "" {
		t.Errorf("got %+v %+v", got, got.Identity)
	}
	if _, err := api.DeleteConnection(t.Context(), &management.DeleteConnectionInput{ConnectionId: &c.id}); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.ws.Read(t.Context())
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 1000 || closed.Reason != "Connection Closed Normally" {
		t.Errorf("the client was told %v", err)
	}
	if e := s.wait("DISCONNECT", c.id).RequestContext; e.DisconnectStatusCode != 1000 || e.DisconnectReason != "Connection Closed Normally" {
		t.Errorf("$disconnect was told %+v", e)
	}
	by.sent = 0
	var gone *types.GoneException
	if _, err := api.DeleteConnection(t.Context(), &management.DeleteConnectionInput{ConnectionId: &c.id}); !errors.As(err, &gone) {
		t.Errorf("a second delete: %v", err)
	}
	if _, err := api.PostToConnection(t.Context(), &management.PostToConnectionInput{ConnectionId: &c.id, Data: []byte("x")}); !errors.As(err, &gone) {
		t.Errorf("a post after it: %v", err)
	}
	if _, err := api.GetConnection(t.Context(), &management.GetConnectionInput{ConnectionId: &c.id}); !errors.As(err, &gone) {
		t.Errorf("a get after it: %v", err)
	}
	if by.sent != 3 {
		t.Errorf("%d requests for 3 calls", by.sent)
	}
}

// TestRefusals: the SDK knows every error by its name, and tries none of these
// again.
func TestRefusals(t *testing.T) {
	s := serve(t)
	c := s.connect("/prod")
	post := func(base, id, secret, conn string, size int) (sent int, err error) {
		by := &sender{}
		_, err = s.sdk(base, id, secret, by).PostToConnection(t.Context(), &management.PostToConnectionInput{ConnectionId: &conn, Data: make([]byte, size)})
		return by.sent, err
	}
	for _, test := range []struct {
		name, base, id, secret, conn string
		size                         int
		want                         string
	}{
		{"too large", "/prod", keyID, secret, c.id, 128<<10 + 1, "PayloadTooLargeException"},
		{"wrong secret", "/prod", keyID, "wrong", c.id, 1, "InvalidSignatureException"},
		{"unknown key", "/prod", "AKNOBODY", "s", c.id, 1, "UnrecognizedClientException"},
		{"a key for else", "/prod", "AKLAMBDA", "s", c.id, 1, "AccessDeniedException"},
		{"no stage", "/nope", keyID, secret, c.id, 1, "ForbiddenException"},
		{"no id of ours", "/prod", keyID, secret, "a/b+c=", 1, "BadRequestException"},
		{"another stage's", "/signed", keyID, secret, c.id, 1, "GoneException"},
		{"nobody's", "/prod", keyID, secret, "L0SM9cOFvHcCIhw=", 1, "GoneException"},
	} {
		sent, err := post(test.base, test.id, test.secret, test.conn, test.size)
		var known smithy.APIError
		if !errors.As(err, &known) || known.ErrorCode() != test.want || sent != 1 {
			t.Errorf("%s: %d requests, %v; want %s", test.name, sent, err, test.want)
		}
	}
}

// TestThrottled: who does not read is not cut by posts; the SDK is told, and tries
// three times.
func TestThrottled(t *testing.T) {
	s := serve(t)
	c := s.connect("/prod")
	by := &sender{}
	api := s.sdk("/prod", keyID, secret, by)
	data := []byte(strings.Repeat("x", 128<<10))
	for range 10_000 {
		by.sent = 0
		_, err := api.PostToConnection(t.Context(), &management.PostToConnectionInput{ConnectionId: &c.id, Data: data})
		if err == nil {
			continue
		}
		var limited *types.LimitExceededException
		if !errors.As(err, &limited) || by.sent != 3 {
			t.Fatalf("after %d requests: %v", by.sent, err)
		}
		if _, err := api.GetConnection(t.Context(), &management.GetConnectionInput{ConnectionId: &c.id}); err != nil {
			t.Errorf("the client was cut: %v", err)
		}
		return
	}
	t.Fatal("a client that does not read was never behind")
}

// TestByEnvironmentAlone: nothing of the application is changed.
func TestByEnvironmentAlone(t *testing.T) {
	s := serve(t)
	c := s.connect("/prod")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": s.base + "/prod", "AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": secret,
		"AWS_SESSION_TOKEN": "a/session+token=", "AWS_REGION": region, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_PROFILE": "", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
	environment, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	api := management.NewFromConfig(environment)
	if _, err := api.PostToConnection(t.Context(), &management.PostToConnectionInput{ConnectionId: &c.id, Data: []byte("hi")}); err != nil {
		t.Fatal(err)
	}
	c.hears(websocket.MessageText, "hi")
}

// TestPresignedConnect: a browser connects with an address that the SDK's signer
// made (8.7).
func TestPresignedConnect(t *testing.T) {
	s := serve(t)
	sign := func(secret, token string, at time.Time) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/signed?x=a%20b&X-Amz-Expires=60", nil)
		if err != nil {
			t.Fatal(err)
		}
		const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		url, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: token},
			r, empty, "execute-api", region, at)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(url, s.base)
	}
	c := s.connect(sign(secret, "a/session+token=", time.Now()))
	if e := s.wait("CONNECT", c.id); e.RequestContext.Identity.AccessKey != keyID || e.QueryStringParameters["x"] != "a b" {
		t.Errorf("$connect was told %+v", e)
	}
	for name, path := range map[string]string{
		"a wrong secret": sign("wrong", "", time.Now()), "too late": sign(secret, "", time.Now().Add(-2*time.Minute)), "unsigned": "/signed",
	} {
		_, answer, err := websocket.Dial(t.Context(), strings.Replace(s.base, "http", "ws", 1)+path, nil)
		if err == nil || answer == nil || answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}
