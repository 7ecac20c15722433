package gateway

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/guard"
)

// The targets of parameter mappings.
const (
	toHeader = "integration.request.header."
	toQuery  = "integration.request.querystring."
	toPath   = "integration.request.path."
)

// A mapping is what an HTTP integration is sent: its address with gaps in the
// path, and the parameters (7.3).
type mapping struct {
	method         string
	before, query  string   // the address up to the path, and its query
	path           []string // literal, name of a gap, literal, and so on
	headers, asked []assignment
	gaps           map[string]source
}

// An assignment gives a header or query parameter its value.
type assignment struct {
	name string
	from source
}

func parseMapping(n *earshot.GatewayIntegration, uri string) (*mapping, error) {
	m := &mapping{method: n.Method, gaps: map[string]source{}}
	switch m.method {
	case "", "ANY":
		m.method = "POST"
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
	default:
		return nil, fmt.Errorf("integrationMethod: %q is not known", n.Method)
	}
	for _, target := range slices.Sorted(maps.Keys(n.RequestParameters)) {
		if err := m.assign(target, n.RequestParameters[target]); err != nil {
			return nil, fmt.Errorf("requestParameters: %s: %w", target, err)
		}
	}
	if err := m.address(uri); err != nil {
		return nil, fmt.Errorf("integrationUri: %w", err)
	}
	return m, nil
}

func (m *mapping) assign(target, text string) error {
	from, err := parseSource(text)
	if err != nil {
		return err
	}
	if name, ok := strings.CutPrefix(target, toHeader); ok {
		if from.kind == static && !isFieldValue(from.name) {
			return fmt.Errorf("the text cannot be a header's")
		}
		m.headers = append(m.headers, assignment{name, from})
		return checkMapped(name)
	}
	if name, ok := strings.CutPrefix(target, toQuery); ok && name != "" {
		m.asked = append(m.asked, assignment{name, from})
		return nil
	}
	if name, ok := strings.CutPrefix(target, toPath); ok && name != "" {
		m.gaps[name] = from
		return nil
	}
	return fmt.Errorf("a target is %sN, %sN or %sN", toHeader, toQuery, toPath)
}

// checkMapped refuses headers that are not a mapping's business.
func checkMapped(name string) error {
	switch {
	case !isToken(name):
		return fmt.Errorf("it is no header's name")
	case ofTheHop(name) || strings.EqualFold(name, "Host") || strings.EqualFold(name, "Content-Length"):
		return fmt.Errorf("it is about the connection to the backend, and not to be mapped")
	}
	return nil
}

// ofTheHop reports whether a header is about one connection only (RFC 9110, 7.6.1).
func ofTheHop(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "upgrade", "keep-alive", "te", "trailer", "transfer-encoding", "proxy-connection", "proxy-authenticate", "proxy-authorization":
		return true
	}
	return false
}

// address takes the address apart: gaps are in its path alone.
func (m *mapping) address(uri string) error {
	rest := uri
	if i := strings.Index(uri, "://"); i >= 0 {
		rest = uri[i+3:]
	}
	start := strings.IndexAny(rest, "/?#")
	if start < 0 {
		start = len(rest)
	}
	m.before = uri[:len(uri)-len(rest)+start]
	path, query, _ := strings.Cut(rest[start:], "?")
	m.query = query
	for {
		literal, after, ok := strings.Cut(path, "{")
		m.path = append(m.path, literal)
		if !ok {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		if _, known := m.gaps[name]; !closed || !known {
			return fmt.Errorf("nothing is mapped to %s%s", toPath, name)
		}
		m.path, path = append(m.path, name), tail
	}
	if strings.ContainsAny(m.before, "{}") {
		return fmt.Errorf("only its path may have gaps")
	}
	if _, err := url.ParseQuery(m.query); err != nil {
		return fmt.Errorf("its query is malformed")
	}
	return guard.CheckURL(m.before+strings.Join(m.path, "/"), true)
}

// url fills in the address for an event. A text that would lead out of its place
// in the path is refused.
func (m *mapping) url(e *Event) (string, error) {
	var b strings.Builder
	b.WriteString(m.before)
	for i, s := range m.path {
		if i%2 == 0 {
			b.WriteString(s)
			continue
		}
		from := m.gaps[s]
		text, ok := from.value(e)
		if !ok || text == "" || text == "." || text == ".." {
			return "", fmt.Errorf("there is nothing fit for %s in the path", s)
		}
		b.WriteString(url.PathEscape(text))
	}
	query := m.parameters(e)
	if query != "" {
		b.WriteString("?" + query)
	}
	return b.String(), nil
}

// parameters is the query: the address's own, the mapping's, and of a handshake
// what else the client asked.
func (m *mapping) parameters(e *Event) string {
	own, _ := url.ParseQuery(m.query) // it was checked
	given := url.Values{}
	for _, a := range m.asked {
		delete(own, a.name)
		given[a.name] = nil
		if text, ok := a.from.value(e); ok {
			given.Set(a.name, text)
		}
	}
	if e.Handshake != nil && e.Route.Integration.Type != earshot.HTTPEvent {
		for name, values := range e.Handshake.Query {
			_, mapped := given[name]
			if _, ours := own[name]; !ours && !mapped {
				given[name] = values
			}
		}
	}
	query := m.query
	if len(m.asked) > 0 {
		query = own.Encode()
	}
	if more := given.Encode(); more != "" {
		if query != "" {
			query += "&"
		}
		query += more
	}
	return query
}

// isToken reports whether a text can be a header's name (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(s[i])) {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// isFieldValue reports whether a text can be a header's value: it has no control
// characters, and so no end of a line.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return len(s) <= maxMapped && strings.Trim(s, " \t") == s
}
