package app_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot/app"
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
			if got := connectToStage(t, a); got != test.want {
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

// connectToStage connects to the API abc123, and returns the handshake's status.
func connectToStage(t *testing.T, a *app.App) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, "ws://"+a.Addr().String()+"/prod", &websocket.DialOptions{Host: "abc123.execute-api.us-east-1.amazonaws.com"})
	if resp == nil {
		t.Fatal(err)
	}
	if err == nil {
		_ = conn.CloseNow()
	}
	return resp.StatusCode
}
