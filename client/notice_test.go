package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot/client"
)

// TestNotices: each event of the server becomes what it says.
func TestNotices(t *testing.T) {
	for frame, want := range map[string]client.Notice{
		`{"event":"hotsock.subscribed","channel":"c","data":{"members":[{"uid":"D","umd":null},{"uid":"J","umd":{"a":1}}]},"meta":{"uid":"J","umd":{"a":1},"channelAlias":"al"}}`: client.Subscribed{
			Channel: "c", Alias: "al", UID: "J", UMD: []byte(`{"a":1}`),
			Members: []client.Member{{UID: "D", UMD: []byte("null")}, {UID: "J", UMD: []byte(`{"a":1}`)}},
		},
		`{"event":"hotsock.subscribed","channel":"z","data":{"autoSubscribed":true},"meta":{"uid":null,"umd":null}}`: client.Subscribed{Channel: "z", Auto: true, UMD: []byte("null")},
		`{"event":"hotsock.unsubscribed","channel":"z","data":{}}`:                                                   client.Unsubscribed{Channel: "z"},
		`{"event":"hotsock.memberAdded","channel":"p","data":{"member":{"uid":"D","umd":1},"members":[{"uid":"D","umd":1}]}}`: client.MemberAdded{
			Membership: client.Membership{Channel: "p", Member: client.Member{UID: "D", UMD: []byte("1")}, Members: []client.Member{{UID: "D", UMD: []byte("1")}}},
		},
		`{"event":"hotsock.memberUpdated","channel":"p","data":{"member":{"uid":"D","umd":2},"members":[]}}`: client.MemberUpdated{
			Membership: client.Membership{Channel: "p", Member: client.Member{UID: "D", UMD: []byte("2")}, Members: []client.Member{}},
		},
		`{"event":"hotsock.memberRemoved","channel":"p","data":{"member":{"uid":"D","umd":2},"members":[]}}`: client.MemberRemoved{
			Membership: client.Membership{Channel: "p", Member: client.Member{UID: "D", UMD: []byte("2")}, Members: []client.Member{}},
		},
		`{"id":"R","event":"hotsock.messageReactionAdded","channel":"c","data":{"messageId":"M","reaction":"👍","action":"add"},"meta":{"uid":"Jim","umd":null}}`: client.ReactionAdded{
			Reaction: client.Reaction{Channel: "c", ID: "R", MessageID: "M", Reaction: "👍", UID: "Jim", UMD: []byte("null")},
		},
		`{"id":"R","event":"hotsock.messageReactionRemoved","channel":"c","data":{"messageId":"M","reaction":"👍","action":"remove"},"meta":{"uid":"Jim","umd":null}}`: client.ReactionRemoved{
			Reaction: client.Reaction{Channel: "c", ID: "R", MessageID: "M", Reaction: "👍", UID: "Jim", UMD: []byte("null")},
		},
		`{"event":"hotsock.channelStorageUpdated","channel":"c","key":"k","data":{"b":2},"meta":{"uid":"12345","umd":null}}`: client.StorageUpdated{
			Channel: "c", Entry: client.Entry{Key: "k", Data: []byte(`{"b":2}`), UID: "12345", UMD: []byte("null")},
		},
		`{"event":"hotsock.error","channel":"c","error":{"code":"PUBLISH_PERMISSION_DENIED","message":"m"}}`: client.Refused{
			Channel: "c", Err: &client.Error{Code: "PUBLISH_PERMISSION_DENIED", Message: "m"},
		},
		`{"event":"hotsock.error","channel":"z","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","message":"m"}}`: client.Refused{
			Channel: "z", Err: &client.Error{Code: "SUBSCRIBE_PERMISSION_DENIED", Message: "m"},
		},
		`{"event":"hotsock.error","error":{"code":"UNKNOWN_EVENT","message":"m"}}`: client.Refused{Err: &client.Error{Code: "UNKNOWN_EVENT", Message: "m"}},
		`{"event":"hotsock.news","x":1}`:                                           client.Other{Event: "hotsock.news", Frame: []byte(`{"event":"hotsock.news","x":1}`)},
		`{"event":"hotsock.memberAdded","channel":"p","data":"?"}`:                 client.Other{Event: "hotsock.memberAdded", Frame: []byte(`{"event":"hotsock.memberAdded","channel":"p","data":"?"}`)},
	} {
		s := play(t, func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
			p.send(frame)
			p.send(message("1", `"end"`))
			_, _, _ = p.c.Read(t.Context())
		})
		var heard []string
		var notices []client.Notice
		if err := s.subscriber(&heard, &notices).Run(t.Context()); !errors.Is(err, errEnd) {
			t.Errorf("%s: %v", frame, err)
			continue
		}
		if got, want := fmt.Sprintf("%+v", show(notices[1])), fmt.Sprintf("%+v", show(want)); got != want || len(notices) != 2 {
			t.Errorf("%s: got %s, want %s", frame, got, want)
		}
	}
}

// show makes the errors in a notice comparable.
func show(n client.Notice) any {
	if r, ok := n.(client.Refused); ok {
		return fmt.Sprintf("Refused %s %+v", r.Channel, *r.Err)
	}
	return n
}

