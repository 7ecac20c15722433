package hotsock_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// list asks for messages, and returns their data.
func (c *client) list(body string) (data []string, ids []string) {
	c.t.Helper()
	w := c.post("/connection/listMessages", body)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		c.t.Fatalf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	var answer struct {
		Messages []struct {
			ID, Event, Channel string
			Data               json.RawMessage
			Meta               *struct{ UID *string }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		c.t.Fatal(err)
	}
	for _, m := range answer.Messages {
		if m.Meta == nil || m.ID == "" || m.Event == "" || m.Channel == "" {
			c.t.Errorf("a message is not whole: %+v", m)
		}
		data, ids = append(data, string(m.Data)), append(ids, m.ID)
	}
	return data, ids
}

func (c *client) lists(body string, want ...string) {
	c.t.Helper()
	if got, _ := c.list(body); strings.Join(got, " ") != strings.Join(want, " ") {
		c.t.Errorf("%s lists %q, want %q", body, got, want)
	}
}

func TestListMessages(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "channels": claims{"c": claims{"subscribe": true, "alias": "room", "historyStart": 0, "messages": claims{"*": claims{"publish": true, "store": 60}}}}})
		c.subscribe("c")
		for i := range 3 {
			s.publish(stored("c", "e", fmt.Sprint(i)))
		}
		s.publish(&earshot.Message{Channel: "c", Event: "e", Data: []byte(`"hidden"`)})
		c.send(`{"event":"e","channel":"c","data":3}`)
		c.lists(`{"channel":"c"}`, "0", "1", "2", "3")
		c.lists(`{"channel":"room","expandReactions":true,"unknown":1}`, "0", "1", "2", "3")
		_, ids := c.list(`{"channel":"c"}`)
		c.lists(`{"channel":"c","reverse":true}`, "3", "2", "1", "0")
		c.lists(fmt.Sprintf(`{"channel":"c","after":%q}`, ids[1]), "2", "3")
		c.lists(fmt.Sprintf(`{"channel":"c","before":%q}`, ids[1]), "0", "1", "2", "3")
		c.lists(fmt.Sprintf(`{"channel":"c","reverse":true,"before":%q}`, ids[2]), "1", "0")
		c.lists(fmt.Sprintf(`{"channel":"c","reverse":true,"after":%q}`, ids[2]), "3", "2", "1", "0")
		c.lists(`{"channel":"c","after":"","before":null,"reverse":null}`, "0", "1", "2", "3")
		time.Sleep(time.Minute + time.Second)
		c.lists(`{"channel":"c"}`, "0", "1", "2") // the client's was stored for a minute
		w := c.post("/connection/listMessages", `{"channel":"c"}`)
		if !strings.Contains(w.Body.String(), `"data":0,"meta":{"uid":null,"umd":null}}`) {
			t.Errorf("got %s", w.Body)
		}
	})
}

// TestListMessagesWindow: without a claim, from the start of the subscription.
func TestListMessagesWindow(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		s.publish(stored("c", "e", "0"))
		time.Sleep(time.Minute)
		moment := time.Now()
		s.publish(stored("c", "e", "1"))
		time.Sleep(time.Minute)
		now := s.connect(claims{"channels": claims{"c": claims{"subscribe": true}}})
		now.subscribe("c")
		then := s.connect(claims{"channels": claims{"c": claims{"subscribe": true, "historyStart": moment.Unix()}}})
		then.subscribe("c")
		s.publish(stored("c", "e", "2"))
		now.lists(`{"channel":"c"}`, "2")
		then.lists(`{"channel":"c"}`, "1", "2")
		then.lists(`{"channel":"c","reverse":true}`, "2", "1")
	})
}

func TestListMessagesPages(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": everything()})
		c.subscribe("c")
		for i := range 150 {
			s.publish(stored("c", "e", fmt.Sprint(i)))
			s.publish(&earshot.Message{Channel: "c", Event: "e", Data: []byte(`"hidden"`)})
		}
		page, ids := c.list(`{"channel":"c"}`)
		if len(page) != 100 || page[99] != "99" {
			t.Fatalf("the first page has %d messages", len(page))
		}
		rest, _ := c.list(fmt.Sprintf(`{"channel":"c","after":%q}`, ids[99]))
		if len(rest) != 50 || rest[0] != "100" {
			t.Errorf("the second page has %d messages", len(rest))
		}
		c.read()
		big := `"` + strings.Repeat("x", hub.MaxData-2) + `"`
		for range 40 {
			s.publish(stored("big", "e", big))
		}
		c.subscribe("big")
		if page, _ := c.list(`{"channel":"big"}`); len(page) < 31 || len(page) > 32 {
			t.Errorf("a page of 32 KiB each has %d messages", len(page))
		}
	})
}

