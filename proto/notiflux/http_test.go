package notiflux_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto/notiflux"
)

// TestBroadcastAnswers: what is told, and that all else is 200.
func TestBroadcastAnswers(t *testing.T) {
	s := newServer(t)
	body := func(topic, message string) string {
		b, err := json.Marshal(map[string]string{"topic": topic, "message": message, "token": s.token("broadcast", topic)})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		body, contentType string
		code              int
		answer            string
	}{
		"good":          {body("t", "m"), "application/json; charset=utf-8", 200, ""},
		"no type":       {body("t", "m"), "", 400, "Content type error"},
		"a form":        {body("t", "m"), "application/x-www-form-urlencoded", 400, "Content type error"},
		"the most":      {body("t", strings.Repeat("x", hub.MaxData)), "application/json", 200, ""},
		"too large":     {body("t", strings.Repeat("x", hub.MaxData+1)), "application/json", 413, "data may have 32 KiB at the most"},
		"far too large": {body("t", strings.Repeat("x", 300<<10)), "application/json", 413, "the body is larger than 256 KiB"},
		"no channel":    {body(long, "m"), "application/json", 400, "the channel name is longer than 256 characters or 512 bytes"},
		"no permission": {strings.Replace(body(long, "m"), long, "other", 1), "application/json", 200, ""},
	} {
		if w := s.post(c.body, c.contentType); w.Code != c.code || strings.TrimSpace(w.Body.String()) != c.answer || w.Header().Get("X-Notiflux-Refused") != "" {
			t.Errorf("%s: %d %q %v", name, w.Code, w.Body, w.Header())
		}
	}
}

// TestOtherRequests are answered as the original does.
func TestOtherRequests(t *testing.T) {
	s := newServer(t)
	for request, want := range map[string]int{"GET /health": 200, "POST /health": 405, "GET /broadcast": 405, "PUT /broadcast": 405, "GET /other": 404} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != want || want == http.StatusOK && w.Body.Len() != 0 {
			t.Errorf("%s is answered %d %q", request, w.Code, w.Body)
		}
	}
}

// TestBroadcastFails: on a logged channel the engine may have no room.
func TestBroadcastFails(t *testing.T) {
	s := newServer(t)
	s.engine.Store().OnAppend(func(int, *earshot.Message) mem.Outcome {
		return mem.Outcome{Err: earshot.Errorf(earshot.Full, "the disk is full")}
	})
	body := func(token string) string { return `{"topic":"log","message":"m","token":"` + token + `"}` }
	if w := s.post(body(s.token("broadcast", "log")), "application/json"); w.Code != 507 || strings.TrimSpace(w.Body.String()) != "the disk is full" {
		t.Errorf("answered %d %q", w.Code, w.Body)
	}
	if w := s.post(body("x"), "application/json"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("who may not is told %d %q", w.Code, w.Body)
	}
}

// TestDiagnostics: who asks for it is told why nothing was sent.
func TestDiagnostics(t *testing.T) {
	p := newPair(t, "")
	s := newServerOf(t, p, notiflux.Config{Diagnostics: true}, &earshot.App{Slug: "a", SigningKeys: []earshot.SigningKey{p.public}, Rules: live()})
	for token, want := range map[string]string{
		s.token("broadcast", "t"): "", s.token("broadcast", "u"): "TOPIC", s.token("subscribe", "t"): "TOKEN_SCOPE", "x": "TOKEN_MALFORMED",
		s.sign(s.claims("broadcast", "t").with(claims{"exp": 1})): "TOKEN_EXPIRED",
	} {
		w := s.post(`{"topic":"t","message":"m","token":"`+token+`"}`, "application/json")
		if got := w.Header().Get("X-Notiflux-Refused"); got != want || w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("answered %d %q, %q instead of %q", w.Code, w.Body, got, want)
		}
	}
}

// TestEntry: the section of the settings is read.
func TestEntry(t *testing.T) {
	s := newServer(t)
	decoded := false
	e := notiflux.Entry()
	p, err := e.New(func(into any) error {
		into.(*notiflux.Config).Diagnostics = true
		decoded = true
		return nil
	}, s.deps)
	if err != nil || p == nil || !decoded || e.Name != "notiflux" || len(e.Paths) != 1 || e.Paths[0] != "/ws" {
		t.Errorf("got %+v, %v", e, err)
	}
}
