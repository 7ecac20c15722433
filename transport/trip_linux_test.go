package transport

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/earshot-io/earshot/hub"
)

// BenchmarkRoundTrip sends a message to an idle connection, whose session
// answers: waiting, reading, handing over, writing.
func BenchmarkRoundTrip(b *testing.B) {
	bed := newBed(b, Config{}, hub.Config{})
	reply := hub.TextFrame([]byte("pong\n"))
	l := &listener{handle: func(c *hub.Conn, _ hub.Input) error { return c.Send(reply) }}
	client, _ := bed.open(b, &Kind{Format: &lines{}}, lineCutter{}, "", l)
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	buf := make([]byte, 16)
	for b.Loop() {
		if _, err := client.Write([]byte("ping\n")); err != nil {
			b.Fatal(err)
		}
		if _, err := client.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/trip")
}
