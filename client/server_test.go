package client_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/client/lambda"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/engine/mem"
)

// A server is a whole one in this process, on a free port.
type server struct {
	app *app.App
	dir string
	// url and ws are its addresses, config is for its backends.
	url, ws string
	config  client.Config
}

type memory struct{ *mem.Engine }

func (memory) Ready() (bool, string) { return true, "" }

// startServer starts one that keeps nothing.
func startServer() (*server, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, err
	}
	c := config.Default()
	c.Server = config.Server{Listen: "127.0.0.1:0"}
	c.Engine.Data = dir
	key := auth.NewPublishKey()
	c.Apps = []config.App{{
		Slug: "main", PublishKeys: []config.Secret{config.Secret(key)},
		SigningKeys: []config.SigningKey{{ID: "k", Alg: "HS256", Key: config.Secret(base64.StdEncoding.EncodeToString([]byte(secret)))}},
		AccessKeys:  []config.AccessKey{{ID: "AKIDEXAMPLE", Secret: "a secret access key of forty characters!"}},
	}}
	a, err := app.New(c, app.Options{
		Log: slog.New(slog.DiscardHandler),
		Open: func(context.Context, *config.Config, *slog.Logger) (app.Engine, error) {
			return memory{mem.New(mem.Config{})}, nil
		},
	})
	if err != nil {
		return nil, err
	}
	if err := a.Start(); err != nil {
		return nil, err
	}
	s := &server{app: a, dir: dir, url: "http://" + a.Addr().String(), ws: "ws://" + a.Addr().String() + "/v1"}
	s.config = client.Config{
		URL: s.url, PublishKey: key,
		IssuerPrivateKey: secret, IssuerKeyAlgorithm: "HS256", IssuerKeyID: "k", IssuerTokenTTL: time.Minute,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s, a.Up(ctx)
}

func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(s.app.Stop(ctx), os.RemoveAll(s.dir))
}

func serve(t *testing.T) (*server, *client.Client) {
	t.Helper()
	s, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(s.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

// A listener is a subscriber that runs.
type listener struct {
	t        *testing.T
	messages chan client.Received
	notices  chan client.Notice
	done     chan error
}

// listen runs a subscriber until the test ends, over a network of its own if
// there is one.
func (s *server) listen(t *testing.T, over *http.Client, c *client.Client, claims client.Claims, channels ...string) *listener {
	t.Helper()
	l := &listener{t: t, messages: make(chan client.Received, 100), notices: make(chan client.Notice, 100), done: make(chan error, 1)}
	claims.Scope = client.ScopeConnect
	sub := client.Subscriber{
		URL: s.ws, Channels: channels, HTTPClient: over,
		Token: func(context.Context) (string, error) { return c.Issue(claims) },
		OnMessage: func(m client.Received) error {
			l.messages <- m
			return nil
		},
		OnNotice: func(n client.Notice) { l.notices <- n },
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { l.done <- sub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-l.done; !errors.Is(err, context.Canceled) {
			t.Errorf("the subscriber ended: %v", err)
		}
	})
	return l
}

// await is the next notice of a type; others are passed over.
func await[N client.Notice](l *listener) N {
	l.t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case n := <-l.notices:
			if n, ok := n.(N); ok {
				return n
			}
		case err := <-l.done:
			l.done <- err
			l.t.Fatalf("the subscriber ended: %v", err)
		case <-late:
			l.t.Fatalf("no %T came", *new(N))
		}
	}
}

func (l *listener) message() client.Received {
	l.t.Helper()
	select {
	case m := <-l.messages:
		return m
	case <-time.After(20 * time.Second):
		l.t.Fatal("no message came")
		return client.Received{}
	}
}

var everything = client.ChannelClaims{
	Subscribe: client.Allow, HistoryStart: time.Unix(0, 0), GetInfo: client.Allow,
	Messages: map[string]client.EventClaims{"*": {Publish: client.Allow, Echo: client.Allow, Store: 60, React: client.Reactions{Any: client.Allow}}},
	Storage:  map[string]client.EntryClaims{"*": {Observe: client.Allow, Get: client.Allow, Set: client.Allow}},
}

