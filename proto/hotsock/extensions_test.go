package hotsock_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// open is a token that may read all of history.
func open() claims {
	return claims{"scope": "connect", "channels": claims{"*": claims{"subscribe": true, "historyStart": 0}}}
}

func confirmed(channel string, recovered bool) string {
	return fmt.Sprintf(`{"event":"hotsock.subscribed","channel":%q,"data":{"recovered":%v},"meta":{"uid":null,"umd":null}}`, channel, recovered)
}

func heard(channel, data string) string {
	return fmt.Sprintf(`{"id":"$ID","event":"e","channel":%q,"data":%s}`, channel, data)
}

func resumeAfter(channel, id string) string {
	return fmt.Sprintf(`{"event":"hotsock.subscribe","channel":%q,"data":{"after":%q}}`, channel, id)
}

func TestResume(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(open())
		c.subscribe("c")
		s.publish(stored("c", "e", "1"))
		last := id(t, c.next())
		c.leave()
		s.publish(stored("c", "e", "2"))
		s.publish(&earshot.Message{Channel: "c", Event: "e", Data: []byte("3")}) // hidden from history
		s.publish(stored("other", "e", "4"))

		back := s.connect(open())
		back.send(resumeAfter("c", last))
		back.expect(confirmed("c", true), heard("c", "2"), heard("c", "3"))
		s.publish(stored("c", "e", "5"))
		back.expect(heard("c", "5"))

		all := s.connect(open())
		all.send(resumeAfter("c", "0"))
		all.expect(confirmed("c", true), heard("c", "1"), heard("c", "2"), heard("c", "3"), heard("c", "5"))
		all.silent()
	})
}

func TestResumeAcrossALostStream(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(open())
		c.subscribe("c")
		s.publish(stored("c", "e", "1"))
		last := id(t, c.next())
		s.store.NewEpoch()
		s.publish(stored("c", "e", "2"))
		back := s.connect(open())
		back.send(resumeAfter("c", last))
		back.expect(confirmed("c", false), heard("c", "2"))
	})
}

func TestResumeAfterEviction(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(open())
		c.subscribe("c")
		s.publish(stored("c", "e", "1"))
		last := id(t, c.next())
		c.leave()
		s.publish(stored("c", "e", "2"))
		s.publish(stored("c", "e", "3"))
		time.Sleep(5 * time.Minute) // the ring has forgotten
		s.store.Purge("dev", "c", 1)
		back := s.connect(open())
		back.send(resumeAfter("c", last))
		back.expect(confirmed("c", false), heard("c", "3"))
	})
}

func TestResumeOfALiveChannel(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(open())
		c.subscribe("live")
		s.publish(&earshot.Message{Channel: "live", Event: "e", Data: []byte("1")})
		last := id(t, c.next())
		back := s.connect(open())
		back.send(resumeAfter("live", last))
		back.expect(confirmed("live", false))
		s.publish(&earshot.Message{Channel: "live", Event: "e", Data: []byte("2")})
		back.expect(heard("live", "2"))
		// The id of a live message is no place on a logged channel either.
		s.publish(stored("c", "e", "3"))
		back.send(resumeAfter("c", last))
		back.expect(confirmed("c", false), heard("c", "3"))
	})
}

// TestResumeGoesNoFurtherThanHistory: ids can be made up, so what a resume
// reaches is the token's to say.
func TestResumeGoesNoFurtherThanHistory(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		probe := s.connect(open())
		probe.subscribe("c")
		s.publish(stored("c", "e", "1"))
		old := id(t, probe.next())
		time.Sleep(10 * time.Minute)
		middle := time.Now()
		s.publish(stored("c", "e", "2"))
		time.Sleep(10 * time.Minute)
		s.publish(stored("c", "e", "3"))
		time.Sleep(time.Second)
		may := func(c claims) claims { c["subscribe"] = true; return claims{"channels": claims{"c": c}} }
		for _, q := range []struct {
			name      string
			claims    claims
			after     string
			recovered bool
			heard     []string
		}{
			{"all of it", may(claims{"historyStart": 0}), old, true, []string{"2", "3"}},
			{"from a moment", may(claims{"historyStart": middle.Unix()}), old, true, []string{"2", "3"}},
			{"from a later one", may(claims{"historyStart": middle.Add(time.Second).Unix()}), old, false, []string{"3"}},
			{"from the beginning", may(claims{"historyStart": middle.Unix()}), "0", false, []string{"2", "3"}},
			{"without a claim", may(claims{}), old, false, nil},
			{"and from the beginning", may(claims{}), "0", false, nil},
		} {
			c := s.connect(q.claims)
			c.send(resumeAfter("c", q.after))
			c.expect(confirmed("c", q.recovered))
			for _, data := range q.heard {
				c.expect(heard("c", data))
			}
			c.silent()
			c.leave()
		}
	})
}

