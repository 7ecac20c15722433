package hotsock_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/schedule"
)

// later schedules as the server does.
type later struct {
	timers    *schedule.Timers
	publisher *schedule.Publisher
}

func newLater(s *server, entries *entry.Store, log *slog.Logger) *later {
	l := &later{timers: schedule.New(s.engine, log)}
	l.publisher = schedule.NewPublisher(l.timers, s.hub, s.engine, s.apps.BySlug)
	l.timers.Handle("entry", func(ctx context.Context, t schedule.Timer) error {
		var w entry.Write
		if err := json.Unmarshal(t.Data, &w); err != nil {
			return err
		}
		_, err := entries.Set(ctx, s.apps.BySlug(t.App), w)
		return err
	})
	l.timers.Start()
	return l
}

func (l *later) Publish(ctx context.Context, a *earshot.App, at time.Time, p hub.Publication) (string, error) {
	id, err := l.publisher.Publish(ctx, a, at, p)
	return schedule.ARN("us-east-1", a.Slug, id), err
}

func (l *later) Set(ctx context.Context, a *earshot.App, at time.Time, w entry.Write) (string, error) {
	data, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	id, err := l.timers.Add(ctx, schedule.Timer{App: a.Slug, At: at, Kind: "entry", Data: data})
	return schedule.ARN("us-east-1", a.Slug, id), err
}

// in is the schedule expression of a moment that is d ahead.
func in(d time.Duration) string {
	return "at(" + time.Now().Add(d).UTC().Format("2006-01-02T15:04:05") + ")"
}

// mayScheduleFor allows everything, and to schedule for as late as an hour ahead.
func mayScheduleFor(d time.Duration) claims {
	before := time.Now().Add(d).Unix()
	return claims{"*": claims{
		"subscribe": true, "historyStart": 0,
		"messages": claims{
			"*":     claims{"publish": true, "echo": true, "store": 60, "scheduleBefore": before},
			"quiet": claims{"echo": false}, "denied": claims{"publish": false},
		},
		"storage": claims{"*": claims{"set": true, "get": true, "observe": true, "scheduleBefore": before}},
	}}
}

// TestScheduledPublish: a message comes at its time, from who sent it, though it
// may not any more (spec §2.3, §3.4).
func TestScheduledPublish(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		sender := s.connect(claims{"uid": "a", "umd": "x", "channels": mayScheduleFor(time.Hour)})
		other := s.connect(claims{"channels": everything()})
		sender.subscribe("c")
		other.subscribe("c")
		sender.send(fmt.Sprintf(`{"channel":"c","event":"e","data":[ 1,"<"],"scheduleExpression":%q}`, in(10*time.Second)),
			fmt.Sprintf(`{"channel":"c","event":"quiet","scheduleExpression":%q,"scheduleExpressionTimezone":"UTC"}`, in(10*time.Second)))
		sender.silent() // there is no answer
		time.Sleep(9900 * time.Millisecond)
		other.silent()
		time.Sleep(200 * time.Millisecond)
		first := `{"id":"$ID","event":"e","channel":"c","data":[ 1,"<"],"meta":{"uid":"a","umd":"x"}}`
		other.expect(first, `{"id":"$ID","event":"quiet","channel":"c","data":null,"meta":{"uid":"a","umd":"x"}}`)
		sender.expect(first)
		sender.silent()
		other.silent()
		if w := other.post("/connection/listMessages", `{"channel":"c"}`); strings.Count(w.Body.String(), `"id"`) != 2 {
			t.Errorf("history is %s", w.Body)
		}
	})
}

// TestScheduledAfterTheSenderLeft: what was permitted is not asked again.
func TestScheduledAfterTheSenderLeft(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		sender := s.connect(claims{"uid": "a", "channels": mayScheduleFor(time.Hour), "exp": time.Now().Add(time.Second).Unix()})
		other := s.connect(claims{"channels": everything()})
		sender.subscribe("c")
		other.subscribe("c")
		sender.send(fmt.Sprintf(`{"channel":"c","event":"e","scheduleExpression":%q}`, in(30*time.Minute)))
		sender.leave()
		time.Sleep(31 * time.Minute)
		other.expect(`{"id":"$ID","event":"e","channel":"c","data":null,"meta":{"uid":"a","umd":null}}`)
	})
}

