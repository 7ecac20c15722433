package invoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/guard"
)

// A Config is what a Backend works with.
type Config struct {
	// Guard decides what APIs that were made at run time may call; by default
	// public addresses alone.
	Guard *guard.Guard
	// Functions runs functions on this server; nil where none are.
	Functions gateway.Functions
}

// A Backend calls integrations and authorizers. It is safe for concurrent use, and
// has no goroutines of its own but those of connections that wait for the next
// call, which Close ends.
type Backend struct {
	guard           *guard.Guard
	functions       gateway.Functions
	trusted, public *http.Client
	lanes           lanes
	held            budget
	figures         figures
}

var _ gateway.Backend = (*Backend)(nil)

// New makes a backend.
func New(c Config) *Backend {
	if c.Guard == nil {
		c.Guard = guard.Public()
	}
	return &Backend{
		guard: c.Guard, functions: c.Functions, trusted: newClient(nil), public: newClient(c.Guard),
		lanes: lanes{all: map[laneName]*lane{}, sweepAt: minSweep}, held: budget{limit: maxHeld, apps: map[string]int64{}},
	}
}

// Close ends the connections that wait for the next call. Calls under way end as
// their contexts do.
func (b *Backend) Close() {
	b.trusted.CloseIdleConnections()
	b.public.CloseIdleConnections()
}

// Integrate calls the integration of the event's route.
func (b *Backend) Integrate(ctx context.Context, a *earshot.App, e *gateway.Event) (*gateway.Answer, error) {
	n := e.Route.Integration
	if n.Type == earshot.Mock {
		return e.Mock()
	}
	c := &call{
		b: b, app: a, event: e, to: e.Route.Calls, trusted: e.Stage.API.Trusted,
		lane:  laneName{app: a.Slug, api: e.Stage.API.ID, id: n.ID, target: targetName(e.Route.Calls)},
		limit: n.Concurrency, timeout: e.Route.Timeout(),
	}
	var answer *gateway.Answer
	err := c.run(ctx, e.Type, func(ctx context.Context) (err error) {
		answer, err = c.integrate(ctx, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	if answer.Status >= http.StatusBadRequest {
		b.figures.refusals.Add(1)
	}
	return answer, nil
}

// Authorize asks the authorizer of the event's route. The verdict knows how long
// that took.
func (b *Backend) Authorize(ctx context.Context, a *earshot.App, e *gateway.Event) (*gateway.Verdict, error) {
	if err := e.Identify(); err != nil {
		b.figures.fail(gateway.NoIdentity)
		return nil, err
	}
	c := &call{
		b: b, app: a, event: e, to: e.Route.Asks, trusted: e.Stage.API.Trusted,
		lane:    laneName{app: a.Slug, api: e.Stage.API.ID, id: e.Route.Authorizer.ID, authorizer: true, target: targetName(e.Route.Asks)},
		timeout: gateway.AuthorizerTimeout,
	}
	begun := time.Now()
	var verdict *gateway.Verdict
	err := c.run(ctx, authorizing, func(ctx context.Context) (err error) {
		verdict, err = c.authorize(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	verdict.SetLatency(time.Since(begun).Milliseconds())
	return verdict, nil
}

// targetName tells targets apart.
func targetName(t *gateway.Target) string {
	if t.Function != nil {
		return t.Function.ARN
	}
	return t.URL
}

// A call is one call of an integration or authorizer.
type call struct {
	b       *Backend
	app     *earshot.App
	event   *gateway.Event
	to      *gateway.Target
	trusted bool
	lane    laneName
	limit   int
	timeout time.Duration
	held    int64 // bytes of the answer, of the budget
}

// run makes the call, if its lane is open, and counts what becomes of it.
func (c *call) run(ctx context.Context, kind string, do func(context.Context) error) error {
	f := &c.b.figures
	f.count(kind)
	pass, err := c.b.lanes.enter(c.lane, c.limit, time.Now())
	if err != nil {
		f.fail(gateway.Overloaded)
		return &gateway.Failure{Kind: gateway.Overloaded, Err: err}
	}
	begun, shown := time.Now(), unsaid
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, errTooLate)
	defer func() { // also if it panics
		cancel()
		c.b.held.give(c.app.Slug, c.held)
		f.took(time.Since(begun))
		pass.leave(shown, time.Now())
	}()
	err = do(limited)
	shown = outcomeOf(ctx, err)
	if err == nil {
		return nil
	}
	failure := gateway.FailureOf(err)
	f.fail(failure.Kind)
	return failure
}

var errTooLate = errors.New("it took too long")

// outcomeOf says what a call shows about whether its backend can be reached.
func outcomeOf(ctx context.Context, err error) outcome {
	switch {
	case err == nil:
		return reached
	case ctx.Err() != nil:
		return unsaid // the caller gave up
	}
	switch gateway.FailureOf(err).Kind {
	case gateway.Unreachable:
		return unreached
	case gateway.Misconfigured, gateway.Overloaded:
		return unsaid
	}
	var down *downError
	if errors.As(err, &down) {
		return unreached
	}
	return reached
}

func (c *call) integrate(ctx context.Context, n *earshot.GatewayIntegration) (*gateway.Answer, error) {
	if n.Type == earshot.AWSProxy {
		payload, err := c.event.JSON()
		if err != nil {
			return nil, &gateway.Failure{Kind: gateway.Misconfigured, Err: err}
		}
		answer, err := c.function(ctx, payload, n.Asynchronous)
		if err != nil {
			return nil, err
		}
		if n.Asynchronous {
			return &gateway.Answer{Status: http.StatusOK}, nil
		}
		return c.event.ReadProxy(answer)
	}
	request, err := c.event.Request()
	if err != nil {
		return nil, err
	}
	if n.Type == earshot.HTTPEvent {
		return c.postEvent(ctx, request)
	}
	got, err := c.send(ctx, request, c.replyLimit())
	if err != nil {
		return nil, err
	}
	return c.event.ReadHTTP(got.status, got.header, got.body)
}

// replyLimit is how much of an HTTP integration's answer anybody is to have.
func (c *call) replyLimit() int64 {
	if c.event.Type == gateway.Message && c.event.Route.TwoWay() {
		return gateway.MaxReply
	}
	return unread
}

// postEvent calls an HTTP_EVENT integration.
func (c *call) postEvent(ctx context.Context, r *gateway.Request) (*gateway.Answer, error) {
	c.sign(r)
	got, err := c.send(ctx, r, maxEventAnswer)
	if err != nil {
		return nil, err
	}
	if got.status < 200 || got.status > 299 {
		return nil, &gateway.Failure{Kind: gateway.Raised, Err: fmt.Errorf("the backend answered %d", got.status)}
	}
	return c.event.ReadProxy(got.body)
}