// ticketOf subscribes, and returns the ticket to come back with.
func ticketOf(t *testing.T, c *client, data string) string {
	t.Helper()
	c.send(`{"event":"hotsock.subscribe","channel":"c","data":` + data + `}`)
	var f struct {
		Event string
		Data  struct{ Resume string }
	}
	if err := json.Unmarshal([]byte(c.next()), &f); err != nil || f.Event != "hotsock.subscribed" || f.Data.Resume == "" {
		t.Fatalf("got %+v (%v), want a confirmation with a ticket", f, err)
	}
	return f.Data.Resume
}

// TestTicket comes back with the proof of having been there: what was missed is
// heard, even by who had heard nothing yet; what was said before is not.
func TestTicket(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		may := claims{"uid": "u", "channels": claims{"c": claims{"subscribe": true}, "other": claims{"subscribe": true}}}
		s.publish(stored("c", "e", "0"))
		time.Sleep(time.Second)
		c := s.connect(may)
		first := ticketOf(t, c, `{"resume":""}`)
		c.silent()
		c.leave()
		s.publish(stored("c", "e", "1"))
		time.Sleep(time.Minute)

		back := s.connect(may)
		back.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"resume":%q}}`, first))
		var second struct {
			Data struct {
				Recovered bool
				Resume    string
			}
		}
		if err := json.Unmarshal([]byte(back.next()), &second); err != nil || !second.Data.Recovered {
			t.Fatalf("got %+v (%v), want it recovered", second, err)
		}
		back.expect(heard("c", "1"))
		back.leave()
		s.publish(stored("c", "e", "2"))

		again := s.connect(may)
		ticketOf(t, again, fmt.Sprintf(`{"resume":%q}`, second.Data.Resume))
		again.expect(heard("c", "1"), heard("c", "2"))
		again.leave()

		time.Sleep(time.Second)
		for _, q := range []struct {
			name, channel, ticket string
			claims                claims
		}{
			{"of another user", "c", first, claims{"uid": "v", "channels": may["channels"]}},
			{"of nobody", "c", first, claims{"channels": may["channels"]}},
			{"of another channel", "other", first, may},
			{"made up", "c", strings.Repeat("A", len(first)), may},
			{"garbage", "c", "!", may},
		} {
			thief := s.connect(q.claims)
			thief.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":%q,"data":{"resume":%q,"after":"0"}}`, q.channel, q.ticket))
			if got := thief.next(); !strings.Contains(got, `"hotsock.subscribed"`) || q.channel == "c" && !strings.Contains(got, `"recovered":false`) {
				t.Errorf("%s: got %s", q.name, got)
			}
			thief.silent()
			thief.leave()
		}

		time.Sleep(6 * time.Minute) // longer than the resume window
		s.publish(stored("c", "e", "3"))
		late := s.connect(may)
		ticketOf(t, late, fmt.Sprintf(`{"resume":%q}`, first))
		late.expect(heard("c", "3"))
	})
}

func refresh(t *testing.T, c claims) string {
	t.Helper()
	return fmt.Sprintf(`{"event":"hotsock.refresh","data":{"token":%q}}`, token(t, c))
}

