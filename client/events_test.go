package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot/client"
)

// A tape is a server whose stream of events is written down: each connection
// gets the next part.
type tape struct {
	mu     sync.Mutex
	parts  []string
	asked  []string
	header []string
}

func (p *tape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, r.URL.String())
	p.header = append(p.header, r.Header.Get("Authorization"))
	if len(p.parts) == 0 {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"code":"OVER","message":"m"}}`)
		return
	}
	part := p.parts[0]
	p.parts = p.parts[1:]
	if part == "busy" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, part)
}

func sse(place, id, data string) string {
	return fmt.Sprintf("id: %s\nwebhook-id: %s\ndata: {\"source\":\"hotsock.v1\",\"type\":\"hotsock.messagePublished\",\"metadata\":{\"channel\":\"c\"},\"data\":{\"data\":%s},\"dataType\":\"message\"}\n\n", place, id, data)
}

// TestEventsGoOn: after each break the next connection asks for what came after.
func TestEventsGoOn(t *testing.T) {
	p := &tape{parts: []string{
		": events of app\n\nid: p0\n\n",
		"busy",
		": \n\n" + sse("p1", "e1", "1") + sse("p2", "e2", "2") + "id: p3\nwebhook-id: e3\ndata: {\"cut",
		"event: gap\ndata: {}\n\nevent: newer\ndata: {}\n\n" + sse("p9", "e9", "9"),
	}}
	s := httptest.NewServer(p)
	defer s.Close()
	var got, breaks []string
	e := client.Events{
		URL: s.URL + "/", Key: "k", FirstDelay: time.Millisecond, MaxDelay: time.Millisecond, HTTPClient: s.Client(),
		OnEvent: func(e client.Event) error {
			got = append(got, e.Place+" "+e.ID+" "+e.Type+" "+e.Metadata["channel"]+" "+string(e.Data)+" "+e.DataType)
			return nil
		},
		OnBreak: func(err error, _ time.Duration) {
			if errors.Is(err, client.ErrEventsLost) {
				breaks = append(breaks, "lost")
			} else {
				breaks = append(breaks, "break")
			}
		},
	}
	var refused *client.Error
	if err := e.Run(t.Context()); !errors.As(err, &refused) || refused.Code != "OVER" {
		t.Errorf("ended by %v", err)
	}
	want := []string{
		`p1 e1 hotsock.messagePublished c {"data":1} message`, `p2 e2 hotsock.messagePublished c {"data":2} message`,
		`p9 e9 hotsock.messagePublished c {"data":9} message`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if asked := []string{"/events", "/events?after=p0", "/events?after=p0", "/events?after=p2", "/events?after=p9"}; !slices.Equal(p.asked, asked) {
		t.Errorf("asked %q", p.asked)
	}
	if !slices.Equal(breaks, []string{"break", "break", "break", "lost", "break"}) || p.header[0] != "Bearer k" {
		t.Errorf("breaks %q, header %q", breaks, p.header)
	}
}

// TestEventsEnd with the error of the handler, or the context's.
func TestEventsEnd(t *testing.T) {
	p := &tape{parts: []string{sse("p1", "e1", "1"), sse("p1", "e1", "1")}}
	s := httptest.NewServer(p)
	defer s.Close()
	e := client.Events{URL: s.URL, Key: "k", After: "0", HTTPClient: s.Client(), OnEvent: func(client.Event) error { return errEnd }}
	if err := e.Run(t.Context()); !errors.Is(err, errEnd) {
		t.Errorf("ended by %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	e.OnEvent = func(client.Event) error { cancel(); return nil }
	if err := e.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by %v", err)
	}
	e.URL = "://"
	if err := e.Run(t.Context()); err == nil {
		t.Error("an address that is none is tried")
	}
	if !slices.Equal(p.asked, []string{"/events?after=0", "/events?after=0"}) {
		t.Errorf("asked %q", p.asked)
	}
}

func TestWebhooks(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))
		switch {
		case r.URL.Path == "/webhooks":
			_, _ = io.WriteString(w, `{"webhooks":[{"id":"h","url":"u","events":["*"],"waiting":2,"oldest":"2026-01-02T03:04:05Z","dead":100,"deadMore":true}]}`)
		case strings.HasSuffix(r.URL.Path, "/dead"):
			_, _ = io.WriteString(w, `{"events":[{"id":"evt_1","type":"connected","tries":5,"reason":"status 500","event":{"a":1}}],"more":true}`)
		case strings.HasPrefix(r.URL.Path, "/webhooks/h/"):
			_, _ = io.WriteString(w, `{"replayed":3}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"code":"WEBHOOK_UNKNOWN","message":"m"}}`)
		}
	}))
	defer s.Close()
	w := client.Webhooks{URL: s.URL, Key: "k", HTTPClient: s.Client()}
	all, err := w.List(t.Context())
	if err != nil || len(all) != 1 || all[0].Waiting != 2 || all[0].Oldest.Year() != 2026 || !all[0].DeadMore || all[0].DeliveredAt != nil {
		t.Errorf("got %+v, %v", all, err)
	}
	dead, more, err := w.Dead(t.Context(), "h", "evt_0", 10)
	if err != nil || !more || len(dead) != 1 || string(dead[0].Event) != `{"a":1}` || dead[0].Tries != 5 {
		t.Errorf("got %+v, %v, %v", dead, more, err)
	}
	for _, ids := range [][]string{nil, {"a", "b"}} {
		if n, err := w.Replay(t.Context(), "h", ids...); n != 3 || err != nil {
			t.Errorf("replayed %d, %v", n, err)
		}
	}
	var refused *client.Error
	if _, err := w.Replay(t.Context(), "a/b"); !errors.As(err, &refused) || refused.Code != "WEBHOOK_UNKNOWN" {
		t.Errorf("got %v", err)
	}
	want := []string{
		"GET /webhooks", "GET /webhooks/h/dead?after=evt_0&limit=10", "POST /webhooks/h/replay", `POST /webhooks/h/replay {"ids":["a","b"]}`,
		"POST /webhooks/a%2Fb/replay",
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
}
