package hub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestSlowIsCut has a client that does not read beside one that does.
func TestSlowIsCut(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		run(t, hub.Config{QueueBytes: 100_000, Shards: 1}, func(r *rig) {
			slow, well := r.connect(everything()), r.connect(everything())
			slow.subscribe(hub.Join{Channel: channel})
			well.subscribe(hub.Join{Channel: channel})
			slow.read(false)
			for range 200 {
				r.publish(channel, strings.Repeat("x", 1000))
			}
			synctest.Wait()
			slow.expectClosed(earshot.Slow)
			if bye := slow.closed(); bye == nil || !bye.Drop {
				r.Errorf("closed as %+v", bye)
			}
			if slow.peak > 102_000 {
				r.Errorf("%d bytes waited", slow.peak)
			}
			if got := len(well.take()); got != 201 || well.closed() != nil {
				r.Errorf("the other has %d frames, closed as %+v", got, well.closed())
			}
			if s := r.hub.Stats(); s.Slow != 1 || s.Closed[earshot.Slow] != 1 {
				r.Errorf("counted %d, %d", s.Slow, s.Closed[earshot.Slow])
			}
		})
	}
}

func TestKick(t *testing.T) {
	run(t, hub.Config{Shards: 4}, func(r *rig) {
		second := newRig(r, hub.Config{}, r.store)
		named := func(uid string, has bool) *earshot.Identity {
			id := everything()
			id.UID, id.HasUID = uid, has
			return id
		}
		a, b, anon := r.connect(named("a", true)), r.connect(named("b", true)), r.connect(named("", false))
		far := second.connect(named("a", true))
		elsewhere := second.connect(named("b", true))
		unknown := r.connect(nil)
		uid := func(s string) *string { return &s }
		n, err := r.hub.Kick(hub.Selection{App: "other", UID: uid("a")})
		if n != 0 || err != nil {
			r.Errorf("in another app: %d %v", n, err)
		}
		n, err = r.hub.Kick(hub.Selection{App: "app", UID: uid("a")})
		synctest.Wait()
		if n != 1 || err != nil {
			r.Errorf("kicked %d, %v", n, err)
		}
		a.expectClosed(earshot.Kicked)
		far.expectClosed(earshot.Kicked)
		if n, _ := r.hub.Kick(hub.Selection{App: "app", UID: uid("")}); n != 0 {
			r.Error("an anonymous client was taken for one without a name")
		}
		if n, _ := second.hub.Kick(hub.Selection{App: "app", Conn: b.conn.ID()}); n != 0 {
			r.Error("kicked here what is elsewhere")
		}
		synctest.Wait()
		b.expectClosed(earshot.Kicked)
		for _, c := range []*client{anon, elsewhere, unknown} {
			if c.closed() != nil {
				r.Errorf("closed as %+v", c.closed())
			}
		}
		r.hub.Told([]byte("what is this"))
		if r.hub.Conn(anon.conn.ID()) != anon.conn || r.hub.Conn(earshot.NewConnID()) != nil {
			r.Error("a connection is not found by its id")
		}
	})
}

// expiring is everything, until d from now.
func expiring(d time.Duration) *earshot.Identity {
	id := everything()
	id.Expires = time.Now().Add(d)
	return id
}

// TestExpiry ends a connection 30 s after its token, never before.
func TestExpiry(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		closing := *r.app
		closing.ExpiryCloses = true
		r.app = &closing
		var clients []*client
		for _, d := range []time.Duration{time.Second, time.Minute, 3 * time.Hour} {
			start := time.Now()
			c := r.connect(expiring(d))
			c.subscribe(hub.Join{Channel: "c"})
			clients = append(clients, c)
			time.Sleep(d + earshot.ExpiryGrace - time.Millisecond)
			synctest.Wait()
			if c.closed() != nil {
				r.Errorf("%v: ended %v early", d, time.Since(start))
			}
			time.Sleep(52 * time.Millisecond)
			synctest.Wait()
			c.expectClosed(earshot.Expired)
		}
		r.publish("c", "after")
		synctest.Wait()
		for _, c := range clients {
			c.expect("ok", "bye")
		}
		past := r.connect(expiring(-time.Hour))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		past.expectClosed(earshot.Expired)
	})
}

