package epl_test

import (
	"strings"
	"testing"

	"github.com/earshot-io/earshot/epl"
)

// TestSlug has the vectors of A.2.1 and something of each alphabet.
func TestSlug(t *testing.T) {
	for name, want := range map[string]string{
		"123 hello $%^ world!":               "123-hello-dollar-world",
		"Shiny New App":                      "shiny-new-app",
		"shiny-new-app":                      "shiny-new-app",
		"Test App":                           "test-app",
		"Kluski Śląskie @ Jalapeño Bilingüe": "kluski-slaskie-at-jalapeno-bilinguee",
		"A & B | C < D > E":                  "a-and-b-or-c-less-d-greater-e",
		"10€ 5£ 20°":                         "10euro-5pound-200",
		"© ® ™ ∞":                            "copyright-registred-tm-infinity",
		"Straße Ärger Öl Übung":              "strasse-aerger-oel-uebung",
		"Å Ø Æ å ø æ":                        "aa-oe-ae-aa-oe-ae",
		"Łódź Ðorđe Ħaż-Żebbuġ İstanbul ı Œ þ": "lodz-dorde-haz-zebbug-istanbul-i-oe-th",
		"Ελληνικά Ξ ώ":                         "ellhnika-ks-w",
		"Привет, мир! Съешь ёлку":              "privet-mir-sesh-elku",
		"Їжак Є ґ Њ Џ":                         "jizhak-ye-g-nj-dz",
		"مشكل":                                 "mshkl",
		"Tiếng Việt":                           "tieng-viet",
		"Ünïcödé":                              "uenicoede",
		"u\u0308ber e\u0301te\u0301":           "ueber-ete", // decomposed
		"x\u0302y":                             "xy",
		"  --trim--  ":                         "trim",
		"It's":                                 "it-s",
		"a\tb\nc":                              "a-b-c",
		"!!!!!":                                "",
		"":                                     "",
		"北京":                                   "",
		"App 北京 1":                             "app-1",
		"\xff\xfe app":                         "app",
		"😀 party":                              "party",
		strings.Repeat("a", 300):               strings.Repeat("a", 64),
		strings.Repeat("a", 63) + " bc":        strings.Repeat("a", 63),
		strings.Repeat("ß", 40):                strings.Repeat("s", 64),
	} {
		if got := epl.Slug(name); got != want {
			t.Errorf("the slug of %q is %q, want %q", name, got, want)
		}
	}
}

// FuzzSlug: a slug can be one, and is its own slug.
func FuzzSlug(f *testing.F) {
	f.Add("Shiny New App")
	f.Add("Ünï =  北京 ßı\xff")
	f.Fuzz(func(t *testing.T, name string) {
		slug := epl.Slug(name)
		if len(slug) > 64 || strings.Trim(slug, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(slug, "-") != slug || strings.Contains(slug, "--") {
			t.Errorf("the slug of %q is %q", name, slug)
		}
		if again := epl.Slug(slug); again != slug {
			t.Errorf("the slug of the slug %q is %q", slug, again)
		}
	})
}

// TestNames: the event stays whole, and the channel is the topic of that very
// name, slug included.
func TestNames(t *testing.T) {
	for _, c := range []struct{ scope, topic, event, channel, heard string }{
		{"public", "public:prod_chat_channel", "msg", "public:test-app", "public:prod_chat_channel:msg"},
		{"public", "#general", "msg", "public:test-app", "msg"},
		{"public", "#General", "msg", "public:test-app", "#General:msg"},
		{"private", "a:b", "c:d", "private:test-app", "a:b:c:d"},
		{"a:b", "ключ", "é", "a:b:test-app", "ключ:é"},
	} {
		if got := epl.Channel(c.scope, "test-app"); got != c.channel {
			t.Errorf("the channel of %s is %s, want %s", c.scope, got, c.channel)
		}
		if got := epl.Event(c.topic, c.event); got != c.heard {
			t.Errorf("%s of %s is heard as %s, want %s", c.event, c.topic, got, c.heard)
		}
	}
}
