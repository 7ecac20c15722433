package entry

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Equal reports whether two texts are the same JSON value: objects whatever the
// order of their members, strings whatever their escapes, numbers by their exact
// value, so that 1, 1.0 and 10e-1 are equal, and so are 0 and -0. Texts that are
// not one valid JSON value each are equal if they are the same.
func Equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err := canonical(a)
	if err != nil {
		return false
	}
	y, err := canonical(b)
	return err == nil && bytes.Equal(x, y)
}

// clears reports whether data means that there is no value: none, null or {}.
func clears(data []byte) bool {
	text, err := canonical(data)
	return len(data) == 0 || err == nil && (string(text) == "null" || string(text) == "{}")
}

// canonical writes a JSON value in the one way in which equal ones are written.
func canonical(data []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	b, err := appendCanonical(make([]byte, 0, len(data)), d)
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errTrailing
	}
	return b, nil
}

var errTrailing = errors.New("more than one value")

func appendCanonical(b []byte, d *jsontext.Decoder) ([]byte, error) {
	t, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case '{':
		return appendObject(b, d)
	case '[':
		return appendArray(b, d)
	case '0':
		return appendNumber(b, t.String()), nil
	case '"':
		return jsontext.AppendQuote(b, t.String())
	}
	return append(b, t.String()...), nil // true, false or null
}

func appendArray(b []byte, d *jsontext.Decoder) ([]byte, error) {
	b = append(b, '[')
	for i := 0; d.PeekKind() != ']'; i++ {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendCanonical(b, d); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return append(b, ']'), err
}

// appendObject writes the members in the order of their names.
func appendObject(b []byte, d *jsontext.Decoder) ([]byte, error) {
	type member struct {
		name string
		text []byte
	}
	var members []member
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		if m.text, err = jsontext.AppendQuote(nil, m.name); err != nil {
			return nil, err
		}
		if m.text, err = appendCanonical(append(m.text, ':'), d); err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(x, y member) int { return strings.Compare(x.name, y.name) })
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.text...)
	}
	_, err := d.ReadToken()
	return append(b, '}'), err
}

// appendNumber writes a number as its digits, without zeros at either end, and
// the power of ten that the last one counts: 1, 1.0 and 10e-1 are 1e0. Nothing
// is rounded, however large the exponent.
func appendNumber(b []byte, text string) []byte {
	text, negative := strings.CutPrefix(text, "-")
	mantissa, exponent := text, "0"
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return append(b, '0')
	}
	power := int64(-len(fraction))
	short := strings.TrimRight(digits, "0")
	power += int64(len(digits) - len(short))
	if negative {
		b = append(b, '-')
	}
	b = append(append(b, short...), 'e')
	e, _ := new(big.Int).SetString(strings.TrimPrefix(exponent, "+"), 10) // it is digits, by JSON's grammar
	return e.Add(e, big.NewInt(power)).Append(b, 10)
}
