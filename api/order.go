package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of what is asked for.
const (
	maxEvent = 128
	maxKey   = 256
	maxStore = 3_155_695_200 // 100 years, in seconds
)

// The reserved events that a server may publish: they are commands.
const (
	setEntry = "hotsock.channelStorageSet"
	react    = "hotsock.messageReaction"
)

// A Storage keeps the entries of channels.
type Storage interface {
	// Set writes an entry for the application's own server. It fails with Invalid
	// if the entry cannot be.
	Set(ctx context.Context, a *earshot.App, e Entry) error
}

// An Entry is what is written to a channel's storage.
type Entry struct {
	Channel, Key string
	// Data is a JSON value; null and {} clear the entry.
	Data []byte
	// Store is how long it stays, earshot.Forever without end.
	Store time.Duration
	// Emit tells the application's own server too, Origin is who asked.
	Emit   bool
	Origin *hub.Origin
	// Once makes the write idempotent for 5 minutes; empty for not.
	Once string
}

// Reactions keep the reactions to messages.
type Reactions interface {
	// React adds or removes one for the application's own server.
	React(ctx context.Context, a *earshot.App, r Reaction) error
}

// A Reaction is one to a stored message.
type Reaction struct {
	Channel   string
	MessageID earshot.ID
	Value     string
	// Remove takes it away instead.
	Remove bool
	// UID is whose it is.
	UID string
	// Emit tells the application's own server too, Origin is who asked.
	Emit   bool
	Origin *hub.Origin
}

// A Schedule carries out later what is asked for now.
type Schedule interface {
	// Parse reads a schedule expression, "at(2026-12-24T18:00:00)", in a time zone,
	// empty for UTC. It fails with Invalid.
	Parse(expression, zone string) (time.Time, error)
	// Publish keeps a publication until its time. It returns its name, which has
	// the form of an ARN of AWS's scheduler.
	Publish(ctx context.Context, a *earshot.App, at time.Time, p hub.Publication) (arn string, err error)
	// Set keeps a write until its time.
	Set(ctx context.Context, a *earshot.App, at time.Time, e Entry) (arn string, err error)
}

// A request is a message as it is published. Its members are those of AWS
// Lambda's publish function; others are ignored.
type request struct {
	Channel           *string        `json:"channel"`
	Event             *string        `json:"event"`
	Data              jsontext.Value `json:"data"`
	Key               jsontext.Value `json:"key"` // ignored, but for an entry
	DeduplicationID   *string        `json:"deduplicationId"`
	EagerIDGeneration *bool          `json:"eagerIdGeneration"`
	EmitPubSubEvent   *bool          `json:"emitPubSubEvent"`
	Store             *int64         `json:"store"`
	// ScheduleExpression says when; without one, ScheduleTimezone is ignored.
	ScheduleExpression *string        `json:"scheduleExpression"`
	ScheduleTimezone   jsontext.Value `json:"scheduleExpressionTimezone"`
}

// An order is what a request asks for, checked. One of its three kinds is set.
type order struct {
	channel, event string
	message        *hub.Publication
	entry          *Entry
	reaction       *Reaction
	// deduplication is the key that the request brought, repeatable says that
	// another attempt at it does nothing new.
	deduplication string
	repeatable    bool
	wantID        bool
	// expression and zone say when, empty for now.
	expression, zone string
}

// read makes an order of the JSON text of a message.
func read(text jsontext.Value, from source) (*order, error) {
	var r request
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, badJSON(err)
	}
	if r.Channel == nil || r.Event == nil {
		return nil, invalid("MEMBER_MISSING", "channel and event are needed")
	}
	if err := checkNames(*r.Channel, *r.Event); err != nil {
		return nil, err
	}
	if err := r.Data.Compact(); err != nil && r.Data != nil {
		return nil, badJSON(err)
	}
	o := &order{channel: *r.Channel, event: *r.Event, wantID: isTrue(r.EagerIDGeneration)}
	if err := r.when(o); err != nil {
		return nil, err
	}
	if len(deref(r.DeduplicationID)) > maxKey {
		return nil, invalid("DEDUPLICATION_ID", "deduplicationId may have 256 bytes at the most")
	}
	o.deduplication = deref(r.DeduplicationID)
	switch o.event {
	case setEntry:
		return o, r.set(o, from)
	case react:
		return o, r.react(o, from)
	}
	return o, r.publish(o, from)
}

func (r *request) publish(o *order, from source) error {
	store, err := r.store(0)
	if err != nil {
		return err
	}
	o.message = &hub.Publication{
		Message: &earshot.Message{Channel: o.channel, Event: o.event, Kind: earshot.JSON, Data: r.Data, Store: store},
		Key:     keyOf(o.deduplication), WantID: o.wantID, Emit: isTrue(r.EmitPubSubEvent), Origin: from.origin,
	}
	// The keys of live channels are kept in little memory, for who asks for it.
	if o.message.Key == "" && !from.app.Rule(o.channel).Live {
		o.message.Key = from.once
	}
	// Two schedules of one key are due together, and the first is carried out.
	o.repeatable = o.message.Key != ""
	return nil
}