// TestScheduleRefused: what may not be scheduled, and why.
func TestScheduleRefused(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		may := s.connect(claims{"channels": mayScheduleFor(time.Hour)})
		mayNot := s.connect(claims{"channels": everything()})
		late := s.connect(claims{"channels": mayScheduleFor(-time.Hour)})
		for _, c := range []*client{may, mayNot, late} {
			c.subscribe("c")
		}
		for _, test := range []struct {
			client   *client
			event    string
			when, in string
			code     string
		}{
			{mayNot, "e", in(time.Minute), "", "SCHEDULE_PERMISSION_DENIED"},
			{late, "e", in(time.Minute), "", "SCHEDULE_PERMISSION_DENIED"},
			{may, "e", in(time.Hour + time.Second), "", "SCHEDULE_PERMISSION_DENIED"},
			{may, "e", in(-2 * time.Minute), "", "SCHEDULE_PAST"},
			{may, "e", "rate(5 minutes)", "", "INVALID_SCHEDULE"},
			{may, "e", in(time.Minute), "Mars/Olympus", "INVALID_SCHEDULE"},
			{may, "denied", in(time.Minute), "", "PUBLISH_PERMISSION_DENIED"},
			{may, "#e", in(time.Minute), "", "INVALID_EVENT_NAME"},
		} {
			test.client.send(fmt.Sprintf(`{"channel":"c","event":%q,"scheduleExpression":%q,"scheduleExpressionTimezone":%q}`, test.event, test.when, test.in))
			if got := test.client.next(); !strings.Contains(got, `"code":"`+test.code+`"`) || !strings.Contains(got, `"channel":"c"`) {
				t.Errorf("%s %s in %q: %s, want %s", test.event, test.when, test.in, got, test.code)
			}
			body := fmt.Sprintf(`{"channel":"c","event":%q,"scheduleExpression":%q,"scheduleExpressionTimezone":%q}`, test.event, test.when, test.in)
			if w := test.client.post("/connection/publishMessage", body); w.Code < 400 || !strings.Contains(w.Body.String(), test.code) {
				t.Errorf("by HTTP: %s %s in %q: %d %s, want %s", test.event, test.when, test.in, w.Code, w.Body, test.code)
			}
		}
		large := `{"channel":"c","event":"e","data":"` + strings.Repeat("x", 33<<10) + `","scheduleExpression":"` + in(time.Minute) + `"}`
		if may.send(large); !strings.Contains(may.next(), "MESSAGE_TOO_LARGE") {
			t.Error("a message that is too large was scheduled")
		}
		live := `{"channel":"live","event":"e","scheduleExpression":"` + in(time.Minute) + `"}`
		may.subscribe("live")
		if may.send(live); !strings.Contains(may.next(), "LIVE_CHANNEL") {
			t.Error("a message to be stored was scheduled for a live channel")
		}
		if n := s.later.timers.Stats().Pending; n != 0 {
			t.Errorf("%d were scheduled", n)
		}
		time.Sleep(2 * time.Hour)
		for _, c := range []*client{may, mayNot, late} {
			c.silent()
		}
	})
}

// TestScheduleOfASubscribeToken: the claims of a subscription count for its
// channel.
func TestScheduleOfASubscribeToken(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "u"})
		more := token(t, claims{"scope": "subscribe", "uid": "u", "channels": mayScheduleFor(time.Hour)})
		c.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, more))
		c.next()
		c.send(fmt.Sprintf(`{"channel":"c","event":"e","scheduleExpression":%q}`, in(time.Minute)))
		time.Sleep(61 * time.Second)
		c.expect(`{"id":"$ID","event":"e","channel":"c","data":null,"meta":{"uid":"u","umd":null}}`)
	})
}

