package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps to within some 60 µs; the runtime's own timers are off by up to a
// millisecond when nothing else runs, which would turn a rate into bursts.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}
