package nats

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A room knows how much of their share of the store the records use. New ones
// are refused before the share is full: the rest is for those that are there, so
// that what was promised can still be kept when somebody has filled the share. A
// timer is claimed by writing its record, and a channel's next holder of a lease
// takes it by writing.
type room struct {
	known atomic.Bool
	used  atomic.Int64 // never less than what is used
}

// roomKept is the part of the share that new records do not get, and grows how
// much a record may then still grow.
const (
	roomKept = 8
	grows    = 1 << 10
)

// admitRecord refuses a record that would take room which is kept for others.
func (e *Engine) admitRecord(ctx context.Context, key hub.Key, data []byte) error {
	share, err := e.maxRecords()
	if err != nil || share <= 0 {
		return nil // without a bound, or one that cannot be known: the server decides
	}
	size, most := int64(len(data)+2*len(recordSubject(key))+64), share-share/roomKept
	if e.room.known.Load() && e.room.used.Add(size) <= most {
		return nil
	}
	l, err := e.linked()
	if err != nil {
		return err
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	info, err := l.records.Info(ctx)
	if err != nil {
		return unavailable(err)
	}
	used := int64(info.State.Bytes)
	e.room.used.Store(used + size)
	e.room.known.Store(true)
	if used+size <= most {
		return nil
	}
	old, err := l.record(ctx, key)
	switch {
	case err != nil:
		return unavailable(err)
	case old.gone() || len(data) > len(old.Data)+grows:
		return &earshot.Error{Code: earshot.Full, Text: "storage is full", RetryAfter: 10 * time.Second}
	}
	return nil
}
