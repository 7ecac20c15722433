package hotsock_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/hotsock"
	"github.com/earshot-io/earshot/reaction"
	"github.com/earshot-io/earshot/transport"
)

// key signs the tokens of the tests.
func key(slug string) earshot.SigningKey {
	return earshot.SigningKey{ID: slug, Alg: "HS256", Key: []byte("the secret of the tests, long enough: " + slug)}
}

// A server is a hub on an engine in memory, with the protocol on it.
type server struct {
	t        testing.TB
	store    *mem.Store
	engine   *mem.Engine
	hub      *hub.Hub
	apps     *auth.Directory
	protocol *hotsock.Protocol

	entries   *entry.Store
	reactions *reaction.Store
	later     *later
	mux       *http.ServeMux
	clients   []*client
}

// app is the default application: channels that begin with live are live.
func app() *earshot.App {
	return &earshot.App{
		Slug: "dev", SigningKeys: []earshot.SigningKey{key("dev")}, PublishKeys: []string{"the publish key of the tests"},
		Rules: []earshot.Rule{{Channel: earshot.Glob("live*"), Live: true}},
	}
}

func newServer(t testing.TB, c hotsock.Config, apps ...*earshot.App) *server {
	t.Helper()
	return newNode(t, mem.NewStore(mem.Config{}), c, apps...)
}

// newNode is a server that shares its store with others.
func newNode(t testing.TB, store *mem.Store, c hotsock.Config, apps ...*earshot.App) *server {
	t.Helper()
	return newTold(t, nil, store, c, apps...)
}

// newTold is a server whose events r gets; nil for nobody.
func newTold(t testing.TB, r hub.Recorder, store *mem.Store, c hotsock.Config, apps ...*earshot.App) *server {
	t.Helper()
	if len(apps) == 0 {
		apps = []*earshot.App{app()}
	}
	d, err := auth.NewDirectory(apps)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, store: store, engine: store.Node(), apps: d, mux: http.NewServeMux()}
	log := slog.New(slog.DiscardHandler)
	s.hub = hub.New(hub.Config{Shards: 2}, s.engine, log)
	if r != nil {
		s.hub.SetRecorder(r)
	}
	if err := s.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.entries, s.reactions = entry.New(s.hub, s.engine, nil), reaction.New(s.hub, s.engine)
	s.later = newLater(s, s.entries, log)
	s.protocol = hotsock.New(c, proto.Deps{
		Entries: s.entries, Reactions: s.reactions, Schedule: s.later,
		Hub: s.hub, Apps: d, Tokens: auth.NewVerifier(d, s.engine), Client: transport.Proxies(nil).Client, Log: log,
	})
	s.protocol.Routes(s.mux.Handle)
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	for _, c := range s.clients {
		c.leave()
	}
	s.later.timers.Close()
	if err := s.engine.Close(context.Background()); err != nil {
		s.t.Error(err)
	}
	s.hub.Close()
}

// virtual runs a test with a server of its own in virtual time.
func virtual(t *testing.T, f func(t *testing.T, s *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newServer(t, hotsock.DefaultConfig())) })
}

// claims are a token's payload, to which exp is added if it is not there.
type claims map[string]any

func token(t testing.TB, c claims) string {
	t.Helper()
	return tokenOf(t, "dev", c)
}

func tokenOf(t testing.TB, slug string, c claims) string {
	t.Helper()
	all := claims{"exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, c)
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, slug, string(b))
}

// sign makes a token of any payload, also of one that no issuer would sign.
func sign(t testing.TB, slug, payload string) string {
	t.Helper()
	part := base64.RawURLEncoding.EncodeToString
	signed := part(fmt.Appendf(nil, `{"alg":"HS256","typ":"JWT","kid":%q}`, slug)) + "." + part([]byte(payload))
	mac := hmac.New(sha256.New, key(slug).Key)
	mac.Write([]byte(signed))
	return signed + "." + part(mac.Sum(nil))
}

// everything may be done on every channel.
func everything() claims {
	return claims{"*": claims{"subscribe": true, "historyStart": 0, "messages": claims{"*": claims{"publish": true, "echo": true, "store": 60}}}}
}

// A client is a connection without a wire: its own hub.Transport. What it sends
// is handled before send returns, but for what the server does later.
type client struct {
	s    *server
	t    testing.TB
	conn *hub.Conn

	greeting struct {
		Data struct{ ConnectionID, ConnectionExpiresAt, ConnectionSecret string }
	}

	mu      sync.Mutex
	frames  []string
	queued  []*hub.Frame // of a client that does not read, guarded by the shard
	waiting int
	stalled bool
	over    *hub.Goodbye
	ended   bool
}

func upgrade(raw string) *proto.Request {
	return &proto.Request{HTTP: httptest.NewRequest(http.MethodGet, "/v1?token="+raw, nil)}
}

// admit asks the protocol; the refusal is nil if it says yes.
func (s *server) admit(raw string) (proto.Admission, *proto.Refusal) {
	s.t.Helper()
	a, err := s.protocol.Admit(context.Background(), upgrade(raw))
	if err == nil {
		return a, nil
	}
	r, ok := err.(*proto.Refusal)
	if !ok {
		s.t.Fatalf("refused by %T %v, not by a *proto.Refusal", err, err)
	}
	return a, r
}

