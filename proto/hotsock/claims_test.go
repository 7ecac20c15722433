package hotsock

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/go-json-experiment/json"
)

func read(t testing.TB, payload string) (*proof, error) {
	t.Helper()
	claims, err := auth.Fold([]byte(payload))
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	var r claimReader
	p, err := r.read(&auth.Token{App: &earshot.App{Slug: "dev"}}, claims)
	if err != nil {
		return nil, err
	}
	return p.(*proof), nil
}

func mustRead(t testing.TB, payload string) *proof {
	t.Helper()
	p, err := read(t, payload)
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return p
}

func TestClaims(t *testing.T) {
	p := mustRead(t, `{"scope":" connect  umd other subscribe","uid":"`+strings.Repeat("å", 128)+`","umd":{"a":[1]},"keepAlive":true,
		"heartbeatTimeout":30.0,"singleUse":true,"connectionId":"x","unknown":{"scope":1},"sub":5,"iat":"x"}`)
	if p.scope != scopeConnect|scopeSubscribe|scopeUMD || !p.identity.HasUID || string(p.identity.Meta) != `{"a":[1]}` || !p.keepAlive ||
		p.heartbeat != 30*time.Second || !p.singleUse || p.connectionID != "x" || p.identity.App != "dev" {
		t.Errorf("got %+v", p)
	}
	p = mustRead(t, `{"scope":null,"uid":null,"umd":null,"keepAlive":null,"heartbeatTimeout":null,"singleUse":null,"connectionId":null,"channels":null}`)
	if p.scope != 0 || p.identity.HasUID || p.identity.Meta != nil || p.keepAlive || p.heartbeat != 0 || p.singleUse || p.connectionID != "" || len(p.identity.Grants) != 0 {
		t.Errorf("null is not as good as absent: %+v", p)
	}
	p = mustRead(t, `{"channels":{"c":null,"d":{"messages":{"e":null,"f":{"publish":null}}}}}`)
	if len(p.identity.Grants) != 2 || p.identity.On("c", "e").Allow != 0 {
		t.Errorf("got %+v", p.identity.Grants)
	}
}

func TestClaimsRefused(t *testing.T) {
	for _, payload := range []string{
		`{"scope":["connect"]}`, `{"scope":5}`, `{"uid":5}`, `{"uid":"` + strings.Repeat("x", 129) + `"}`,
		`{"umd":"` + strings.Repeat("x", 1023) + `"}`, `{"keepAlive":"true"}`, `{"singleUse":1}`, `{"connectionId":5}`,
		`{"heartbeatTimeout":4}`, `{"heartbeatTimeout":601}`, `{"heartbeatTimeout":30.5}`, `{"heartbeatTimeout":"30"}`,
		`{"channels":[]}`, `{"channels":"c"}`, `{"channels":{"c":true}}`, `{"channels":{"c":{"subscribe":"true"}}}`,
		`{"channels":{"c":{"subscribe":1}}}`, `{"channels":{"c":{"alias":5}}}`, `{"channels":{"c":{"historyStart":"0"}}}`,
		`{"channels":{"c":{"messages":[]}}}`, `{"channels":{"c":{"messages":{"e":true}}}}`,
		`{"channels":{"c":{"messages":{"e":{"publish":"yes"}}}}}`,
		`{"channels":{"c":{"messages":{"e":{"store":-2}}}}}`, `{"channels":{"c":{"messages":{"e":{"store":3155695201}}}}}`,
		`{"channels":{"c":{"messages":{"e":{"store":1.5}}}}}`, `{"channels":{"c":{"messages":{"e":{"store":"60"}}}}}`,
		`{"channels":{"#regex:(":{}}}`, `{"channels":{"c":{"messages":{"#regex:[":{}}}}}`, `{"channels":{"c":{"storage":{"#regex:*":{}}}}}`,
		`{"channels":{"#regex:a{1001}":{}}}`, `{"channels":{"#regex:(?=a)":{}}}`,
	} {
		_, err := read(t, payload)
		if e := earshot.AsError(err); e == nil || e.Code != earshot.Unauthenticated || e.Reason != "TOKEN_CLAIMS" || e.Text == "" {
			t.Errorf("%.80s gives %v", payload, err)
		}
	}
}

