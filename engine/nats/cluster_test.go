package nats

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"github.com/earshot-io/earshot/engine/enginetest"
)

// accounts is how many separate logs a test cluster has: one for each test.
const accounts = 64

// A cluster is NATS servers in this process, without authentication between
// them, on ports of the loopback that were free.
type cluster struct {
	servers []*server.Server
	next    int
}

// startCluster starts n servers, and returns when they have a leader.
func startCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{}
	dir := t.TempDir()
	routes := freeAddresses(t, n)
	for i := range n {
		c.servers = append(c.servers, startMember(t, dir, i, routes))
	}
	ready := func() bool {
		for _, s := range c.servers {
			if !s.JetStreamIsCurrent() && n > 1 || !s.ReadyForConnections(10*time.Second) {
				return false
			}
		}
		return true
	}
	poll(t, 20*time.Second, "the cluster is ready", ready)
	return c
}

// freeAddresses returns addresses of the loopback that were free just now:
// members have to know each other's before they start.
func freeAddresses(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		all = append(all, l.Addr().String())
	}
	return all
}

func startMember(t *testing.T, dir string, i int, routes []string) *server.Server {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: n%d\nlisten: \"127.0.0.1:-1\"\njetstream { store_dir: %q, max_file_store: 1TB, max_memory_store: 256MB }\n",
		i, filepath.Join(dir, fmt.Sprint(i)))
	if len(routes) > 1 {
		fmt.Fprintf(&b, "cluster { name: c, listen: %q, no_advertise: true, routes: [\"nats://%s\"] }\n",
			routes[i], strings.Join(routes, "\", \"nats://"))
	}
	b.WriteString("accounts {\n")
	for a := range accounts {
		fmt.Fprintf(&b, "  a%d { jetstream: enabled, users: [{user: u%d, password: p}] }\n", a, a)
	}
	b.WriteString("}\n")
	file := filepath.Join(dir, fmt.Sprintf("n%d.conf", i))
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog, o.DisableJetStreamBanner = true, true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// poll waits until ok says so.
func poll(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// account returns the user of a log that no test has used.
func (c *cluster) account() string {
	c.next++
	return fmt.Sprintf("u%d:p", c.next-1)
}

func (c *cluster) url(i int, user string) string {
	return "nats://" + user + "@" + c.servers[i].Addr().String()
}

// A link that can be cut: a proxy on the loopback.
type proxy struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
	all   sync.WaitGroup
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, conns: map[net.Conn]bool{}}
	p.all.Go(p.accept)
	t.Cleanup(func() { _ = l.Close(); p.set(true); p.all.Wait() })
	return p
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.serve(c) })
	}
}

func (p *proxy) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	p.mu.Lock()
	if p.cut {
		p.mu.Unlock()
		return
	}
	p.conns[c], p.conns[up] = true, true
	p.mu.Unlock()
	done := make(chan struct{}, 2)
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.Close()
		done <- struct{}{}
	}
	p.all.Go(func() { pipe(up, c) })
	p.all.Go(func() { pipe(c, up) })
	<-done
	<-done
	p.mu.Lock()
	delete(p.conns, c)
	delete(p.conns, up)
	p.mu.Unlock()
}

// set cuts the link, or mends it.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