// TestScheduledByHTTP: the answer names the schedule, and no message yet (spec
// §4.2, §5).
func TestScheduledByHTTP(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "a", "channels": mayScheduleFor(time.Hour)})
		c.subscribe("c")
		berlin := time.Now().Add(10 * time.Minute).UTC().Add(time.Hour).Format("2006-01-02T15:04:05") // it is winter
		w := c.post("/connection/publishMessage", `{"channel":"c","event":"e","data":1,"eagerIdGeneration":true,"scheduleExpression":"at(`+berlin+`)","scheduleExpressionTimezone":"Europe/Berlin"}`)
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusAccepted || len(answer) != 3 ||
			answer["channel"] != "c" || answer["event"] != "e" || !strings.HasPrefix(answer["scheduleArn"], "arn:aws:scheduler:us-east-1:000000000000:schedule/dev/") {
			t.Errorf("answered %d %s", w.Code, w.Body)
		}
		time.Sleep(10*time.Minute - time.Second)
		c.silent()
		time.Sleep(2 * time.Second)
		c.expect(`{"id":"$ID","event":"e","channel":"c","data":1,"meta":{"uid":"a","umd":null}}`)
	})
}

// TestScheduledWrite: a write to a channel's storage comes at its time (spec §1,
// §2.3), by socket and by HTTP.
func TestScheduledWrite(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"uid": "a", "channels": mayScheduleFor(time.Hour)})
		c.subscribe("c")
		c.send(fmt.Sprintf(`{"event":"hotsock.channelStorageSet","channel":"c","key":"k","data":1,"scheduleExpression":%q}`, in(time.Minute)))
		w := c.post("/connection/channelStorageSet", fmt.Sprintf(`{"channel":"c","key":"l","data":2,"scheduleExpression":%q}`, in(2*time.Minute)))
		if w.Code != http.StatusAccepted || !strings.HasPrefix(w.Body.String(), `{"channel":"c","event":"hotsock.channelStorageSet","scheduleArn":"arn:aws:scheduler:`) {
			t.Errorf("answered %d %s", w.Code, w.Body)
		}
		c.silent()
		time.Sleep(61 * time.Second)
		c.expect(`{"event":"hotsock.channelStorageUpdated","channel":"c","key":"k","data":1,"meta":{"uid":"a","umd":null}}`)
		time.Sleep(60 * time.Second)
		c.expect(`{"event":"hotsock.channelStorageUpdated","channel":"c","key":"l","data":2,"meta":{"uid":"a","umd":null}}`)

		mayNot := s.connect(claims{"channels": claims{"*": claims{"storage": claims{"*": claims{"set": true}}}}})
		mayNot.send(fmt.Sprintf(`{"event":"hotsock.channelStorageSet","channel":"c","key":"k","data":1,"scheduleExpression":%q}`, in(time.Minute)))
		if got := mayNot.next(); !strings.Contains(got, "SCHEDULE_PERMISSION_DENIED") {
			t.Errorf("without scheduleBefore: %s", got)
		}
		c.send(fmt.Sprintf(`{"event":"hotsock.channelStorageSet","channel":"c","key":"k","data":1,"scheduleExpression":%q}`, in(2*time.Hour)))
		if got := c.next(); !strings.Contains(got, "SCHEDULE_PERMISSION_DENIED") {
			t.Errorf("after scheduleBefore: %s", got)
		}
	})
}

// TestScheduleKeepsTheOrder: what a client asks for after it has scheduled
// something is carried out after it.
func TestScheduleKeepsTheOrder(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(claims{"channels": mayScheduleFor(time.Hour)})
		c.subscribe("c")
		at := in(10 * time.Second)
		var frames []string
		for i := range 20 {
			frames = append(frames, fmt.Sprintf(`{"channel":"c","event":"e%d","scheduleExpression":%q}`, i, at))
		}
		c.send(append(frames, `{"event":"hotsock.unsubscribe","channel":"c"}`)...)
		if got := c.next(); !strings.Contains(got, "hotsock.unsubscribed") {
			t.Fatalf("got %s", got)
		}
		c.subscribe("c")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		for i := range 20 {
			c.expect(fmt.Sprintf(`{"id":"$ID","event":"e%d","channel":"c","data":null,"meta":{"uid":null,"umd":null}}`, i))
		}
	})
}