// TestPublishTable is the table of spec §3.4, in whatever order and however
// precise the keys are.
func TestPublishTable(t *testing.T) {
	for _, c := range []struct {
		publish, broadcast       string
		unsubscribed, subscribed bool
	}{
		{"", "true", true, true},
		{"true", "", false, true},
		{"true", "false", false, true},
		{"false", "", false, false},
		{"false", "true", false, false},
		{"true", "true", true, true},
		{"", "", false, false},
		{"", "false", false, false},
	} {
		for _, form := range []string{
			`{"channels":{"c":{"messages":{"e":{%s%s}}}}}`,
			`{"channels":{"*":{"messages":{"*":{%s}}},"c":{"messages":{"e":{%s}}}}}`,
			`{"channels":{"c":{"messages":{"e":{%s}}},"#regex:^c$":{"messages":{"#regex:.":{%s}}}}}`,
		} {
			p, b := member("publish", c.publish), member("broadcast", c.broadcast)
			if strings.Contains(form, "%s%s") && p != "" && b != "" {
				p += ","
			}
			payload := fmt.Sprintf(form, p, b)
			terms := mustRead(t, payload).identity.On("c", "e")
			// The hub's rule: a denied publish is denied; broadcast needs no subscription.
			may := func(subscribed bool) bool {
				return !terms.Deny.Has(earshot.Publish) && (terms.Allow.Has(earshot.Broadcast) || terms.Allow.Has(earshot.Publish) && subscribed)
			}
			if may(false) != c.unsubscribed || may(true) != c.subscribed {
				t.Errorf("%s: got %v and %v, want %v and %v", payload, may(false), may(true), c.unsubscribed, c.subscribed)
			}
		}
	}
}

func member(name, value string) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf("%q:%s", name, value)
}

// TestMerge: an explicit false wins, whatever the order and precision of the keys.
func TestMerge(t *testing.T) {
	for _, c := range []struct {
		channels, channel, event string
		allow                    earshot.Action
	}{
		{`{"c":{"subscribe":true}}`, "c", "", earshot.Subscribe},
		{`{"c":{"subscribe":true}}`, "C", "", 0},
		{`{"c":{"subscribe":true}}`, "cc", "", 0},
		{`{"*":{"subscribe":true}}`, "a.b.c", "", earshot.Subscribe},
		{`{"a.*":{"subscribe":true}}`, "a.", "", earshot.Subscribe},
		{`{"a.*":{"subscribe":true}}`, "a", "", 0},
		{`{"*.b.*":{"subscribe":true}}`, "x.y.b.z", "", earshot.Subscribe},
		{`{"a*b*c":{"subscribe":true}}`, "abc", "", earshot.Subscribe},
		{`{"a?c":{"subscribe":true}}`, "abc", "", 0},
		{`{"a.c":{"subscribe":true}}`, "abc", "", 0},
		{`{"#regex:^a.c$":{"subscribe":true}}`, "abc", "", earshot.Subscribe},
		{`{"#regex:b":{"subscribe":true}}`, "abc", "", earshot.Subscribe},
		{`{"#regex:^b":{"subscribe":true}}`, "abc", "", 0},
		{`{"c":{"subscribe":true},"*":{"subscribe":false}}`, "c", "", 0},
		{`{"c":{"subscribe":false},"*":{"subscribe":true}}`, "c", "", 0},
		{`{"c":{"subscribe":false},"*":{"subscribe":true}}`, "d", "", earshot.Subscribe},
		{`{"c":{"autoSubscribe":true}}`, "c", "", earshot.Subscribe | earshot.AutoSubscribe},
		{`{"c*":{"autoSubscribe":true}}`, "c", "", 0},
		{`{"#regex:c":{"autoSubscribe":true}}`, "c", "", 0},
		{`{"c":{"autoSubscribe":true},"*":{"subscribe":false}}`, "c", "", earshot.AutoSubscribe},
		{`{"c":{"autoSubscribe":false,"subscribe":true}}`, "c", "", earshot.Subscribe},
		{`{"c":{"getInfo":true}}`, "c", "", earshot.Info},
		{`{"c":{"messages":{"e*":{"publish":true,"echo":true},"*x":{"echo":false}}}}`, "c", "ex", earshot.Publish},
		{`{"c":{"messages":{"e*":{"publish":true,"echo":true},"*x":{"echo":false}}}}`, "c", "ey", earshot.Publish | earshot.Echo},
		{`{"c":{"subscribe":false},"*":{"messages":{"*":{"publish":true,"emitPubSubEvent":true}}}}`, "c", "e", earshot.Publish | earshot.Emit},
	} {
		if got := mustRead(t, `{"channels":`+c.channels+`}`).identity.On(c.channel, c.event); got.Allow != c.allow {
			t.Errorf("%s on %s %s: got %b, want %b", c.channels, c.channel, c.event, got.Allow, c.allow)
		}
	}
}

