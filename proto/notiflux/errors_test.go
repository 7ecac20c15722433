package notiflux

import (
	"errors"
	"net/http"
	"testing"

	"github.com/earshot-io/earshot"
)

// TestEveryCode fails for a code that errors.go does not translate: only Internal
// may be an internal error.
func TestEveryCode(t *testing.T) {
	for _, c := range earshot.Codes() {
		got := translate(c)
		if (got.status == http.StatusInternalServerError || got.close == closeInternal) != (c == earshot.Internal) {
			t.Errorf("%v has no translation of its own: %+v", c, got)
		}
		if got.silent != (got.status == http.StatusOK) {
			t.Errorf("%v: %+v: silence is 200", c, got)
		}
		_, code, reason := (*Protocol)(nil).Farewell(&earshot.Error{Code: c, Text: "text", Err: errors.New("the cause")})
		if code != got.close || reason != c.String() {
			t.Errorf("%v: the farewell is %d %q", c, code, reason)
		}
	}
	if last, code, reason := (*Protocol)(nil).Farewell(nil); last != nil || code != closeNormal || reason != "" {
		t.Errorf("a regular end is %d %q", code, reason)
	}
}

// TestTextOf: a cause is never shown.
func TestTextOf(t *testing.T) {
	for want, err := range map[string]error{
		"internal error": errors.New("secret"), "text": &earshot.Error{Code: earshot.Full, Text: "text", Err: errors.New("secret")},
		"full": &earshot.Error{Code: earshot.Full},
	} {
		if got := textOf(err); got != want {
			t.Errorf("%v is told as %q, want %q", err, got, want)
		}
	}
}
