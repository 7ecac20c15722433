package prototest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func bounds() []promise {
	return []promise{
		{name: "too large", test: tooLarge},
		{name: "slow is cut", test: slow},
		{name: "garbage", test: garbage},
		{name: "heartbeat beside long work", test: heartbeat},
	}
}

// tooLarge publishes more than a message may have, and on a wire with a limit
// more than that takes.
func tooLarge(w *world) {
	other := w.subscriber("alice", "news")
	who := allowed("bob", earshot.Subscribe|earshot.Publish, "news")
	c := w.connect(who)
	c.subscribe("news")
	most := hub.MaxData - w.d.Wrapping
	c.wire.send(w.d.Publish("news", earshot.Text, data(most)))
	if w.d.acks() {
		c.expect(Published)
	}
	other.hears("news", data(most))
	c.wire.send(w.d.Publish("news", earshot.Text, data(most+1)))
	if w.d.LargeIsFatal {
		c.endsFor(earshot.TooLarge)
	} else {
		c.expect(Refused)
		c.alive()
	}
	w.marker("news", other)
	if w.carrier.virtual() {
		return // nothing limits a message's size below the protocol
	}
	huge := w.connect(who)
	huge.wire.send(w.d.Publish("news", earshot.Text, data(300<<10)))
	if w.carrier.webSocket() {
		huge.endsWith(1009) // RFC 6455 §7.4.1, whatever the protocol would say
	} else {
		huge.endsFor(earshot.TooLarge)
	}
	w.marker("news", other)
}

// slow has one client stop reading, while another goes on.
func slow(w *world) {
	c := w.subscriber("sloth", "live")
	other := w.subscriber("alice", "live")
	c.wire.stall(true)
	big := data(32 << 10)
	for i := 0; w.hub.Stats().Slow == 0; i++ {
		if i == 10_000 {
			w.Fatalf("a client that does not read is not cut after %d messages", i)
		}
		w.publish(appOne, "live", big)
		other.hears("live", big)
	}
	w.publish(appOne, "live", "after the cut")
	other.hears("live", "after the cut")
	c.wire.stall(false)
	end := wait(w, "the slow client's session is told the end", w.spy.ends)
	if earshot.CodeOf(end.Err) != earshot.Slow || end.Err == nil || end.Peer {
		w.Errorf("the slow client's session was told %+v", end)
	}
	c.endsAtLast("after the cut")
	other.alive()
}

// endsAtLast reads up to the end; one message may not come.
func (c *client) endsAtLast(never string) {
	c.w.Helper()
	for {
		e, over := c.nextOrEnd()
		if over != nil {
			return
		}
		if e.What == Message && e.Data == never {
			c.w.Fatalf("%s: heard %v", c.name, e)
		}
	}
}

// garbage sends anything, from a client that may do something elsewhere.
func garbage(w *world) {
	bystander := w.subscriber("alice", "news")
	who := allowed("mallory", earshot.Subscribe|earshot.Publish|earshot.Echo, "junk*")
	// The seed is fixed, so that what fails once fails again.
	g := &gibberish{Rand: rand.New(rand.NewPCG(1, uint64(w.carrier))), seeds: w.d.seeds()}
	c := w.connect(who)
	rounds := 300
	if w.carrier.stream() {
		rounds = 100
	}
	for i := range rounds {
		m := g.message()
		c.wire.send(m)
		if !c.survives() {
			c.wire.drop()
			c = w.connect(who)
		}
		if w.Failed() {
			w.Fatalf("input %d was %q (%s)", i, m.Data, opName(m.Op))
		}
		if i%50 == 0 {
			w.marker("news", bystander)
		}
	}
	w.marker("news", bystander)
	bystander.alive()
}

// survives reads up to the answer of a heartbeat, or the end. In a stream the
// garbage may be the beginning of something that swallows the heartbeat, so
// there the client leaves, and the end must come.
func (c *client) survives() bool {
	c.w.Helper()
	if c.w.carrier.stream() {
		c.wire.leave(0, "")
	} else {
		c.wire.send(c.w.d.Heartbeat())
	}
	for {
		m, over := c.wire.box().next(c.w.patience())
		switch {
		case over != nil:
			return false
		case m == nil:
			c.w.Errorf("%s: no answer and no end", c.name)
			return false
		}
		e, err := c.w.d.Read(*m)
		if err != nil {
			c.w.Errorf("%s: the server answered %q: %v", c.name, m.Data, err)
			return false
		}
		if e.What == Message && e.Channel == "news" {
			c.w.Errorf("%s: heard %v", c.name, e)
		}
		if e.What == Alive && !c.w.carrier.stream() {
			return true
		}
	}
}

