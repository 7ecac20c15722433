package phoenix_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/hotsock"
	"github.com/earshot-io/earshot/proto/phoenix"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/ws"
)

// A stage is a server with Phoenix and Hotsock on real sockets, on which a
// transcript is played.
type stage struct {
	t     *testing.T
	hub   *hub.Hub
	apps  *auth.Directory
	http  *httptest.Server
	conns map[string]*websocket.Conn
	// early is what came before it was its turn, by client.
	early map[string][]string
	vars  map[string]string
}

// The vector of A.7.3.
const (
	vectorKey = "secret-key-1234567890"
	vectorJWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJjc3JmIiwic3ViIjp7fSwiaXNzIjoicGwtd2ViLXRlc3QiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6NDEwMjQ0NDgwMCwic19jc3JmIjoiMWwySV8zdEE2MDJDVXBTRTdXbHBHeGEwclRKdll2b040aTQ0VWJLZ3NlUSIsImxpc3RlbiI6WyJwdWJsaWM6KiIsInByaXZhdGU6KiJdLCJwdWJsaXNoIjpbInB1YmxpYzoqIl19.h5ACeyxoTznwoEkwfRyZBvYfIj0uFXq_53BDkIUmhUk"
)

// tenants are two apps: in both, topics that begin with "room" and "presence" are
// open and live; what begins with "log" is logged, and open in the first. Two more
// are as Ex Pusher Lite has them; the second takes tokens that its key has signed,
// and has rooms that only its server may publish to.
func tenants() []*earshot.App {
	open := earshot.Subscribe | earshot.Publish
	var all []*earshot.App
	for _, slug := range []string{"one", "two"} {
		all = append(all, &earshot.App{
			Slug: slug, SigningKeys: []earshot.SigningKey{dialectKey(slug)}, Rules: []earshot.Rule{
				{Channel: earshot.Glob("room*"), Live: true, Open: open},
				{Channel: earshot.Glob("presence*"), Live: true, Open: open},
				{Channel: earshot.Glob("log*"), Open: open},
			},
		})
	}
	all[1].Origins = []string{"//*.two.example"}
	return append(
		all,
		&earshot.App{Slug: "test-app", Key: "the-key", Secrets: []string{vectorKey, "older"}},
		&earshot.App{Slug: "demo", Key: "demo-key", KeySigned: true, Rules: []earshot.Rule{
			{Channel: earshot.Glob("public:*"), Live: true, Open: earshot.Subscribe},
		}},
		&earshot.App{Slug: "replays", Replay: earshot.Replay{Size: 2, For: time.Hour}, Rules: []earshot.Rule{
			{Channel: earshot.Glob("public:replays:log*"), Open: open}, {Channel: earshot.Glob("public:replays:live"), Live: true, Open: open},
		}},
	)
}

func newStage(t *testing.T) *stage {
	t.Helper()
	return newStageOf(t, tenants())
}

func newStageOf(t *testing.T, apps []*earshot.App) *stage {
	t.Helper()
	return newStageWith(t, apps, phoenix.DefaultConfig())
}

func newStageWith(t *testing.T, apps []*earshot.App, config phoenix.Config) *stage {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	engine := mem.New(mem.Config{})
	st := &stage{t: t, conns: map[string]*websocket.Conn{}, early: map[string][]string{}, vars: map[string]string{"vector": vectorJWT}}
	for name, key := range map[string]string{"older": "older", "bykey": "demo-key"} {
		st.vars[name] = st.signed(earshot.SigningKey{Alg: "HS256", Key: []byte(key)}, `{"listen":["private:*"],"publish":["*"]}`)
	}
	var err error
	if st.apps, err = auth.NewDirectory(apps); err != nil {
		t.Fatal(err)
	}
	st.hub = hub.New(hub.Config{Shards: 2}, engine, log)
	if err := st.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	tr, err := transport.New(transport.Config{}, st.hub, log)
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	deps := proto.Deps{Hub: st.hub, Apps: st.apps, Tokens: auth.NewVerifier(st.apps, engine), Log: log}
	up, err := ws.New(ws.Config{}, ws.Deps{
		Hub: st.hub, Transport: tr, Limits: transport.NewLimits(transport.LimitConfig{}), Apps: st.apps, Log: log,
	}, []ws.Endpoint{
		{Entry: phoenix.Entry(), Protocol: phoenix.New(config, deps)},
		{Entry: hotsock.Entry(), Protocol: hotsock.New(hotsock.DefaultConfig(), deps)},
	})
	if err != nil {
		t.Fatal(err)
	}
	st.http = httptest.NewServer(up.Handler(http.NotFoundHandler()))
	t.Cleanup(func() { st.close(tr, engine) })
	return st
}

