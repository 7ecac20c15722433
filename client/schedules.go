package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Schedules looks at what waits for its time, and takes it back. Its fields are
// set before use. It is safe for concurrent use.
type Schedules struct {
	// URL is the server's, as in http://127.0.0.1:8080, and Key a publish key.
	URL, Key string
	// HTTPClient makes the requests; without it, the standard one does.
	HTTPClient *http.Client
}

// A Schedule is a message, or a write to a channel's storage, that waits for its
// time.
type Schedule struct {
	ID string `json:"id"`
	// ARN is the name that the answer to the publish told.
	ARN     string    `json:"scheduleArn"`
	At      time.Time `json:"at"`
	Channel string    `json:"channel"`
	Event   string    `json:"event"`
	// Key is that of the entry; empty for a message.
	Key string `json:"key"`
}

// List returns up to limit schedules, a hundred at the most, in the order in
// which they were made, those behind an id; empty for the first. More says
// whether there are others.
func (s *Schedules) List(ctx context.Context, after string, limit int) (all []Schedule, more bool, err error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != "" {
		query.Set("after", after)
	}
	var answer struct {
		Schedules []Schedule
		More      bool
	}
	err = s.call(ctx, http.MethodGet, "?"+query.Encode(), &answer)
	return answer.Schedules, answer.More, err
}

// Cancel takes a schedule back, by its id or its ARN. It fails with an *Error
// whose code is SCHEDULE_NOT_FOUND if there is none, or its time has come.
func (s *Schedules) Cancel(ctx context.Context, id string) error {
	return s.call(ctx, http.MethodDelete, "/"+url.PathEscape(id), nil)
}

func (s *Schedules) call(ctx context.Context, method, rest string, answer any) error {
	return call(ctx, s.HTTPClient, method, strings.TrimSuffix(s.URL, "/")+"/schedules"+rest, s.Key, nil, answer)
}
