package faults

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	adminUser     = "ann"
	adminPassword = "open sesame"
)

// administered runs `earshot serve` with an operator whose password is hashed as
// `earshot app password` does, behind a proxy that says who comes: any address.
func (k *keys) administered(t *testing.T) *server {
	t.Helper()
	made := exec.Command(binary, "app", "password")
	made.Stdin = strings.NewReader(adminPassword + "\n")
	out, err := made.Output()
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.TrimSpace(string(out))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "earshot.toml")
	settings := fmt.Sprintf(`[server]
listen = %q
trusted_proxies = ["127.0.0.0/8"]
[engine]
data = %q
[admin]
user = %q
password = %q
[[apps]]
slug = "main"
publish_keys = [%q]
[[apps.signing_keys]]
id = "k"
alg = "HS256"
key = %q
`, address, filepath.Join(dir, "data"), adminUser, hash, k.publish, k.encoded())
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

// adminPath is that of one of the two admin APIs, which have one login.
func adminPath(own bool) string {
	if own {
		return "/admin/apps"
	}
	return "/api/admin/apps"
}

// login makes one request to the admin API.
func (s *server) login(ctx context.Context, c *http.Client, user, password, from string) (status int, err error) {
	return s.loginAt(ctx, c, "/admin/apps", user, password, from)
}

// loginAt makes one request to an admin API.
func (s *server) loginAt(ctx context.Context, c *http.Client, path, user, password, from string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.dev.URL+path, nil)
	if err != nil {
		return 0, err
	}
	r.SetBasicAuth(user, password)
	r.Header.Set("X-Forwarded-For", from)
	resp, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

// resident is how many bytes of memory a server has.
func (s *server) resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		t.Skip("needs /proc")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// A measure is how long things took.
type measure []time.Duration

func (m measure) at(part float64) time.Duration {
	slices.Sort(m)
	return m[min(int(float64(len(m))*part), len(m)-1)]
}

func (m measure) String() string {
	return fmt.Sprintf("median %v, p99 %v (%d)", m.at(.5).Round(10*time.Microsecond), m.at(.99).Round(10*time.Microsecond), len(m))
}

// A served is what those who may are served in a while.
type served struct{ operator, messages measure }

// legitimate has an operator who is in ask, and a message go round, one after the
// other, for a while. Each must succeed.
func (s *server) legitimate(t *testing.T, g *guest, c *http.Client, during time.Duration) (m served) {
	t.Helper()
	for until := time.Now().Add(during); time.Now().Before(until); {
		begun := time.Now()
		if status, err := s.login(t.Context(), c, adminUser, adminPassword, "192.0.2.1"); err != nil || status != http.StatusOK {
			t.Fatalf("the operator who is in: %d %v", status, err)
		}
		m.operator = append(m.operator, time.Since(begun))
		begun = time.Now()
		published(t, s, `{"channel":"`+room+`","event":"e","store":600,"eagerIdGeneration":true}`)
		g.hear("e")
		m.messages = append(m.messages, time.Since(begun))
	}
	return m
}

