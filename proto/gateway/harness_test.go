package gateway_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/gateway"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests; none is as long unless it fails.
const patience = 20 * time.Second

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "SECRETKEYEXAMPLE"
)

// api is the API of most tests: every route answers to the integration "all".
func api(change ...func(*earshot.Gateway)) earshot.Gateway {
	g := earshot.Gateway{
		ID: "abc123", RouteSelection: "$request.body.action",
		Stages: []earshot.GatewayStage{{Name: "prod"}, {Name: "dev"}},
		Integrations: []earshot.GatewayIntegration{
			{ID: "all", Type: earshot.AWSProxy, URI: "arn:aws:lambda:us-east-1:000000000000:function:all"},
		},
	}
	for _, key := range []string{"$connect", "$disconnect", "$default", "echo", "push"} {
		g.Routes = append(g.Routes, earshot.GatewayRoute{Key: key, Target: "integrations/all"})
	}
	route(&g, "echo").RouteResponse = "$default"
	for _, f := range change {
		f(&g)
	}
	return g
}

// route finds a route.
func route(g *earshot.Gateway, key string) *earshot.GatewayRoute {
	for i := range g.Routes {
		if g.Routes[i].Key == key {
			return &g.Routes[i]
		}
	}
	panic(key)
}

// without removes routes.
func without(keys ...string) func(*earshot.Gateway) {
	return func(g *earshot.Gateway) {
		g.Routes = slices.DeleteFunc(g.Routes, func(r earshot.GatewayRoute) bool { return slices.Contains(keys, r.Key) })
	}
}

// app is the default app with APIs.
func app(gateways ...earshot.Gateway) *earshot.App {
	return &earshot.App{
		Slug: "main", Gateways: gateways, AccessKeys: []earshot.AccessKey{{ID: accessKey, Secret: secretKey}},
		Rules: []earshot.Rule{{Channel: earshot.Glob("live*"), Live: true}},
	}
}

// A backend is what the tests say it is. Events are kept in their order.
type backend struct {
	integrate func(context.Context, *core.Event) (*core.Answer, error)
	authorize func(context.Context, *core.Event) (*core.Verdict, error)

	mu     sync.Mutex
	events []*core.Event
	came   chan struct{}
}

func newBackend() *backend { return &backend{came: make(chan struct{}, 1)} }

// answers says what integrations answer from now on; judges does so for authorizers.
func (b *backend) answers(f func(context.Context, *core.Event) (*core.Answer, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.integrate = f
}

func (b *backend) judges(f func(context.Context, *core.Event) (*core.Verdict, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.authorize = f
}

func (b *backend) saw(e *core.Event) (
	integrate func(context.Context, *core.Event) (*core.Answer, error), authorize func(context.Context, *core.Event) (*core.Verdict, error),
) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := *e
	conn := *e.Conn
	kept.Conn = &conn
	b.events = append(b.events, &kept)
	select {
	case b.came <- struct{}{}:
	default:
	}
	return b.integrate, b.authorize
}

// Integrate echoes messages, and says yes to the rest, where the test says nothing.
func (b *backend) Integrate(ctx context.Context, _ *earshot.App, e *core.Event) (*core.Answer, error) {
	if integrate, _ := b.saw(e); integrate != nil {
		if a, err := integrate(ctx, e); a != nil || err != nil {
			return a, err
		}
	}
	return &core.Answer{Status: 200, Body: e.Body}, nil
}

func (b *backend) Authorize(ctx context.Context, _ *earshot.App, e *core.Event) (*core.Verdict, error) {
	if _, authorize := b.saw(e); authorize != nil {
		return authorize(ctx, e)
	}
	return &core.Verdict{Context: map[string]string{"principalId": "me"}}, nil
}

// wait waits for the first event of a type that is n-th of it, from 1.
func (b *backend) wait(t testing.TB, kind string, n int) *core.Event {
	t.Helper()
	return b.waitFor(t, kind, n, patience)
}

func (b *backend) waitFor(t testing.TB, kind string, n int, patience time.Duration) *core.Event {
	t.Helper()
	timeout := time.After(patience)
	for {
		if e := b.find(kind, n); e != nil {
			return e
		}
		select {
		case <-b.came:
		case <-timeout:
			t.Fatalf("event %d of type %s never came", n, kind)
		}
	}
}

func (b *backend) find(kind string, n int) *core.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Type == kind {
			if n--; n == 0 {
				return e
			}
		}
	}
	return nil
}

