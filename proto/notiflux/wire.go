package notiflux

import (
	"errors"
	"mime"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What the server says to a command that it does not take (spec B2).
const (
	unknownCommand   = "Unknown command"
	invalidSubscribe = "Invalid subscribe command, it should be: /subscribe <topic> <token>"
)

// A verb is what a command asks for.
type verb uint8

const (
	nothing verb = iota // no command, or one that is answered by its reply alone
	subscribe
	unsubscribe
	unsubscribeAll
)

// A command is one text of a client.
type command struct {
	verb         verb
	topic, token string
	// reply is what a command is answered that asks for nothing; empty for silence.
	reply string
}

// parse reads a text (spec B2). It never fails: what is no command is ignored.
func parse(text string) command {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "/") {
		return command{}
	}
	name, rest, more := strings.Cut(text, " ")
	switch {
	case name == "/subscribe" && more:
		topic, token, ok := strings.Cut(rest, " ")
		if !ok || strings.Contains(token, " ") {
			return command{reply: invalidSubscribe}
		}
		return command{verb: subscribe, topic: topic, token: token}
	case name == "/unsubscribe" && more:
		return command{verb: unsubscribe, topic: rest}
	case name == "/unsubscribe-all" && !more:
		return command{verb: unsubscribeAll}
	}
	return command{reply: unknownCommand}
}

// channelOf is the name of a topic's channel: its own. A topic that cannot be a
// channel is Invalid.
func channelOf(topic string) (string, error) { return topic, earshot.CheckChannel(topic) }

// A broadcast is the body of POST /broadcast.
type broadcast struct{ topic, message, token string }

// isJSON reports whether a Content-Type is one of JSON: …/json or …+json.
func isJSON(contentType string) bool {
	full, _, err := mime.ParseMediaType(contentType)
	_, subtype, _ := strings.Cut(full, "/")
	return err == nil && (subtype == "json" || strings.HasSuffix(subtype, "+json"))
}

// parseBroadcast reads a body (spec B1). Unknown members are ignored.
func parseBroadcast(body []byte) (broadcast, error) {
	var b struct {
		Topic   *string `json:"topic"`
		Message *string `json:"message"`
		Token   *string `json:"token"`
	}
	err := json.Unmarshal(body, &b)
	var wrong *json.SemanticError
	switch {
	case !jsontext.Value(body).IsValid():
		return broadcast{}, errBody("it is not one JSON value in UTF-8 in which each name occurs once")
	case errors.As(err, &wrong) && wrong.JSONPointer != "":
		return broadcast{}, errBody("the member " + string(wrong.JSONPointer)[1:] + " is not a string")
	case err != nil:
		return broadcast{}, errBody("it is not an object")
	case b.Topic == nil:
		return broadcast{}, errBody("missing field `topic`")
	case b.Message == nil:
		return broadcast{}, errBody("missing field `message`")
	case b.Token == nil:
		return broadcast{}, errBody("missing field `token`")
	}
	return broadcast{*b.Topic, *b.Message, *b.Token}, nil
}

// A proof is what a token says, with scope and topics as an identity's grants.
type proof struct {
	scope    string
	identity earshot.Identity
}

// The scopes that a token may have (spec B3).
const (
	scopeSubscribe = "subscribe"
	scopeBroadcast = "broadcast"
)

// parseClaims reads a token's claims (spec B3). exp and aud are judged too where
// package auth is less strict.
func parseClaims(app *earshot.App, claims []byte) (*proof, error) {
	var c struct {
		Sub    *string        `json:"sub"`
		Exp    *uint64        `json:"exp"`
		Aud    jsontext.Value `json:"aud"`
		Topics []*string      `json:"topics"`
		Scope  *string        `json:"scope"`
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		return nil, errClaims("a claim is not of its type")
	}
	switch {
	case c.Sub == nil || c.Exp == nil || c.Topics == nil || c.Scope == nil:
		return nil, errClaims("sub, exp, topics and scope are needed")
	case app.Audience == "" && c.Aud != nil && c.Aud.Kind() != 'n':
		return nil, errClaims("no aud is expected")
	}
	p := &proof{scope: *c.Scope, identity: earshot.Identity{App: app.Slug, UID: *c.Sub, HasUID: true}}
	may, err := actionOf(p.scope)
	if err != nil {
		return nil, err
	}
	for _, topic := range c.Topics {
		if topic == nil {
			return nil, errClaims("a topic is not a string")
		}
		p.identity.Grants = append(p.identity.Grants, earshot.Grant{Channel: earshot.Exact(*topic), Allow: may})
	}
	return p, nil
}

// actionOf is what a scope permits on its topics.
func actionOf(scope string) (earshot.Action, error) {
	switch scope {
	case scopeSubscribe:
		return earshot.Subscribe, nil
	case scopeBroadcast:
		return earshot.Broadcast, nil
	}
	return 0, errScope
}
