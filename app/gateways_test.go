package app_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/config"
)

// TestInternalBackends are not called for an app that was made at run time, by a
// name no more than by an address, unless the operator listed them.
func TestInternalBackends(t *testing.T) {
	var calls atomic.Int32
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = io.WriteString(w, `{"statusCode":200}`)
	}))
	defer backend.Close()
	_, port, _ := net.SplitHostPort(backend.Listener.Addr().String())
	for _, test := range []struct {
		name, url, allow string
		want             int
		kind             string
	}{
		{"an address", "https://127.0.0.1:" + port, "", http.StatusInternalServerError, "misconfigured"},
		{"a name", "https://localhost:" + port, "", http.StatusInternalServerError, "misconfigured"},
		{"another host is listed", "https://localhost:" + port, "backend.internal", http.StatusInternalServerError, "misconfigured"},
		{"the host is listed", "http://localhost:" + port, "localhost", http.StatusSwitchingProtocols, ""},
		{"the network is listed", "http://127.0.0.1:" + port, "127.0.0.0/8", http.StatusSwitchingProtocols, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls.Store(0)
			c := administered(t)
			if test.allow != "" {
				c.Gateways.Allow = []string{test.allow}
			}
			a := up(t, start(t, c, app.Options{}))
			status, text := admin(t, a, http.MethodPost, "/admin/apps", fmt.Sprintf(`{"slug":"shop","gateways":[{
				"id":"abc123","routeSelectionExpression":"$request.body.action","stages":[{"stageName":"prod"}],
				"routes":[{"routeKey":"$connect","target":"integrations/i"}],
				"integrations":[{"integrationId":"i","integrationType":"HTTP_EVENT","integrationUri":%q}]}]}`, test.url))
			if status != http.StatusCreated {
				t.Fatal(status, text)
			}
			conn, got := connectToStage(t, a, "abc123")
			if conn != nil {
				_ = conn.CloseNow()
			}
			if got != test.want {
				t.Errorf("the handshake is answered %d", got)
			}
			if (calls.Load() > 0) != (test.want == http.StatusSwitchingProtocols) {
				t.Errorf("the backend was called %d times", calls.Load())
			}
			r, err := http.NewRequest(http.MethodGet, "http://"+a.Addr().String()+"/metrics", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			_, page := answer(t, r)
			if want := fmt.Sprintf("earshot_gateway_execution_errors_total{kind=%q} 1", test.kind); test.kind != "" && !strings.Contains(page, want) {
				t.Errorf("%s is not among the figures", want)
			}
			if !strings.Contains(page, `earshot_gateway_calls_total{type="CONNECT"} 1`) {
				t.Error("the call is not among the figures")
			}
		})
	}
}

// connectToStage connects to the stage prod of an API. It returns the connection,
// nil if there is none, and the handshake's status.
func connectToStage(t *testing.T, a *app.App, api string) (*websocket.Conn, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, "ws://"+a.Addr().String()+"/prod", &websocket.DialOptions{Host: api + ".execute-api.us-east-1.amazonaws.com"})
	if resp == nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil, resp.StatusCode
	}
	return conn, resp.StatusCode
}

// badBackends serves what backends should not be, by its path, and a good one.
func badBackends(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/good":
			_, _ = io.WriteString(w, `{"statusCode":200,"body":"fine"}`)
		case "/crash":
			panic(http.ErrAbortHandler)
		case "/hang":
			<-r.Context().Done()
		case "/flood":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "/garbage":
			_, _ = io.WriteString(w, "<html>")
		case "/raise":
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestBadBackends: a backend that crashes, hangs, floods or answers garbage gives
// the client its frame, or the handshake its status, and other clients notice
// nothing; both are among the figures.
func TestBadBackends(t *testing.T) {
	const internal, late = "Internal server error", "Endpoint request timed out"
	backends := badBackends(t)
	cases := []struct {
		name, message string
		status        int
	}{
		{"crash", internal, http.StatusGatewayTimeout},
		{"hang", late, http.StatusGatewayTimeout},
		{"flood", internal, http.StatusBadGateway},
		{"garbage", internal, http.StatusBadGateway},
		{"raise", internal, http.StatusBadGateway},
	}
	c := settings(t)
	messages := config.Gateway{ID: "messages", RouteSelection: "$request.body.action", Stages: []config.GatewayStage{{Name: "prod"}}}
	for _, name := range []string{"good", "crash", "hang", "flood", "garbage", "raise"} {
		n := config.GatewayIntegration{ID: name, Type: "HTTP_EVENT", URI: backends + "/" + name}
		if name == "hang" {
			n.TimeoutMillis = 500
		}
		messages.Integrations = append(messages.Integrations, n)
		messages.Routes = append(messages.Routes, config.GatewayRoute{Key: name, Target: "integrations/" + name, RouteResponse: "$default"})
		c.Apps[0].Gateways = append(c.Apps[0].Gateways, config.Gateway{
			ID: name, RouteSelection: "$request.body.action", Stages: messages.Stages, Integrations: []config.GatewayIntegration{n},
			Routes: []config.GatewayRoute{{Key: "$connect", Target: "integrations/" + name}},
		})
	}
	c.Apps[0].Gateways = append(c.Apps[0].Gateways, messages)
	a := up(t, start(t, c, app.Options{}))
	one, _ := connectToStage(t, a, "messages")
	other, _ := connectToStage(t, a, "messages")
	if one == nil || other == nil {
		t.Fatal("the handshakes were refused")
	}
	defer one.CloseNow()
	defer other.CloseNow()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			say(t, one, `{"action":"`+test.name+`"}`)
			say(t, other, `{"action":"good"}`)
			if got := hear(t, other); got != "fine" {
				t.Errorf("the other client is told %s", got)
			}
			form := regexp.MustCompile(`^\{"message": "` + test.message + `", "connectionId":"[\w-]+=", "requestId":"[\w-]+="\}$`)
			if got := hear(t, one); !form.MatchString(got) {
				t.Errorf("the client is told %s", got)
			}
			say(t, one, `{"action":"good"}`)
			if got := hear(t, one); got != "fine" {
				t.Errorf("then it is told %s", got)
			}
			conn, status := connectToStage(t, a, test.name)
			if conn != nil {
				_ = conn.CloseNow()
			}
			if status != test.status {
				t.Errorf("the handshake is answered %d, want %d", status, test.status)
			}
		})
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+a.Addr().String()+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, page := answer(t, r)
	for _, want := range []string{
		`earshot_gateway_calls_total{type="MESSAGE"} 15`, `earshot_gateway_calls_total{type="CONNECT"} 5`,
		`earshot_gateway_execution_errors_total{kind="unreachable"} 2`, `earshot_gateway_execution_errors_total{kind="timed_out"} 2`,
		`earshot_gateway_execution_errors_total{kind="malformed"} 4`, `earshot_gateway_execution_errors_total{kind="raised"} 2`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("%s is not among the figures", want)
		}
	}
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, text, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
