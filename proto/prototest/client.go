package prototest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/earshot-io/earshot"
)

// A client is one end of a dialogue.
type client struct {
	w           *world
	name        string
	who         Client
	wire        wire
	subprotocol string
	heard       []string // what came, for a failure's report
	last        *message // the last message that came
}

// dial connects a client that greets with h.
func (w *world) dial(name string, h Hello) (*client, error) {
	wire, subprotocol, err := w.dialer.dial(h)
	if err != nil {
		return nil, err
	}
	c := &client{w: w, name: name, wire: wire, subprotocol: subprotocol}
	w.clients = append(w.clients, c)
	for _, m := range h.First {
		c.wire.send(m)
	}
	return c, nil
}

// connect connects a client that must be let in.
func (w *world) connect(who Client) *client {
	w.Helper()
	c, err := w.dial(who.UID, w.d.Hello(who, w.carrier))
	if err != nil {
		w.Fatalf("%s is not let in: %v", who.UID, err)
	}
	c.who = who
	if !w.d.Silent {
		c.expect(Ready)
	}
	return c
}

// subscriber connects a client that is subscribed to the channels.
func (w *world) subscriber(uid string, channels ...string) *client {
	w.Helper()
	c := w.connect(listener(uid, channels...))
	for _, name := range channels {
		c.subscribe(name)
	}
	return c
}

// subscribe subscribes to what is live from now on.
func (c *client) subscribe(channel string) {
	c.w.Helper()
	c.asks(channel, From{})
	if e := c.expect(Subscribed); e.Channel != channel && e.Channel != "" {
		c.w.Fatalf("%s: the subscription to %q was confirmed as one to %q", c.name, channel, e.Channel)
	}
}

// asks asks for a channel.
func (c *client) asks(channel string, from From) {
	if c.w.d.SubscribeAs != nil {
		c.request(c.w.d.SubscribeAs(c.who, channel))
		return
	}
	c.request(c.w.d.Subscribe(channel, from))
}

// request sends what is answered by a confirmation or a refusal, or what stands
// for both.
func (c *client) request(m message) {
	c.wire.send(m)
	if c.w.d.Mute {
		c.wire.send(c.w.d.Heartbeat())
	}
}

// stands reports whether an event is as good as another, where the protocol
// has no word for that.
func (d *Dialect) stands(got, want What) bool {
	return got == want || d.Mute && got == Alive && (want == Subscribed || want == Unsubscribed || want == Refused)
}

// next is the next event that the suite asks about.
func (c *client) next() Event {
	c.w.Helper()
	e, over := c.nextOrEnd()
	if over != nil {
		c.w.Fatalf("%s: the dialogue ended (code %d, %q)", c.name, over.code, over.reason)
	}
	return e
}

func (c *client) nextOrEnd() (Event, *parting) {
	c.w.Helper()
	for {
		m, over := c.wire.box().next(c.w.patience())
		switch {
		case over != nil:
			c.heard = append(c.heard, fmt.Sprintf("the end (%d %q)", over.code, over.reason))
			return Event{}, over
		case m == nil:
			c.w.Fatalf("%s: nothing came", c.name)
		}
		c.last = m
		e, err := c.w.d.Read(*m)
		if err != nil {
			c.w.Fatalf("%s: the dialect cannot read %q: %v", c.name, m.Data, err)
		}
		c.heard = append(c.heard, e.String())
		if e.Op = m.Op; e.What != Other {
			return e, nil
		}
	}
}

// String is the event for people.
func (e Event) String() string {
	data := e.Data
	if len(data) > 40 {
		data = fmt.Sprintf("%s… (%d bytes)", data[:40], len(data))
	}
	return fmt.Sprintf("%v %s %q", e.What, e.Channel, data)
}

// expect takes the next event, which must be this one.
func (c *client) expect(want What) Event {
	c.w.Helper()
	e := c.next()
	if !c.w.d.stands(e.What, want) {
		c.w.Fatalf("%s: heard %v instead of %v", c.name, e, want)
	}
	return e
}

// hears takes the next event, which must be this message.
func (c *client) hears(channel, data string) Event {
	c.w.Helper()
	e := c.expect(Message)
	if e.Channel != channel && !c.w.d.Mute || e.Data != data {
		c.w.Fatalf("%s: heard %v instead of %q on %s", c.name, e, data, channel)
	}
	return e
}

// hearsNumbers takes the messages with the numbers from one to another, and
// returns the last one.
func (c *client) hearsNumbers(channel string, from, to int) (e Event) {
	c.w.Helper()
	for i := from; i <= to; i++ {
		e = c.hears(channel, fmt.Sprint(i))
	}
	return e
}

// marker publishes on a channel that the clients hear, and expects it to be the
// next thing that each of them does.
func (w *world) marker(channel string, cs ...*client) {
	w.Helper()
	data := fmt.Sprintf("marker for %d", len(cs))
	w.publish(appOne, channel, data)
	for _, c := range cs {
		c.hears(channel, data)
	}
}

// alive sends a heartbeat, and expects the answer to be the next thing.
func (c *client) alive() {
	c.w.Helper()
	c.wire.send(c.w.d.Heartbeat())
	c.expect(Alive)
}

// endsFor expects the farewell for a cause, and before it no message.
func (c *client) endsFor(cause earshot.Code) {
	c.w.Helper()
	c.last = nil
	for {
		e, over := c.nextOrEnd()
		if over != nil {
			c.isFarewell(cause, *over)
			return
		}
		if e.What != Refused {
			c.w.Fatalf("%s: heard %v before the end", c.name, e)
		}
	}
}

// endsWith expects the end with a code, and before it nothing.
func (c *client) endsWith(code int) {
	c.w.Helper()
	e, over := c.nextOrEnd()
	switch {
	case over == nil:
		c.w.Fatalf("%s: heard %v instead of the end", c.name, e)
	case over.code != code:
		c.w.Fatalf("%s: ended with code %d %q instead of %d", c.name, over.code, over.reason, code)
	}
}

// isFarewell compares what came last with what the protocol rendered for a cause.
func (c *client) isFarewell(cause earshot.Code, got parting) {
	c.w.Helper()
	var said []string
	for _, f := range c.w.spy.said(cause) {
		if f.last == nil && f.code == 0 {
			c.w.Fatalf("the protocol has no word for an end as %v", cause)
		}
		if c.came(f, got) {
			return
		}
		said = append(said, fmt.Sprintf("%s, code %d %q", f.text(), f.code, f.reason))
	}
	c.w.Fatalf("%s: ended with %q, code %d %q; the farewell for %v is %q", c.name, c.lastText(), got.code, got.reason, cause, said)
}

// came reports whether a farewell is what came.
func (c *client) came(f farewell, got parting) bool {
	if c.w.carrier.says() && (got.code != f.code || got.reason != f.reason) {
		return false
	}
	last := f.last
	if last != nil && c.w.carrier.stream() {
		_, cut, err := c.w.d.Cut()(last.Data)
		if err != nil {
			c.w.Errorf("the farewell's last frame cannot be cut: %v", err)
		}
		last = &cut
	}
	return last == nil || c.last != nil && c.last.Op == last.Op && bytes.Equal(c.last.Data, last.Data)
}

func (c *client) lastText() string {
	if c.last == nil {
		return "nothing"
	}
	return string(c.last.Data)
}

// refusedAs tells how the server refused a client.
func refusedAs(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}
