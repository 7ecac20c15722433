package earshot

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "", false},
		{"", "", true},
		{"*", "", true},
		{"*", "a.b.c", true},
		{"a*", "a", true},
		{"a*", "ba", false},
		{"*a", "a", true},
		{"*a", "ab", false},
		{"a*b", "ab", true},
		{"a*b", "axxb", true},
		{"a*b", "a.b.c", false},
		{"a*b*c", "abbbc", true},
		{"a*b*c", "acb", false},
		{"**", "x", true},
		{"*.*", "a", false},
		{"*.*", "a.", true},
		{"a*a", "a", false},
		{"chat.*.in", "chat..in", true},
		{"é*", "éa", true},
		{"?", "a", false},
		{"[a]", "a", false},
	} {
		if got := Glob(c.pattern).Match(c.name); got != c.want {
			t.Errorf("Glob(%q).Match(%q) = %v", c.pattern, c.name, got)
		}
	}
}

// TestGlobIsFast would not end in time if a failed star were tried again at
// every place of every other star.
func TestGlobIsFast(t *testing.T) {
	name := strings.Repeat("a", 512)
	if Glob(strings.Repeat("*a", 200) + "*b").Match(name) {
		t.Error("matched")
	}
}

func TestLevels(t *testing.T) {
	const plus, hash = OneLevel, AnyLevels
	for _, c := range []struct {
		levels string // separated by spaces
		name   string
		want   bool
	}{
		{"a", "a", true},
		{"a", "a.b", false},
		{"a b", "a.b", true},
		{"a b", "a", false},
		{plus, "a", true},
		{plus, "", true},
		{plus, "a.b", false},
		{"a " + plus, "a.", true},
		{"a " + plus, "a", false},
		{hash, "", true},
		{hash, "a.b.c", true},
		{"a " + hash, "a", true},
		{"a " + hash, "a.b.c", true},
		{"a " + hash, "ab", false},
		{hash + " c", "c", true},
		{hash + " c", "a.b.c", true},
		{hash + " c", "a.b", false},
		{"a " + hash + " c", "a.c", true},
		{"a " + hash + " c", "a.b.b.c", true},
		{"a " + hash + " c", "a.c.b", false},
		{hash + " " + plus, "", true},
		{hash + " " + plus + " " + plus, "a", false},
		{hash + " " + hash, "a.b", true},
		{hash + " b " + hash + " b", "b.a.b", true},
		{hash + " b " + hash + " b", "b", false},
		{plus + " " + plus, "..", false},
		{plus + " " + plus, ".", true},
	} {
		p := Levels('.', strings.Split(c.levels, " ")...)
		if got := p.Match(c.name); got != c.want {
			t.Errorf("Levels(%q).Match(%q) = %v", c.levels, c.name, got)
		}
	}
	if !Levels('/', "a", plus).Match("a/b.c") || Levels('/', "a", plus).Match("a.b") {
		t.Error("the separator is not the pattern's own")
	}
}

func TestRegexp(t *testing.T) {
	p, err := Regexp("^a[0-9]+")
	if err != nil || !p.Match("a1b") || p.Match("ba1") {
		t.Errorf("%v %v", p, err)
	}
	if _, err := Regexp("("); err == nil {
		t.Error("a broken expression was taken")
	}
}

func TestNothing(t *testing.T) {
	var p Pattern
	if p.Match("") || p.Match("a") {
		t.Error("the zero pattern matches")
	}
	if _, ok := p.Literal(); ok {
		t.Error("the zero pattern is a literal")
	}
}

// TestKeys has patterns that read alike but match differently.
func TestKeys(t *testing.T) {
	re, err := Regexp("a.b")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]Pattern{}
	for _, p := range []Pattern{
		Exact("a.b"), Levels('.', "a", "b"), Levels('.', "a.b"), Levels('/', "a.b"), re, Glob("a.b*"),
		{},
		Levels('.', "a", OneLevel), Levels('.', "a."+OneLevel), Levels('.', "a", AnyLevels),
	} {
		key := p.Key()
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q have one key", p, other)
		}
		if utf8.ValidString(key) {
			t.Errorf("the key of %q could be a channel's name", p)
		}
		seen[key] = p
	}
}

// TestByLevelKeepsNames has channels whose names look like wildcards.
func TestByLevelKeepsNames(t *testing.T) {
	if _, _, ok := Exact("a." + AnyLevels).ByLevel(); ok {
		t.Error("an exact name became a wildcard")
	}
	sep, levels, ok := Exact("a..b").ByLevel()
	if !ok || sep != '.' || !slices.Equal(levels, []string{"a", "", "b"}) {
		t.Errorf("%q %q %v", sep, levels, ok)
	}
}

// levelsMatch says what a level pattern means, in the plainest way.
func levelsMatch(levels, name []string) bool {
	switch {
	case len(levels) == 0:
		return len(name) == 0
	case levels[0] == AnyLevels:
		return levelsMatch(levels[1:], name) || len(name) > 0 && levelsMatch(levels, name[1:])
	case len(name) == 0:
		return false
	}
	return (levels[0] == OneLevel || levels[0] == name[0]) && levelsMatch(levels[1:], name[1:])
}

func globMatch(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return globMatch(pattern[1:], name) || name != "" && globMatch(pattern, name[1:])
	case name == "" || name[0] != pattern[0]:
		return false
	}
	return globMatch(pattern[1:], name[1:])
}

// FuzzPattern compares the matchers with their definition, and what Prefix and
// ByLevel promise of them.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"a.*.b", "a.x.b"},
		{"#.a.#", "a"},
		{"+.+", "."},
		{"#", ""},
		{"a.#", "a"},
		{"*a*b", "aab"},
		{".#", ""},
		{"", ""},
		{"#.+.#", "a.b"},
		{"a.+.#.b", "a..b"},
		{"a", "a.b"},
		{"\x00#", "a"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if strings.Count(text, "*")+strings.Count(text, "#") > 4 || len(text)+len(name) > 64 {
			return // the definition takes time that is exponential
		}
		levels := strings.Split(text, ".")
		for i, l := range levels {
			switch l {
			case "+":
				levels[i] = OneLevel
			case "#":
				levels[i] = AnyLevels
			}
		}
		check(t, Glob(text), name, globMatch(text, name))
		check(t, Levels('.', levels...), name, levelsMatch(levels, strings.Split(name, ".")))
		check(t, Exact(text), name, text == name)
	})
}

func check(t *testing.T, p Pattern, name string, want bool) {
	t.Helper()
	if got := p.Match(name); got != want {
		t.Errorf("%q matches %q: %v, want %v", p, name, got, want)
	}
	if want && !strings.HasPrefix(name, p.Prefix()) {
		t.Errorf("%q matches %q, but says that names begin with %q", p, name, p.Prefix())
	}
	if sep, levels, ok := p.ByLevel(); ok && Levels(sep, levels...).Match(name) != want {
		t.Errorf("%q by level means something else for %q", p, name)
	}
	if literal, ok := p.Literal(); ok && (name == literal) != want {
		t.Errorf("%q is literally %q", p, literal)
	}
}
