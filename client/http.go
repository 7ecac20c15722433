package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// httpTransport publishes over HTTP.
type httpTransport struct {
	url, key string
	client   *http.Client
	ours     bool // the client is not the program's
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// idleConnections is how many connections to the server wait for the next
// message: as many as a busy backend uses at once. The standard client would
// keep two and dial for the others again and again.
const idleConnections = 64

func newHTTP(c Config) (*httpTransport, error) {
	if c.PublishFunctionARN != "" && c.URL == "" {
		return nil, &ConfigError{Field: "PublishFunctionARN", Text: "is for package client/lambda: make the publisher with lambda.NewPublisher"}
	}
	if err := Need("URL", c.URL, "publishing over HTTP needs the server's address"); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, &ConfigError{Field: "URL", Text: "is not an address that begins with http:// or https://"}
	}
	if err := Need("PublishKey", c.PublishKey, "publishing over HTTP needs a publish key"); err != nil {
		return nil, err
	}
	t := &httpTransport{url: strings.TrimSuffix(c.URL, "/") + "/publish", key: c.PublishKey, client: c.HTTPClient}
	if t.client == nil {
		t.client, t.ours = newHTTPClient(), true
	}
	return t, nil
}

// newHTTPClient keeps connections, and takes no redirect: it would turn a POST
// into a GET, and show the key to somebody else.
func newHTTPClient() *http.Client {
	made := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		own := standard.Clone()
		own.MaxIdleConnsPerHost = idleConnections
		made.Transport = own
	}
	return made
}

func (t *httpTransport) Batches() bool { return true }

func (t *httpTransport) Close() {
	if t.ours {
		t.client.CloseIdleConnections()
	}
}

func (t *httpTransport) Send(ctx context.Context, body []byte) (*Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return nil, unsendable(err)
	}
	r.Header.Set("Authorization", "Bearer "+t.key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, refusal(resp, got)
	}
	return &Answer{Status: resp.StatusCode, Raw: got}, nil
}
