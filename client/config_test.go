package client_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/earshot-io/earshot/client"
)

// TestConfigNamesWhatIsMissing, of each half.
func TestConfigNamesWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		config      client.Config
		field, want string
	}{
		"no key to publish": {client.Config{URL: "http://h"}, "PublishKey", "is missing"},
		"no URL":            {client.Config{PublishKey: "k"}, "URL", "is missing"},
		"no scheme":         {client.Config{URL: "h:80", PublishKey: "k"}, "URL", "http://"},
		"not HTTP":          {client.Config{URL: "ws://h", PublishKey: "k"}, "URL", "http://"},
		"no host":           {client.Config{URL: "http://", PublishKey: "k"}, "URL", "http://"},
		"no address":        {client.Config{URL: "http://%zz", PublishKey: "k"}, "URL", "http://"},
		"Lambda":            {client.Config{PublishFunctionARN: "f", AWSRegion: "r"}, "PublishFunctionARN", "client/lambda"},
		"no key to sign":    {client.Config{URL: "http://h", PublishKey: "k", IssuerKeyID: "i"}, "IssuerPrivateKey", "is missing"},
		"half a base64":     {client.Config{IssuerPrivateKeyBase64: true}, "IssuerPrivateKey", "is missing"},
		"nothing":           {client.Config{}, "URL", "is missing"},
	} {
		_, err := client.New(c.config)
		var e *client.ConfigError
		if !errors.As(err, &e) || e.Field != c.field || !strings.Contains(err.Error(), "Config."+c.field) || !strings.Contains(e.Text, c.want) {
			t.Errorf("%s: got %v, want %s %s", name, err, c.field, c.want)
		}
	}
}

// TestHalves: a half that is not configured says so when it is used.
func TestHalves(t *testing.T) {
	var e *client.ConfigError
	signs, err := client.New(client.Config{IssuerPrivateKey: secret, IssuerKeyAlgorithm: "HS256"})
	if err != nil {
		t.Fatal(err)
	}
	defer signs.Close()
	if _, err := signs.Issue(nil); err != nil {
		t.Error(err)
	}
	if _, err := signs.Publish(t.Context(), client.Message{}); !errors.As(err, &e) || e.Field != "URL" {
		t.Errorf("publishing: %v", err)
	}
	if _, err := signs.PublishAll(t.Context(), nil); !errors.As(err, &e) || e.Field != "URL" {
		t.Errorf("publishing: %v", err)
	}
	via := &oneByOne{}
	publishes, err := client.New(client.Config{Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publishes.Publish(t.Context(), client.Message{}); err != nil || len(via.sent) != 1 {
		t.Error(err)
	}
	if _, err := publishes.Issue(nil); !errors.As(err, &e) || e.Field != "IssuerPrivateKey" {
		t.Errorf("issuing: %v", err)
	}
}

// TestDefault is configured once, whoever else tries.
func TestDefault(t *testing.T) {
	client.Forget()
	t.Cleanup(client.Forget)
	if _, err := client.Default().Publish(t.Context(), client.Message{}); !errors.Is(err, client.ErrNotConfigured) {
		t.Errorf("publishing: %v", err)
	}
	if _, err := client.Default().PublishAll(t.Context(), nil); !errors.Is(err, client.ErrNotConfigured) {
		t.Errorf("publishing: %v", err)
	}
	if _, err := client.Default().Issue(nil); !errors.Is(err, client.ErrNotConfigured) {
		t.Errorf("issuing: %v", err)
	}
	client.Default().Close()
	if err := client.Configure(client.Config{}); err == nil || client.Default() != nil {
		t.Errorf("an empty one: %v", err)
	}
	var all sync.WaitGroup
	var made, refused atomic.Int32
	for range 8 {
		all.Go(func() {
			switch err := client.Configure(client.Config{IssuerPrivateKey: secret, IssuerKeyAlgorithm: "HS256"}); {
			case err == nil:
				made.Add(1)
			case errors.Is(err, client.ErrConfigured):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 || refused.Load() != 7 {
		t.Errorf("it was configured %d times and refused %d times", made.Load(), refused.Load())
	}
	first := client.Default()
	if _, err := first.Issue(nil); err != nil {
		t.Error(err)
	}
	if client.Default() != first {
		t.Error("there is another one now")
	}
}

// TestOwnHTTPClient: a program's client is used, and not closed.
func TestOwnHTTPClient(t *testing.T) {
	b := answers(t, reply{status: 202, body: `{}`})
	via := &counted{RoundTripper: http.DefaultTransport}
	p, err := client.NewPublisher(client.Config{URL: b.server.URL, PublishKey: "k", HTTPClient: &http.Client{Transport: via}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), client.Message{}); err != nil || via.requests.Load() != 1 {
		t.Errorf("%v, %d requests", err, via.requests.Load())
	}
	p.Close()
	if via.closed.Load() != 0 {
		t.Error("it was closed")
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

type counted struct {
	http.RoundTripper
	requests, closed atomic.Int32
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func (c *counted) CloseIdleConnections() { c.closed.Add(1) }