func (st *stage) close(tr *transport.Transport, engine *mem.Engine) {
	for _, c := range st.conns {
		_ = c.CloseNow() // it may have ended by itself
	}
	st.http.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := tr.Close(ctx); err != nil {
		st.t.Error(err)
	}
	if err := engine.Close(ctx); err != nil {
		st.t.Error(err)
	}
	st.hub.Close()
}

// within bounds what must happen.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestTranscripts plays the dialogues of testdata. A line is
//
//	# a comment
//	@ PATH [ORIGIN]  connects
//	^ PATH CLAIMS    connects with a token of the claims as authToken
//	> FRAME          is sent; hex:… as a binary frame
//	< FRAME          must come next
//	~ FRAME          must come, perhaps behind others, which may be asked for later
//	= CODE           the server has closed with the code
//	$ NAME CLAIMS    makes a token
//	! MESSAGE        is published by the server of the app that it names, else the first
//	x PATH           must be refused with 403
//
// The name of one of several clients may stand before @ ^ > < ~ and =. What
// ${name} stands for in what came is remembered, and used from then on.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 9 {
		t.Fatalf("got the transcripts %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			st := newStage(t)
			for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
				st.play(line)
				if t.Failed() {
					t.Fatalf("%s:%d: %s", file, i+1, line)
				}
			}
		})
	}
}

var lineForm = regexp.MustCompile(`^([a-z]*?)([#@^><~=$!x]) ?(.*)$`)

func (st *stage) play(line string) {
	st.t.Helper()
	parts := lineForm.FindStringSubmatch(line)
	if parts == nil {
		st.t.Errorf("the line is none")
		return
	}
	who, rest := parts[1], st.filled(parts[3])
	first, second, _ := strings.Cut(rest, " ")
	switch parts[2] {
	case "@":
		st.connect(who, first, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": slices.DeleteFunc([]string{second}, func(s string) bool { return s == "" })}})
	case "^":
		token := base64.RawStdEncoding.EncodeToString([]byte(st.token("one", second)))
		st.connect(who, first, &websocket.DialOptions{Subprotocols: []string{"phoenix", "base64url.bearer.phx." + token}})
		if got := st.conns[who].Subprotocol(); got != "phoenix" {
			st.t.Errorf("the subprotocol is %q", got)
		}
	case ">":
		st.send(who, rest)
	case "<":
		st.comes(who, rest, false)
	case "~":
		st.comes(who, rest, true)
	case "=":
		_, got, err := st.conns[who].Read(within(st.t))
		if code := fmt.Sprint(int(websocket.CloseStatus(err))); code != rest {
			st.t.Errorf("closed with %s, after %q: %v", code, got, err)
		}
	case "$":
		st.vars[first] = st.token("one", second)
	case "!":
		st.publish(rest)
	case "x":
		_, answer, err := st.dial(first, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {second}}})
		if err == nil || answer == nil || answer.StatusCode != http.StatusForbidden {
			st.t.Errorf("answered by %v, %v", answer, err)
		}
	}
}

func (st *stage) dial(path string, o *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	o.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return websocket.Dial(within(st.t), "ws"+strings.TrimPrefix(st.http.URL, "http")+path, o)
}

func (st *stage) connect(who, path string, o *websocket.DialOptions) {
	st.t.Helper()
	c, _, err := st.dial(path, o)
	if err != nil {
		st.t.Fatal(err)
	}
	st.conns[who] = c
}

func (st *stage) send(who, text string) {
	st.t.Helper()
	kind, data := websocket.MessageText, []byte(text)
	if packed, ok := strings.CutPrefix(text, "hex:"); ok {
		var err error
		if data, err = hex.DecodeString(packed); err != nil {
			st.t.Fatal(err)
		}
		kind = websocket.MessageBinary
	}
	if err := st.conns[who].Write(within(st.t), kind, data); err != nil {
		st.t.Error(err)
	}
}

// comes takes the next frame, or with patience the next that fits.
func (st *stage) comes(who, want string, patience bool) {
	st.t.Helper()
	for i, got := range st.early[who] {
		if st.matches(got, want) {
			st.early[who] = slices.Delete(st.early[who], i, i+1)
			return
		}
		if !patience {
			break
		}
	}
	for patience || len(st.early[who]) == 0 {
		kind, b, err := st.conns[who].Read(within(st.t))
		if err != nil {
			st.t.Errorf("%v, after %q", err, st.early[who])
			return
		}
		got := string(b)
		if kind == websocket.MessageBinary {
			got = "hex:" + hex.EncodeToString(b)
		}
		if st.matches(got, want) {
			return
		}
		st.early[who] = append(st.early[who], got)
	}
	st.t.Errorf("got  %q", st.early[who])
}

