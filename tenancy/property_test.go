package tenancy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/tenant"
)

// slugs have much in common, so that a name that is cut or joined wrongly is
// another app's.
var slugs = []string{"a", "a-b", "a-b-c", "ab", "b", "shop", "shop-2", "shop2", "x-5f", "0", "1"}

// names are of channels, the same in every app.
func (w *world) names() []string {
	all := []string{"room", "presence.room", "a", "a.b", "a.b.c", "a-b.c", "ünï.日本", "x_5f.y", "public:lobby", "live:1", ">", "$sys", "%2F/..", "a/b"}
	for range 6 {
		const letters = "ab.-_:/>$%&'\"\\<{}+=~日ß\u200b😀"
		name := ""
		for range 1 + w.IntN(8) {
			name += string(pick(w.Rand, []rune(letters)))
		}
		if nameable(name) {
			all = append(all, name)
		}
	}
	for _, a := range w.tenants {
		all = append(all, "private:"+a.slug, a.slug)
	}
	w.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:8]
}

// A run is one round of the property: who listens, what was said, and what is
// known to be known.
type run struct {
	*world
	names     []string
	listeners []*listener
	said      map[mark]bool
	// ids are of stored messages, by app and channel.
	ids map[string]map[string][]string
	n   int
}

// TestNothingCrosses is the property: with random apps and names, whatever is said,
// stored, listed, counted or tried over any protocol, nobody hears, reads or sees
// anything of another app; and everybody hears all of their own, once.
func TestNothingCrosses(t *testing.T) {
	for seed := range rounds(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 4))
			slugs := slices.Clone(slugs)
			r.Shuffle(len(slugs), func(i, j int) { slugs[i], slugs[j] = slugs[j], slugs[i] })
			fixed := []*tenantApp{newTenant(t, r, slugs[0]), newTenant(t, r, slugs[1])}
			w := newWorld(t, r, setup{nodes: 2, fixed: fixed})
			for _, slug := range slugs[2:5] {
				w.create(newTenant(t, r, slug))
			}
			play := &run{world: w, names: w.names(), said: map[mark]bool{}, ids: map[string]map[string][]string{}}
			play.connectAll()
			for range 120 {
				play.step()
			}
			for _, a := range w.tenants {
				for _, b := range w.tenants {
					if a != b {
						play.cross(a, b)
					}
				}
			}
			for _, a := range fixed {
				play.events(a)
			}
			play.settle()
		})
	}
}

// mark is a new one.
func (p *run) mark(a *tenantApp, channel string) mark {
	p.n++
	return mark{a.slug, channel, p.n}
}

// connectAll gives every app clients of every tongue, at random doors and nodes.
func (p *run) connectAll() {
	p.Helper()
	for _, a := range p.tenants {
		for i := range tongues {
			s := &tongues[i]
			for range 2 {
				n := pick(p.Rand, p.nodes)
				l := newListener(p, n, a, s.name)
				l.expects("") // what users bring along
				d := s.enter(p, a, pick(p.Rand, s.doors(a)))
				if s.name == "hotsock" {
					c := everything(pick(p.Rand, []string{"ann", "bob"}))
					c["umd"] = map[string]string{"m": p.mark(a, "").String()}
					d.path, _, _ = strings.Cut(d.path, "?")
					d.path += "?token=" + a.token(p, c)
				}
				if err := s.open(l, d); err != nil {
					p.Fatalf("%s: %v", l.about, err)
				}
				p.listeners = append(p.listeners, l)
				for range 1 + p.IntN(3) {
					p.join(s, l, pick(p.Rand, p.names))
				}
			}
		}
	}
}

// foreign reports whether a Phoenix topic says that it is another app's.
func (p *run) foreign(a *tenantApp, topic string) bool {
	parts := strings.SplitN(topic, ":", 3)
	return len(parts) > 1 && slices.ContainsFunc(p.tenants, func(o *tenantApp) bool { return o != a && o.slug == parts[1] })
}

func (p *run) join(s *tongue, l *listener, channel string) {
	p.Helper()
	if l.channels[channel] || s.name == "phoenix" && p.foreign(l.app, channel) {
		return
	}
	l.expects(channel)
	if err := s.join(l, l.app, channel); err != nil {
		p.Fatalf("%s: %v", l.about, err)
	}
}

