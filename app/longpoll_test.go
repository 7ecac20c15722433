package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/app"
)

// A polled is an answer of long polls.
type polled struct {
	Status   int
	Token    string
	Messages []string
}

// pollAt makes a request of long polls to a node.
func pollAt(t *testing.T, a *app.App, method, token, body string) (p polled) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+a.Addr().String()+"/socket/longpoll?vsn=2.0.0&token="+token, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(text, &p) != nil {
		t.Fatalf("%d %s, %v", resp.StatusCode, text, err)
	}
	return p
}

// TestLongPollsOverNodes: each request of a client comes to another node than the
// one before. When the node of its session stops, it is told that that is gone,
// also by a poll that waits, and opens another one.
func TestLongPollsOverNodes(t *testing.T) {
	options := together()
	nodes := []*app.App{up(t, start(t, settings(t), options)), up(t, start(t, settings(t), options))}
	token := pollAt(t, nodes[0], http.MethodGet, "", "").Token
	at := 0
	next := func() *app.App { at++; return nodes[at%2] }
	for i := range 10 {
		topic := fmt.Sprintf("public:main:%d", i)
		join := fmt.Sprintf(`["%[1]d","%[1]d","%[2]s","phx_join",{}]`+"\n"+`["%[1]d",null,"%[2]s","e",{"n":%[1]d}]`, i, topic)
		if p := pollAt(t, next(), http.MethodPost, token, join); p.Status != 200 {
			t.Fatalf("a post is answered %+v", p)
		}
		var heard []string
		for len(heard) < 2 {
			p := pollAt(t, next(), http.MethodGet, token, "")
			if p.Status != 200 && p.Status != 204 {
				t.Fatalf("a poll is answered %+v, after %q", p, heard)
			}
			heard = append(heard, p.Messages...)
		}
		if want := fmt.Sprintf(`[null,null,%q,"e",{"n":%d}]`, topic, i); len(heard) != 2 || heard[1] != want {
			t.Fatalf("heard %q, want %s", heard, want)
		}
		at++ // so that each takes its turn with posts
	}
	waits := make(chan polled, 1)
	go func() { waits <- pollAt(t, nodes[1], http.MethodGet, token, "") }()
	if err := nodes[0].Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	other := <-waits
	if other.Status != 410 || other.Token == token || other.Token == "" {
		t.Errorf("a poll that waited is answered %+v", other)
	}
	if p := pollAt(t, nodes[1], http.MethodPost, token, `[null,"1","phoenix","heartbeat",{}]`); p.Status != 410 {
		t.Errorf("a post to what is gone is answered %+v", p)
	}
	if p := pollAt(t, nodes[1], http.MethodPost, other.Token, `[null,"1","phoenix","heartbeat",{}]`); p.Status != 200 {
		t.Errorf("a post to the new session is answered %+v", p)
	}
	if p := pollAt(t, nodes[1], http.MethodGet, other.Token, ""); len(p.Messages) != 1 {
		t.Errorf("the new session is answered %+v", p)
	}
}

// TestLongPollsUnderLimits: a session has a place as a connection has, and gives it
// back.
func TestLongPollsUnderLimits(t *testing.T) {
	c := settings(t)
	c.Limits.Connections = 1
	a := up(t, start(t, c, app.Options{Open: inMemory}))
	first := pollAt(t, a, http.MethodGet, "", "")
	if first.Status != 410 {
		t.Fatalf("the first is answered %+v", first)
	}
	if p := pollAt(t, a, http.MethodGet, "", ""); p.Status != 500 || p.Token != "" {
		t.Errorf("one too many is answered %+v", p)
	}
	// What is no frame ends the session.
	if p := pollAt(t, a, http.MethodPost, first.Token, "[]"); p.Status != 200 {
		t.Errorf("a post is answered %+v", p)
	}
	if p := pollAt(t, a, http.MethodGet, first.Token, ""); p.Status == 410 {
		return // it took the end, and the place
	}
	eventually(t, "there is a place again", func() bool { return pollAt(t, a, http.MethodGet, "", "").Status == 410 })
}
