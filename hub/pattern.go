package hub

import (
	"strings"
	"sync"

	"github.com/earshot-io/earshot"
)

// A pattern is a subscription key that matches many channels.
type pattern struct {
	app   *app
	key   string
	match earshot.Pattern
	// base is the stream's sequence when the pattern was first heard: nothing
	// up to it is owed.
	base uint64

	mu      sync.Mutex
	parts   []*part
	release func()
}

func (p *pattern) part(s *Shard) *part {
	for _, q := range p.parts {
		if q.shard == s {
			return q
		}
	}
	q := &part{shard: s, sent: &p.app.used.out[s.index]}
	p.parts = append(p.parts, q)
	return q
}

// join adds a subscription; the pattern's app has its pattern lock held.
func (p *pattern) join(sub *Sub) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.part(sub.conn.shard).join(sub, p, p.app.hub.n.Load())
}

// left drops the pattern if nobody is subscribed to it any more.
func (p *pattern) left() {
	if p.end() {
		p.release()
	}
}

// end is left; it reports whether the pattern has ended with it.
func (p *pattern) end() bool {
	a := p.app
	a.patternMu.Lock()
	defer a.patternMu.Unlock()
	p.mu.Lock()
	p.parts = prune(p.parts)
	gone := len(p.parts) == 0 && a.byPattern[p.key] == p
	p.mu.Unlock()
	if gone {
		delete(a.byPattern, p.key)
		a.patterns.remove(p)
		a.patternVersion.Add(1)
	}
	return gone
}

// pattern joins the subscription to the pattern, made if need be and then owed
// nothing up to base, and returns
// it; release is what the bus gave for hearing all of the app, and is the
// pattern's if it is used.
func (a *app) pattern(sub *Sub, m earshot.Pattern, base uint64, release func()) (p *pattern, used, joined bool) {
	a.patternMu.Lock()
	defer a.patternMu.Unlock()
	key := m.Key()
	if p = a.byPattern[key]; p == nil {
		p = &pattern{app: a, key: key, match: m, base: base, release: release}
		a.byPattern[key] = p
		a.patterns.add(p)
		a.patternVersion.Add(1)
		used = true
	}
	return p, used, p.join(sub)
}

// match returns the patterns that match a channel's name.
func (a *app) match(name string) []*pattern {
	a.patternMu.RLock()
	defer a.patternMu.RUnlock()
	return a.patterns.match(name)
}

// A trie finds the patterns that match a name. Patterns by level are found
// level by level; others by the literal text that they begin with, which is
// walked level by level too, and then asked.
type trie struct {
	root node
}

type node struct {
	children map[string]*node
	// here are the patterns by level that end here; others those whose literal
	// levels end here.
	here, others []*pattern
}

// path returns the levels under which a pattern is kept.
func path(p *pattern) (levels []string, byLevel bool) {
	if sep, l, ok := p.match.ByLevel(); ok && sep == '.' {
		return l, true
	}
	whole := strings.LastIndexByte(p.match.Prefix(), '.')
	if whole < 0 {
		return nil, false
	}
	return strings.Split(p.match.Prefix()[:whole], "."), false
}

func (t *trie) add(p *pattern) {
	levels, byLevel := path(p)
	n := &t.root
	for _, l := range levels {
		child := n.children[l]
		if child == nil {
			child = &node{}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[l] = child
		}
		n = child
	}
	if byLevel {
		n.here = append(n.here, p)
	} else {
		n.others = append(n.others, p)
	}
}

func (t *trie) remove(p *pattern) {
	levels, byLevel := path(p)
	t.root.remove(levels, p, byLevel)
}

// remove reports whether the node is of no more use.
func (n *node) remove(levels []string, p *pattern, byLevel bool) bool {
	switch {
	case len(levels) > 0:
		if child := n.children[levels[0]]; child != nil && child.remove(levels[1:], p, byLevel) {
			delete(n.children, levels[0])
		}
	case byLevel:
		n.here = without(n.here, p)
	default:
		n.others = without(n.others, p)
	}
	return len(n.children) == 0 && len(n.here) == 0 && len(n.others) == 0
}

func without(list []*pattern, p *pattern) []*pattern {
	for i, q := range list {
		if q == p {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// match returns each matching pattern once.
func (t *trie) match(name string) []*pattern {
	m := matcher{name: name}
	m.walk(&t.root, strings.Split(name, "."))
	return m.found
}

type matcher struct {
	name  string
	found []*pattern
	seen  map[visit]bool
}

// A visit is of a node for any number of levels, with so many left.
type visit struct {
	n    *node
	rest int
}

// first reports whether a visit is new. Without it several such nodes below each
// other take time that is exponential.
func (m *matcher) first(n *node, rest int) bool {
	v := visit{n, rest}
	if m.seen[v] {
		return false
	}
	if m.seen == nil {
		m.seen = map[visit]bool{}
	}
	m.seen[v] = true
	return true
}

func (m *matcher) walk(n *node, rest []string) {
	for _, p := range n.others {
		if p.match.Match(m.name) {
			m.add(p)
		}
	}
	if any := n.children[earshot.AnyLevels]; any != nil && m.first(any, len(rest)) {
		for i := 0; i <= len(rest); i++ {
			m.walk(any, rest[i:])
		}
	}
	if len(rest) == 0 {
		for _, p := range n.here {
			m.add(p)
		}
		return
	}
	if one := n.children[earshot.OneLevel]; one != nil {
		m.walk(one, rest[1:])
	}
	if child := n.children[rest[0]]; child != nil {
		m.walk(child, rest[1:])
	}
}

func (m *matcher) add(p *pattern) {
	for _, q := range m.found {
		if q == p {
			return
		}
	}
	m.found = append(m.found, p)
}
