package usage

import (
	"strconv"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A Granularity is how long a bucket is.
type Granularity string

// The granularities.
const (
	Minute Granularity = "minute"
	Hour   Granularity = "hour"
	Day    Granularity = "day"
)

// granularities are all of them; buckets are kept in this order.
var granularities = [...]Granularity{Minute, Hour, Day}

// ParseGranularity reads one; empty is Hour. It fails with Invalid.
func ParseGranularity(s string) (Granularity, error) {
	switch g := Granularity(s); g {
	case "":
		return Hour, nil
	case Minute, Hour, Day:
		return g, nil
	}
	return "", &earshot.Error{Code: earshot.Invalid, Reason: "GRANULARITY", Text: "granularity is minute, hour or day"}
}

// Step is how long a bucket is.
func (g Granularity) Step() time.Duration {
	switch g {
	case Minute:
		return time.Minute
	case Hour:
		return time.Hour
	}
	return 24 * time.Hour
}

// Keep is how long a bucket is kept at least, and told. It is dropped with its page,
// which is kept so long after it was last written.
func (g Granularity) Keep() time.Duration {
	switch g {
	case Minute:
		return 2 * time.Hour
	case Hour:
		return 14 * 24 * time.Hour
	}
	return 400 * 24 * time.Hour
}

// Start is when the bucket that a time falls into begins.
func (g Granularity) Start(t time.Time) time.Time { return t.UTC().Truncate(g.Step()) }

// Page is when the page begins that a time's bucket is on: minutes are kept by the
// hour, hours by the day, and days by the month.
func (g Granularity) Page(t time.Time) time.Time {
	switch g {
	case Minute:
		return Hour.Start(t)
	case Hour:
		return Day.Start(t)
	}
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// longest is how long a page may be.
func (g Granularity) longest() time.Duration {
	switch g {
	case Minute:
		return time.Hour
	case Hour:
		return 24 * time.Hour
	}
	return 31 * 24 * time.Hour
}

// stamp is a page's beginning as records are sorted by it.
const stamp = "2006-01-02T15:04"

// whose is how records name an app: by its number, since another one may have its
// slug later, or by the slug if it is of the settings.
func whose(app string, id int64) string {
	if id == 0 {
		return app
	}
	return "#" + strconv.FormatInt(id, 10)
}

// key names the record of a page. One app may be counted under two slugs, at the
// time when it gets another.
func (p *pageID) key() hub.Key {
	return hub.Key{"usage", whose(p.app, p.id), string(p.of), p.start.Format(stamp), p.life, p.app}
}
