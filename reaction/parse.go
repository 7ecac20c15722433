package reaction

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot"
)

// The actions of a change, as its data and its notice say them.
const (
	add    = "add"
	remove = "remove"
)

// Parse reads what a client or server sends to react:
// {"messageId","reaction","action"}, and of a server "uid" and perhaps "umd",
// whose reaction it is. It fails with Invalid.
func Parse(channel string, data []byte) (Change, error) {
	var in struct {
		MessageID *string        `json:"messageId"`
		Reaction  *string        `json:"reaction"`
		Action    *string        `json:"action"`
		UID       *string        `json:"uid"`
		Meta      jsontext.Value `json:"umd"`
	}
	if json.Unmarshal(data, &in) != nil || in.MessageID == nil || in.Reaction == nil || in.Action == nil {
		return Change{}, invalid(`data is an object with the strings "messageId", "reaction" and "action"`)
	}
	if *in.Action != add && *in.Action != remove {
		return Change{}, invalid(`data.action is "add" or "remove"`)
	}
	id, err := earshot.ParseID(*in.MessageID)
	if err != nil {
		return Change{}, invalid("data.messageId is not the id of a message")
	}
	c := Change{Channel: channel, Message: id, Value: *in.Reaction, Remove: *in.Action == remove}
	if in.UID != nil {
		c.UID = *in.UID
	}
	if in.Meta != nil && in.Meta.Kind() != 'n' {
		c.Meta = in.Meta
	}
	return c, nil
}
