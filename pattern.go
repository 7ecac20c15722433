package earshot

import (
	"regexp"
	"strconv"
	"strings"
)

// A Pattern matches names. Each protocol builds it from its own syntax; the
// hub and the rules only match. The zero Pattern matches nothing.
type Pattern struct {
	form   patternForm
	text   string         // exact name, or the source
	levels []string       // byLevel: one entry a level
	sep    byte           // byLevel
	re     *regexp.Regexp // byRegexp
}

type patternForm uint8

const (
	nothing patternForm = iota
	exact
	glob
	byRegexp
	byLevel
)

// The wildcards of a level pattern.
const (
	// OneLevel stands for exactly one level.
	OneLevel = "\x00+"
	// AnyLevels stands for any number of levels, none included.
	AnyLevels = "\x00#"
)

// Exact matches one name.
func Exact(name string) Pattern { return Pattern{form: exact, text: name} }

// Glob matches names in which every * stands for any run of characters, an
// empty one and separators included. Without a * it is Exact.
func Glob(text string) Pattern {
	if !strings.Contains(text, "*") {
		return Exact(text)
	}
	return Pattern{form: glob, text: text}
}

// Regexp matches names in which the RE2 expression is found; it is not anchored.
func Regexp(expr string) (Pattern, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return Pattern{}, err
	}
	return Pattern{form: byRegexp, text: expr, re: re}, nil
}

// Levels matches names by level: each entry is a literal level, OneLevel or
// AnyLevels, and sep is what separates the levels of a name.
func Levels(sep byte, levels ...string) Pattern {
	return Pattern{form: byLevel, text: strings.Join(levels, string(sep)), levels: levels, sep: sep}
}

// Literal returns the one name that the pattern matches, if it is such a one.
func (p Pattern) Literal() (name string, ok bool) { return p.text, p.form == exact }

// String returns the pattern's source, for people.
func (p Pattern) String() string { return p.text }

// Key returns a text that is the same for two patterns only if they match the
// same names. It is not UTF-8, so that it is no channel's name.
func (p Pattern) Key() string {
	return "\xff" + string(rune('0'+p.form)) + string(rune(p.sep)) + strconv.Itoa(len(p.levels)) + ":" + p.text
}

// ByLevel returns the separator and entries of a pattern made by Levels, and
// those of an exact one as if it were, unless its name has what looks like a
// wildcard.
func (p Pattern) ByLevel() (sep byte, levels []string, ok bool) {
	if p.form == exact && !strings.Contains(p.text, "\x00") {
		return '.', strings.Split(p.text, "."), true
	}
	return p.sep, p.levels, p.form == byLevel
}

// Prefix returns the longest text that every matching name begins with.
func (p Pattern) Prefix() string {
	switch p.form {
	case exact:
		return p.text
	case glob:
		return p.text[:strings.IndexByte(p.text, '*')]
	case byLevel:
		var b strings.Builder
		for i, l := range p.levels {
			if l == AnyLevels {
				return strings.TrimSuffix(b.String(), string(p.sep))
			}
			if l == OneLevel {
				return b.String()
			}
			b.WriteString(l)
			if i < len(p.levels)-1 {
				b.WriteByte(p.sep)
			}
		}
		return b.String()
	}
	return ""
}

// Match reports whether the pattern matches name.
func (p Pattern) Match(name string) bool {
	switch p.form {
	case exact:
		return p.text == name
	case glob:
		return matchGlob(p.text, name)
	case byRegexp:
		return p.re.MatchString(name)
	case byLevel:
		return matchLevels(p.levels, name, p.sep, false)
	}
	return false
}

// matchGlob is linear in len(pattern)*len(name) at worst: after a star fails,
// only the last star is tried again.
func matchGlob(pattern, name string) bool {
	p, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchLevels uses the same single backtrack as matchGlob, on levels.
func matchLevels(levels []string, name string, sep byte, done bool) bool {
	i, star := 0, -1
	rest, mark, markDone := name, "", false
	for !done {
		if i < len(levels) && levels[i] == AnyLevels {
			star, mark, markDone = i, rest, done
			i++
			continue
		}
		level, tail, more := strings.Cut(rest, string(sep))
		if i < len(levels) && (levels[i] == OneLevel || levels[i] == level) {
			i++
			rest, done = tail, !more
			continue
		}
		if star < 0 || markDone {
			return false
		}
		_, mark, more = strings.Cut(mark, string(sep))
		markDone = !more
		i, rest, done = star+1, mark, markDone
	}
	for i < len(levels) && levels[i] == AnyLevels {
		i++
	}
	return i == len(levels)
}