func (b *backend) count(kind string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func fails(k core.FailureKind) error {
	return &core.Failure{Kind: k, Err: errors.New("so says the test")}
}

// A node is a whole server but for its settings: hub, edge, protocol, on a port.
type node struct {
	testing.TB
	*backend
	engine   *mem.Engine
	hub      *hub.Hub
	apps     *auth.Directory
	protocol *gateway.Protocol
	stop     func() // ends Run, and waits
	base     string // http://host:port
}

func serve(t testing.TB, apps ...*earshot.App) *node {
	t.Helper()
	return join(t, mem.NewStore(mem.Config{}), newBackend(), apps...)
}

// join adds a node to a store.
func join(t testing.TB, store *mem.Store, b *backend, apps ...*earshot.App) *node {
	t.Helper()
	n := bare(t, store, b, apps...)
	log := slog.New(slog.DiscardHandler)
	carrier, err := transport.New(transport.Config{}, n.hub, log)
	if err != nil {
		t.Fatal(err)
	}
	carrier.Start()
	sockets, err := ws.New(ws.Config{}, ws.Deps{
		Hub: n.hub, Transport: carrier, Limits: transport.NewLimits(transport.LimitConfig{}), Apps: n.apps, Log: log,
	}, []ws.Endpoint{{Entry: gateway.Entry(), Protocol: n.protocol}})
	if err != nil {
		t.Fatal(err)
	}
	door := transport.NewDoor(0)
	server := httptest.NewUnstartedServer(sockets.Handler(n.protocol.Wrap(http.NotFoundHandler())))
	door.Guard(server.Config)
	door.KeepHeads(n.apps.HasGateways)
	server.Listener = door.Listen(server.Listener, nil)
	server.Start()
	n.base = server.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.hub.Drain(ctx, 0); err != nil {
			t.Error(err)
		}
		n.stop()
		if err := carrier.Close(ctx); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return n
}

// bare is a node without a port.
func bare(t testing.TB, store *mem.Store, b *backend, apps ...*earshot.App) *node {
	t.Helper()
	return bareAs(t, store, b, func(*gateway.Config, *proto.Deps) {}, apps...)
}

// bareAs is bare with other settings.
func bareAs(t testing.TB, store *mem.Store, b *backend, change func(*gateway.Config, *proto.Deps), apps ...*earshot.App) *node {
	t.Helper()
	if len(apps) == 0 {
		apps = []*earshot.App{app(api())}
	}
	d, err := auth.NewDirectory(apps)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{TB: t, backend: b, engine: store.Node(), apps: d}
	log := slog.New(slog.DiscardHandler)
	n.hub = hub.New(hub.Config{Shards: 2, QueueBytes: 256 << 10}, n.engine, log)
	n.hub.SetApps(d.BySlug)
	if err := n.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	config, deps := gateway.Config{}, proto.Deps{
		Hub: n.hub, Apps: d, Records: n.engine, Gateways: b, Log: log, Client: transport.Proxies(nil).Client,
	}
	change(&config, &deps)
	n.protocol = gateway.New(config, deps)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.protocol.Run(ctx) })
	n.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(func() {
		n.stop()
		if err := n.engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
		n.hub.Close()
	})
	return n
}

// A client is one over a real socket.
type client struct {
	testing.TB
	*websocket.Conn
	id string
}

// dial connects; the $connect event says what its id is.
func (n *node) dial(path string, options ...func(*websocket.DialOptions)) *client {
	n.Helper()
	before := n.count(core.Connect)
	c, answer, err := n.try(path, options...)
	if err != nil {
		status := 0
		if answer != nil {
			status = answer.StatusCode
		}
		n.Fatalf("connecting to %s: %d %v", path, status, err)
	}
	c.id = n.wait(n, core.Connect, before+1).Conn.ID
	return c
}

