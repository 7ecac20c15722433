package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Events reads the events of an app from its stream: who connects, subscribes
// and publishes. It stays connected, and after a break goes on where it was. Its
// fields are set before Run and not changed afterwards.
type Events struct {
	// URL is the server's, as in http://127.0.0.1:8080, and Key a publish key.
	URL, Key string
	// After is the Place of the last event that was dealt with, "0" for the oldest
	// that is kept, empty for what comes from now on.
	After string
	// OnEvent is given every event, one after another. It is called by Run; an error
	// ends it. Events come at least once: an ID may come again.
	OnEvent func(Event) error
	// OnBreak is told, by Run, that the stream was interrupted, why, and when it
	// goes on; nil for nobody.
	OnBreak func(err error, retry time.Duration)
	// FirstDelay and MaxDelay bound the wait before another connection, by
	// default 250 ms and 20 s.
	FirstDelay, MaxDelay time.Duration
	// HTTPClient connects; without it, there is one of our own. Its Timeout must
	// be zero: a stream does not end.
	HTTPClient *http.Client
}

// An Event is something that happened on the server.
type Event struct {
	// Place is where it stands in the stream, for Events.After.
	Place string `json:"-"`
	// ID is the event's, the same each time it comes, and as webhooks get it.
	ID string `json:"-"`
	// Type is what happened, as in hotsock.messagePublished.
	Type string `json:"type"`
	// Metadata says about what it is.
	Metadata map[string]string `json:"metadata"`
	// Data is a JSON object of the kind DataType.
	Data     json.RawMessage `json:"data"`
	DataType string          `json:"dataType"`
}

// ErrEventsLost is why OnBreak is called when events behind the place were not
// kept: the stream goes on with the oldest that there are.
var ErrEventsLost = errors.New("client: events were not kept long enough")

// eventSilence is how long a stream may be silent: the server gives a sign every
// 15 seconds.
const eventSilence = 45 * time.Second

// maxEvent bounds one event.
const maxEvent = 2 << 20

// Run reads until the context ends, OnEvent fails, or the server refuses what
// trying again would not change: the key, or that events are recorded at all.
func (e *Events) Run(ctx context.Context) error {
	httpClient := e.HTTPClient
	if httpClient == nil {
		httpClient = newHTTPClient()
		defer httpClient.CloseIdleConnections()
	}
	r := &eventReader{Events: e, client: httpClient, after: e.After}
	for {
		err := r.once(ctx)
		var refused *Error
		var final *finalError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &final):
			return final.error
		case errors.As(err, &refused) && !retried(refused.Status):
			return refused
		}
		wait := r.delay(refused)
		if e.OnBreak != nil {
			e.OnBreak(err, wait)
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// retried reports whether an answer may be another one soon.
func retried(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// An eventReader is a Run under way.
type eventReader struct {
	*Events
	client *http.Client
	after  string
	tries  int
}

// delay doubles with every try that brought nothing, and is never the same for
// everybody.
func (r *eventReader) delay(refused *Error) time.Duration {
	first, most := r.FirstDelay, r.MaxDelay
	if first <= 0 {
		first = 250 * time.Millisecond
	}
	if most <= 0 {
		most = 20 * time.Second
	}
	d := min(first<<min(r.tries, 20), most)
	r.tries++
	d = d/2 + rand.N(d/2+1)
	if refused != nil {
		d = max(d, refused.RetryAfter)
	}
	return d
}

// once reads one connection's stream.
func (r *eventReader) once(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(eventSilence, func() { cancel(errors.New("client: the stream of events has gone silent")) })
	defer silence.Stop()
	resp, err := r.open(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	var frame sseFrame
	for lines.Scan() {
		silence.Reset(eventSilence)
		if len(lines.Bytes()) > 0 {
			frame.line(lines.Bytes())
			continue
		}
		if err := r.take(&frame); err != nil {
			return err
		}
		frame = sseFrame{}
	}
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case lines.Err() != nil:
		return lines.Err()
	}
	return io.ErrUnexpectedEOF
}

func (r *eventReader) open(ctx context.Context) (*http.Response, error) {
	at := strings.TrimSuffix(r.URL, "/") + "/events"
	if r.after != "" {
		at += "?after=" + url.QueryEscape(r.after)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, &finalError{unsendable(err)}
	}
	req.Header.Set("Authorization", "Bearer "+r.Key)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return nil, refusal(resp, body)
}

// An sseFrame is one event of the stream as it is written.
type sseFrame struct {
	id, webhookID, event string
	data                 []byte
}

func (f *sseFrame) line(b []byte) {
	name, value, _ := bytes.Cut(b, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		f.id = string(value)
	case "webhook-id":
		f.webhookID = string(value)
	case "event":
		f.event = string(value)
	case "data":
		if f.data != nil {
			f.data = append(f.data, '\n')
		}
		f.data = append(f.data, value...)
	}
}

// take deals with a whole event.
func (r *eventReader) take(f *sseFrame) error {
	switch {
	case f.event == "gap":
		if r.OnBreak != nil {
			r.OnBreak(ErrEventsLost, 0)
		}
		return nil
	case f.data == nil && f.id != "":
		r.after = f.id // where a stream of what is new begins
		return nil
	case f.data == nil || f.event != "":
		return nil // a sign of life, or something newer than this client
	}
	e := Event{Place: f.id, ID: f.webhookID}
	if err := json.Unmarshal(f.data, &e); err != nil {
		return fmt.Errorf("client: an event is not understood: %w", err)
	}
	if err := r.OnEvent(e); err != nil {
		return &finalError{err}
	}
	r.after, r.tries = f.id, 0
	return nil
}
