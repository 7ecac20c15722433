package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/earshot-io/earshot"
)

// Bounds of one request.
const (
	maxAnswer     = 64 << 10
	maxRetryAfter = time.Hour
	maxReason     = 300
)

// A poster posts to one webhook. It is safe for concurrent use.
type poster struct {
	url     string
	keys    [][]byte
	client  *http.Client
	timeout time.Duration
}

func newPoster(w *earshot.Webhook, timeout time.Duration) (*poster, error) {
	if err := CheckURL(w.URL, w.Trusted); err != nil {
		return nil, fmt.Errorf("webhook %s: url: %w", w.ID, err)
	}
	p := &poster{url: w.URL, client: newClient(w.Trusted, timeout), timeout: timeout}
	for _, s := range w.Secrets {
		key, err := DecodeSecret(s)
		if err != nil {
			return nil, fmt.Errorf("webhook %s: secret: %w", w.ID, err)
		}
		p.keys = append(p.keys, key)
	}
	if len(p.keys) == 0 {
		return nil, fmt.Errorf("webhook %s: it has no secret", w.ID)
	}
	return p, nil
}

func (p *poster) close() { p.client.CloseIdleConnections() }

// A refusal is why a try failed.
type refusal struct {
	reason string
	after  time.Duration // the receiver asks for that much patience
	gone   bool          // it will never take it
	away   bool          // nobody was there, rather than that this event was not liked
}

// post tries once; nil is success.
func (p *poster) post(ctx context.Context, id string, body []byte) *refusal {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return &refusal{reason: "the request could not be made"}
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Earshot")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", timestamp)
	req.Header.Set("webhook-signature", Sign(p.keys, id, timestamp, body))
	resp, err := p.client.Do(req)
	if err != nil {
		return &refusal{reason: cut(reasonOf(err)), away: true}
	}
	defer resp.Body.Close()
	// What is read to its end leaves the connection fit for the next request.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	return judge(resp)
}

// judge reads the answer's status.
func judge(resp *http.Response) *refusal {
	status := resp.StatusCode
	if status >= 200 && status <= 299 {
		return nil
	}
	r := &refusal{reason: "status " + strconv.Itoa(status), gone: status == http.StatusGone}
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		r.away, r.after = true, retryAfter(resp.Header.Get("Retry-After"))
	}
	return r
}

func retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return min(time.Duration(min(n, 1<<20))*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(time.Until(t), 0), maxRetryAfter)
	}
	return 0
}

// reasonOf says why a request failed without the address, which may hold a secret.
func reasonOf(err error) string {
	var where *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &where):
		return where.Err.Error()
	}
	return err.Error()
}

func cut(s string) string {
	if len(s) > maxReason {
		return s[:maxReason]
	}
	return s
}
