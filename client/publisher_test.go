package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/client"
)

// A backend is a server that answers publishes as it is told.
type backend struct {
	*client.Publisher
	server *httptest.Server

	mu   sync.Mutex
	got  []string
	says []reply // the last one is said again and again
	next int
}

type reply struct {
	status int
	body   string
	retry  string
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	b.got = append(b.got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(text))
	say := b.says[min(b.next, len(b.says)-1)]
	b.next++
	b.mu.Unlock()
	if say.status == 0 {
		panic(http.ErrAbortHandler)
	}
	if say.retry != "" {
		w.Header().Set("Retry-After", say.retry)
	}
	w.WriteHeader(say.status)
	_, _ = io.WriteString(w, say.body)
}

func (b *backend) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

func answers(t *testing.T, says ...reply) *backend {
	t.Helper()
	b := &backend{says: says}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	p, err := client.NewPublisher(client.Config{URL: b.server.URL + "/", PublishKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	b.Publisher = p
	return b
}

// TestPublish: the answer is there as it came, and is decoded if asked for.
func TestPublish(t *testing.T) {
	const said = `{"channel":"c","event":"e","id":"X","scheduleArn":"arn","more":1}`
	b := answers(t, reply{status: 202, body: said})
	answer, err := b.Publish(t.Context(), client.Message{Channel: "c", Event: "e", Data: 1})
	if err != nil || string(answer.Raw) != said || answer.Status != 202 {
		t.Fatalf("got %+v, %v", answer, err)
	}
	if got, want := b.requests()[0], `POST /publish Bearer k {"event":"e","channel":"c","data":1}`; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	p, err := answer.Decode()
	if want := (client.Published{Channel: "c", Event: "e", ID: "X", ScheduleARN: "arn"}); err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	if _, err := (&client.Answer{Raw: []byte("<html>")}).Decode(); err == nil {
		t.Error("an answer that is no JSON is decoded")
	}
}

// TestMessage: what each field becomes on the wire.
func TestMessage(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	type order struct {
		ID   int    `json:"id"`
		Note string `json:"note,omitempty"`
	}
	for name, c := range map[string]struct {
		message client.Message
		want    string
	}{
		"least": {client.Message{Channel: "c", Event: "e"}, `{"event":"e","channel":"c"}`},
		"all": {
			client.Message{
				Channel: "c", Event: "e", Data: json.RawMessage(`{"b":1,"a":2}`), DeduplicationID: "d", EagerIDGeneration: true,
				EmitPubSubEvent: true, Key: "k", ScheduleExpression: client.At(at), ScheduleExpressionTimezone: "Europe/Berlin",
				Store: 60, Extra: map[string]any{"z": []int{1}, "y": nil},
			},
			`{"event":"e","channel":"c","data":{"b":1,"a":2},"deduplicationId":"d","eagerIdGeneration":true,"emitPubSubEvent":true,"key":"k","scheduleExpression":"at(2030-01-02T02:04:05)","scheduleExpressionTimezone":"Europe/Berlin","store":60,"y":null,"z":[1]}`,
		},
		"struct":      {client.Message{Channel: "c", Event: "e", Data: order{ID: 7}}, `{"event":"e","channel":"c","data":{"id":7}}`},
		"false":       {client.Message{Channel: "c", Event: "e", Data: false}, `{"event":"e","channel":"c","data":false}`},
		"markup":      {client.Message{Channel: "c", Event: "e", Data: "<a&b>"}, `{"event":"e","channel":"c","data":"<a&b>"}`},
		"for ever":    {client.Message{Channel: "c", Event: "e", Store: client.Forever}, `{"event":"e","channel":"c","store":-1}`},
		"empty extra": {client.Message{Channel: "c", Event: "e", Extra: map[string]any{}}, `{"event":"e","channel":"c"}`},
		"extra wins": {
			client.Message{Channel: "c", Event: "e", Store: 1, Extra: map[string]any{"store": false, "event": "f"}},
			`{"channel":"c","event":"f","store":false}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.message.MarshalJSON()
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
	b := answers(t, reply{status: 202})
	for _, m := range []client.Message{{Data: make(chan int)}, {Extra: map[string]any{"x": make(chan int)}}} {
		if _, err := b.Publish(t.Context(), m); err == nil || client.OutcomeUnknown(err) {
			t.Errorf("got %v, want that it cannot be sent", err)
		}
		if _, err := b.PublishAll(t.Context(), []client.Message{{}, m}); err == nil || !strings.Contains(err.Error(), "message 1") {
			t.Errorf("got %v, want that message 1 cannot be sent", err)
		}
	}
	if len(b.requests()) != 0 {
		t.Errorf("sent %v", b.requests())
	}
}

func TestPublishAll(t *testing.T) {
	b := answers(t, reply{status: 202, body: `[{"id":"X"},{"id":"Y"}]`}, reply{status: 207, body: `[{"id":"X"},{"error":{"code":"STORAGE_FULL","message":"no room"}}]`})
	two := []client.Message{{Channel: "a", Event: "e"}, {Channel: "b", Event: "e"}}
	answer, err := b.PublishAll(t.Context(), two)
	if err != nil {
		t.Fatal(err)
	}
	all, err := answer.DecodeAll()
	if err != nil || len(all) != 2 || all[0].ID != "X" || all[1].ID != "Y" || all[0].Err != nil {
		t.Fatalf("got %v, %v", all, err)
	}
	if got, want := b.requests()[0], `POST /publish Bearer k [{"event":"e","channel":"a"},{"event":"e","channel":"b"}]`; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	answer, err = b.PublishAll(t.Context(), two)
	var some *client.BatchError
	var e *client.Error
	if !errors.As(err, &some) || !errors.As(err, &e) || e.Code != "STORAGE_FULL" || some.Errs[0] != nil || some.Errs[1] == nil || answer == nil {
		t.Fatalf("got %v, %v", answer, err)
	}
	if want := "1 of 2 messages were not published, the first is message 1: STORAGE_FULL: no room"; err.Error() != want {
		t.Errorf("it says %q, want %q", err, want)
	}
	if _, err := b.PublishAll(t.Context(), make([]client.Message, 3)); err == nil || !strings.Contains(err.Error(), "3 messages were answered by 2") {
		t.Errorf("an answer of another length: %v", err)
	}
	answer, err = b.PublishAll(t.Context(), nil)
	if err != nil || string(answer.Raw) != "[]" || len(b.requests()) != 3 {
		t.Errorf("nothing: %v, %v", answer, err)
	}
}

// TestRefusals: an answer that says no becomes an error that says why.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		reply  reply
		code   string
		unsure bool
	}{
		{reply{status: 400, body: `{"error":{"code":"CHANNEL_NAME","message":"m"}}`}, "CHANNEL_NAME", false},
		{reply{status: 401, body: `{"error":{"code":"UNAUTHENTICATED","message":"m"}}`}, "UNAUTHENTICATED", false},
		{reply{status: 301, body: ``}, "HTTP_301", false},
		{reply{status: 404, body: `<html>`}, "HTTP_404", false},
		{reply{status: 500, body: `{}`}, "HTTP_500", true},
		{reply{status: 502, body: `<html>`}, "HTTP_502", true},
		{reply{status: 503, body: `<html>`}, "HTTP_503", true},
		{reply{status: 504, body: `{"error":{"code":"UNKNOWN_OUTCOME","message":"m"}}`}, "UNKNOWN_OUTCOME", true},
		{reply{status: 507, body: `{"error":{"code":"FULL","message":"m"}}`, retry: "3"}, "FULL", false},
	} {
		b := answers(t, c.reply)
		_, err := b.Publish(t.Context(), client.Message{})
		var e *client.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Status != c.reply.status || client.OutcomeUnknown(err) != c.unsure {
			t.Errorf("%v: got %#v", c.reply, err)
		}
		if c.reply.retry != "" && e.RetryAfter != 3*time.Second {
			t.Errorf("%v: to be tried again after %v, want 3 s", c.reply, e.RetryAfter)
		}
		if n := len(b.requests()); n != 1 {
			t.Errorf("%v: tried %d times, want once", c.reply, n)
		}
	}
	if client.OutcomeUnknown(nil) {
		t.Error("the outcome of a success is unknown")
	}
}

// TestRetries: what is safe is tried again, and nothing else.
func TestRetries(t *testing.T) {
	good := reply{status: 202, body: `{}`}
	busy := reply{status: 503, body: `{"error":{"code":"UNAVAILABLE","message":"m"}}`}
	limited := reply{status: 429, body: `{"error":{"code":"LIMITED","message":"m"}}`, retry: "0"}
	lost, proxy := reply{}, reply{status: 502}
	for name, c := range map[string]struct {
		says  []reply
		key   string
		tries int
		fails bool
	}{
		"busy":                         {[]reply{busy, good}, "", 2, false},
		"limited, busy":                {[]reply{limited, busy, good}, "", 3, false},
		"busy for too long":            {[]reply{busy}, "", 3, true},
		"to come back much later":      {[]reply{{status: 503, body: busy.body, retry: "60"}, good}, "d", 1, true},
		"lost without an id":           {[]reply{lost, good}, "", 1, true},
		"lost with an id":              {[]reply{lost, good}, "d", 2, false},
		"a proxy's fault":              {[]reply{proxy, good}, "", 1, true},
		"a proxy's fault, with an id":  {[]reply{proxy, lost, good}, "d", 3, false},
		"a refusal, even with an id":   {[]reply{{status: 400}, good}, "d", 1, true},
		"no room, though it may pass":  {[]reply{{status: 507}, good}, "d", 1, true},
		"lost for too long, of course": {[]reply{lost}, "d", 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			for what, publish := range map[string]func(b *backend) error{
				"one": func(b *backend) error {
					_, err := b.Publish(t.Context(), client.Message{Channel: "c", Event: "e", DeduplicationID: c.key})
					return err
				},
				"all": func(b *backend) error {
					_, err := b.PublishAll(t.Context(), []client.Message{{DeduplicationID: c.key}})
					return err
				},
			} {
				b := answers(t, c.says...)
				err := publish(b)
				if (err != nil) != c.fails {
					t.Errorf("%s: got %v", what, err)
				}
				if n := len(b.requests()); n != c.tries {
					t.Errorf("%s: tried %d times, want %d", what, n, c.tries)
				}
				for _, r := range b.requests() {
					if r != b.requests()[0] {
						t.Errorf("%s: tried by %s, then by %s", what, b.requests()[0], r)
					}
				}
			}
		})
	}
	b := answers(t, lost, good)
	if _, err := b.PublishAll(t.Context(), []client.Message{{DeduplicationID: "d"}, {}}); err == nil || len(b.requests()) != 1 {
		t.Errorf("a batch with one message without an id is tried %d times, %v", len(b.requests()), err)
	}
}

// TestNobodyThere: what was never sent is tried again, and its outcome is known.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	p, err := client.NewPublisher(client.Config{URL: "http://" + l.Addr().String(), PublishKey: "k", Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), client.Message{}); err == nil || client.OutcomeUnknown(err) {
		t.Errorf("got %v, want a failure that left no trace", err)
	}
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	defer stranger.Close()
	other, err := client.NewPublisher(client.Config{URL: stranger.URL, PublishKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Publish(t.Context(), client.Message{}); err == nil || client.OutcomeUnknown(err) {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Publish(ctx, client.Message{}); !errors.Is(err, context.Canceled) || client.OutcomeUnknown(err) {
		t.Errorf("got %v, want that it was not sent", err)
	}
}

// A slow transport never answers.
type slow struct{ calls atomic.Int32 }

func (s *slow) Batches() bool { return true }
func (s *slow) Close()        {}
func (s *slow) Send(ctx context.Context, _ []byte) (*client.Answer, error) {
	s.calls.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestTimeout: each try has its time, and the context ends them all.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, begun := &slow{}, time.Now()
		p, err := client.NewPublisher(client.Config{Transport: s, Timeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Publish(t.Context(), client.Message{}); !client.OutcomeUnknown(err) || s.calls.Load() != 1 || time.Since(begun) != 2*time.Second {
			t.Errorf("got %v after %v and %d calls", err, time.Since(begun), s.calls.Load())
		}
		if _, err := p.Publish(t.Context(), client.Message{DeduplicationID: "d"}); !client.OutcomeUnknown(err) || s.calls.Load() != 4 {
			t.Errorf("got %v after %d calls", err, s.calls.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		if _, err := p.Publish(ctx, client.Message{DeduplicationID: "d"}); !client.OutcomeUnknown(err) || time.Since(begun) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
	})
}

// TestConcurrentUse: many publish at once over few connections, which are kept.
func TestConcurrentUse(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	p, err := client.NewPublisher(client.Config{URL: s.URL, PublishKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const workers, each = 16, 20
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for j := range each {
				channel := fmt.Sprintf("c-%d-%d", i, j)
				answer, err := p.Publish(t.Context(), client.Message{Channel: channel, Event: "e"})
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := answer.Decode(); err != nil || got.Channel != channel {
					t.Errorf("got the answer to %s (%v), want %s", got.Channel, err, channel)
				}
			}
		})
	}
	all.Wait()
	if n := opened.Load(); n > 2*workers {
		t.Errorf("%d publishes opened %d connections", workers*each, n)
	}
}

// oneByOne is a transport without batches.
type oneByOne struct{ sent []string }

func (o *oneByOne) Batches() bool { return false }
func (o *oneByOne) Close()        {}
func (o *oneByOne) Send(_ context.Context, body []byte) (*client.Answer, error) {
	o.sent = append(o.sent, string(body))
	switch {
	case strings.Contains(string(body), "bad"):
		return nil, &client.Error{Code: "CHANNEL_NAME", Message: "m"}
	case strings.Contains(string(body), "lost"):
		return nil, io.ErrUnexpectedEOF
	}
	return &client.Answer{Status: 200, Raw: body, Version: "$LATEST"}, nil
}

func TestPublishAllOneByOne(t *testing.T) {
	via := &oneByOne{}
	p, err := client.NewPublisher(client.Config{Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := p.PublishAll(t.Context(), []client.Message{{Channel: "a"}, {Channel: "bad"}, {Channel: "lost"}, {Channel: "z"}})
	var some *client.BatchError
	if !errors.As(err, &some) || len(via.sent) != 4 {
		t.Fatalf("got %v, sent %v", err, via.sent)
	}
	all, err := answer.DecodeAll()
	if err != nil || all[0].Channel != "a" || all[3].Channel != "z" || all[1].Err == nil || !client.OutcomeUnknown(all[2].Err) || client.OutcomeUnknown(all[1].Err) {
		t.Errorf("got %+v, %v", all, err)
	}
	answer, err = p.PublishAll(t.Context(), []client.Message{{Channel: "a"}, {Channel: "z"}})
	if err != nil || string(answer.Raw) != `[{"event":"","channel":"a"},{"event":"","channel":"z"}]` {
		t.Errorf("got %s, %v", answer.Raw, err)
	}
}
