package client

import "time"

// Events that a backend may publish although they are the server's own.
const (
	// StorageSet writes the Message's Data to the entry Key of the channel; null or
	// {} clears it.
	StorageSet = "hotsock.channelStorageSet"
	// MessageReaction adds or removes a reaction: Data holds messageId, reaction,
	// action ("add" or "remove"), and uid for who reacts.
	MessageReaction = "hotsock.messageReaction"
)

// Forever is a Store that never ends.
const Forever = -1

// A Message is one to be published.
type Message struct {
	// Channel is the channel's name. Needed.
	Channel string
	// Event is the event's name. Needed.
	Event string
	// Data is what encoding/json makes JSON of, json.RawMessage as it stands; nil is
	// null. It may have 32 KiB.
	Data any
	// DeduplicationID makes it safe to publish the message again: of those with the
	// same, only the first within 5 minutes is published.
	DeduplicationID string
	// EagerIDGeneration asks for the message's id in the answer.
	EagerIDGeneration bool
	// EmitPubSubEvent sends an event about the message to the app's webhooks.
	EmitPubSubEvent bool
	// Key is the entry that StorageSet writes.
	Key string
	// ScheduleExpression is when to publish, as At writes it; empty for now.
	ScheduleExpression string
	// ScheduleExpressionTimezone is the IANA name of the time zone of
	// ScheduleExpression, as in Europe/Berlin; empty for UTC.
	ScheduleExpressionTimezone string
	// Store is how many seconds history shows the message, or an entry stays;
	// Forever for ever. 0 is the default: no history, and for an entry for ever.
	Store int64
	// Extra are further members, sent as they are. They win over the fields.
	Extra map[string]any
}

// At is the schedule expression of a moment, for which no time zone needs to be
// said. Fractions of a second are dropped.
func At(t time.Time) string { return t.UTC().Format("at(2006-01-02T15:04:05)") }

// A wireMessage is a Message as it is sent.
type wireMessage struct {
	Event                      string `json:"event"`
	Channel                    string `json:"channel"`
	Data                       any    `json:"data,omitempty"`
	DeduplicationID            string `json:"deduplicationId,omitempty"`
	EagerIDGeneration          bool   `json:"eagerIdGeneration,omitempty"`
	EmitPubSubEvent            bool   `json:"emitPubSubEvent,omitempty"`
	Key                        string `json:"key,omitempty"`
	ScheduleExpression         string `json:"scheduleExpression,omitempty"`
	ScheduleExpressionTimezone string `json:"scheduleExpressionTimezone,omitempty"`
	Store                      int64  `json:"store,omitempty"`
}

// MarshalJSON writes the message as it is sent. No member comes twice.
func (m Message) MarshalJSON() ([]byte, error) {
	text, err := encode(wireMessage{
		Event: m.Event, Channel: m.Channel, Data: m.Data, DeduplicationID: m.DeduplicationID,
		EagerIDGeneration: m.EagerIDGeneration, EmitPubSubEvent: m.EmitPubSubEvent, Key: m.Key,
		ScheduleExpression: m.ScheduleExpression, ScheduleExpressionTimezone: m.ScheduleExpressionTimezone,
		Store: m.Store,
	})
	if err != nil {
		return nil, err
	}
	return extend(text, m.Extra)
}