// matches compares what came, and remembers what its variables stand for.
func (st *stage) matches(got, want string) bool {
	var names []string
	form := regexp.MustCompile(`\\\$\\\{(\w+)\\\}`).ReplaceAllStringFunc(regexp.QuoteMeta(want), func(v string) string {
		names = append(names, v[4:len(v)-2])
		return "(.+?)"
	})
	values := regexp.MustCompile("^" + form + "$").FindStringSubmatch(got)
	if values == nil {
		return false
	}
	for i, name := range names {
		st.vars[name] = values[i+1]
	}
	return true
}

// filled replaces the variables that are known.
func (st *stage) filled(text string) string {
	for name, value := range st.vars {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}

// token signs claims with an app's key.
func (st *stage) token(app, text string) string { return st.signed(dialectKey(app), text) }

// signed signs claims, valid for an hour unless they say otherwise.
func (st *stage) signed(key earshot.SigningKey, text string) string {
	st.t.Helper()
	claims := map[string]any{"exp": time.Now().Add(time.Hour).Unix()}
	if err := json.Unmarshal([]byte(text), &claims); err != nil {
		st.t.Fatal(err)
	}
	issuer, err := auth.NewIssuer(key)
	if err != nil {
		st.t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		st.t.Fatal(err)
	}
	token, err := issuer.Issue(b)
	if err != nil {
		st.t.Fatal(err)
	}
	return token
}

func (st *stage) publish(text string) {
	st.t.Helper()
	var m struct {
		App            string
		Channel, Event string
		Data           json.RawMessage
		Binary         []byte
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		st.t.Fatal(err)
	}
	made := &earshot.Message{Channel: m.Channel, Event: m.Event, Data: m.Data}
	if m.Binary != nil {
		made.Kind, made.Data = earshot.Binary, m.Binary
	}
	if _, err := st.hub.Publish(within(st.t), st.apps.BySlug(cmp.Or(m.App, "one")), hub.Publication{Message: made}); err != nil {
		st.t.Error(err)
	}
}

// TestTooManyTopics is B.4: 100 topics on one socket, the same ones again, and no
// more than that.
func TestTooManyTopics(t *testing.T) {
	st := newStage(t)
	st.play(`@ /socket/websocket?vsn=2.0.0`)
	for i := range 100 {
		st.play(fmt.Sprintf(`> ["%[1]d","%[1]d","room:%[1]d","phx_join",{}]`, i))
		st.play(fmt.Sprintf(`< ["%[1]d","%[1]d","room:%[1]d","phx_reply",{"status":"ok","response":{}}]`, i))
	}
	st.play(`> ["a","a","room:more","phx_join",{}]`)
	st.play(`< ["a","a","room:more","phx_reply",{"status":"error","response":{"reason":"too many channels joined"}}]`)
	st.play(`> ["b","b","room:7","phx_join",{}]`)
	st.play(`< ["b","b","room:7","phx_reply",{"status":"ok","response":{}}]`)
	st.play(`< ["7","7","room:7","phx_close",{}]`)
}

// TestDrain is B.8.
func TestDrain(t *testing.T) {
	st := newStage(t)
	st.play(`@ /socket/websocket?vsn=2.0.0`)
	st.play(`> [null,"1","phoenix","heartbeat",{}]`)
	st.play(`< [null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]`)
	drained := make(chan error, 1)
	go func() { drained <- st.hub.Drain(within(t), 0) }()
	st.play(`= 1012`)
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestNoApp joins where nothing says which app, and there is no default one.
func TestNoApp(t *testing.T) {
	st := newStageOf(t, nil)
	st.play(`@ /socket/websocket?vsn=2.0.0`)
	st.play(`> ["1","1","room:lobby","phx_join",{}]`)
	st.play(`< ["1","1","room:lobby","phx_reply",{"status":"error","response":{"reason":"unknown app"}}]`)
	st.play(`> ["2","2","room:lobby","e",{}]`)
	st.play(`< [null,"2","room:lobby","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`)
}

// TestChannelsLimit is the setting of that name.
func TestChannelsLimit(t *testing.T) {
	none := func(v any) error { v.(*phoenix.Config).Channels = 0; return nil }
	if _, err := phoenix.Entry().New(none, proto.Deps{}); err == nil {
		t.Errorf("a socket without topics is accepted")
	}
	if p, err := phoenix.Entry().New(func(any) error { return nil }, proto.Deps{}); err != nil || p == nil {
		t.Errorf("the default is refused: %v", err)
	}
}
