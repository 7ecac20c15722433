package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Publisher publishes over HTTP. It is safe for concurrent use and not
// changed after its first use.
type Publisher struct {
	// URL is where the server answers HTTP, as in http://127.0.0.1:8080.
	URL string
	// Key is a publish key of the app.
	Key string
	// HTTP is the client to use, nil for http.DefaultClient.
	HTTP *http.Client
}

// A Message is one to be published.
type Message struct {
	Channel string `json:"channel"`
	Event   string `json:"event"`
	// Data is a JSON value, nil for null.
	Data json.RawMessage `json:"data,omitempty"`
	// Store is how many seconds history shows the message, -1 for ever.
	Store int64 `json:"store,omitempty"`
	// DeduplicationID makes it safe to publish the message again, for 5 minutes.
	DeduplicationID string `json:"deduplicationId,omitempty"`
	// WantID asks for the message's id.
	WantID bool `json:"eagerIdGeneration,omitempty"`
}

// A Published is what became of a message: its id, if it was asked for, or why
// it was not published.
type Published struct {
	ID  string
	Err error
}

// An Error is a refusal of the server.
type Error struct {
	// Status is the HTTP status, 0 where there is none.
	Status int `json:"-"`
	// Code names the error, Message explains it.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Reason is finer than Code where it is given.
	Reason string `json:"reason"`
	// RetryAfter is when to try again, 0 if that does not help.
	RetryAfter time.Duration `json:"-"`
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// passes reports whether another connection may do better, with a newer token
// perhaps: the server may say so with its last words.
func (e *Error) passes() bool {
	name := e.Code
	if e.Reason != "" {
		name = e.Reason
	}
	switch name {
	case "UNAVAILABLE", "INTERNAL_ERROR", "LIMIT_REACHED", "STORAGE_FULL", "OUTCOME_UNKNOWN", "CLIENT_TOO_SLOW",
		"SERVER_SHUTDOWN", "HEARTBEAT_TIMEOUT", "TOKEN_EXPIRED":
		return true
	}
	return false
}

// Publish publishes one message and returns when the server has it safe. It
// returns the id if the message asks for it. It fails with an *Error if the
// server refuses, else the outcome is not known: repeating it is safe if the
// message has a DeduplicationID.
func (p *Publisher) Publish(ctx context.Context, m Message) (id string, err error) {
	var answer struct{ ID string }
	if err := p.post(ctx, m, &answer); err != nil {
		return "", err
	}
	return answer.ID, nil
}

// PublishAll publishes up to 1000 messages in order, and returns what became of
// each. It fails if the server took none of them.
func (p *Publisher) PublishAll(ctx context.Context, messages []Message) ([]Published, error) {
	var answers []struct {
		ID    string
		Error *Error
	}
	if err := p.post(ctx, messages, &answers); err != nil {
		return nil, err
	}
	if len(answers) != len(messages) {
		return nil, fmt.Errorf("%d messages were answered by %d results", len(messages), len(answers))
	}
	all := make([]Published, len(answers))
	for i, a := range answers {
		all[i].ID = a.ID
		if a.Error != nil {
			all[i].Err = a.Error
		}
	}
	return all, nil
}

func (p *Publisher) post(ctx context.Context, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(p.URL, "/")+"/publish", bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+p.Key)
	r.Header.Set("Content-Type", "application/json")
	client := p.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return refusal(resp, got)
	}
	return json.Unmarshal(got, answer)
}

// refusal reads an answer that says no, also one of a proxy that knows nothing
// of our errors.
func refusal(resp *http.Response, body []byte) *Error {
	var said struct{ Error Error }
	if json.Unmarshal(body, &said) != nil || said.Error.Code == "" {
		said.Error = Error{Code: "HTTP_" + strconv.Itoa(resp.StatusCode), Message: resp.Status}
	}
	said.Error.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		said.Error.RetryAfter = time.Duration(s) * time.Second
	}
	return &said.Error
}
