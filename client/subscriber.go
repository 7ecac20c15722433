package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// A Subscriber hears channels and stays connected. Its fields are set before
// Run and not changed afterwards.
type Subscriber struct {
	// URL is where the server upgrades, as in ws://127.0.0.1:8080/v1.
	URL string
	// API is where it answers HTTP, as in http://127.0.0.1:8080; without it, that is
	// made of URL.
	API string
	// Token returns a token; it is asked for each connection. An error is tried
	// again like a connection that fails.
	Token func(context.Context) (string, error)
	// Channels are those to hear, by name or alias. Channels that the token
	// subscribes to (autoSubscribe) are heard without being listed, but what was
	// missed of them between two connections is lost.
	Channels []string
	// SubscribeToken returns a token for one channel and this connection; it is
	// asked for each subscription, empty for none. nil is none for all.
	SubscribeToken func(ctx context.Context, channel, connectionID string) (string, error)
	// After holds, for some channels, the id of the last message that was seen,
	// or "0" for the beginning of what is stored. What came later is heard first.
	After map[string]string
	// OnMessage is given every message, in the order of its channel. It is called
	// by Run; an error ends it. While it runs nothing is read, so a server may find
	// one that takes minutes too slow and end the connection.
	OnMessage func(Received) error
	// OnNotice is told everything else, by Run, in the order in which it comes; nil
	// for nothing.
	OnNotice func(Notice)
	// Heartbeat is the heartbeatTimeout of the token, if it has one: a heartbeat is
	// sent before it is over.
	Heartbeat time.Duration
	// FirstDelay and MaxDelay bound the wait before another connection, by
	// default 250 ms and 20 s.
	FirstDelay, MaxDelay time.Duration
	// HTTPClient connects and makes the calls of a Connection; without it, there is
	// one of our own.
	HTTPClient *http.Client
}

// A Received is a message that was heard.
type Received struct {
	// ID is the message's; it is a position, too, if the channel is logged.
	ID      string `json:"id"`
	Event   string `json:"event"`
	Channel string `json:"channel"`
	// Data is the JSON value.
	Data json.RawMessage `json:"data"`
	// Meta says who sent it, if a client did: {"uid":…,"umd":…}.
	Meta json.RawMessage `json:"meta,omitempty"`
}

// Sender returns the user who sent the message, and whether a client did.
func (r Received) Sender() (who Member, ok bool) {
	if len(r.Meta) == 0 || json.Unmarshal(r.Meta, &who) != nil {
		return Member{}, false
	}
	return who, true
}

// steadyFor is how long a connection lasts to make the next one come soon again.
const steadyFor = 10 * time.Second

// A place is how far a channel was heard.
type place struct {
	// after is the id of the last message, empty if there was none.
	after string
	// ticket proves to the server that the channel was heard before.
	ticket string
	// heard says that it was heard before, or is to be heard from somewhere.
	heard bool
	// asked says that the program wants it; else the token did.
	asked bool
}

// Run hears the channels until the context ends, a message's handler fails, or
// the server refuses what trying again would not change: the token, or a channel.
func (s *Subscriber) Run(ctx context.Context) error {
	seen := map[string]*place{}
	for _, channel := range s.Channels {
		after := s.After[channel]
		seen[channel] = &place{after: after, heard: after != "", asked: true}
	}
	caller := s.HTTPClient
	if caller == nil {
		caller = newHTTPClient()
		defer caller.CloseIdleConnections()
	}
	for try := 0; ; try++ {
		begun := time.Now()
		err := s.once(ctx, seen, caller)
		var final *finalError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &final):
			return final.error
		case time.Since(begun) > steadyFor:
			try = 0
		}
		wait := s.delay(try, err)
		s.notice(Disconnected{Err: err, Retry: wait})
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// A finalError is one that trying again would not change.
type finalError struct{ error }

// delay doubles with every try, and is never the same for everybody.
func (s *Subscriber) delay(try int, err error) time.Duration {
	first, most := s.FirstDelay, s.MaxDelay
	if first <= 0 {
		first = 250 * time.Millisecond
	}
	if most <= 0 {
		most = 20 * time.Second
	}
	wait := min(first<<min(try, 20), most)
	wait = wait/2 + rand.N(wait/2+1)
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > wait {
		wait = e.RetryAfter + rand.N(wait+1)
	}
	return wait
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Subscriber) notice(n Notice) {
	if s.OnNotice != nil {
		s.OnNotice(n)
	}
}

// once is one connection: its error says why it ended.
func (s *Subscriber) once(ctx context.Context, seen map[string]*place, caller *http.Client) error {
	api, err := s.api()
	if err != nil {
		return &finalError{err}
	}
	socket, err := s.dial(ctx, caller)
	if err != nil {
		return err
	}
	defer socket.CloseNow()
	ctx, cancel := context.WithCancelCause(ctx)
	l := &link{
		s: s, socket: socket, fail: cancel, seen: seen, names: map[string]*place{},
		caller: caller, api: api, hello: time.AfterFunc(helloWait, func() { cancel(errSilent) }),
	}
	defer l.end()
	l.work.Go(func() { l.keepAlive(ctx) })
	err = l.hear(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

// end stops what the connection began, and waits for it.
func (l *link) end() {
	l.hello.Stop()
	l.fail(nil)
	l.work.Wait()
}

func finally(format string, args ...any) error { return &finalError{fmt.Errorf(format, args...)} }
