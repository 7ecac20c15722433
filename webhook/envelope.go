package webhook

import (
	"encoding/base64"
	"net/netip"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// The names of the envelope. version is the server version whose envelopes these
// are: receivers look at it to know what to expect.
const (
	source  = "hotsock.v1"
	prefix  = "hotsock."
	version = "1.13.5"
)

// An envelope is an event as receivers see it.
type envelope struct {
	Source   string   `json:"source"`
	Type     string   `json:"type"`
	Metadata metadata `json:"metadata"`
	Data     any      `json:"data"`
	DataType string   `json:"dataType"`
}

// metadata are texts only, so that queues can filter by them.
type metadata struct {
	Channel      string `json:"channel,omitzero"`
	ConnectionID string `json:"connectionId,omitzero"`
	Event        string `json:"event,omitzero"`
	Version      string `json:"hotsockVersion"`
	Key          string `json:"key,omitzero"`
	Reaction     string `json:"reaction,omitzero"`
	RequestID    string `json:"requestId,omitzero"`
	SourceIP     string `json:"sourceIp,omitzero"`
	Trigger      string `json:"trigger,omitzero"`
	UserAgent    string `json:"userAgent,omitzero"`
}

type connectionData struct {
	ID             string         `json:"id"`
	ConnectedAt    string         `json:"connectedAt"`
	DisconnectedAt *string        `json:"disconnectedAt"`
	KeepAlive      bool           `json:"keepAlive"`
	SourceIP       *string        `json:"sourceIp"`
	UID            *string        `json:"uid"`
	UMD            jsontext.Value `json:"umd"`
	UserAgent      *string        `json:"userAgent"`
}

type subscriptionData struct {
	Channel      string         `json:"channel"`
	ConnectionID string         `json:"connectionId"`
	UID          *string        `json:"uid"`
	UMD          jsontext.Value `json:"umd"`
}

type channelData struct {
	Name  string `json:"name"`
	Count int    `json:"subscriptionsCount"`
}

type messageData struct {
	Channel string         `json:"channel"`
	Event   string         `json:"event"`
	ID      *string        `json:"id"`
	Data    jsontext.Value `json:"data"`
	// Encoding says how data holds what is not text.
	Encoding string `json:"encoding,omitzero"`
	Meta     *user  `json:"meta,omitzero"`
}

// user is who did it: members that are not known are null.
type user struct {
	UID *string        `json:"uid"`
	UMD jsontext.Value `json:"umd"`
}

type memberData struct {
	UID     string         `json:"uid"`
	UMD     jsontext.Value `json:"umd"`
	Members []user         `json:"members"`
}

type entryData struct {
	Channel  string         `json:"channel"`
	Key      string         `json:"key"`
	Data     jsontext.Value `json:"data"`
	Previous jsontext.Value `json:"dataPrevious"`
	Expired  bool           `json:"expired"`
	Expires  *string        `json:"expiresAt"`
	Meta     user           `json:"meta"`
}

type reactionData struct {
	Channel   string         `json:"channel"`
	MessageID string         `json:"messageId"`
	ID        *string        `json:"id"`
	Reaction  string         `json:"reaction"`
	UID       string         `json:"uid"`
	UMD       jsontext.Value `json:"umd"`
	Created   string         `json:"createdAt"`
	Expires   *string        `json:"expiresAt"`
}

// render makes the envelope of an event whose id is given: it stands for the
// request's where there was none.
func render(e *hub.Event, id string) ([]byte, error) {
	v := envelope{Source: source, Type: prefix + string(e.Type), Metadata: metadata{Channel: e.Channel, Version: version}}
	switch e.Type {
	case hub.Connected, hub.Disconnected, hub.ConnectionUpdated:
		v.DataType, v.Data = "connection", connection(e.Conn)
	case hub.Subscribed, hub.Unsubscribed:
		v.DataType, v.Data = "subscription", subscription(e)
	case hub.ChannelUpdated:
		v.DataType, v.Data = "channel", channelData{e.Channel, e.Count}
	case hub.MessagePublished:
		v.DataType, v.Data = "message", message(e.Message)
		v.Metadata.Event, v.Metadata.RequestID = e.Message.Event, id
		v.Metadata.of(e.Origin)
	case hub.MemberAdded, hub.MemberUpdated, hub.MemberRemoved:
		v.DataType, v.Data = "channelMember", member(e)
	case hub.EntryChanged:
		v.DataType, v.Data = "channelStorage", entry(e)
		v.Metadata.Key = e.Message.Key
		v.Metadata.of(e.Origin)
		v.Metadata.RequestID = "" // the type has none
	case hub.ReactionAdded, hub.ReactionRemoved:
		v.DataType, v.Data = "messageReaction", reaction(e)
		v.Metadata.Reaction, v.Metadata.RequestID = e.Reaction.Value, id
		v.Metadata.of(e.Origin)
	}
	// What clients have sent was checked when it came in.
	return json.Marshal(&v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// of adds where the request came from.
func (m *metadata) of(o *hub.Origin) {
	if o == nil {
		return
	}
	if o.RequestID != "" {
		m.RequestID = o.RequestID
	}
	if !o.Conn.IsZero() {
		m.ConnectionID = o.Conn.String()
	}
	m.SourceIP, m.Trigger, m.UserAgent = address(o.Remote), string(o.Trigger), o.UserAgent
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

func connection(c *hub.EventConn) connectionData {
	return connectionData{
		ID: c.ID.String(), ConnectedAt: nano(c.Opened), DisconnectedAt: moment(c.Closed), KeepAlive: c.KeepAlive,
		SourceIP: text(address(c.Remote)), UID: named(c.UID, c.HasUID), UMD: value(c.Meta), UserAgent: text(c.UserAgent),
	}
}

func subscription(e *hub.Event) subscriptionData {
	c := e.Conn
	return subscriptionData{Channel: e.Channel, ConnectionID: c.ID.String(), UID: named(c.UID, c.HasUID), UMD: value(c.Meta)}
}

func message(m *earshot.Message) messageData {
	v := messageData{Channel: m.Channel, Event: m.Event, Data: value(m.Data)}
	if !m.ID.IsZero() {
		v.ID = text(m.ID.String())
	}
	switch m.Kind {
	case earshot.Text:
		v.Data, _ = jsontext.AppendQuote(nil, string(m.Data)) // it is valid UTF-8
	case earshot.Binary:
		v.Data, _ = jsontext.AppendQuote(nil, base64.StdEncoding.EncodeToString(m.Data))
		v.Encoding = "base64"
	}
	if m.Sender != nil {
		sender := sender(m)
		v.Meta = &sender
	}
	return v
}

// sender is who the message came from; both members are null for a server.
func sender(m *earshot.Message) user {
	if m.Sender == nil {
		return user{UMD: value(nil)}
	}
	return user{named(m.Sender.UID, m.Sender.HasUID), value(m.Sender.Meta)}
}

func member(e *hub.Event) memberData {
	v := memberData{UID: e.Member.UID, UMD: value(e.Member.Meta), Members: []user{}}
	for i := range e.Members {
		v.Members = append(v.Members, user{&e.Members[i].UID, value(e.Members[i].Meta)})
	}
	return v
}

func entry(e *hub.Event) entryData {
	v := entryData{Channel: e.Channel, Key: e.Message.Key, Data: value(e.Message.Data), Previous: value(nil), Meta: sender(e.Message)}
	if e.Entry != nil {
		v.Previous, v.Expired, v.Expires = value(e.Entry.Previous), e.Entry.Expired, moment(e.Entry.Expires)
	}
	return v
}

func reaction(e *hub.Event) reactionData {
	r := e.Reaction
	v := reactionData{
		Channel: e.Channel, MessageID: r.MessageID.String(), Reaction: r.Value, UID: r.UID, UMD: value(r.Meta),
		Created: nano(r.Created), Expires: moment(r.Expires),
	}
	if e.Message != nil && !e.Message.ID.IsZero() {
		v.ID = text(e.Message.ID.String())
	}
	return v
}

// value is a JSON value, null for none.
func value(b []byte) jsontext.Value {
	if len(b) == 0 {
		return jsontext.Value("null")
	}
	return jsontext.Value(b)
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func named(uid string, has bool) *string {
	if !has {
		return nil
	}
	return &uid
}

func nano(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// moment is a time that may not be, as RFC 3339.
func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return text(nano(t))
}
