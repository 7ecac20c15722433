package epl

import (
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxBody is how many bytes a request may have.
	maxBody = 1 << 20
	// maxFields is how many fields a form may have, maxNesting how deep their names
	// may nest.
	maxFields  = 1000
	maxNesting = 8
)

// params are what a request says, each a JSON value: a form's "app[name]=x" is
// {"app":{"name":"x"}} (A.3).
type params map[string]jsontext.Value

// readParams reads the query and the body, which counts over it.
func readParams(w http.ResponseWriter, r *http.Request) (params, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errBadRequest
	}
	all, err := readForm(query)
	if err != nil {
		return nil, err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	maps.Copy(all, body)
	return all, nil
}

func readBody(r *http.Request) (params, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return nil, nothing(r)
	}
	kind, options, err := mime.ParseMediaType(header)
	if charset := strings.ToLower(options["charset"]); err != nil || charset != "" && charset != "utf-8" && charset != "us-ascii" {
		return nil, errMediaType
	}
	switch {
	case kind == "application/x-www-form-urlencoded":
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, bodyError(err)
		}
		form, err := url.ParseQuery(string(text))
		if err != nil {
			return nil, errBadRequest
		}
		return readForm(form)
	case kind == "multipart/form-data":
		return readMultipart(r.Body, options["boundary"])
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return readJSON(r.Body)
	}
	return nil, errMediaType
}

// nothing accepts a body that does not say what it is, if there is none.
func nothing(r *http.Request) error {
	var first [1]byte
	switch n, err := io.ReadFull(r.Body, first[:]); {
	case n > 0:
		return errMediaType
	case errors.Is(err, io.EOF):
		return nil
	default:
		return bodyError(err)
	}
}

// bodyError tells a body that is too large from one that cannot be read.
func bodyError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return errTooLarge
	}
	return errBadRequest
}

// readJSON reads a body of JSON. One that is no object says nothing.
func readJSON(body io.Reader) (params, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, bodyError(err)
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil, nil
	}
	v := jsontext.Value(text)
	if !v.IsValid() {
		return nil, errBadRequest
	}
	if v.Kind() != '{' {
		return nil, nil
	}
	var all params
	if err := json.Unmarshal(v, &all); err != nil {
		return nil, errBadRequest
	}
	return all, nil
}

// readMultipart reads the fields of a form that are texts. A file is none of
// them: it is something that no field can be.
func readMultipart(body io.Reader, boundary string) (params, error) {
	if boundary == "" {
		return nil, errBadRequest
	}
	form, files := url.Values{}, url.Values{}
	parts := multipart.NewReader(body, boundary)
	for range maxFields {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return readFields(form, files)
		}
		if err != nil {
			return nil, bodyError(err)
		}
		text, err := io.ReadAll(p)
		switch {
		case err != nil:
			return nil, bodyError(err)
		case p.FileName() != "":
			files.Add(p.FormName(), "")
		default:
			form.Add(p.FormName(), string(text))
		}
	}
	return nil, errBadRequest
}

func readForm(form url.Values) (params, error) { return readFields(form, nil) }

// readFields makes params of a form's fields.
func readFields(form, files url.Values) (params, error) {
	tree, count := map[string]any{}, 0
	// In their order, so that of two that cannot be together the same one counts.
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, text := range form[name] {
			if count++; count > maxFields || !utf8.ValidString(name) || !utf8.ValidString(text) {
				return nil, errBadRequest
			}
			if !plant(tree, name, text) {
				return nil, errBadRequest
			}
		}
	}
	for name := range files {
		if !utf8.ValidString(name) || !plant(tree, name, map[string]any{}) {
			return nil, errBadRequest
		}
	}
	all := make(params, len(tree))
	for name, v := range tree {
		text, err := json.Marshal(v, json.Deterministic(true))
		if err != nil {
			return nil, errBadRequest
		}
		all[name] = text
	}
	return all, nil
}

// plant puts a value where a field's name says: "a[b]" in an object, "a[]" at the
// end of a list. It reports whether the name can be together with the others.
func plant(tree map[string]any, name string, value any) bool {
	path, ok := pathOf(name)
	if !ok {
		return false
	}
	list := len(path) > 1 && path[len(path)-1] == ""
	if list {
		path = path[:len(path)-1]
	}
	last := len(path) - 1
	for _, key := range path[:last] {
		if key == "" {
			return false // a list of objects, which nobody asks for
		}
		if tree[key] == nil {
			tree[key] = map[string]any{}
		}
		if tree, ok = tree[key].(map[string]any); !ok {
			return false
		}
	}
	key := path[last]
	switch old := tree[key].(type) {
	case nil:
		tree[key] = value
		if list {
			tree[key] = []any{value}
		}
	case []any:
		if !list {
			return false
		}
		tree[key] = append(old, value)
	case map[string]any:
		return false
	default:
		if list {
			return false
		}
		tree[key] = value // the last one counts
	}
	return true
}

// pathOf takes the name of a field apart. What is no well-formed name of a nested
// one is the name of a plain one.
func pathOf(name string) (path []string, ok bool) {
	first, rest, nested := strings.Cut(name, "[")
	if !nested || first == "" || !strings.HasSuffix(rest, "]") {
		return []string{name}, true
	}
	inner := strings.Split(strings.TrimSuffix(rest, "]"), "][")
	if len(inner) >= maxNesting || slices.ContainsFunc(inner, func(s string) bool { return strings.ContainsAny(s, "[]") }) {
		return nil, false
	}
	return append([]string{first}, inner...), true
}

// text is a parameter that is a string; ok is false if it is none, or empty.
func (p params) text(name string) (text string, ok bool) {
	v := p[name]
	if v.Kind() != '"' || json.Unmarshal(v, &text) != nil {
		return "", false
	}
	return text, text != ""
}
