package hotsock_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// TestPublishMessage: over HTTP as over the socket (spec §5).
func TestPublishMessage(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "umd": 1, "channels": claims{"c": claims{
			"subscribe": true, "alias": "room", "historyStart": 0,
			"messages": claims{"said": claims{"publish": true, "echo": true, "store": 60}, "quiet": claims{"publish": true}, "shout": claims{"broadcast": true, "echo": true}},
		}}})
		other := s.connect(claims{"channels": everything()})
		other.subscribe("c")
		said := `{"channel":"c","event":"said","data":{ "a": [1, 2] }}`
		c.asks("publishMessage", said, http.StatusForbidden, `{"error":{"code":"NOT_SUBSCRIBED","message":"publishing to this channel needs a subscription to it"}}`)
		c.asks("publishMessage", `{"channel":"c","event":"shout"}`, http.StatusAccepted, `{"channel":"c","event":"shout"}`)
		other.expect(`{"id":"$ID","event":"shout","channel":"c","data":null,"meta":{"uid":"u","umd":1}}`)
		c.subscribe("c")
		c.asks("publishMessage", said, http.StatusAccepted, `{"channel":"c","event":"said"}`)
		want := `{"id":"$ID","event":"said","channel":"c","data":{"a":[1,2]},"meta":{"uid":"u","umd":1}}`
		c.expect(want)
		other.expect(want)
		w := c.post("/connection/publishMessage", `{"channel":"room","event":"said","data":7,"eagerIdGeneration":true}`)
		if got := c.next(); w.Code != http.StatusAccepted || w.Body.String() != fmt.Sprintf(`{"channel":"c","event":"said","id":%q}`, id(t, got)) {
			t.Errorf("got %d %s for %s", w.Code, w.Body, got)
		}
		c.asks("publishMessage", `{"channel":"c","event":"quiet","data":null,"other":1}`, http.StatusAccepted, `{"channel":"c","event":"quiet"}`)
		c.silent()
		c.lists(`{"channel":"c"}`, `{"a":[1,2]}`, "7")
	})
}

func TestPublishMessageRefused(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": claims{"c*": claims{"subscribe": true, "messages": claims{"e": claims{"publish": true}}}}})
		c.subscribe("c")
		for body, want := range map[string]string{
			``:                          "400 INVALID_MESSAGE",
			`[]`:                        "400 INVALID_MESSAGE",
			`{"event":"e"}`:             "400 INVALID_MESSAGE",
			`{"channel":"c"}`:           "400 INVALID_MESSAGE",
			`{"channel":"c","event":5}`: "400 INVALID_MESSAGE",
			`{"channel":"c","event":"e","eagerIdGeneration":"yes"}`:                         "400 INVALID_MESSAGE",
			`{"channel":"c","event":"e","data":1,"data":2}`:                                 "400 INVALID_MESSAGE",
			`{"channel":"c","event":"e","scheduleExpression":5}`:                            "400 INVALID_MESSAGE",
			`{"channel":"c","event":"hotsock.x"}`:                                           "400 INVALID_EVENT_NAME",
			`{"channel":"c","event":" "}`:                                                   "400 INVALID_EVENT_NAME",
			`{"channel":"c#","event":"e"}`:                                                  "400 INVALID_CHANNEL_NAME",
			`{"channel":"c","event":"f"}`:                                                   "403 PUBLISH_PERMISSION_DENIED",
			`{"channel":"d","event":"e"}`:                                                   "403 PUBLISH_PERMISSION_DENIED",
			`{"channel":"c.other","event":"e"}`:                                             "403 NOT_SUBSCRIBED",
			`{"channel":"c","event":"e","data":"` + strings.Repeat("x", hub.MaxData) + `"}`: "413 MESSAGE_TOO_LARGE",
		} {
			w := c.post("/connection/publishMessage", body)
			status, code, _ := strings.Cut(want, " ")
			if fmt.Sprint(w.Code) != status || !strings.HasPrefix(w.Body.String(), `{"error":{"code":"`+code+`"`) {
				t.Errorf("%.60s: got %d %s, want %s", body, w.Code, w.Body, want)
			}
		}
		c.silent()
	})
}

// TestPublishMessageUnknown: what the log does not answer may have been stored.
func TestPublishMessageUnknown(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": everything()})
		c.subscribe("c")
		s.store.OnAppend(func(int, *earshot.Message) mem.Outcome { return mem.Outcome{Delay: time.Minute} })
		before := time.Now()
		w := c.post("/connection/publishMessage", `{"channel":"c","event":"e"}`)
		if took := time.Since(before); w.Code != http.StatusGatewayTimeout || !strings.Contains(w.Body.String(), "OUTCOME_UNKNOWN") || took > 6*time.Second {
			t.Errorf("got %d %s after %v", w.Code, w.Body, took)
		}
	})
}

// R22: the Content-Type does not count, preflights are answered, and ids may be
// encoded as URLSearchParams do it, in which = is %3D.
func TestR22TheClientsHTTPAPI(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": claims{"c": claims{"getInfo": true}}})
		d := c.greeting.Data
		encoded := url.Values{"connectionId": {d.ConnectionID}, "connectionSecret": {d.ConnectionSecret}}.Encode()
		if !strings.Contains(encoded, "%3D") {
			t.Fatalf("the query is %s", encoded)
		}
		for _, query := range []string{encoded, "connectionId=" + d.ConnectionID + "&connectionSecret=" + d.ConnectionSecret} {
			for _, kind := range []string{"", "text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded"} {
				w := s.request(http.MethodPost, "/connection/getChannelInfo?"+query, `{"channel":"c"}`, kind)
				if w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Content-Type") != "application/json" {
					t.Errorf("with %q and %s: got %d %v %s", kind, query, w.Code, w.Header(), w.Body)
				}
			}
		}
		for _, endpoint := range []string{"publishMessage", "listMessages", "getChannelInfo", "umdUpdate"} {
			w := s.ask(http.MethodOptions, "/connection/"+endpoint+"?connectionId=x", "")
			h := w.Header()
			if w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != "POST" {
				t.Errorf("the preflight of %s gives %d %v", endpoint, w.Code, h)
			}
			if w := s.ask(http.MethodPost, "/connection/"+endpoint, "{}"); w.Code != http.StatusUnauthorized {
				t.Errorf("%s without a secret gives %d", endpoint, w.Code)
			}
		}
	})
}
