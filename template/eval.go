package template

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of an evaluation.
const (
	maxSteps  = 200_000
	maxNested = 400
	maxText   = 64 << 10
	maxMade   = 16 << 20
)

// step counts towards the bounds; unstep follows when it is done.
func (s *stack) step() error {
	s.steps++
	s.depth++
	if s.steps > maxSteps {
		return fmt.Errorf("the template takes more than %d steps to evaluate", maxSteps)
	}
	if s.depth > maxNested {
		return fmt.Errorf("the template refers through more than %d levels", maxNested)
	}
	return nil
}

func (s *stack) unstep() { s.depth-- }

// made is a text that a function makes, within the bounds.
func (s *stack) made(t string) (*node, error) {
	s.bytes += len(t)
	if len(t) > maxText {
		return nil, fmt.Errorf("a text gets longer than %d bytes", maxText)
	}
	if s.bytes > maxMade {
		return nil, fmt.Errorf("the texts of the template get longer than %d bytes", maxMade)
	}
	return textNode(t), nil
}

// eval returns what a node is once the functions in it have been called.
func (s *stack) eval(n *node) (*node, error) {
	if err := s.step(); err != nil {
		s.unstep()
		return nil, err
	}
	defer s.unstep()
	if name, argument, ok := n.call(); ok {
		v, err := s.apply(name, argument)
		if err != nil && !errors.As(err, new(*placed)) {
			err = &placed{n.at(), err}
		}
		return v, err
	}
	switch n.kind {
	case list:
		return s.evalList(n)
	case object:
		out := &node{kind: object, members: map[string]*node{}, line: n.line}
		for _, key := range n.keys {
			v, err := s.eval(n.members[key])
			if err != nil {
				return nil, err
			}
			if v != noValue {
				out.put(key, v)
			}
		}
		return out, nil
	}
	return n, nil
}

// A placed error says the line where it happened first.
type placed struct {
	at    string
	cause error
}

// Error returns the line and what happened.
func (p *placed) Error() string { return p.at + p.cause.Error() }

// Unwrap returns the cause.
func (p *placed) Unwrap() error { return p.cause }

func (s *stack) evalList(n *node) (*node, error) {
	out := &node{kind: list, line: n.line}
	for _, item := range n.list {
		v, err := s.eval(item)
		if err != nil {
			return nil, err
		}
		if v != noValue {
			out.list = append(out.list, v)
		}
	}
	return out, nil
}

// apply calls a function.
func (s *stack) apply(name string, argument *node) (*node, error) {
	switch name {
	case "Ref":
		if argument.kind != text {
			return nil, argument.expected("the name of a parameter or resource")
		}
		return s.ref(argument.text)
	case "Fn::If":
		return s.choose(argument)
	case "Fn::Sub":
		return s.sub(argument)
	case "Fn::GetAtt":
		return s.getAtt(argument)
	}
	a, err := s.eval(argument)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Fn::Join":
		return s.join(a)
	case "Fn::Split":
		return s.split(a)
	case "Fn::Select":
		return s.pick(a)
	case "Fn::FindInMap":
		return s.findInMap(a)
	case "Fn::ImportValue":
		return s.importValue(a)
	case "Fn::Base64":
		return s.made(base64.StdEncoding.EncodeToString([]byte(a.text)))
	case "Fn::GetAZs":
		return listNode(textNode(s.Region+"a"), textNode(s.Region+"b"), textNode(s.Region+"c")), nil
	case "Fn::Length":
		return textNode(strconv.Itoa(len(a.list))), nil
	case "Fn::ToJsonString":
		return s.made(jsonText(a))
	}
	return nil, fmt.Errorf("%s is not called here", name)
}

func (s *stack) choose(argument *node) (*node, error) {
	if argument.kind != list || len(argument.list) != 3 || argument.list[0].kind != text {
		return nil, errors.New("Fn::If has a condition's name and two values")
	}
	yes, err := s.met(argument.list[0].text)
	if err != nil {
		return nil, err
	}
	if yes {
		return s.eval(argument.list[1])
	}
	return s.eval(argument.list[2])
}