// TestLoginFlood floods the operators' login, from one address and from many, with
// wrong users and wrong passwords: the operator who is in and those who send and
// hear messages are served as before, within what a busy machine allows, and the
// server's memory has a bound.
func TestLoginFlood(t *testing.T) {
	during := 1500 * time.Millisecond
	if rounds := os.Getenv("EARSHOT_SOAK"); rounds != "" {
		during = 15 * time.Second
	}
	s := newKeys().administered(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	if status, err := s.login(t.Context(), client, adminUser, adminPassword, "192.0.2.1"); status != http.StatusOK {
		t.Fatalf("the operator: %d %v", status, err)
	}
	g := enter(t, s, "jo")
	g.hear("hotsock.subscribed")
	_ = s.legitimate(t, g, client, during/3)
	calm, before := s.legitimate(t, g, client, during), s.resident(t)
	t.Logf("calm: operator %v; messages %v; %d MB", calm.operator, calm.messages, before>>20)
	for _, flood := range []struct {
		name string
		from func(r *rand.Rand) string
	}{
		{"one address", func(*rand.Rand) string { return "203.0.113.9" }},
		{"many addresses", func(r *rand.Rand) string {
			return netAddr(r.Uint32())
		}},
	} {
		f := s.flood(flood.from)
		<-f.begun
		in := s.legitimate(t, g, client, during)
		after := s.resident(t)
		tried, hashed := f.stop()
		t.Logf("%s: operator %v; messages %v; %d MB; %d logins answered, %d of them judged", flood.name, in.operator, in.messages, after>>20, tried, hashed)
		for what, m := range map[string][2]measure{"operator": {calm.operator, in.operator}, "messages": {calm.messages, in.messages}} {
			if was, is := m[0].at(.5), m[1].at(.5); is > 20*was+100*time.Millisecond {
				t.Errorf("%s, %s: the median is %v, it was %v", flood.name, what, is, was)
			}
			if is := m[1].at(.99); is > 2*time.Second {
				t.Errorf("%s, %s: p99 is %v", flood.name, what, is)
			}
		}
		if grew := after - before; grew > 400<<20 {
			t.Errorf("%s: %d MB more", flood.name, grew>>20)
		}
	}
	s.kill()
}

func netAddr(n uint32) string {
	return net.IPv4(byte(1+n>>24%200), byte(n>>16), byte(n>>8), byte(n)).String()
}

// A flood is 64 who try to log in, twenty times a second each: faster, and it would
// be the clients of the test that take the machine.
type flood struct {
	cancel        context.CancelFunc
	running       sync.WaitGroup
	tried, judged atomic.Int64
	begun         chan struct{} // closed when the first was answered
}

func (s *server) flood(from func(*rand.Rand) string) *flood {
	ctx, cancel := context.WithCancel(context.Background())
	f := &flood{cancel: cancel, begun: make(chan struct{})}
	var once sync.Once
	for i := range 64 {
		f.running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 9))
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				<-pace.C
				user := adminUser
				if r.IntN(2) == 0 {
					user = "mallory"
				}
				status, err := s.loginAt(ctx, c, adminPath(r.IntN(2) == 0), user, fmt.Sprint(r.Uint64()), from(r))
				if err != nil {
					continue
				}
				f.tried.Add(1)
				if status == http.StatusUnauthorized {
					f.judged.Add(1)
				}
				once.Do(func() { close(f.begun) })
			}
		})
	}
	return f
}

func (f *flood) stop() (tried, judged int64) {
	f.cancel()
	f.running.Wait()
	return f.tried.Load(), f.judged.Load()
}

// TestLoginTellsNoNames: a user who is not known costs what a known one does. What
// is hashed costs hundreds of times what all else does, so that leaving it out for
// one of them could not be missed; of the times the least counts, which a busy
// machine moves least.
func TestLoginTellsNoNames(t *testing.T) {
	if os.Getenv("EARSHOT_SOAK") == "" {
		t.Skip("takes its time; package auth has the quick form")
	}
	const tries = 30
	s := newKeys().administered(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var known, unknown measure
	n := uint32(0)
	try := func(user string) time.Duration {
		n++
		begun := time.Now()
		if status, err := s.login(t.Context(), client, user, "wrong", netAddr(n)); status != http.StatusUnauthorized {
			t.Fatalf("%d %v", status, err)
		}
		return time.Since(begun)
	}
	try(adminUser) // there is no rest before the first
	for range tries {
		known, unknown = append(known, try(adminUser)), append(unknown, try("mallory"))
	}
	t.Logf("known: least %v, %v; unknown: least %v, %v", known.at(0), known, unknown.at(0), unknown)
	if a, b := known.at(0), unknown.at(0); a > 2*b || b > 2*a {
		t.Errorf("a known user takes %v, an unknown one %v", a, b)
	}
	s.kill()
}
