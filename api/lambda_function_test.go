package api_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
)

// functions has one function, fn-echo, of the app one. It remembers its calls.
type functions struct {
	calls  []api.FunctionCall
	later  []api.FunctionCall
	err    error
	failed bool
	takes  time.Duration
}

func (f *functions) Has(a *earshot.App, name string) bool {
	return a.Slug == "one" && name == "fn-echo"
}

func (f *functions) Call(ctx context.Context, _ *earshot.App, _ string, c api.FunctionCall) (api.FunctionAnswer, error) {
	f.calls = append(f.calls, c)
	select {
	case <-time.After(f.takes):
	case <-ctx.Done():
		return api.FunctionAnswer{}, context.Cause(ctx)
	}
	answer := api.FunctionAnswer{Payload: c.Payload, Failed: f.failed}
	if c.Tail {
		answer.Log = []byte("the log")
	}
	return answer, f.err
}

func (f *functions) Later(_ *earshot.App, _ string, c api.FunctionCall) error {
	f.later = append(f.later, c)
	return f.err
}

const echoPath = "/2015-03-31/functions/fn-echo/invocations"

func TestHostedFunction(t *testing.T) {
	w := newWorld(t)
	tail := http.Header{"X-Amz-Log-Type": {"Tail"}, "X-Amz-Client-Context": {base64.StdEncoding.EncodeToString([]byte(`{"custom":{}}`))}}
	r := w.invoke(call{url: echoPath, body: `{"a":1}`, header: tail})
	if r.Code != 200 || r.Body.String() != `{"a":1}` || r.Header().Get("X-Amz-Function-Error") != "" || r.Header().Get("X-Amz-Executed-Version") != "$LATEST" ||
		r.Header().Get("X-Amz-Log-Result") != base64.StdEncoding.EncodeToString([]byte("the log")) {
		t.Errorf("got %d %v %s", r.Code, r.Header(), r.Body)
	}
	if c := w.functions.calls[0]; string(c.ClientContext) != `{"custom":{}}` || !c.Tail {
		t.Errorf("got %+v", c)
	}
	r = w.invoke(call{url: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Ar%3A111111111111%3Afunction%3Afn-echo%3Aprod/invocations"})
	w.wants(r, 200, "{}") // an empty event is {}
	w.functions.failed = true
	r = w.invoke(call{url: echoPath, body: `{"errorMessage":"boom","errorType":"E"}`})
	if r.Code != 200 || r.Header().Get("X-Amz-Function-Error") != "Unhandled" || !strings.Contains(r.Body.String(), "boom") {
		t.Errorf("got %d %v %s", r.Code, r.Header(), r.Body)
	}
	n := len(w.functions.calls)
	w.wants(w.invoke(call{url: echoPath, body: `{}`, kind: "DryRun"}), 204, "")
	w.wants(w.invoke(call{url: echoPath, body: `{"b":2}`, kind: "Event", header: tail}), 202, "")
	if len(w.functions.calls) != n || len(w.functions.later) != 1 || string(w.functions.later[0].Payload) != `{"b":2}` {
		t.Errorf("got %+v and %+v", w.functions.calls, w.functions.later)
	}
	large := `"` + strings.Repeat("x", 5<<20) + `"`
	w.wants(w.invoke(call{url: echoPath, body: large}), 200, "xxx")
	w.wantsException(w.invoke(call{url: echoPath, body: large, kind: "Event"}), 413, "RequestEntityTooLargeException", "1048576")
	w.wantsException(w.invoke(call{url: echoPath, body: `"` + strings.Repeat("x", 6<<20) + `"`}), 413, "RequestEntityTooLargeException", "6291456")
	w.wantsException(w.invoke(call{body: large}), 413, "RequestEntityTooLargeException", "1048576") // what publishes keeps its bound
	w.wantsException(w.invoke(call{url: echoPath, body: `{`}), 400, "InvalidRequestContentException", "json")
	w.wantsException(w.invoke(call{url: echoPath, header: http.Header{"X-Amz-Client-Context": {"!"}}}), 400, "InvalidRequestContentException", "context")
	w.wantsException(w.invoke(call{url: echoPath, kind: "Other"}), 400, "ValidationException", "")
	if len(w.hub.all) != 0 {
		t.Error("something was published")
	}
}

// TestHostedRefusals: who may not, does not; and it is the app's own function alone.
func TestHostedRefusals(t *testing.T) {
	w := newWorld(t)
	w.wantsException(w.invoke(call{url: echoPath, id: "AK2", secret: "secret-narrow"}), 403, "AccessDeniedException", "fn-echo")
	w.wantsException(w.invoke(call{url: echoPath, unsigned: true}), 403, "MissingAuthenticationTokenException", "")
	w.wants(w.invoke(call{url: echoPath, body: hello, id: "AK3", secret: "secret-two"}), 200, `"channel":"c"`) // publishes
	if len(w.functions.calls) != 0 || len(w.hub.all) != 1 {
		t.Errorf("got %+v, %d published", w.functions.calls, len(w.hub.all))
	}
	for code, want := range map[earshot.Code]int{earshot.Limited: 429, earshot.Shutdown: 503, earshot.Timeout: 503, earshot.Internal: 500, earshot.TooLarge: 413} {
		w.functions.err = &earshot.Error{Code: code, Reason: "R", Text: "a text"}
		for _, kind := range []string{"", "Event"} {
			r := w.invoke(call{url: echoPath, kind: kind})
			if r.Code != want || r.Header().Get("X-Amzn-Errortype") == "" {
				t.Errorf("%v %s: got %d %s", code, kind, r.Code, r.Body)
			}
		}
	}
}

// A line is a listener of one connection.
type line struct {
	conns chan net.Conn
	net.Listener
}

func (l line) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l line) Close() error   { return nil }
func (l line) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowFunction: a function may take longer than the server gives requests to be
// read and answered.
func TestSlowFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.functions.takes = 10 * time.Minute
		here, there := net.Pipe()
		l := line{conns: make(chan net.Conn, 1)}
		l.conns <- there
		close(l.conns)
		s := &http.Server{Handler: w.lambda, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute}
		ended := make(chan error)
		go func() { ended <- s.Serve(l) }()
		r, err := http.NewRequest(http.MethodPost, "http://server.example"+echoPath, strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		w.sign(r, call{body: `{"a":1}`})
		go func() { _ = r.Write(here) }()
		resp, err := http.ReadResponse(bufio.NewReader(here), r)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != `{"a":1}` {
			t.Errorf("got %s, %v", body, err)
		}
		_ = here.Close()
		_ = s.Close()
		<-ended
	})
}
