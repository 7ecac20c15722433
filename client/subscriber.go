package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// A Subscriber hears channels and stays connected. Its fields are set before
// Run and not changed afterwards.
type Subscriber struct {
	// URL is where the server upgrades, as in ws://127.0.0.1:8080/v1.
	URL string
	// Token returns a token; it is asked for each connection.
	Token func(context.Context) (string, error)
	// Channels are those to hear.
	Channels []string
	// After holds, for some channels, the id of the last message that was seen,
	// or "0" for the beginning of what is stored. What came later is heard first.
	After map[string]string
	// OnMessage is given every message, in the order of its channel. It is called
	// by Run; an error ends it.
	OnMessage func(Received) error
	// OnNotice is told what happens to the connection; nil for nothing.
	OnNotice func(Notice)
	// FirstDelay and MaxDelay bound the wait before another connection, by
	// default 250 ms and 20 s.
	FirstDelay, MaxDelay time.Duration
}

// A Received is a message that was heard.
type Received struct {
	// ID is the message's; it is a position, too, if the channel is logged.
	ID      string `json:"id"`
	Event   string `json:"event"`
	Channel string `json:"channel"`
	// Data is the JSON value.
	Data json.RawMessage `json:"data"`
	// Meta says who sent it, if a client did.
	Meta json.RawMessage `json:"meta,omitempty"`
}

// A Notice is something that happened to the connection.
type Notice struct {
	// Kind is what.
	Kind NoticeKind
	// Channel is the channel of Subscribed and Broken.
	Channel string
	// Err is why the connection ended, and Retry when the next is tried.
	Err   error
	Retry time.Duration
}

// A NoticeKind is what happened.
type NoticeKind uint8

// The kinds.
const (
	// Connected is that there is a connection.
	Connected NoticeKind = iota
	// Subscribed is that a channel is heard.
	Subscribed
	// Broken is that a channel is heard again, and messages between the last one
	// and now may have been lost.
	Broken
	// Disconnected is that the connection ended.
	Disconnected
)

// frame is any message of the server.
type frame struct {
	Received
	Error *Error
}

const (
	maxFrame  = 1 << 20
	pingEvery = 20 * time.Second
	pingWait  = 10 * time.Second
	// steadyFor is how long a connection lasts to make the next one come soon again.
	steadyFor = 10 * time.Second
)

// Run hears the channels until the context ends, a message's handler fails, or
// the server refuses what trying again would not change: the token, or a channel.
func (s *Subscriber) Run(ctx context.Context) error {
	seen := map[string]*place{}
	for _, channel := range s.Channels {
		seen[channel] = &place{after: s.After[channel]}
	}
	for try := 0; ; try++ {
		begun := time.Now()
		err := s.once(ctx, seen)
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
		s.notice(Notice{Kind: Disconnected, Err: err, Retry: wait})
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
func (s *Subscriber) once(ctx context.Context, seen map[string]*place) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pinging := make(chan struct{})
	go func() {
		defer close(pinging)
		keepAlive(ctx, cancel, conn)
	}()
	err = s.hear(ctx, conn, seen)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	<-pinging
	return err
}

func (s *Subscriber) dial(ctx context.Context) (*websocket.Conn, error) {
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
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, u.String(), nil)
	if err == nil {
		conn.SetReadLimit(maxFrame)
		return conn, nil
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

// keepAlive pings, and ends the connection if nobody answers.
func keepAlive(ctx context.Context, cancel context.CancelCauseFunc, conn *websocket.Conn) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		wait, done := context.WithTimeout(ctx, pingWait)
		err := conn.Ping(wait)
		done()
		if err != nil {
			cancel(errors.New("the server does not answer"))
			return
		}
	}
}

// hear handles what the server sends, until the connection ends.
func (s *Subscriber) hear(ctx context.Context, conn *websocket.Conn, seen map[string]*place) error {
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var f frame
		if err := json.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("the server sent what is not understood: %w", err)
		}
		if err := s.handle(ctx, conn, &f, seen); err != nil {
			return err
		}
	}
}

func (s *Subscriber) handle(ctx context.Context, conn *websocket.Conn, f *frame, seen map[string]*place) error {
	switch f.Event {
	case "hotsock.connected":
		s.notice(Notice{Kind: Connected})
		return s.subscribe(ctx, conn, seen)
	case "hotsock.subscribed":
		var data struct {
			Recovered *bool
			Resume    string
		}
		_ = json.Unmarshal(f.Data, &data) // without them nothing was asked for
		if p := seen[f.Channel]; p != nil {
			p.ticket = data.Resume
		}
		kind := Subscribed
		if data.Recovered != nil && !*data.Recovered {
			kind = Broken
		}
		s.notice(Notice{Kind: kind, Channel: f.Channel})
		return nil
	case "hotsock.unsubscribed":
		return &finalError{fmt.Errorf("the server ended the subscription to %s", f.Channel)}
	case "hotsock.error":
		if f.Error == nil {
			f.Error = &Error{Code: "ERROR"}
		}
		if f.Error.passes() {
			return f.Error
		}
		return &finalError{fmt.Errorf("%s: %w", f.Channel, f.Error)}
	case "hotsock.keepAlive", "hotsock.pong", "hotsock.ping":
		return nil
	}
	if p := seen[f.Channel]; p != nil && f.ID != "" {
		p.after = f.ID
	}
	if err := s.OnMessage(f.Received); err != nil {
		return &finalError{err}
	}
	return nil
}

// A place is how far a channel was heard.
type place struct {
	// after is the id of the last message, empty if there was none.
	after string
	// ticket proves to the server that the channel was heard before.
	ticket string
}

// subscribe asks for every channel, after what was seen of it.
func (s *Subscriber) subscribe(ctx context.Context, conn *websocket.Conn, seen map[string]*place) error {
	for _, channel := range s.Channels {
		data := map[string]string{"resume": seen[channel].ticket}
		if id := seen[channel].after; id != "" {
			data["after"] = id
		}
		ask := map[string]any{"event": "hotsock.subscribe", "channel": channel, "data": data}
		text, err := json.Marshal(ask)
		if err != nil {
			return &finalError{err}
		}
		if err := conn.Write(ctx, websocket.MessageText, text); err != nil {
			return err
		}
	}
	return nil
}
