package function

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// A Call is one event for a function.
type Call struct {
	// Payload is the event, JSON by custom.
	Payload []byte
	// ClientContext is JSON for the function's context; nil for none.
	ClientContext []byte
	// Tail asks for the end of what the function printed meanwhile.
	Tail bool
}

// An Answer is what became of a call.
type Answer struct {
	Payload []byte
	// Log is the end of what was printed, at most 4 KB; nil if not asked for.
	Log []byte
}

// Functions are those of one app.
type Functions struct {
	host *Host
	app  string
}

// Of returns the functions of an app, by its slug.
func (h *Host) Of(app string) Functions { return Functions{h, app} }

// Has reports whether the app has a hosted function of that name.
func (f Functions) Has(name string) bool { return f.host.pools[f.app][name] != nil }

// Invoke calls a function and returns what it answers. It fails with an *Error
// if the function did, with an earshot.Error of the reason Unknown, Busy, Payload
// or Stopped if it was not called, and with one of code Timeout that holds the
// context's error if that ended first: a function that has its event already goes
// on then, as at AWS.
func (f Functions) Invoke(ctx context.Context, name string, payload []byte) ([]byte, error) {
	answer, err := f.Run(ctx, name, Call{Payload: payload})
	return answer.Payload, err
}

// Run is Invoke with all that a call can have. An Answer that comes with an
// *Error has the log too.
func (f Functions) Run(ctx context.Context, name string, c Call) (Answer, error) {
	p, err := f.host.find(f.app, name)
	if err != nil {
		return Answer{}, err
	}
	if len(c.Payload) > MaxPayload {
		return Answer{}, errPayload()
	}
	return p.run(ctx, c)
}

// Enqueue has a function called without waiting for the answer. It fails as
// Invoke does, and with Busy if too much waits. What was taken is run once, also
// if the function fails, and is lost if this process dies: at AWS it would be
// kept and tried three times.
func (f Functions) Enqueue(name string, c Call) error {
	p, err := f.host.find(f.app, name)
	if err != nil {
		return err
	}
	if len(c.Payload) > MaxPayload {
		return errPayload()
	}
	call := newCall(c)
	call.alone = true
	return p.put(call)
}

// A call is a Call on its way. The pool's lock guards what changes.
type call struct {
	Call
	id string
	// alone says that nobody waits for it.
	alone bool
	done  chan struct{} // closed when it has its end
	ended bool
	begun time.Time // given to a process
	timer *time.Timer
	// What became of it, to be read once done is closed.
	answer Answer
	err    error
}

func newCall(c Call) *call { return &call{Call: c, id: newID(), done: make(chan struct{})} }

// run puts a call into the pool and waits for its end.
func (p *pool) run(ctx context.Context, c Call) (Answer, error) {
	call := newCall(c)
	if err := p.put(call); err != nil {
		return Answer{}, err
	}
	select {
	case <-call.done:
		return call.answer, call.err
	case <-ctx.Done():
	}
	if p.withdraw(call) {
		p.log.Warn("no copy of the function was free in time", "request", call.id)
	}
	return Answer{}, gaveUp(p.fn.Name, context.Cause(ctx))
}

// arn names a function as AWS does.
func arn(g *earshot.Gateway, name string) string {
	return "arn:aws:lambda:" + or(g.Region, "us-east-1") + ":" + or(g.Account, "000000000000") + ":function:" + name
}
