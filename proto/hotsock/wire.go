package hotsock

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

// A request is one message of a client (spec §2.2).
type request struct {
	// key is that of an entry of the channel's storage.
	event, channel, key string
	// data is the raw JSON value, nil if there is none; it points into the message.
	data []byte
	// expression says when to carry out, zone by whose clocks; empty for none.
	expression, zone string
}

// A parser reads requests. It is safe for concurrent use.
type parser struct{ pool sync.Pool }

// A reader is a decoder and the buffer that it reads from.
type reader struct {
	buffer  bytes.Buffer
	decoder jsontext.Decoder
}

// parse reads one message strictly: it is one JSON object in valid UTF-8, a name
// occurs once, and known members have their types. A null is as good as absent.
// Unknown members are ignored.
func (p *parser) parse(in hub.Input) (request, error) {
	if in.Op != hub.Text {
		return request{}, malformed("messages are text frames")
	}
	r, _ := p.pool.Get().(*reader)
	if r == nil {
		r = &reader{}
	}
	r.buffer = *bytes.NewBuffer(in.Data)
	r.decoder.Reset(&r.buffer)
	q, err := r.request(in.Data)
	p.pool.Put(r) // with the last message that it read, until the next one
	if err != nil {
		return request{}, explain(in.Data, err)
	}
	return q, nil
}

var (
	errNotObject  = malformed("the message is not one JSON object")
	errDuplicate  = malformed("a member's name occurs twice")
	errNotUTF8    = malformed("the message is not valid UTF-8")
	errEvent      = malformed("event must be a string")
	errNoEvent    = malformed("event is missing")
	errNoChannel  = malformed("channel is missing")
	errChannel    = malformed("channel must be a string")
	errKey        = malformed("key must be a string")
	errExpression = malformed("scheduleExpression must be a string")
	errZone       = malformed("scheduleExpressionTimezone must be a string")
)

func malformed(text string) *earshot.Error {
	return &earshot.Error{Code: earshot.Invalid, Text: text}
}

// explain says in our words what the decoder did not like.
func explain(data []byte, err error) error {
	var ours *earshot.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errDuplicate
	case !utf8.Valid(data):
		return errNotUTF8
	}
	return errNotObject
}

func (r *reader) request(data []byte) (q request, err error) {
	d := &r.decoder
	if d.PeekKind() != '{' {
		return q, errNotObject
	}
	if _, err := d.ReadToken(); err != nil {
		return q, err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return q, err
		}
		if bytes.IndexByte(name, '\\') >= 0 {
			name = plain(name)
		}
		if err := r.member(&q, name, data); err != nil {
			return q, err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return q, err
	}
	if err := r.end(data); err != nil {
		return q, err
	}
	if q.event == "" {
		return q, errNoEvent
	}
	return q, nil
}

// end checks that nothing but white space follows.
func (r *reader) end(data []byte) error {
	for _, c := range data[r.decoder.InputOffset():] {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return errNotObject
		}
	}
	return nil
}

// plain returns a quoted name with as few escapes as can be.
func plain(quoted []byte) []byte {
	b, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return quoted
	}
	b, err = jsontext.AppendQuote(nil, b)
	if err != nil {
		return quoted
	}
	return b
}

// member reads the value of one member into q.
func (r *reader) member(q *request, name, data []byte) error {
	switch string(name) {
	case `"event"`:
		return r.text(&q.event, errEvent)
	case `"channel"`:
		return r.text(&q.channel, errChannel)
	case `"key"`:
		return r.text(&q.key, errKey)
	case `"scheduleExpression"`:
		return r.text(&q.expression, errExpression)
	case `"scheduleExpressionTimezone"`:
		return r.text(&q.zone, errZone)
	case `"data"`:
		v, err := r.decoder.ReadValue()
		end := int(r.decoder.InputOffset())
		q.data = data[end-len(v) : end : end]
		return err
	}
	return r.decoder.SkipValue()
}

// text reads a string or null into s.
func (r *reader) text(s *string, wrong error) error {
	switch r.decoder.PeekKind() {
	case '"':
		v, err := r.decoder.ReadValue()
		if err != nil {
			return err
		}
		if bytes.IndexByte(v, '\\') < 0 {
			*s = string(v[1 : len(v)-1])
			return nil
		}
		b, err := jsontext.AppendUnquote(nil, v)
		*s = string(b)
		return err
	case 'n':
		return r.decoder.SkipValue()
	case 0:
		return r.decoder.SkipValue() // the decoder says what is wrong
	}
	return wrong
}

// What follows builds frames by appending.

// quote appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func quote(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

