package hotsock

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/schedule"
)

// A when is a time as a client says it: scheduleExpression and
// scheduleExpressionTimezone (spec §4.1).
type when struct{ expression, zone string }

// when is the time of a request's body, if it has one.
func whenOf(expression, zone *string) (w when) {
	if expression != nil {
		w.expression = *expression
	}
	if zone != nil {
		w.zone = *zone
	}
	return w
}

// later reports whether a time was said at all.
func (w when) later() bool { return w.expression != "" }

// moment is the time, if the client may schedule for it: before is the latest
// that its grants allow, and one that has passed allows nothing (spec §3.4).
func (w when) moment(before time.Time) (time.Time, error) {
	if before.Before(time.Now()) {
		return time.Time{}, &earshot.Error{Code: earshot.Forbidden, Reason: "SCHEDULE_PERMISSION_DENIED", Text: "scheduling this is not permitted"}
	}
	at, err := schedule.Parse(w.expression, w.zone)
	if err == nil && at.After(before) {
		err = &earshot.Error{Code: earshot.Forbidden, Reason: "SCHEDULE_PERMISSION_DENIED", Text: "scheduling this for so late is not permitted"}
	}
	return at, err
}

var errNoSchedules = &earshot.Error{Code: earshot.Invalid, Reason: "NOT_SUPPORTED", Text: "this server does not schedule"}

// publishLater keeps what a client may publish until its time, and returns the
// name of the schedule.
func (p *Protocol) publishLater(ctx context.Context, c *hub.Conn, pub hub.Publication, w when) (arn string, err error) {
	if p.deps.Schedule == nil {
		return "", errNoSchedules
	}
	terms, err := c.Permit(&pub)
	if err != nil {
		return "", err
	}
	at, err := w.moment(terms.ScheduleBefore)
	if err != nil {
		return "", err
	}
	return p.deps.Schedule.Publish(ctx, c.App(), at, pub)
}

// setLater keeps what a client may write until its time.
func (p *Protocol) setLater(ctx context.Context, c *hub.Conn, e entry.Write, w when) (arn string, err error) {
	if p.deps.Schedule == nil {
		return "", errNoSchedules
	}
	terms, err := p.deps.Entries.Permit(c, &e)
	if err != nil {
		return "", err
	}
	at, err := w.moment(terms.ScheduleBefore)
	if err != nil {
		return "", err
	}
	return p.deps.Schedule.Set(ctx, c.App(), at, e)
}

// scheduled is the answer to what was scheduled: that to a publish, with the
// schedule's name and without an id (spec §4.2).
func scheduled(channel, event, arn string) []byte {
	b := published(channel, event, hub.Appended{}, false)
	return append(quote(append(b[:len(b)-1], `,"scheduleArn":`...), arn), '}')
}
