package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

var (
	errSilent   = errors.New("the server does not greet")
	errNoAnswer = errors.New("the server does not answer")
)

// A link is one connection of a Subscriber. Only hear and what it calls use what
// is not marked otherwise.
type link struct {
	s      *Subscriber
	socket *websocket.Conn // safe for concurrent writes
	fail   context.CancelCauseFunc
	caller *http.Client
	api    string
	hello  *time.Timer    // ends the connection if no greeting comes
	work   sync.WaitGroup // every goroutine of the connection
	busy   atomic.Bool    // nothing is read meanwhile; safe for all

	// seen holds the places by the names that were asked for, names by those that
	// the channels have.
	seen, names map[string]*place
	// lastWords is the error that came last, if nothing came after it.
	lastWords *Error
}

// frame is any message of the server.
type frame struct {
	Received
	Key   string `json:"key"`
	Error *Error `json:"error"`
}

// meta is the member of this name.
type meta struct {
	Member
	Alias string `json:"channelAlias"`
}

func (f *frame) meta() (m meta) {
	_ = json.Unmarshal(f.Meta, &m) // without it there is nobody to tell of
	return m
}

// keepAlive pings, and ends the connection if nobody answers. While a handler
// runs nothing is read, so there could be no answer.
func (l *link) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if l.busy.Load() {
			continue
		}
		wait, done := context.WithTimeout(ctx, pingWait)
		err := l.socket.Ping(wait)
		done()
		if err != nil && !l.busy.Load() {
			l.fail(errNoAnswer)
			return
		}
	}
}

// beat sends heartbeats.
func (l *link) beat(ctx context.Context) {
	ticker := time.NewTicker(l.s.Heartbeat * 9 / 10)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := l.write(ctx, map[string]any{"event": "hotsock.heartbeat"}); err != nil {
			l.fail(err)
			return
		}
	}
}

func (l *link) write(ctx context.Context, v any) error {
	text, err := encode(v)
	if err != nil {
		return err
	}
	return l.socket.Write(ctx, websocket.MessageText, text)
}

// hear handles what the server sends, until the connection ends.
func (l *link) hear(ctx context.Context) error {
	for {
		_, text, err := l.socket.Read(ctx)
		if err != nil {
			return l.ended(err)
		}
		var f frame
		if err := json.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("the server sent what is not understood: %w", err)
		}
		l.lastWords = nil
		l.busy.Store(true)
		err = l.handle(ctx, &f, text)
		l.busy.Store(false)
		if err != nil {
			return err
		}
	}
}

// ended says why there is nothing more to read. A server that closes for a
// reason which it gave would do it again.
func (l *link) ended(err error) error {
	status := websocket.CloseStatus(err)
	if l.lastWords != nil && (status == websocket.StatusPolicyViolation || status == websocket.StatusMessageTooBig) {
		return &finalError{l.lastWords}
	}
	return err
}

// handle carries out what one frame says. What it tells of is in notice order.
func (l *link) handle(ctx context.Context, f *frame, text []byte) error {
	switch f.Event {
	case "hotsock.connected":
		return l.connected(ctx, f)
	case "hotsock.subscribed":
		l.subscribed(f)
		return nil
	case "hotsock.unsubscribed":
		if l.asked(f) {
			return finally("the server ended the subscription to %s", f.Channel)
		}
		l.s.notice(Unsubscribed{Channel: f.Channel})
		return nil
	case "hotsock.error":
		return l.refused(f)
	case "hotsock.ping":
		return l.write(ctx, map[string]any{"event": "hotsock.pong"})
	case "hotsock.keepAlive", "hotsock.pong":
		return nil
	}
	if strings.HasPrefix(f.Event, "hotsock.") {
		l.s.notice(f.notice(text))
		return nil
	}
	return l.message(f)
}

func (l *link) message(f *frame) error {
	if p := l.names[f.Channel]; p != nil && f.ID != "" {
		p.after = f.ID
	}
	if l.s.OnMessage == nil {
		return nil
	}
	if err := l.s.OnMessage(f.Received); err != nil {
		return &finalError{err}
	}
	return nil
}

// place finds the place of the channel that a frame is about, nil if there is none.
func (l *link) place(f *frame) *place {
	if p := l.seen[f.Channel]; p != nil {
		return p
	}
	return l.seen[f.meta().Alias]
}

// asked reports whether the program wants the channel that a frame is about.
func (l *link) asked(f *frame) bool {
	p := l.place(f)
	return p != nil && p.asked
}

