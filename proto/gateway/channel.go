package gateway

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

// joinTime bounds what joining the channels of a $connect may take.
const joinTime = 5 * time.Second

// A join is a channel that a connection is to hear, as its messages are or each in
// an envelope.
type join struct {
	channel  string
	envelope bool
}

// join subscribes the connection to a channel of its own app. The subscription
// hears nothing before its Start; it is nil if there was the same one before.
func (s *session) join(ctx context.Context, j join) (*hub.Sub, error) {
	if err := earshot.CheckChannel(j.channel); err != nil {
		return nil, err // without a name it would be a pattern
	}
	encoding := s.p.plain
	if j.envelope {
		encoding = s.p.wrapped
	}
	for {
		sub, _, err := s.conn.Subscribe(ctx, hub.Join{Channel: j.channel, Encoding: encoding, Tag: encoding, Allowed: true})
		if earshot.AsError(err) == nil || earshot.AsError(err).Reason != "ALREADY_SUBSCRIBED" {
			return sub, err
		}
		if sub.Tag() == encoding {
			return nil, nil
		}
		s.conn.Unsubscribe(sub)
	}
}

func (s *session) leaveChannel(name string) {
	if sub := s.conn.Sub(name); sub != nil {
		s.conn.Unsubscribe(sub)
	}
}

// renderWrapped is a message with its names, as an object: data is a JSON value as
// it is, a text as a string, and bytes as a string in base64, which
// isBase64Encoded says. event is left out where the message has none.
func renderWrapped(m *earshot.Message) *hub.Frame {
	b := append([]byte(`{"channel":`), quote(m.Channel)...)
	if m.Event != "" {
		b = append(append(b, `,"event":`...), quote(m.Event)...)
	}
	b = append(b, `,"data":`...)
	switch {
	case m.Kind == earshot.Text:
		b = append(b, quote(string(m.Data))...)
	case m.Kind == earshot.Binary:
		b = append(append(b, '"'), base64.StdEncoding.EncodeToString(m.Data)...)
		b = append(b, `","isBase64Encoded":true`...)
	case len(m.Data) == 0:
		b = append(b, "null"...)
	default:
		b = append(b, m.Data...)
	}
	return hub.TextFrame(append(b, '}'))
}

// quote is a text as a JSON string.
func quote(s string) []byte {
	b, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		return []byte(`""`) // cannot be: names and texts are UTF-8
	}
	return b
}
