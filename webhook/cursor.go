package webhook

import (
	"context"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A cursor is how far a webhook is, as it is recorded: everything up to Head has
// been dealt with, but for what the lines still have.
type cursor struct {
	Epoch uint16      `cbor:"1,keyasint"`
	Head  uint64      `cbor:"2,keyasint"`
	Lines []lineState `cbor:"3,keyasint,omitempty"`
	// Delivered is when the receiver last took an event, Failed when it last did
	// not, and Reason why; in milliseconds, 0 for never.
	Delivered int64  `cbor:"4,keyasint,omitempty"`
	Failed    int64  `cbor:"5,keyasint,omitempty"`
	Reason    string `cbor:"6,keyasint,omitempty"`
	// Writer is the holder of the lease that wrote it.
	Writer uint64 `cbor:"7,keyasint,omitempty"`
}

// A lineState is a line that has events up to Head that have not been dealt
// with: those behind Done.
type lineState struct {
	Name string `cbor:"1,keyasint"`
	Done uint64 `cbor:"2,keyasint"`
	// Tries is how often its oldest event was tried, Next when it is tried again,
	// and Since when it was recorded; in milliseconds.
	Tries int   `cbor:"3,keyasint,omitempty"`
	Next  int64 `cbor:"4,keyasint,omitempty"`
	Since int64 `cbor:"5,keyasint,omitempty"`
}

// maxCursor bounds a cursor's record: lines are counted by lineBytes and their names.
const (
	maxCursor = hub.MaxRecord * 3 / 4
	lineBytes = 48
)

func cursorKey(app, hook string) hub.Key { return hub.Key{"webhook", app, hook} }

// readCursor returns a webhook's cursor; a revision of 0 says that it has none.
func (s *Events) readCursor(ctx context.Context, app, hook string) (c cursor, revision uint64, err error) {
	r, err := s.store.Get(ctx, cursorKey(app, hook))
	if err != nil || r.Revision == 0 {
		return c, 0, err
	}
	return c, r.Revision, cbor.Unmarshal(r.Data, &c)
}

func (s *Events) writeCursor(ctx context.Context, app, hook string, c *cursor, revision uint64) (uint64, error) {
	data, err := cbor.Marshal(c)
	if err != nil {
		return 0, err
	}
	return s.store.Put(ctx, cursorKey(app, hook), data, revision, 0)
}

// begin gives a webhook that has none a cursor at the newest event.
func (d *dispatcher) begin(ctx context.Context) error {
	_, revision, err := d.s.readCursor(ctx, d.app.Slug, d.hook.ID)
	if err != nil || revision != 0 {
		return err
	}
	state, err := d.s.store.Events(ctx)
	if err != nil {
		return err
	}
	c := cursor{Epoch: state.Newest.Epoch, Head: state.Newest.Seq}
	_, err = d.s.writeCursor(ctx, d.app.Slug, d.hook.ID, &c, 0)
	if earshot.CodeOf(err) == earshot.Conflict {
		return nil // another node was faster
	}
	return err
}

// low is the position up to which the webhook needs nothing any more.
func (c *cursor) low() earshot.Position {
	p := earshot.Position{Epoch: c.Epoch, Seq: c.Head}
	for i := range c.Lines {
		p.Seq = min(p.Seq, c.Lines[i].Done)
	}
	return p
}

// millis is a moment as cursors have it.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
