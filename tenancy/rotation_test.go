package tenancy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/tenant"
)

// counts is how long a change may take to count on every node: the promise, or
// where the suite runs on a busy machine, what it may take there.
func counts() time.Duration {
	if soaking() {
		return time.Second
	}
	return 10 * time.Second
}

// A credential is one secret of an app, as a copy of the app that has no other.
type credential struct {
	id string
	*tenantApp
}

// A kind is what can be rotated, and how it is tried.
type kind struct {
	name string
	// newest is the credential that an answer of the admin API shows.
	newest func(t testing.TB, base *tenantApp, answer string) credential
	// accepted tries one on a node.
	accepted func(w *world, n *node, c credential) bool
}

// revealed is an app as the admin API shows it to who has made a secret.
type revealed struct {
	App struct {
		PublishKeys []struct{ ID, Key string }
		SigningKeys []struct{ ID, Alg, Secret string }
		AccessKeys  []struct{ ID, Secret string }
		Secrets     []struct{ ID, Secret string }
	}
}

func reveal(t testing.TB, answer string) *revealed {
	t.Helper()
	var r revealed
	if err := json.Unmarshal([]byte(answer), &r); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return &r
}

// only is a copy of an app.
func (a *tenantApp) only() *tenantApp {
	c := *a
	return &c
}

var kindsOfSecrets = []kind{
	{
		name: tenant.RotatePublishKey,
		newest: func(t testing.TB, base *tenantApp, answer string) credential {
			c := base.only()
			c.publishKey = reveal(t, answer).App.PublishKeys[0].Key
			return credential{c.publishKey, c}
		},
		accepted: func(w *world, n *node, c credential) bool {
			status, _, _ := n.ask(w, ask{path: "/publish", header: c.bearer(), body: `{"channel":"c","event":"e"}`})
			return status == http.StatusAccepted
		},
	},
	{
		name: tenant.RotateSigningKey,
		newest: func(t testing.TB, base *tenantApp, answer string) credential {
			c, k := base.only(), reveal(t, answer).App.SigningKeys[0]
			raw, err := base64.StdEncoding.DecodeString(k.Secret)
			if err != nil {
				t.Fatal(err)
			}
			c.hmac = earshot.SigningKey{ID: k.ID, Alg: k.Alg, Key: raw}
			return credential{k.ID, c}
		},
		accepted: func(w *world, n *node, c credential) bool {
			l, err := w.connects(&hotsockTongue, n, c.tenantApp, c.tenantApp, door{path: "/v1"})
			if err == nil {
				l.shut()
			}
			return err == nil
		},
	},
	{
		name: tenant.RotateAccessKey,
		newest: func(t testing.TB, base *tenantApp, answer string) credential {
			c, k := base.only(), reveal(t, answer).App.AccessKeys[0]
			c.access = earshot.AccessKey{ID: k.ID, Secret: k.Secret}
			return credential{k.ID, c}
		},
		accepted: func(w *world, n *node, c credential) bool {
			status, _, _ := n.ask(w, mouths[1].ask(w, c.tenantApp, mark{c.slug, "c", 0}))
			return status == http.StatusOK
		},
	},
	{
		name: tenant.RotateSecret,
		newest: func(t testing.TB, base *tenantApp, answer string) credential {
			c := base.only()
			c.secret = reveal(t, answer).App.Secrets[0].Secret
			return credential{c.secret, c}
		},
		accepted: func(w *world, n *node, c credential) bool {
			l, err := w.connects(&phoenixTongue, n, c.tenantApp, c.tenantApp, door{path: "/socket/" + c.slug + "/websocket"})
			if err != nil {
				w.Error(err)
				return false
			}
			defer l.shut()
			signed := c.only()
			signed.hmac = earshot.SigningKey{Alg: "HS256", Key: []byte(c.secret)}
			return phoenixTongue.join(l, signed, "private:"+c.slug) == nil
		},
	},
}

// A ring is the credentials of one kind that there were, and what is known of
// them: the two newest that count on all nodes must be taken, those that were
// taken away and do not count any more must not, and of the others nobody knows.
type ring struct {
	kind *kind

	mu      sync.RWMutex
	must    []credential
	mustNot []credential
	turn    int // rises with each change of the two
}