// seeds are valid messages, to be spoiled.
func (d *Dialect) seeds() []message {
	all := []message{d.Heartbeat(), d.Subscribe("junk", From{}), d.Subscribe("news", From{}), d.Subscribe("junk", From{Start: true})}
	if d.Publish != nil {
		all = append(all, d.Publish("junk", earshot.Text, "text"), d.Publish("news", earshot.Text, "text"))
	}
	if d.Unsubscribe != nil {
		all = append(all, d.Unsubscribe("junk"))
	}
	return all
}

// gibberish makes input that means nothing, or little.
type gibberish struct {
	*rand.Rand
	seeds []message
}

func (g *gibberish) message() message {
	op := hub.Op(g.IntN(2))
	switch g.IntN(4) {
	case 0:
		return message{Op: op, Data: g.bytes(1 + g.IntN(200))}
	case 1:
		b, _ := json.Marshal(g.value(0)) // made of what can be marshalled
		return message{Op: op, Data: b}
	case 2:
		return g.spoil(g.seeds[g.IntN(len(g.seeds))])
	}
	return g.splice()
}

func (g *gibberish) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// spoil changes, removes, doubles or adds a few bytes.
func (g *gibberish) spoil(m message) message {
	b := append([]byte(nil), m.Data...)
	for range 1 + g.IntN(4) {
		if len(b) == 0 {
			break
		}
		i := g.IntN(len(b))
		switch g.IntN(4) {
		case 0:
			b[i] = byte(g.Uint32())
		case 1:
			b = append(b[:i], b[i+1:]...)
		case 2:
			b = append(b[:i], append([]byte{b[i]}, b[i:]...)...)
		case 3:
			b = b[:i]
		}
	}
	if len(b) == 0 {
		b = []byte{'x'}
	}
	return message{Op: m.Op, Data: b}
}

// splice joins the halves of two messages.
func (g *gibberish) splice() message {
	a, b := g.seeds[g.IntN(len(g.seeds))], g.seeds[g.IntN(len(g.seeds))]
	return message{Op: a.Op, Data: append(append([]byte(nil), a.Data[:len(a.Data)/2]...), b.Data[len(b.Data)/2:]...)}
}

// value is a JSON value; its names are those that protocols use.
func (g *gibberish) value(depth int) any {
	names := []string{"event", "channel", "data", "topic", "payload", "ref", "id", "", "\u0000"}
	kinds := 7
	if depth > 3 {
		kinds = 5
	}
	switch g.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return g.Float64() * 1e300
	case 2:
		return g.IntN(2) == 0
	case 3:
		return names[g.IntN(len(names))]
	case 4:
		return fmt.Sprintf("%x", g.bytes(g.IntN(20)))
	case 5:
		list := make([]any, g.IntN(6))
		for i := range list {
			list[i] = g.value(depth + 1)
		}
		return list
	}
	object := map[string]any{}
	for range g.IntN(6) {
		object[names[g.IntN(len(names))]] = g.value(depth + 1)
	}
	return object
}

// heartbeat is sent while the engine takes 29 seconds for a subscription. Where
// time is real the suite does not wait for the end of that.
func heartbeat(w *world) {
	const work = 29 * time.Second
	c := w.connect(listener("alice", "slow"))
	w.store.Slow(0, work)
	began := time.Now()
	c.wire.send(w.d.Subscribe("slow", From{}))
	for range 3 {
		c.alive()
	}
	if took := time.Since(began); took >= work {
		w.Errorf("the heartbeat was answered after %v, when the work was done", took)
	}
	if w.carrier.virtual() {
		c.expect(Subscribed)
		if took := time.Since(began); took < work {
			w.Errorf("the subscription took %v: it was no long work", took)
		}
	}
}