// connected begins the subscriptions. What they resume after is settled here,
// as messages may come before all of them are asked for.
func (l *link) connected(ctx context.Context, f *frame) error {
	if !l.hello.Stop() {
		return errSilent
	}
	c, err := l.connection(f)
	if err != nil {
		return err
	}
	asks := make([]subscription, 0, len(l.s.Channels))
	for _, channel := range l.s.Channels {
		p := l.seen[channel]
		asks = append(asks, subscription{
			Event: "hotsock.subscribe", Channel: channel, Data: resumption{After: p.after, Resume: p.ticket},
		})
	}
	l.s.notice(Connected{Conn: c})
	l.work.Go(func() {
		if err := l.subscribe(ctx, c.ID, asks); err != nil {
			l.fail(err)
		}
	})
	if l.s.Heartbeat > 0 {
		l.work.Go(func() { l.beat(ctx) })
	}
	return nil
}

// A subscription asks for a channel.
type subscription struct {
	Channel string     `json:"channel"`
	Data    resumption `json:"data"`
	Event   string     `json:"event"`
}

// A resumption says after what. An empty ticket asks for one.
type resumption struct {
	After  string `json:"after,omitempty"`
	Resume string `json:"resume"`
	Token  string `json:"token,omitempty"`
}

func (l *link) subscribe(ctx context.Context, connectionID string, asks []subscription) error {
	for _, ask := range asks {
		if l.s.SubscribeToken != nil {
			token, err := l.s.SubscribeToken(ctx, ask.Channel, connectionID)
			if err != nil {
				return fmt.Errorf("token for %s: %w", ask.Channel, err)
			}
			ask.Data.Token = token
		}
		if err := l.write(ctx, ask); err != nil {
			return err
		}
	}
	return nil
}

// subscribed keeps the ticket, and tells.
func (l *link) subscribed(f *frame) {
	var data struct {
		Recovered      *bool
		Resume         string
		AutoSubscribed bool
		Members        []Member
	}
	_ = json.Unmarshal(f.Data, &data) // without them nothing was asked for
	p, who := l.place(f), f.meta()
	if p == nil {
		p = &place{}
		l.seen[f.Channel] = p
	}
	l.names[f.Channel] = p
	n := Subscribed{
		Channel: f.Channel, Alias: who.Alias, Auto: data.AutoSubscribed, UID: who.UID, UMD: who.UMD, Members: data.Members,
		Broken: data.Recovered != nil && !*data.Recovered || data.AutoSubscribed && p.heard,
	}
	p.ticket, p.heard = data.Resume, true
	l.s.notice(n)
}

// refused tells of an error, and ends what it makes pointless.
func (l *link) refused(f *frame) error {
	e := f.Error
	if e == nil {
		e = &Error{Code: "ERROR", Message: "the server does not say what"}
	}
	switch e.Code {
	case "ALREADY_SUBSCRIBED":
		return nil // by its token, which it has said
	case "SUBSCRIBE_PERMISSION_DENIED", "INVALID_SUBSCRIBE_TOKEN", "PRESENCE_CHANNEL_USER_ID_REQUIRED", "PRESENCE_CHANNEL_CAPACITY_REACHED":
		switch {
		case !l.asked(f):
		case e.passes():
			return e
		default:
			return finally("%s: %w", f.Channel, e)
		}
	}
	if f.Channel == "" {
		if e.passes() {
			return e
		}
		l.lastWords = e
	}
	l.s.notice(Refused{Channel: f.Channel, Err: e})
	return nil
}

// notice makes the Notice of an event of the server.
func (f *frame) notice(text []byte) Notice {
	who := f.meta().Member
	switch f.Event {
	case "hotsock.memberAdded", "hotsock.memberUpdated", "hotsock.memberRemoved":
		return f.membership(text)
	case "hotsock.messageReactionAdded", "hotsock.messageReactionRemoved":
		var data struct{ MessageID, Reaction string }
		if json.Unmarshal(f.Data, &data) != nil {
			break
		}
		r := Reaction{Channel: f.Channel, ID: f.ID, MessageID: data.MessageID, Reaction: data.Reaction, UID: who.UID, UMD: who.UMD}
		if f.Event == "hotsock.messageReactionRemoved" {
			return ReactionRemoved{r}
		}
		return ReactionAdded{r}
	case "hotsock.channelStorageUpdated":
		return StorageUpdated{Channel: f.Channel, Entry: Entry{Key: f.Key, Data: f.Data, UID: who.UID, UMD: who.UMD}}
	}
	return Other{Event: f.Event, Frame: text}
}

func (f *frame) membership(text []byte) Notice {
	m := Membership{Channel: f.Channel}
	if json.Unmarshal(f.Data, &m) != nil {
		return Other{Event: f.Event, Frame: text}
	}
	m.Channel = f.Channel
	switch f.Event {
	case "hotsock.memberAdded":
		return MemberAdded{m}
	case "hotsock.memberUpdated":
		return MemberUpdated{m}
	}
	return MemberRemoved{m}
}
