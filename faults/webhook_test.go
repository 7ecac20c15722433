package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// A receiver is an application's server that is told of events, and is not
// always well.
type receiver struct {
	t        *testing.T
	address  string
	verifier *standardwebhooks.Webhook
	more     chan struct{} // something was taken

	mu     sync.Mutex
	mood   mood
	server *http.Server
	taken  map[string][]int  // by channel, each event once, as they were first taken
	ids    map[string]string // by channel and number
	again  int
}

type mood int

const (
	well mood = iota
	failing
	hanging
)

func newReceiver(t *testing.T) *receiver {
	verifier, err := standardwebhooks.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{
		t: t, address: "127.0.0.1:0", verifier: verifier, more: make(chan struct{}, 1),
		taken: map[string][]int{}, ids: map[string]string{},
	}
	r.start()
	t.Cleanup(r.stop)
	return r
}

// start listens; again on the same address after a stop.
func (r *receiver) start() {
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		r.t.Error(err)
		return
	}
	s := &http.Server{Handler: r}
	r.mu.Lock()
	r.address, r.server = l.Addr().String(), s
	r.mu.Unlock()
	go func() { _ = s.Serve(l) }()
}

func (r *receiver) stop() {
	r.mu.Lock()
	s := r.server
	r.mu.Unlock()
	_ = s.Close()
}

func (r *receiver) feels(m mood) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood = m
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if err := r.verifier.Verify(body, req.Header); err != nil {
		r.t.Errorf("a request is not signed: %v", err)
	}
	r.mu.Lock()
	m := r.mood
	r.mu.Unlock()
	switch m {
	case failing:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case hanging:
		<-req.Context().Done()
		return
	}
	r.take(req.Header.Get("webhook-id"), body)
}

func (r *receiver) take(id string, body []byte) {
	var e struct {
		Type string
		Data struct {
			Channel string
			Data    struct{ N int }
		}
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Type != "hotsock.messagePublished" {
		r.t.Errorf("got %s: %v", body, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := fmt.Sprint(e.Data.Channel, " ", e.Data.Data.N)
	switch r.ids[name] {
	case "":
		r.ids[name] = id
		r.taken[e.Data.Channel] = append(r.taken[e.Data.Channel], e.Data.Data.N)
	case id:
		r.again++
	default:
		r.t.Errorf("%s has the ids %s and %s", name, r.ids[name], id)
	}
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *receiver) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, all := range r.taken {
		n += len(all)
	}
	return n
}

// TestWebhooks publishes while the receiver fails, hangs and is restarted, and
// the server is killed in between: every event that was acknowledged arrives, in
// the order of its channel, and what comes twice has one id.
func TestWebhooks(t *testing.T) {
	const channels = 6
	r := newReceiver(t)
	data := t.TempDir()
	start(t, data).kill() // makes the keys
	tellTo(t, data, r.address)

	var world sync.RWMutex // of who uses the server
	s := start(t, data)
	restart := func() {
		world.Lock()
		defer world.Unlock()
		s.kill()
		s = start(t, data)
	}
	current := func() *server {
		world.RLock()
		defer world.RUnlock()
		return s
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(rounds(1))*time.Minute)
	defer cancel()
	enough := make(chan struct{})
	published := make([]int, channels) // how many of each channel were acknowledged
	var publishing sync.WaitGroup
	for c := range channels {
		publishing.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-enough:
					return
				default:
				}
				publishEvent(ctx, current, fmt.Sprint("events.", c), published[c]+1)
				published[c]++
			}
		})
	}
	kill, bounce := restart, func() { r.stop(); r.start() }
	fails, hangs, heals := func() { r.feels(failing) }, func() { r.feels(hanging) }, func() { r.feels(well) }
	for range rounds(1) {
		troubles := []func(){kill, kill, kill, bounce, bounce, bounce, fails, fails, hangs, hangs, heals, heals, heals}
		rand.Shuffle(len(troubles), func(i, j int) { troubles[i], troubles[j] = troubles[j], troubles[i] })
		for _, trouble := range troubles {
			<-time.After(time.Duration(100+rand.IntN(500)) * time.Millisecond)
			trouble()
		}
	}
	close(enough)
	publishing.Wait()
	restart()
	r.feels(well)
	all := 0
	for _, n := range published {
		all += n
	}
	for r.count() < all {
		select {
		case <-r.more:
		case <-ctx.Done():
			t.Fatalf("%d of %d events arrived", r.count(), all)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, n := range published {
		if got := r.taken[fmt.Sprint("events.", c)]; !slices.IsSorted(got) || len(got) != n {
			t.Errorf("channel %d: %d were acknowledged, and arrived as %v", c, n, got)
		}
	}
	t.Logf("%d events, %d of them taken again", all, r.again)
}

// tellTo adds a webhook to the settings of a development server.
func tellTo(t *testing.T, data, address string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(data, "earshot.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "\n[[apps.webhooks]]\nid = \"test\"\nurl = \"http://%s/\"\nsecrets = [%q]\nevents = [\"messagePublished\"]\n\n[events]\ntimeout = \"1s\"\n", address, hookSecret)
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

// publishEvent publishes until it is acknowledged, by whatever server there is.
func publishEvent(ctx context.Context, current func() *server, channel string, n int) {
	body, _ := json.Marshal(map[string]any{
		"channel": channel, "event": "n", "store": 3600, "deduplicationId": fmt.Sprint(n), "emitPubSubEvent": true,
		"data": map[string]any{"n": n, "pad": strings.Repeat("x", 200)},
	})
	for ctx.Err() == nil {
		s := current()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.dev.URL, "/")+"/publish", bytes.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+s.dev.Key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusAccepted {
			return
		}
	}
}
