package reaction

import (
	"github.com/go-json-experiment/json"

	"github.com/earshot-io/earshot"
)

// The actions of a change, as its data and its notice say them.
const (
	add    = "add"
	remove = "remove"
)

// Parse reads what a client sends to react, {"messageId","reaction","action"}.
// Whose the reaction is does not come from there. It fails with Invalid.
func Parse(channel string, data []byte) (Change, error) {
	var in struct {
		MessageID *string `json:"messageId"`
		Reaction  *string `json:"reaction"`
		Action    *string `json:"action"`
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
	return Change{Channel: channel, Message: id, Value: *in.Reaction, Remove: *in.Action == remove}, nil
}
