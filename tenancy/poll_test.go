package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// A polled is an answer to a long poll of Phoenix.
type polled struct {
	Status   int
	Token    string
	Messages []string
}

// poll connects by long polls of Phoenix.
func (l *listener) poll(d door) error {
	client := &http.Client{Transport: &http.Transport{}}
	ctx, cancel := context.WithCancel(context.Background())
	first, err := l.request(ctx, client, http.MethodGet, d, "", "")
	if err == nil && (first.Status != http.StatusGone || first.Token == "") {
		err = fmt.Errorf("a long poll is answered %d", first.Status)
	}
	if err != nil {
		cancel()
		client.CloseIdleConnections()
		return err
	}
	over := make(chan struct{})
	l.shut = func() { cancel(); <-over; client.CloseIdleConnections() }
	l.Cleanup(l.shut)
	l.write = func(text string) error {
		posted, err := l.request(ctx, client, http.MethodPost, d, first.Token, text)
		if err == nil && posted.Status == http.StatusGone {
			l.end(errors.New("the session is gone"))
			return nil
		}
		if err == nil && posted.Status != http.StatusOK {
			err = fmt.Errorf("a post is answered %d", posted.Status)
		}
		return err
	}
	go func() {
		defer close(over)
		for {
			got, err := l.request(ctx, client, http.MethodGet, d, first.Token, "")
			if err == nil && got.Token != first.Token {
				err = fmt.Errorf("the session is gone: %d", got.Status)
			}
			if err != nil {
				l.end(err)
				return
			}
			for _, m := range got.Messages {
				l.take(m)
			}
		}
	}()
	return nil
}

// request makes one request of a long poll.
func (l *listener) request(ctx context.Context, c *http.Client, method string, d door, token, body string) (p polled, err error) {
	url := "http://" + l.node.addr + d.path
	if token != "" {
		url += "&token=" + token
	}
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return p, err
	}
	r.Host = d.host
	r.Header.Set("Content-Type", "application/x-ndjson")
	for name, value := range d.header {
		r.Header.Set(name, value)
	}
	resp, err := c.Do(r)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(text, &p)
}
