package phoenix

import (
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

// Names that only the server says.
const (
	reserved      = "phx_"
	presenceState = "presence_state"
	presenceDiff  = "presence_diff"
)

// anyEvent is the event's name of a message that has none.
const anyEvent = "message"

// encodings are how one kind of clients is sent messages, for those that hear who is present
// and those that do not.
type encodings struct{ plain, present *hub.Encoding }

func newEncodings(v version, binary bool) encodings {
	render := v.render
	if !binary {
		render = func(m *earshot.Message) *hub.Frame {
			if m.Kind == earshot.Binary {
				return nil
			}
			return v.render(m)
		}
	}
	return encodings{
		plain:   &hub.Encoding{Name: "phoenix", Render: render},
		present: &hub.Encoding{Name: "phoenix presence", Render: render, Notices: true},
	}
}

// render makes the broadcast of a message (B.3.2). What would pass for the
// server's word, and what the version has no words for, is not delivered.
func (v version) render(m *earshot.Message) *hub.Frame {
	switch {
	case m.Notice != earshot.NoNotice:
		return v.notice(m)
	case forged(m):
		return nil
	}
	event := eventOf(m)
	if m.Kind != earshot.Binary {
		return v.text("", "", topicOf(m.Channel), event, payloadOf(m))
	}
	if v == v1 {
		return nil
	}
	return pack(binaryBroadcast, m.Data, topicOf(m.Channel), event)
}

// forged reports whether a message would pass for what the server itself says.
// The application's own server may say who is present.
func forged(m *earshot.Message) bool {
	if strings.HasPrefix(m.Event, reserved) {
		return true
	}
	return m.Sender != nil && (m.Event == presenceState || m.Event == presenceDiff)
}

// channelOf is the channel of a topic: the one of that very name, in the app that
// the topic or the connection names.
func channelOf(topic string) string { return topic }

// topicOf is the topic of a channel.
func topicOf(channel string) string { return channel }

// eventOf is the event under which a message is heard: its own.
func eventOf(m *earshot.Message) string {
	if m.Event == "" {
		return anyEvent
	}
	return m.Event
}

// payloadOf is the payload of a message that is not binary: its JSON as it is, a
// text as a JSON string. Every client reads members of the payload, so that null
// becomes an empty object (B.10).
func payloadOf(m *earshot.Message) []byte {
	switch {
	case m.Kind == earshot.Text:
		b, _ := jsontext.AppendQuote(nil, m.Data) // valid UTF-8, as every text
		return b
	case len(m.Data) == 0 || jsontext.Value(m.Data).Kind() == 'n':
		return []byte("{}")
	}
	return m.Data
}

// messageOf is the message of what a client pushes to a topic.
func messageOf(f *frame) *earshot.Message {
	m := &earshot.Message{Channel: channelOf(f.topic), Event: f.event, Kind: earshot.JSON, Data: f.payload}
	if f.binary {
		m.Kind = earshot.Binary
	}
	return m
}

// slugOf is the part of a topic that may name an app: the second one, between
// colons; empty if there is none.
func slugOf(topic string) string {
	_, rest, _ := strings.Cut(topic, ":")
	slug, _, _ := strings.Cut(rest, ":")
	return slug
}
