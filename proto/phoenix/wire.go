package phoenix

import (
	"bytes"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

// A version is one of the two serializers (B.3).
type version uint8

const (
	v1 version = 1
	v2 version = 2
)

// A ref is a reference as the client wrote it in JSON, a string or a number, so
// that it is echoed as it came; empty is null.
type ref string

// maxName is how many bytes an event's or a reference's text may have, since more
// cannot be said in a binary frame (B.3.3); so may a topic's in such a frame.
const maxName = 255

// The kinds of binary frames (B.3.3).
const (
	binaryPush      = 0
	binaryReply     = 1
	binaryBroadcast = 2
)

// A frame is one message of a client.
type frame struct {
	join, ref    ref
	topic, event string
	// payload is the raw JSON value, or the bytes of a binary push. It points into
	// the message.
	payload []byte
	binary  bool
}

// What a frame can be refused for; each ends the connection (B.3.4).
var (
	errNotJSON  = &earshot.Error{Code: earshot.Invalid, Reason: notText, Text: "the message is not one JSON value of the serializer in valid UTF-8"}
	errBinaryV1 = &earshot.Error{Code: earshot.Invalid, Reason: notBinary, Text: "the serializer 1.0.0 has no binary messages"}
	errBinary   = &earshot.Error{Code: earshot.Invalid, Reason: notText, Text: "the binary message is not a push"}
	errFields   = &earshot.Error{Code: earshot.Invalid, Text: "topic, event, payload and ref are needed, and of the right type; a ref has 255 bytes at the most"}
)

// parse reads one message of a client (B.3).
func (v version) parse(in hub.Input) (frame, error) {
	switch {
	case in.Op == hub.Binary && v == v1:
		return frame{}, errBinaryV1
	case in.Op == hub.Binary:
		return parseBinary(in.Data)
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(in.Data))
	value, err := d.ReadValue()
	if err != nil || len(bytes.Trim(in.Data[d.InputOffset():], " \t\r\n")) > 0 {
		return frame{}, errNotJSON
	}
	if v == v1 {
		return parseObject(value)
	}
	return parseArray(value)
}

// parseArray reads a message of V2 (B.3.2). Further elements are ignored.
func parseArray(value jsontext.Value) (f frame, err error) {
	if value.Kind() != '[' {
		return f, errNotJSON
	}
	d := jsontext.NewDecoder(bytes.NewReader(value))
	if _, err := d.ReadToken(); err != nil {
		return f, errNotJSON
	}
	for i := 0; i < 5; i++ {
		if d.PeekKind() == ']' {
			return f, errFields
		}
		v, err := d.ReadValue()
		if err != nil {
			return f, errNotJSON
		}
		if err := f.set(i, v); err != nil {
			return f, err
		}
	}
	return f, nil
}

// field is the place that a member of V1 has among the elements of V2; -1 for none.
func field(name string) int {
	switch name {
	case "join_ref":
		return 0
	case "ref":
		return 1
	case "topic":
		return 2
	case "event":
		return 3
	case "payload":
		return 4
	}
	return -1
}

// parseObject reads a message of V1 (B.3.1). join_ref may be absent; unknown
// members are ignored.
func parseObject(value jsontext.Value) (f frame, err error) {
	if value.Kind() != '{' {
		return f, errNotJSON
	}
	d := jsontext.NewDecoder(bytes.NewReader(value))
	if _, err := d.ReadToken(); err != nil {
		return f, errNotJSON
	}
	seen := 0
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return f, errNotJSON
		}
		i := field(name.String())
		v, err := d.ReadValue()
		if err != nil {
			return f, errNotJSON
		}
		if i < 0 {
			continue
		}
		if err := f.set(i, v); err != nil {
			return f, err
		}
		seen |= 1 << i
	}
	if seen|1 != 0b11111 {
		return f, errFields
	}
	return f, nil
}

