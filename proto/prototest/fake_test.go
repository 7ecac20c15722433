package prototest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/prototest"
)

// fake speaks a protocol of lines, on every carrier. A message is a line of
// words, the last of which may be quoted data; or, if it is binary,
//
//	!<length>\n<line><data>
//
// The client says
//
//	login PROOF · sub CHANNEL [start|ID] · psub LEVEL · unsub CHANNEL · pub CHANNEL DATA · ping
//
// and the server
//
//	ready · ok sub CHANNEL · broken sub CHANNEL · ok unsub CHANNEL · ok pub CHANNEL
//	msg CHANNEL ID DATA · err CHANNEL CODE · pong · bye CODE
//
// A proof is trusted: it is a prototest.Client as base64 of JSON.
type fake struct {
	deps  proto.Deps
	text  *hub.Encoding
	fault string // the promise that it breaks; empty for none
}

var (
	_ proto.Protocol = (*fake)(nil)
	_ proto.Cutter   = (*fake)(nil)
)

// subprotocolName is the one that the fake speaks.
const subprotocolName = "fake.v1"

func newFake(deps proto.Deps, fault string) *fake {
	f := &fake{deps: deps, fault: fault}
	f.text = &hub.Encoding{Name: "fake", Render: f.render}
	return f
}

// broken reports whether the fake breaks a promise.
func (f *fake) broken(promise string) bool { return f.fault == promise }

// Admit knows who it is if there is HTTP; on a stream the first line says so.
func (f *fake) Admit(_ context.Context, r *proto.Request) (proto.Admission, error) {
	if r.HTTP == nil {
		return proto.Admission{}, nil
	}
	a := proto.Admission{Subprotocol: subprotocolName}
	if f.broken("subprotocol after a slow backend") {
		a.Subprotocol = ""
	}
	var err error
	a.App, a.Identity, err = f.identify(r.HTTP.URL.Query().Get("proof"))
	if err != nil && !f.broken("refused before the handshake") {
		return a, &proto.Refusal{
			Status: http.StatusUnauthorized, Body: []byte(`{"error":"who are you?"}`), Err: err,
			Header: http.Header{"Content-Type": {"application/json"}, "Www-Authenticate": {"Fake", "Bearer"}},
		}
	}
	return a, err
}

func (f *fake) identify(proof string) (*earshot.App, *earshot.Identity, error) {
	b, err := base64.RawURLEncoding.DecodeString(proof)
	var c prototest.Client
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	app := f.deps.Apps.BySlug(c.App)
	if f.broken("own app only") {
		app = f.deps.Apps.Default()
	}
	if err != nil || app == nil {
		return nil, nil, earshot.Errorf(earshot.Unauthenticated, "the proof is none")
	}
	id := &earshot.Identity{App: app.Slug, UID: c.UID, HasUID: !f.broken("kick"), Expires: c.Expires}
	if f.broken("expiry ends it") {
		id.Expires = id.Expires.AddDate(1, 0, 0)
	}
	for _, g := range c.Grants {
		if f.broken("echo rule") {
			g.May |= earshot.Echo
		}
		id.Grants = append(id.Grants, earshot.Grant{Channel: earshot.Glob(g.Channel), Allow: g.May, HistoryStart: &time.Time{}})
	}
	return app, id, nil
}

// Open greets who is known.
func (f *fake) Open(_ context.Context, c *hub.Conn, a proto.Admission) (proto.Session, error) {
	if a.App == nil {
		return &fakeSession{fake: f, conn: c}, nil
	}
	return &fakeSession{fake: f, conn: c, known: true}, c.Send(line("ready"))
}

// Farewell says bye.
func (f *fake) Farewell(err error) (*hub.Frame, int, string) {
	code := earshot.CodeOf(err)
	switch {
	case err == nil:
		return nil, 1000, ""
	case f.broken("shutdown says so") && code == earshot.Shutdown, f.broken("our goodbye") && code == earshot.Kicked:
		return nil, 0, ""
	}
	return line("bye %d", code), 4000 + int(code), code.String()
}