// look looks through what an app was answered: nothing in it may be of another.
func (p *run) look(a *tenantApp, what, text string) {
	p.Helper()
	for _, m := range marks(text) {
		if m.app != a.slug {
			p.Errorf("%s shows %s %+v: %.300s", what, a.slug, m, text)
		}
	}
	for _, other := range p.tenants {
		if other == a {
			continue
		}
		for _, secret := range other.secrets() {
			if strings.Contains(text, secret) {
				p.Errorf("%s shows %s a secret of %s", what, a.slug, other.slug)
			}
		}
	}
}

// step does one thing of many.
func (p *run) step() {
	p.Helper()
	a, n, channel := pick(p.Rand, p.tenants), pick(p.Rand, p.nodes), pick(p.Rand, p.names)
	switch p.IntN(10) {
	case 0, 1, 2, 3:
		p.publish(pick(p.Rand, mouths), n, a, p.mark(a, channel))
	case 4, 5:
		p.speak(pick(p.Rand, p.listeners))
	case 6:
		p.store(n, a, channel)
	case 7:
		p.read(n, a, channel)
	case 8:
		p.same(n, channel)
	case 9:
		p.rename(a)
	}
}

// publish publishes over HTTP.
func (p *run) publish(by mouth, n *node, a *tenantApp, m mark) {
	p.Helper()
	m.channel = by.on(a, m.channel)
	q := by.ask(p, a, m)
	if p.IntN(2) == 0 {
		q.host = a.host
	}
	status, body, _ := n.ask(p, q)
	p.look(a, by.name, body)
	if !by.ok(status, body) {
		p.Fatalf("%s by %s on %q: %d %s", by.name, a.slug, m.channel, status, body)
	}
	p.said[m] = true
}

// speak has a client publish on a channel of its own.
func (p *run) speak(l *listener) {
	p.Helper()
	l.mu.Lock()
	mine := slices.DeleteFunc(slices.Sorted(maps.Keys(l.channels)), func(c string) bool { return c == "" })
	l.mu.Unlock()
	if len(mine) == 0 || l.tongue.says == nil {
		return
	}
	m := p.mark(l.app, pick(p.Rand, mine))
	l.tongue.says(l, m)
	p.said[m] = true
}

// store keeps a message, an entry, a reaction and a schedule.
func (p *run) store(n *node, a *tenantApp, channel string) {
	p.Helper()
	set := p.mark(a, channel)
	status, body, _ := n.ask(p, ask{path: "/publish", header: a.bearer(), body: fmt.Sprintf(
		`{"channel":%s,"event":"hotsock.channelStorageSet","key":"k","data":{"m":%q}}`, quoted(channel), set)})
	p.look(a, "storage", body)
	later := p.mark(a, channel)
	status2, body2, _ := n.ask(p, ask{path: "/publish", header: a.bearer(), body: fmt.Sprintf(
		`{"channel":%s,"event":"later","data":{"m":%q},"scheduleExpression":"at(2099-01-01T00:00:00)"}`, quoted(channel), later)})
	p.look(a, "schedule", body2)
	if status != 202 || status2 != 202 {
		p.Fatalf("storing on %q of %s: %d %s, %d %s", channel, a.slug, status, body, status2, body2)
	}
	if a.live(channel) {
		return
	}
	m := p.mark(a, channel)
	status, body, _ = n.ask(p, ask{path: "/publish", header: a.bearer(), body: fmt.Sprintf(
		`{"channel":%s,"event":"e","data":{"m":%q},"store":600,"eagerIdGeneration":true}`, quoted(channel), m)})
	var got struct{ ID string }
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 202 || got.ID == "" {
		p.Fatalf("storing on %q of %s: %d %s", channel, a.slug, status, body)
	}
	p.said[m] = true
	if p.ids[a.slug] == nil {
		p.ids[a.slug] = map[string][]string{}
	}
	p.ids[a.slug][channel] = append(p.ids[a.slug][channel], got.ID)
	status, body, _ = n.ask(p, ask{path: "/publish", header: a.bearer(), body: fmt.Sprintf(
		`{"channel":%s,"event":"hotsock.messageReaction","data":{"messageId":%q,"reaction":%q,"action":"add","uid":"ann"}}`,
		quoted(channel), got.ID, fmt.Sprint("r", p.n))})
	if status != 202 {
		p.Fatalf("reacting on %q of %s: %d %s", channel, a.slug, status, body)
	}
}

