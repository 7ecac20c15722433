package phoenix_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/engine/mem"
)

// TestPollOpens is the first row of B.6, and what is refused.
func TestPollOpens(t *testing.T) {
	nodes(t, 1, func(_ *mem.Store, all []*node) {
		n := all[0]
		for _, c := range []struct {
			method, path, origin string
			http, status         int
		}{
			{"GET", "/socket/longpoll?vsn=2.0.0&", "", 200, 410},
			{"GET", "/socket/longpoll?token=&vsn=1.0.0", "", 200, 410},
			{"GET", "/socket/longpoll", "https://anywhere.example", 200, 410},
			{"GET", "/socket/two/longpoll?vsn=2.0.0", "https://www.two.example", 200, 410},
			{"GET", "/socket/two/longpoll?vsn=2.0.0", "https://evil.example", 200, 403},
			{"GET", "/socket/nobody/longpoll?vsn=2.0.0", "", 200, 403},
			{"GET", "/socket/longpoll?vsn=3.0.0", "", 200, 403},
			{"GET", "/socket/longpoll?vsn=2.0.0&token=garbage", "", 200, 410},
			{"GET", "/socket/longpoll?vsn=2.0.0&token=" + strings.Repeat("A", 600), "", 200, 410},
			{"POST", "/socket/longpoll?vsn=2.0.0&token=garbage", "", 200, 410},
			{"POST", "/socket/longpoll?vsn=2.0.0", "", 200, 410},
			{"PUT", "/socket/longpoll?vsn=2.0.0", "", 400, 0},
			{"DELETE", "/socket/longpoll", "", 400, 0},
			{"HEAD", "/socket/longpoll?vsn=2.0.0", "", 400, 0},
		} {
			r := httptest.NewRequest(c.method, c.path, nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			a := n.ask(r)
			if a.http != c.http || a.Status != c.status || (c.status == 410 && c.method == "GET") != (a.Token != "") {
				t.Errorf("%s %s from %q: %d %+v", c.method, c.path, c.origin, a.http, a)
			}
		}
		r := httptest.NewRequest(http.MethodOptions, "/socket/longpoll", nil)
		r.Header.Set("Access-Control-Request-Headers", "content-type, x-phoenix-authtoken")
		a := n.ask(r)
		for name, want := range map[string]string{
			"Access-Control-Allow-Headers": "content-type, x-phoenix-authtoken", "Access-Control-Allow-Methods": "get, post, options",
			"Access-Control-Max-Age": "3600", "Access-Control-Allow-Origin": "*",
		} {
			if got := a.header.Get(name); a.http != 200 || got != want {
				t.Errorf("%d, %s is %q", a.http, name, got)
			}
		}
	})
}

// TestPollDialogue is B.6's 200 and 204 in both versions.
func TestPollDialogue(t *testing.T) {
	nodes(t, 1, func(_ *mem.Store, all []*node) {
		n := all[0]
		token := n.opened()
		n.wants(n.post(token, joinLobby), 200)
		n.wants(n.get(token), 200, joinedLobby)
		began := time.Now()
		if n.wants(n.get(token), 204); time.Since(began) != 10*time.Second {
			t.Errorf("nothing came after %v", time.Since(began))
		}
		time.AfterFunc(4*time.Second, func() { n.post(token, `["1","2","room:lobby","e",{"x":"é\"\\"}]`) })
		began = time.Now()
		got := n.get(token)
		if got.Status != 200 || got.Token != token || time.Since(began) != 4*time.Second {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
		var all1 string
		for all1 = got.words(); strings.Count(all1, "\n") < 1; {
			all1 += "\n" + n.get(token).words()
		}
		if !strings.Contains(all1, `[null,null,"room:lobby","e",{"x":"é\"\\"}]`) || !strings.Contains(all1, `["1","2","room:lobby","phx_reply",{"status":"ok","response":{}}]`) {
			t.Errorf("heard %s", all1)
		}
		// One message as the whole body, in V1, whose messages are objects.
		r := httptest.NewRequest(http.MethodGet, "/socket/longpoll?vsn=1.0.0", nil)
		old := n.ask(r).Token
		n.wants(n.postAs("application/json", old, `{"topic":"room:lobby","event":"phx_join","payload":{},"ref":"1"}`), 200)
		n.wants(n.get(old), 200, `object:{"topic":"room:lobby","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}`)
		// The token in a header, as clients of 1.9 have it.
		r = httptest.NewRequest(http.MethodPost, "/socket/longpoll?vsn=2.0.0", strings.NewReader(`[null,"9","phoenix","heartbeat",{}]`))
		r.Header.Set("X-Phoenix-Longpoll-Token", token)
		n.wants(n.ask(r), 200)
		n.wants(n.get(token), 200, `[null,"9","phoenix","phx_reply",{"status":"ok","response":{}}]`)
	})
}

// TestPollBatches is what a post may hold.
func TestPollBatches(t *testing.T) {
	nodes(t, 2, func(_ *mem.Store, all []*node) {
		beats := func(n int) (lines, replies []string) {
			for i := range n {
				lines = append(lines, fmt.Sprintf(`[null,"%d","phoenix","heartbeat",{}]`, i))
				replies = append(replies, fmt.Sprintf(`[null,"%d","phoenix","phx_reply",{"status":"ok","response":{}}]`, i))
			}
			return lines, replies
		}
		token := all[0].opened()
		for _, n := range all {
			hundred, replies := beats(100)
			n.wants(n.post(token, hundred...), 200)
			n.wants(n.get(token), 200, replies...)
			n.wants(n.postAs("application/x-ndjson; charset=utf-8", token, strings.Join(hundred[:2], "\r\n")+"\r\n"), 200)
			n.wants(n.get(token), 200, replies[:2]...)
			many, _ := beats(101)
			n.wants(n.post(token, many...), 413)
			n.wants(n.post(token, hundred[0], "not base64"), 400)
			n.wants(n.post(token, hundred[0], "[\xff"), 400)
			n.wants(n.post(token, hundred[0], "["+strings.Repeat(" ", 128<<10)+"]"), 413)
			n.wants(n.postAs("text/plain", token, strings.Repeat(" ", 128<<10+1)), 413)
			n.wants(n.post(token, strings.Repeat("\n", 8<<20+1)), 413)
			n.wants(n.post(token), 200)
			n.wants(n.get(token), 204) // nothing of what was refused was carried out
			// Large ones are carried in several calls, in their order.
			var large, answers []string
			for i := range 20 {
				large = append(large, fmt.Sprintf(`[null,"%d","phoenix","heartbeat",{"x":"%s"}]`, i, strings.Repeat("x", 100_000)))
				answers = append(answers, fmt.Sprintf(`[null,"%d","phoenix","phx_reply",{"status":"ok","response":{}}]`, i))
			}
			n.wants(n.post(token, large...), 200)
			n.wants(n.get(token), 200, answers...)
		}
	})
}

// TestPollBinary is a binary push in a batch: those on a WebSocket of V2 hear it,
// those who poll do not, and it is counted.
func TestPollBinary(t *testing.T) {
	nodes(t, 1, func(_ *mem.Store, all []*node) {
		n := all[0]
		token := n.opened()
		n.wants(n.post(token, joinLobby), 200)
		n.wants(n.get(token), 200, joinedLobby)
		push := "\x00\x01\x01\x0a\x06" + "12room:lobbyupload" + "\x01\x02\x03"
		n.wants(n.post(token, base64.StdEncoding.EncodeToString([]byte(push))), 200)
		n.wants(n.get(token), 200, `["1","2","room:lobby","phx_reply",{"status":"ok","response":{}}]`)
		if got := n.hub.Stats().Unrenderable; got != 1 {
			t.Errorf("%d messages were counted as such that cannot be said", got)
		}
		// What is no frame ends the session, as it ends a socket.
		n.wants(n.post(token, "AAAA"), 200)
		if a := n.get(token); a.Status != 410 || a.Token == token {
			t.Errorf("after a frame that is none: %+v", a)
		}
	})
}

// TestPollAuthToken is the raw token in a header (B.2).
func TestPollAuthToken(t *testing.T) {
	nodes(t, 1, func(_ *mem.Store, all []*node) {
		n := all[0]
		st := &stage{t: t}
		for claims, status := range map[string]int{`{"uid":"ann","listen":["private:*"]}`: 410, `{"exp":1}`: 403} {
			r := httptest.NewRequest(http.MethodGet, "/socket/longpoll?vsn=2.0.0", nil)
			r.Header.Set("X-Phoenix-AuthToken", st.token("one", claims))
			a := n.ask(r)
			if a.Status != status {
				t.Errorf("%s is answered %d", claims, a.Status)
			}
			if status == 410 {
				n.wants(n.post(a.Token, `["1","1","private:x","phx_join",{}]`), 200)
				n.wants(n.get(a.Token), 200, `["1","1","private:x","phx_reply",{"status":"ok","response":{"message":"Joined"}}]`)
			}
		}
	})
}

// TestPollsOverNodes lets every request of a session come to another node.
func TestPollsOverNodes(t *testing.T) {
	nodes(t, 3, func(_ *mem.Store, all []*node) {
		token := all[0].opened()
		for i := range 9 {
			join := fmt.Sprintf(`["%[1]d","%[1]d","room:%[1]d","phx_join",{}]`, i)
			poll := make(chan *answered)
			go func() { poll <- all[i%3].get(token) }()
			synctest.Wait()
			all[0].wants(all[(i+1)%3].post(token, join), 200)
			all[0].wants(<-poll, 200, fmt.Sprintf(`["%[1]d","%[1]d","room:%[1]d","phx_reply",{"status":"ok","response":{}}]`, i))
		}
		// A second poll takes over, on whatever node.
		first := make(chan *answered, 3)
		for _, n := range all {
			go func() { first <- n.get(token) }()
			synctest.Wait()
		}
		all[0].wants(<-first, 204)
		all[0].wants(<-first, 204)
		all[1].post(token, `[null,"b","phoenix","heartbeat",{}]`)
		all[0].wants(<-first, 200, `[null,"b","phoenix","phx_reply",{"status":"ok","response":{}}]`)
		// A client that goes away takes nothing with it.
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			all[1].http.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, pollPath+token, nil))
		}()
		synctest.Wait()
		cancel()
		<-gone
		synctest.Wait()
		all[2].post(token, `[null,"c","phoenix","heartbeat",{}]`)
		all[2].wants(all[2].get(token), 200, `[null,"c","phoenix","phx_reply",{"status":"ok","response":{}}]`)
	})
}

