package faults

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
	"github.com/oklog/ulid/v2"
)

// A plan is messages that are to be published at their times.
type plan struct {
	begin   time.Time
	seconds int
	total   int
}

// due is when a message is: in the second after the first, or a later one.
func (p *plan) due(n int) time.Time {
	return p.begin.Add(time.Duration(1+n*p.seconds/p.total) * time.Second)
}

func (p *plan) channel(n int) string { return fmt.Sprintf("faults.schedule.%d", n%channels) }

// burst is a moment at which what is due in one of four seconds is on its way,
// from the one that is given on.
func (p *plan) burst(from int) time.Time {
	return p.begin.Add(time.Duration(from+rand.IntN(4))*time.Second + time.Duration(rand.IntN(20))*time.Millisecond)
}

// newPlan leaves time to schedule everything before the first is due.
func newPlan() *plan {
	return &plan{begin: time.Now().Truncate(time.Second).Add(4 * time.Second), seconds: 10, total: 200}
}

// schedule asks servers in turn for all messages of the plan, in their order in
// each channel.
func (p *plan) schedule(t *testing.T, servers ...*server) {
	t.Helper()
	var wg sync.WaitGroup
	for c := range channels {
		wg.Go(func() {
			for n := c; n < p.total; n += channels {
				servers[(n/channels)%len(servers)].scheduleAt(t, p.channel(n), n, p.due(n))
			}
		})
	}
	wg.Wait()
	if late := time.Since(p.due(0)); late > 0 {
		t.Fatalf("scheduling took too long by %v: the test would show nothing", late)
	}
}

func (s *server) scheduleAt(t *testing.T, channel string, n int, at time.Time) {
	body, _ := json.Marshal(map[string]any{
		"channel": channel, "event": "n", "store": 3600, "data": map[string]any{"n": n},
		"scheduleExpression": "at(" + at.UTC().Format("2006-01-02T15:04:05") + ")",
	})
	if status, answer := s.ask(t, http.MethodPost, "/publish", body); status != http.StatusAccepted || !strings.Contains(answer, "scheduleArn") {
		t.Errorf("scheduling %d: %d %s", n, status, answer)
	}
}

// ask makes a request with the publish key.
func (s *server) ask(t *testing.T, method, path string, body []byte) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequest(method, strings.TrimSuffix(s.dev.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.dev.Key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// awaitFired asks for the schedules until there are none.
func (s *server) awaitFired(t *testing.T, patience time.Duration) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		status, answer := s.ask(t, http.MethodGet, "/schedules?limit=1", nil)
		if status == http.StatusOK && strings.Contains(answer, `"schedules":[]`) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("schedules are left: %d %s", status, answer)
		}
	}
}

// A firing is when a message of the plan was published, as its id says.
type firing struct {
	n  int
	at time.Time
}

// fired reads back all channels. Every message is there once, not before its
// time, and those of one channel and time are in the order in which they were
// scheduled; of one channel and any time, unless a node that died had taken some.
func (p *plan) fired(t *testing.T, s *server, died bool) (all []firing) {
	t.Helper()
	for c := range channels {
		last := 0
		for _, m := range s.readBack(t, p.channel(c)) {
			id, err := ulid.ParseStrict(m.id)
			if err != nil {
				t.Fatal(err)
			}
			if m.n < last && !(died && p.due(m.n) != p.due(last)) {
				t.Errorf("%d came after %d", m.n, last)
			}
			last = m.n
			f := firing{m.n, id.Timestamp()}
			if early := p.due(f.n).Sub(f.at); early > 0 {
				t.Errorf("%d came %v before its time", f.n, early)
			}
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b firing) int { return a.n - b.n })
	for i := range p.total {
		if i >= len(all) || all[i].n != i {
			t.Fatalf("%d messages came of %d; the first that is missing, or there twice, is %d", len(all), p.total, i)
		}
	}
	return all
}

