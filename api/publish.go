package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

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
	waitLimit = 10 * time.Second
)

// A source is where orders come from.
type source struct {
	app    *earshot.App
	origin *hub.Origin
	// once is the idempotency key of orders that bring none; empty for none.
	once string
}

// A result is what became of a message.
type result struct {
	Channel     string   `json:"channel,omitzero"`
	Event       string   `json:"event,omitzero"`
	ID          string   `json:"id,omitzero"`
	ScheduleARN string   `json:"scheduleArn,omitzero"`
	Error       *failure `json:"error,omitzero"`
}

func (a *API) publish(w http.ResponseWriter, r *http.Request, _ *earshot.App) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBatch))
	if err != nil {
		return badBody(err)
	}
	app, err := a.authenticate(r) // the key may have been taken away while the body came
	if err != nil {
		return err
	}
	from := source{app: app, origin: a.origin(r, hub.ByServerHTTP)}
	w.Header().Set("X-Request-Id", from.origin.RequestID)
	if len(body) > 0 && jsontext.Value(body).Kind() == '[' {
		return a.publishBatch(w, r, from, body)
	}
	if len(body) > maxBody {
		return &earshot.Error{Code: earshot.TooLarge, Reason: "BODY_TOO_LARGE", Text: "one message may have 1 MiB at the most"}
	}
	outcomes := a.publishAll(r.Context(), from, []jsontext.Value{body})
	if err := outcomes[0].err; err != nil {
		return err
	}
	write(w, http.StatusAccepted, outcomes[0].result())
	return nil
}

// origin is the request as events tell of it.
func (a *API) origin(r *http.Request, trigger hub.Trigger) *hub.Origin {
	o := &hub.Origin{Trigger: trigger, RequestID: newRequestID(), UserAgent: hub.UserAgent(r.UserAgent())}
	if a.client != nil {
		o.Remote, _ = a.client(r)
	}
	return o
}

// newRequestID draws a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func badBody(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return &earshot.Error{Code: earshot.Invalid, Reason: "BODY", Text: "the body could not be read", Err: err}
}

func (a *API) publishBatch(w http.ResponseWriter, r *http.Request, from source, body []byte) error {
	var messages []jsontext.Value
	if err := json.Unmarshal(body, &messages); err != nil {
		return badJSON(err)
	}
	if len(messages) > maxCount {
		return &earshot.Error{Code: earshot.TooLarge, Reason: "BATCH_TOO_LARGE", Text: fmt.Sprintf("a batch may have %d messages at the most", maxCount)}
	}
	code := http.StatusAccepted
	results := make([]result, 0, len(messages))
	for _, o := range a.publishAll(r.Context(), from, messages) {
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
	order *order // nil if it could not be read
	id    earshot.ID
	arn   string // of a schedule
	err   error
}

func (o *outcome) result() result {
	var out result
	if o.order != nil {
		out.Channel, out.Event = o.order.channel, o.order.event
	}
	if o.err != nil {
		f := failureOf(earshot.AsError(o.err))
		out.Error = &f
		return out
	}
	out.ScheduleARN = o.arn
	if o.order.wantID && !o.id.IsZero() {
		out.ID = o.id.String()
	}
	return out
}

// publishAll carries out orders one after another and waits for all of them. The
// wait is bounded: the outcome of what takes longer is unknown.
func (a *API) publishAll(ctx context.Context, from source, messages []jsontext.Value) []outcome {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	b := &gathering{outcomes: make([]outcome, len(messages)), settled: make([]bool, len(messages)), left: len(messages), all: make(chan struct{})}
	for i, text := range messages {
		o, err := read(text, from)
		if err != nil {
			b.settle(i, outcome{err: err})
			continue
		}
		b.outcomes[i].order = o
		a.carryOut(ctx, from.app, o, func(out outcome) {
			out.order = o
			b.settle(i, out)
		})
	}
	return b.wait(ctx, len(messages))
}

// carryOut does what an order asks for. Messages are published without waiting;
// everything else is rare, and waited for.
func (a *API) carryOut(ctx context.Context, app *earshot.App, o *order, done func(outcome)) {
	switch {
	case o.expression != "":
		done(a.later(ctx, app, o))
	case o.entry != nil && a.storage == nil:
		done(outcome{err: errUnsupported("STORAGE_UNSUPPORTED", "channel storage is not served here")})
	case o.entry != nil:
		done(outcome{err: a.storage.Set(ctx, app, *o.entry)})
	case o.reaction != nil && a.reactions == nil:
		done(outcome{err: errUnsupported("REACTION_UNSUPPORTED", "reactions are not served here")})
	case o.reaction != nil:
		done(outcome{err: a.reactions.React(ctx, app, *o.reaction)})
	default:
		a.hub.PublishAsync(ctx, app, *o.message, func(r hub.Appended, err error) {
			// A message that came before has an id of its own; this one gets one that
			// no message has. A repeated request is the same message.
			if r.Duplicate && o.deduplication != "" {
				r.ID = unusedID()
			}
			done(outcome{id: r.ID, err: err})
		})
	}
}

func errUnsupported(reason, text string) error {
	return &earshot.Error{Code: earshot.Invalid, Reason: reason, Text: text}
}

// later schedules an order. A message has no id before it is published.
func (a *API) later(ctx context.Context, app *earshot.App, o *order) outcome {
	if a.schedule == nil {
		return outcome{err: errUnsupported("SCHEDULE_UNSUPPORTED", "schedules are not served here")}
	}
	at, err := a.schedule.Parse(o.expression, o.zone)
	if err != nil {
		return outcome{err: err}
	}
	if o.entry != nil {
		arn, err := a.schedule.Set(ctx, app, at, *o.entry)
		return outcome{arn: arn, err: err}
	}
	o.message.WantID = false
	arn, err := a.schedule.Publish(ctx, app, at, *o.message)
	return outcome{arn: arn, err: err}
}

// unusedID is the id of no message: it has no position.
func unusedID() earshot.ID {
	id := earshot.NewID(time.Now(), earshot.Position{})
	_, _ = rand.Read(id[8:]) // never fails, by its contract
	return id
}

// A gathering waits for the outcomes of several publishes.
type gathering struct {
	all chan struct{} // closed when none is left

	mu       sync.Mutex
	outcomes []outcome
	settled  []bool
	left     int
}

func (g *gathering) settle(i int, o outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settled[i] = true
	g.outcomes[i] = o
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
		if !g.settled[i] {
			out[i].err = &earshot.Error{Code: earshot.Unknown, Err: context.Cause(ctx)}
		}
		out[i].err = explain(out[i].err, out[i].order)
	}
	return out
}

// explain tells a publisher whose message may have been stored what to do.
func explain(err error, o *order) error {
	if err == nil || earshot.CodeOf(err) != earshot.Unknown {
		return err
	}
	e := *earshot.AsError(err)
	e.Reason = "UNKNOWN_OUTCOME"
	e.Text = "the message may have been published; it had no deduplicationId, so repeating it may publish it twice"
	if o != nil && o.deduplication != "" {
		e.Text = "the message may have been published; repeating it with the same deduplicationId is safe"
	}
	return &e
}
