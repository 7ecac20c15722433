package notiflux_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto/hotsock"
	"github.com/earshot-io/earshot/proto/notiflux"
)

// TestTranscripts replays the dialogues in testdata: what a client sends (C) and
// hears (S), and what is posted with which answer (P). SUBSCRIBE[topics] and
// BROADCAST[topics] stand for tokens.
func TestTranscripts(t *testing.T) {
	all, err := os.ReadDir("testdata")
	if err != nil || len(all) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range all {
		t.Run(strings.TrimSuffix(file.Name(), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile("testdata/" + file.Name())
			if err != nil {
				t.Fatal(err)
			}
			s := newServer(t)
			c := s.connect(nil)
			for line := range strings.Lines(string(script)) {
				s.play(c, strings.TrimSuffix(line, "\n"))
			}
			c.does() // nothing was left
		})
	}
}

// play plays one line of a transcript.
func (s *server) play(c *client, line string) {
	s.t.Helper()
	side, said, _ := strings.Cut(line, ": ")
	said = s.tokens(said)
	switch side {
	case "C":
		c.send(said)
	case "S":
		c.hears(said)
	case "P":
		c.does() // what was sent before counts
		body, want, _ := strings.Cut(said, " → ")
		w := s.post(body, "application/json")
		if got := strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)); got != want {
			s.t.Fatalf("%s\nis answered %s, want %s", line, got, want)
		}
	default:
		if line != "" && !strings.HasPrefix(line, "#") {
			s.t.Fatalf("the transcript says %q", line)
		}
	}
}

// tokens puts tokens in.
func (s *server) tokens(line string) string {
	for mark, scope := range map[string]string{"SUBSCRIBE": "subscribe", "BROADCAST": "broadcast"} {
		for {
			before, rest, ok := strings.Cut(line, mark+"[")
			topics, after, closed := strings.Cut(rest, "]")
			if !ok || !closed {
				break
			}
			line = before + s.token(scope, strings.Split(topics, ",")...) + after
		}
	}
	return line
}

// TestTokens is the table of spec B3 over both ways in.
func TestTokens(t *testing.T) {
	s := newServer(t)
	good, now := s.claims("subscribe", "t"), time.Now().Unix()
	stranger := newPair(t, "")
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"good":               {s.sign(good), true},
		"just expired":       {s.sign(good.with(claims{"exp": now - 50})), true},
		"long expired":       {s.sign(good.with(claims{"exp": now - 70})), false},
		"not yet":            {s.sign(good.with(claims{"nbf": now + 1000, "iat": now + 1000, "iss": "x"})), true},
		"an aud":             {s.sign(good.with(claims{"aud": "x"})), false},
		"no sub":             {s.sign(good.with(claims{"sub": nil})), false},
		"another topic":      {s.sign(good.with(claims{"topics": []string{"T", "t ", "*"}})), false},
		"one of many topics": {s.sign(good.with(claims{"topics": []string{"s", "t"}})), true},
		"another scope":      {s.sign(good.with(claims{"scope": "broadcast"})), false},
		"no scope":           {s.sign(good.with(claims{"scope": "any"})), false},
		"another key":        {stranger.sign(good), false},
		"garbage":            {"x.y.z", false},
	} {
		t.Run(name, func(t *testing.T) {
			listener := s.connect(nil)
			listener.does("/subscribe t " + c.token)
			if heard := listener.conn.Sub("t") != nil; heard != c.ok {
				t.Errorf("subscribed is %v", heard)
			}
		})
		t.Run(name+", to broadcast", func(t *testing.T) {
			listener := s.connect(nil)
			listener.does("/subscribe t " + s.sign(good))
			s.says("t", "refused", s.sign(good))
			s.says("t", "marker", s.token("broadcast", "t"))
			listener.hears("marker")
		})
	}
}

