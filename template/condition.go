package template

import "fmt"

// A condition is one of the template's, evaluated when it is first asked for.
type condition struct {
	node *node
	// known says that value counts, busy that it is being found.
	known, busy, value bool
}

func (s *stack) readConditions() {
	all := s.root.member("Conditions")
	if all == nil {
		return
	}
	if all.kind != object {
		s.fail(fmt.Errorf("the Conditions: %w", all.expected("an object")))
		return
	}
	for _, name := range all.keys {
		s.conditions[name] = &condition{node: all.members[name]}
	}
}

// met reports whether a condition is.
func (s *stack) met(name string) (bool, error) {
	c := s.conditions[name]
	switch {
	case c == nil:
		return false, fmt.Errorf("there is no condition %q", name)
	case c.known:
		return c.value, nil
	case c.busy:
		return false, fmt.Errorf("the condition %q depends on itself", name)
	}
	c.busy = true
	value, err := s.truth(c.node)
	c.busy = false
	if err != nil {
		return false, fmt.Errorf("the condition %s: %w", name, err)
	}
	c.value, c.known = value, true
	return value, nil
}

// truth evaluates what stands in a condition.
func (s *stack) truth(n *node) (bool, error) {
	if err := s.step(); err != nil {
		return false, err
	}
	defer s.unstep()
	if n.kind == text {
		switch n.text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
	}
	if n.kind != object || len(n.keys) != 1 {
		return false, n.expected("a condition")
	}
	name, argument := n.keys[0], n.members[n.keys[0]]
	switch name {
	case "Condition":
		return s.met(argument.text)
	case "Fn::Equals":
		return s.equals(argument)
	case "Fn::Not", "Fn::And", "Fn::Or":
		return s.combine(name, argument)
	}
	v, err := s.eval(n)
	if err != nil {
		return false, err
	}
	if v.kind == text && (v.text == "true" || v.text == "false") {
		return v.text == "true", nil
	}
	return false, n.expected("a condition")
}

func (s *stack) equals(argument *node) (bool, error) {
	if argument.kind != list || len(argument.list) != 2 {
		return false, fmt.Errorf("%sFn::Equals has two values", argument.at())
	}
	a, err := s.eval(argument.list[0])
	if err != nil {
		return false, err
	}
	b, err := s.eval(argument.list[1])
	if err != nil {
		return false, err
	}
	return same(a, b), nil
}

func same(a, b *node) bool {
	if a.kind != b.kind || a.text != b.text || len(a.list) != len(b.list) || len(a.keys) != len(b.keys) {
		return false
	}
	for i := range a.list {
		if !same(a.list[i], b.list[i]) {
			return false
		}
	}
	for _, k := range a.keys {
		if b.members[k] == nil || !same(a.members[k], b.members[k]) {
			return false
		}
	}
	return true
}

// combine evaluates Fn::Not, Fn::And and Fn::Or. All of their conditions are
// evaluated: what is wrong with one is told whatever the others are.
func (s *stack) combine(name string, argument *node) (bool, error) {
	if argument.kind != list || len(argument.list) == 0 || name == "Fn::Not" && len(argument.list) != 1 {
		return false, fmt.Errorf("%s%s has a list of conditions", argument.at(), name)
	}
	and, or := true, false
	for _, one := range argument.list {
		v, err := s.truth(one)
		if err != nil {
			return false, err
		}
		and, or = and && v, or || v
	}
	switch name {
	case "Fn::Not":
		return !and, nil
	case "Fn::And":
		return and, nil
	}
	return or, nil
}
