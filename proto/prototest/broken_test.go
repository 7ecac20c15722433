package prototest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/proto/prototest"
)

// faultEnv names the promise that the fake breaks, in a process of its own.
const faultEnv = "PROTOTEST_FAULT"

// TestBroken breaks every promise in turn, and expects the suite to find out.
// It runs itself again, since a test cannot look on while another one fails.
func TestBroken(t *testing.T) {
	if fault := os.Getenv(faultEnv); fault != "" {
		prototest.Run(t, lines(fault))
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, promise := range prototest.Promises() {
		name := "memory/" + strings.ReplaceAll(promise, " ", "_")
		t.Run(promise, func(t *testing.T) {
			t.Parallel()
			// Apostrophes mean nothing in a regular expression.
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestBroken$/^memory$/^"+strings.TrimPrefix(name, "memory/")+"$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), faultEnv+"="+promise)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestBroken/"+name) {
				t.Errorf("the promise is broken, and the suite says %v:\n%s", err, out)
			}
		})
	}
}