func TestListMessagesRefused(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": everything()})
		c.subscribe("c")
		for _, q := range []struct {
			body   string
			status int
			code   string
		}{
			{``, 400, "INVALID_MESSAGE"},
			{`{}`, 400, "INVALID_MESSAGE"},
			{`[]`, 400, "INVALID_MESSAGE"},
			{`{"channel":5}`, 400, "INVALID_MESSAGE"},
			{`{"channel":"c","reverse":"yes"}`, 400, "INVALID_MESSAGE"},
			{`{"channel":"c","channel":"c"}`, 400, "INVALID_MESSAGE"},
			{"{\"channel\":\"\xff\"}", 400, "INVALID_MESSAGE"},
			{`{"channel":"c","after":"x"}`, 400, "INVALID_MESSAGE"},
			{`{"channel":"c","reverse":true,"before":"x"}`, 400, "INVALID_MESSAGE"},
			{`{"channel":"d"}`, 403, "NOT_SUBSCRIBED"},
			{`{"channel":"` + strings.Repeat("c", 70<<10) + `"}`, 413, "MESSAGE_TOO_LARGE"},
		} {
			w := c.post("/connection/listMessages", q.body)
			var e struct {
				Error struct{ Code, Message string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != q.status || e.Error.Code != q.code || e.Error.Message == "" {
				t.Errorf("%.40s: got %d %s, want %d %s", q.body, w.Code, w.Body, q.status, q.code)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%.40s: a page may not read the error", q.body)
			}
		}
		d := c.greeting.Data
		for name, query := range map[string]url.Values{
			"nothing":           {},
			"no secret":         {"connectionId": {d.ConnectionID}},
			"another secret":    {"connectionId": {d.ConnectionID}, "connectionSecret": {strings.Repeat("A", 20)}},
			"nobody's secret":   {"connectionId": {"AAAAAAAAAAAAAAA="}, "connectionSecret": {d.ConnectionSecret}},
			"a bad id":          {"connectionId": {"x"}, "connectionSecret": {d.ConnectionSecret}},
			"an id no longer =": {"connectionId": {strings.TrimRight(d.ConnectionID, "=")}, "connectionSecret": {d.ConnectionSecret}},
		} {
			if w := s.ask(http.MethodPost, "/connection/listMessages?"+query.Encode(), `{"channel":"c"}`); w.Code != http.StatusUnauthorized {
				t.Errorf("%s: got %d %s, want 401", name, w.Code, w.Body)
			}
		}
		c.leave()
		if w := c.post("/connection/listMessages", `{"channel":"c"}`); w.Code != http.StatusUnauthorized {
			t.Errorf("after the end: got %d %s, want 401", w.Code, w.Body)
		}
		if w := s.ask(http.MethodGet, "/connection/listMessages", ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET gives %d", w.Code)
		}
	})
}

// slowReader is a client that takes its answer when told to.
type slowReader struct {
	*httptest.ResponseRecorder
	read chan struct{}
}

func (r slowReader) Write(b []byte) (int, error) {
	<-r.read
	return r.ResponseRecorder.Write(b)
}

// TestAnswersInMemoryAreBounded: a client that asks much and takes no answer
// holds up itself, and nobody else.
func TestAnswersInMemoryAreBounded(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c, other := s.connect(claims{"channels": everything()}), s.connect(claims{"channels": everything()})
		c.subscribe("c")
		other.subscribe("c")
		s.publish(stored("c", "e", "1"))
		read, codes := make(chan struct{}), make(chan int, 20)
		d := c.greeting.Data
		target := "/connection/listMessages?" + url.Values{"connectionId": {d.ConnectionID}, "connectionSecret": {d.ConnectionSecret}}.Encode()
		ask := func() {
			w := slowReader{httptest.NewRecorder(), read}
			s.mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, strings.NewReader(`{"channel":"c"}`)))
			codes <- w.Code
		}
		for range 20 {
			go ask()
		}
		time.Sleep(6 * time.Second) // the others do not wait for ever
		other.lists(`{"channel":"c"}`, "1")
		close(read)
		answers := map[int]int{}
		for range 20 {
			answers[<-codes]++
		}
		if answers[http.StatusOK] != 2 || answers[http.StatusServiceUnavailable] != 18 {
			t.Errorf("got %v answers by status, want 2 of 200", answers)
		}
		c.lists(`{"channel":"c"}`, "1")
	})
}

func TestPreflight(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		w := s.ask(http.MethodOptions, "/connection/listMessages?connectionId=x", "")
		h := w.Header()
		if w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != "POST" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Content-Type") {
			t.Errorf("got %d %v", w.Code, h)
		}
	})
}

// TestListMessagesHasItsTime: a log that does not answer is no reason to wait.
func TestListMessagesHasItsTime(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": everything()})
		c.subscribe("c")
		s.store.Slow(time.Minute, 0)
		before := time.Now()
		w := c.post("/connection/listMessages", `{"channel":"c"}`)
		if took := time.Since(before); w.Code != http.StatusServiceUnavailable || took > 6*time.Second {
			t.Errorf("got %d %s after %v", w.Code, w.Body, took)
		}
	})
}