// state is what must be of a random credential; ok is false if there is none.
func (r *ring) state(random *rand.Rand) (c credential, live bool, turn int, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	live = random.IntN(3) > 0
	of := r.must
	if !live {
		of = r.mustNot
	}
	if len(of) == 0 {
		return c, live, r.turn, false
	}
	return of[random.IntN(len(of))], live, r.turn, true
}

func (r *ring) set(must, mustNot []credential) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.must, r.mustNot = must, mustNot
	r.turn++
}

// is reports whether nothing has changed since a turn.
func (r *ring) is(turn int) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.turn == turn
}

// TestRotationUnderLoad rotates every kind of secret while each is used on two
// nodes all the time: nothing is refused that counts, nothing is taken that was
// taken away. The suite rotates as fast as it goes, EARSHOT_SOAK every two seconds
// for a minute, on the engine over a network.
func TestRotationUnderLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	w := newWorld(t, r, setup{nodes: 2, nats: soaking(), fixed: []*tenantApp{newTenant(t, r, "fixed")}})
	a := newTenant(t, r, "shop")
	w.create(a)
	turns, every := 4, time.Duration(0)
	if soaking() {
		turns, every = 30, 2*time.Second
	}
	var probes, wrong atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	rings := make([]*ring, len(kindsOfSecrets))
	for i := range kindsOfSecrets {
		first := a.only()
		rings[i] = &ring{kind: &kindsOfSecrets[i], must: []credential{{"first", first}}}
		load.Go(func() { w.probe(rings[i], rand.New(rand.NewPCG(8, uint64(i))), stop, &probes, &wrong) })
	}
	var slowest time.Duration
	for range turns {
		begun := time.Now()
		for _, ring := range rings {
			slowest = max(slowest, w.turn(ring, a))
		}
		if rest := every - time.Since(begun); rest > 0 {
			<-time.After(rest)
		}
	}
	close(stop)
	load.Wait()
	if probes.Load() == 0 || wrong.Load() > 0 {
		t.Errorf("of %d uses %d went wrong", probes.Load(), wrong.Load())
	}
	t.Logf("%d rotations of each kind, %d uses, %d wrong; the slowest counted on both nodes after %v", turns, probes.Load(), wrong.Load(), slowest.Round(time.Millisecond))
}

// probe uses credentials of a kind until it is told to stop.
func (w *world) probe(r *ring, random *rand.Rand, stop chan struct{}, probes, wrong *atomic.Int64) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		c, live, turn, ok := r.state(random)
		if !ok {
			c, live, turn, ok = r.state(random)
		}
		if !ok {
			continue
		}
		n := pick(random, w.nodes)
		if got := r.kind.accepted(w, n, c); got != live && r.is(turn) {
			wrong.Add(1)
			w.Errorf("%s %.8s: accepted %v, want %v", r.kind.name, c.id, got, live)
		}
		probes.Add(1)
	}
}

// turn rotates once, and waits until that counts on all nodes; it returns how long
// that took from the answer.
func (w *world) turn(r *ring, a *tenantApp) time.Duration {
	w.Helper()
	r.mu.RLock()
	stays := r.must[:1]
	leaves, gone := r.must[1:], r.mustNot
	r.mu.RUnlock()
	r.set(stays, gone)
	answer := w.operate(pick(w.Rand, w.nodes), http.MethodPost, "/admin/apps/"+a.slug+"/rotate", &tenant.Rotation{Kind: r.kind.name}, 200)
	answered := time.Now()
	fresh := r.kind.newest(w, a, answer)
	for _, n := range w.nodes {
		w.eventually("a new "+r.kind.name+" counts", func() bool { return r.kind.accepted(w, n, fresh) })
		for _, c := range leaves {
			w.eventually("an old "+r.kind.name+" does not count", func() bool { return !r.kind.accepted(w, n, c) })
		}
	}
	took := time.Since(answered)
	if took > counts() {
		w.Errorf("a rotation of the %s counted after %v", r.kind.name, took)
	}
	r.set(append([]credential{fresh}, stays...), append(gone[:len(gone):len(gone)], leaves...))
	return took
}

