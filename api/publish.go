package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a publish.
const (
	maxBody   = 1 << 20
	maxBatch  = 10 << 20
	maxCount  = 1000
	maxEvent  = 128
	maxKey    = 256
	maxStore  = 3_155_695_200 // 100 years, in seconds
	waitLimit = 10 * time.Second
)

// A request is a message as it is published.
type request struct {
	Channel           *string        `json:"channel"`
	Event             *string        `json:"event"`
	Data              jsontext.Value `json:"data"`
	DeduplicationID   *string        `json:"deduplicationId"`
	EagerIDGeneration *bool          `json:"eagerIdGeneration"`
	Store             *int64         `json:"store"`

	// ScheduleExpression is known to be refused: a message that was meant for
	// later must not go out now.
	ScheduleExpression jsontext.Value `json:"scheduleExpression"`
}

// A result is what became of a message.
type result struct {
	Channel string   `json:"channel,omitzero"`
	Event   string   `json:"event,omitzero"`
	ID      string   `json:"id,omitzero"`
	Error   *failure `json:"error,omitzero"`
}

func (a *API) publish(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBatch))
	if err != nil {
		return badBody(err)
	}
	if len(body) > 0 && jsontext.Value(body).Kind() == '[' {
		return a.publishBatch(w, r, app, body)
	}
	if len(body) > maxBody {
		return &earshot.Error{Code: earshot.TooLarge, Reason: "BODY_TOO_LARGE", Text: "one message may have 1 MiB at the most"}
	}
	outcomes := a.publishAll(r.Context(), app, []jsontext.Value{body})
	if err := outcomes[0].err; err != nil {
		return err
	}
	write(w, http.StatusAccepted, outcomes[0].result())
	return nil
}

func badBody(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return &earshot.Error{Code: earshot.Invalid, Reason: "BODY", Text: "the body could not be read", Err: err}
}

func (a *API) publishBatch(w http.ResponseWriter, r *http.Request, app *earshot.App, body []byte) error {
	var messages []jsontext.Value
	if err := json.Unmarshal(body, &messages); err != nil {
		return badJSON(err)
	}
	if len(messages) > maxCount {
		return &earshot.Error{Code: earshot.TooLarge, Reason: "BATCH_TOO_LARGE", Text: fmt.Sprintf("a batch may have %d messages at the most", maxCount)}
	}
	code := http.StatusAccepted
	results := make([]result, 0, len(messages))
	for _, o := range a.publishAll(r.Context(), app, messages) {
		if o.err != nil {
			code = http.StatusMultiStatus
		}
		results = append(results, o.result())
	}
	write(w, code, results)
	return nil
}

// An outcome is what became of one message.
type outcome struct {
	message *earshot.Message
	key     string
	wantID  bool
	id      earshot.ID
	err     error
}

func (o *outcome) result() result {
	var out result
	if o.message != nil {
		out.Channel, out.Event = o.message.Channel, o.message.Event
	}
	if o.err != nil {
		f := failureOf(earshot.AsError(o.err))
		out.Error = &f
		return out
	}
	if o.wantID {
		out.ID = o.id.String()
	}
	return out
}

// publishAll publishes messages in order and waits for all of them. The wait is
// bounded: the outcome of what takes longer is unknown.
func (a *API) publishAll(ctx context.Context, app *earshot.App, messages []jsontext.Value) []outcome {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	b := &gathering{outcomes: make([]outcome, len(messages)), left: len(messages), all: make(chan struct{})}
	for i, text := range messages {
		p, err := read(text)
		if err != nil {
			b.settle(i, hub.Appended{}, err)
			continue
		}
		b.outcomes[i] = outcome{message: p.Message, key: p.Key, wantID: p.WantID}
		a.hub.PublishAsync(ctx, app, p, func(r hub.Appended, err error) { b.settle(i, r, err) })
	}
	return b.wait(ctx, len(messages))
}

// A gathering waits for the outcomes of several publishes.
type gathering struct {
	all chan struct{} // closed when none is left

	mu       sync.Mutex
	outcomes []outcome
	settled  []bool
	left     int
}

