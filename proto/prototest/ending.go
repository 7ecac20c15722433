package prototest

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func ending() []promise {
	return []promise{
		{name: "expiry ends it", on: Carrier.virtual, test: expiry},
		{name: "kick", test: kick},
		{name: "shutdown says so", test: shutdown},
		{name: "the peer's goodbye", test: peerGoodbye},
		{name: "our goodbye", test: ourGoodbye},
	}
}

// expiry lets a proof expire in the application that ends its clients then, and
// the same proof in the other one.
func expiry(w *world) {
	const valid = 10 * time.Second
	who := listener("alice", "news")
	who.Expires = time.Now().Add(valid)
	stays := w.connect(who)
	stays.subscribe("news")
	who.App = appTwo
	c := w.connect(who)
	c.subscribe("news")
	time.Sleep(valid + earshot.ExpiryGrace - time.Second)
	w.publish(appTwo, "news", "in the grace")
	c.hears("news", "in the grace")
	time.Sleep(2 * time.Second)
	w.publish(appTwo, "news", "too late")
	c.endsFor(earshot.Expired)
	w.marker("news", stays)
}

// kick ends one user's clients of one application.
func kick(w *world) {
	c, other := w.subscriber("alice", "news"), w.subscriber("bob", "news")
	who := listener("alice", "news")
	who.App = appTwo
	namesake := w.connect(who)
	namesake.subscribe("news")
	uid := "alice"
	if n, err := w.hub.Kick(hub.Selection{App: appOne, UID: &uid}); n != 1 || err != nil {
		w.Fatalf("the kick ended %d clients, %v", n, err)
	}
	w.publish(appOne, "news", "after")
	other.hears("news", "after")
	c.endsFor(earshot.Kicked)
	other.alive()
	namesake.alive()
}

// shutdown drains the hub.
func shutdown(w *world) {
	cs := []*client{w.subscriber("alice", "news"), w.subscriber("bob", "news")}
	ctx, cancel := context.WithTimeout(context.Background(), w.patience())
	defer cancel()
	if err := w.hub.Drain(ctx, 0); err != nil {
		w.Fatalf("drain: %v", err)
	}
	w.publish(appOne, "news", "after")
	for _, c := range cs {
		c.endsFor(earshot.Shutdown)
	}
	if _, code, reason := w.spy.Protocol.Farewell(nil); code != 0 {
		if said := w.spy.said(earshot.Shutdown)[0]; said.code == code && said.reason == reason && said.last == nil {
			w.Errorf("a shutdown looks like a regular end")
		}
	}
	late, err := w.dial("carol", w.d.Hello(listener("carol", "news"), w.carrier))
	if err != nil {
		return
	}
	// A carrier that cannot refuse before the dialogue ends it at once.
	if e, over := late.nextOrEnd(); over == nil && e.What == Ready {
		w.Errorf("a client was let in while the server drained")
	}
}

// peerGoodbye has the client say it.
func peerGoodbye(w *world) {
	c := w.subscriber("alice", "news")
	c.wire.leave(4321, "so long")
	end := wait(w, "the session is told the end", w.spy.ends)
	want := hub.End{Peer: true}
	if w.carrier.says() {
		want.Bye, want.Code, want.Reason = true, 4321, "so long"
	}
	if end != want {
		w.Errorf("the session was told %+v instead of %+v", end, want)
	}
	w.gone()
}

// gone checks that the hub holds no connection: it lets go before a session is
// told the end.
func (w *world) gone() {
	w.Helper()
	if s := w.hub.Stats(); s.Opened != s.Ended {
		w.Errorf("%d connections are left", s.Opened-s.Ended)
	}
}

// ourGoodbye has an administrator say it.
func ourGoodbye(w *world) {
	c := w.subscriber("alice", "news")
	if n, err := w.hub.Kick(hub.Selection{App: appOne}); n != 1 || err != nil {
		w.Fatalf("the kick ended %d clients, %v", n, err)
	}
	c.endsFor(earshot.Kicked)
	said := w.spy.said(earshot.Kicked)[0]
	end := wait(w, "the session is told the end", w.spy.ends)
	if end.Peer || end.Code != said.code || end.Reason != said.reason || end.Err == nil || earshot.CodeOf(end.Err) != earshot.Kicked {
		w.Errorf("the session was told %+v; the farewell was %d %q", end, said.code, said.reason)
	}
	w.gone()
}