func TestStoreAndHistory(t *testing.T) {
	terms := func(channels string) earshot.Terms {
		return mustRead(t, `{"channels":`+channels+`}`).identity.On("c", "e")
	}
	for channels, want := range map[string]time.Duration{
		`{"c":{"messages":{"e":{}}}}`:                                               0,
		`{"c":{"messages":{"e":{"store":60}}}}`:                                     time.Minute,
		`{"c":{"messages":{"e":{"store":-1}}}}`:                                     earshot.Forever,
		`{"c":{"messages":{"e":{"store":3155695200}}}}`:                             3155695200 * time.Second,
		`{"c":{"messages":{"e":{"store":60},"*":{"store":120}}}}`:                   2 * time.Minute,
		`{"c":{"messages":{"e":{"store":60}}},"*":{"messages":{"*":{"store":-1}}}}`: earshot.Forever,
	} {
		if got := terms(channels).Store; got != want {
			t.Errorf("%s: got %v, want %v", channels, got, want)
		}
	}
	if got := terms(`{"c":{}}`).HistoryStart; got != nil {
		t.Errorf("got the history start %v, want none", got)
	}
	if got := terms(`{"c":{"historyStart":0}}`).HistoryStart; got == nil || got.Unix() != 0 {
		t.Errorf("got the history start %v, want 1970", got)
	}
	if got := terms(`{"c":{"historyStart":1700000000.5},"*":{"historyStart":1800000000}}`).HistoryStart; got == nil || got.UnixMilli() != 1_700_000_000_500 {
		t.Errorf("got the history start %v, want the earliest", got)
	}
}

