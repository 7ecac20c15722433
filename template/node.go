package template

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a template.
const (
	maxBytes = 1 << 20
	maxDepth = 100
	maxNodes = 100_000
)

type kind uint8

const (
	null kind = iota
	text
	list
	object
)

var kindNames = [...]string{null: "nothing", text: "a text", list: "a list", object: "an object"}

// A node is a value of a template. Numbers and booleans are texts, as they are to
// CloudFormation. It is never changed once it is read.
type node struct {
	kind kind
	text string
	list []*node
	// keys are those of an object in their order, members its values.
	keys    []string
	members map[string]*node
	// line is where it stands, 0 if it was made.
	line int
}

func textNode(s string) *node { return &node{kind: text, text: s} }

func listNode(all ...*node) *node { return &node{kind: list, list: all} }

// objectNode makes an object of keys and values in turn.
func objectNode(pairs ...any) *node {
	n := &node{kind: object, members: map[string]*node{}}
	for i := 0; i < len(pairs); i += 2 {
		if value, _ := pairs[i+1].(*node); value != nil {
			n.put(pairs[i].(string), value)
		}
	}
	return n
}

// put sets a member; it reports whether there was none.
func (n *node) put(key string, value *node) bool {
	_, there := n.members[key]
	if !there {
		n.keys = append(n.keys, key)
	}
	n.members[key] = value
	return !there
}

// member returns one of an object, nil if there is none.
func (n *node) member(key string) *node {
	if n == nil || n.kind != object {
		return nil
	}
	return n.members[key]
}

// call returns the name and argument of a function of CloudFormation, which is an
// object with one member. An object may look so and be none: Condition is a
// function only where conditions are.
func (n *node) call() (name string, argument *node, ok bool) {
	if n.kind != object || len(n.keys) != 1 {
		return "", nil, false
	}
	name = n.keys[0]
	if name != "Ref" && !strings.HasPrefix(name, "Fn::") {
		return "", nil, false
	}
	return name, n.members[name], true
}

// at says where a node stands, for errors.
func (n *node) at() string {
	if n == nil || n.line == 0 {
		return ""
	}
	return "line " + strconv.Itoa(n.line) + ": "
}

func (n *node) expected(what string) error {
	return fmt.Errorf("%s%s is expected, not %s", n.at(), what, kindNames[n.kind])
}

// A reading builds nodes within the bounds.
type reading struct{ nodes int }

func (r *reading) count(depth int) error {
	r.nodes++
	switch {
	case depth > maxDepth:
		return fmt.Errorf("the template has more than %d levels, or an alias that contains itself", maxDepth)
	case r.nodes > maxNodes:
		return fmt.Errorf("the template has more than %d nodes", maxNodes)
	}
	return nil
}

// parse reads JSON or YAML.
func parse(b []byte) (*node, error) {
	if len(b) > maxBytes {
		return nil, fmt.Errorf("the template has more than %d bytes", maxBytes)
	}
	r := &reading{}
	root, err := r.json(b)
	if root == nil && err == nil {
		root, err = r.yaml(b)
	}
	if err != nil {
		return nil, err
	}
	if root.kind != object {
		return nil, fmt.Errorf("a template is an object with Resources, not %s", kindNames[root.kind])
	}
	return root, nil
}
