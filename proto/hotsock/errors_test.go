package hotsock

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
)

// TestEveryCodeIsTranslated fails for a code that has no words of its own here.
func TestEveryCodeIsTranslated(t *testing.T) {
	p := &Protocol{}
	screaming := regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)
	seen := map[string]earshot.Code{}
	for _, c := range earshot.Codes() {
		tr := translate(c)
		if other, twice := seen[tr.code]; twice {
			t.Errorf("%v has the code of %v: it is not translated", c, other)
		}
		seen[tr.code] = c
		if !screaming.MatchString(tr.code) || tr.status < 400 || tr.status > 599 || tr.close < 1001 || tr.close > 1015 {
			t.Errorf("%v is translated to %+v", c, tr)
		}
		if c.Temporary() && tr.status == 400 {
			t.Errorf("%v may pass later, but is answered with 400", c)
		}
		last, code, reason := p.Farewell(earshot.Errorf(c, "why"))
		if code != tr.close || reason == "" || len(reason) > 123 {
			t.Errorf("%v says farewell with %d %q", c, code, reason)
		}
		if quiet := c == earshot.Shutdown || c == earshot.Slow; quiet != (last == nil) {
			t.Errorf("%v says farewell with the frame %v", c, last)
		}
	}
	if last, code, reason := p.Farewell(nil); last != nil || code != 1000 || reason != "" {
		t.Errorf("a regular end is %v %d %q", last, code, reason)
	}
	if last, code, _ := p.Farewell(errLifetime); last != nil || code != 1001 {
		t.Errorf("the end of a lifetime is %v %d", last, code)
	}
}

// TestInternalErrorsShowNothing: the cause is for the log.
func TestInternalErrorsShowNothing(t *testing.T) {
	for _, err := range []error{errors.New("password 123"), &earshot.Error{Text: "password 123", Reason: "PASSWORD"}, earshot.Errorf(earshot.Internal, "password 123")} {
		if got := fmt.Sprint(faultOf(err), subscribeFault(err), string(errorBody(err))); strings.Contains(got, "123") || strings.Contains(got, "PASSWORD") {
			t.Errorf("%v is shown as %s", err, got)
		}
	}
	hidden := &earshot.Error{Code: earshot.Unavailable, Text: "not now", Err: errors.New("password 123")}
	if got := string(errorBody(hidden)); got != `{"error":{"code":"UNAVAILABLE","message":"not now"}}` {
		t.Errorf("got %s", got)
	}
}

// TestSubscribeFaults: hotsock-js acts on three codes, and two others are documented.
func TestSubscribeFaults(t *testing.T) {
	known := map[string]bool{alreadySubscribed: true, subscribeDenied: true, invalidSubscribeToken: true, presenceNeedsUID: true, presenceIsFull: true}
	for _, c := range earshot.Codes() {
		f := subscribeFault(earshot.Errorf(c, "why"))
		if !known[f.code] {
			t.Errorf("%v fails a subscribe with %s", c, f.code)
		}
		if c != earshot.Forbidden && f.reason == "" {
			t.Errorf("%v fails a subscribe without a reason", c)
		}
	}
	for _, c := range []struct {
		err          error
		code, reason string
	}{
		{earshot.Errorf(earshot.Forbidden, "no"), subscribeDenied, ""},
		{errSubscribed, alreadySubscribed, ""},
		{checkChannel("a b"), subscribeDenied, "INVALID_CHANNEL_NAME"},
		{invalidToken(errBound), invalidSubscribeToken, "TOKEN_CONNECTION"},
		{earshot.Errorf(earshot.Unavailable, "later"), subscribeDenied, "UNAVAILABLE"},
	} {
		if f := subscribeFault(c.err); f.code != c.code || f.reason != c.reason || f.text == "" {
			t.Errorf("%v is %+v, want %s %s", c.err, f, c.code, c.reason)
		}
	}
}