// texts returns the texts of a list.
func texts(n *node) ([]string, error) {
	if n.kind != list {
		return nil, n.expected("a list")
	}
	all := make([]string, len(n.list))
	for i, item := range n.list {
		if item.kind != text {
			return nil, item.expected("a text")
		}
		all[i] = item.text
	}
	return all, nil
}

func (s *stack) join(a *node) (*node, error) {
	if a.kind != list || len(a.list) != 2 || a.list[0].kind != text {
		return nil, errors.New("Fn::Join has a separator and a list of texts")
	}
	parts, err := texts(a.list[1])
	if err != nil {
		return nil, fmt.Errorf("Fn::Join: %w", err)
	}
	size := len(a.list[0].text) * len(parts)
	for _, p := range parts {
		size += len(p)
	}
	if size > maxMade {
		return nil, fmt.Errorf("Fn::Join makes more than %d bytes", maxMade)
	}
	return s.made(strings.Join(parts, a.list[0].text))
}

func (s *stack) split(a *node) (*node, error) {
	if a.kind != list || len(a.list) != 2 || a.list[0].kind != text || a.list[1].kind != text || a.list[0].text == "" {
		return nil, errors.New("Fn::Split has a separator and a text")
	}
	n := listNode()
	for part := range strings.SplitSeq(a.list[1].text, a.list[0].text) {
		v, err := s.made(part)
		if err != nil {
			return nil, err
		}
		n.list = append(n.list, v)
	}
	return n, nil
}

// pick is Fn::Select.
func (s *stack) pick(a *node) (*node, error) {
	if a.kind != list || len(a.list) != 2 || a.list[1].kind != list {
		return nil, errors.New("Fn::Select has an index and a list")
	}
	i, err := strconv.Atoi(a.list[0].text)
	if err != nil || i < 0 || i >= len(a.list[1].list) {
		return nil, fmt.Errorf("Fn::Select: %q is not an index of a list of %d", a.list[0].text, len(a.list[1].list))
	}
	return a.list[1].list[i], nil
}

func (s *stack) findInMap(a *node) (*node, error) {
	if a.kind != list || len(a.list) < 3 {
		return nil, errors.New("Fn::FindInMap has the names of a mapping and of two keys")
	}
	names, err := texts(&node{kind: list, list: a.list[:3]})
	if err != nil {
		return nil, fmt.Errorf("Fn::FindInMap: %w", err)
	}
	if found := s.mappings.member(names[0]).member(names[1]).member(names[2]); found != nil {
		return found, nil
	}
	if len(a.list) == 4 {
		if d := a.list[3].member("DefaultValue"); d != nil {
			return d, nil
		}
	}
	return nil, fmt.Errorf("Fn::FindInMap: the mappings have no %s", strings.Join(names, ", "))
}

// importValue is a value of another stack, which only who sets it knows.
func (s *stack) importValue(a *node) (*node, error) {
	if a.kind != text {
		return nil, a.expected("the name of an export")
	}
	if v, ok := s.Set[a.text]; ok {
		s.used[a.text] = true
		return textNode(v), nil
	}
	s.find(nil, "The export %s is another stack's, which is not asked: set it.", a.text)
	return textNode(a.text), nil
}

// jsonText writes a value as JSON; numbers and booleans have become texts.
func jsonText(n *node) string {
	var b strings.Builder
	writeJSON(&b, n)
	return b.String()
}

func writeJSON(b *strings.Builder, n *node) {
	quote := func(t string) {
		q, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(t, "\uFFFD")) // fails for invalid UTF-8 only
		b.Write(q)
	}
	switch n.kind {
	case null:
		b.WriteString("null")
	case text:
		quote(n.text)
	case list:
		b.WriteByte('[')
		for i, item := range n.list {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, item)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		for i, key := range n.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			quote(key)
			b.WriteByte(':')
			writeJSON(b, n.members[key])
		}
		b.WriteByte('}')
	}
}
