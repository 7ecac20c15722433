package hotsock_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// via posts to another node than the connection's.
func (c *client) via(s *server, endpoint, body string) (status int, answer string) {
	c.t.Helper()
	own := c.s
	c.s = s
	defer func() { c.s = own }()
	w := c.post("/connection/"+endpoint, body)
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != "*" {
		c.t.Errorf("a page may not read the answer of %s", endpoint)
	}
	return w.Code, w.Body.String()
}

// cluster is two nodes that know each other.
func cluster(t *testing.T, f func(t *testing.T, one, two *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newNode(t, store, hotsock.DefaultConfig()), newNode(t, store, hotsock.DefaultConfig())
		time.Sleep(time.Second)
		f(t, one, two)
	})
}

// TestRequestsReachTheConnectionsNode: whichever node a request arrives at.
func TestRequestsReachTheConnectionsNode(t *testing.T) {
	cluster(t, func(t *testing.T, one, two *server) {
		c := one.connect(claims{"uid": "u", "channels": claims{"*": claims{"subscribe": true, "historyStart": 0, "getInfo": true, "messages": claims{"*": claims{"publish": true, "echo": true, "store": 60}}}}})
		c.subscribe("c")
		status, body := c.via(two, "publishMessage", `{"channel":"c","event":"e","data":{"n":1},"eagerIdGeneration":true}`)
		heard := c.next()
		if want := fmt.Sprintf(`{"channel":"c","event":"e","id":%q}`, id(t, heard)); status != http.StatusAccepted || body != want {
			t.Errorf("got %d %s, want %s", status, body, want)
		}
		if want := `{"id":"$ID","event":"e","channel":"c","data":{"n":1},"meta":{"uid":"u","umd":null}}`; mask(heard) != want {
			t.Errorf("got %s", heard)
		}
		if status, body = c.via(two, "listMessages", `{"channel":"c"}`); status != http.StatusOK || body != `{"messages":[`+heard+`]}` {
			t.Errorf("got %d %s", status, body)
		}
		if status, body = c.via(two, "getChannelInfo", `{"channel":"c"}`); status != http.StatusOK || body != `{"channel":"c","subscriptionsCount":1}` {
			t.Errorf("got %d %s", status, body)
		}
		update := fmt.Sprintf(`{"token":%q}`, token(t, claims{"scope": "umd", "uid": "u", "umd": 9, "umdUpdate": true}))
		if status, body = c.via(two, "umdUpdate", update); status != http.StatusOK || body != "{}" {
			t.Errorf("got %d %s", status, body)
		}
		c.send(`{"event":"hotsock.subscribe","channel":"d"}`)
		if got := confirmedMeta(t, c.next()); got["umd"] != 9.0 {
			t.Errorf("after the update the metadata is %v", got)
		}
		if status, body = c.via(two, "publishMessage", `{"channel":"c","event":""}`); status != http.StatusBadRequest || !strings.Contains(body, "INVALID_MESSAGE") {
			t.Errorf("got %d %s", status, body)
		}
	})
}

// TestALargeAnswerOfAnotherNode: a page is as long as it is from one's own.
func TestALargeAnswerOfAnotherNode(t *testing.T) {
	cluster(t, func(t *testing.T, one, two *server) {
		c := one.connect(claims{"channels": everything()})
		c.subscribe("c")
		big := `"` + strings.Repeat("x", hub.MaxData-2) + `"`
		for range 40 {
			one.publish(stored("c", "e", big))
		}
		_, own := c.via(one, "listMessages", `{"channel":"c"}`)
		status, other := c.via(two, "listMessages", `{"channel":"c"}`)
		if status != http.StatusOK || own != other || len(own) < 1_000_000 {
			t.Errorf("got %d and %d bytes, want %d", status, len(other), len(own))
		}
	})
}

// TestNobodysConnectionOverNodes: a wrong secret and no connection look the
// same from every node, and so does one whose node is gone.
func TestNobodysConnectionOverNodes(t *testing.T) {
	cluster(t, func(t *testing.T, one, two *server) {
		c := one.connect(claims{"channels": everything()})
		right := c.greeting.Data.ConnectionSecret
		c.greeting.Data.ConnectionSecret = strings.Repeat("A", len(right))
		status, wrong := c.via(two, "getChannelInfo", `{"channel":"c"}`)
		if status != http.StatusUnauthorized {
			t.Errorf("a wrong secret gives %d %s", status, wrong)
		}
		c.greeting.Data.ConnectionSecret = right
		if status, body := c.via(two, "getChannelInfo", `{"channel":"c"}`); status != http.StatusForbidden {
			t.Errorf("the right one gives %d %s", status, body)
		}
		c.leave()
		if status, body := c.via(two, "getChannelInfo", `{"channel":"c"}`); status != http.StatusUnauthorized || body != wrong {
			t.Errorf("after the end: got %d %s, want %s", status, body, wrong)
		}
	})
}

// TestANodeThatDoesNotAnswer: the client is told that nobody knows whether it
// was done, in the five seconds that it may take.
func TestANodeThatDoesNotAnswer(t *testing.T) {
	cluster(t, func(t *testing.T, one, two *server) {
		c := one.connect(claims{"channels": everything()})
		one.engine.Cut()
		before := time.Now()
		status, body := c.via(two, "publishMessage", `{"channel":"c","event":"e"}`)
		if took := time.Since(before); status < 500 || took > 6*time.Second {
			t.Errorf("got %d %s after %v", status, body, took)
		}
		one.engine.Restore()
	})
}
