package prototest

import (
	"fmt"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
)

func subscribing() []promise {
	return []promise{
		{name: "confirm first", test: confirmFirst},
		{name: "own channel only", test: ownChannel},
		{name: "own app only", test: ownApp},
		{name: "order", test: order},
		{name: "history then live", test: history},
		{name: "resume", test: resume},
		{name: "pattern", test: pattern},
		{name: "unsubscribe then silence", test: unsubscribe},
	}
}

// confirmFirst subscribes while messages come all the time: what was stored, if
// the protocol can ask for it, must not come before the confirmation either.
func confirmFirst(w *world) {
	from := From{}
	if w.d.Cannot["history then live"] == "" {
		from.Start = true
	}
	w.numbers("busy", 1, 3)
	stop := w.publisher("busy", 4)
	defer stop()
	for i := range 20 {
		c := w.connect(listener(fmt.Sprintf("subscriber %d", i), "busy"))
		c.wire.send(w.d.Subscribe("busy", from))
		c.expect(Subscribed)
		c.expect(Message)
	}
}

// publisher publishes numbers from n on, until it is stopped.
func (w *world) publisher(channel string, n int) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for i := n; ; i++ {
			w.publish(appOne, channel, fmt.Sprint(i))
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		running.Wait()
	})
}

// ownChannel publishes on channels that nobody should take for each other, and
// on their own before they were there.
func ownChannel(w *world) {
	w.publish(appOne, "news", "stored before")
	w.publish(appOne, "sport", "stored before")
	c := w.subscriber("alice", "news", "mark")
	other := w.subscriber("bob", "sport", "mark")
	for _, name := range []string{"new", "newsx", "news.x", "News", "sport"} {
		w.publish(appOne, name, "for "+name)
	}
	other.hears("sport", "for sport")
	w.marker("mark", c, other)
}

// ownApp publishes on a channel of the same name elsewhere.
func ownApp(w *world) {
	c := w.subscriber("alice", "news")
	who := listener("bob", "news")
	who.App = appTwo
	other := w.connect(who)
	other.subscribe("news")
	w.publish(appTwo, "news", "of the second")
	other.hears("news", "of the second")
	w.marker("news", c)
	w.publish(appTwo, "news", "and on")
	other.hears("news", "and on")
}

// order publishes 1,000 messages as a server, and 100 as a client.
func order(w *world) {
	const n = 1000
	cs := []*client{w.subscriber("alice", "news"), w.subscriber("bob", "news"), w.subscriber("carol", "news")}
	live := w.subscriber("dave", "live.news")
	for i := 1; i <= n; i++ {
		w.publish(appOne, "news", fmt.Sprint(i))
		w.publish(appOne, "live.news", fmt.Sprint(i))
	}
	for _, c := range cs {
		c.hearsNumbers("news", 1, n)
	}
	live.hearsNumbers("live.news", 1, n)
	if w.d.Publish == nil {
		return
	}
	who := allowed("eve", earshot.Subscribe|earshot.Publish, "news")
	sender := w.connect(who)
	sender.subscribe("news")
	for i := 1; i <= n/10; i++ {
		sender.wire.send(w.d.Publish("news", earshot.Text, fmt.Sprint(i)))
	}
	for _, c := range cs {
		c.hearsNumbers("news", 1, n/10)
	}
}

// history joins in the middle of what is being published. The bus is behind the
// log, and says some things twice.
func history(w *world) {
	const n, every = 400, 50
	w.store.OnRepublish(func(_ int, m *earshot.Message) mem.Fate {
		return mem.Fate{Late: 5 * time.Millisecond, Twice: m.ID.Position().Seq%7 == 0}
	})
	w.numbers("log", 1, n/4)
	var cs []*client
	for i := range 5 {
		cs = append(cs, w.connect(listener(fmt.Sprintf("reader %d", i), "log")))
	}
	next := cs
	for i := n/4 + 1; i <= n; i++ {
		if i%every == 0 && len(next) > 0 {
			next[0].wire.send(w.d.Subscribe("log", From{Start: true}))
			next = next[1:]
		}
		w.publish(appOne, "log", fmt.Sprint(i))
	}
	for _, c := range cs {
		c.expect(Subscribed)
		c.hearsNumbers("log", 1, n)
	}
	w.marker("log", cs...)
}

// resume comes back after what was heard last. Then the log is lost: who is there
// is told by the end, and who comes back by the confirmation.
func resume(w *world) {
	c := w.subscriber("alice", "log")
	w.numbers("log", 1, 10)
	last := c.hearsNumbers("log", 1, 10)
	if last.ID == "" {
		w.Fatalf("the message %v has no place to come back to", last)
	}
	c.wire.leave(1000, "")
	w.numbers("log", 11, 30)
	again := w.connect(listener("alice", "log"))
	again.wire.send(w.d.Subscribe("log", From{Last: last.ID}))
	again.expect(Subscribed)
	again.hearsNumbers("log", 11, 30)
	w.marker("log", again)
	w.store.NewEpoch()
	w.numbers("log", 100, 101)
	again.endsFor(earshot.Unavailable) // what it has seen is of another life
	late := w.connect(listener("alice", "log"))
	late.wire.send(w.d.Subscribe("log", From{Last: last.ID}))
	late.expect(Broken)
	late.hearsNumbers("log", 100, 101)
}

// pattern hears all below a level.
func pattern(w *world) {
	c := w.connect(listener("alice", "a.*", "mark"))
	c.wire.send(w.d.Pattern("a"))
	c.expect(Subscribed)
	c.subscribe("mark")
	for _, name := range []string{"a.x", "a", "ab.x", "b.a.x", "a.x.y"} {
		w.publish(appOne, name, "for "+name)
	}
	c.hears("a.x", "for a.x")
	c.hears("a.x.y", "for a.x.y")
	w.marker("mark", c)
}

// unsubscribe ends one of two subscriptions.
func unsubscribe(w *world) {
	c := w.subscriber("alice", "news", "mark")
	other := w.subscriber("bob", "news", "mark")
	w.publish(appOne, "news", "before")
	c.hears("news", "before")
	other.hears("news", "before")
	c.request(w.d.Unsubscribe("news"))
	c.expect(Unsubscribed)
	w.publish(appOne, "news", "after")
	other.hears("news", "after")
	w.marker("mark", c, other)
	c.subscribe("news")
	w.publish(appOne, "news", "again")
	c.hears("news", "again")
}