func (g *gathering) settle(i int, r hub.Appended, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.settled == nil {
		g.settled = make([]bool, len(g.outcomes))
	}
	g.settled[i] = true
	g.outcomes[i].id, g.outcomes[i].err = r.ID, err
	if g.left--; g.left == 0 {
		close(g.all)
	}
}

func (g *gathering) wait(ctx context.Context, n int) []outcome {
	if n > 0 {
		select {
		case <-g.all:
		case <-ctx.Done():
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	out := append([]outcome(nil), g.outcomes...)
	for i := range out {
		if g.settled == nil || !g.settled[i] {
			out[i].err = &earshot.Error{Code: earshot.Unknown, Err: context.Cause(ctx)}
		}
		out[i].err = explain(out[i].err, out[i].key)
	}
	return out
}

// explain tells a publisher whose message may have been stored what to do.
func explain(err error, key string) error {
	if err == nil || earshot.CodeOf(err) != earshot.Unknown {
		return err
	}
	e := *earshot.AsError(err)
	e.Reason = "UNKNOWN_OUTCOME"
	e.Text = "the message may have been published; it had no deduplicationId, so repeating it may publish it twice"
	if key != "" {
		e.Text = "the message may have been published; repeating it with the same deduplicationId is safe"
	}
	return &e
}

// read makes a publication of the JSON text of a message.
func read(text jsontext.Value) (hub.Publication, error) {
	var r request
	if err := json.Unmarshal(text, &r); err != nil {
		return hub.Publication{}, badJSON(err)
	}
	if r.ScheduleExpression != nil && r.ScheduleExpression.Kind() != 'n' {
		return hub.Publication{}, invalid("SCHEDULE_UNSUPPORTED", "scheduled messages are not supported by this version")
	}
	if r.Channel == nil || r.Event == nil {
		return hub.Publication{}, invalid("MEMBER_MISSING", "channel and event are needed")
	}
	if err := checkNames(*r.Channel, *r.Event); err != nil {
		return hub.Publication{}, err
	}
	store, err := r.store()
	if err != nil {
		return hub.Publication{}, err
	}
	if err := r.Data.Compact(); err != nil && r.Data != nil {
		return hub.Publication{}, badJSON(err)
	}
	p := hub.Publication{
		Message: &earshot.Message{Channel: *r.Channel, Event: *r.Event, Kind: earshot.JSON, Data: r.Data, Store: store},
		WantID:  r.EagerIDGeneration != nil && *r.EagerIDGeneration,
	}
	if r.DeduplicationID != nil {
		p.Key = *r.DeduplicationID
	}
	if len(p.Key) > maxKey {
		return hub.Publication{}, invalid("DEDUPLICATION_ID", "deduplicationId may have 256 bytes at the most")
	}
	return p, nil
}

func (r *request) store() (time.Duration, error) {
	switch {
	case r.Store == nil || *r.Store == 0:
		return 0, nil
	case *r.Store == -1:
		return earshot.Forever, nil
	case *r.Store < 0 || *r.Store > maxStore:
		return 0, invalid("STORE", fmt.Sprintf("store is -1, or from 0 to %d seconds", int64(maxStore)))
	}
	return time.Duration(*r.Store) * time.Second, nil
}

// checkNames asks for names that a client could subscribe to.
func checkNames(channel, event string) error {
	if err := earshot.CheckChannel(channel); err != nil {
		return err
	}
	switch {
	case strings.ContainsAny(channel, "*#, \t\r\n"):
		return invalid("CHANNEL_NAME", "a channel name has no *, #, comma or white space")
	case strings.TrimSpace(event) == "":
		return invalid("EVENT_NAME", "the event name is empty")
	case utf8.RuneCountInString(event) > maxEvent:
		return invalid("EVENT_NAME", "the event name is longer than 128 characters")
	case strings.HasPrefix(event, "hotsock."):
		return invalid("EVENT_RESERVED", "event names that begin with hotsock. are the server's own")
	case strings.HasPrefix(event, "#"), strings.Contains(event, "*"):
		return invalid("EVENT_NAME", "an event name does not begin with # and has no *")
	}
	return nil
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
