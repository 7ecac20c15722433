package bench

import (
	"testing"
	"time"
)

// BenchmarkClient shows what the client itself needs per delivery when a
// server sends many in one write: far less than the server.
func BenchmarkClient(b *testing.B) {
	const frames = 64
	f, err := newFleet(&endpoint{}, newClock(), fleetPlan{subscribers: 1, publishers: 1, readers: 1, names: []string{"live.0"}},
		newDesk(newClock(), Publishing{Rate: 1}, []int32{1}))
	if err != nil {
		b.Fatal(err)
	}
	defer f.close()
	f.measure()
	c := &f.loops[0].conns[0]
	c.state = live
	in := make([][]byte, 0, b.N/frames+1)
	for n := uint32(0); n < uint32(b.N); n += frames {
		var all []byte
		for i := range uint32(frames) {
			data := appendData(nil, stamp{sent: time.Microsecond, number: n + i, slot: noSlot}, 128)
			text := append([]byte(`{"id":"01J0000000000000000000000","event":"bench","channel":"live.0","data":`), data...)
			all = appendServer(all, opText, append(text, `,"meta":{"uid":null,"umd":null}}`...))
		}
		in = append(in, all)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, all := range in {
		if err := c.take(all); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if got := f.faults(nil); got.Any() {
		b.Fatal(got)
	}
}