func TestRefresh(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u", "umd": 1, "channels": claims{"a": claims{"subscribe": true, "alias": "first"}, "b": claims{"subscribe": true}}})
		c.subscribe("a")
		c.subscribe("b")
		own := token(t, claims{"scope": "subscribe", "uid": "u", "channels": claims{"c": claims{"subscribe": true}}})
		c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, own))
		c.next()
		exp := time.Now().Add(3 * time.Hour)
		c.send(refresh(t, claims{"scope": "connect", "uid": "u", "umd": 2, "exp": exp.Unix(), "channels": claims{
			"b": claims{"subscribe": true, "messages": claims{"e": claims{"publish": true, "echo": true}}}, "d": claims{"autoSubscribe": true},
		}}))
		c.expect(
			`{"event":"hotsock.refreshed","data":{"tokenExpiresAt":"2000-01-01T03:00:00Z"},"meta":{"uid":"u","umd":2}}`,
			`{"event":"hotsock.unsubscribed","channel":"a","data":{},"meta":{"channelAlias":"first","uid":"u","umd":2}}`,
		)
		c.silent()
		for _, channel := range []string{"a", "b", "c"} {
			s.publish(stored(channel, "e", "0"))
		}
		c.expect(heard("b", "0"), heard("c", "0"))
		c.send(`{"event":"e","channel":"b","data":1}`)
		c.expect(`{"id":"$ID","event":"e","channel":"b","data":1,"meta":{"uid":"u","umd":2}}`)
		c.send(`{"event":"hotsock.subscribe","channel":"a"}`)
		c.expect(`{"event":"hotsock.error","channel":"a","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","message":"subscribing to this channel is not permitted"}}`)
		c.send(refresh(t, claims{"scope": "connect", "uid": "u", "connectionId": c.greeting.Data.ConnectionID}))
		if got := c.next(); !strings.HasPrefix(got, `{"event":"hotsock.refreshed"`) {
			t.Errorf("a token bound to this connection gives %s", got)
		}
	})
}

func TestRefreshRefused(t *testing.T) {
	other := app()
	other.Slug, other.SigningKeys, other.PublishKeys = "other", []earshot.SigningKey{key("other")}, nil
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, hotsock.DefaultConfig(), app(), other)
		c := s.connect(claims{"uid": "u", "channels": everything()})
		c.subscribe("c")
		good := claims{"scope": "connect", "uid": "u"}
		for _, q := range []struct{ frame, code string }{
			{`{"event":"hotsock.refresh"}`, "TOKEN_MISSING"},
			{`{"event":"hotsock.refresh","data":{}}`, "TOKEN_MISSING"},
			{`{"event":"hotsock.refresh","data":5}`, "INVALID_MESSAGE"},
			{`{"event":"hotsock.refresh","data":{"token":5}}`, "TOKEN_MALFORMED"},
			{`{"event":"hotsock.refresh","data":{"token":"x"}}`, "TOKEN_MALFORMED"},
			{refresh(t, claims{"scope": "connect", "uid": "u", "exp": 1}), "TOKEN_EXPIRED"},
			{refresh(t, claims{"scope": "subscribe", "uid": "u"}), "TOKEN_SCOPE"},
			{refresh(t, claims{"scope": "connect", "uid": "v"}), "TOKEN_UID"},
			{refresh(t, claims{"scope": "connect"}), "TOKEN_UID"},
			{refresh(t, claims{"scope": "connect", "uid": "u", "connectionId": "AAAAAAAAAAAAAAA="}), "TOKEN_CONNECTION"},
			{refresh(t, claims{"scope": "connect", "uid": "u", "singleUse": true}), "TOKEN_JTI"},
			{fmt.Sprintf(`{"event":"hotsock.refresh","data":{"token":%q}}`, tokenOf(t, "other", good)), "TOKEN_KEY"},
		} {
			c.send(q.frame)
			wantError(t, c.next(), q.code, "")
		}
		once := refresh(t, claims{"scope": "connect", "uid": "u", "singleUse": true, "jti": "j", "channels": everything()})
		c.send(once, once)
		if got := c.next(); !strings.HasPrefix(got, `{"event":"hotsock.refreshed"`) {
			t.Errorf("got %s", got)
		}
		wantError(t, c.next(), "TOKEN_USED", "")
		s.publish(stored("c", "e", "1"))
		c.expect(heard("c", "1")) // nothing has changed
	})
}

// TestRefreshOutlivesExpiry: where expiry closes, a newer token keeps the
// connection, and without one it ends after the grace.
// TestSubscribeTokenExpires: where expiry closes, a subscription ends with the
// token that allowed it, and the connection goes on.
func TestSubscribeTokenExpires(t *testing.T) {
	closes := app()
	closes.ExpiryCloses = true
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, hotsock.DefaultConfig(), closes)
		c := s.connect(claims{"uid": "u", "channels": claims{"own": claims{"subscribe": true}}})
		c.subscribe("own")
		short := token(t, claims{"scope": "subscribe", "uid": "u", "exp": time.Now().Add(2 * time.Second).Unix(), "channels": claims{"c": claims{"subscribe": true}}})
		c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, short))
		if got := c.next(); !strings.Contains(got, `"hotsock.subscribed"`) {
			t.Fatalf("got %s", got)
		}
		time.Sleep(31 * time.Second) // within the grace
		s.publish(stored("c", "e", "1"))
		c.expect(heard("c", "1"))
		time.Sleep(2 * time.Second)
		c.expect(`{"event":"hotsock.unsubscribed","channel":"c","data":{}}`)
		s.publish(stored("c", "e", "2"))
		s.publish(stored("own", "e", "3"))
		c.expect(heard("own", "3"))
	})
}

