package prototest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
)

func publishing() []promise {
	return []promise{
		{name: "echo rule", test: echo},
		{name: "acknowledged only when stored", test: acknowledged},
		{name: "refused subscribe leaks nothing", test: refusedSubscribe},
		{name: "refused publish leaks nothing", test: refusedPublish},
		{name: "text and binary", test: kinds},
	}
}

// echo has two clients of one user publish on channels with and without it.
func echo(w *world) {
	who := allowed("alice", earshot.Subscribe|earshot.Publish, "quiet")
	who.Grants = append(who.Grants, Grant{Channel: "loud", May: earshot.Subscribe | earshot.Publish | earshot.Echo})
	c, twin := w.connect(who), w.connect(who)
	for _, name := range []string{"quiet", "loud"} {
		c.subscribe(name)
		twin.subscribe(name)
	}
	c.publishes("quiet", "hush")
	twin.hears("quiet", "hush")
	w.marker("quiet", c, twin)
	c.hearsItself("loud", "hey")
	twin.hears("loud", "hey")
}

// hearsItself publishes and expects the message back, and the acknowledgement
// if the protocol has one: in either order, since the log gives the one and the
// bus the other.
func (c *client) hearsItself(channel, data string) {
	c.w.Helper()
	c.wire.send(c.w.d.Publish(channel, earshot.Text, data))
	acked := !c.w.d.acks()
	for heard := false; !heard || !acked; {
		switch e := c.next(); {
		case e.What == Published && !acked:
			acked = true
		case e.What == Message && !heard && e.Channel == channel && e.Data == data:
			heard = true
		default:
			c.w.Fatalf("%s: heard %v instead of %q on %s and its acknowledgement", c.name, e, data, channel)
		}
	}
}

// publishes publishes as a client, and takes the acknowledgement if the
// protocol has one.
func (c *client) publishes(channel, data string) {
	c.w.Helper()
	c.wire.send(c.w.d.Publish(channel, earshot.Text, data))
	if c.w.d.acks() {
		c.expect(Published)
	}
}

// acks reports whether a client's publish is acknowledged.
func (d *Dialect) acks() bool {
	return d.Post == nil && d.Cannot["acknowledged only when stored"] == ""
}

// acknowledged lets the log take its time, and then refuse.
func acknowledged(w *world) {
	const disk = 50 * time.Millisecond
	publish := w.yesOrNo()
	w.store.OnAppend(func(int, *earshot.Message) mem.Outcome { return mem.Outcome{Delay: disk} })
	before := time.Now()
	if !publish("stored") {
		w.Fatalf("a publish that was stored is refused")
	}
	if took := time.Since(before); took < disk {
		w.Errorf("acknowledged after %v, before the log had answered", took)
	}
	w.store.OnAppend(func(int, *earshot.Message) mem.Outcome {
		return mem.Outcome{Delay: disk, Err: earshot.Errorf(earshot.Full, "the disk is full")}
	})
	if publish("not stored") {
		w.Errorf("a publish that the log refused is acknowledged")
	}
	w.store.OnAppend(nil)
	page, err := w.engine.Read(context.Background(), appOne, "log", hub.Range{Hidden: true})
	if err != nil || len(page.Messages) != 1 {
		w.Errorf("the log holds %d messages, %v", len(page.Messages), err)
	}
}

// yesOrNo publishes on the channel "log" in the way that is acknowledged.
func (w *world) yesOrNo() func(data string) bool {
	if w.d.Post != nil {
		return w.post
	}
	c := w.connect(allowed("alice", earshot.Subscribe|earshot.Publish, "log"))
	c.subscribe("log")
	return func(data string) bool {
		c.wire.send(w.d.Publish("log", earshot.Text, data))
		e := c.next()
		if e.What != Published && e.What != Refused {
			w.Fatalf("heard %v instead of an answer", e)
		}
		return e.What == Published
	}
}

func (w *world) post(data string) bool {
	router, ok := w.spy.Protocol.(proto.Router)
	if !ok {
		w.Fatalf("the dialect posts, but its protocol is no proto.Router")
	}
	mux := http.NewServeMux()
	router.Routes(mux.Handle)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, w.d.Post(w.app(appOne), "log", data))
	return answer.Code/100 == 2
}

// refusedSubscribe asks for what is not granted.
func refusedSubscribe(w *world) {
	c := w.connect(listener("mallory", "mark", "news"))
	c.subscribe("mark")
	other := w.subscriber("alice", "secret", "mark")
	w.publish(appOne, "secret", "old")
	other.hears("secret", "old")
	froms := []From{{}}
	if w.d.Cannot["history then live"] == "" {
		froms = append(froms, From{Start: true})
	}
	for _, from := range froms {
		c.asks("secret", from)
		c.expect(Refused)
	}
	w.publish(appOne, "secret", "new")
	other.hears("secret", "new")
	w.marker("mark", c, other)
}

// refusedPublish publishes what may not be: without a grant, without a
// subscription, and to another application's channel.
func refusedPublish(w *world) {
	other := w.subscriber("alice", "news", "own")
	c := w.connect(allowed("mallory", earshot.Subscribe|earshot.Publish, "own"))
	c.subscribe("own")
	c.wire.send(w.d.Publish("news", earshot.Text, "false news"))
	c.expect(Refused)
	w.marker("news", other)
	c.publishes("own", "true")
	other.hears("own", "true")
	if page, err := w.engine.Read(context.Background(), appOne, "news", hub.Range{Hidden: true}); err != nil || len(page.Messages) != 1 {
		w.Errorf("the log holds %d messages of the channel, %v; only the marker may be there", len(page.Messages), err)
	}
}

// kinds sends text and binary both ways.
func kinds(w *world) {
	const text, binary = "grüße \u2028 \"quoted\"\n", "\x00\xff\xfe\n\x80 bytes"
	c := w.subscriber("alice", "news")
	sender := w.connect(allowed("bob", earshot.Subscribe|earshot.Publish, "news"))
	sender.subscribe("news")
	for _, m := range []struct {
		kind earshot.Kind
		data string
		op   string
	}{{earshot.Text, text, "text"}, {earshot.Binary, binary, "binary"}, {earshot.Text, "plain", "text"}} {
		w.publishMessage(appOne, &earshot.Message{Channel: "news", Event: "e", Kind: m.kind, Data: []byte(m.data)})
		for _, who := range []*client{c, sender} {
			if e := who.hears("news", m.data); opName(e.Op) != m.op {
				w.Errorf("%s: a %v message came as %s", who.name, m.kind, opName(e.Op))
			}
		}
		sender.wire.send(w.d.Publish("news", m.kind, m.data))
		if w.d.acks() {
			sender.expect(Published)
		}
		if e := c.hears("news", m.data); opName(e.Op) != m.op {
			w.Errorf("a client's %v message came as %s", m.kind, opName(e.Op))
		}
	}
}

func opName(op hub.Op) string {
	if op == hub.Binary {
		return "binary"
	}
	return "text"
}

// data is n bytes of text.
func data(n int) string { return strings.Repeat("x", n) }