// read asks for all that can be asked for, by servers and clients.
func (p *run) read(n *node, a *tenantApp, channel string) {
	p.Helper()
	escaped := url.PathEscape(channel)
	for _, path := range []string{"/channels/" + escaped, "/channels/" + escaped + "/storage", "/schedules", "/webhooks"} {
		status, body, _ := n.ask(p, ask{method: http.MethodGet, path: path, header: a.bearer()})
		p.look(a, path, body)
		if status != 200 && path != "/webhooks" {
			p.Fatalf("%s of %s: %d %s", path, a.slug, status, body)
		}
		if want := p.subscribed(a, channel); strings.HasSuffix(path, escaped) && !strings.Contains(body, fmt.Sprintf(`"subscriptionsCount":%d`, want)) {
			p.Errorf("%q of %s has %d subscriptions, but %s", channel, a.slug, want, body)
		}
	}
	p.administer(n, a)
	if l, q := p.caller(a); l != nil {
		for _, call := range []string{
			`listMessages {"channel":%s}`, `getChannelInfo {"channel":%s}`, `channelStorageGet {"channel":%s,"key":"k"}`,
			`channelStorageList {"channel":%s}`,
		} {
			name, body, _ := strings.Cut(call, " ")
			status, answer, _ := n.ask(p, ask{path: "/connection/" + name + "?" + q, body: fmt.Sprintf(body, quoted(channel))})
			p.look(a, name, answer)
			if mine := l.channels[channel]; status != 200 && (mine || status != http.StatusForbidden) {
				p.Errorf("%s of %s, who hears %q (%v): %d %s", name, l.about, channel, mine, status, answer)
			}
		}
	}
}

// administer looks at an app as the operator does: there is nothing of another one
// in it, and no secret in anything but an export.
func (p *run) administer(n *node, a *tenantApp) {
	p.Helper()
	everything := p.operate(n, http.MethodGet, "/admin/apps", nil, 200) + p.operate(n, http.MethodGet, "/admin/audit", nil, 200)
	if a.made {
		for _, end := range []string{"", "/figures", "/channels", "/usage"} {
			answer := p.operate(n, http.MethodGet, "/admin/apps/"+a.slug+end, nil, 200)
			p.look(a, "/admin/apps"+end, answer)
			everything += answer
		}
		exported := p.operate(n, http.MethodPost, "/admin/apps/"+a.slug+"/export", nil, 200)
		p.look(a, "an export", exported)
		if !strings.Contains(exported, a.secret) {
			p.Errorf("the export of %s lacks its secret", a.slug)
		}
	}
	if len(marks(everything)) > 0 {
		p.Errorf("the operator is shown what apps say: %.300s", everything)
	}
	for _, other := range p.tenants {
		for _, secret := range other.secrets() {
			if strings.Contains(everything, secret) {
				p.Errorf("the operator is shown a secret of %s", other.slug)
			}
		}
	}
}

// subscribed is how many of an app's clients hear a channel.
func (p *run) subscribed(a *tenantApp, channel string) (n int) {
	for _, l := range p.listeners {
		l.mu.Lock()
		if l.app == a && l.channels[channel] {
			n++
		}
		l.mu.Unlock()
	}
	return n
}

// caller is a client of the app that may use /connection, and the query that
// names it.
func (p *run) caller(a *tenantApp) (*listener, string) {
	for _, l := range p.listeners {
		if l.app == a && strings.HasPrefix(l.about, "hotsock") {
			id, secret := l.names()
			return l, url.Values{"connectionId": {id}, "connectionSecret": {secret}}.Encode()
		}
	}
	return nil, ""
}

// names are the connection's id and secret.
func (l *listener) names() (id, secret string) {
	var hello struct {
		Data struct{ ConnectionID, ConnectionSecret string }
	}
	if err := json.Unmarshal([]byte(l.answered(0, "hotsock.connected")), &hello); err != nil {
		l.Fatal(err)
	}
	return hello.Data.ConnectionID, hello.Data.ConnectionSecret
}

