package bench

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// startFloor serves a floor in this process.
func startFloor(t *testing.T) *Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ServeFloor(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &Target{WSURL: "ws://" + l.Addr().String() + "/v1", PID: os.Getpid()}
}

// quick is a scenario that takes no longer than it must.
func quick(s Scenario) Scenario {
	s.Warmup, s.Duration, s.Settle = 50*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond
	return s
}

func TestFloorDeliversEverything(t *testing.T) {
	for name, s := range map[string]Scenario{
		"one channel, flat out":     {Connections: 50, Publishing: Publishing{Outstanding: 16}},
		"one channel, at a rate":    {Connections: 50, Publishing: Publishing{Rate: 200}},
		"many channels, flat out":   {Connections: 60, Channels: 20, Publishing: Publishing{Outstanding: 64}},
		"one each, in batches":      {Connections: 100, Channels: 100, Publishing: Publishing{Rate: 3000, Batch: 6}},
		"two readers, 3 publishers": {Connections: 50, Channels: 7, Readers: 2, Publishing: Publishing{Outstanding: 64, Connections: 3, Batch: 2}},
		"one at a time":             {Connections: 10, Publishing: Publishing{Outstanding: 1}},
		"large messages":            {Connections: 10, Publishing: Publishing{Outstanding: 4, Size: 20_000}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Run(t.Context(), startFloor(t), quick(s))
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK() {
				t.Errorf("%d delivered, faults %+v, trouble %q", r.Delivered, r.Faults, r.Trouble)
			}
			if r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 || r.Latency.P99 > r.Latency.Max {
				t.Errorf("latency %+v", r.Latency)
			}
			if r.Server == nil || r.Server.PerMillion <= 0 || r.Client.CPUSeconds <= 0 {
				t.Errorf("server %+v, client %+v", r.Server, r.Client)
			}
			if rate := s.Publishing.Rate; rate > 0 && (r.PublishesPerSecond() > 1.5*rate || r.PublishesPerSecond() < 0.5*rate) {
				t.Errorf("%v publishes a second, not %v", r.PublishesPerSecond(), rate)
			}
		})
	}
}

// A forger is a server made with another implementation of WebSocket, which
// spreads what is published and does one thing wrong.
type forger struct {
	t *testing.T
	// forge makes of the n-th message to the first subscriber what it is sent.
	forge func(n int, held *[][]byte, m []byte) [][]byte

	mu   sync.Mutex
	subs []subscriber
	sent int
	held [][]byte
}

type subscriber struct {
	*websocket.Conn
	channel string
}

func (f *forger) start() *Target {
	s := httptest.NewServer(f)
	f.t.Cleanup(s.Close)
	return &Target{URL: s.URL, WSURL: "ws" + s.URL[4:], PublishKey: "k", PID: os.Getpid()}
}

func (f *forger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		f.post(w, r)
		return
	}
	if r.Header.Get("Upgrade") == "" {
		http.NotFound(w, r)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		f.t.Error(err)
		return
	}
	defer c.CloseNow()
	ctx := context.Background()
	_ = c.Write(ctx, websocket.MessageText, []byte(`{"event":"hotsock.connected","data":{},"meta":{}}`))
	for {
		_, m, err := c.Read(ctx)
		if err != nil {
			return
		}
		var e event
		if err := json.Unmarshal(m, &e); err != nil {
			f.t.Error(err)
		}
		if e.Event != "hotsock.subscribe" {
			f.publish(m)
			continue
		}
		f.mu.Lock()
		f.subs = append(f.subs, subscriber{c, e.Channel})
		f.mu.Unlock()
		_ = c.Ping(c.CloseRead(ctx)) // the tool must answer
		_ = c.Write(ctx, websocket.MessageText, []byte(`{"event":"hotsock.subscribed","data":{},"meta":{}}`))
		<-c.CloseRead(ctx).Done()
		return
	}
}

func (f *forger) post(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer k" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	var one json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&one); err != nil {
		f.t.Error(err)
	}
	all := []json.RawMessage{one}
	if one[0] == '[' {
		if err := json.Unmarshal(one, &all); err != nil {
			f.t.Error(err)
		}
	}
	for _, m := range all {
		f.publish(m)
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write([]byte(`{"id":"x"}`))
}

