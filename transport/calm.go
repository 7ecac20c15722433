package transport

import (
	"runtime/debug"
	"time"
)

const (
	// calmEvery is how often the transport looks whether a burst is over.
	calmEvery = 2 * time.Second
	// burst is how many connections begin or end in one; calmBelow how many may
	// in calmEvery, and busyFrames how many frames may be written, when it is over.
	burst      = 256
	calmBelow  = 64
	busyFrames = 2000
)

// calm gives the memory that a burst of connections left back to the system:
// handshakes, buffers and stacks that Go's own pace would keep for minutes. It
// does so once, when it has become quiet, since it costs a full collection.
func (t *Transport) calm() {
	ticker := time.NewTicker(calmEvery)
	defer ticker.Stop()
	var b bursts
	for {
		select {
		case <-t.stop:
			return
		case <-ticker.C:
		}
		s := t.Stats()
		if b.over(s.Accepted+s.Accepted-s.Open, s.FramesOut) {
			t.forget()
			debug.FreeOSMemory()
		}
	}
}

// forget lets go of the spare queues and the last batches.
func (t *Transport) forget() {
	for _, l := range t.loops {
		l.shard.Lock()
		l.spare = spares{}
		l.batch.forget()
		l.shard.Unlock()
	}
}

// bursts notices when a burst is over.
type bursts struct {
	changes, frames uint64 // as of the last look
	pending         uint64 // changes since memory was last given back
	wrote           bool   // much was written since
}

// over is told the counts so far, and reports that it is time.
func (b *bursts) over(changes, frames uint64) bool {
	changed, wrote := changes-b.changes, frames-b.frames
	b.changes, b.frames = changes, frames
	b.pending += changed
	quiet := changed < calmBelow && wrote < busyFrames
	b.wrote = b.wrote || wrote >= busyFrames
	if !quiet || b.pending < burst && !b.wrote {
		return false
	}
	b.pending, b.wrote = 0, false
	return true
}
