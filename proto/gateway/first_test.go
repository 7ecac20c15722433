package gateway_test

import (
	"testing"

	"github.com/coder/websocket"

	core "github.com/earshot-io/earshot/gateway"
)

// TestWorkedExchange is the exchange of section 14.
func TestWorkedExchange(t *testing.T) {
	n := serve(t)
	c := n.dial("/dev?Auth=myFakeToken")
	text := `{"message":"hello Matteo","action":"push"}`
	c.say(text)
	e := n.wait(t, core.Message, 1)
	if e.Route.Key != "push" || string(e.Body) != text || e.Conn.ID != c.id || e.Stage.Name != "dev" {
		t.Errorf("the integration saw %+v", e)
	}
	path := "/dev/@connections/" + c.id[:15] + "%3D"
	if status, _, body := n.ask(call{method: "POST", path: path, body: []byte(`{"status":"done"}`)}); status != 200 || body != "" {
		t.Fatalf("a post was answered %d %q", status, body)
	}
	c.hears(`{"status":"done"}`)
	if err := c.Close(websocket.StatusNoStatusRcvd, ""); err != nil {
		t.Error(err)
	}
	if e = n.wait(t, core.Disconnect, 1); e.Code != 1005 || e.Reason != "Client-side close frame status not set" || e.Conn.ID != c.id {
		t.Errorf("$disconnect was told %d %q of %s", e.Code, e.Reason, e.Conn.ID)
	}
	status, header, body := n.ask(call{method: "POST", path: path})
	if status != 410 || header.Get("x-amzn-ErrorType") != "GoneException" || body != `{"message":"Gone"}` {
		t.Errorf("after the end a post was answered %d %v %q", status, header, body)
	}
}
