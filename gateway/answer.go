package gateway

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot"
)

// Bounds of an answer.
const (
	// MaxReply is how much of an answer can go to a client.
	MaxReply    = 128 << 10
	maxChannels = 100
)

// proxyAnswer is what a function answers (7.2), with Earshot's own join and leave.
type proxyAnswer struct {
	Status            jsontext.Value `json:"statusCode"`
	Headers           jsontext.Value `json:"headers"`
	MultiValueHeaders jsontext.Value `json:"multiValueHeaders"`
	Body              jsontext.Value `json:"body"`
	Base64            jsontext.Value `json:"isBase64Encoded"`
	Join              jsontext.Value `json:"join"`
	Leave             jsontext.Value `json:"leave"`
	Envelope          jsontext.Value `json:"envelope"`
}

func malformed(format string, args ...any) error {
	return &Failure{Malformed, fmt.Errorf("the answer is malformed: "+format, args...)}
}

// ReadProxy reads what an AWS_PROXY or HTTP_EVENT integration answered to the
// event (7.2). An error is a *Failure of kind Malformed.
func (e *Event) ReadProxy(payload []byte) (*Answer, error) {
	empty := len(payload) == 0 || strings.TrimSpace(string(payload[:min(len(payload), 16)])) == "null"
	if e.Type == Disconnect || empty && e.Type == Message && !e.Route.TwoWay() {
		return &Answer{Status: http.StatusOK}, nil
	}
	var v proxyAnswer
	if jsontext.Value(payload).Kind() != '{' {
		return nil, malformed("it is no object")
	}
	if err := json.Unmarshal(payload, &v, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, malformed("%w", err)
	}
	a := &Answer{}
	for _, read := range []func(*proxyAnswer, *Answer) error{readStatus, readHeaders, e.readBody, readChannels} {
		if err := read(&v, a); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func readStatus(v *proxyAnswer, a *Answer) error {
	n, err := strconv.Atoi(string(v.Status))
	if err != nil {
		return malformed("statusCode is missing, or no integer")
	}
	if !validStatus(n) {
		return malformed("statusCode is not between 200 and 599")
	}
	a.Status = n
	return nil
}

// validStatus reports whether a status can end a handshake. What is below 200
// ends nothing.
func validStatus(n int) bool { return n >= 200 && n <= 599 }

// isNull reports whether a member is absent or null.
func isNull(v jsontext.Value) bool { return len(v) == 0 || v.Kind() == 'n' }

func readHeaders(v *proxyAnswer, a *Answer) error {
	found := map[string]jsontext.Value{}
	single, multi := map[string]jsontext.Value{}, map[string][]jsontext.Value{}
	if !isNull(v.MultiValueHeaders) && json.Unmarshal(v.MultiValueHeaders, &multi, jsontext.AllowDuplicateNames(true)) != nil {
		return malformed("multiValueHeaders is no object of arrays")
	}
	if !isNull(v.Headers) && json.Unmarshal(v.Headers, &single, jsontext.AllowDuplicateNames(true)) != nil {
		return malformed("headers is no object")
	}
	for name, values := range multi {
		for _, value := range values {
			found[strings.ToLower(name)] = value
			if k := value.Kind(); k == '{' || k == '[' {
				return malformed("a header has a value that is no text")
			}
		}
	}
	for name, value := range single {
		found[strings.ToLower(name)] = value
		if k := value.Kind(); k == '{' || k == '[' {
			return malformed("a header has a value that is no text")
		}
	}
	return setSubprotocol(a, render(found["sec-websocket-protocol"], maxMapped))
}

// setSubprotocol takes over a Sec-WebSocket-Protocol, which becomes a header of
// the handshake's answer.
func setSubprotocol(a *Answer, chosen string) error {
	if chosen = strings.TrimSpace(chosen); chosen != "" && !isToken(chosen) {
		return malformed("Sec-WebSocket-Protocol is not one protocol")
	}
	a.Subprotocol = chosen
	return nil
}

func (e *Event) readBody(v *proxyAnswer, a *Answer) error {
	encoded := false
	if !isNull(v.Base64) && json.Unmarshal(v.Base64, &encoded) != nil {
		return malformed("isBase64Encoded is no boolean")
	}
	if isNull(v.Body) {
		return nil
	}
	if v.Body.Kind() != '"' {
		return malformed("body is no string")
	}
	body, err := jsontext.AppendUnquote(nil, v.Body)
	if err != nil {
		return malformed("body: %w", err)
	}
	if encoded {
		plain, err := base64.StdEncoding.AppendDecode(nil, body)
		if err != nil {
			return malformed("body is not base64")
		}
		body = plain
	}
	return e.reply(a, body, encoded)
}

// reply takes over what goes to the client, if anything does (7.6).
func (e *Event) reply(a *Answer, body []byte, binary bool) error {
	switch {
	case e.Type != Message || !e.Route.TwoWay() || len(body) == 0:
		return nil
	case len(body) > MaxReply:
		return malformed("the body is longer than %d bytes", MaxReply)
	}
	a.Body, a.Binary = body, binary
	return nil
}

func readChannels(v *proxyAnswer, a *Answer) (err error) {
	if a.Join, err = channels("join", v.Join); err != nil {
		return err
	}
	if !isNull(v.Envelope) && json.Unmarshal(v.Envelope, &a.Envelope) != nil {
		return malformed("envelope is neither true nor false")
	}
	a.Leave, err = channels("leave", v.Leave)
	return err
}

func channels(member string, v jsontext.Value) ([]string, error) {
	if isNull(v) {
		return nil, nil
	}
	var names []string
	if err := json.Unmarshal(v, &names); err != nil {
		return nil, malformed("%s is no array of names", member)
	}
	if len(names) > maxChannels {
		return nil, malformed("%s has more than %d names", member, maxChannels)
	}
	for _, name := range names {
		if err := earshot.CheckChannel(name); err != nil {
			return nil, malformed("%s: %w", member, err)
		}
	}
	return names, nil
}

// ReadHTTP reads what an HTTP or HTTP_PROXY integration answered (7.3): of HTTP,
// the integration response whose key fits the status decides. An error is a
// *Failure.
func (e *Event) ReadHTTP(status int, header http.Header, body []byte) (*Answer, error) {
	if e.Type == Disconnect {
		return &Answer{Status: http.StatusOK}, nil
	}
	if !validStatus(status) {
		return nil, malformed("the status is not between 200 and 599")
	}
	a := &Answer{Status: status}
	if err := setSubprotocol(a, header.Get("Sec-WebSocket-Protocol")); err != nil {
		return nil, err
	}
	if e.Route.Integration.Type == earshot.HTTPPlain {
		r := e.Route.response(status)
		if r == nil {
			return nil, malformed("no integration response is for the status %d", status)
		}
		body = r.apply(a, body)
	}
	return a, e.reply(a, body, !utf8.Valid(body))
}

// Mock is what a MOCK integration answers: 200, or what the integration response
// for that says (7.5).
func (e *Event) Mock() (*Answer, error) {
	a := &Answer{Status: http.StatusOK}
	var body []byte
	if r := e.Route.response(a.Status); r != nil {
		body = r.apply(a, nil)
	}
	if e.Type == Disconnect {
		a.Status = http.StatusOK
	}
	return a, e.reply(a, body, false)
}

// FailureOf returns the Failure in err, or one of kind Unreachable; nil for nil.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Unreachable, err}
}