func TestRefreshOutlivesExpiry(t *testing.T) {
	a := app()
	a.ExpiryCloses = true
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, hotsock.DefaultConfig(), a)
		c := s.connect(claims{"exp": time.Now().Add(time.Minute).Unix()})
		gone := s.connect(claims{"exp": time.Now().Add(time.Minute).Unix()})
		time.Sleep(time.Minute + earshot.ExpiryGrace - time.Second)
		if g := gone.goodbye(); g != nil {
			t.Fatalf("closed within the grace: %+v", g)
		}
		c.send(refresh(t, claims{"scope": "connect"}))
		time.Sleep(2 * time.Second)
		g := gone.goodbye()
		if g == nil || g.Code != 1008 || g.Reason != "TOKEN_EXPIRED" {
			t.Fatalf("closed with %+v", g)
		}
		gone.expect(`{"event":"hotsock.error","error":{"code":"TOKEN_EXPIRED","message":"the token has expired"}}`)
		if g := c.goodbye(); g != nil {
			t.Errorf("closed in spite of the newer token: %+v", g)
		}
		time.Sleep(time.Hour + time.Minute)
		if c.goodbye() == nil {
			t.Error("the newer token does not end")
		}
	})
}

// TestR18Heartbeats: they are enforced from the connect on, with a grace.
func TestR18Heartbeats(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		beating := s.connect(claims{"heartbeatTimeout": 10})
		silent := s.connect(claims{"heartbeatTimeout": 10})
		pinging := s.connect(claims{"heartbeatTimeout": 10})
		free := s.connect(nil)
		for range 6 {
			time.Sleep(9900 * time.Millisecond)
			beating.send(`{"event":"hotsock.heartbeat"}`)
			if pinging.goodbye() == nil {
				pinging.send(`{"event":"hotsock.ping"}`)
				pinging.next()
			}
		}
		beating.silent()
		if g := beating.goodbye(); g != nil {
			t.Errorf("closed in spite of its heartbeats: %+v", g)
		}
		if free.goodbye() != nil {
			t.Error("closed without having been asked for heartbeats")
		}
		for _, c := range []*client{silent, pinging} {
			if g := c.goodbye(); g == nil || g.Code != 1008 || g.Reason != "HEARTBEAT_TIMEOUT" {
				t.Errorf("without heartbeats it ended with %+v", g)
			}
		}
		beating.leave()
		free.send(`{"event":"hotsock.heartbeat"}`)
		free.silent()
	})
}

func TestHeartbeatGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, hotsock.Config{HeartbeatGrace: hotsock.Duration(3 * time.Second)})
		c := s.connect(claims{"heartbeatTimeout": 5})
		time.Sleep(7900 * time.Millisecond)
		if c.goodbye() != nil {
			t.Fatal("closed within the grace")
		}
		time.Sleep(200 * time.Millisecond)
		if c.goodbye() == nil {
			t.Fatal("not closed after the grace")
		}
	})
}

// TestHeartbeatOfARefresh: the newer token says how often.
func TestHeartbeatOfARefresh(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"heartbeatTimeout": 10, "keepAlive": true})
		c.send(refresh(t, claims{"scope": "connect"}))
		c.next()
		time.Sleep(time.Hour)
		c.silent()
		if c.goodbye() != nil {
			t.Fatal("closed for want of heartbeats that nobody asks for")
		}
		c.send(refresh(t, claims{"scope": "connect", "heartbeatTimeout": 10, "keepAlive": true}))
		c.next()
		time.Sleep(14 * time.Second)
		if c.goodbye() != nil {
			t.Fatal("closed too early")
		}
		time.Sleep(2 * time.Second)
		if c.goodbye() == nil {
			t.Fatal("the newer token's heartbeat is not enforced")
		}
	})
}

func TestKeepAlive(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c, other := s.connect(claims{"keepAlive": true}), s.connect(nil)
		for range 3 {
			time.Sleep(569 * time.Second)
			c.silent()
			time.Sleep(time.Second + 200*time.Millisecond)
			c.expect(`{"event":"hotsock.keepAlive","data":{}}`)
		}
		other.silent()
	})
}

