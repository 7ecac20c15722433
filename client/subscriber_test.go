package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot/client"
)

// A script is a server of the native protocol that does as it is told: each
// connection gets the next of its acts.
type script struct {
	t    *testing.T
	acts []func(p *peer)
	next chan int
	url  string
}

type peer struct {
	t *testing.T
	c *websocket.Conn
	r *http.Request
}

func (p *peer) send(text string) {
	if err := p.c.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Error(err)
	}
}

func (p *peer) wants(text string) {
	_, got, err := p.c.Read(context.Background())
	if err != nil || string(got) != text {
		p.t.Errorf("the client sent %s (%v), want %s", got, err, text)
	}
}

func play(t *testing.T, acts ...func(*peer)) *script {
	t.Helper()
	s := &script{t: t, acts: acts, next: make(chan int, 1)}
	s.next <- 0
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/v1"
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i := <-s.next
	s.next <- i + 1
	if i >= len(s.acts) {
		s.t.Errorf("connection %d was not expected", i)
		return
	}
	if s.acts[i] == nil {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer c.CloseNow()
	s.acts[i](&peer{s.t, c, r})
}

const connected = `{"event":"hotsock.connected","data":{"connectionId":"x"},"meta":{}}`

func message(id, data string) string {
	return fmt.Sprintf(`{"id":%q,"event":"e","channel":"c","data":%s}`, id, data)
}

// subscriber hears c until it has heard "end".
func (s *script) subscriber(heard *[]string, notices *[]client.Notice) *client.Subscriber {
	return &client.Subscriber{
		URL: s.url, Channels: []string{"c"}, FirstDelay: time.Millisecond, MaxDelay: time.Millisecond,
		Token: func(context.Context) (string, error) { return "a token&more", nil },
		OnMessage: func(m client.Received) error {
			*heard = append(*heard, string(m.Data))
			if string(m.Data) == `"end"` {
				return errEnd
			}
			return nil
		},
		OnNotice: func(n client.Notice) { *notices = append(*notices, n) },
	}
}

var errEnd = errors.New("end")

// TestResume: after each connection the next asks for what came after.
func TestResume(t *testing.T) {
	s := play(t,
		func(p *peer) {
			if got := p.r.URL.Query().Get("token"); got != "a token&more" {
				t.Errorf("got the token %q", got)
			}
			p.send(connected)
			p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
			p.send(`{"event":"hotsock.subscribed","channel":"c","data":{"resume":"t0"},"meta":{}}`)
		},
		func(p *peer) { // nothing was heard, and yet nothing is to be missed
			p.send(connected)
			p.wants(`{"channel":"c","data":{"resume":"t0"},"event":"hotsock.subscribe"}`)
			p.send(`{"event":"hotsock.subscribed","channel":"c","data":{"recovered":true,"resume":"t1"},"meta":{}}`)
			p.send(message("1", `"a"`))
			p.send(`{"event":"hotsock.keepAlive","data":{}}`)
			p.send(message("2", `"b"`))
		},
		nil,
		func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"c","data":{"after":"2","resume":"t1"},"event":"hotsock.subscribe"}`)
			p.send(`{"event":"hotsock.subscribed","channel":"c","data":{"recovered":true},"meta":{}}`)
			p.send(message("3", `"c"`))
			_ = p.c.Close(websocket.StatusGoingAway, "shutting down")
		},
		func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"c","data":{"after":"3","resume":""},"event":"hotsock.subscribe"}`)
			p.send(`{"event":"hotsock.subscribed","channel":"c","data":{"recovered":false},"meta":{}}`)
			p.send(message("9", `"end"`))
			_, _, _ = p.c.Read(t.Context()) // until the client goes
		},
	)
	var heard []string
	var notices []client.Notice
	if err := s.subscriber(&heard, &notices).Run(t.Context()); !errors.Is(err, errEnd) {
		t.Fatalf("got %v", err)
	}
	if got := strings.Join(heard, " "); got != `"a" "b" "c" "end"` {
		t.Errorf("heard %s", got)
	}
	want := "Connected Subscribed Disconnected Connected Subscribed Disconnected Disconnected Connected Subscribed Disconnected Connected Broken"
	if got := strings.Join(kinds(notices), " "); got != want {
		t.Errorf("got the notices %s, want %s", got, want)
	}
}

// kinds are the names of notices.
func kinds(notices []client.Notice) (names []string) {
	for _, n := range notices {
		name := strings.TrimPrefix(fmt.Sprintf("%T", n), "client.")
		if s, ok := n.(client.Subscribed); ok && s.Broken {
			name = "Broken"
		}
		names = append(names, name)
	}
	return names
}

