package earshot

import (
	"strings"
	"testing"
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
