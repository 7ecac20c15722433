package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/schedule"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, expression, zone, want string }{
		{"no zone is UTC", "at(2026-12-24T18:00:00)", "", "2026-12-24T18:00:00Z"},
		{"UTC", "at(2026-12-24T18:00:01)", "UTC", "2026-12-24T18:00:01Z"},
		{"winter in Berlin", "at(2026-12-24T18:00:00)", "Europe/Berlin", "2026-12-24T17:00:00Z"},
		{"summer in Berlin", "at(2026-07-24T18:00:00)", "Europe/Berlin", "2026-07-24T16:00:00Z"},
		{"half hours", "at(2026-07-24T18:00:00)", "Asia/Kolkata", "2026-07-24T12:30:00Z"},
		{"three levels", "at(2026-07-24T18:00:00)", "America/Argentina/Ushuaia", "2026-07-24T21:00:00Z"},
		{"by the rule, long after the last entry of the table", "at(2090-07-24T18:00:00)", "America/New_York", "2090-07-24T22:00:00Z"},
		{"leap day", "at(2028-02-29T00:00:00)", "", "2028-02-29T00:00:00Z"},
		{"the last second", "at(9999-12-31T23:59:59)", "", "9999-12-31T23:59:59Z"},

		{"just before a gap", "at(2026-03-29T01:59:59)", "Europe/Berlin", "2026-03-29T00:59:59Z"},
		{"begin of a gap", "at(2026-03-29T02:00:00)", "Europe/Berlin", "2026-03-29T01:00:00Z"},
		{"in a gap", "at(2026-03-29T02:30:00)", "Europe/Berlin", "2026-03-29T01:30:00Z"},
		{"end of a gap", "at(2026-03-29T03:00:00)", "Europe/Berlin", "2026-03-29T01:00:00Z"},
		{"in a gap in the west", "at(2026-03-08T02:30:00)", "America/New_York", "2026-03-08T07:30:00Z"},
		{"in a gap of half an hour", "at(2026-10-04T02:15:00)", "Australia/Lord_Howe", "2026-10-03T15:45:00Z"},
		{"on a day that did not exist", "at(2011-12-30T12:00:00)", "Pacific/Apia", "2011-12-30T22:00:00Z"},

		{"before an overlap", "at(2026-10-25T01:59:59)", "Europe/Berlin", "2026-10-24T23:59:59Z"},
		{"in an overlap", "at(2026-10-25T02:30:00)", "Europe/Berlin", "2026-10-25T00:30:00Z"},
		{"end of an overlap", "at(2026-10-25T03:00:00)", "Europe/Berlin", "2026-10-25T02:00:00Z"},
		{"in an overlap in the west", "at(2026-11-01T01:30:00)", "America/New_York", "2026-11-01T05:30:00Z"},
		{"in an overlap of half an hour", "at(2026-04-05T01:45:00)", "Australia/Lord_Howe", "2026-04-04T14:45:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := schedule.Parse(c.expression, c.zone)
			if err != nil || got.Format(time.RFC3339Nano) != c.want {
				t.Errorf("%s in %q is %v, %v; want %s", c.expression, c.zone, got, err, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	good := "at(2026-12-24T18:00:00)"
	for _, c := range []struct{ expression, zone string }{
		{"", ""},
		{"at()", ""},
		{"2026-12-24T18:00:00", ""},
		{"at(2026-12-24T18:00:00", ""},
		{"AT(2026-12-24T18:00:00)", ""},
		{" at(2026-12-24T18:00:00)", ""},
		{"at( 2026-12-24T18:00:00)", ""},
		{"at(2026-12-24 18:00:00)", ""},
		{"at(2026-12-24T18:00)", ""},
		{"at(2026-12-24T18:00:00Z)", ""},
		{"at(2026-12-24T18:00:00.5)", ""},
		{"at(2026-12-24T18:00:00,5)", ""},
		{"at(2026-12-24T18:00:60)", ""},
		{"at(2026-12-24T24:00:00)", ""},
		{"at(2026-13-01T00:00:00)", ""},
		{"at(2026-02-30T00:00:00)", ""},
		{"at(2027-02-29T00:00:00)", ""},
		{"at(26-12-24T18:00:00)", ""},
		{"at(12026-12-24T18:00:00)", ""},
		{"at(2026-1-24T18:00:00)", ""},
		{"rate(5 minutes)", ""},
		{"cron(0 10 * * ? *)", ""},
		{good + good, ""},
		{good, "Local"},
		{good, "localtime"},
		{good, "posix/Europe/Berlin"},
		{good, "right/Europe/Berlin"},
		{good, "Factory"},
		{good, "Europe"},
		{good, "Europe/Nowhere"},
		{good, "../etc/passwd"},
		{good, "/etc/localtime"},
		{good, "Europe\\Berlin"},
		{good, "+01:00"},
		{good, strings.Repeat("a", 1000)},
		{good, "Europe/Berlin\x00"},
	} {
		got, err := schedule.Parse(c.expression, c.zone)
		e := earshot.AsError(err)
		if err == nil || e.Code != earshot.Invalid || e.Reason != "INVALID_SCHEDULE" {
			t.Errorf("%q in %q is %v, %v", c.expression, c.zone, got, err)
		}
	}
}

// FuzzParse: whatever is read is what the clocks there show, unless they skip it,
// and of two such moments the first.
func FuzzParse(f *testing.F) {
	for _, zone := range []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Kathmandu"} {
		f.Add("at(2026-03-29T02:30:00)", zone)
		f.Add("at(1943-10-25T02:30:00)", zone)
		f.Add("at(2011-12-30T02:30:00)", zone)
	}
	f.Fuzz(func(t *testing.T, expression, zone string) {
		got, err := schedule.Parse(expression, zone)
		if err != nil {
			if e := earshot.AsError(err); e.Code != earshot.Invalid || !got.IsZero() {
				t.Errorf("%q in %q: %v, %v", expression, zone, got, err)
			}
			return
		}
		place, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		there := got.In(place)
		if "at("+there.Format("2006-01-02T15:04:05")+")" != expression {
			wall, err := time.ParseInLocation("at(2006-01-02T15:04:05)", expression, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			begin, _ := there.ZoneBounds()
			late := there.Sub(begin)
			if _, before := begin.Add(-1).Zone(); begin.IsZero() || late < 0 || !wall.Add(-time.Duration(before)*time.Second).Equal(got) {
				t.Errorf("%q in %q is %v, which is not in a gap", expression, zone, there)
			}
			return
		}
		for _, earlier := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 24 * time.Hour} {
			if other := there.Add(-earlier); other.Format(time.DateTime) == there.Format(time.DateTime) {
				t.Errorf("%q in %q is %v, but %v shows the same", expression, zone, there, other)
			}
		}
	})
}
