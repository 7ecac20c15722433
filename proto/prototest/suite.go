package prototest

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// A promise is one test, run with a server of its own on each carrier.
type promise struct {
	name string
	// on says which carriers can show it; nil is all.
	on   func(Carrier) bool
	test func(*world)
}

// promises are all, in the order of the package's doc.
func promises() []promise {
	return slices.Concat(subscribing(), publishing(), bounds(), ending(), opening())
}

// Promises are the names of all promises.
func Promises() []string {
	var names []string
	for _, p := range promises() {
		names = append(names, p.name)
	}
	return names
}

// Run runs every promise that d can say, on every carrier that it stands on.
// Each is a subtest, carrier/promise.
func Run(t *testing.T, d *Dialect) {
	t.Run("cannot", func(t *testing.T) { declared(t, d) })
	for _, on := range append([]Carrier{Memory}, d.Carriers...) {
		t.Run(on.String(), func(t *testing.T) {
			for _, p := range promises() {
				if d.Cannot[p.name] != "" || p.on != nil && !p.on(on) {
					continue
				}
				t.Run(strings.ReplaceAll(p.name, " ", "_"), func(t *testing.T) { run(t, d, on, p) })
			}
		})
	}
}

func run(t *testing.T, d *Dialect, on Carrier, p promise) {
	if on.virtual() {
		synctest.Test(t, func(t *testing.T) { p.test(newWorld(t, d, on)) })
		return
	}
	p.test(newWorld(t, d, on))
}

// declared holds the adapter to what it says that it cannot.
func declared(t *testing.T, d *Dialect) {
	if len(d.Cannot) == 0 {
		return
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatalf("the adapter's doc.go lists what the protocol cannot say: %v", err)
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(doc), "//", " ")), " ")
	known := Promises()
	for _, name := range slices.Sorted(maps.Keys(d.Cannot)) {
		t.Logf("cannot say %q: %s", name, d.Cannot[name])
		switch {
		case !slices.Contains(known, name):
			t.Errorf("%q is no promise", name)
		case d.Cannot[name] == "":
			t.Errorf("%q is declared without a reason", name)
		case !strings.Contains(text, name):
			t.Errorf("doc.go does not list %q", name)
		}
	}
}

// newDialer starts the world's carrier.
func newDialer(w *world, log *slog.Logger) (dialer, error) {
	switch w.carrier {
	case Memory:
		return memory{w}, nil
	case LongPoll:
		return newPolls(w), nil
	case WebSocket, WebSocketGoroutines, WebSocketTLS:
		return newSockets(w, log)
	case Stream, StreamTLS:
		return newStreams(w, log)
	}
	return nil, fmt.Errorf("there is no carrier %d", w.carrier)
}
