package hub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// limited gives the rig's app limits, as a change at run time does.
func (r *rig) limited(l earshot.Limits) (closed int) {
	next := *r.app
	next.Limits = l
	r.app = &next
	return r.hub.Renew(r.app)
}

// served makes the hub find the rig's app by its slug.
func (r *rig) served() {
	r.hub.SetApps(func(slug string) *earshot.App {
		if slug == r.app.Slug {
			return r.app
		}
		return nil
	})
}

// expectReason expects an error of a code and reason.
func expectReason(t testing.TB, what string, err error, code earshot.Code, reason string) {
	t.Helper()
	var e *earshot.Error
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		t.Errorf("%s: %v, want %v %s", what, err, code, reason)
	}
}

// open opens a connection that may fail.
func (r *rig) open() (*client, error) {
	c := &client{rig: r}
	conn, err := r.hub.Open(r.hub.NextShard(), wire{c}, hub.Opening{App: r.app, Identity: everything(), Farewell: c})
	if err == nil {
		c.conn = conn
		conn.Serve(c)
		r.Cleanup(func() {
			conn.Close(nil)
			conn.Ended(hub.End{})
		})
	}
	return c, err
}

// TestLimitConnections lets in as many as the app may have, and another one for
// each that ends.
func TestLimitConnections(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.limited(earshot.Limits{Connections: 2})
		first := r.connect(everything())
		r.connect(everything())
		_, err := r.open()
		expectReason(r, "the third", err, earshot.Limited, "LIMIT_CONNECTIONS")
		first.conn.Close(nil)
		if _, err := r.open(); err != nil {
			r.Error("one that ended still counts:", err)
		}
		first.conn.Ended(hub.End{})
		_, err = r.open()
		expectReason(r, "after an end that was counted twice", err, earshot.Limited, "LIMIT_CONNECTIONS")
		if u := r.hub.AppUse("app"); u.Connections != 2 || u.Peak != 2 {
			r.Errorf("%+v", u)
		}
	})
}

// TestLimitConnectionsOfEnter counts a client in the app that it says it is of,
// and no more in the one that it leaves.
func TestLimitConnectionsOfEnter(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.limited(earshot.Limits{Connections: 1})
		other := &earshot.App{Slug: "other"}
		var late []*client
		for range 2 {
			c := &client{rig: r}
			conn, err := r.hub.Open(r.hub.NextShard(), wire{c}, hub.Opening{Farewell: c})
			if err != nil {
				r.Fatal(err)
			}
			c.conn = conn
			conn.Serve(c)
			r.Cleanup(func() { conn.Close(nil); conn.Ended(hub.End{}) })
			late = append(late, c)
		}
		late[0].conn.Enter(r.app, everything())
		late[0].conn.Enter(r.app, everything()) // again: it counts once
		late[1].conn.Enter(r.app, everything())
		late[1].expectClosed(earshot.Limited)
		if late[0].closed() != nil {
			r.Error("the first was closed")
		}
		late[0].conn.Enter(other, everything())
		if a, b := r.hub.AppUse("app").Connections, r.hub.AppUse("other").Connections; a != 0 || b != 1 {
			r.Errorf("%d are left, %d came", a, b)
		}
		if _, err := r.open(); err != nil {
			r.Error(err)
		}
	})
}

// TestLoweredConnections closes the newest, on every shard.
func TestLoweredConnections(t *testing.T) {
	run(t, hub.Config{Shards: 3}, func(r *rig) {
		r.served()
		all := make([]*client, 10)
		for i := range all {
			all[i] = r.connect(everything())
		}
		if closed := r.limited(earshot.Limits{Connections: 4}); closed != 6 {
			r.Errorf("%d were closed", closed)
		}
		for i, c := range all {
			if i < 4 && c.closed() != nil {
				r.Errorf("number %d was closed", i)
			}
			if i >= 4 {
				c.expectClosed(earshot.Limited)
			}
		}
		if closed := r.limited(earshot.Limits{Connections: 4}); closed != 0 {
			r.Errorf("%d more were closed", closed)
		}
		if closed := r.limited(earshot.Limits{}); closed != 0 {
			r.Errorf("no limit closed %d", closed)
		}
		r.connect(everything())
	})
}

