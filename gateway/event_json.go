package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// requestTimeForm is how requestTime is written (6.4).
const requestTimeForm = "02/Jan/2006:15:04:05 -0700"

// latencyName is what an authorizer's own figure is called among its values.
const latencyName = "integrationLatency"

type eventJSON struct {
	Type              string              `json:"type,omitzero"`
	MethodARN         string              `json:"methodArn,omitzero"`
	Headers           map[string]string   `json:"headers,omitzero"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitzero"`
	Query             map[string]string   `json:"queryStringParameters,omitzero"`
	MultiValueQuery   map[string][]string `json:"multiValueQueryStringParameters,omitzero"`
	StageVariables    map[string]string   `json:"stageVariables,omitzero"`
	Context           contextJSON         `json:"requestContext"`
	Body              *string             `json:"body,omitzero"`
	Base64            *bool               `json:"isBase64Encoded,omitzero"`
}

type contextJSON struct {
	RouteKey          string         `json:"routeKey"`
	DisconnectCode    *int           `json:"disconnectStatusCode,omitzero"`
	Authorizer        map[string]any `json:"authorizer,omitzero"`
	MessageID         string         `json:"messageId,omitzero"`
	EventType         string         `json:"eventType"`
	ExtendedRequestID string         `json:"extendedRequestId"`
	RequestTime       string         `json:"requestTime"`
	Direction         string         `json:"messageDirection"`
	DisconnectReason  *string        `json:"disconnectReason,omitzero"`
	Stage             string         `json:"stage"`
	ConnectedAt       int64          `json:"connectedAt"`
	RequestTimeEpoch  int64          `json:"requestTimeEpoch"`
	Identity          identityJSON   `json:"identity"`
	RequestID         string         `json:"requestId"`
	DomainName        string         `json:"domainName"`
	ConnectionID      string         `json:"connectionId"`
	APIID             string         `json:"apiId"`
}

type identityJSON struct {
	AccountID string `json:"accountId,omitzero"`
	APIKey    string `json:"apiKey,omitzero"`
	APIKeyID  string `json:"apiKeyId,omitzero"`
	Caller    string `json:"caller,omitzero"`
	AccessKey string `json:"accessKey,omitzero"`
	User      string `json:"user,omitzero"`
	UserARN   string `json:"userArn,omitzero"`
	UserAgent string `json:"userAgent,omitzero"`
	SourceIP  string `json:"sourceIp"`
}

// JSON renders the event for an integration (6.1 to 6.3).
func (e *Event) JSON() ([]byte, error) {
	encoded := e.Binary
	v := eventJSON{Context: e.context(), Base64: &encoded}
	if len(e.Stage.Variables) > 0 {
		v.StageVariables = e.Stage.Variables
	}
	switch e.Type {
	case Connect:
		v.Headers, v.MultiValueHeaders = byName(e.fields(false))
		v.Query, v.MultiValueQuery = e.query()
	case Disconnect:
		v.Headers, v.MultiValueHeaders = byName([]Field{{"Host", e.Conn.Domain}, {"x-api-key", ""}, {"X-Forwarded-For", ""}, {"x-restapi", ""}})
	case Message:
		body := string(e.Body)
		if e.Binary {
			body = base64.StdEncoding.EncodeToString(e.Body)
		}
		v.Body = &body
	}
	return marshal(&v)
}

// AuthorizerJSON renders the event for an authorizer (8.2).
func (e *Event) AuthorizerJSON() ([]byte, error) {
	v := eventJSON{Type: "REQUEST", MethodARN: e.Stage.API.ARN(e.Stage.Name, ConnectRoute), Context: e.context()}
	v.Context.Authorizer = nil
	v.Headers, v.MultiValueHeaders = byName(e.fields(true))
	v.Query, v.MultiValueQuery = e.query()
	if v.Query == nil {
		v.Query, v.MultiValueQuery = map[string]string{}, map[string][]string{}
	}
	if v.StageVariables = e.Stage.Variables; v.StageVariables == nil {
		v.StageVariables = map[string]string{}
	}
	return marshal(&v)
}

func marshal(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
}

