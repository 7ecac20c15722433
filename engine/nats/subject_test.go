package nats

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/earshot-io/earshot"
)

func TestSubject(t *testing.T) {
	for _, c := range []struct{ app, channel, want string }{
		{"app", "a", "h.app.0.a"},
		{"app", "a.b", "h.app.0.a.b"},
		{"app", "", "h.app.0._"},
		{"app", ".a..", "h.app.0._.a._._"},
		{"app", "*.>", "h.app.0._2a._3e"},
		{"app", "a_b c/é", "h.app.0.a_5fb_20c_2f_c3_a9"},
		{"a.b", "A-9", "h.a_2eb.0.A-9"},
	} {
		if got := subject("h", c.app, c.channel, 1); got != c.want {
			t.Errorf("%q %q: %s, want %s", c.app, c.channel, got, c.want)
		}
	}
	for _, bad := range []string{
		"", "h", "h.a", "h.a.0", "h.a.0.", "h._.0.node", "h.a.00.b", "h.a.x.b", "h.a.0.*", "h.a.0.>", "h.a.0.b..c", "h.a.0._6",
		"h.a.0._61", "h.a.0._2A", "h.a.0.a_", "h.a.0.é", "h.a.-1.b", "h.a.0._ff",
	} {
		if _, app, channel, ok := parseSubject(bad); ok {
			t.Errorf("%q was read as %q %q", bad, app, channel)
		}
	}
}

// checkSubject checks one name: round trip, no wildcard, its own app.
func checkSubject(t interface{ Fatalf(string, ...any) }, app, channel string, buckets int) string {
	s := subject(spaceStored, app, channel, buckets)
	if strings.ContainsAny(s, "*> \t\r\n\x00") || strings.Contains(s, "..") || strings.HasSuffix(s, ".") {
		t.Fatalf("%q %q: the subject is %q", app, channel, s)
	}
	space, a, c, ok := parseSubject(s)
	valid := app != "" && earshot.CheckChannel(channel) == nil
	if ok != valid || ok && (space != spaceStored || a != app || c != channel) {
		t.Fatalf("%q %q: %q is read as %q %q %v", app, channel, s, a, c, ok)
	}
	return s
}

func FuzzSubject(f *testing.F) {
	for _, s := range []string{"a", "a.b", "", ".", "*", ">", "_", "_2a", "a b", "é\x00", "a..b", "$JS.API"} {
		f.Add("app", s, uint8(1))
		f.Add(s, "channel", uint8(7))
	}
	f.Fuzz(func(t *testing.T, app, channel string, buckets uint8) {
		checkSubject(t, app, channel, int(buckets))
		// What comes from the network is read as a name that is written the same, or not at all.
		if space, a, c, ok := parseSubject(channel); ok {
			app := space + "." + string(appendLevel(nil, a)) + "."
			number, _, _ := strings.Cut(strings.TrimPrefix(channel, app), ".")
			again := app + number + strings.TrimPrefix(subject(space, a, c, 1), app+"0")
			if again != channel {
				t.Fatalf("%q is read as %q %q, which is %q", channel, a, c, again)
			}
		}
	})
}

// TestSubjectsNeverCross: two names share a subject only if they are the same,
// and what an app is heard by never matches another's.
func TestSubjectsNeverCross(t *testing.T) {
	level := rapid.StringOfN(rapid.RuneFrom([]rune("ab_.*>- 0é/")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		app1, app2 := level.Draw(t, "app1"), level.Draw(t, "app2")
		c1, c2 := level.Draw(t, "c1"), level.Draw(t, "c2")
		s1, s2 := checkSubject(t, app1, c1, 1), checkSubject(t, app2, c2, 1)
		if (s1 == s2) != (app1 == app2 && c1 == c2) {
			t.Fatalf("%q %q and %q %q: %q %q", app1, c1, app2, c2, s1, s2)
		}
		if k1, k2 := removedKey(app1, c1), removedKey(app2, c2); (k1 == k2) != (s1 == s2) {
			t.Fatalf("keys of %q %q and %q %q: %q %q", app1, c1, app2, c2, k1, k2)
		}
		if probe := probeSubject(spaceStored, 0, "node"); probe == s1 {
			t.Fatalf("%q %q is a probe", app1, c1)
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []*earshot.Message{
		{},
		{Event: "e", Kind: earshot.Binary, Data: []byte{0, 255}, Store: earshot.Forever, Skip: earshot.NewConnID()},
		{Kind: earshot.Text, Data: []byte("é"), Headers: map[string]string{"a": "b"}, Sender: &earshot.Sender{UID: "u", HasUID: true, Meta: []byte("{}")}},
	} {
		b, err := c.seal(m, true, 3)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, v, err := c.open(b)
		if err != nil {
			return
		}
		again, err := c.seal(m, v.Early, v.Depth)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		m2, v2, err := c.open(again)
		if err != nil || m2.Event != m.Event || string(m2.Data) != string(m.Data) || m2.Store != m.Store || v2.Early != v.Early {
			t.Fatalf("%+v is read again as %+v: %v", m, m2, err)
		}
	})
}