// TestLimitChannels refuses one subscription too many, and closes who has more
// when the limit is lowered.
func TestLimitChannels(t *testing.T) {
	run(t, hub.Config{MaxSubscriptions: 5}, func(r *rig) {
		r.served()
		r.limited(earshot.Limits{Channels: 3})
		c, modest := r.connect(everything()), r.connect(everything())
		for i := range 3 {
			c.subscribe(hub.Join{Channel: fmt.Sprint("live", i)})
		}
		modest.subscribe(hub.Join{Channel: "live"})
		_, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "live3", Encoding: text()})
		expectReason(r, "the fourth", err, earshot.Limited, "LIMIT_CHANNELS")
		c.conn.Unsubscribe(c.conn.Sub("live0"))
		c.subscribe(hub.Join{Channel: "live3"})
		if closed := r.limited(earshot.Limits{Channels: 2}); closed != 1 {
			r.Errorf("%d were closed", closed)
		}
		c.expectClosed(earshot.Limited)
		if modest.closed() != nil {
			r.Error("who has few was closed")
		}
		r.limited(earshot.Limits{Channels: 100})
		wide := r.connect(everything())
		for i := range 5 {
			wide.subscribe(hub.Join{Channel: fmt.Sprint("live", i)})
		}
		_, _, err = wide.conn.Subscribe(context.Background(), hub.Join{Channel: "live5", Encoding: text()})
		expectReason(r, "more than the server's own limit", err, earshot.Limited, "LIMIT_CHANNELS")
	})
}

// TestLimitMessageBytes counts bytes of data, for clients and servers.
func TestLimitMessageBytes(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.limited(earshot.Limits{MessageBytes: 10})
		c := r.connect(everything())
		c.subscribe(hub.Join{Channel: "live"})
		c.take()
		r.publish("live", strings.Repeat("x", 10))
		c.expect(strings.Repeat("x", 10))
		for what, publish := range map[string]func(*earshot.Message) error{
			"a server's": func(m *earshot.Message) error {
				_, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: m})
				return err
			},
			"a client's": func(m *earshot.Message) (err error) {
				if refused := c.conn.Publish(context.Background(), hub.Publication{Message: m}, func(_ hub.Appended, e error) { err = e }); refused != nil {
					return refused
				}
				return err
			},
		} {
			expectReason(r, what, publish(message("live", strings.Repeat("x", 11))), earshot.TooLarge, "MESSAGE_TOO_LARGE")
			if err := publish(message("live", "")); err != nil {
				r.Error(what, err)
			}
		}
		c.expect("", "")
	})
}

// rateCases are rates, and how many messages there are at once and after a time.
var rateCases = []struct {
	rate        float64
	once, later int
	after       time.Duration
}{
	{rate: 2, once: 20, after: time.Second, later: 2},
	{rate: 2, once: 20, after: time.Hour, later: 20},
	{rate: 0.5, once: 5, after: 3 * time.Second, later: 1},
	{rate: 0.01, once: 1, after: 99 * time.Second, later: 0},
	{rate: 0.01, once: 1, after: 100 * time.Second, later: 1},
	{rate: 1e-300, once: 1, after: 1000 * time.Hour, later: 0},
	{rate: 1e300, once: 1000, after: 0, later: 1000},
}

// TestLimitRates lets each connection, and each app's server, publish what it has
// saved up, and no more.
func TestLimitRates(t *testing.T) {
	for _, c := range rateCases {
		t.Run(fmt.Sprint(c.rate, c.after), func(t *testing.T) {
			run(t, hub.Config{}, func(r *rig) {
				r.limited(earshot.Limits{ClientRate: c.rate})
				one, two := r.connect(everything()), r.connect(everything())
				one.subscribe(hub.Join{Channel: "live"})
				two.subscribe(hub.Join{Channel: "live"})
				client := func(who *client) func() error {
					return func() error {
						return who.conn.Publish(context.Background(), hub.Publication{Message: message("live", "x")}, func(hub.Appended, error) {})
					}
				}
				server := func() error {
					_, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: message("live", "x")})
					return err
				}
				r.expectAtOnce("a client", client(one), min(c.once, 999), "LIMIT_CLIENT_RATE")
				r.expectAtOnce("another client", client(two), min(c.once, 999), "LIMIT_CLIENT_RATE")
				r.publish("live", "the server has no limit")
				r.limited(earshot.Limits{ServerRate: c.rate})
				r.expectAtOnce("a server", server, min(c.once, 999), "LIMIT_SERVER_RATE")
				time.Sleep(c.after)
				r.expectAtOnce("a server, later", server, min(c.later, 999), "LIMIT_SERVER_RATE")
				r.limited(earshot.Limits{ClientRate: c.rate})
				r.expectAtOnce("a client, later", client(one), min(c.later, 999), "LIMIT_CLIENT_RATE")
			})
		})
	}
}