// who appends "uid" and "umd", null where there is none.
func who(b []byte, uid string, hasUID bool, umd []byte) []byte {
	b = append(b, `"uid":`...)
	if hasUID {
		b = quote(b, uid)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"umd":`...)
	if umd == nil {
		return append(b, "null"...)
	}
	return append(b, umd...)
}

// meta appends the member "meta" of who somebody is, and perhaps an alias.
func meta(b []byte, id earshot.Sender, alias string) []byte {
	b = append(b, `"meta":{`...)
	if alias != "" {
		b = append(quote(append(b, `"channelAlias":`...), alias), ',')
	}
	return append(who(b, id.UID, id.HasUID, id.Meta), '}')
}

// payload appends the members that carry a message's data. Text is a JSON
// string; binary is a string of base64 with "encoding":"base64" beside it.
func payload(b []byte, m *earshot.Message) []byte {
	b = append(b, `"data":`...)
	switch {
	case m.Kind == earshot.Binary:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, m.Data)
		return append(b, `","encoding":"base64"`...)
	case m.Kind == earshot.Text:
		b, _ = jsontext.AppendQuote(b, m.Data)
		return b
	case len(m.Data) == 0:
		return append(b, "null"...)
	}
	return append(b, m.Data...)
}

// anyEvent is the event's name of a message that has none.
const anyEvent = "message"

// message appends a message (spec §2.4). History shows meta of every message,
// live delivery only of those that a client sent.
func message(b []byte, m *earshot.Message, history bool) []byte {
	b = append(b, `{"id":"`...)
	b, _ = m.ID.AppendText(b) // fails for a short buffer only
	b = append(b, `","event":`...)
	if m.Event == "" {
		b = quote(b, anyEvent)
	} else {
		b = quote(b, m.Event)
	}
	b = quote(append(b, `,"channel":`...), m.Channel)
	b = payload(append(b, ','), m)
	if m.Sender != nil || history {
		b = sender(append(b, ','), m.Sender)
	}
	return append(b, '}')
}

// render makes the frame of a message for all subscribers. A message whose
// event is one of the protocol's own would pass for the server's word, so it is
// not delivered.
func render(m *earshot.Message) *hub.Frame {
	if m.Notice != earshot.NoNotice {
		return notice(m)
	}
	if strings.HasPrefix(m.Event, reserved) {
		return nil
	}
	size := 128 + len(m.Event) + len(m.Channel) + len(m.Data)
	if m.Kind == earshot.Binary {
		size += len(m.Data)/3 + 4
	}
	if m.Sender != nil {
		size += len(m.Sender.UID) + len(m.Sender.Meta)
	}
	return hub.TextFrame(message(make([]byte, 0, size), m, false))
}

// at appends a moment in RFC 3339, UTC, whole seconds.
func at(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339) }

func connected(id earshot.ConnID, secret string, expires time.Time, who earshot.Sender) *hub.Frame {
	b := append(make([]byte, 0, 224), `{"event":"hotsock.connected","data":{"connectionId":"`...)
	b = append(append(b, id.String()...), `","connectionExpiresAt":"`...)
	b = append(append(at(b, expires), `","connectionSecret":"`...), secret...)
	return hub.TextFrame(append(meta(append(b, `"},`...), who, ""), '}'))
}

// A confirmation is what a subscribed says beside channel and identity.
type confirmation struct {
	auto bool
	// resumed says that a position was asked for, recovered that nothing after
	// it was lost.
	resumed, recovered bool
	// ticket lets a later subscribe resume; empty for none.
	ticket string
	// present says that the channel has members, which are these.
	present bool
	members []hub.Member
}

func subscribed(channel, alias string, id earshot.Sender, c confirmation) *hub.Frame {
	b := quote(append(make([]byte, 0, 128+len(channel)+64*len(c.members)), `{"event":"hotsock.subscribed","channel":`...), channel)
	b = append(b, `,"data":{`...)
	if c.auto {
		b = append(b, `"autoSubscribed":true,`...)
	}
	if c.resumed {
		b = append(strconv.AppendBool(append(b, `"recovered":`...), c.recovered), ',')
	}
	if c.ticket != "" {
		b = append(append(append(b, `"resume":"`...), c.ticket...), `",`...) // base64
	}
	if c.present {
		b = append(members(b, c.members), ',')
	}
	b = append(bytes.TrimSuffix(b, []byte{','}), "},"...)
	return hub.TextFrame(append(meta(b, id, alias), '}'))
}

func unsubscribed(channel, alias string, id earshot.Sender) *hub.Frame {
	b := quote(append(make([]byte, 0, 96+len(channel)), `{"event":"hotsock.unsubscribed","channel":`...), channel)
	b = append(b, `,"data":{}`...)
	if alias != "" {
		b = meta(append(b, ','), id, alias)
	}
	return hub.TextFrame(append(b, '}'))
}

// refreshed confirms a newer token; it says when that one expires.
func refreshed(expires time.Time, id earshot.Sender) *hub.Frame {
	b := append(make([]byte, 0, 128), `{"event":"hotsock.refreshed","data":{"tokenExpiresAt":"`...)
	b = append(at(b, expires), `"},`...)
	return hub.TextFrame(append(meta(b, id, ""), '}'))
}

// updated confirms newer metadata, of the connection if channel is empty.
func updated(channel, alias string, id earshot.Sender) *hub.Frame {
	b := append(make([]byte, 0, 128+len(channel)+len(id.Meta)), `{"event":"hotsock.umdUpdated",`...)
	if channel != "" {
		b = append(quote(append(b, `"channel":`...), channel), ',')
	}
	return hub.TextFrame(append(meta(append(b, `"data":{},`...), id, alias), '}'))
}

// failure is the frame of an error, about a channel if that is not empty.
func failure(channel, alias string, f fault) *hub.Frame {
	b := append(make([]byte, 0, 192), `{"event":"hotsock.error",`...)
	if channel != "" {
		b = append(quote(append(b, `"channel":`...), channel), ',')
	}
	b = append(f.append(append(b, `"error":`...)), '}')
	if alias != "" {
		b = append(quote(append(b[:len(b)-1], `,"meta":{"channelAlias":`...), alias), "}}"...)
	}
	return hub.TextFrame(b)
}

// append appends the error object: what clients know is its code; message and
// reason are for people.
func (f fault) append(b []byte) []byte {
	b = quote(append(b, `{"code":`...), f.code)
	if f.reason != "" {
		b = quote(append(b, `,"reason":`...), f.reason)
	}
	return append(quote(append(b, `,"message":`...), f.text), '}')
}
