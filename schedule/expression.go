package schedule

import (
	"strings"
	"time"
	_ "time/tzdata" // the same zones on every machine, and in an image that has none

	"github.com/earshot-io/earshot"
)

const (
	atOpen   = "at("
	atClose  = ")"
	atLayout = "2006-01-02T15:04:05"
	maxZone  = 64
)

func invalid(text string) error {
	return &earshot.Error{Code: earshot.Invalid, Reason: "INVALID_SCHEDULE", Text: text}
}

// Parse reads a schedule expression, at(yyyy-MM-ddTHH:mm:ss), in the time zone
// of an IANA name, empty for UTC. It fails with Invalid, INVALID_SCHEDULE.
//
// A time that the zone's clocks skip is as long after the change as it seems, so
// 02:30 is 03:30 where they go from 02:00 to 03:00; of a time that comes twice it
// is the first. It says nothing of times that have passed: Add does.
func Parse(expression, zone string) (time.Time, error) {
	text, opened := strings.CutPrefix(expression, atOpen)
	text, closed := strings.CutSuffix(text, atClose)
	// A time.Time is also parsed with a fraction of a second, which the layout does not show.
	wall, err := time.Parse(atLayout, text)
	if !opened || !closed || err != nil || len(text) != len(atLayout) {
		return time.Time{}, invalid("scheduleExpression is at(yyyy-MM-ddTHH:mm:ss)")
	}
	place, err := location(zone)
	if err != nil {
		return time.Time{}, err
	}
	return moment(wall, place).UTC(), nil
}

// location finds a zone. Names that mean something else on another machine, or
// count leap seconds, are none.
func location(zone string) (*time.Location, error) {
	first, _, _ := strings.Cut(zone, "/")
	switch first {
	case "Local", "localtime", "posixrules", "posix", "right", "Factory":
		return nil, invalid("scheduleExpressionTimezone is the name of no time zone")
	}
	if len(zone) > maxZone {
		return nil, invalid("scheduleExpressionTimezone is the name of no time zone")
	}
	place, err := time.LoadLocation(zone)
	if err != nil {
		return nil, invalid("scheduleExpressionTimezone is the name of no time zone")
	}
	return place, nil
}

// moment is when the clocks of a place show a wall time, which is given in UTC.
func moment(wall time.Time, place *time.Location) time.Time {
	// Where there are several answers, or none, time.Date gives one in one of the
	// zones involved, and does not say in which.
	some := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, place)
	begin, end := some.ZoneBounds()
	candidates := make([]time.Time, 0, 3)
	if !begin.IsZero() {
		candidates = append(candidates, by(wall, begin.Add(-1)))
	}
	candidates = append(candidates, by(wall, some))
	if !end.IsZero() {
		candidates = append(candidates, by(wall, end))
	}
	var first time.Time
	for _, t := range candidates {
		if shows(t.In(place), wall) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	switch {
	case !first.IsZero():
		return first
	case shown(some).Before(wall):
		// The offset of the other side of the gap was used: some is before the change.
		return by(wall, some)
	}
	return some
}

// by is when a wall time would be, were the offset that of another moment.
func by(wall, offsetOf time.Time) time.Time {
	_, offset := offsetOf.Zone()
	return wall.Add(-time.Duration(offset) * time.Second)
}

// shown is what the clocks show at t, as a time in UTC.
func shown(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

func shows(t, wall time.Time) bool { return shown(t).Equal(wall) }
