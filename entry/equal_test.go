package entry_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"regexp"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot/entry"
)

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1.0`, true},
		{`1`, `10e-1`, true},
		{`100`, `1E+2`, true},
		{`0`, `-0`, true},
		{`0`, `0.000e99`, true},
		{`0.1`, `0.10`, true},
		{`0.1`, `1e-1`, true},
		{`-1`, `1`, false},
		{`9007199254740993`, `9007199254740992`, false}, // equal as floating point
		{`1e400`, `1e401`, false},                       // both infinite as floating point
		{`1e-400`, `0`, false},
		{`1e99999999999999999999`, `10e99999999999999999998`, true},
		{`1e99999999999999999999`, `1e99999999999999999998`, false},
		{`{"a":1,"b":2}`, ` { "b" : 2, "a" : 1 } `, true},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`{"a":{"x":[1,{"y":2,"z":3}]}}`, `{"a":{"x":[1.0,{"z":3,"y":2}]}}`, true},
		{`[1,2]`, `[2,1]`, false},
		{`[1,2]`, `[12]`, false},
		{`["a"]`, `[["a"]]`, false},
		{`[]`, `{}`, false},
		{`""`, `null`, false},
		{`"\u0061\/"`, `"a/"`, true},
		{`"1"`, `1`, false},
		{`"é"`, `"\u0065\u0301"`, false}, // nobody normalizes
		{`"a\",\"b"`, `"a","b"`, false},
		{`true`, `false`, false},
		{`{"a":1,"a":2}`, `{"a":2}`, false}, // not valid here
		{`nonsense`, `nonsense`, true},
		{`1 2`, `1  2`, false},
	} {
		if entry.Equal([]byte(c.a), []byte(c.b)) != c.want || entry.Equal([]byte(c.b), []byte(c.a)) != c.want {
			t.Errorf("Equal(%s, %s) is %v", c.a, c.b, !c.want)
		}
	}
}

// TestEqualIsQuick: the worst that 32 KiB can hold costs no more than a moment.
func TestEqualIsQuick(t *testing.T) {
	digits := bytes.Repeat([]byte("9"), 16<<10)
	for name, worst := range map[string][2][]byte{
		"exponents": {append([]byte("1e"), digits...), append([]byte("10e"), digits...)},
		"mantissas": {append([]byte("1."), digits...), append([]byte("2."), digits...)},
		"arrays":    {bytes.Repeat([]byte("["), 1<<10), bytes.Repeat([]byte("[ "), 1<<10)},
	} {
		start := time.Now()
		entry.Equal(worst[0], worst[1])
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

// FuzzEqual compares with a plain tree of values and exact fractions.
func FuzzEqual(f *testing.F) {
	for _, s := range []string{`1`, `1.0`, `{"a":1,"b":[2,{}]}`, `{"b":[2,{ }],"a":10e-1}`, `"\u0061"`, `"a"`, `null`, `[]`, `-0.0`, `1e2`, `x`, ``} {
		f.Add([]byte(s), []byte(`1`))
		f.Add([]byte(s), []byte(s+" "))
	}
	f.Add([]byte(`{"a":1,"b":[2]}`), []byte(`{"b":[2.0],"a":1}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		got := entry.Equal(a, b)
		if got != entry.Equal(b, a) || !entry.Equal(a, a) {
			t.Fatalf("Equal is not symmetric, or not reflexive: %q, %q", a, b)
		}
		if huge.Match(a) || huge.Match(b) {
			return // too large for a fraction
		}
		x, okX := tree(a)
		y, okY := tree(b)
		want := bytes.Equal(a, b) || okX && okY && same(x, y)
		if got != want {
			t.Fatalf("Equal(%q, %q) is %v", a, b, got)
		}
	})
}

var huge = regexp.MustCompile(`[eE][+-]?\d{3}`)

// tree decodes one valid value, with numbers as they are written.
func tree(b []byte) (any, bool) {
	if !jsontext.Value(b).IsValid() {
		return nil, false // encoding/json takes more
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, err == io.EOF
}

func same(x, y any) bool {
	switch x := x.(type) {
	case json.Number:
		other, ok := y.(json.Number)
		if !ok {
			return false
		}
		p, _ := new(big.Rat).SetString(string(x))
		q, _ := new(big.Rat).SetString(string(other))
		return p.Cmp(q) == 0
	case []any:
		other, ok := y.([]any)
		if !ok || len(x) != len(other) {
			return false
		}
		for i := range x {
			if !same(x[i], other[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		other, ok := y.(map[string]any)
		if !ok || len(x) != len(other) {
			return false
		}
		for name := range x {
			if v, ok := other[name]; !ok || !same(x[name], v) {
				return false
			}
		}
		return true
	}
	return x == y
}

// TestEqualAllocates nothing for texts that are the same, and a bounded number of
// times otherwise.
func TestEqualAllocates(t *testing.T) {
	a := []byte(`{"name":"somebody","list":[1,2,3],"deep":{"x":1.5,"y":true}}`)
	b := []byte(`{"deep":{"y":true,"x":1.50},"list":[1,2,3],"name":"somebody"}`)
	if n := testing.AllocsPerRun(100, func() { entry.Equal(a, a) }); n != 0 {
		t.Errorf("%v allocations for the same text", n)
	}
	if n := testing.AllocsPerRun(100, func() { entry.Equal(a, b) }); n > 120 {
		t.Errorf("%v allocations", n)
	}
}
