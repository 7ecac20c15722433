package gateway

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// render makes a text of a JSON value (5.2): a string is itself, null is nothing,
// and an array or object looks like [a, b] or {k=v}. What is longer than limit is
// cut short right behind it.
func render(value jsontext.Value, limit int) string {
	switch value.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return ""
		}
		return string(text[:min(len(text), limit+1)])
	case 'n':
		return ""
	case '[', '{':
		r := rendering{limit: limit}
		return r.nested(value)
	}
	return string(value[:min(len(value), limit+1)])
}

// A rendering is that of an array or object. It does without recursion, as
// messages of clients may be nested deeply.
type rendering struct {
	out   []byte
	open  []level
	limit int
}

// A level is an array or object that is open, with how many names and values of
// it were read.
type level struct {
	object bool
	n      int
}

func (r *rendering) nested(value jsontext.Value) string {
	in := jsontext.NewDecoder(bytes.NewBuffer(value), jsontext.AllowDuplicateNames(true))
	for len(r.out) <= r.limit {
		t, err := in.ReadToken()
		if err != nil {
			break // the end: the value was read as one
		}
		r.token(t)
	}
	return string(r.out[:min(len(r.out), r.limit+1)])
}

func (r *rendering) token(t jsontext.Token) {
	if k := t.Kind(); k == '}' || k == ']' {
		r.out = append(r.out, byte(k))
		r.open = r.open[:len(r.open)-1]
		return
	}
	name := r.separate()
	switch k := t.Kind(); k {
	case '{', '[':
		r.out = append(r.out, byte(k))
		r.open = append(r.open, level{object: k == '{'})
	default:
		r.out = append(r.out, t.String()...)
	}
	if name {
		r.out = append(r.out, '=')
	}
}

// separate writes what is between values, and reports whether a name is next.
func (r *rendering) separate() (name bool) {
	if len(r.open) == 0 {
		return false
	}
	in := &r.open[len(r.open)-1]
	name = in.object && in.n%2 == 0
	if in.n > 0 && (name || !in.object) {
		r.out = append(r.out, ", "...)
	}
	in.n++
	return name
}