// same uses one idempotency key in all apps: each has its own.
func (p *run) same(n *node, channel string) {
	p.Helper()
	key := fmt.Sprint(p.n)
	for _, a := range p.tenants {
		m := p.mark(a, channel)
		status, body, _ := n.ask(p, ask{path: "/publish", header: a.bearer(), body: fmt.Sprintf(
			`{"channel":%s,"event":"e","data":{"m":%q},"deduplicationId":%q}`, quoted(channel), m, key)})
		if status != 202 {
			p.Fatalf("%d %s", status, body)
		}
		p.said[m] = true
	}
}

// rename changes an app under its clients.
func (p *run) rename(a *tenantApp) {
	if a.made {
		name := fmt.Sprintf("renamed %d", p.n)
		body := p.operate(pick(p.Rand, p.nodes), http.MethodPatch, "/admin/apps/"+a.slug, &tenant.Change{Name: &name}, 200)
		p.look(a, "the admin API", body)
	}
}

// settle waits until everybody has heard all that was said to them, and finds
// that they heard it once, and that no log holds any of it.
func (p *run) settle() {
	p.Helper()
	for m := range p.said {
		for _, l := range p.listeners {
			l.mu.Lock()
			entitled := l.app.slug == m.app && l.channels[m.channel]
			l.mu.Unlock()
			if !entitled {
				continue
			}
			if err := l.hears(m); err != nil {
				p.Fatal(err)
			}
		}
	}
	for _, l := range p.listeners {
		l.mu.Lock()
		for m, times := range l.heard {
			if p.said[m] && times != 1 {
				p.Errorf("%s heard %+v %d times", l.about, m, times)
			}
		}
		l.mu.Unlock()
	}
	for _, n := range p.nodes {
		log := n.log.String()
		if strings.Contains(log, "mk-") {
			p.Error("a log holds what was published")
		}
		for _, a := range p.tenants {
			for _, secret := range a.secrets() {
				if strings.Contains(log, secret) {
					p.Errorf("a log holds a secret of %s", a.slug)
				}
			}
		}
	}
}

// events reads all events of an app that records them, up to one that it emits now.
func (p *run) events(a *tenantApp) {
	p.Helper()
	n, last := pick(p.Rand, p.nodes), p.mark(a, "room")
	status, body, _ := n.ask(p, ask{path: "/publish", header: a.bearer(), body: fmt.Sprintf(
		`{"channel":"room","event":"e","data":{"m":%q},"emitPubSubEvent":true}`, last)})
	if status != http.StatusAccepted {
		p.Fatalf("%d %s", status, body)
	}
	p.said[last] = true
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.addr+"/events?after=0", nil)
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.publishKey)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	told := 0
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		told++
		p.look(a, "/events", lines.Text())
		if strings.Contains(lines.Text(), last.String()) {
			return
		}
	}
	p.Errorf("the events of %s end after %d lines: %v", a.slug, told, lines.Err())
}

// A witness is a test that notes its failures.
type witness struct {
	testing.TB
	failed []string
}

func (w *witness) Helper() {}

func (w *witness) Errorf(format string, args ...any) {
	w.failed = append(w.failed, fmt.Sprintf(format, args...))
}

// TestTheProofCanFail: what the property looks for is found, in frames, in answers
// and in how often a thing is heard.
func TestTheProofCanFail(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a, b := newTenant(t, r, "a"), newTenant(t, r, "b")
	for name, leak := range map[string]func(p *run, l *listener){
		"another app's message":     func(_ *run, l *listener) { l.take(fmt.Sprintf(`{"data":{"m":%q}}`, mark{"b", "room", 1})) },
		"another channel's message": func(_ *run, l *listener) { l.take(mark{"a", "other", 1}.String()) },
		"another app's answer":      func(p *run, _ *listener) { p.look(a, "x", "said "+mark{"b", "ünï", 1}.String()) },
		"another app's secret":      func(p *run, _ *listener) { p.look(a, "x", "key="+b.publishKey) },
		"a message heard twice": func(p *run, l *listener) {
			m := mark{"a", "room", 1}
			p.said[m] = true
			l.take(m.String())
			l.take(m.String())
			p.settle()
		},
	} {
		seen := &witness{TB: t}
		l := newListener(seen, nil, a, "hotsock")
		l.expects("room")
		p := &run{world: &world{TB: seen, Rand: r, tenants: []*tenantApp{a, b}}, listeners: []*listener{l}, said: map[mark]bool{}}
		if leak(p, l); len(seen.failed) != 1 {
			t.Errorf("%s: %q", name, seen.failed)
		}
	}
}
