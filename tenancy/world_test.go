package tenancy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/tenant"
	nats "github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	operatorName     = "ann"
	operatorPassword = "open sesame"
	// patience bounds every wait; none is as long unless the test fails.
	patience = 30 * time.Second
)

// rounds is how many rounds a test makes: few, or as many as EARSHOT_SOAK asks for.
func rounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("EARSHOT_SOAK")); err == nil {
		return n
	}
	return few
}

// soaking reports whether the long forms of tests are asked for.
func soaking() bool { return os.Getenv("EARSHOT_SOAK") != "" }

// A world is two nodes of one cluster, and the tenants that they serve.
type world struct {
	testing.TB
	*rand.Rand
	nodes   []*node
	tenants []*tenantApp
	admin   string // the operator's password
}

// A node is one server.
type node struct {
	app  *app.App
	addr string
	log  *logged
}

// logged is what a node logs.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// memory is an engine that is always ready.
type memory struct{ *mem.Engine }

func (memory) Ready() (bool, string) { return true, "" }

// A setup is what a test may choose of its world.
type setup struct {
	nodes int
	// fixed are the apps of the settings.
	fixed []*tenantApp
	// nats has the nodes on an engine over a network, instead of in memory.
	nats bool
	// change changes the settings of each node.
	change func(c *config.Config)
	// protocols are spoken; nil for all there are.
	protocols []proto.Entry
}

// newWorld starts the nodes, and stops them when the test is over.
func newWorld(t testing.TB, r *rand.Rand, s setup) *world {
	t.Helper()
	w := &world{TB: t, Rand: r, admin: operatorPassword}
	master := config.Secret(tenant.NewMasterKey())
	var store *mem.Store
	url := ""
	if s.nats {
		url = startNATS(t)
	} else {
		store = mem.NewStore(mem.Config{})
	}
	for range max(s.nodes, 1) {
		c := config.Default()
		c.Server = config.Server{Listen: "127.0.0.1:0"}
		c.Engine.Data, c.Engine.URL = t.TempDir(), url
		c.Admin = config.Admin{User: operatorName, Password: operatorPassword, MasterKey: master}
		for _, a := range s.fixed {
			c.Apps = append(c.Apps, a.settings())
		}
		if s.change != nil {
			s.change(c)
		}
		w.nodes = append(w.nodes, w.start(c, store, s.protocols))
	}
	w.tenants = append(w.tenants, s.fixed...)
	return w
}

func (w *world) start(c *config.Config, store *mem.Store, protocols []proto.Entry) *node {
	w.Helper()
	n := &node{log: &logged{}}
	var err error
	o := app.Options{Log: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelInfo})), Protocols: protocols}
	if store != nil {
		o.Open = func(context.Context, *config.Config, *slog.Logger) (app.Engine, error) {
			return memory{store.Node()}, nil
		}
	}
	n.app, err = app.New(c, o)
	if err == nil {
		err = n.app.Start()
	}
	if err == nil {
		err = n.app.Up(w.Context())
	}
	if err != nil {
		w.Fatal(err)
	}
	n.addr = n.app.Addr().String()
	w.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.app.Stop(ctx); err != nil {
			w.Errorf("stopping: %v", err)
		}
	})
	return n
}

// startNATS starts a NATS server with JetStream, and returns its address.
func startNATS(t testing.TB) string {
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
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server was not ready")
	}
	return s.ClientURL()
}

// pick is one of several.
func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// An ask is an HTTP request of a test.
type ask struct {
	method, path, host, body string
	header                   map[string]string
	sign                     func(*http.Request)
}

// ask makes a request, and returns how it was answered. A redirect is not followed.
func (n *node) ask(t testing.TB, q ask) (status int, body string, header http.Header) {
	t.Helper()
	if q.method == "" {
		q.method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), q.method, "http://"+n.addr+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.host != "" {
		r.Host = q.host
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	if q.sign != nil {
		q.sign(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// operate makes a request of the operator, and expects a status.
func (w *world) operate(n *node, method, path string, body any, want int) string {
	w.Helper()
	text := ""
	if body != nil {
		b, err := tenant.Reveal(body)
		if err != nil {
			w.Fatal(err)
		}
		text = string(b)
	}
	status, answer, _ := n.ask(w, ask{method: method, path: path, body: text, sign: func(r *http.Request) { r.SetBasicAuth(operatorName, w.admin) }})
	if status != want {
		w.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// create makes a tenant while the nodes run, and waits until all serve it.
func (w *world) create(a *tenantApp) {
	w.Helper()
	w.operate(pick(w.Rand, w.nodes), http.MethodPost, "/admin/apps", a.draft(), http.StatusCreated)
	a.made = true
	w.tenants = append(w.tenants, a)
	w.served(a)
}

// served waits until all nodes take an app's publish key: a second, with patience
// for a busy machine.
func (w *world) served(a *tenantApp) {
	w.Helper()
	for _, n := range w.nodes {
		w.eventually("an app is served: "+a.slug, func() bool {
			status, _, _ := n.ask(w, ask{method: http.MethodGet, path: "/channels/x", header: a.bearer()})
			return status == http.StatusOK
		})
	}
}

// eventually waits for what the server does by itself.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	timeout, tick := time.NewTimer(patience), time.NewTicker(2*time.Millisecond)
	defer timeout.Stop()
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-timeout.C:
			w.Fatal("not in time: " + what)
		}
	}
}