// TestPollOfDeadNode: a session dies with its node, and its token opens another.
func TestPollOfDeadNode(t *testing.T) {
	for how, die := range map[string]func(*node){
		"it stops":         func(n *node) { n.stop() },
		"it falls silent":  func(n *node) { n.engine.Cut() },
		"it is long since": func(n *node) { n.engine.Cut(); time.Sleep(time.Minute) },
	} {
		t.Run(how, func(t *testing.T) {
			nodes(t, 2, func(_ *mem.Store, all []*node) {
				token := all[0].opened()
				all[1].wants(all[1].post(token, joinLobby), 200)
				all[1].wants(all[1].get(token), 200, joinedLobby)
				die(all[0])
				began := time.Now()
				all[1].wants(all[1].post(token, joinLobby), 410)
				a := all[1].get(token)
				if a.Status != 410 || a.Token == token || a.Token == "" || time.Since(began) > 5*time.Second {
					t.Errorf("answered %+v after %v", a, time.Since(began))
				}
				all[1].wants(all[1].post(a.Token, joinLobby), 200)
				all[1].wants(all[1].get(a.Token), 200, joinedLobby)
			})
		})
	}
}

// TestPollEnds: a session that is not polled for half as long again as a poll
// waits is gone, and so is one that the server has ended.
func TestPollEnds(t *testing.T) {
	nodes(t, 2, func(_ *mem.Store, all []*node) {
		token := all[0].opened()
		for range 3 {
			time.Sleep(14 * time.Second)
			all[1].wants(all[1].get(token), 204)
		}
		time.Sleep(16 * time.Second)
		all[1].wants(all[1].post(token, joinLobby), 410)
		if a := all[0].get(token); a.Status != 410 || a.Token == token {
			t.Errorf("unpolled: %+v", a)
		}
		token = all[0].opened()
		polled := make(chan *answered, 1)
		go func() { polled <- all[1].get(token) }()
		synctest.Wait()
		if err := all[0].hub.Drain(context.Background(), 0); err != nil {
			t.Error(err)
		}
		if a := <-polled; a.Status != 410 || a.Token == token || a.Token == "" {
			t.Errorf("of a node that drains, on another: %+v", a)
		}
		if a := all[0].get(""); a.Status != 500 || a.Token != "" {
			t.Errorf("on a node that drains: %+v", a)
		}
	})
}

