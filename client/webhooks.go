package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Webhooks looks at the webhooks of an app, and replays what they did not take.
// Its fields are set before use. It is safe for concurrent use.
type Webhooks struct {
	// URL is the server's, as in http://127.0.0.1:8080, and Key a publish key.
	URL, Key string
	// HTTPClient makes the requests; without it, the standard one does.
	HTTPClient *http.Client
}

// A Webhook is one of an app, and how it is.
type Webhook struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// Events are the types that it is told; none for all.
	Events []string `json:"events"`
	// Waiting is how many channels and connections have events that it has not
	// taken, the oldest known of them recorded at Oldest.
	Waiting int        `json:"waiting"`
	Oldest  *time.Time `json:"oldest"`
	// Behind is how many events were recorded that have not been looked at for it.
	Behind uint64 `json:"behind"`
	// DeliveredAt is when it last took one, FailedAt when it last did not, and
	// Reason why.
	DeliveredAt *time.Time `json:"deliveredAt"`
	FailedAt    *time.Time `json:"failedAt"`
	Reason      string     `json:"reason"`
	// Dead is how many dead letters it has, up to a hundred: DeadMore says that
	// there are more.
	Dead     int  `json:"dead"`
	DeadMore bool `json:"deadMore"`
}

// A DeadLetter is an event that a webhook did not take.
type DeadLetter struct {
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	RecordedAt time.Time `json:"recordedAt"`
	DiedAt     time.Time `json:"diedAt"`
	Tries      int       `json:"tries"`
	Reason     string    `json:"reason"`
	// Event is what was posted.
	Event json.RawMessage `json:"event"`
}

// List returns the app's webhooks.
func (w *Webhooks) List(ctx context.Context) ([]Webhook, error) {
	var answer struct{ Webhooks []Webhook }
	return answer.Webhooks, w.call(ctx, http.MethodGet, "/webhooks", nil, &answer)
}

// Dead returns up to limit dead letters of a webhook, a hundred at the most, in
// the order of their ids, those behind one; empty for the first.
func (w *Webhooks) Dead(ctx context.Context, webhook, after string, limit int) (letters []DeadLetter, more bool, err error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != "" {
		query.Set("after", after)
	}
	var answer struct {
		Events []DeadLetter
		More   bool
	}
	err = w.call(ctx, http.MethodGet, "/webhooks/"+url.PathEscape(webhook)+"/dead?"+query.Encode(), nil, &answer)
	return answer.Events, answer.More, err
}

// Replay tells a webhook once more of dead letters, of all without any ids. It
// returns of how many.
func (w *Webhooks) Replay(ctx context.Context, webhook string, ids ...string) (replayed int, err error) {
	var asked any
	if len(ids) > 0 {
		asked = map[string][]string{"ids": ids}
	}
	var answer struct{ Replayed int }
	err = w.call(ctx, http.MethodPost, "/webhooks/"+url.PathEscape(webhook)+"/replay", asked, &answer)
	return answer.Replayed, err
}

func (w *Webhooks) call(ctx context.Context, method, path string, asked, answer any) error {
	return call(ctx, w.HTTPClient, method, strings.TrimSuffix(w.URL, "/")+path, w.Key, asked, answer)
}

// call makes a request of the server's own API, and reads the answer; nil for none.
func call(ctx context.Context, httpClient *http.Client, method, address, key string, asked, answer any) error {
	return callAs(ctx, httpClient, method, address, "Bearer "+key, asked, answer)
}

// callAs is call with a header Authorization of its own.
func callAs(ctx context.Context, httpClient *http.Client, method, address, authorization string, asked, answer any) error {
	var body []byte
	if asked != nil {
		var err error
		if body, err = json.Marshal(asked); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return unsendable(err)
	}
	req.Header.Set("Authorization", authorization)
	if httpClient == nil {
		httpClient = http.DefaultClient
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return refusal(resp, got)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got, answer)
}