// TestAgainstServer: what one half publishes the other hears, with the
// permissions of tokens that the issuer made.
func TestAgainstServer(t *testing.T) {
	s, c := serve(t)
	l := s.listen(t, nil, c, client.Claims{UID: "jim", UMD: map[string]int{"age": 7}, Channels: map[string]client.ChannelClaims{"a.*": everything}}, "a.1")
	conn := await[client.Connected](l).Conn
	if conn.UID != "jim" || string(conn.UMD) != `{"age":7}` || conn.ID == "" || time.Until(conn.Expires) < time.Minute {
		t.Errorf("the connection is %+v", conn)
	}
	if n := await[client.Subscribed](l); n.Channel != "a.1" || n.Broken || n.UID != "jim" {
		t.Errorf("got %+v", n)
	}
	answer, err := c.Publish(t.Context(), client.Message{Channel: "a.1", Event: "e", Data: map[string]int{"n": 1}, Store: 60, EagerIDGeneration: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := answer.Decode()
	m := l.message()
	if err != nil || m.ID != p.ID || string(m.Data) != `{"n":1}` || m.Event != "e" || m.Channel != "a.1" {
		t.Errorf("published %+v (%v), heard %+v", p, err, m)
	}
	if _, ok := m.Sender(); ok {
		t.Errorf("the backend's message has the sender %s", m.Meta)
	}

	if err := conn.Send(t.Context(), client.Message{Channel: "a.1", Event: "said", Data: "hi"}); err != nil {
		t.Fatal(err)
	}
	m = l.message()
	if who, ok := m.Sender(); !ok || who.UID != "jim" || string(who.UMD) != `{"age":7}` || string(m.Data) != `"hi"` {
		t.Errorf("heard %+v", m)
	}
	if err := conn.Send(t.Context(), client.Message{Channel: "b", Event: "said"}); err != nil {
		t.Fatal(err)
	}
	if n := await[client.Refused](l); n.Channel != "b" || n.Err.Code == "" {
		t.Errorf("got %+v, want that it is refused", n)
	}
	if answer, err = conn.Publish(t.Context(), client.Message{Channel: "a.1", Event: "said", Data: 2, EagerIDGeneration: true}); err != nil {
		t.Fatal(err)
	}
	if p, err := answer.Decode(); err != nil || p.ID == "" || l.message().ID != p.ID {
		t.Errorf("published %+v, %v", p, err)
	}

	var ids []string
	for m, err := range conn.AllHistory(t.Context(), "a.1", client.Page{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.Event)
	}
	if got := strings.Join(ids, " "); got != "e said said" {
		t.Errorf("history holds %s", got)
	}
	page, err := conn.History(t.Context(), "a.1", client.Page{Reverse: true, Before: m.ID})
	if err != nil || len(page) != 1 || page[0].Event != "e" {
		t.Errorf("before the second there is %+v, %v", page, err)
	}
	var e *client.Error
	if _, err := conn.History(t.Context(), "b", client.Page{}); !errors.As(err, &e) || e.Status/100 != 4 {
		t.Errorf("history of another channel: %v", err)
	}
}

// TestRefusedByServer: the server's own codes arrive over HTTP and Lambda.
func TestRefusedByServer(t *testing.T) {
	s, c := serve(t)
	wrong := s.config
	wrong.PublishKey = "another"
	bad := client.Message{Channel: "a b", Event: "e"}
	var e *client.Error
	if _, err := c.Publish(t.Context(), bad); !errors.As(err, &e) || e.Code != "CHANNEL_NAME" || e.Status != http.StatusBadRequest {
		t.Errorf("a bad name: %v", err)
	}
	other, err := client.NewPublisher(wrong)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Publish(t.Context(), client.Message{Channel: "a", Event: "e"}); !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
		t.Errorf("a wrong key: %v", err)
	}
	answer, err := c.PublishAll(t.Context(), []client.Message{{Channel: "a", Event: "e", EagerIDGeneration: true}, bad})
	var some *client.BatchError
	if !errors.As(err, &some) || some.Errs[0] != nil || !errors.As(some.Errs[1], &e) || e.Code != "CHANNEL_NAME" {
		t.Fatalf("a batch: %v", err)
	}
	if all, err := answer.DecodeAll(); err != nil || all[0].ID == "" || all[1].Err == nil {
		t.Errorf("got %+v, %v", all, err)
	}
}

// TestOverLambda: the same messages, signed with an access key.
func TestOverLambda(t *testing.T) {
	s, c := serve(t)
	l := s.listen(t, nil, c, client.Claims{Channels: map[string]client.ChannelClaims{"a": {Subscribe: client.Allow}}}, "a")
	await[client.Subscribed](l)
	aws := client.Config{
		PublishFunctionARN: "arn:aws:lambda:us-east-1:000000000000:function:publish", AWSRegion: "us-east-1", AWSEndpointURL: s.url + "/some/prefix",
		AWSAccessKeyID: "AKIDEXAMPLE", AWSSecretAccessKey: "a secret access key of forty characters!",
	}
	p, err := lambda.NewPublisher(t.Context(), aws)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	answer, err := p.Publish(t.Context(), client.Message{Channel: "a", Event: "e", Data: 1, EagerIDGeneration: true, Extra: map[string]any{"unknown": 1}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := answer.Decode(); err != nil || got.ID != l.message().ID || answer.Version != "$LATEST" {
		t.Errorf("got %+v, %v", got, err)
	}
	var e *client.Error
	if _, err := p.Publish(t.Context(), client.Message{Channel: "a b", Event: "e"}); !errors.As(err, &e) || e.Code != "CHANNEL_NAME" || e.Reason != "Unhandled" || client.OutcomeUnknown(err) {
		t.Errorf("a bad name: %#v", err)
	}
	aws.AWSSecretAccessKey = "another"
	other, err := lambda.NewPublisher(t.Context(), aws)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Publish(t.Context(), client.Message{Channel: "a", Event: "e"}); !errors.As(err, &e) || e.Code != "InvalidSignatureException" || e.Status != http.StatusForbidden {
		t.Errorf("a wrong secret: %v", err)
	}
}

// A cutter is a network that can be cut.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return conn, err
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// TestResumeAgainstServer: what is published while the network is cut is heard,
// once and in its order.
func TestResumeAgainstServer(t *testing.T) {
	s, c := serve(t)
	network := &cutter{}
	transport := &http.Transport{DialContext: network.dial}
	t.Cleanup(transport.CloseIdleConnections)
	l := s.listen(t, &http.Client{Transport: transport}, c, client.Claims{UID: "jim", Channels: map[string]client.ChannelClaims{"a": {Subscribe: client.Allow}}}, "a")
	publish := func(data int) {
		t.Helper()
		if _, err := c.Publish(t.Context(), client.Message{Channel: "a", Event: "e", Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	hears := func(want int) {
		t.Helper()
		if m := l.message(); string(m.Data) != fmt.Sprint(want) {
			t.Errorf("heard %s, want %d", m.Data, want)
		}
	}
	for round := range 3 {
		if n := await[client.Subscribed](l); n.Broken {
			t.Error("it is said that messages may be lost")
		}
		if round > 0 {
			hears(2*round - 1)
		}
		publish(2 * round)
		hears(2 * round)
		network.cut()
		await[client.Disconnected](l)
		publish(2*round + 1)
	}
	hears(5)
}

// TestKicked: who is thrown out does not come back.
func TestKicked(t *testing.T) {
	s, c := serve(t)
	connected := make(chan *client.Connection, 1)
	sub := client.Subscriber{
		URL: s.ws, Channels: []string{"a"},
		Token: func(context.Context) (string, error) {
			return c.Issue(client.Claims{Scope: client.ScopeConnect, Channels: map[string]client.ChannelClaims{"a": {Subscribe: client.Allow}}})
		},
		OnNotice: func(n client.Notice) {
			if n, ok := n.(client.Connected); ok {
				connected <- n.Conn
			}
		},
	}
	done := make(chan error, 1)
	go func() { done <- sub.Run(t.Context()) }()
	conn := <-connected
	s.disconnect(t, conn.ID)
	var e *client.Error
	if err := <-done; !errors.As(err, &e) || e.Code != "CONNECTION_KICKED" {
		t.Errorf("got %v", err)
	}
	if _, err := conn.History(t.Context(), "a", client.Page{}); !errors.As(err, &e) || e.Status/100 != 4 {
		t.Errorf("a call of a connection that is over: %v", err)
	}
	if err := conn.Send(t.Context(), client.Message{Channel: "a", Event: "e"}); err == nil {
		t.Error("a message over a connection that is over is sent")
	}
}

func (s *server) disconnect(t *testing.T, id string) {
	t.Helper()
	text, err := json.Marshal(map[string]string{"connectionId": id})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, s.url+"/connections/disconnect", strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.config.PublishKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode/100 != 2 {
		t.Errorf("disconnecting is answered %s", resp.Status)
	}
}