// set enters one of the five fields.
func (f *frame) set(i int, v jsontext.Value) (err error) {
	switch i {
	case 0:
		f.join, err = readRef(v)
	case 1:
		f.ref, err = readRef(v)
	case 2:
		f.topic, err = readName(v)
	case 3:
		f.event, err = readName(v)
	case 4:
		f.payload = bytes.Clone(v)
	}
	return err
}

// readRef reads a reference: a string, a number or null.
func readRef(v jsontext.Value) (ref, error) {
	switch v.Kind() {
	case 'n':
		return "", nil
	case '0', '"':
		if len(v) <= maxName+2 {
			return ref(v), nil
		}
	}
	return "", errFields
}

func readName(v jsontext.Value) (string, error) {
	if v.Kind() != '"' {
		return "", errFields
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "", errNotJSON
	}
	return string(b), nil
}

// parseBinary reads a client's push (B.3.3): the kind, four sizes, four texts,
// and then the data.
func parseBinary(b []byte) (f frame, err error) {
	if len(b) < 5 || b[0] != binaryPush {
		return f, errBinary
	}
	sizes, rest := b[1:5], b[5:]
	var texts [4]string
	for i, n := range sizes {
		if len(rest) < int(n) || !utf8.Valid(rest[:n]) {
			return f, errBinary
		}
		texts[i], rest = string(rest[:n]), rest[n:]
	}
	f = frame{join: quoted(texts[0]), ref: quoted(texts[1]), topic: texts[2], event: texts[3], payload: bytes.Clone(rest), binary: true}
	return f, nil
}

// quoted is the reference of a text; a text without bytes is null.
func quoted(text string) ref {
	if text == "" {
		return ""
	}
	return ref(quote(nil, text))
}

// quote appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func quote(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

// append appends the reference as it came, or null.
func (r ref) append(b []byte) []byte {
	if r == "" {
		return append(b, "null"...)
	}
	return append(b, r...)
}

// text is what the server sends in a text frame (B.3.1, B.3.2).
func (v version) text(join, r ref, topic, event string, payload []byte) *hub.Frame {
	b := make([]byte, 0, 64+len(join)+len(r)+len(topic)+len(event)+len(payload))
	if v == v1 {
		b = quote(append(b, `{"topic":`...), topic)
		b = quote(append(b, `,"event":`...), event)
		b = append(append(b, `,"payload":`...), payload...)
		return hub.TextFrame(append(r.append(append(b, `,"ref":`...)), '}'))
	}
	b = append(join.append(append(b, '[')), ',')
	b = quote(append(r.append(b), ','), topic)
	b = quote(append(b, ','), event)
	return hub.TextFrame(append(append(append(b, ','), payload...), ']'))
}

// reply answers a message (B.3.2).
func (v version) reply(join, r ref, topic, status string, response []byte) *hub.Frame {
	b := append(make([]byte, 0, 40+len(response)), `{"status":"`...)
	b = append(append(b, status...), `","response":`...)
	return v.text(join, r, topic, "phx_reply", append(append(b, response...), '}'))
}

// closed says that a membership ended as it should, or was left (B.4).
func (v version) closed(join ref, topic string) *hub.Frame {
	return v.text(join, join, topic, "phx_close", []byte("{}"))
}

// failed says that a membership ended in a way that is worth a new join.
func (v version) failed(join ref, topic string, reason string) *hub.Frame {
	return v.text(join, join, topic, "phx_error", because(reason))
}

// because is the response of what was refused.
func because(reason string) []byte {
	return append(quote([]byte(`{"reason":`), reason), '}')
}

// pack is a binary frame: kind, sizes, texts, data (B.3.3). It is nil if a text
// is too long to be said in one.
func pack(kind byte, data []byte, texts ...string) *hub.Frame {
	size := 1 + len(data)
	for _, t := range texts {
		if len(t) > maxName {
			return nil
		}
		size += 1 + len(t)
	}
	b := append(make([]byte, 0, size), kind)
	for _, t := range texts {
		b = append(b, byte(len(t)))
	}
	for _, t := range texts {
		b = append(b, t...)
	}
	return hub.BinaryFrame(append(b, data...))
}
