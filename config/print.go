package config

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

//go:embed config.go gateways.go
var schema embed.FS

// docs are the comments of the fields, by "Type.Field".
func docs() (map[string]string, error) {
	all := map[string]string{}
	for _, name := range []string{"config.go", "gateways.go"} {
		text, err := schema.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		fieldDocs(file, all)
	}
	return all, nil
}

func fieldDocs(file *ast.File, all map[string]string) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					all[spec.Name.Name+"."+name.Name] = strings.TrimSpace(f.Doc.Text())
				}
			}
		}
		return false
	})
}

// Document writes every setting with its default and what it means, as a file
// that can be edited.
func Document(w io.Writer) error {
	comments, err := docs()
	if err != nil {
		return err
	}
	out := &printer{w: w, comments: comments}
	out.line("# Every setting of Earshot, with its default. Over this file counts the")
	out.line("# environment: EARSHOT_SECTION_FIELD, for example EARSHOT_SERVER_LISTEN.")
	example := Default()
	example.Apps = []App{{SigningKeys: []SigningKey{{}}, AccessKeys: []AccessKey{{}}, Channels: []Channel{{Deliver: "after-disk"}}, Webhooks: []Webhook{{}}, Gateways: []Gateway{exampleGateway()}}}
	out.sections(reflect.ValueOf(example).Elem())
	return out.err
}

// Print writes the settings as they are in force; secrets are hidden.
func (c *Config) Print(w io.Writer) error {
	out := &printer{w: w}
	out.sections(reflect.ValueOf(c).Elem())
	return out.err
}

// exampleGateway has one of everything, so that all of it is documented.
func exampleGateway() Gateway {
	return Gateway{
		Stages: []GatewayStage{{}}, Routes: []GatewayRoute{{}}, Integrations: []GatewayIntegration{{Responses: []GatewayResponse{{Body: new(string)}}}},
		Authorizers: []GatewayAuthorizer{{}}, Functions: []GatewayFunction{{}}, APIKeys: []GatewayKey{{}},
	}
}

// A printer writes settings as TOML.
type printer struct {
	w io.Writer
	// comments are the fields' documentation, nil to write none.
	comments map[string]string
	// sparse leaves out what is zero, reveal writes secrets.
	sparse, reveal bool
	err            error
	begun          bool
}

func (o *printer) line(format string, args ...any) {
	if o.err == nil {
		_, o.err = fmt.Fprintf(o.w, format+"\n", args...)
	}
	o.begun = true
}

func (o *printer) gap() {
	if o.begun {
		o.line("")
	}
}

// comment writes what is said of a field. A comment that names its field first
// says the key instead.
func (o *printer) comment(t reflect.Type, f reflect.StructField) {
	text := o.comments[t.Name()+"."+f.Name]
	if text == "" {
		return
	}
	text = strings.Replace(text, f.Name, f.Tag.Get("toml"), 1)
	for l := range strings.SplitSeq(text, "\n") {
		o.line("# %s", l)
	}
}

func (o *printer) sections(v reflect.Value) {
	for f, value := range v.Fields() {
		key := f.Tag.Get("toml")
		if key == "" {
			continue // not a setting
		}
		switch value.Kind() {
		case reflect.Struct:
			o.gap()
			o.comment(v.Type(), f)
			o.line("[%s]", key)
			o.fields(value, key)
		case reflect.Slice:
			for i := range value.Len() {
				o.gap()
				o.comment(v.Type(), f)
				o.line("[[%s]]", key)
				o.fields(value.Index(i), key)
			}
		case reflect.Map:
			o.protocols(value.Interface().(map[string]map[string]any))
		}
	}
}

// fields writes a table: its values first, then the tables below it, those that
// are there once and those of lists.
func (o *printer) fields(v reflect.Value, path string) {
	for f, value := range v.Fields() {
		if key := f.Tag.Get("toml"); key != "" && !isTables(value) && value.Kind() != reflect.Struct && !o.skips(value) {
			o.comment(v.Type(), f)
			o.line("%s = %s", key, o.literal(value))
		}
	}
	for f, value := range v.Fields() {
		if value.Kind() == reflect.Struct && !o.skips(value) {
			o.gap()
			o.comment(v.Type(), f)
			o.line("[%s.%s]", path, f.Tag.Get("toml"))
			o.fields(value, path+"."+f.Tag.Get("toml"))
		}
		if isTables(value) {
			for i := range value.Len() {
				o.gap()
				o.comment(v.Type(), f)
				o.line("[[%s.%s]]", path, f.Tag.Get("toml"))
				o.fields(value.Index(i), path+"."+f.Tag.Get("toml"))
			}
		}
	}
}

func (o *printer) protocols(all map[string]map[string]any) {
	for _, name := range sortedKeys(all) {
		o.gap()
		o.line("[protocols.%s]", name)
		for _, key := range sortedKeys(all[name]) {
			o.line("%s = %s", key, o.literal(reflect.ValueOf(all[name][key])))
		}
	}
}

func isTables(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct
}

// skips says that a value is not written: there is none, or only its default.
func (o *printer) skips(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		return v.IsNil()
	}
	return o.sparse && (v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0)
}

// literal writes a value as TOML.
func (o *printer) literal(v reflect.Value) string {
	if v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Map, reflect.Struct:
		return o.inline(v)
	case reflect.String:
		if o.reveal {
			return quote(v.String())
		}
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = o.literal(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return quote(fmt.Sprint(v.Interface()))
}

// inline writes a table on one line, the keys of a map in their order.
func (o *printer) inline(v reflect.Value) string {
	var parts []string
	if v.Kind() == reflect.Struct {
		for f, value := range v.Fields() {
			if !o.skips(value) {
				parts = append(parts, f.Tag.Get("toml")+" = "+o.literal(value))
			}
		}
	} else {
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			parts = append(parts, quote(k.String())+" = "+o.literal(v.MapIndex(k)))
		}
	}
	if len(parts) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// quote writes a basic string of TOML, whose escapes are those of JSON and not
// those of Go.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