// open connects without reading anything.
func (s *server) open(raw string) *client {
	s.t.Helper()
	a, refused := s.admit(raw)
	if refused != nil {
		s.t.Fatalf("refused: %v", refused)
	}
	c := &client{s: s, t: s.t}
	conn, err := s.hub.Open(s.hub.NextShard(), c, hub.Opening{App: a.App, Identity: a.Identity, Farewell: s.protocol})
	if err != nil {
		s.t.Fatal(err)
	}
	c.conn = conn
	session, err := s.protocol.Open(conn, conn, a)
	if err != nil {
		s.t.Fatal(err)
	}
	conn.Serve(session)
	s.clients = append(s.clients, c)
	return c
}

// connect connects with claims, and takes the greeting.
func (s *server) connect(c claims) *client {
	s.t.Helper()
	all := claims{"scope": "connect"}
	maps.Copy(all, c)
	cl := s.open(token(s.t, all))
	cl.greet()
	return cl
}

// greet takes the greeting.
func (c *client) greet() {
	c.t.Helper()
	got := c.next()
	if err := json.Unmarshal([]byte(got), &c.greeting); err != nil || !strings.HasPrefix(got, `{"event":"hotsock.connected"`) {
		c.t.Fatalf("greeted by %s (%v)", got, err)
	}
}

// Push queues a frame.
func (c *client) Push(f *hub.Frame) int {
	c.queued = append(c.queued, f)
	c.waiting += f.Len()
	return c.waiting
}

// Flush gives what is queued to a client that reads.
func (c *client) Flush() int {
	if c.stalled || len(c.queued) == 0 {
		return c.waiting
	}
	c.give()
	if c.conn != nil {
		c.conn.Flushed()
	}
	return 0
}

func (c *client) give() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.queued {
		if f.Op != hub.Text {
			c.t.Error("a binary frame was sent")
		}
		c.frames = append(c.frames, string(f.Head)+string(f.Body))
	}
	c.queued, c.waiting = nil, 0
}

// Close takes the goodbye.
func (c *client) Close(g hub.Goodbye) {
	if g.Last != nil {
		c.queued = append(c.queued, g.Last)
	}
	if !c.stalled {
		c.give()
	}
	c.mu.Lock()
	c.over = &g
	c.mu.Unlock()
}

// leave ends the connection as the client's side does.
func (c *client) leave() {
	c.mu.Lock()
	ended := c.ended
	c.ended = true
	c.mu.Unlock()
	if !ended {
		c.conn.Ended(hub.End{Peer: true, Code: 1000})
	}
}

// send sends text frames, and waits until the server rests.
func (c *client) send(frames ...string) {
	c.t.Helper()
	in := make([]hub.Input, len(frames))
	for i, f := range frames {
		in[i] = hub.Input{Op: hub.Text, Data: []byte(f)}
	}
	c.conn.Receive(in...)
	synctest.Wait()
}

// read returns the frames that have come since the last call.
func (c *client) read() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	frames := c.frames
	c.frames = nil
	return frames
}

// next returns the next frame, which must be there.
func (c *client) next() string {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.frames) == 0 {
		c.t.Fatal("nothing came")
	}
	f := c.frames[0]
	c.frames = c.frames[1:]
	return f
}

// goodbye returns how the server ended the connection, nil if it has not.
func (c *client) goodbye() *hub.Goodbye {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// expect takes the next frames, which must be these; $ID stands for any id.
func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.next(); mask(got) != w {
			c.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// silent checks that nothing more has come.
func (c *client) silent() {
	c.t.Helper()
	if got := c.read(); len(got) > 0 {
		c.t.Fatalf("got %q, want nothing", got)
	}
}

// mask replaces a message's id.
func mask(frame string) string {
	const prefix = `{"id":"`
	if !strings.HasPrefix(frame, prefix) || len(frame) < len(prefix)+26 {
		return frame
	}
	return prefix + "$ID" + frame[len(prefix)+26:]
}

// id returns the id of a message.
func id(t testing.TB, frame string) string {
	t.Helper()
	var m struct{ ID string }
	if err := json.Unmarshal([]byte(frame), &m); err != nil || m.ID == "" {
		t.Fatalf("no id in %s (%v)", frame, err)
	}
	return m.ID
}

// subscribe subscribes, and takes the confirmation.
func (c *client) subscribe(channel string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":%q}`, channel))
	if got := c.next(); !strings.HasPrefix(got, fmt.Sprintf(`{"event":"hotsock.subscribed","channel":%q`, channel)) {
		c.t.Fatalf("got %s, want the confirmation", got)
	}
}

// publish publishes as the application's server.
func (s *server) publish(m *earshot.Message) {
	s.t.Helper()
	if _, err := s.hub.Publish(context.Background(), s.apps.Default(), hub.Publication{Message: m}); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}

func stored(channel, event, data string) *earshot.Message {
	return &earshot.Message{Channel: channel, Event: event, Data: []byte(data), Store: time.Hour}
}

// post asks the HTTP API as a client does.
func (c *client) post(path, body string) *httptest.ResponseRecorder {
	c.t.Helper()
	d := c.greeting.Data
	q := url.Values{"connectionId": {d.ConnectionID}, "connectionSecret": {d.ConnectionSecret}}
	return c.s.ask(http.MethodPost, path+"?"+q.Encode(), body)
}

func (s *server) ask(method, target, body string) *httptest.ResponseRecorder {
	return s.request(method, target, body, "")
}

// request is ask with a Content-Type, none if it is empty.
func (s *server) request(method, target, body, kind string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("User-Agent", "the browser of the tests")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}