// TestKillSchedules kills the server while scheduled messages are due, and
// starts it again on its directory: every one is published once, and within a
// second of its time, or of the server being ready again.
func TestKillSchedules(t *testing.T) {
	for range rounds(1) {
		data := t.TempDir()
		s := start(t, data)
		p := newPlan()
		p.schedule(t, s)
		type outage struct{ killed, ready time.Time }
		var outages []outage
		for kill := range 2 {
			<-time.After(time.Until(p.burst(1 + 5*kill)))
			killed := time.Now()
			s.kill()
			s = start(t, data)
			outages = append(outages, outage{killed, time.Now()})
		}
		s.awaitFired(t, 30*time.Second)
		worst := time.Duration(0)
		for _, f := range p.fired(t, s, false) {
			from := p.due(f.n)
			for _, o := range outages {
				// What was due just before the server died may have been on its way.
				if from.After(o.killed.Add(-time.Second)) && from.Before(o.ready) {
					from = o.ready
				}
			}
			worst = max(worst, f.at.Sub(from))
			if late := f.at.Sub(from); late > time.Second {
				t.Errorf("%d came %v after its time, or after the server was ready", f.n, late)
			}
		}
		t.Logf("%d messages, two kills; the latest came %v after its time, or after the server was ready", p.total, worst)
		s.kill()
	}
}

// TestKillOneOfTwoNodes kills one of two servers that share a NATS server: every
// scheduled message is published once, and within a second of its time, but for
// those that the dead one had just taken.
func TestKillOneOfTwoNodes(t *testing.T) {
	for range rounds(1) {
		url, keys := startNATS(t), newKeys()
		a, b := keys.serve(t, url), keys.serve(t, url)
		p := newPlan()
		p.schedule(t, a, b)
		<-time.After(time.Until(p.burst(3)))
		killed := time.Now()
		a.kill()
		b.awaitFired(t, 30*time.Second)
		late, worst := 0, time.Duration(0)
		for _, f := range p.fired(t, b, true) {
			d := f.at.Sub(p.due(f.n))
			taken := p.due(f.n).Before(killed) && f.at.After(killed)
			switch {
			case d > time.Second && !taken, d > 7*time.Second:
				t.Errorf("%d came %v after its time", f.n, d)
			case d > time.Second:
				late++
			}
			worst = max(worst, d)
		}
		t.Logf("%d messages, one node killed; the latest came %v after its time, %d were taken over", p.total, worst, late)
		b.kill()
	}
}

// startNATS starts a NATS server with JetStream, and returns its URL.
func startNATS(t *testing.T) string {
	t.Helper()
	s, err := nats.NewServer(&nats.Options{
		Host: "127.0.0.1", Port: nats.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server was not ready within 10 s")
	}
	return s.ClientURL()
}

// keys are those of an app that several servers serve.
type keys struct{ publish, signing string }

func newKeys() *keys { return &keys{publish: drawn(), signing: drawn()} }

// encoded is the signing key as the settings have it.
func (k *keys) encoded() string { return base64.StdEncoding.EncodeToString([]byte(k.signing)) }

// drawn is a secret for a test.
func drawn() string { return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) }

// serve runs `earshot serve` on a NATS server and waits until it is ready.
func (k *keys) serve(t *testing.T, url string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	file := filepath.Join(t.TempDir(), "earshot.toml")
	settings := fmt.Sprintf(`[server]
listen = %q
[engine]
url = %q
[[apps]]
slug = "main"
publish_keys = [%q]
[[apps.signing_keys]]
id = "k"
alg = "HS256"
key = %q
`, address, url, k.publish, k.encoded())
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: exec.Command(binary, "serve", "-c", file)}
	s.cmd.Stderr = os.Stderr
	s.dev.URL, s.dev.WS, s.dev.Key = "http://"+address, "ws://"+address+"/v1", k.publish
	s.dev.SigningID, s.dev.Signing = "k", k.signing
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.awaitReady(t)
	return s
}