// TestAlias: a channel that was asked for by another name is resumed by it.
func TestAlias(t *testing.T) {
	s := play(t,
		func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"al","data":{"resume":""},"event":"hotsock.subscribe"}`)
			p.send(`{"event":"hotsock.subscribed","channel":"c","data":{"resume":"t"},"meta":{"channelAlias":"al"}}`)
			p.send(message("1", `1`))
			p.send(`{"event":"hotsock.error","channel":"c","error":{"code":"SUBSCRIBE_PERMISSION_DENIED","reason":"UNAVAILABLE","message":"m"},"meta":{"channelAlias":"al"}}`)
			_, _, _ = p.c.Read(t.Context())
		},
		func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"al","data":{"after":"1","resume":"t"},"event":"hotsock.subscribe"}`)
			p.send(`{"event":"hotsock.subscribed","channel":"c","data":{"recovered":true},"meta":{"channelAlias":"al"}}`)
			p.send(`{"event":"hotsock.unsubscribed","channel":"c","data":{},"meta":{"channelAlias":"al"}}`)
			_, _, _ = p.c.Read(t.Context())
		})
	var heard []string
	var notices []client.Notice
	sub := s.subscriber(&heard, &notices)
	sub.Channels = []string{"al"}
	if err := sub.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "ended the subscription to c") {
		t.Errorf("got %v", err)
	}
}

// TestAutoSubscribed: the token's own channels are heard; what was missed of them
// is said to be lost, and being subscribed already is no error.
func TestAutoSubscribed(t *testing.T) {
	act := func(last string) func(*peer) {
		return func(p *peer) {
			p.send(connected)
			p.send(`{"event":"hotsock.subscribed","channel":"auto","data":{"autoSubscribed":true},"meta":{}}`)
			p.send(`{"event":"hotsock.subscribed","channel":"c","data":{"autoSubscribed":true},"meta":{}}`)
			p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
			p.send(`{"event":"hotsock.error","channel":"c","error":{"code":"ALREADY_SUBSCRIBED"}}`)
			p.send(last)
			_, _, _ = p.c.Read(t.Context())
		}
	}
	s := play(t, act(`{"event":"hotsock.error","error":{"code":"UNAVAILABLE"}}`), act(message("", `"end"`)))
	var heard []string
	var notices []client.Notice
	if err := s.subscriber(&heard, &notices).Run(t.Context()); !errors.Is(err, errEnd) {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(kinds(notices), " "); got != "Connected Subscribed Subscribed Disconnected Connected Broken Broken" {
		t.Errorf("got the notices %s", got)
	}
}

// TestSubscribeToken: it is asked for each channel of each connection, and goes
// where the server looks for it.
func TestSubscribeToken(t *testing.T) {
	s := play(t,
		func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"b","data":{"resume":""},"event":"hotsock.subscribe"}`)
			_, _, _ = p.c.Read(t.Context())
		},
		func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"b","data":{"resume":""},"event":"hotsock.subscribe"}`)
			p.wants(`{"channel":"c","data":{"resume":"","token":"for c on x"},"event":"hotsock.subscribe"}`)
			p.send(message("1", `"end"`))
			_, _, _ = p.c.Read(t.Context())
		})
	var heard []string
	var notices []client.Notice
	sub := s.subscriber(&heard, &notices)
	sub.Channels = []string{"b", "c"}
	var asked atomic.Int32
	broken := errors.New("no token today")
	sub.SubscribeToken = func(_ context.Context, channel, connectionID string) (string, error) {
		switch {
		case asked.Add(1) == 2:
			return "", broken
		case channel == "c":
			return "for c on " + connectionID, nil
		}
		return "", nil
	}
	if err := sub.Run(t.Context()); !errors.Is(err, errEnd) {
		t.Errorf("got %v", err)
	}
	if d, ok := notices[1].(client.Disconnected); !ok || !errors.Is(d.Err, broken) {
		t.Errorf("got %+v, want that there was no token", notices[1])
	}
}

