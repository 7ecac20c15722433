package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json/jsontext"
)

// A Request is what an HTTP integration is sent.
type Request struct {
	Method, URL string
	Header      http.Header
	Body        []byte
}

// Request makes the request to the integration of the event's route, which is of
// one of the HTTP types (7.3). It fails, as a *Failure, where the event has
// something that cannot be sent.
func (e *Event) Request() (*Request, error) {
	m := e.Route.mapping
	if m == nil {
		return nil, &Failure{Misconfigured, errors.New("it is no HTTP integration")}
	}
	address, err := m.url(e)
	if err != nil {
		return nil, &Failure{Misconfigured, err}
	}
	r := &Request{Method: m.method, URL: address, Header: http.Header{"User-Agent": {"Earshot"}}}
	if e.Route.Integration.Type == earshot.HTTPEvent {
		r.Method = http.MethodPost
		if r.Body, err = e.JSON(); err != nil {
			return nil, &Failure{Misconfigured, err}
		}
		r.Header.Set("Content-Type", "application/json")
	} else {
		e.carry(r)
	}
	return r, e.mapHeaders(r.Header)
}

// carry takes over the handshake's headers, or the message.
func (e *Event) carry(r *Request) {
	switch e.Type {
	case Connect:
		for _, f := range e.fields(false) {
			if e.forwards(f) {
				r.Header[http.CanonicalHeaderKey(f.Name)] = nil
			}
		}
		for _, f := range e.fields(false) {
			if e.forwards(f) {
				r.Header.Add(f.Name, f.Value)
			}
		}
	case Message:
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return
		}
		r.Body = e.Body
		r.Header.Set("Content-Type", contentType(e.Body, e.Binary))
	}
}

// forwards reports whether an HTTP integration is shown a header of the
// handshake: what asks for a WebSocket would be taken at its word.
func (e *Event) forwards(f Field) bool {
	if ofTheHop(f.Name) || !isToken(f.Name) || !isFieldValue(f.Value) {
		return false
	}
	switch strings.ToLower(f.Name) {
	case "host", "expect":
		return false
	case "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions":
		return e.Route.Integration.ForwardUpgrade
	}
	return true
}

func contentType(body []byte, binary bool) string {
	switch {
	case binary:
		return "application/octet-stream"
	case jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true)):
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// mapHeaders sets what the mapping and the integration's settings say. What they
// name is theirs alone: what a client sent under the name is gone.
func (e *Event) mapHeaders(h http.Header) error {
	if e.Route.Integration.EventHeaders {
		for _, f := range []Field{
			{"X-Connection-Id", e.Conn.ID},
			{"X-Event-Type", e.Type},
			{"X-Route-Key", e.routeKey()},
			{"X-Message-Id", e.MessageID},
			{"X-Request-Id", e.RequestID},
		} {
			h.Del(f.Name)
			if f.Value != "" && isFieldValue(f.Value) {
				h.Set(f.Name, f.Value)
			}
		}
	}
	for i := range e.Route.mapping.headers {
		a := &e.Route.mapping.headers[i]
		h.Del(a.name)
		text, ok := a.from.value(e)
		if !ok {
			continue
		}
		if !isFieldValue(text) {
			return &Failure{Misconfigured, fmt.Errorf("what is mapped to the header %s cannot be sent in one", a.name)}
		}
		h.Set(a.name, text)
	}
	return nil
}