func TestAliases(t *testing.T) {
	for channels, want := range map[string]map[string]string{
		`{"c":{"alias":"a"}}`:                   {"c": "a"},
		`{"c*":{"alias":"a"}}`:                  {},
		`{"#regex:c":{"alias":"a"}}`:            {},
		`{"c":{"alias":"d"},"d":{}}`:            {},
		`{"c":{"alias":"c"}}`:                   {},
		`{"c":{"alias":"a"},"d":{"alias":"a"}}`: {"c": "a"},
		`{"c":{"alias":"a b"}}`:                 {},
		`{"c":{"alias":""}}`:                    {},
		`{"c":{"alias":null},"d":{"alias":"` + strings.Repeat("x", 257) + `"}}`: {},
	} {
		got := map[string]string{}
		for _, g := range mustRead(t, `{"channels":`+channels+`}`).identity.Grants {
			if g.Alias != "" {
				got[g.Channel.String()] = g.Alias
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", channels, got, want)
		}
	}
}

// TestChannelsAreShared: tokens of many users that may do the same hold it once.
func TestChannelsAreShared(t *testing.T) {
	var r claimReader
	app := &earshot.App{Slug: "dev"}
	get := func(i int, channels string) *proof {
		p, err := r.read(&auth.Token{App: app}, fmt.Appendf(nil, `{"uid":"u%d","channels":%s}`, i, channels))
		if err != nil {
			t.Fatal(err)
		}
		return p.(*proof)
	}
	a, b := get(1, `{"#regex:x":{"subscribe":true}}`), get(2, `{"#regex:x":{"subscribe":true}}`)
	if a.channels != b.channels || &a.identity.Grants[0] != &b.identity.Grants[0] {
		t.Error("two tokens that say the same have grants of their own")
	}
	for i := range 3 * sharedChannels {
		get(i, fmt.Sprintf(`{"c%d":{}}`, i))
	}
	if n := len(r.young) + len(r.old); n > 2*sharedChannels {
		t.Errorf("%d claims are remembered", n)
	}
	if c := get(3, `{"#regex:x":{"subscribe":true}}`); c.channels == a.channels {
		t.Error("what nobody asked for any more is still remembered")
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"c": true, "a/b": true, "a.b-c_d:e": true, "å": true, "a..b": true, strings.Repeat("å", 256): true, "presence.x": true,
		"": false, "a b": false, "a*": false, "a#": false, "a,b": false, "a\nb": false, "a\u00a0b": false, "a\tb": false,
		strings.Repeat("c", 257): false, "\xff": false, strings.Repeat("a.", 32): false,
	} {
		if err := checkChannel(name); (err == nil) != ok {
			t.Errorf("channel %.20q: %v", name, err)
		}
	}
	for name, ok := range map[string]bool{
		"e": true, "a b": true, "hotsock": true, "a#": true, strings.Repeat("å", 128): true,
		"": false, " \t": false, "hotsock.x": false, "#e": false, "a*": false, strings.Repeat("e", 129): false,
	} {
		if err := checkEvent(name); (err == nil) != ok {
			t.Errorf("event %.20q: %v", name, err)
		}
	}
}

// FuzzClaims: any payload gives a proof or a readable error, and whatever a
// proof allows, an explicit false does not.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{
		`{"scope":"connect","channels":{"c":{"subscribe":true,"alias":"a","historyStart":0,"messages":{"*":{"publish":true,"store":-1}}}}}`,
		`{"channels":{"#regex:^a(b|c)*$":{"subscribe":true},"*":{"subscribe":false}}}`,
		`{"channels":{"a*b*":{"autoSubscribe":true}},"umd":null,"umd":1}`, `{"heartbeatTimeout":5,"uid":""}`, `{"channels":{"":{}}}`,
	} {
		f.Add(s, "abc", "event")
	}
	f.Fuzz(func(t *testing.T, payload, channel, event string) {
		claims, err := auth.Fold([]byte(payload))
		if err != nil {
			return
		}
		var r claimReader
		v, err := r.read(&auth.Token{App: &earshot.App{Slug: "dev"}}, claims)
		if err != nil {
			if e := earshot.AsError(err); e.Code != earshot.Unauthenticated || e.Text == "" {
				t.Fatalf("%q is refused with %v", payload, err)
			}
			return
		}
		p := v.(*proof)
		terms := p.identity.On(channel, event)
		if terms.Allow&terms.Deny != 0 {
			t.Fatalf("%q allows and denies %b on %q", payload, terms.Allow&terms.Deny, channel)
		}
		for _, name := range p.auto {
			if !strings.Contains(payload, "autoSubscribe") || strings.Contains(name, "*") {
				t.Fatalf("%q subscribes to %q by itself", payload, name)
			}
		}
		if terms.Allow.Has(earshot.Subscribe) && denied(t, claims, channel) {
			t.Fatalf("%q allows to subscribe to %q, which an exact key denies", payload, channel)
		}
	})
}

// denied reports whether the key of exactly this channel says subscribe:false.
func denied(t *testing.T, claims []byte, channel string) bool {
	var c struct {
		Channels map[string]struct {
			Subscribe *bool `json:"subscribe"`
		} `json:"channels"`
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		t.Fatal(err)
	}
	entry := c.Channels[channel]
	return !strings.HasPrefix(channel, regexPrefix) && entry.Subscribe != nil && !*entry.Subscribe
}