func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, hotsock.Config{Lifetime: hotsock.Duration(time.Hour)})
		c := s.connect(claims{"keepAlive": true, "exp": time.Now().Add(9 * time.Hour).Unix()})
		c.send(refresh(t, claims{"scope": "connect"}))
		time.Sleep(time.Hour - time.Second)
		if c.goodbye() != nil {
			t.Fatal("closed too early")
		}
		time.Sleep(2 * time.Second)
		if g := c.goodbye(); g == nil || g.Code != 1001 || g.Reason != "Going away" {
			t.Fatalf("ended with %+v, want 1001", g)
		}
	})
}

// TestCommandsKeepTheirOrder: what waits holds up what comes after it, but not
// what keeps the connection alive.
func TestCommandsKeepTheirOrder(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		s.store.Slow(0, time.Second)
		c := s.connect(claims{"channels": everything()})
		c.send(
			`{"event":"hotsock.subscribe","channel":"c"}`,
			`{"event":"e","channel":"c","data":1}`,
			`{"event":"hotsock.unsubscribe","channel":"c"}`,
			`{"event":"hotsock.subscribe","channel":"d"}`,
			`{"event":"hotsock.nothing"}`,
			`{"event":"hotsock.ping"}`,
		)
		c.expect(`{"event":"hotsock.pong","data":"{}"}`)
		c.silent()
		time.Sleep(3 * time.Second)
		frames := c.read()
		var got []string
		for _, f := range frames {
			if f = mask(f); f != `{"id":"$ID","event":"e","channel":"c","data":1,"meta":{"uid":null,"umd":null}}` {
				got = append(got, f) // the message may be overtaken by the unsubscribe
			}
		}
		want := []string{
			`{"event":"hotsock.subscribed","channel":"c","data":{},"meta":{"uid":null,"umd":null}}`,
			`{"event":"hotsock.unsubscribed","channel":"c","data":{}}`,
			`{"event":"hotsock.subscribed","channel":"d","data":{},"meta":{"uid":null,"umd":null}}`,
			`{"event":"hotsock.error","error":{"code":"UNKNOWN_EVENT","message":"no event of this name can be sent to the server"}}`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got  %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestWhatIsNotServedIsRefused: never a stub success.
func TestWhatIsNotServedIsRefused(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": everything()})
		for event, code := range map[string]string{
			"hotsock.connected": "UNKNOWN_EVENT", "hotsock.": "UNKNOWN_EVENT", "hotsock.x": "UNKNOWN_EVENT",
		} {
			c.send(fmt.Sprintf(`{"event":%q,"channel":"c","key":"k","data":{}}`, event))
			wantError(t, c.next(), code, "c")
		}
		c.send(`{"event":"hotsock.pong"}`)
		c.silent()
		c.conn.Receive(hub.Input{Op: hub.Binary, Data: []byte(`{"event":"hotsock.ping"}`)})
		wantError(t, c.next(), "INVALID_MESSAGE", "")
	})
}

// TestPublishFailureIsTold: what the log refuses later comes back as an error.
func TestPublishFailureIsTold(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": everything()})
		c.subscribe("c")
		s.engine.Cut()
		c.send(`{"event":"e","channel":"c","data":1}`)
		wantError(t, c.next(), "UNAVAILABLE", "c")
		s.engine.Restore()
	})
}

// TestBroadcastIsTheConnectTokens: a subscribe token cannot give it.
func TestBroadcastIsTheConnectTokens(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		listener := s.connect(claims{"channels": everything()})
		listener.subscribe("c")
		c := s.connect(claims{"uid": "u", "channels": claims{"c": claims{"messages": claims{"shout": claims{"broadcast": true}}}}})
		c.send(`{"event":"shout","channel":"c","data":1}`)
		listener.expect(`{"id":"$ID","event":"shout","channel":"c","data":1,"meta":{"uid":"u","umd":null}}`)
		sub := token(t, claims{"scope": "subscribe", "uid": "u", "channels": claims{"c": claims{"subscribe": true, "messages": claims{"cry": claims{"broadcast": true}, "say": claims{"publish": true}}}}})
		c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, sub))
		c.next()
		c.send(`{"event":"cry","channel":"c"}`)
		wantError(t, c.next(), "PUBLISH_PERMISSION_DENIED", "c")
		c.send(`{"event":"say","channel":"c"}`)
		c.silent()
		listener.expect(`{"id":"$ID","event":"say","channel":"c","data":null,"meta":{"uid":"u","umd":null}}`)
	})
}