func TestExpiryIsTheAppsChoice(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(expiring(time.Second))
		time.Sleep(time.Hour)
		synctest.Wait()
		if c.closed() != nil {
			r.Errorf("closed as %+v", c.closed())
		}
	})
}

// TestRefresh replaces the proof: it lives longer, and loses what it may no
// longer hear.
func TestRefresh(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		closing := *r.app
		closing.ExpiryCloses = true
		r.app = &closing
		c := r.connect(expiring(time.Minute))
		for _, name := range []string{"keep", "lose", "hook"} {
			c.subscribe(hub.Join{Channel: name, Allowed: name == "hook"})
		}
		own := everything()
		c.subscribe(hub.Join{Channel: "own", As: own})
		time.Sleep(time.Minute)
		fresh := &earshot.Identity{App: "app", Expires: time.Now().Add(time.Hour), Grants: []earshot.Grant{
			{Channel: earshot.Exact("keep"), Allow: earshot.Subscribe},
		}}
		ended := c.conn.Enter(r.app, fresh)
		if len(ended) != 1 || ended[0].Name() != "lose" {
			r.Errorf("%d ended", len(ended))
		}
		for _, name := range []string{"keep", "lose", "hook", "own"} {
			r.publish(name, name)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		c.expect("ok", "ok", "ok", "ok", "keep", "hook", "own")
		time.Sleep(time.Minute)
		synctest.Wait()
		c.expectClosed(earshot.Expired)
	})
}

// TestEnterElsewhere moves to another app: nothing of the first is heard.
func TestEnterElsewhere(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		c.subscribe(hub.Join{Channel: "c"})
		c.subscribe(hub.Join{Channel: "hook", Allowed: true})
		other := everything()
		other.App = "other"
		if ended := c.conn.Enter(&earshot.App{Slug: "other"}, other); len(ended) != 2 {
			r.Errorf("%d ended", len(ended))
		}
		c.subscribe(hub.Join{Channel: "c"})
		r.publish("c", "secret")
		synctest.Wait()
		c.expect("ok", "ok", "ok")
	})
}

// TestEnterDuringJoin takes the permission away while a join waits.
func TestEnterDuringJoin(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		r.store.Slow(0, time.Second)
		c := r.connect(everything())
		result := make(chan error, 1)
		go func() {
			_, _, err := c.conn.Subscribe(context.Background(), hub.Join{Channel: "c", Encoding: text()})
			result <- err
		}()
		time.Sleep(time.Millisecond)
		c.conn.Enter(r.app, &earshot.Identity{App: "app"})
		if err := <-result; err == nil {
			r.Error("joined with a permission that had ended")
		}
		r.publish("c", "secret")
		synctest.Wait()
		if len(c.conn.Subs()) != 0 {
			r.Error("a subscription is left")
		}
	})
}

// TestDo runs tasks one after another, beside what is handled.
func TestDo(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		var mu sync.Mutex
		var done []string
		for i := range 3 {
			c.conn.Do(func(context.Context) {
				time.Sleep(29 * time.Second)
				mu.Lock()
				defer mu.Unlock()
				done = append(done, fmt.Sprint(i))
			})
		}
		if !c.conn.Busy() {
			r.Error("it is not busy")
		}
		c.handle = func(context.Context, hub.Input) error {
			return c.conn.Send(hub.TextFrame([]byte("pong")))
		}
		time.Sleep(time.Second)
		c.conn.Receive(hub.Input{Data: []byte("ping")})
		c.expect("pong")
		time.Sleep(100 * time.Second)
		synctest.Wait()
		if !slices.Equal(done, []string{"0", "1", "2"}) || c.conn.Busy() {
			r.Errorf("done: %v, busy %v", done, c.conn.Busy())
		}
		ran := false
		c.conn.Do(func(context.Context) { ran = true })
		synctest.Wait()
		if !ran {
			r.Error("a later task did not run")
		}
	})
}