func line(format string, args ...any) *hub.Frame {
	return hub.TextFrame(fmt.Appendf(nil, format+"\n", args...))
}

// render makes the frame of a message.
func (f *fake) render(m *earshot.Message) *hub.Frame {
	switch {
	case f.broken("slow is cut") && len(m.Data) > 1000:
		return nil
	case f.broken("order") && string(m.Data) == "7":
		m = &earshot.Message{Channel: m.Channel, ID: m.ID, Data: []byte("8")}
	}
	if m.Kind != earshot.Binary || f.broken("text and binary") {
		return line("msg %s %s %q", m.Channel, m.ID, m.Data)
	}
	return hub.BinaryFrame(binaryMessage(fmt.Sprintf("msg %s %s ", m.Channel, m.ID), m.Data))
}

func binaryMessage(head string, data []byte) []byte {
	b := fmt.Appendf(nil, "!%d\n%s", len(head)+len(data), head)
	return append(b, data...)
}

// NewCutter cuts lines, and binary messages of the length that they say.
func (f *fake) NewCutter() proto.Cut { return cutFake }

func cutFake(data []byte) (int, hub.Input, error) {
	end := bytes.IndexByte(data, '\n')
	switch {
	case end < 0:
		return 0, hub.Input{}, nil
	case len(data) == 0 || data[0] != '!':
		return end + 1, hub.Input{Data: data[:end]}, nil
	}
	n, err := strconv.ParseUint(string(data[1:end]), 10, 32)
	whole := end + 1 + int(n)
	switch {
	case err != nil:
		return 0, hub.Input{}, earshot.Errorf(earshot.Invalid, "a length is no number")
	case n > 1<<20:
		return 0, hub.Input{}, earshot.Errorf(earshot.TooLarge, "the message is too large")
	case whole > len(data):
		return 0, hub.Input{}, nil
	}
	return whole, hub.Input{Op: hub.Binary, Data: data[:whole]}, nil
}

// fakeSession is one client's dialogue.
type fakeSession struct {
	*fake
	conn  *hub.Conn
	known bool
}

// Close has nothing to let go of.
func (s *fakeSession) Close(hub.End) {}

// split finds a message's words. Data is the last one of three.
func split(m hub.Input) (verb, name, rest string, err error) {
	text := strings.TrimSuffix(string(m.Data), "\n")
	if m.Op == hub.Binary {
		length, inner, _ := strings.Cut(string(m.Data), "\n")
		if length != "!"+strconv.Itoa(len(inner)) {
			return "", "", "", errors.New("the length is wrong")
		}
		text = inner
	}
	verb, text, _ = strings.Cut(text, " ")
	name, rest, _ = strings.Cut(text, " ")
	return verb, name, rest, nil
}

// Handle takes one message.
func (s *fakeSession) Handle(ctx context.Context, m hub.Input) error {
	verb, name, rest, err := split(m)
	switch {
	case err != nil:
		return s.fail("-", earshot.Invalid)
	case verb == "login" && !s.known:
		return s.login(name)
	case !s.known:
		return earshot.Errorf(earshot.Unauthenticated, "login first")
	}
	switch verb {
	case "ping":
		return s.conn.Send(line("pong"))
	case "sub", "psub":
		join, err := s.request(verb, name, rest)
		if err != nil {
			return s.fail(name, earshot.Invalid)
		}
		if s.broken("heartbeat beside long work") {
			s.subscribe(ctx, name, join)
			return nil
		}
		s.conn.Do(func(ctx context.Context) { s.subscribe(ctx, name, join) })
	case "unsub":
		s.inOrder(ctx, func(context.Context) { s.unsubscribe(name) })
	case "pub":
		m, err := message(m.Op, name, rest)
		if err != nil {
			return s.fail(name, earshot.Invalid)
		}
		s.inOrder(ctx, func(ctx context.Context) { s.publish(ctx, m) })
	default:
		if s.broken("garbage") {
			panic("what is " + verb)
		}
		return s.fail("-", earshot.Invalid)
	}
	return nil
}

