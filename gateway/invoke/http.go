package invoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/guard"
	"github.com/earshot-io/earshot/webhook"
)

// Bounds of a call.
const (
	dialTimeout = 10 * time.Second
	// idleTime is how long a connection waits for the next call. It is shorter than
	// what servers wait (Node.js has 5 s): a request on a connection that is just
	// being closed fails, and cannot be sent again.
	idleTime        = 4 * time.Second
	idlePerHost     = 256
	idleConnections = 4096

	maxFunctionAnswer = 6 << 20
	maxEventAnswer    = 1 << 20
	// unread is of an answer that nobody is to have.
	unread = -1
	// maxDrained is what is read of such a one, to use the connection again, and
	// drainTime how long.
	maxDrained = 64 << 10
	drainTime  = 100 * time.Millisecond
	// maxHeld is how much of answers may be held by all calls together, beyond the
	// first heldFree of each.
	maxHeld  = 256 << 20
	heldFree = 64 << 10
)

// newClient makes a client without proxy, redirects and cookies. Without a guard
// it may go everywhere.
func newClient(g *guard.Guard) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	dial := dialer.DialContext
	if g != nil {
		dial = g.Dial(dialer)
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dial, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxIdleConns: idleConnections, MaxIdleConnsPerHost: idlePerHost, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// An answer is what came over HTTP.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// client is the one that may call where the call goes.
func (c *call) client(address string) (*http.Client, error) {
	if c.trusted {
		return c.b.trusted, nil
	}
	if err := c.b.guard.CheckURL(address, false); err != nil {
		return nil, &gateway.Failure{Kind: gateway.Misconfigured, Err: fmt.Errorf("the address cannot be called: %w", err)}
	}
	return c.b.public, nil
}

// send sends a request and reads up to limit bytes of what comes back.
func (c *call) send(ctx context.Context, r *gateway.Request, limit int64) (*answer, error) {
	client, err := c.client(r.URL)
	if err != nil {
		return nil, err
	}
	req, err := newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.exchange(client, req, limit)
}

func newRequest(ctx context.Context, r *gateway.Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, &gateway.Failure{Kind: gateway.Misconfigured, Err: errors.New("the request could not be made")}
	}
	req.Header = r.Header
	// Go would send it again on another connection, if it thinks that it may.
	req.GetBody = nil
	return req, nil
}

func (c *call) exchange(client *http.Client, req *http.Request, limit int64) (*answer, error) {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, failure(req.Context(), err)
	}
	defer resp.Body.Close()
	got := &answer{status: resp.StatusCode, header: resp.Header}
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return got, nil // to what, nobody here knows
	case limit == unread:
		enough := time.AfterFunc(drainTime, cancel)
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrained)
		enough.Stop()
		return got, nil
	}
	if got.body, err = c.read(resp.Body, limit); err != nil {
		return nil, failure(req.Context(), err)
	}
	return got, nil
}

// failure says what it means that a request failed, without the address, which
// may hold a secret.
func failure(ctx context.Context, err error) error {
	var f *gateway.Failure
	var where *url.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(context.Cause(ctx), errTooLate):
		return &gateway.Failure{Kind: gateway.TimedOut, Err: errTooLate}
	case ctx.Err() != nil:
		return &gateway.Failure{Kind: gateway.TimedOut, Err: context.Cause(ctx)}
	case errors.Is(err, guard.ErrInternal):
		return &gateway.Failure{Kind: gateway.Misconfigured, Err: guard.ErrInternal}
	case errors.As(err, &where):
		err = where.Err
	}
	return &gateway.Failure{Kind: gateway.Unreachable, Err: err}
}

// read reads a body of up to limit bytes. What is more than a little is taken of
// the budget, until the call has ended.
func (c *call) read(from io.Reader, limit int64) ([]byte, error) {
	var body bytes.Buffer
	for free := int64(heldFree); ; free *= 2 {
		if free > heldFree {
			if !c.b.held.take(c.app.Slug, free/2) {
				return nil, &gateway.Failure{Kind: gateway.Overloaded, Err: errors.New("too much of other answers is held")}
			}
			c.held += free / 2
		}
		_, err := io.CopyN(&body, from, min(free, limit+1)-int64(body.Len()))
		switch {
		case err == io.EOF:
			return body.Bytes(), nil
		case err != nil:
			return nil, err
		case int64(body.Len()) > limit:
			return nil, &gateway.Failure{Kind: gateway.Malformed, Err: fmt.Errorf("the answer is longer than %d bytes", limit)}
		}
	}
}

// sign signs an event that is posted, as webhooks are signed.
func (c *call) sign(r *gateway.Request) {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		r.Header.Del(name)
	}
	if len(c.app.Secrets) == 0 {
		return
	}
	keys := make([][]byte, len(c.app.Secrets))
	for i, secret := range c.app.Secrets {
		keys[i] = signingKey(secret)
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("webhook-id", c.event.RequestID)
	r.Header.Set("webhook-timestamp", timestamp)
	r.Header.Set("webhook-signature", webhook.Sign(keys, c.event.RequestID, timestamp, r.Body))
}

func signingKey(secret string) []byte {
	if key, err := webhook.DecodeSecret(secret); err == nil {
		return key
	}
	return []byte(secret)
}

// functionURL is the address of a function at a service with Lambda's API.
func functionURL(f *earshot.GatewayFunction, fn *gateway.Function, region string) string {
	const path = "/2015-03-31/functions/"
	name, base := fn.Name, f.Endpoint
	if base == "" {
		base = "https://lambda." + region + ".amazonaws.com"
		if strings.HasPrefix(fn.ARN, "arn:aws-cn:") {
			base += ".cn"
		}
		if strings.HasPrefix(fn.ARN, "arn:") {
			name = strings.TrimSuffix(fn.ARN, ":"+fn.Qualifier)
		}
	}
	if !strings.Contains(base, path) {
		base = strings.TrimRight(base, "/") + path + strings.ReplaceAll(name, ":", "%3A") + "/invocations"
	}
	if fn.Qualifier != "" {
		base += "?Qualifier=" + url.QueryEscape(fn.Qualifier)
	}
	return base
}
