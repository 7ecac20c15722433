package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// encode writes a value as encoding/json does, but leaves <, > and & alone,
// which HTML alone would mind.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// members visits each member of a JSON object, whose value points into it. It
// fails for what is no object, and for a member that comes twice: which of the
// two counts would be up to the reader.
func members(object []byte, visit func(name string, value []byte) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(object))
	if d.PeekKind() != '{' {
		return errors.New("not a JSON object")
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return unambiguous(err)
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return unambiguous(err)
		}
		if err := visit(key, value); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return unambiguous(err)
}

// unambiguous says in our words what the decoder did not like, without showing
// the text.
func unambiguous(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a member comes twice")
	}
	return errors.New("not valid JSON in UTF-8")
}

// An objectWriter appends members to a JSON object.
type objectWriter struct{ text []byte }

func (w *objectWriter) member(name string, value []byte) error {
	w.text = append(w.text, ',')
	if len(w.text) == 1 {
		w.text[0] = '{'
	}
	quoted, err := jsontext.AppendQuote(w.text, name)
	if err != nil {
		return fmt.Errorf("the member %q: %w", name, err)
	}
	w.text = append(append(quoted, ':'), value...)
	return nil
}

// end returns the object.
func (w *objectWriter) end() []byte {
	if len(w.text) == 0 {
		return []byte("{}")
	}
	return append(w.text, '}')
}

// extend puts further members into an object, instead of those of the same
// name, in the order of their names.
func extend(object []byte, extra map[string]any) ([]byte, error) {
	if len(extra) == 0 {
		return object, nil
	}
	var w objectWriter
	err := members(object, func(name string, value []byte) error {
		if _, replaced := extra[name]; replaced {
			return nil
		}
		return w.member(name, value)
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		value, err := encode(extra[name])
		if err != nil {
			return nil, fmt.Errorf("the member %q: %w", name, err)
		}
		if err := w.member(name, value); err != nil {
			return nil, err
		}
	}
	return w.end(), nil
}