// TestDoIsBounded holds up who gives too many tasks, until there is room or
// the connection closes.
func TestDoIsBounded(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		block := make(chan struct{})
		given, ran, refused := 0, 0, 0
		var mu sync.Mutex
		go func() {
			for range 300 {
				ok := c.conn.Do(func(context.Context) {
					<-block
					mu.Lock()
					defer mu.Unlock()
					ran++
				})
				mu.Lock()
				given++
				if !ok {
					refused++
				}
				mu.Unlock()
			}
		}()
		synctest.Wait()
		if given != 257 {
			r.Errorf("%d tasks were taken", given)
		}
		block <- struct{}{}
		synctest.Wait()
		if given != 258 || ran != 1 {
			r.Errorf("%d tasks were taken, %d ran", given, ran)
		}
		c.conn.Close(nil)
		synctest.Wait()
		close(block)
		synctest.Wait()
		if given != 300 || refused != 42 || ran != 2 {
			r.Errorf("%d taken, %d refused, %d ran", given, refused, ran)
		}
	})
}

// TestTasksAreBoundedInBytes: tasks keep what the client sent, so large messages
// hold up sooner than many do. What is no task's is not counted.
func TestTasksAreBoundedInBytes(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		block := make(chan struct{})
		handled, ran := 0, 0
		c.handle = func(_ context.Context, m hub.Input) error {
			handled++
			if string(m.Data) != "ping" {
				c.conn.Do(func(context.Context) {
					<-block
					ran++
				})
			}
			return nil
		}
		large := hub.Input{Data: make([]byte, 128<<10)}
		ping := hub.Input{Data: []byte("ping")}
		over := make(chan struct{})
		go func() {
			defer close(over)
			for range 1000 {
				c.conn.Receive(ping)
			}
			for range 10 {
				c.conn.Receive(large, ping)
			}
		}()
		synctest.Wait()
		if handled > 1000+2*4 {
			r.Errorf("%d messages of 128 KiB are held in memory", (handled-1000)/2)
		}
		for range 10 {
			block <- struct{}{}
		}
		synctest.Wait()
		<-over
		if ran != 10 || handled != 1020 {
			r.Errorf("%d handled, %d ran", handled, ran)
		}
		go c.conn.Receive(large, large, large, large, large)
		synctest.Wait()
		c.conn.Close(nil)
		synctest.Wait()
		close(block)
		synctest.Wait()
		if handled == 1025 {
			r.Error("a connection that closes goes on")
		}
	})
}

// TestTaskContextEnds with the connection.
func TestTaskContextEnds(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		var err error
		c.conn.Do(func(ctx context.Context) {
			<-ctx.Done()
			err = ctx.Err()
		})
		synctest.Wait()
		c.conn.Close(nil)
		synctest.Wait()
		if !errors.Is(err, context.Canceled) {
			r.Errorf("%v", err)
		}
	})
}