// TestPollLate is 408: what was posted could not be dispatched in time.
func TestPollLate(t *testing.T) {
	nodes(t, 2, func(store *mem.Store, all []*node) {
		for i, n := range all {
			store.Slow(0, time.Minute)
			token := all[0].opened()
			lines := []string{`["1","1","room:slow` + fmt.Sprint(i) + `","phx_join",{}]`}
			for range 99 {
				lines = append(lines, `["1","2","room:slow`+fmt.Sprint(i)+`","e",{}]`)
			}
			began := time.Now()
			got := 200
			for range 4 {
				if got = n.post(token, lines...).Status; got != 200 {
					break
				}
			}
			if got != 408 || time.Since(began) != 10*time.Second {
				t.Errorf("answered %d after %v", got, time.Since(began))
			}
			store.Slow(0, 0)
		}
	})
}

// TestLargePostsTakeTurns: what is read of posts at once is bounded, and small ones
// do not wait for large ones.
func TestLargePostsTakeTurns(t *testing.T) {
	nodes(t, 1, func(_ *mem.Store, all []*node) {
		n := all[0]
		token := n.opened()
		beat := `[null,"1","phoenix","heartbeat",{}]`
		large := beat + strings.Repeat("\n", 70<<10)
		var slow []*io.PipeWriter
		answers := make(chan *answered, 32)
		for range 32 {
			body, w := io.Pipe()
			slow = append(slow, w)
			r := httptest.NewRequest(http.MethodPost, pollPath+token, body)
			r.Header.Set("Content-Type", "application/x-ndjson")
			go func() { answers <- n.ask(r) }()
		}
		synctest.Wait()
		began := time.Now()
		if n.wants(n.post(token, large), 408); time.Since(began) != 10*time.Second {
			t.Errorf("answered after %v", time.Since(began))
		}
		n.wants(n.post(token, beat), 200)
		for _, w := range slow {
			_, _ = w.Write([]byte(beat)) // to a reader that waits for it
			_ = w.Close()
		}
		for range slow {
			n.wants(<-answers, 200)
		}
		n.wants(n.post(token, large), 200)
	})
}

// TestPollToken: a token counts on every node, and what is made up does not. What
// one has signed is understood after a restart of all of them.
func TestPollToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newNode(t, store), newNode(t, store)
		time.Sleep(time.Second)
		token := one.opened()
		one.wants(two.post(token, `[null,"1","phoenix","heartbeat",{}]`), 200)
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			raw[i] ^= 1
			if a := two.post(base64.RawURLEncoding.EncodeToString(raw), joinLobby); a.Status != 410 {
				t.Errorf("with a bit changed in byte %d: %+v", i, a)
			}
			raw[i] ^= 1
		}
		one.stop()
		two.stop()
		other := newNode(t, store)
		time.Sleep(time.Second)
		other.wants(other.post(token, joinLobby), 410)
		other.stop()
	})
}
