package auth

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds how deep claims are nested.
const maxDepth = 64

var errNotObject = errors.New("not a JSON object")

// Fold returns data, which must be one JSON object in valid UTF-8, with only the
// last of several members of one name, at every level. It replaces: what an
// earlier member held is gone, never merged into the later one (two "channels"
// must not grant the union). Whitespace is dropped; numbers and the spelling of
// strings stay as they are.
func Fold(data []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	if d.PeekKind() != '{' {
		return nil, errNotObject
	}
	out, err := foldValue(d, make([]byte, 0, len(data)))
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errNotObject
	}
	return out, nil
}

func foldValue(d *jsontext.Decoder, out []byte) ([]byte, error) {
	if d.StackDepth() > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	switch d.PeekKind() {
	case '{':
		return foldObject(d, out)
	case '[':
		return foldArray(d, out)
	}
	v, err := d.ReadValue()
	return append(out, v...), err
}

func foldArray(d *jsontext.Decoder, out []byte) ([]byte, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	out = append(out, '[')
	for i := 0; d.PeekKind() != ']'; i++ {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = foldValue(d, out); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return append(out, ']'), err
}

type member struct {
	name  string
	value []byte
}

func foldObject(d *jsontext.Decoder, out []byte) ([]byte, error) {
	members, err := readMembers(d)
	if err != nil {
		return nil, err
	}
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = jsontext.AppendQuote(out, m.name); err != nil {
			return nil, err
		}
		out = append(append(out, ':'), m.value...)
	}
	return append(out, '}'), nil
}

// readMembers reads an object; a later member of a name takes the earlier one's place.
func readMembers(d *jsontext.Decoder) ([]member, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	var members []member
	at := map[string]int{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		if m.value, err = foldValue(d, nil); err != nil {
			return nil, err
		}
		if i, ok := at[m.name]; ok {
			members[i] = m
			continue
		}
		at[m.name] = len(members)
		members = append(members, m)
	}
	_, err := d.ReadToken()
	return members, err
}