// TestAlgorithm: only ES256 counts, whatever else the app's keys are for.
func TestAlgorithm(t *testing.T) {
	secret := earshot.SigningKey{ID: "hmac", Alg: "HS256", Key: []byte("a secret of thirty-two bytes or more")}
	p := newPair(t, "")
	s := newServerOf(t, p, notiflux.Config{}, &earshot.App{Slug: "a", SigningKeys: []earshot.SigningKey{secret, p.public}})
	issuer, err := auth.NewIssuer(secret)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s.claims("subscribe", "t"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue(b)
	if err != nil {
		t.Fatal(err)
	}
	c := s.connect(nil)
	c.does("/subscribe t "+token, "/subscribe u "+s.token("subscribe", "u"))
	if c.conn.Sub("t") != nil || c.conn.Sub("u") == nil {
		t.Errorf("subscribed to %d", len(c.conn.Subs()))
	}
}

// TestApps: a token's key names the app, else host or path, else the default one,
// and the first token settles it.
func TestApps(t *testing.T) {
	first, named := newPair(t, ""), newPair(t, "k2")
	apps := []*earshot.App{
		{Slug: "first", SigningKeys: []earshot.SigningKey{first.public}, Rules: live()},
		{Slug: "second", SigningKeys: []earshot.SigningKey{named.public}, Rules: live()},
	}
	s := newServerOf(t, first, notiflux.Config{}, apps...)
	c := s.connect(nil)
	c.does("/subscribe t x.y.z")
	if c.conn.App() != nil {
		t.Errorf("a bad token chose %v", c.conn.App())
	}
	c.does("/subscribe t "+named.token("subscribe", "t"), "/subscribe u "+first.token("subscribe", "u"))
	if c.conn.App() != apps[1] || c.conn.Sub("u") != nil {
		t.Errorf("the connection is of %v", c.conn.App())
	}
	d := s.connect(apps[0])
	d.does("/subscribe t "+first.token("subscribe", "t"), "/subscribe u "+named.token("subscribe", "u"))
	if d.conn.Sub("u") != nil {
		t.Error("a key of another app permits something")
	}
	s.says("t", "to the first", first.token("broadcast", "t"))
	s.says("t", "to the second", named.token("broadcast", "t"))
	d.hears("to the first")
	c.hears("to the second")
	c.does()
	d.does()
}

func live() []earshot.Rule { return []earshot.Rule{{Channel: earshot.Glob("*"), Live: true}} }

// TestOpenChannel: what a rule opens to who may connect is not open to who shows
// no token for it, since here everybody connects.
func TestOpenChannel(t *testing.T) {
	p := newPair(t, "")
	s := newServerOf(t, p, notiflux.Config{}, &earshot.App{
		Slug: "a", SigningKeys: []earshot.SigningKey{p.public}, Rules: []earshot.Rule{{Channel: earshot.Glob("*"), Open: earshot.Subscribe | earshot.Publish}},
	})
	c := s.connect(nil)
	c.does("/subscribe t x", "/subscribe t "+s.token("subscribe", "u"), "/subscribe t "+s.token("broadcast", "t"))
	if n := len(c.conn.Subs()); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

// TestCannotSubscribe: a permitted subscribe that fails ends the connection.
func TestCannotSubscribe(t *testing.T) {
	s := newServer(t)
	c := s.connect(nil)
	c.does("/subscribe a "+s.token("subscribe", "a"), "/subscribe a\xff "+s.token("subscribe", "a"), "/subscribe "+strings.Repeat("x", 300)+" "+s.token("subscribe", strings.Repeat("x", 300)))
	for _, topic := range []string{"b", "c", "d", "e"} { // one more than the tests' hub has room for
		c.send("/subscribe " + topic + " " + s.token("subscribe", topic))
	}
	if _, over := c.next(); over == nil || over.Code != 1013 || over.Reason != "limited" {
		t.Errorf("the end is %+v", over)
	}
}

// TestExpiry: an expired token ends nothing, unless the app wants that: then the
// connection ends, and leeway is not given.
func TestExpiry(t *testing.T) {
	for _, closes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, "")
			s := newServerOf(t, p, notiflux.Config{}, &earshot.App{Slug: "a", ExpiryCloses: closes, SigningKeys: []earshot.SigningKey{p.public}, Rules: live()})
			late := s.connect(nil)
			late.does("/subscribe t " + s.sign(s.claims("subscribe", "t").with(claims{"exp": time.Now().Unix() - 30})))
			if (late.conn.Sub("t") == nil) != closes {
				t.Errorf("expiry closes: %v, subscribed: %v", closes, late.conn.Sub("t") != nil)
			}
			c := s.connect(nil)
			c.does("/subscribe t " + s.sign(s.claims("subscribe", "t").with(claims{"exp": time.Now().Unix() + 10})))
			time.Sleep(10*time.Second + earshot.ExpiryGrace + time.Second)
			s.says("t", "later", s.token("broadcast", "t"))
			if !closes {
				c.hears("later")
				return
			}
			if f, over := c.next(); f != nil || over.Code != 1008 || over.Reason != "expired" {
				t.Errorf("heard %v, %+v", f, over)
			}
		})
	}
}

