package earshot_test

import (
	"testing"
	"time"

	"github.com/earshot-io/earshot"
)

func TestRetrySeconds(t *testing.T) {
	for _, c := range []struct {
		e    earshot.Error
		want int
	}{
		{earshot.Error{Code: earshot.Limited}, 1},
		{earshot.Error{Code: earshot.Limited, RetryAfter: time.Millisecond}, 1},
		{earshot.Error{Code: earshot.Unavailable, RetryAfter: time.Second}, 1},
		{earshot.Error{Code: earshot.Unavailable, RetryAfter: time.Second + 1}, 2},
		{earshot.Error{Code: earshot.Forbidden, RetryAfter: time.Minute}, 60},
		{earshot.Error{Code: earshot.Forbidden}, 0},
	} {
		if got := c.e.RetrySeconds(); got != c.want {
			t.Errorf("%+v: got %d, want %d", c.e, got, c.want)
		}
	}
}