// keyOf is the idempotency key of a deduplicationId, empty for none. It begins
// like no other: what the server publishes itself, a notice or a message whose
// time has come, has a key in the same channel, and whoever guessed that one would
// have it dropped.
func keyOf(deduplicationID string) string {
	if deduplicationID == "" {
		return ""
	}
	return "deduplication-id " + deduplicationID
}

func (r *request) set(o *order, from source) error {
	store, err := r.store(earshot.Forever)
	if err != nil {
		return err
	}
	if store == 0 {
		return invalid("STORE", "store of an entry is -1 or at least 1 second")
	}
	e := &Entry{
		Channel: o.channel, Data: r.Data, Store: store, Emit: isTrue(r.EmitPubSubEvent), Origin: from.origin, Once: o.deduplication,
	}
	if r.Key == nil {
		return invalid("MEMBER_MISSING", setEntry+" needs a key")
	}
	if err := json.Unmarshal(r.Key, &e.Key); err != nil {
		return invalid("MEMBER_TYPE", "key has the wrong type")
	}
	if len(r.Data) == 0 {
		e.Data = []byte("null")
	}
	if e.Once == "" {
		e.Once = from.once
	}
	o.entry, o.repeatable = e, e.Once != ""
	return nil
}

func (r *request) react(o *order, from source) error {
	var d struct {
		MessageID string  `json:"messageId"`
		Reaction  string  `json:"reaction"`
		Action    string  `json:"action"`
		UID       *string `json:"uid"`
	}
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return invalid("REACTION", "data of a reaction is an object with messageId, reaction, action and uid")
	}
	id, err := earshot.ParseID(d.MessageID)
	switch {
	case err != nil:
		return invalid("REACTION", "messageId is not the id of a message")
	case d.Action != "add" && d.Action != "remove":
		return invalid("REACTION", `action is "add" or "remove"`)
	case deref(d.UID) == "":
		return invalid("REACTION", "a reaction of the server needs the uid of the user whose it is")
	case o.expression != "":
		return invalid("SCHEDULE", "a reaction cannot be scheduled")
	}
	o.repeatable = true
	o.reaction = &Reaction{
		Channel: o.channel, MessageID: id, Value: d.Reaction, Remove: d.Action == "remove", UID: *d.UID,
		Emit: isTrue(r.EmitPubSubEvent), Origin: from.origin,
	}
	return nil
}

// when reads the schedule. A time zone of the wrong type is ignored with it.
func (r *request) when(o *order) error {
	if r.ScheduleExpression == nil {
		return nil
	}
	o.expression = *r.ScheduleExpression
	if o.expression == "" {
		return invalid("SCHEDULE", "scheduleExpression is empty")
	}
	if r.ScheduleTimezone == nil || r.ScheduleTimezone.Kind() == 'n' {
		return nil
	}
	if err := json.Unmarshal(r.ScheduleTimezone, &o.zone); err != nil {
		return invalid("MEMBER_TYPE", "scheduleExpressionTimezone has the wrong type")
	}
	return nil
}

func (r *request) store(otherwise time.Duration) (time.Duration, error) {
	switch {
	case r.Store == nil:
		return otherwise, nil
	case *r.Store == -1:
		return earshot.Forever, nil
	case *r.Store < 0 || *r.Store > maxStore:
		return 0, invalid("STORE", fmt.Sprintf("store is -1, or from 0 to %d seconds", int64(maxStore)))
	}
	return time.Duration(*r.Store) * time.Second, nil
}

// checkNames asks for names that a client could subscribe to.
func checkNames(channel, event string) error {
	if err := checkChannel(channel); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(event) == "":
		return invalid("EVENT_NAME", "the event name is empty")
	case utf8.RuneCountInString(event) > maxEvent:
		return invalid("EVENT_NAME", "the event name is longer than 128 characters")
	case event == setEntry, event == react:
		return nil
	case strings.HasPrefix(event, "hotsock."):
		return invalid("EVENT_RESERVED", "event names that begin with hotsock. are the server's own")
	case strings.HasPrefix(event, "#"), strings.Contains(event, "*"):
		return invalid("EVENT_NAME", "an event name does not begin with # and has no *")
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func invalid(reason, text string) error {
	return &earshot.Error{Code: earshot.Invalid, Reason: reason, Text: text}
}

// badJSON says where the text is wrong, without showing the text.
func badJSON(err error) error {
	var wrong *json.SemanticError
	if errors.As(err, &wrong) {
		where := strings.TrimPrefix(string(wrong.JSONPointer), "/")
		if where == "" {
			return invalid("BODY", "a message is a JSON object")
		}
		return invalid("MEMBER_TYPE", where+" has the wrong type")
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return invalid("DUPLICATE_MEMBER", "a member comes twice")
	}
	return invalid("JSON", "the body is not valid JSON in UTF-8")
}