func (f *forger) publish(m []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var e event
	if err := json.Unmarshal(m, &e); err != nil {
		f.t.Error(err)
	}
	for i, c := range f.subs {
		if c.channel != e.Channel {
			continue
		}
		out := [][]byte{m}
		if i == 0 && f.forge != nil {
			out = f.forge(f.sent, &f.held, m)
		}
		for _, m := range out {
			_ = c.Write(context.Background(), websocket.MessageText, m)
		}
	}
	f.sent++
}

func TestFaultsAreCaught(t *testing.T) {
	const when = 10 // a message in the middle
	for name, test := range map[string]struct {
		forge func(n int, held *[][]byte, m []byte) [][]byte
		want  Faults
	}{
		"none": {nil, Faults{}},
		"drops one": {func(n int, _ *[][]byte, m []byte) [][]byte {
			if n == when {
				return nil
			}
			return [][]byte{m}
		}, Faults{Lost: 1}},
		"duplicates one": {func(n int, _ *[][]byte, m []byte) [][]byte {
			if n == when {
				return [][]byte{m, m}
			}
			return [][]byte{m}
		}, Faults{Duplicated: 1}},
		"reorders one": {func(n int, held *[][]byte, m []byte) [][]byte {
			if n == when {
				*held = [][]byte{m}
				return nil
			}
			out := append([][]byte{m}, *held...)
			*held = nil
			return out
		}, Faults{Reordered: 1}},
	} {
		for _, http := range []bool{false, true} {
			f := &forger{t: t, forge: test.forge}
			s := quick(Scenario{Connections: 3, Publishing: Publishing{HTTP: http, Rate: 200, Connections: 1}})
			r, err := Run(t.Context(), f.start(), s)
			if err != nil {
				t.Fatal(err)
			}
			if r.Faults != test.want || r.OK() != (test.want == Faults{}) {
				t.Errorf("%s, HTTP %v: %+v, OK %v", name, http, r.Faults, r.OK())
			}
		}
	}
}

func TestHTTPPublishers(t *testing.T) {
	for name, p := range map[string]Publishing{
		"flat out":   {HTTP: true, Outstanding: 8},
		"batches":    {HTTP: true, Outstanding: 8, Batch: 4},
		"rate":       {HTTP: true, Rate: 300},
		"rate of 10": {HTTP: true, Rate: 500, Batch: 10},
	} {
		r, err := Run(t.Context(), (&forger{t: t}).start(), quick(Scenario{Connections: 4, Channels: 2, Publishing: p}))
		if err != nil {
			t.Fatal(name, err)
		}
		if !r.OK() {
			t.Errorf("%s: %+v %s", name, r.Faults, r.Trouble)
		}
	}
}

// TestCutConnectionsAreFaults lets the server drop a subscriber.
func TestCutConnectionsAreFaults(t *testing.T) {
	f := &forger{t: t}
	f.forge = func(n int, _ *[][]byte, m []byte) [][]byte {
		if n == 10 {
			go func() { _ = f.subs[0].Close(1001, "going away") }()
		}
		return [][]byte{m}
	}
	r, err := Run(t.Context(), f.start(), quick(Scenario{Connections: 3, Publishing: Publishing{Rate: 200}}))
	if err != nil {
		t.Fatal(err)
	}
	if r.Faults.Dropped != 1 || r.Faults.Lost == 0 || r.OK() || r.Trouble == "" {
		t.Errorf("%+v %q", r.Faults, r.Trouble)
	}
}

func TestRefusalsAreErrors(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer s.Close()
	if _, err := Run(t.Context(), &Target{URL: s.URL}, quick(Scenario{Connections: 2})); err == nil {
		t.Error("a refused token is no error")
	}
	for name, s := range map[string]Scenario{
		"more channels than subscribers": {Connections: 1, Channels: 2},
		"data too small":                 {Publishing: Publishing{Size: 3}},
		"negative":                       {Publishing: Publishing{Batch: -1}},
	} {
		if _, err := Run(t.Context(), &Target{URL: "http://127.0.0.1:1"}, s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestRefusedForNowIsTriedAgain lets the server refuse each connection once.
func TestRefusedForNowIsTriedAgain(t *testing.T) {
	f := &forger{t: t}
	refused := 0
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		first := refused < 3
		refused++
		mu.Unlock()
		if first {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		f.ServeHTTP(w, r)
	}))
	defer s.Close()
	r, err := Run(t.Context(), &Target{URL: s.URL}, quick(Scenario{Connections: 3, Publishing: Publishing{Rate: 100}}))
	if err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
}
