package template

import (
	"errors"
	"fmt"
	"strings"
)

// sub is Fn::Sub: ${Name} is a Ref, ${Name.Attribute} a GetAtt, ${!Text} the text
// ${Text}; the second value has names of its own.
func (s *stack) sub(argument *node) (*node, error) {
	pattern, own := argument, (*node)(nil)
	if argument.kind == list {
		if len(argument.list) != 2 || argument.list[1].kind != object {
			return nil, errors.New("Fn::Sub has a text, and perhaps an object")
		}
		pattern, own = argument.list[0], argument.list[1]
	}
	if pattern.kind != text {
		return nil, fmt.Errorf("Fn::Sub: %w", pattern.expected("a text"))
	}
	var b strings.Builder
	for rest := pattern.text; ; {
		before, after, found := strings.Cut(rest, "${")
		b.WriteString(before)
		name, tail, closed := strings.Cut(after, "}")
		if !found || !closed {
			if found {
				b.WriteString("${" + after)
			}
			break
		}
		rest = tail
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			b.WriteString("${" + literal + "}")
			continue
		}
		value, err := s.named(strings.TrimSpace(name), own)
		if err != nil {
			return nil, fmt.Errorf("Fn::Sub: %w", err)
		}
		b.WriteString(value)
		if b.Len() > maxText {
			break // made says so
		}
	}
	return s.made(b.String())
}

// named is what a name in a Fn::Sub stands for.
func (s *stack) named(name string, own *node) (string, error) {
	var v *node
	var err error
	if mine := own.member(name); mine != nil {
		v, err = s.eval(mine)
	} else if resource, attribute, ok := strings.Cut(name, "."); ok {
		v, err = s.attribute(resource, attribute)
	} else {
		v, err = s.ref(name)
	}
	if err != nil {
		return "", err
	}
	if v.kind != text {
		return "", fmt.Errorf("${%s} is %s, not a text", name, kindNames[v.kind])
	}
	return v.text, nil
}
