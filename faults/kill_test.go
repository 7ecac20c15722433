package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const (
	publishers = 16
	channels   = 4
)

// rounds is how often a fault is repeated.
func rounds(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("EARSHOT_SOAK")); err == nil && n > 0 {
		return n
	}
	return usual
}

// TestKill kills the server while publishers run, again and again on one
// directory: nothing acknowledged is lost, nothing comes twice, order holds.
func TestKill(t *testing.T) {
	data := t.TempDir()
	l := newLedger()
	for round := range rounds(3) {
		s := start(t, data)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() { s.publishUntilDead(l, round, p) })
		}
		time.AfterFunc(time.Duration(300+rand.IntN(1200))*time.Millisecond, s.kill)
		wg.Wait()
		s.kill()

		s = start(t, data)
		total := 0
		for of := range round + 1 {
			total += s.check(t, l, of)
		}
		t.Logf("round %d: %d messages read back of all rounds, %d acknowledged, ready after %v", round, total, len(l.acked), s.ready.Round(time.Millisecond))
		s.kill()
	}
	if len(l.acked) < 100 {
		t.Errorf("only %d messages were acknowledged: the test showed nothing", len(l.acked))
	}
}

// channelOf is where a publisher publishes: each round has channels of its own,
// since a channel keeps its newest 10,000 messages and no more.
func channelOf(round, publisher int) string {
	return fmt.Sprintf("faults.%d.%d", round, publisher%channels)
}

// publishUntilDead publishes one after another, with an idempotency key each,
// until the server is gone. What was under way then is unknown, and is left so.
func (s *server) publishUntilDead(l *ledger, round, publisher int) {
	for n := 1; ; n++ {
		m := stored{round: round, publisher: publisher, n: n}
		l.attempt(m.key())
		status, err := s.publish(m)
		if err != nil {
			return
		}
		if status == http.StatusAccepted {
			l.ack(m.key())
		}
	}
}

func (s *server) publish(m stored) (status int, err error) {
	body, _ := json.Marshal(map[string]any{
		"channel": channelOf(m.round, m.publisher), "event": "n", "store": 3600, "deduplicationId": m.key(),
		"data": map[string]any{"round": m.round, "publisher": m.publisher, "n": m.n, "pad": strings.Repeat("x", 120)},
	})
	req, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(s.dev.URL, "/")+"/publish", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.dev.Key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// check reads every channel of a round back as a client would, and judges it.
func (s *server) check(t *testing.T, l *ledger, round int) (total int) {
	t.Helper()
	for c := range channels {
		read := s.readBack(t, channelOf(round, c))
		total += len(read)
		for _, fault := range l.judge(read, func(key string) bool {
			var of, p, n int
			_, err := fmt.Sscanf(key, "%d-%d-%d", &of, &p, &n)
			return err == nil && of == round && p%channels == c
		}) {
			t.Errorf("%s: %s", channelOf(round, c), fault)
		}
	}
	return total
}

// readBack lists a channel's stored messages over the client's API.
func (s *server) readBack(t *testing.T, channel string) (read []stored) {
	t.Helper()
	token := s.token(map[string]any{
		"scope": "connect", "exp": time.Now().Add(time.Hour).Unix(),
		"channels": map[string]any{channel: map[string]any{"subscribe": true, "historyStart": 0}},
	})
	ws, _, err := websocket.Dial(t.Context(), s.dev.WS+"?token="+token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 20)
	connected := readFrame(t, ws)
	if err := ws.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"event":"hotsock.subscribe","channel":%q}`, channel)); err != nil {
		t.Fatal(err)
	}
	if f := readFrame(t, ws); f.Event != "hotsock.subscribed" {
		t.Fatalf("subscribing was answered by %+v", f)
	}
	for after := ""; ; after = read[len(read)-1].id {
		page := s.listMessages(t, connected, channel, after)
		read = append(read, page...)
		if len(page) < 100 {
			return read
		}
	}
}

type frame struct {
	Event string
	Data  struct{ ConnectionID, ConnectionSecret string }
}

func readFrame(t *testing.T, ws *websocket.Conn) (f frame) {
	t.Helper()
	_, raw, err := ws.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return f
}

func (s *server) listMessages(t *testing.T, connected frame, channel, after string) (page []stored) {
	t.Helper()
	query := fmt.Sprintf("?connectionId=%s&connectionSecret=%s", strings.ReplaceAll(connected.Data.ConnectionID, "=", "%3D"), connected.Data.ConnectionSecret)
	body := map[string]any{"channel": channel}
	if after != "" {
		body["after"] = after
	}
	raw, _ := json.Marshal(body)
	resp, err := http.Post(strings.TrimSuffix(s.dev.URL, "/")+"/connection/listMessages"+query, "text/plain", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Messages []struct {
			ID   string
			Data struct{ Round, Publisher, N int }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("listMessages: status %d, %v", resp.StatusCode, err)
	}
	for _, m := range answer.Messages {
		page = append(page, stored{m.ID, m.Data.Round, m.Data.Publisher, m.Data.N})
	}
	return page
}