// TestPanics in a handler, a task and a renderer end one connection at most.
func TestPanics(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		bad, worse, well := r.connect(everything()), r.connect(everything()), r.connect(everything())
		well.subscribe(hub.Join{Channel: "c"})
		bad.handle = func(context.Context, hub.Input) error { panic("bad") }
		bad.conn.Receive(hub.Input{}, hub.Input{})
		bad.expectClosed(earshot.Internal)
		worse.conn.Do(func(context.Context) { panic("worse") })
		synctest.Wait()
		worse.expectClosed(earshot.Internal)
		unable := &hub.Encoding{Render: func(*earshot.Message) *hub.Frame { panic("unable") }}
		c := r.connect(everything())
		c.subscribe(hub.Join{Channel: "c", Encoding: unable})
		c.subscribe(hub.Join{Channel: "d"})
		r.publish("c", "1")
		r.publish("d", "2")
		synctest.Wait()
		well.expect("ok", "1")
		c.expect("ok", "ok", "2")
		if s := r.hub.Stats(); s.Panics != 3 || s.Unrenderable != 1 || s.Closed[earshot.Internal] != 2 {
			r.Errorf("%d panics, %d unrenderable, %d closed", s.Panics, s.Unrenderable, s.Closed[earshot.Internal])
		}
	})
}

// TestHandleError ends the connection with it, and nothing after it is handled.
func TestHandleError(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		c := r.connect(everything())
		handled := 0
		c.handle = func(context.Context, hub.Input) error {
			handled++
			return earshot.Errorf(earshot.Invalid, "no")
		}
		c.conn.Receive(hub.Input{}, hub.Input{})
		c.conn.Receive(hub.Input{})
		c.expectClosed(earshot.Invalid)
		if handled != 1 {
			r.Errorf("%d were handled", handled)
		}
	})
}

// TestEnd tells the handler once why it ended.
func TestEnd(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		ours, theirs := r.connect(everything()), r.connect(everything())
		ours.subscribe(hub.Join{Channel: "c"})
		theirs.subscribe(hub.Join{Channel: "c"})
		why := earshot.Errorf(earshot.Kicked, "why")
		ours.conn.Close(why)
		ours.conn.Close(errors.New("too late"))
		ours.conn.Ended(hub.End{Code: 1})
		theirs.conn.Ended(hub.End{Peer: true, Code: 1001, Reason: "away"})
		if len(ours.ends) != 1 || ours.ends[0].Err != why || ours.ends[0].Peer {
			r.Errorf("%+v", ours.ends)
		}
		if e := theirs.ends; len(e) != 1 || !e[0].Peer || e[0].Code != 1001 || e[0].Reason != "away" {
			r.Errorf("%+v", e)
		}
		if err := theirs.conn.Send(hub.TextFrame(nil)); earshot.CodeOf(err) != earshot.Shutdown {
			r.Errorf("%v", err)
		}
		if s := r.hub.Stats(); s.Opened != 2 || s.Ended != 2 || s.Closed[earshot.Kicked] != 1 {
			r.Errorf("%+v", s)
		}
		r.publish("c", "x")
		synctest.Wait()
		ours.expect("ok", "bye")
		theirs.expect("ok")
	})
}

// TestDrain spreads the closes over the time, and lets nobody in.
func TestDrain(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		var clients []*client
		for range 500 {
			clients = append(clients, r.connect(everything()))
		}
		closed := func() (n int) {
			for _, c := range clients {
				if c.closed() != nil {
					n++
				}
			}
			return n
		}
		start := time.Now()
		done := make(chan error, 1)
		go func() { done <- r.hub.Drain(context.Background(), 10*time.Second) }()
		for i := 1; i < 10; i++ {
			time.Sleep(time.Second)
			if n := closed(); n < 50*i-60 || n > 50*i+60 {
				r.Errorf("%d closed after %d s", n, i)
			}
		}
		if err := <-done; err != nil || time.Since(start) > 10*time.Second || closed() != 500 {
			r.Errorf("%v after %v, %d closed", err, time.Since(start), closed())
		}
		clients[0].expectClosed(earshot.Shutdown)
		if _, err := r.hub.Open(r.hub.NextShard(), nil, hub.Opening{}); earshot.CodeOf(err) != earshot.Shutdown {
			r.Errorf("%v", err)
		}
	})
}

func TestDrainGivesUp(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		for range 100 {
			r.connect(everything())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.hub.Drain(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			r.Errorf("%v", err)
		}
	})
}
