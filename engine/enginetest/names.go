package enginetest

import (
	"slices"
	"strings"

	"github.com/earshot-io/earshot/hub"
)

// weird are channel names of which each is another channel.
func weird() []string {
	return []string{
		"a", "A", "a.b", "a..b", "a...b", ".a", "a.", ".", "..", "a.b.", "_", "__", "._.", "_2e", "a_2eb", "a%2eb", "-",
		"*", ">", "a.*", "a.>", "*.b", ">.b", "a*", "a>", "#", "+", "a/b", "/a", "$JS", "$JS.API", "$SYS.>", "d.app.a",
		" ", "a b", "\t", "\n", "a\x00b", "\x00", "\u007f", "é", "e\u0301", "日本語", "🙂.🙂", "\u202e", "\ufeff",
		"none", "null", "a:b", "a\\b", `"`, "'", "{a}", "private-a", "x" + strings.Repeat(".", 31),
		strings.Repeat("n", 256), strings.Repeat("n", 255) + "m", strings.Repeat("é", 256), strings.Repeat("é.", 32)[:95],
	}
}

// names appends to each weird channel of two apps, and hears and reads each alone.
func names(s *suite) {
	e := s.start(0)
	apps := []string{"app", "app-2"}
	for _, a := range apps {
		for i, name := range weird() {
			if i%2 == 0 { // the others are heard through their app
				s.hear(0, a, name)
			}
		}
		s.hear(0, a, "")
	}
	for _, a := range apps {
		for _, name := range weird() {
			m := message(name, a+" "+name)
			m.App = a
			s.append(0, m)
		}
	}
	for _, a := range apps {
		for _, name := range weird() {
			want := []string{a + " " + name}
			if got := texts(s.wait(e, a, name, 1)); !slices.Equal(got, want) {
				s.Errorf("channel %q of %s heard %q", name, a, got)
			}
			page, err := s.Nodes[0].Read(s.ctx, a, name, hub.Range{Hidden: true})
			if err != nil {
				s.Errorf("read %q: %v", name, err)
				continue
			}
			if got := texts(page.Messages); !slices.Equal(got, want) {
				s.Errorf("channel %q of %s holds %q", name, a, got)
			}
			if m := page.Messages; len(m) == 1 && (m[0].App != a || m[0].Channel != name) {
				s.Errorf("channel %q of %s says that it is %q of %s", name, a, m[0].Channel, m[0].App)
			}
		}
	}
}