func (n *node) try(path string, options ...func(*websocket.DialOptions)) (*client, *http.Response, error) {
	n.Helper()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	for _, f := range options {
		f(o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, answer, err := websocket.Dial(ctx, strings.Replace(n.base, "http", "ws", 1)+path, o) //nolint:bodyclose // a refusal's is read whole
	if err != nil {
		return nil, answer, err
	}
	c.SetReadLimit(1 << 20)
	n.Cleanup(func() { _ = c.CloseNow() })
	return &client{TB: n, Conn: c}, answer, nil
}

// header adds a header to a handshake.
func header(name, value string) func(*websocket.DialOptions) {
	return func(o *websocket.DialOptions) { o.HTTPHeader[name] = append(o.HTTPHeader[name], value) }
}

func (c *client) say(text string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.Fatal(err)
	}
}

// next is the next message.
func (c *client) next() (kind websocket.MessageType, data string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k, b, err := c.Read(ctx)
	return k, string(b), err
}

// hears expects a text.
func (c *client) hears(want string) {
	c.Helper()
	kind, got, err := c.next()
	if err != nil || kind != websocket.MessageText || got != want {
		c.Fatalf("heard %v %q %v, want %q", kind, got, err, want)
	}
}

// ends expects the end.
func (c *client) ends(code int, reason string) {
	c.Helper()
	_, data, err := c.next()
	var closed websocket.CloseError
	if !errors.As(err, &closed) || int(closed.Code) != code || closed.Reason != reason {
		c.Fatalf("heard %q, %v; want the end %d %q", data, err, code, reason)
	}
}

// A call is a request to the management API.
type call struct {
	method, path, host string
	body               []byte
	header             http.Header
	key, secret        string
}

// ask signs a request as AWS's SDKs do, and sends it.
func (n *node) ask(c call) (status int, header http.Header, body string) {
	n.Helper()
	if c.key == "" {
		c.key, c.secret = accessKey, secretKey
	}
	r, err := http.NewRequest(c.method, n.base+c.path, bytes.NewReader(c.body))
	if err != nil {
		n.Fatal(err)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	if c.host != "" {
		r.Host = c.host
	}
	if c.key != "none" {
		sign(r, c.body, c.key, c.secret)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		n.Fatal(err)
	}
	defer answer.Body.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		n.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}

// sign signs a request with Signature Version 4, host and date alone, the path
// encoded once more as AWS has it (9.2).
func sign(r *http.Request, body []byte, key, secret string) {
	now := time.Now().UTC()
	date, day := now.Format("20060102T150405Z"), now.Format("20060102")
	r.Header.Set("X-Amz-Date", date)
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	sum := sha256.Sum256(body)
	var path strings.Builder
	for _, b := range []byte(r.URL.EscapedPath()) {
		if b == '/' || b == '-' || b == '_' || b == '.' || b == '~' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' {
			path.WriteByte(b)
			continue
		}
		path.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	clean := path.String()
	for strings.Contains(clean, "//") {
		clean = strings.ReplaceAll(clean, "//", "/")
	}
	canonical := strings.Join([]string{
		r.Method, clean, strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"), "host:" + host, "x-amz-date:" + date, "", "host;x-amz-date", hex.EncodeToString(sum[:]),
	}, "\n")
	scope := day + "/us-east-1/execute-api/aws4_request"
	hashed := sha256.Sum256([]byte(canonical))
	k := []byte("AWS4" + secret)
	for _, part := range []string{day, "us-east-1", "execute-api", "aws4_request", "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(hashed[:])} {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(part))
		k = mac.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/"+scope+", SignedHeaders=host;x-amz-date, Signature="+hex.EncodeToString(k))
}

// presigned is a path that is signed in its query (8.7).
func presigned(base, path string, at time.Time, key, secret string) string {
	host := strings.TrimPrefix(base, "http://")
	at = at.UTC()
	date, day := at.Format("20060102T150405Z"), at.Format("20060102")
	scope := day + "/us-east-1/execute-api/aws4_request"
	q := url.Values{
		"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {key + "/" + scope}, "X-Amz-Date": {date},
		"X-Amz-Expires": {"300"}, "X-Amz-SignedHeaders": {"host"}, "X-Amz-Security-Token": {"a session/token"},
	}
	query := strings.ReplaceAll(q.Encode(), "+", "%20")
	sum := sha256.Sum256(nil)
	canonical := strings.Join([]string{"GET", path, query, "host:" + host, "", "host", hex.EncodeToString(sum[:])}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	k := []byte("AWS4" + secret)
	for _, part := range []string{day, "us-east-1", "execute-api", "aws4_request", "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(hashed[:])} {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(part))
		k = mac.Sum(nil)
	}
	return path + "?" + query + "&X-Amz-Signature=" + hex.EncodeToString(k)
}

// bareNode is a node without a port, and with an API.
func bareNode(t testing.TB) *node {
	t.Helper()
	return bare(t, mem.NewStore(mem.Config{}), newBackend())
}
