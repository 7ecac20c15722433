package hotsock_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto/hotsock"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/ws"
)

// A stage is the protocol on real sockets, on which a transcript is played.
type stage struct {
	t     *testing.T
	s     *server
	http  *httptest.Server
	conns map[string]*websocket.Conn
	// secrets are the queries that stand for a client's connection over HTTP.
	secrets map[string]string
	vars    map[string]string
	// answer is the last one over HTTP, its status first.
	answer string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	st := &stage{t: t, s: newServer(t, hotsock.DefaultConfig()), conns: map[string]*websocket.Conn{}, secrets: map[string]string{}, vars: map[string]string{}}
	log := slog.New(slog.DiscardHandler)
	tr, err := transport.New(transport.Config{}, st.s.hub, log)
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	up, err := ws.New(ws.Config{}, ws.Deps{
		Hub: st.s.hub, Transport: tr, Limits: transport.NewLimits(transport.LimitConfig{}), Apps: st.s.apps, Log: log,
	}, []ws.Endpoint{{Entry: hotsock.Entry(), Protocol: st.s.protocol}})
	if err != nil {
		t.Fatal(err)
	}
	api.New(api.Deps{
		Hub: st.s.hub, Apps: st.s.apps, Entries: st.s.entries, Storage: writes{st.s}, Reactions: reacts{st.s},
		Ready: func() error { return nil }, Log: log,
	}).Routes(st.s.mux.Handle)
	st.http = httptest.NewServer(up.Handler(st.s.mux))
	t.Cleanup(func() {
		for _, c := range st.conns {
			_ = c.CloseNow() // it may have ended by itself
		}
		st.http.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tr.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return st
}

// within bounds what must happen.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (st *stage) url(path, raw string) string {
	return "ws" + strings.TrimPrefix(st.http.URL, "http") + path + "?token=" + raw
}

func (st *stage) dial(path, raw string) (*websocket.Conn, *http.Response, error) {
	return websocket.Dial(within(st.t), st.url(path, raw), &websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
}

// TestTranscripts plays the dialogues of testdata. A line is
//
//	# a comment
//	@ CLAIMS       connects with a token of the claims
//	> FRAME        is sent
//	< FRAME        must come next
//	$ NAME CLAIMS  makes a token
//	! MESSAGE      is published by the application's server
//	. CODE         says goodbye
//	? CALL BODY    asks the client's HTTP API
//	% METHOD PATH BODY  asks the HTTP API of the application's server, with its key
//	= STATUS BODY  must be the answer
//
// The name of one of several clients may stand before @ > < ? and the dot. What
// ${name} stands for in what came is remembered, and used from then on.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
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

var lineForm = regexp.MustCompile(`^([a-z]*)([#@><$!.?%=]) ?(.*)$`)

func (st *stage) play(line string) {
	st.t.Helper()
	parts := lineForm.FindStringSubmatch(line)
	if parts == nil {
		st.t.Errorf("the line is none")
		return
	}
	who, rest := parts[1], parts[3]
	switch parts[2] {
	case "@":
		st.connect(who, rest)
	case ">":
		if err := st.conns[who].Write(within(st.t), websocket.MessageText, []byte(st.filled(rest))); err != nil {
			st.t.Error(err)
		}
	case "<":
		st.comes(who, rest)
	case "$":
		name, payload, _ := strings.Cut(rest, " ")
		st.vars[name] = st.token(payload)
	case "!":
		st.publish(rest)
	case "?":
		call, body, _ := strings.Cut(rest, " ")
		st.ask(http.MethodPost, "/connection/"+call+"?"+st.secrets[who], body)
	case "%":
		method, rest, _ := strings.Cut(rest, " ")
		path, body, _ := strings.Cut(rest, " ")
		st.ask(method, path, body)
	case "=":
		st.matches(st.answer, rest)
	case ".":
		if err := st.conns[who].Close(websocket.StatusNormalClosure, ""); err != nil {
			st.t.Error(err)
		}
		delete(st.conns, who)
	}
}

func (st *stage) token(payload string) string {
	st.t.Helper()
	var c claims
	if err := json.Unmarshal([]byte(payload), &c); err != nil {
		st.t.Fatal(err)
	}
	return token(st.t, c)
}

func (st *stage) connect(who, payload string) {
	st.t.Helper()
	c, _, err := st.dial("/v1", st.token(payload))
	if err != nil {
		st.t.Fatal(err)
	}
	st.conns[who] = c
}

// comes reads a frame, and compares it.
func (st *stage) comes(who, want string) {
	st.t.Helper()
	_, got, err := st.conns[who].Read(within(st.t))
	if err != nil {
		st.t.Error(err)
		return
	}
	var hello struct {
		Event string
		Data  struct{ ConnectionID, ConnectionSecret string }
	}
	if json.Unmarshal(got, &hello) == nil && hello.Event == "hotsock.connected" {
		d := hello.Data
		st.secrets[who] = url.Values{"connectionId": {d.ConnectionID}, "connectionSecret": {d.ConnectionSecret}}.Encode()
	}
	st.matches(string(got), want)
}

// ask asks over HTTP, and keeps the answer.
func (st *stage) ask(method, target, body string) {
	st.t.Helper()
	r, err := http.NewRequestWithContext(within(st.t), method, st.http.URL+target, strings.NewReader(st.filled(body)))
	if err != nil {
		st.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+st.s.apps.Default().PublishKeys[0])
	answer, err := st.http.Client().Do(r)
	if err != nil {
		st.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		st.t.Fatal(err)
	}
	st.answer = strings.TrimSpace(fmt.Sprint(answer.StatusCode, " ", string(text)))
}

// matches compares what came, and remembers what its variables stand for.
func (st *stage) matches(got, want string) {
	st.t.Helper()
	var names []string
	form := regexp.MustCompile(`\\\$\\\{(\w+)\\\}`).ReplaceAllStringFunc(regexp.QuoteMeta(st.filled(want)), func(v string) string {
		names = append(names, v[4:len(v)-2])
		return "(.+?)"
	})
	values := regexp.MustCompile("^" + form + "$").FindStringSubmatch(got)
	if values == nil {
		st.t.Errorf("got  %s", got)
		return
	}
	for i, name := range names {
		st.vars[name] = values[i+1]
	}
}

// filled replaces the variables that are known.
func (st *stage) filled(text string) string {
	for name, value := range st.vars {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}

func (st *stage) publish(text string) {
	st.t.Helper()
	var m struct {
		Channel, Event string
		Data           json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		st.t.Fatal(err)
	}
	p := hub.Publication{Message: &earshot.Message{Channel: m.Channel, Event: m.Event, Data: m.Data}}
	if _, err := st.s.hub.Publish(within(st.t), st.s.apps.Default(), p); err != nil {
		st.t.Error(err)
	}
}

// TestUpgrade is R1 and R3 on the wire: the three paths take the upgrade as
// they stand, and a bad token gets an answer in JSON instead.
func TestUpgrade(t *testing.T) {
	st := newStage(t)
	for _, path := range []string{"/", "/v1", "/v1/", ""} {
		c, _, err := st.dial(path, token(t, claims{"scope": "connect"}))
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		if _, b, err := c.Read(within(t)); err != nil || !strings.HasPrefix(string(b), `{"event":"hotsock.connected"`) {
			t.Errorf("%q: greeted by %s, %v", path, b, err)
		}
		if c.Subprotocol() != "" {
			t.Errorf("%q: answered with the subprotocol %q", path, c.Subprotocol())
		}
		_ = c.CloseNow() // the test is done with it
	}
	_, answer, err := st.dial("/v1", "bad")
	if err == nil || answer == nil || answer.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a bad token is answered by %v, %v", answer, err)
	}
	b, err := io.ReadAll(answer.Body)
	if err != nil || !strings.HasPrefix(string(b), `{"error":{"code":"TOKEN_MALFORMED"`) || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s %v, %v", b, answer.Header, err)
	}
}