// fail answers with an error; the dialogue goes on.
func (s *fakeSession) fail(name string, code earshot.Code) error {
	return s.conn.Send(line("err %s %d", strconv.Quote(name), code))
}

// inOrder does f now, or after the tasks that wait.
func (s *fakeSession) inOrder(ctx context.Context, f func(context.Context)) {
	if s.conn.Busy() {
		s.conn.Do(f)
		return
	}
	f(ctx)
}

func (s *fakeSession) login(proof string) error {
	app, id, err := s.identify(proof)
	if err != nil {
		return err
	}
	s.known = true
	s.conn.Enter(app, id)
	return s.conn.Send(line("ready"))
}

// request is what a subscribe asks for.
func (s *fakeSession) request(verb, name, from string) (hub.Join, error) {
	j := hub.Join{Channel: name, Encoding: s.text}
	switch {
	case verb == "psub":
		return s.below(name), nil
	case from == "" || s.broken("history then live"):
		return j, nil
	case from == "start":
		j.After = &earshot.Position{}
		return j, nil
	}
	id, err := earshot.ParseID(from)
	at := id.Position()
	j.After = &at
	return j, err
}

// below is the pattern of all that is below a level.
func (s *fakeSession) below(level string) hub.Join {
	j := hub.Join{Encoding: s.text, Pattern: earshot.Levels('.', level, earshot.OneLevel, earshot.AnyLevels)}
	if s.broken("pattern") {
		j.Pattern = earshot.Glob(level + "*")
	}
	j.Allowed = s.conn.Identity().On(level+".", "").Allow.Has(earshot.Subscribe)
	return j
}

func (s *fakeSession) subscribe(ctx context.Context, name string, j hub.Join) {
	if s.broken("own channel only") && name != "mark" {
		j = hub.Join{Encoding: s.text, Pattern: earshot.Glob(name + "*"), Allowed: true}
	}
	sub, exact, err := s.conn.Subscribe(ctx, j)
	if err != nil && s.broken("refused subscribe leaks nothing") {
		_ = s.fail(name, earshot.CodeOf(err)) // the connection may be closing
		j.Allowed = true
		if sub, _, err = s.conn.Subscribe(ctx, j); err == nil {
			err = sub.Start(ctx)
		}
	}
	if err != nil {
		_ = s.fail(name, earshot.CodeOf(err)) // the connection may be closing
		return
	}
	if s.broken("confirm first") {
		s.start(ctx, sub)
	}
	if s.broken("the peer's goodbye") {
		s.conn.Close(nil) // it does not let the client say it
	}
	word := "ok"
	if !exact && !s.broken("resume") {
		word = "broken"
	}
	if s.conn.Send(line("%s sub %s", word, name)) == nil && !s.broken("confirm first") {
		s.start(ctx, sub)
	}
}

func (s *fakeSession) start(ctx context.Context, sub *hub.Sub) {
	if err := sub.Start(ctx); err != nil {
		s.conn.Close(err)
	}
}

func (s *fakeSession) unsubscribe(name string) {
	sub := s.conn.Sub(name)
	if sub == nil || !s.broken("unsubscribe then silence") && !s.conn.Unsubscribe(sub) {
		_ = s.fail(name, earshot.NotFound) // the connection may be closing
		return
	}
	_ = s.conn.Send(line("ok unsub %s", name))
}

// message is what a publish publishes.
func message(op hub.Op, name, rest string) (*earshot.Message, error) {
	m := &earshot.Message{Channel: name, Event: "e", Kind: earshot.Binary, Data: []byte(rest)}
	if op == hub.Binary {
		return m, nil
	}
	text, err := strconv.Unquote(rest)
	m.Kind, m.Data = earshot.Text, []byte(text)
	return m, err
}

