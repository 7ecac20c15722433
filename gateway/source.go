package gateway

import (
	"fmt"
	"strconv"
	"strings"
)

// maxMapped bounds a text that a mapping takes from somewhere.
const maxMapped = 8 << 10

// A source is where a parameter mapping or an identity source takes a text from
// (7.3, 8.3).
type source struct {
	kind sourceKind
	name string // of a header, variable and so on; the text of a static one
	body *query // of fromBody: it has one path
}

type sourceKind uint8

const (
	static sourceKind = iota
	fromHeader
	fromHeaders
	fromQuery
	fromQueries
	fromBody
	fromStage
	fromContext
)

// sourcePrefixes are what sources that have a name begin with.
func sourcePrefixes() []sourcePrefix {
	return []sourcePrefix{
		{"route.request.header.", fromHeader},
		{"route.request.multivalueheader.", fromHeaders},
		{"route.request.querystring.", fromQuery},
		{"route.request.multivaluequerystring.", fromQueries},
		{"stageVariables.", fromStage},
		{"context.", fromContext},
	}
}

type sourcePrefix struct {
	text string
	kind sourceKind
}

// parseSource reads the source of a parameter mapping.
func parseSource(text string) (source, error) {
	if len(text) >= 2 && text[0] == '\'' && text[len(text)-1] == '\'' {
		return source{kind: static, name: text[1 : len(text)-1]}, nil
	}
	if path, ok := strings.CutPrefix(text, "route."+bodyVariable); ok {
		s := source{kind: fromBody, body: newQuery()}
		_, err := s.body.add(path)
		return s, err
	}
	return parseNamed(text)
}

// parseIdentity reads an identity source, in the spelling of HTTP APIs too.
func parseIdentity(text string) (source, error) {
	name, dollar := strings.CutPrefix(text, "$")
	if dollar && strings.HasPrefix(name, "request.") {
		name = "route." + name
	}
	return parseNamed(name)
}

func parseNamed(text string) (source, error) {
	for _, p := range sourcePrefixes() {
		name, ok := strings.CutPrefix(text, p.text)
		if !ok {
			continue
		}
		if name == "" || p.kind == fromContext && !knownContext(name) {
			break
		}
		return source{kind: p.kind, name: name}, nil
	}
	return source{}, fmt.Errorf("%q is not known as a source", text)
}

// value returns the text, which is not ok where the event has none.
func (s *source) value(e *Event) (text string, ok bool) {
	switch s.kind {
	case static:
		return s.name, true
	case fromHeader, fromHeaders:
		return s.header(e)
	case fromQuery, fromQueries:
		return s.query(e)
	case fromStage:
		text, ok = e.Stage.Variables[s.name]
	case fromContext:
		return contextValue(e, s.name)
	case fromBody:
		if e.Type != Message || e.Binary {
			return "", false
		}
		found, is := s.body.find(e.Body, maxMapped)
		if !is {
			return "", false
		}
		text, ok = found[0].text, found[0].ok
	}
	return text, ok
}

// header is the last of a header's values, or all of them.
func (s *source) header(e *Event) (string, bool) {
	if e.Handshake == nil {
		return "", false
	}
	var all []string
	for _, f := range e.Handshake.Header {
		if strings.EqualFold(f.Name, s.name) {
			all = append(all, f.Value)
		}
	}
	return oneOrAll(all, s.kind == fromHeaders)
}

func (s *source) query(e *Event) (string, bool) {
	if e.Handshake == nil {
		return "", false
	}
	return oneOrAll(e.Handshake.Query[s.name], s.kind == fromQueries)
}

func oneOrAll(values []string, all bool) (string, bool) {
	switch {
	case len(values) == 0:
		return "", false
	case all:
		return strings.Join(values, ","), true
	}
	return values[len(values)-1], true
}

// knownContext reports whether there is a context variable of a name.
func knownContext(name string) bool {
	switch name {
	case "connectionId", "connectedAt", "domainName", "eventType", "messageId", "routeKey", "requestId", "extendedRequestId", "apiId",
		"requestTime", "requestTimeEpoch", "stage", "status", "error.messageString", "error.validationErrorString":
		return true
	case "identity.accountId", "identity.apiKey", "identity.apiKeyId", "identity.caller", "identity.sourceIp", "identity.user",
		"identity.userAgent", "identity.userArn", "identity.accessKey":
		return true
	}
	rest, ok := strings.CutPrefix(name, "authorizer.")
	if !ok {
		rest, ok = strings.CutPrefix(name, "identity.cognito")
	}
	return ok && rest != ""
}

// contextValue is that of a context variable. Nothing has a status or an error
// when it is told, and nobody is known to Cognito.
func contextValue(e *Event, name string) (text string, ok bool) {
	if key, is := strings.CutPrefix(name, "authorizer."); is {
		text, ok = e.Conn.Authorizer[key]
		return text, ok
	}
	if strings.HasPrefix(name, "identity.") {
		text = identityValue(e.identity(), name)
		return text, text != ""
	}
	switch name {
	case "connectionId":
		text = e.Conn.ID
	case "connectedAt":
		text = strconv.FormatInt(e.Conn.ConnectedAt.UnixMilli(), 10)
	case "domainName":
		text = e.Conn.Domain
	case "eventType":
		text = e.Type
	case "messageId":
		text = e.MessageID
	case "routeKey":
		text = e.routeKey()
	case "requestId", "extendedRequestId":
		text = e.RequestID
	case "apiId":
		text = e.Stage.API.ID
	case "requestTime":
		text = e.Time.UTC().Format(requestTimeForm)
	case "requestTimeEpoch":
		text = strconv.FormatInt(e.Time.UnixMilli(), 10)
	case "stage":
		text = e.Stage.Name
	}
	return text, text != ""
}

func identityValue(i identityJSON, name string) string {
	switch name {
	case "identity.accountId":
		return i.AccountID
	case "identity.apiKey":
		return i.APIKey
	case "identity.apiKeyId":
		return i.APIKeyID
	case "identity.caller":
		return i.Caller
	case "identity.sourceIp":
		return i.SourceIP
	case "identity.user":
		return i.User
	case "identity.userAgent":
		return i.UserAgent
	case "identity.userArn":
		return i.UserARN
	case "identity.accessKey":
		return i.AccessKey
	}
	return ""
}

// Identify reports, as a *Failure, a handshake without one of the values that its
// authorizer asks for (8.3): it is refused without asking.
func (e *Event) Identify() error {
	for i := range e.Route.sources {
		s := &e.Route.sources[i]
		if text, ok := s.value(e); !ok || text == "" {
			return &Failure{NoIdentity, fmt.Errorf("the identity source %s is missing", s.name)}
		}
	}
	return nil
}