// TestBinaryIsIgnored, whatever is in it.
func TestBinaryIsIgnored(t *testing.T) {
	s := newServer(t)
	c := s.connect(nil)
	c.conn.Receive(hub.Input{Op: hub.Binary, Data: []byte("/help")})
	c.conn.Receive(hub.Input{Op: hub.Binary, Data: []byte("/subscribe t " + s.token("subscribe", "t"))})
	c.does()
	if c.conn.Sub("t") != nil {
		t.Error("a binary message subscribed")
	}
}

// TestWithHotsock: what one of them publishes is heard over the other, event and
// data intact where there is one.
func TestWithHotsock(t *testing.T) {
	p := newPair(t, "")
	other := earshot.SigningKey{ID: "h", Alg: "HS256", Key: []byte("a secret of thirty-two bytes or more")}
	s := newServerOf(t, p, notiflux.Config{}, &earshot.App{Slug: "a", SigningKeys: []earshot.SigningKey{other, p.public}})
	issuer, err := auth.NewIssuer(other)
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue(fmt.Appendf(nil, `{"scope":"connect","uid":"u","exp":%d,"channels":{"room:7":{"subscribe":true,"messages":{"*":{"publish":true,"echo":true}}}}}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	h := s.connectTo(hotsock.New(hotsock.DefaultConfig(), s.deps), nil, "/v1?token="+token)
	c := s.connect(nil)
	heard := func() (m struct {
		Event, Channel string
		Data           any
	},
	) {
		f, over := h.next()
		if f == nil {
			t.Fatalf("hotsock ended: %+v", over)
		}
		if err := json.Unmarshal(append(append([]byte(nil), f.Head...), f.Body...), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	heard() // connected
	h.send(`{"event":"hotsock.subscribe","channel":"room:7"}`)
	if m := heard(); m.Event != "hotsock.subscribed" {
		t.Fatalf("heard %+v", m)
	}
	c.does("/subscribe room:7 " + s.token("subscribe", "room:7"))
	for _, message := range []string{"", "grüße \u2028\n\"quoted\"", `{"a":1}`, strings.Repeat("ü", hub.MaxData/2)} {
		s.says("room:7", message, s.token("broadcast", "room:7"))
		c.hears(message)
		if m := heard(); m.Data != message || m.Event != "message" || m.Channel != "room:7" {
			t.Errorf("%.40q became %.200v", message, m)
		}
	}
	for data, want := range map[string]string{`"text ü"`: `"text ü"`, `{"a":[1,"x"]}`: `{"a":[1,"x"]}`, "7": "7", "null": "null"} {
		h.send(`{"event":"said","channel":"room:7","data":` + data + `}`)
		c.hears(want)
		if m := heard(); m.Event != "said" {
			t.Errorf("heard %+v", m)
		}
	}
	m := &earshot.Message{Channel: "room:7", Event: "e", Kind: earshot.Binary, Data: []byte{0, 255}}
	if _, err := s.hub.Publish(context.Background(), s.apps.Default(), hub.Publication{Message: m}); err != nil {
		t.Fatal(err)
	}
	if f, _ := c.next(); f == nil || f.Op != hub.Binary || string(f.Body) != "\x00\xff" {
		t.Errorf("binary became %+v", f)
	}
}
