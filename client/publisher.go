package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// A Transport carries messages to a server. It is safe for concurrent use.
type Transport interface {
	// Send carries one message, a JSON object, or an array of them if Batches. It
	// fails with an *Error if the server refuses.
	Send(ctx context.Context, body []byte) (*Answer, error)
	// Batches reports whether Send takes arrays.
	Batches() bool
	// Close closes the connections that wait for the next message.
	Close()
}

// A Publisher publishes. It is safe for concurrent use, keeps its connections,
// and is meant to be made once.
type Publisher struct {
	via     Transport
	timeout time.Duration
	tries   int
}

// The defaults, and the waits between tries.
const (
	defaultTimeout = 15 * time.Second
	defaultTries   = 3
	firstRetry     = 100 * time.Millisecond
	maxRetry       = 5 * time.Second
)

// NewPublisher makes a publisher over HTTP, or over the Config's Transport. It
// fails with a *ConfigError.
func NewPublisher(c Config) (*Publisher, error) {
	p := &Publisher{via: c.Transport, timeout: c.Timeout, tries: c.Tries}
	if p.timeout <= 0 {
		p.timeout = defaultTimeout
	}
	if p.tries <= 0 {
		p.tries = defaultTries
	}
	if p.via != nil {
		return p, nil
	}
	via, err := newHTTP(c)
	if err != nil {
		return nil, err
	}
	p.via = via
	return p, nil
}

// Publish publishes one message and returns when the server has it safe, with
// the raw answer. It fails with an *Error if the server refuses; after any
// failure OutcomeUnknown tells whether the message may be published all the
// same.
//
// Publish tries again by itself where that is safe: if nothing was sent or the
// server did nothing and asks to come back, and with a DeduplicationID also if
// the outcome is unknown. The last failure is returned, at once if the server
// asks for more than a few seconds.
func (p *Publisher) Publish(ctx context.Context, m Message) (*Answer, error) {
	body, err := m.MarshalJSON()
	if err != nil {
		return nil, unsendable(err)
	}
	return p.send(ctx, body, m.DeduplicationID != "")
}

func unsendable(err error) error { return fmt.Errorf("%w: %w", errNotSent, err) }

// PublishAll publishes up to 1000 messages in their order. If only some are
// refused it returns the answer and a *BatchError; nothing of that is tried
// again. If the server takes none of them, it fails as Publish does, and tries
// again as Publish does, where every message has a DeduplicationID if that is
// needed. Over AWS Lambda each message is a call of its own, one after another.
func (p *Publisher) PublishAll(ctx context.Context, messages []Message) (*Answer, error) {
	if len(messages) == 0 {
		return &Answer{Status: http.StatusAccepted, Raw: []byte("[]")}, nil
	}
	bodies, keyed := make([][]byte, len(messages)), true
	for i, m := range messages {
		body, err := m.MarshalJSON()
		if err != nil {
			return nil, unsendable(fmt.Errorf("message %d: %w", i, err))
		}
		bodies[i], keyed = body, keyed && m.DeduplicationID != ""
	}
	if !p.via.Batches() {
		return p.oneByOne(ctx, messages, bodies)
	}
	answer, err := p.send(ctx, array(bodies), keyed)
	if err != nil {
		return nil, err
	}
	answer.count = len(messages)
	if answer.Status == http.StatusMultiStatus {
		return answer, answer.failures()
	}
	return answer, nil
}

func array(values [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(values, []byte{','})...), ']')
}

// failures is the error of an answer that tells of some.
func (a *Answer) failures() error {
	all, err := a.DecodeAll()
	if err != nil {
		return err
	}
	e := &BatchError{Errs: make([]error, len(all))}
	for i := range all {
		e.Errs[i] = all[i].Err
	}
	return e
}

// oneByOne publishes what cannot be sent at once.
func (p *Publisher) oneByOne(ctx context.Context, messages []Message, bodies [][]byte) (*Answer, error) {
	answer := &Answer{Status: http.StatusAccepted, count: len(bodies)}
	failed, results := &BatchError{Errs: make([]error, len(bodies))}, make([][]byte, len(bodies))
	for i, body := range bodies {
		one, err := p.send(ctx, body, messages[i].DeduplicationID != "")
		if err == nil {
			results[i], answer.Version = one.Raw, one.Version
			continue
		}
		answer.Status, failed.Errs[i] = http.StatusMultiStatus, err
		results[i] = errorResult(err)
	}
	answer.Raw = array(results)
	if answer.Status == http.StatusMultiStatus {
		return answer, failed
	}
	return answer, nil
}

// errorResult is a failure in the form of a batch's results.
func errorResult(err error) []byte {
	e := &Error{Code: "NOT_PUBLISHED", Message: err.Error()}
	switch {
	case errors.As(err, &e):
	case OutcomeUnknown(err):
		e.Code = "UNKNOWN_OUTCOME"
	}
	text, err := json.Marshal(map[string]any{"error": map[string]string{"code": e.Code, "message": e.Message}})
	if err != nil {
		return []byte(`{"error":{}}`) // cannot be: these are strings
	}
	return text
}

// Close closes the connections that wait for the next message. A publish that
// is under way ends as it would.
func (p *Publisher) Close() { p.via.Close() }

// send tries until it succeeds, or fails in a way that trying again would not
// change or could make worse.
func (p *Publisher) send(ctx context.Context, body []byte, keyed bool) (*Answer, error) {
	for try := 1; ; try++ {
		answer, err := p.once(ctx, body)
		if err == nil || try >= p.tries || !(passing(err) || keyed && OutcomeUnknown(err)) {
			return answer, err
		}
		wait := retryWait(try, err)
		if wait > maxRetry || pause(ctx, wait) != nil {
			return nil, err
		}
	}
}

func (p *Publisher) once(ctx context.Context, body []byte) (*Answer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, unsendable(err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	return p.via.Send(ctx, body)
}

// retryWait doubles with every try, and is never the same for everybody.
func retryWait(try int, err error) time.Duration {
	wait := min(firstRetry<<min(try-1, 10), maxRetry/2)
	wait = wait/2 + rand.N(wait/2+1)
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > wait {
		wait += e.RetryAfter
	}
	return wait
}