// expectAtOnce publishes n times, and then once too often, if n is less than 999.
func (r *rig) expectAtOnce(who string, publish func() error, n int, reason string) {
	r.Helper()
	for i := range n {
		if err := publish(); err != nil {
			r.Errorf("%s: message %d: %v", who, i+1, err)
			return
		}
	}
	if n == 999 {
		return
	}
	err := publish()
	expectReason(r, fmt.Sprint(who, ": message ", n+1), err, earshot.Limited, reason)
	if e := earshot.AsError(err); e != nil && e.RetryAfter <= 0 {
		r.Errorf("%s: no word when to try again", who)
	}
}

// TestRetryAfterIsExact: who waits as long as it was told is let in.
func TestRetryAfterIsExact(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.limited(earshot.Limits{ServerRate: 3})
		for range 100 {
			err := r.hub.Spend(r.app)
			if err == nil {
				continue
			}
			wait := earshot.AsError(err).RetryAfter
			time.Sleep(wait - 1)
			expectReason(r, "too early", r.hub.Spend(r.app), earshot.Limited, "LIMIT_SERVER_RATE")
			time.Sleep(time.Nanosecond)
			if err := r.hub.Spend(r.app); err != nil {
				r.Fatal(err)
			}
		}
	})
}

// TestDueIsNotLimited: what was accepted is not lost to a rate.
func TestDueIsNotLimited(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.limited(earshot.Limits{ServerRate: 0.1})
		for range 5 {
			if _, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: message("live", "x"), Due: true}); err != nil {
				r.Fatal(err)
			}
		}
	})
}

// TestSpentIsForgotten: what connections have published lately is not kept when
// it does not matter any more, nor when they are gone.
func TestSpentIsForgotten(t *testing.T) {
	run(t, hub.Config{Shards: 1}, func(r *rig) {
		r.limited(earshot.Limits{ClientRate: 1})
		var all []*client
		for range 50 {
			c := r.connect(everything())
			all = append(all, c)
			if err := c.conn.Spend(); err != nil {
				r.Fatal(err)
			}
		}
		if n := hub.Spent(r.hub); n != 50 {
			r.Errorf("%d are remembered, want 50", n)
		}
		all[0].conn.Ended(hub.End{})
		if n := hub.Spent(r.hub); n != 49 {
			r.Errorf("%d are remembered, want 49", n)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := hub.Spent(r.hub); n != 0 {
			r.Errorf("%d are remembered, want none", n)
		}
	})
}

// TestAppUse counts what each app uses, apart.
func TestAppUse(t *testing.T) {
	run(t, hub.Config{Shards: 2}, func(r *rig) {
		if all := r.hub.AppUses(true); len(all) != 0 {
			r.Errorf("before anything: %+v", all)
		}
		var clients []*client
		for range 3 {
			c := r.connect(everything())
			c.subscribe(hub.Join{Channel: "live"})
			clients = append(clients, c)
		}
		r.publish("live", "12345", "678")
		r.publish("log", "nobody hears it")
		if err := clients[0].conn.Publish(context.Background(), hub.Publication{Message: message("live", "9")}, func(hub.Appended, error) {}); err != nil {
			r.Fatal(err)
		}
		synctest.Wait()
		r.hub.CountCall(r.app)
		r.hub.CountRefusal(r.app)
		r.hub.CountRefusal(nil)
		other := &earshot.App{Slug: "other"}
		if _, err := r.hub.Publish(context.Background(), other, hub.Publication{Message: message("live", "!")}); err != nil {
			r.Fatal(err)
		}
		clients[2].conn.Close(nil)
		want := hub.AppUse{
			App: "app", MessagesIn: 4, BytesIn: 5 + 3 + 15 + 1, MessagesOut: 9, BytesOut: 3 * (5 + 3 + 1),
			Calls: 1, AuthFailures: 1, Connections: 2, Peak: 3,
		}
		all := r.hub.AppUses(true)
		if len(all) != 2 || all[0] != want || all[1].App != "other" || all[1].MessagesIn != 1 || all[1].MessagesOut != 0 {
			r.Errorf("%+v\nwant %+v", all, want)
		}
		want.Peak = 2
		if got := r.hub.AppUse("app"); got != want {
			r.Errorf("%+v\nwant %+v", got, want)
		}
	})
}

// BenchmarkClientRate publishes for clients of an app with a rate, and without.
func BenchmarkClientRate(b *testing.B) {
	for _, rate := range []float64{0, 1e9} {
		b.Run(fmt.Sprint("rate=", rate), func(b *testing.B) {
			r := newRig(b, hub.Config{}, mem.NewStore(mem.Config{}))
			r.app.Limits.ClientRate = rate
			_, conns := crowd(r, 1, func(int) string { return "live" })
			for b.Loop() {
				if err := conns[0].Spend(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
