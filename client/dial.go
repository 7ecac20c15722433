package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// What a connection may take.
const (
	maxFrame  = 1 << 20
	dialWait  = 15 * time.Second
	helloWait = 15 * time.Second
	pingEvery = 20 * time.Second
	pingWait  = 10 * time.Second
)

func (s *Subscriber) dial(ctx context.Context, by *http.Client) (*websocket.Conn, error) {
	token, err := s.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, &finalError{err}
	}
	q := u.Query()
	q.Set("token", token)
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	socket, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: by})
	if err == nil {
		socket.SetReadLimit(maxFrame)
		return socket, nil
	}
	if resp == nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, withoutURL(err)
	}
	body, _ := io.ReadAll(resp.Body) // at most a kilobyte, which the library has read
	e := refusal(resp, body)
	if e.Status/100 == 4 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout {
		return nil, &finalError{e}
	}
	return nil, e
}

// withoutURL drops the address, in which the token is, from an error.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// api is where the server of the WebSocket answers HTTP.
func (s *Subscriber) api() (string, error) {
	if s.API != "" {
		return strings.TrimSuffix(s.API, "/"), nil
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "ws", "http":
		u.Scheme = "http"
	case "wss", "https":
		u.Scheme = "https"
	default:
		return "", fmt.Errorf("%q does not begin with ws:// or wss://", u.Redacted())
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v1")
	u.RawPath, u.RawQuery, u.Fragment = "", "", ""
	return strings.TrimSuffix(u.String(), "/"), nil
}
