package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const pingAPI = `{
	"id": "ping1", "routeSelectionExpression": "$request.body.action", "stages": [{"stageName": "prod"}],
	"routes": [{"routeKey": "ping", "target": "integrations/i", "routeResponseSelectionExpression": "$default"}],
	"integrations": [{"integrationId": "i", "integrationType": "MOCK", "responses": [{"integrationResponseKey": "$default", "body": "pong"}]}]
}`

// TestGatewayAtRunTime: a WebSocket API that an app is given while the server runs
// answers, and no more when it is taken away.
func TestGatewayAtRunTime(t *testing.T) {
	data := t.TempDir()
	server, f := dev(t, data)
	devJSON, file := filepath.Join(data, "dev.json"), filepath.Join(data, "ping.json")
	if err := os.WriteFile(file, []byte(pingAPI), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, 0, "app", "create", "shop", "--dev", devJSON, "--gateway", file)
	address := strings.Replace(f.URL, "http://", "ws://", 1) + "shop/prod"
	c := dialSoon(t, address, true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(`{"action":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(ctx); err != nil || string(got) != "pong" {
		t.Errorf("got %s, %v", got, err)
	}
	_ = c.CloseNow()
	if err := os.WriteFile(file, []byte(`{"gateways": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, 0, "app", "update", "shop", "--dev", devJSON, "--file", file)
	dialSoon(t, address, false)
	if code := server.end(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}

// dialSoon dials until it is let in, or refused, as it should be. That this takes
// no second is shown where time is not the machine's.
func dialSoon(t *testing.T, address string, in bool) *websocket.Conn {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, resp, err := websocket.Dial(t.Context(), address, nil)
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		if (err == nil) == in {
			return c
		}
		if c != nil {
			_ = c.CloseNow()
		}
		if time.Now().After(deadline) {
			t.Fatalf("dialling ends with %v", err)
		}
	}
}