// TestDisabledAppsAreSilent publishes to an app on two nodes, and has clients of
// every tongue hear that, when it is switched off, or deleted: what is published a
// second after the answer is delivered to nobody, on either node, and nobody is
// connected any more.
func TestDisabledAppsAreSilent(t *testing.T) {
	for _, off := range []string{"disable", "delete"} {
		t.Run(off, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			r := rand.New(rand.NewPCG(9, 9))
			other := newTenant(t, r, "other")
			w := newWorld(t, r, setup{nodes: 2, nats: soaking(), fixed: []*tenantApp{other}})
			a := newTenant(t, r, "shop")
			a.rules = nil
			w.create(a)
			listeners := w.audience(a)
			witnesses := w.audience(other)
			published := &publishing{stop: make(chan struct{})}
			for _, n := range w.nodes {
				published.running.Go(func() { published.run(w, n, a, other) })
			}
			for _, l := range append(listeners, witnesses...) {
				if !l.await(func() bool { return len(l.heard) > 10 }) {
					t.Fatalf("%s hears nothing", l.about)
				}
			}
			n := pick(r, w.nodes)
			if off == "delete" {
				w.operate(n, http.MethodDelete, "/admin/apps/shop", nil, http.StatusNoContent)
			} else {
				no := false
				w.operate(n, http.MethodPatch, "/admin/apps/shop", &tenant.Change{Active: &no}, 200)
			}
			answered := time.Now()
			for _, l := range listeners {
				if err := l.over(); err != nil {
					t.Error(err)
				}
			}
			closed := time.Since(answered)
			<-time.After(time.Until(answered.Add(1500 * time.Millisecond))) // publishers go on beyond the second
			published.end()
			var last time.Duration
			for _, l := range listeners {
				for m := range l.heard {
					begun := published.begun(m)
					last = max(last, begun.Sub(answered))
				}
			}
			if last > counts() || closed > counts() {
				t.Errorf("what was published %v after the answer was delivered; the last client was closed after %v", last, closed)
			}
			for _, l := range witnesses {
				if l.ended != nil {
					t.Errorf("%s was closed too: %v", l.about, l.ended)
				}
			}
			for _, n := range w.nodes {
				for i := range tongues {
					w.refusesAll(&tongues[i], n, a)
				}
				for _, by := range mouths {
					if status, body, _ := n.ask(w, by.ask(w, a, mark{a.slug, "c", 0})); by.ok(status, body) && !by.mute {
						t.Errorf("%s: %d %s", by.name, status, body)
					}
				}
			}
			t.Logf("%s: the last client was closed %v after the answer; the last message that was delivered was published %v after it", off, closed.Round(time.Millisecond), last.Round(time.Millisecond))
		})
	}
}

// audience are clients of every tongue on every node, who hear a live and a logged
// channel.
func (w *world) audience(a *tenantApp) (all []*listener) {
	w.Helper()
	for i := range tongues {
		s := &tongues[i]
		for _, n := range w.nodes {
			l, err := w.connects(s, n, a, a, s.doors(a)[0])
			if err != nil {
				w.Fatal(err)
			}
			for _, channel := range []string{"room:live", "logged"} {
				l.expects(channel)
				if err := s.join(l, a, channel); err != nil {
					w.Fatal(err)
				}
			}
			all = append(all, l)
		}
	}
	return all
}

// refusesAll expects that an app that is not served lets nobody in.
func (w *world) refusesAll(s *tongue, n *node, a *tenantApp) {
	w.Helper()
	for _, d := range s.doors(a) {
		l, err := w.connects(s, n, a, a, d)
		if err != nil {
			continue
		}
		if s.join(l, a, "room:live") == nil && s.name != "notiflux" {
			w.Errorf("%s lets in who joins an app that is off, at %s%s", s.name, d.host, strings.SplitN(d.path, "?", 2)[0])
		}
		l.shut()
	}
}

// A publishing is what is published all the time, and since when each.
type publishing struct {
	stop    chan struct{}
	running sync.WaitGroup
	since   sync.Map // mark → time.Time
	n       atomic.Int64
}

func (p *publishing) run(w *world, n *node, apps ...*tenantApp) {
	for {
		select {
		case <-p.stop:
			return
		default:
		}
		for _, a := range apps {
			for _, channel := range []string{"room:live", "logged"} {
				m := mark{a.slug, channel, int(p.n.Add(1))}
				p.since.Store(m, time.Now())
				if status, body, _ := n.ask(w, mouths[0].ask(w, a, m)); status >= 500 {
					w.Errorf("publishing: %d %s", status, body)
				}
			}
		}
	}
}

func (p *publishing) begun(m mark) time.Time {
	at, ok := p.since.Load(m)
	if !ok {
		panic(fmt.Sprint("nobody has published ", m))
	}
	return at.(time.Time)
}

func (p *publishing) end() {
	close(p.stop)
	p.running.Wait()
}