func TestAfter(t *testing.T) {
	s := play(t, func(p *peer) {
		p.send(connected)
		p.wants(`{"channel":"c","data":{"after":"0","resume":""},"event":"hotsock.subscribe"}`)
		p.send(message("1", `"end"`))
		_, _, _ = p.c.Read(t.Context())
	})
	var heard []string
	var notices []client.Notice
	sub := s.subscriber(&heard, &notices)
	sub.After = map[string]string{"c": "0"}
	if err := sub.Run(t.Context()); !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
}

// TestPassing: after an error that may pass it comes back, and resumes.
func TestPassing(t *testing.T) {
	says := func(text string) func(*peer) {
		return func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"c","data":{"after":"7","resume":""},"event":"hotsock.subscribe"}`)
			p.send(text)
			_, _, _ = p.c.Read(t.Context())
		}
	}
	for _, text := range []string{
		`{"event":"hotsock.error","error":{"code":"UNAVAILABLE","message":"messages were missed and cannot be read now; resume"}}`,
		`{"event":"hotsock.error","error":{"code":"TOKEN_EXPIRED","message":"m"}}`,
		`{"event":"hotsock.error","error":{"code":"INTERNAL_ERROR","message":"m"}}`,
		`{"event":"hotsock.error","channel":"c","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","reason":"UNAVAILABLE","message":"m"}}`,
		`{"event":"hotsock.error","channel":"c","error":{"code":"INVALID_SUBSCRIBE_TOKEN","reason":"LIMIT_REACHED","message":"m"}}`,
		`{"event":"hotsock.error","channel":"c","error":{"code":"INVALID_SUBSCRIBE_TOKEN","reason":"LIMIT_CHANNELS","message":"m"}}`,
	} {
		var heard []string
		var notices []client.Notice
		sub := play(t, says(text), says(message("8", `"end"`))).subscriber(&heard, &notices)
		sub.After = map[string]string{"c": "7"}
		if err := sub.Run(t.Context()); !errors.Is(err, errEnd) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// TestFinal: what trying again would not change ends it.
func TestFinal(t *testing.T) {
	refused := func(text string) func(*peer) {
		return func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
			p.send(text)
			_, _, _ = p.c.Read(t.Context())
		}
	}
	for text, part := range map[string]string{
		`{"event":"hotsock.error","channel":"c","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","message":"m"}}`: "SUBSCRIBE_PERMISSION_DENIED",
		`{"event":"hotsock.unsubscribed","channel":"c","data":{}}`:                                             "ended the subscription",
	} {
		var heard []string
		var notices []client.Notice
		err := play(t, refused(text)).subscriber(&heard, &notices).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"TOKEN_EXPIRED","message":"the token has expired"}}`)
	}))
	defer server.Close()
	sub := client.Subscriber{
		URL: "ws" + strings.TrimPrefix(server.URL, "http"), Channels: []string{"c"},
		Token: func(context.Context) (string, error) { return "t", nil },
	}
	var e *client.Error
	if err := sub.Run(t.Context()); !errors.As(err, &e) || e.Code != "TOKEN_EXPIRED" {
		t.Errorf("got %v, want that the token has expired", err)
	}
}

// TestCancel: it ends at once while it waits, and no token is in what it says.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sub := client.Subscriber{
		URL: "ws://127.0.0.1:1/v1", Channels: []string{"c"}, FirstDelay: time.Hour, MaxDelay: time.Hour,
		Token: func(context.Context) (string, error) { return "very-secret", nil },
		OnNotice: func(n client.Notice) {
			d, ok := n.(client.Disconnected)
			if !ok || d.Err == nil || strings.Contains(d.Err.Error(), "very-secret") {
				t.Errorf("got %+v", n)
			}
			if d.Retry < 30*time.Minute || d.Retry > time.Hour {
				t.Errorf("it would wait %v, want half an hour to an hour", d.Retry)
			}
			cancel()
		},
	}
	if err := sub.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTokenFails(t *testing.T) {
	broken := errors.New("no token today")
	ctx, cancel := context.WithCancelCause(t.Context())
	sub := client.Subscriber{
		URL: "ws://127.0.0.1:1/v1", Token: func(context.Context) (string, error) { return "", broken },
		OnNotice: func(n client.Notice) { cancel(n.(client.Disconnected).Err) },
	}
	if err := sub.Run(ctx); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