func (s *fakeSession) publish(ctx context.Context, m *earshot.Message) {
	name := m.Channel
	done := func(_ hub.Appended, err error) {
		if s.broken("acknowledged only when stored") {
			return
		}
		s.answer(name, err)
	}
	err := s.conn.Publish(ctx, hub.Publication{Message: m}, done)
	switch {
	case err != nil && s.broken("refused publish leaks nothing"):
		s.deps.Hub.PublishAsync(ctx, s.conn.App(), hub.Publication{Message: m}, func(hub.Appended, error) {})
		s.answer(name, err)
	case err != nil:
		s.answer(name, err)
	case s.broken("acknowledged only when stored"):
		s.answer(name, nil)
	}
}

func (s *fakeSession) answer(name string, err error) {
	switch {
	case err == nil:
		_ = s.conn.Send(line("ok pub %s", name)) // the connection may be closing
	case s.broken("too large") && earshot.CodeOf(err) == earshot.TooLarge:
		s.conn.Close(err)
	default:
		_ = s.fail(name, earshot.CodeOf(err))
	}
}

// lines is the fake's dialect.
func lines(fault string) *prototest.Dialect {
	text := func(format string, args ...any) hub.Input {
		return hub.Input{Data: fmt.Appendf(nil, format+"\n", args...)}
	}
	return &prototest.Dialect{
		New:         func(deps proto.Deps) (proto.Protocol, error) { return newFake(deps, fault), nil },
		Hello:       hello,
		Refused:     func() prototest.Hello { return prototest.Hello{Path: "/fake?proof=none"} },
		Subprotocol: subprotocolName,
		Subscribe: func(channel string, from prototest.From) hub.Input {
			if from.Start {
				return text("sub %s start", channel)
			}
			return text("sub %s %s", channel, from.Last)
		},
		Pattern:     func(level string) hub.Input { return text("psub %s", level) },
		Unsubscribe: func(channel string) hub.Input { return text("unsub %s", channel) },
		Publish: func(channel string, kind earshot.Kind, data string) hub.Input {
			if kind == earshot.Binary {
				return hub.Input{Op: hub.Binary, Data: binaryMessage("pub "+channel+" ", []byte(data))}
			}
			return text("pub %s %q", channel, data)
		},
		Heartbeat: func() hub.Input { return text("ping") },
		Read:      read,
		Cut:       func() proto.Cut { return cutFake },
	}
}

func hello(c prototest.Client, on prototest.Carrier) prototest.Hello {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // a Client can be marshalled
	}
	proof := base64.RawURLEncoding.EncodeToString(b)
	if on == prototest.Stream || on == prototest.StreamTLS {
		return prototest.Hello{First: []hub.Input{{Data: []byte("login " + proof + "\n")}}}
	}
	return prototest.Hello{
		Path:         "/fake?" + url.Values{"proof": {proof}}.Encode(),
		Subprotocols: []string{"other", subprotocolName},
	}
}

// read is the client's side of the dialect.
func read(m hub.Input) (e prototest.Event, err error) {
	verb, name, rest, err := split(m)
	switch verb + " " + name {
	case "ready ":
		e.What = prototest.Ready
	case "pong ":
		e.What = prototest.Alive
	case "ok sub":
		e = prototest.Event{What: prototest.Subscribed, Channel: rest}
	case "broken sub":
		e = prototest.Event{What: prototest.Broken, Channel: rest}
	case "ok unsub":
		e = prototest.Event{What: prototest.Unsubscribed, Channel: rest}
	case "ok pub":
		e = prototest.Event{What: prototest.Published, Channel: rest}
	}
	switch verb {
	case "err":
		e.What = prototest.Refused
	case "msg":
		e.What, e.Channel = prototest.Message, name
		e.ID, e.Data, _ = strings.Cut(rest, " ")
		if m.Op == hub.Text {
			e.Data, err = strconv.Unquote(e.Data)
		}
	}
	return e, err
}
