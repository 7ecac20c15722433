package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Problems are all that is wrong with the settings, one line each.
type Problems []string

// Error returns the lines.
func (p Problems) Error() string { return strings.Join(p, "\n") }

func (p *Problems) add(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// or returns the problems, nil if there are none.
func (p Problems) or() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// fillTable sets the fields of a struct from a table of the file. path names
// the table, for problems.
func fillTable(to reflect.Value, table map[string]any, path string, p *Problems) {
	for _, key := range sortedKeys(table) {
		field, ok := fieldOf(to, key)
		name := join(path, key)
		if !ok {
			p.add("%s: unknown key%s", name, didYouMean(key, keysOf(to.Type()), path))
			continue
		}
		fillValue(field, table[key], name, p)
	}
}

func fillValue(to reflect.Value, from any, name string, p *Problems) {
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		to = to.Elem()
	}
	switch v := from.(type) {
	case map[string]any:
		fillObject(to, v, name, p)
	case []any:
		fillList(to, v, name, p)
	case string:
		if err := fillText(to, v); err != nil {
			p.add("%s: %v", name, err)
		}
	case float64:
		if to.Kind() != reflect.Float64 || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
			p.add("%s: %s is expected", name, describe(to.Type()))
			return
		}
		to.SetFloat(v)
	case int64:
		fillInt(to, v, name, p)
	case bool:
		if to.Kind() != reflect.Bool {
			p.add("%s: %s is expected, not a boolean", name, describe(to.Type()))
			return
		}
		to.SetBool(v)
	default:
		p.add("%s: %s is expected", name, describe(to.Type()))
	}
}

func fillObject(to reflect.Value, v map[string]any, name string, p *Problems) {
	switch {
	case to.Kind() == reflect.Struct:
		fillTable(to, v, name, p)
	case to.Type() == reflect.TypeFor[map[string]map[string]any]():
		all := map[string]map[string]any{}
		for key, section := range v {
			table, ok := section.(map[string]any)
			if !ok {
				p.add("%s: a table is expected", join(name, key))
			}
			all[key] = table
		}
		to.Set(reflect.ValueOf(all))
	case to.Kind() == reflect.Map:
		to.Set(reflect.MakeMapWithSize(to.Type(), len(v)))
		for _, key := range sortedKeys(v) {
			value := reflect.New(to.Type().Elem()).Elem()
			fillValue(value, v[key], join(name, key), p)
			to.SetMapIndex(reflect.ValueOf(key), value)
		}
	default:
		p.add("%s: %s is expected, not a table", name, describe(to.Type()))
	}
}

func fillList(to reflect.Value, v []any, name string, p *Problems) {
	if to.Kind() != reflect.Slice {
		p.add("%s: %s is expected, not a list", name, describe(to.Type()))
		return
	}
	to.Set(reflect.MakeSlice(to.Type(), len(v), len(v)))
	for i, from := range v {
		fillValue(to.Index(i), from, fmt.Sprintf("%s[%d]", name, i), p)
	}
}

func fillInt(to reflect.Value, v int64, name string, p *Problems) {
	_, text := to.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case text && to.Kind() == reflect.Int64 && to.Type() == reflect.TypeFor[Bytes](), to.CanInt() && !text:
		if v < 0 && to.Type() != reflect.TypeFor[Seconds]() || v < math.MinInt32 || v > math.MaxInt32 && to.Kind() == reflect.Int {
			p.add("%s: %d is out of range", name, v)
			return
		}
		to.SetInt(v)
	case to.Kind() == reflect.Float64:
		if v < 0 {
			p.add("%s: %d is out of range", name, v)
			return
		}
		to.SetFloat(float64(v))
	default:
		p.add("%s: %s is expected, not a number", name, describe(to.Type()))
	}
}

// fillText sets a field from text, of the file or the environment.
func fillText(to reflect.Value, s string) error {
	if u, ok := to.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(s))
	}
	if to.Kind() != reflect.String {
		return fmt.Errorf("%s is expected, not a text", describe(to.Type()))
	}
	to.SetString(s)
	return nil
}

// fillWord sets a field from the environment, where everything is text and
// a list has commas.
func fillWord(to reflect.Value, s string) error {
	switch {
	case to.Kind() == reflect.Bool:
		v, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		to.SetBool(v)
	case to.Kind() == reflect.Int:
		v, err := strconv.Atoi(s)
		if err != nil || v < 0 {
			return fmt.Errorf("%q is not a number from 0", s)
		}
		to.SetInt(int64(v))
	case to.Type() == reflect.TypeFor[[]string]():
		list := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
		to.Set(reflect.ValueOf(list))
	default:
		return fillText(to, s)
	}
	return nil
}

// fieldOf finds the field of a key.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for f, value := range v.Fields() {
		if tag := f.Tag.Get("toml"); tag != "" && tag == key {
			return value, true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		if tag := f.Tag.Get("toml"); tag != "" {
			keys = append(keys, tag)
		}
	}
	return keys
}

// describe names a type for people.
func describe(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return `a duration such as "30s"`
	case t == reflect.TypeFor[Bytes]():
		return `a size such as "1MiB"`
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number from 0"
	case t.Kind() == reflect.String:
		return "a text in quotes"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return "a list of tables, as in [[...]],"
	case t.Kind() == reflect.Slice:
		return `a list such as ["a", "b"]`
	}
	return "a table"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
