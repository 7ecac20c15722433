package function_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/function"
)

// TestChurn: while processes end all the time, and some of them for having
// nothing to do, each call gets its own end, once. EARSHOT_SOAK has it go on for
// so many rounds, and each round ends in the middle of its calls.
func TestChurn(t *testing.T) {
	t.Parallel()
	rounds, err := strconv.Atoi(os.Getenv("EARSHOT_SOAK"))
	if err != nil {
		rounds = 1
	}
	for range rounds {
		churn(t)
	}
}

func churn(t *testing.T) {
	f := fn(t, "f")
	f.Copies = 3
	r := start(t, func(c *function.Config) { c.Idle, c.Grace = time.Millisecond, time.Millisecond }, f)
	var all sync.WaitGroup
	for caller := range 6 {
		all.Go(func() {
			for n := range 8 {
				if err := r.one(caller, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for range 6 { // calls that the end of the host meets
		all.Go(func() {
			_, err := r.invoke("f", orderOf("sleep", "", 50))
			var failed *function.Error
			if e := earshot.AsError(err); err != nil && !errors.As(err, &failed) && e.Reason != function.Stopped {
				t.Errorf("got %v at the end", err)
			}
		})
	}
	if err := r.host.Close(context.Background()); err != nil {
		t.Error(err)
	}
	all.Wait()
	if s := r.host.Stats(); s.Processes != 0 || s.Waiting != 0 {
		t.Errorf("%+v is left", s)
	}
}

// one is one call, of a kind that its number says.
func (r *rig) one(caller, n int) error {
	text := fmt.Sprintf("%d of %d", n, caller)
	do := []string{"", "error", "panic", "exit"}[(caller+n)%4]
	out, err := r.invoke("f", orderOf(do, text, 1))
	var failed *function.Error
	switch errors.As(err, &failed); {
	case do == "" && (err != nil || !strings.Contains(out, `"echo":"`+text+`"`)):
		return fmt.Errorf("%s: got %s, %w", text, out, err)
	case (do == "error" || do == "panic") && (failed == nil || failed.Message != text):
		return fmt.Errorf("%s of %s: got %s, %w", do, text, out, err)
	case do == "exit" && (failed == nil || failed.Type != function.TypeExit):
		return fmt.Errorf("exit of %s: got %s, %w", text, out, err)
	}
	return nil
}