// TestLastWords: an error with which the server closes is final, one that it
// goes on after is not.
func TestLastWords(t *testing.T) {
	says := func(then func(p *peer)) func(*peer) {
		return func(p *peer) {
			p.send(connected)
			p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
			p.send(`{"event":"hotsock.error","error":{"code":"CONNECTION_KICKED","message":"m"}}`)
			then(p)
		}
	}
	closes := func(p *peer) { _ = p.c.Close(websocket.StatusPolicyViolation, "") }
	s := play(t,
		says(func(p *peer) { // and says something else before it closes
			p.send(`{"event":"hotsock.keepAlive","data":{}}`)
			closes(p)
		}),
		says(func(p *peer) { _ = p.c.Close(websocket.StatusGoingAway, "") }),
		says(closes))
	var heard []string
	var notices []client.Notice
	var e *client.Error
	if err := s.subscriber(&heard, &notices).Run(t.Context()); !errors.As(err, &e) || e.Code != "CONNECTION_KICKED" {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(kinds(notices), " "); got != "Connected Refused Disconnected Connected Refused Disconnected Connected Refused" {
		t.Errorf("got the notices %s", got)
	}
}

// TestPong: the server's question is answered.
func TestPong(t *testing.T) {
	s := play(t, func(p *peer) {
		p.send(connected)
		p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
		p.send(`{"event":"hotsock.ping","data":{}}`)
		p.wants(`{"event":"hotsock.pong"}`)
		p.send(message("1", `"end"`))
		_, _, _ = p.c.Read(t.Context())
	})
	var heard []string
	var notices []client.Notice
	if err := s.subscriber(&heard, &notices).Run(t.Context()); !errors.Is(err, errEnd) {
		t.Errorf("got %v", err)
	}
}

// A wire is a network within the test, whose time is the test's.
type wire struct{ ends chan net.Conn }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.ends <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *wire) Accept() (net.Conn, error) {
	c, ok := <-w.ends
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (w *wire) Close() error {
	close(w.ends)
	return nil
}

func (w *wire) Addr() net.Addr { return &net.TCPAddr{} }

// inBubble runs a subscriber against a server, in the time of the test.
func inBubble(t *testing.T, act func(*peer), run func(*client.Subscriber)) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{ends: make(chan net.Conn)}
		server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(rw, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.CloseNow()
			act(&peer{t, c, r})
		})}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(w) // until the wire is cut
		}()
		transport := &http.Transport{DialContext: w.dial}
		run(&client.Subscriber{
			URL: "ws://test/v1", Channels: []string{"c"}, HTTPClient: &http.Client{Transport: transport},
			Token:      func(context.Context) (string, error) { return "t", nil },
			FirstDelay: time.Hour, MaxDelay: time.Hour,
		})
		transport.CloseIdleConnections()
		_ = server.Close()
		<-served
	})
}

// TestSilentServer: one that takes the connection and says nothing is left.
func TestSilentServer(t *testing.T) {
	inBubble(t, func(p *peer) { _, _, _ = p.c.Read(context.Background()) }, func(s *client.Subscriber) {
		ctx, cancel := context.WithCancel(context.Background())
		begun := time.Now()
		s.OnNotice = func(n client.Notice) {
			if d, ok := n.(client.Disconnected); !ok || !strings.Contains(d.Err.Error(), "does not greet") || time.Since(begun) != 15*time.Second {
				t.Errorf("after %v: %+v", time.Since(begun), n)
			}
			cancel()
		}
		if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSlowHandler: a handler that takes minutes is not taken for a server that
// does not answer.
func TestSlowHandler(t *testing.T) {
	inBubble(t, func(p *peer) {
		p.send(connected)
		p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
		gone := p.c.CloseRead(context.Background()) // and answers pings
		for _, data := range []string{`1`, `2`, `"end"`} {
			p.send(message("1", data))
		}
		<-gone.Done()
	}, func(s *client.Subscriber) {
		begun := time.Now()
		s.OnMessage = func(m client.Received) error {
			time.Sleep(2*time.Minute + 5*time.Second)
			if string(m.Data) == `"end"` {
				return errEnd
			}
			return nil
		}
		s.OnNotice = func(n client.Notice) {
			if d, ok := n.(client.Disconnected); ok {
				t.Errorf("after %v: %v", time.Since(begun), d.Err)
			}
		}
		if err := s.Run(context.Background()); !errors.Is(err, errEnd) {
			t.Errorf("got %v", err)
		}
	})
}

// TestDeadServer: one that does not answer is left.
func TestDeadServer(t *testing.T) {
	inBubble(t, func(p *peer) {
		p.send(connected)
		p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
		time.Sleep(time.Minute) // nothing is read, so no ping is answered
	}, func(s *client.Subscriber) {
		ctx, cancel := context.WithCancel(context.Background())
		begun := time.Now()
		s.OnNotice = func(n client.Notice) {
			if _, ok := n.(client.Disconnected); !ok {
				return
			}
			if took := time.Since(begun); took < 20*time.Second || took > 30*time.Second {
				t.Errorf("it was left after %v, want 20 to 30 s", took)
			}
			cancel()
		}
		if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute) // until the server ends, too
	})
}

// TestHeartbeats: they come before the time is over.
func TestHeartbeats(t *testing.T) {
	inBubble(t, func(p *peer) {
		p.send(connected)
		p.wants(`{"channel":"c","data":{"resume":""},"event":"hotsock.subscribe"}`)
		last := time.Now()
		for range 5 {
			p.wants(`{"event":"hotsock.heartbeat"}`)
			if passed := time.Since(last); passed != 9*time.Second {
				t.Errorf("a heartbeat came after %v, want 9 s", passed)
			}
			last = time.Now()
		}
		p.send(message("1", `"end"`))
		_, _, _ = p.c.Read(context.Background())
	}, func(s *client.Subscriber) {
		s.Heartbeat = 10 * time.Second
		s.OnMessage = func(client.Received) error { return errEnd }
		if err := s.Run(context.Background()); !errors.Is(err, errEnd) {
			t.Errorf("got %v", err)
		}
	})
}
