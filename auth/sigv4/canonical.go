package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// target returns the path and the query of a request as they arrived. Handlers
// before this one may have changed r.URL.
func target(r *http.Request) (path, query string) {
	raw := r.RequestURI
	if raw == "" {
		raw = r.URL.RequestURI()
	}
	if !strings.HasPrefix(raw, "/") { // absolute form, RFC 9112 §3.2.2
		if _, rest, ok := strings.Cut(raw, "://"); ok {
			raw = rest
			if i := strings.IndexAny(rest, "/?"); i >= 0 {
				raw = rest[i:]
			} else {
				raw = "/"
			}
		}
	}
	path, query, _ = strings.Cut(raw, "?")
	return path, query
}

// clean drops the empty and "." segments of a path and resolves "..", as AWS
// does; a slash at the end stays.
func clean(path string) string {
	var kept []string
	segments := strings.Split(path, "/")
	for _, s := range segments {
		switch s {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, s)
		}
	}
	end := ""
	if last := segments[len(segments)-1]; len(kept) > 0 && (last == "" || last == "." || last == "..") {
		end = "/"
	}
	return "/" + strings.Join(kept, "/") + end
}

// canonicalPaths returns the forms of the path that a client may have signed.
// Services but S3 encode once more what is encoded already.
func canonicalPaths(path string, p Policy) []string {
	if path == "" {
		path = "/"
	}
	if p.EncodeOnce {
		if plain, err := url.PathUnescape(path); err == nil {
			return []string{encode(plain, true)}
		}
		return nil
	}
	all := []string{encode(clean(path), true), encode(path, true)}
	if p.RawPath && !strings.Contains(path, "%25") {
		all = append(all, path)
	}
	return slices.Compact(all)
}

// A pair is a parameter of a query, decoded as handlers read it.
type pair struct{ key, value string }

func parsePairs(query string) ([]pair, error) {
	var all []pair
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		k, errKey := url.QueryUnescape(key)
		v, errValue := url.QueryUnescape(value)
		if errKey != nil || errValue != nil {
			return nil, errIncomplete("The query has a percent sign that escapes nothing.")
		}
		all = append(all, pair{k, v})
	}
	return all, nil
}

// canonicalQuery sorts the encoded parameters, by name and then by value. The
// signature itself is not part of what it signs.
func canonicalQuery(query string, presigned bool) (string, error) {
	pairs, err := parsePairs(query)
	if err != nil {
		return "", err
	}
	kept := pairs[:0]
	for _, p := range pairs {
		if !presigned || p.key != "X-Amz-Signature" {
			kept = append(kept, pair{encode(p.key, false), encode(p.value, false)})
		}
	}
	slices.SortFunc(kept, func(a, b pair) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for i, p := range kept {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.key + "=" + p.value)
	}
	return b.String(), nil
}

// canonicalHeaders writes the signed headers; ok is false if one is not there.
func canonicalHeaders(r *http.Request, names []string) (text string, ok bool) {
	var b strings.Builder
	for _, name := range names {
		values := headerValues(r, name)
		if len(values) == 0 {
			return "", false
		}
		b.WriteString(name)
		b.WriteByte(':')
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(trim(v))
		}
		b.WriteByte('\n')
	}
	return b.String(), true
}

// headerValues returns what arrived; the server keeps some headers elsewhere.
func headerValues(r *http.Request, name string) []string {
	switch {
	case name == "host":
		return []string{r.Host}
	case name == "content-length" && len(r.Header.Values(name)) == 0 && r.ContentLength >= 0:
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	case name == "transfer-encoding" && len(r.TransferEncoding) > 0:
		return []string{strings.Join(r.TransferEncoding, ",")}
	}
	return r.Header.Values(name)
}

// trim drops spaces around a value, and makes one of several within it.
func trim(v string) string {
	v = strings.Trim(v, " \t\r\n")
	if !strings.Contains(v, "  ") {
		return v
	}
	var b strings.Builder
	space := false
	for i := range len(v) {
		if v[i] != ' ' || !space {
			b.WriteByte(v[i])
		}
		space = v[i] == ' '
	}
	return b.String()
}

const upperHex = "0123456789ABCDEF"

// encode escapes every byte but the unreserved characters of RFC 3986, and
// slashes where they are kept.
func encode(s string, keepSlash bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}
