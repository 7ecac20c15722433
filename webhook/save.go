package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/earshot-io/earshot"
)

const (
	// saveEvery is how often the cursor is recorded, and saveMore how much later
	// for each 100 KiB that it has: what is told twice after a crash is what was
	// told meanwhile.
	saveEvery = 250 * time.Millisecond
	saveMore  = time.Second
)

func (d *dispatcher) saveEvery() time.Duration {
	return saveEvery + saveMore*time.Duration(d.names)/(100<<10)
}

func (d *dispatcher) saveInTime(ctx context.Context) error {
	if time.Since(d.saved) < d.saveEvery() {
		return nil
	}
	d.tell()
	return d.save(ctx)
}

var errTakenOver = errors.New("another node has taken over")

// save records the cursor. That it cannot be recorded now is no error; that
// another node has is.
func (d *dispatcher) save(ctx context.Context) error {
	d.saved = time.Now()
	if !d.dirty {
		return nil
	}
	c := d.cursor
	c.Lines = make([]lineState, 0, len(d.lines))
	for _, l := range d.lines {
		c.Lines = append(c.Lines, lineState{Name: l.name, Done: l.done(), Tries: l.tries, Next: millis(l.due), Since: millis(l.since())})
	}
	revision, err := d.s.writeCursor(ctx, d.app.Slug, d.hook.ID, &c, d.revision)
	if err != nil && earshot.CodeOf(err) == earshot.Conflict {
		revision, err = d.ours(ctx)
	}
	switch {
	case errors.Is(err, errTakenOver):
		return err
	case err != nil:
		d.s.log.Debug("the cursor was not recorded", "err", err)
		return nil
	}
	d.revision, d.dirty = revision, false
	return nil
}

// ours finds out whether what is recorded is our own last write, whose answer
// was lost. Every holder of the lease has a name of its own.
func (d *dispatcher) ours(ctx context.Context) (revision uint64, err error) {
	c, revision, err := d.s.readCursor(ctx, d.app.Slug, d.hook.ID)
	if err != nil {
		return 0, err
	}
	if c.Writer != d.cursor.Writer {
		return 0, errTakenOver
	}
	return revision, nil
}

// settle waits for what is under way, and cuts it when that takes too long.
func (d *dispatcher) settle(cancel context.CancelFunc) {
	timer := time.AfterFunc(settleGrace, cancel)
	defer timer.Stop()
	for d.flying > 0 {
		o := <-d.landed
		if o.refused != nil {
			// It may have been cut: this is no failure of the receiver's.
			d.flying--
			o.line.busy = false
			continue
		}
		d.land(o)
	}
}
