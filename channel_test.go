package earshot

import (
	"strings"
	"testing"
	"time"
)

func TestCheckChannel(t *testing.T) {
	for _, name := range []string{
		"a", ".", "..", "a.b", " ", "*", ">", "/", "é", strings.Repeat("n", 256), strings.Repeat("é", 256),
		"x" + strings.Repeat(".", 31), strings.Repeat("x.", 31) + "x", "\x00", "\ufffd",
	} {
		if err := CheckChannel(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", strings.Repeat("n", 257), strings.Repeat("é", 257), strings.Repeat("日", 171), strings.Repeat(".", 32),
		"a\xff", "\xc3", "\xed\xa0\x80",
	} {
		if err := CheckChannel(name); CodeOf(err) != Invalid || err == nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzCheckChannel(f *testing.F) {
	f.Add("a.b")
	f.Fuzz(func(t *testing.T, name string) {
		if CheckChannel(name) != nil {
			return
		}
		if name == "" || len(name) > MaxChannelBytes || len([]rune(name)) > MaxChannelRunes ||
			len(strings.Split(name, ".")) > MaxChannelLevels || strings.ToValidUTF8(name, "") != name {
			t.Errorf("%q was taken", name)
		}
	})
}

// TestReplayed is what is stored for those who join later.
func TestReplayed(t *testing.T) {
	replays := &App{Slug: "a", Replay: Replay{Size: 1, For: time.Hour}, Rules: []Rule{{Channel: Glob("room:log*")}}}
	for channel, want := range map[string]time.Duration{"room:log": time.Hour, "room:live": 0, "logged": time.Hour} {
		if got := replays.Replayed(channel); got != want {
			t.Errorf("%q is stored for %v", channel, got)
		}
		if got := (&App{Slug: "a", Rules: replays.Rules}).Replayed(channel); got != 0 {
			t.Errorf("%q is stored for %v in an app without a replay", channel, got)
		}
	}
}

// TestRuleOfNone is what channels are where no rule says it.
func TestRuleOfNone(t *testing.T) {
	all := Subscribe | Publish
	a := &App{Slug: "shop"}
	quiet := &App{Slug: "shop", Live: true}
	ruled := &App{Slug: "shop", Rules: []Rule{{Channel: Glob("public:shop*")}, {Channel: Glob("room:logged")}}}
	for _, c := range []struct {
		channel string
		live    bool
		open    Action
		ruled   bool // live where the rules say logged
	}{
		{"chat", false, 0, false},
		{"presence.room:1", false, 0, false},
		{"a.b", false, 0, false},
		{"", false, 0, false},
		{"room:lobby", true, 0, true},
		{"room:logged", true, 0, false},
		{":", true, 0, true},
		{"room:1.2", true, 0, true},
		{"private:shop", true, 0, true},
		{"public:shop", true, all, false},
		{"public:shop:x:y", true, all, false},
		{"public:shops", true, 0, false},
		{"public:other", true, 0, true},
		{"public:", true, 0, true},
		{"public", false, 0, false},
		{"Public:shop", true, 0, true},
	} {
		if r := a.Rule(c.channel); r.Live != c.live || r.Open != c.open {
			t.Errorf("%q is %+v", c.channel, r)
		}
		if r := ruled.Rule(c.channel); r.Live != c.ruled || r.Open != 0 {
			t.Errorf("%q, with rules, is %+v", c.channel, r)
		}
		if r := quiet.Rule(c.channel); !r.Live || r.Open != c.open {
			t.Errorf("%q of a live app is %+v", c.channel, r)
		}
	}
}
