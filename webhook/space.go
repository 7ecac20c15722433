package webhook

import (
	"context"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// spaceEvery is how often it is looked whether the outbox fills up.
const spaceEvery = 10 * time.Second

// watchSpace keeps room in the outbox: what all webhooks have been told is
// dropped, the older half first, once three quarters are full. It never drops
// what a webhook still waits for: when that fills the outbox, it complains, and
// then nothing more can be recorded.
func (s *Events) watchSpace(ctx context.Context) {
	ticker := time.NewTicker(spaceEvery)
	defer ticker.Stop()
	for {
		if err := s.makeSpace(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the outbox of events cannot be looked at", "err", err)
		}
		select {
		case <-ticker.C:
		case <-s.full:
			pause(ctx, time.Second) // not again and again while nothing helps
		case <-ctx.Done():
			return
		}
	}
}

func (s *Events) makeSpace(ctx context.Context) error {
	state, err := s.store.Events(ctx)
	if err != nil {
		return err
	}
	s.stats.bytes.Store(state.Bytes)
	s.stats.limit.Store(state.Limit)
	if state.Limit == 0 || state.Bytes < state.Limit/4*3 {
		return nil
	}
	for _, a := range s.apps {
		if err := s.shrink(ctx, a, state.Newest); err != nil {
			return err
		}
	}
	if state, err = s.store.Events(ctx); err != nil {
		return err
	}
	s.stats.bytes.Store(state.Bytes)
	if state.Bytes > state.Limit/10*9 {
		s.log.Error("the outbox of events is nearly full: what webhooks have not taken is kept, and then nothing more is recorded", "bytes", state.Bytes, "limit", state.Limit)
	}
	return nil
}

// A floor is what was dropped of an app's events for want of room.
type floor struct {
	Epoch uint16 `cbor:"1,keyasint"`
	Seq   uint64 `cbor:"2,keyasint"`
}

func floorKey(app string) hub.Key { return hub.Key{"outbox", app} }

// shrink drops the older half of what the app's webhooks need no more.
func (s *Events) shrink(ctx context.Context, a *earshot.App, low earshot.Position) error {
	for i := range a.Webhooks {
		c, revision, err := s.readCursor(ctx, a.Slug, a.Webhooks[i].ID)
		if err != nil {
			return err
		}
		if at := c.low(); revision != 0 && at.Epoch == low.Epoch {
			low.Seq = min(low.Seq, at.Seq)
		}
	}
	oldest, err := s.store.ReadEvents(ctx, a.Slug, "", earshot.Position{}, 1)
	if err != nil || len(oldest.Entries) == 0 || oldest.Entries[0].Position.Seq > low.Seq {
		return err
	}
	first := oldest.Entries[0].Position.Seq
	low.Seq = first + (low.Seq-first)/2
	data, err := cbor.Marshal(&floor{low.Epoch, low.Seq})
	if err != nil {
		return err
	}
	if _, err := s.store.Put(ctx, floorKey(a.Slug), data, hub.AnyRevision, 0); err != nil {
		return err
	}
	return s.store.DropEvents(ctx, a.Slug, low)
}
