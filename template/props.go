package template

import (
	"fmt"
	"strconv"
	"strings"
)

// A reader reads the properties of a resource, each once, and knows which were
// not read.
type reader struct {
	s    *stack
	r    *resource
	read map[string]bool
}

func (s *stack) reader(r *resource) *reader { return &reader{s, r, map[string]bool{}} }

func (p *reader) fail(property string, err error) {
	p.s.fail(fmt.Errorf("%s.%s: %w", p.r.name, property, err))
}

func (p *reader) find(format string, args ...any) { p.s.find(p.r, format, args...) }

// value returns a property, evaluated; nil if it is not there.
func (p *reader) value(property string) *node {
	p.read[property] = true
	n := p.r.props.member(property)
	if n == nil {
		return nil
	}
	v, err := p.s.eval(n)
	if err != nil {
		p.fail(property, err)
		return nil
	}
	if v == noValue || v.kind == null {
		return nil
	}
	return v
}

func (p *reader) text(property string) string {
	v := p.value(property)
	if v == nil {
		return ""
	}
	if v.kind != text {
		p.fail(property, v.expected("a text"))
	}
	if strings.Contains(v.text, "{{resolve:") {
		p.find("%s is a value that AWS looks up ({{resolve:…}}): nothing does here.", property)
	}
	return v.text
}

// needed is text, but an error if it is empty.
func (p *reader) needed(property string) string {
	t := p.text(property)
	if t == "" {
		p.fail(property, fmt.Errorf("it is missing"))
	}
	return t
}

// flag reads true or false.
func (p *reader) flag(property string) bool {
	switch v := p.text(property); v {
	case "true", "yes", "on": // the last two are of YAML 1.1
		return true
	case "", "false", "no", "off":
	default:
		p.fail(property, fmt.Errorf("%q is neither true nor false", v))
	}
	return false
}

func (p *reader) number(property string) int {
	v := p.text(property)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > 1<<30 {
		p.fail(property, fmt.Errorf("%q is not a whole number from 0", v))
		return 0
	}
	return n
}

// object reads the members of a property.
func (p *reader) object(property string) *node {
	v := p.value(property)
	if v != nil && v.kind != object {
		p.fail(property, v.expected("an object"))
		return nil
	}
	return v
}

// table reads an object of texts.
func (p *reader) table(property string) map[string]string {
	v := p.object(property)
	if v == nil || len(v.keys) == 0 {
		return nil
	}
	t := map[string]string{}
	for _, key := range v.keys {
		if v.members[key].kind != text {
			p.fail(property+"."+key, v.members[key].expected("a text"))
			continue
		}
		t[key] = v.members[key].text
	}
	return t
}

// list reads texts; one by itself is a list, too.
func (p *reader) list(property string) []string {
	v := p.value(property)
	if v == nil {
		return nil
	}
	if v.kind == text {
		return []string{v.text}
	}
	all, err := texts(v)
	if err != nil {
		p.fail(property, err)
	}
	return all
}

// without reads properties that change nothing here.
func (p *reader) without(properties ...string) {
	for _, name := range properties {
		p.read[name] = true
	}
}

// out tells of a property that counts on AWS and not here, if it is there.
func (p *reader) out(property, why string) {
	if v := p.value(property); v != nil && v.text != "false" && v.text != "0" && (v.kind == text || len(v.list)+len(v.keys) > 0) {
		p.find("%s: %s", property, why)
	}
}

// rest tells of the properties that nobody read.
func (p *reader) rest() {
	for _, name := range p.r.props.keys {
		if !p.read[name] {
			p.find("%s is not known here.", name)
		}
	}
}