func (e *Event) context() contextJSON {
	c := contextJSON{
		RouteKey: e.routeKey(), Authorizer: e.authorizer(), EventType: e.Type, ExtendedRequestID: e.RequestID, RequestID: e.RequestID,
		RequestTime: e.Time.UTC().Format(requestTimeForm), RequestTimeEpoch: e.Time.UnixMilli(), Direction: "IN",
		Stage: e.Stage.Name, ConnectedAt: e.Conn.ConnectedAt.UnixMilli(), Identity: e.identity(),
		DomainName: e.Conn.Domain, ConnectionID: e.Conn.ID, APIID: e.Stage.API.ID,
	}
	switch e.Type {
	case Message:
		c.MessageID = e.MessageID
	case Disconnect:
		c.DisconnectCode, c.DisconnectReason = &e.Code, &e.Reason
	}
	return c
}

// routeKey is that of the route that runs.
func (e *Event) routeKey() string {
	if e.Route == nil {
		return ""
	}
	return e.Route.Key
}

// authorizer is what the authorizer said, as texts; what it took to ask is a
// number, and of the handshake alone.
func (e *Event) authorizer() map[string]any {
	if e.Conn.Authorizer == nil {
		return nil
	}
	m := make(map[string]any, len(e.Conn.Authorizer))
	for k, v := range e.Conn.Authorizer {
		if k != latencyName {
			m[k] = v
			continue
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && e.Type == Connect {
			m[k] = n
		}
	}
	return m
}

func (e *Event) identity() identityJSON {
	c := e.Conn
	i := identityJSON{APIKey: c.APIKey, APIKeyID: c.APIKeyID, AccessKey: c.AccessKey, UserAgent: c.UserAgent, SourceIP: c.SourceIP}
	if c.AccessKey != "" {
		i.AccountID, i.Caller, i.User = e.Stage.API.account(), c.AccessKey, c.AccessKey
		i.UserARN = "arn:aws:iam::" + i.AccountID + ":user/" + c.AccessKey
	}
	return i
}

// query is the handshake's, nil if there is none: the last value counts.
func (e *Event) query() (last map[string]string, all map[string][]string) {
	if e.Handshake == nil || len(e.Handshake.Query) == 0 {
		return nil, nil
	}
	last = make(map[string]string, len(e.Handshake.Query))
	for name, values := range e.Handshake.Query {
		if len(values) > 0 {
			last[name] = values[len(values)-1]
		}
	}
	return last, e.Handshake.Query
}

// fields are the headers of a handshake as events have them. Those of the upgrade
// are the authorizer's alone (6.1, 8.2).
func (e *Event) fields(upgrade bool) []Field {
	h := e.Handshake
	if h == nil {
		return nil
	}
	all := make([]Field, 0, len(h.Header)+6)
	host, trace := false, false
	for _, f := range h.Header {
		switch strings.ToLower(f.Name) {
		case "connection", "upgrade", "content-length", "transfer-encoding", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto":
			continue
		case "host":
			host = true
		case "x-amzn-trace-id":
			trace = true
		}
		all = append(all, f)
	}
	if upgrade {
		all = append(all, Field{"Connection", "upgrade"}, Field{"Upgrade", "websocket"}, Field{"content-length", "0"})
	}
	if !host {
		all = append(all, Field{"Host", e.Conn.Domain})
	}
	if !trace {
		all = append(all, Field{"X-Amzn-Trace-Id", traceID(e.Conn)})
	}
	for _, f := range []Field{{"X-Forwarded-For", h.ForwardedFor}, {"X-Forwarded-Port", h.ForwardedPort}, {"X-Forwarded-Proto", h.ForwardedProto}} {
		if f.Value != "" {
			all = append(all, f)
		}
	}
	return all
}

// traceID is a root of X-Ray's form that is the connection's own, so that
// authorizer and integration are told the same one.
func traceID(c *Connection) string {
	sum := sha256.Sum256([]byte(c.ID))
	return fmt.Sprintf("Root=1-%08x-%s", uint32(c.ConnectedAt.Truncate(time.Second).Unix()), hex.EncodeToString(sum[:12]))
}

// byName collects fields by their names, whose first spelling counts, as does the
// last value.
func byName(fields []Field) (last map[string]string, all map[string][]string) {
	last, all = make(map[string]string, len(fields)), make(map[string][]string, len(fields))
	spelled := make(map[string]string, len(fields))
	for _, f := range fields {
		lower := strings.ToLower(f.Name)
		name, ok := spelled[lower]
		if !ok {
			name = f.Name
			spelled[lower] = name
		}
		last[name], all[name] = f.Value, append(all[name], f.Value)
	}
	return last, all
}