// promises opens the clusters of engines that enginetest asks for.
func (c *cluster) promises(t *testing.T, o enginetest.Options, buckets int) *enginetest.Cluster {
	user := c.account()
	var proxies []*proxy
	var configs []Config
	for i := range o.Nodes {
		p := startProxy(t, c.servers[i].Addr().String())
		proxies = append(proxies, p)
		configs = append(configs, Config{
			URLs: []string{"nats://" + user + "@" + p.listener.Addr().String()}, Cap: o.Cap, ResumeWindow: o.ResumeWindow, Buckets: buckets,
			// Three servers and their clients share the machine with other tests: what
			// they promise does not include that they are quick.
			Deadline: 10 * time.Second,
		})
	}
	s := &enginetest.Cluster{
		Cut:     func(node int) { proxies[node].set(true) },
		Restore: func(node int) { proxies[node].set(false) },
		StepDown: func() {
			c.ask(t, user, "$JS.API.STREAM.LEADER.STEPDOWN."+logStream)
			c.ask(t, user, "$JS.API.STREAM.LEADER.STEPDOWN."+recordStream)
		},
	}
	fill := func() {
		s.Nodes = nil
		for _, config := range configs {
			s.Nodes = append(s.Nodes, open(t, config))
		}
	}
	shut := func() {
		for _, n := range s.Nodes {
			closeEngine(t, n.(*Engine))
		}
	}
	fill()
	s.Reopen = func() { shut(); fill() }
	s.NewEpoch = func() {
		shut()
		c.ask(t, user, "$JS.API.STREAM.DELETE."+logStream)
		fill()
	}
	return s
}

// ask makes a request of JetStream in an account.
func (c *cluster) ask(t *testing.T, user, subject string) {
	t.Helper()
	nc, err := natsgo.Connect(c.url(len(c.servers)-1, user))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, nil)
	if err != nil || !strings.Contains(string(m.Data), `"success":true`) {
		t.Fatalf("%s: %v", subject, err)
	}
}

func TestPromisesOnThreeNodes(t *testing.T) {
	c := startCluster(t, 3)
	enginetest.Run(t, enginetest.Maker{
		Open: func(t *testing.T, o enginetest.Options) *enginetest.Cluster { return c.promises(t, o, 1) },
	})
}

// TestBuckets runs the promises on nodes that hear only a part of the channels.
func TestPromisesWithBuckets(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the promises run with one bucket")
	}
	c := startCluster(t, 3)
	enginetest.Run(t, enginetest.Maker{
		Open: func(t *testing.T, o enginetest.Options) *enginetest.Cluster { return c.promises(t, o, 7) },
	})
}

func TestTwoServersAreRefused(t *testing.T) {
	c := startCluster(t, 2)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	e, err := Open(ctx, Config{URLs: []string{c.url(0, c.account())}}, quiet(t))
	if err == nil {
		_ = e.Close(ctx)
		t.Fatal("a cluster of two servers was accepted")
	}
	if !strings.Contains(err.Error(), "use one or three") {
		t.Errorf("refused, but says: %v", err)
	}
}

func TestOneServerIsAccepted(t *testing.T) {
	c := startCluster(t, 1)
	e := open(t, Config{URLs: []string{c.url(0, c.account())}})
	if l := e.link.Load(); l.replicas != 1 {
		t.Errorf("%d replicas", l.replicas)
	}
}

// A noticer is a log that calls warned for every warning.
type noticer struct {
	slog.Handler
	warned func(text string)
}

// Handle tells of warnings.
func (n noticer) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		n.warned(r.Message)
	}
	return nil
}

// Enabled says that every record is wanted.
func (noticer) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs and WithGroup keep telling.
func (n noticer) WithAttrs([]slog.Attr) slog.Handler { return n }

// WithGroup returns n.
func (n noticer) WithGroup(string) slog.Handler { return n }

// TestOpenWaitsForTheCluster begins before the cluster can be reached.
func TestOpenWaitsForTheCluster(t *testing.T) {
	c := startCluster(t, 1)
	link := startProxy(t, c.servers[0].Addr().String())
	link.set(true)
	waited := false
	log := slog.New(noticer{slog.DiscardHandler, func(text string) {
		if text == "the NATS cluster does not serve yet" {
			waited = true
			link.set(false)
		}
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e, err := Open(ctx, Config{URLs: []string{"nats://" + c.account() + "@" + link.listener.Addr().String()}}, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
	if !waited {
		t.Error("it did not wait: the test showed nothing")
	}
}
