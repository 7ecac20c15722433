package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A request is what the receiver got.
type request struct {
	id, signature string
	header        http.Header
	body          []byte
	channel, data string
	typ           string
	at            time.Time
}

// A receiver answers requests without a network, so that time may be a bubble's.
type receiver struct {
	mu     sync.Mutex
	got    []request // what was answered with 2xx
	all    []request
	flying int
	peak   int
	// answer says what becomes of a request; nil is 200. It is called one at a
	// time.
	answer func(r *request) (status int, err error)
	slow   time.Duration
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	q := r.begin(req)
	if r.slow > 0 {
		select {
		case <-time.After(r.slow):
		case <-req.Context().Done():
			r.end(nil)
			return nil, req.Context().Err()
		}
	}
	status, err := 200, error(nil)
	r.mu.Lock()
	if r.answer != nil {
		status, err = r.answer(q)
	}
	r.mu.Unlock()
	if errors.Is(err, errHang) {
		<-req.Context().Done()
		r.end(nil)
		return nil, req.Context().Err()
	}
	if err != nil {
		r.end(nil)
		return nil, err
	}
	if status/100 == 2 {
		r.end(q)
	} else {
		r.end(nil)
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

var (
	errHang = errors.New("hang")
	errDown = errors.New("connection refused")
)

func (r *receiver) begin(req *http.Request) *request {
	body, _ := io.ReadAll(req.Body)
	var v struct {
		Type     string `json:"type"`
		Metadata struct {
			Channel string `json:"channel"`
		} `json:"metadata"`
		Data struct {
			Data any `json:"data"`
		} `json:"data"`
	}
	_ = json.Unmarshal(body, &v)
	q := request{
		id: req.Header.Get("webhook-id"), signature: req.Header.Get("webhook-signature"), header: req.Header, body: body,
		channel: v.Metadata.Channel, data: fmt.Sprint(v.Data.Data), typ: v.Type, at: time.Now(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, q)
	r.flying++
	r.peak = max(r.peak, r.flying)
	return &q
}

func (r *receiver) end(took *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flying--
	if took != nil {
		r.got = append(r.got, *took)
	}
}

func (r *receiver) answers(f func(*request) (int, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// took returns what was taken on a channel, each event once, in the order in
// which it was first taken.
func (r *receiver) took(channel string) (data []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, q := range r.got {
		if q.channel == channel && !seen[q.id] {
			seen[q.id] = true
			data = append(data, q.data)
		}
	}
	return data
}

func (r *receiver) count() (taken, tried int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got), len(r.all)
}

// A rig is events on a store in memory, with one webhook and its receiver.
type rig struct {
	testing.TB
	store    *mem.Store
	node     *mem.Engine
	app      *earshot.App
	config   Config
	events   *Events
	receiver *receiver
	lease    Lease
	seq      uint64
}

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func newRig(t testing.TB, store *mem.Store) *rig {
	r := &rig{
		TB: t, store: store, node: store.Node(), receiver: &receiver{},
		app:   &earshot.App{Slug: "app", Webhooks: []earshot.Webhook{{ID: "hook", URL: "http://receiver.test/", Secrets: []string{testSecret}, Trusted: true}}},
		lease: func(ctx context.Context, _ string, work func(context.Context)) error { work(ctx); return nil },
	}
	t.Cleanup(func() { _ = r.node.Close(context.Background()) })
	return r
}

// bubble runs a test on a rig in a bubble.
func bubble(t *testing.T, c mem.Config, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newRig(t, mem.NewStore(c))) })
}

func (r *rig) start() {
	r.Helper()
	r.startOn(r.node)
}

func (r *rig) startOn(s Store) {
	r.Helper()
	e, err := New(r.config, []*earshot.App{r.app}, s, slog.New(slog.DiscardHandler))
	if err != nil {
		r.Fatal(err)
	}
	for _, d := range e.hooks {
		d.post.client = &http.Client{Transport: r.receiver}
	}
	if err := e.Start(context.Background(), r.lease); err != nil {
		r.Fatal(err)
	}
	r.events = e
}

func (r *rig) stop() {
	r.Helper()
	if r.events != nil {
		_ = r.events.Close(context.Background())
		r.events = nil
	}
}

// crash ends everything as a kill does: nothing is finished, nothing is saved.
func (r *rig) crash() {
	r.node.Cut()
	r.events.cancel()
	r.events.running.Wait()
	r.events = nil
	r.node.Restore()
}

// published is an event of the next message of a channel.
func (r *rig) published(channel, data string) *hub.Event {
	r.seq++
	id := earshot.NewID(time.Now(), earshot.Position{Epoch: 1, Seq: r.seq})
	return &hub.Event{
		Type: hub.MessagePublished, App: "app", Channel: channel, Time: time.Now(),
		Message: &earshot.Message{App: "app", Channel: channel, Event: "e", Kind: earshot.Text, Data: []byte(data), ID: id},
		Origin:  &hub.Origin{Trigger: hub.ByServerHTTP},
	}
}

// record records and waits.
func (r *rig) record(e *hub.Event) error {
	result := make(chan error, 1)
	r.events.Record(e, func(err error) { result <- err })
	return <-result
}

func (r *rig) publish(channel string, data ...string) {
	r.Helper()
	for _, d := range data {
		if err := r.record(r.published(channel, d)); err != nil {
			r.Fatalf("record: %v", err)
		}
	}
}

func (r *rig) wantTook(channel string, want ...string) {
	r.Helper()
	if got := r.receiver.took(channel); !slices.Equal(got, want) {
		r.Errorf("%s: took %q, want %q", channel, got, want)
	}
}

func numbers(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// sleep sleeps, and until all is still.
func (r *rig) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
