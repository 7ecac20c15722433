package template

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"
)

// json reads a template that begins with a brace; nil if it does not, or might be
// YAML that does.
func (r *reading) json(b []byte) (*node, error) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] != '{' || !jsontext.Value(b).IsValid() {
		return nil, nil
	}
	return r.jsonValue(jsontext.NewDecoder(bytes.NewReader(b)), 0)
}

func (r *reading) jsonValue(d *jsontext.Decoder, depth int) (*node, error) {
	if err := r.count(depth); err != nil {
		return nil, err
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '{':
		n := objectNode()
		for d.PeekKind() != '}' {
			key, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			name := key.String()
			value, err := r.jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			n.put(name, value)
		}
		_, err = d.ReadToken()
		return n, err
	case '[':
		n := listNode()
		for d.PeekKind() != ']' {
			value, err := r.jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, value)
		}
		_, err = d.ReadToken()
		return n, err
	case 'n':
		return &node{}, nil
	}
	return textNode(token.String()), nil
}

// yaml reads a template in YAML, one document.
func (r *reading) yaml(b []byte) (*node, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var document, more yaml.Node
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errors.New("the template is empty")
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("the template is more than one document")
	}
	if document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
		return r.yamlValue(document.Content[0], 0)
	}
	return nil, errors.New("the template is empty")
}

func (r *reading) yamlValue(y *yaml.Node, depth int) (*node, error) {
	if err := r.count(depth); err != nil {
		return nil, err
	}
	if y.Kind == yaml.AliasNode {
		return r.yamlValue(y.Alias, depth+1)
	}
	n, err := r.yamlPlain(y, depth)
	if err != nil {
		return nil, err
	}
	n.line = y.Line
	if !strings.HasPrefix(y.Tag, "!") || strings.HasPrefix(y.Tag, "!!") {
		return n, nil
	}
	return shortForm(y.Tag[1:], n), nil
}

// shortForm makes the long form of a function: !Sub x is Fn::Sub: x.
func shortForm(name string, argument *node) *node {
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	made := objectNode(name, argument)
	made.line = argument.line
	return made
}

func (r *reading) yamlPlain(y *yaml.Node, depth int) (*node, error) {
	switch y.Kind {
	case yaml.ScalarNode:
		switch y.ShortTag() {
		case "!!null":
			return &node{}, nil
		case "!!bool":
			return textNode(strings.ToLower(y.Value)), nil
		}
		return textNode(y.Value), nil
	case yaml.SequenceNode:
		n := listNode()
		for _, item := range y.Content {
			value, err := r.yamlValue(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, value)
		}
		return n, nil
	case yaml.MappingNode:
		return r.yamlMapping(y, depth)
	}
	return nil, fmt.Errorf("line %d: this cannot be part of a template", y.Line)
}

func (r *reading) yamlMapping(y *yaml.Node, depth int) (*node, error) {
	n := objectNode()
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		value, err := r.yamlValue(y.Content[i+1], depth+1)
		switch {
		case err != nil:
			return nil, err
		case key.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: a key is a text", key.Line)
		case key.ShortTag() == "!!merge":
			merged = append(merged, value)
		case !n.put(key.Value, value):
			return nil, fmt.Errorf("line %d: the key %q stands there twice", key.Line, key.Value)
		}
	}
	for _, m := range merged {
		if err := n.merge(m); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// merge adds the members of a merge key, an object or a list of them, that are not
// there.
func (n *node) merge(from *node) error {
	all := from.list
	if from.kind != list {
		all = []*node{from}
	}
	for _, m := range all {
		if m.kind != object {
			return m.expected("an object to merge")
		}
		for _, key := range m.keys {
			if n.members[key] == nil {
				n.put(key, m.members[key])
			}
		}
	}
	return nil
}
